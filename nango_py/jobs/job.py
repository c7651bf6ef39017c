"""The values of the jobs room: a job, what is enqueued, and the settings of `config.jobs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.record import field, record

if TYPE_CHECKING:
    from datetime import datetime

    from nango_py.json_types import JsonValue, Settings

WAITING, RUNNING, DONE, FAILED, CANCELLED, DEAD = (
    "waiting", "running", "done", "failed", "cancelled", "dead",
)  # fmt: skip
STATUSES = (WAITING, RUNNING, DONE, FAILED, CANCELLED, DEAD)
ENDED = (DONE, FAILED, CANCELLED, DEAD)
"""Statuses that only `retry` changes."""

DEFAULT_LANE, BACKGROUND = "default", "background"
LANES = {"interactive": 1.0, DEFAULT_LANE: 1.0, BACKGROUND: 0.5}
"""The lanes in order of precedence, and the share of a worker's jobs that each may be."""


@record
class Job:
    """A job as it was when it was read.

    Attributes:
        id: its name in `get`, `cancel` and `retry`.
        handler: the name of the function that runs it.
        payload: what the handler gets; a JSON value.
        key: the idempotency key that its calls send; the id unless one was given.
        status: `waiting`, `running`, `done`, `failed` (the error is final), `dead` (all attempts failed) or
            `cancelled`.
        attempts: how often it was started. An attempt that was put back for a quota does not count.
        run_at: when it may start, or start again.
        result: what the handler returned, or None.
        error: why the last attempt failed, without secrets; "" if it did not.
        log: the lines that the handler wrote in all attempts, and why attempts ended.
    """

    id: str
    handler: str
    integration: str
    user_id: str
    payload: JsonValue = field(repr=False)
    key: str
    lane: str
    status: str
    attempts: int
    max_attempts: int
    created_at: datetime
    run_at: datetime
    changed_at: datetime
    result: JsonValue = field(default=None, repr=False)
    error: str = ""
    log: tuple[str, ...] = ()

    @property
    def is_ended(self) -> bool:
        """Whether it will not run again unless it is retried."""
        return self.status in ENDED


@record
class NewJob:
    """What is enqueued.

    Attributes:
        key: an idempotency key; a job of the same handler, integration, user, scope and key is not created
            twice.
        scope: what the key belongs to, such as the name of an action.
        at: unix seconds before which it does not start; None for now.
        is_alone: whether no other job of its connection runs at the same time.
        schedule_id: the schedule that created it, or "".
        connection: the id of its connection, "" if there is none. The job does not run after the connection
            was deleted, not even if the user connects again. None for a job that has no user.
    """

    handler: str
    payload: JsonValue
    integration: str = ""
    user_id: str = ""
    key: str = ""
    at: float | None = None
    lane: str = DEFAULT_LANE
    is_alone: bool = True
    max_attempts: int = 5
    schedule_id: str = ""
    scope: str = ""
    connection: str | None = None

    @property
    def lock(self) -> str:
        """The name that at most one running job has; "" for a job that may run beside any other."""
        return f"{self.integration}/{self.user_id}" if self.is_alone and self.user_id else ""


@record
class JobSettings:
    """The block `config.jobs` with its defaults.

    Attributes:
        runner: `threads`, `inline` or `procrastinate`.
        concurrency: how many jobs one worker runs at the same time.
        max_attempts: how often a job is started before it is dead.
        lanes: the lanes in order of precedence, and the share of a worker's jobs that each may be.
        keep_days: days after which ended jobs are deleted.
    """

    runner: str = "threads"
    concurrency: int = 4
    max_attempts: int = 5
    lanes: tuple[tuple[str, float], ...] = tuple(LANES.items())
    keep_days: float = 14.0

    @classmethod
    def from_settings(cls, written: Settings) -> JobSettings:
        """The settings of a checked block."""
        values = {name: value for name, value in written.items() if value is not None}
        if "lanes" in values:
            values["lanes"] = tuple({**_default_lane_of(values["lanes"]), **values["lanes"]}.items())
        return cls(**values)

    @property
    def lane_names(self) -> tuple[str, ...]:
        """The lanes in order of precedence."""
        return tuple(name for name, _ in self.lanes)


def _default_lane_of(lanes: Settings) -> dict[str, float]:
    """The default lane, which jobs without a lane need, unless the block declares it."""
    return {} if DEFAULT_LANE in lanes else {DEFAULT_LANE: 1.0}


def slot_lanes(lanes: tuple[tuple[str, float], ...], concurrency: int) -> list[tuple[str, ...]]:
    """For each of a worker's slots, the lanes whose jobs it runs, in order of precedence.

    A lane with the share 0.5 is run by half of the slots, and by at least one. The other slots are always
    free for the other lanes.
    """
    slots: dict[str, int] = {name: max(1, int(share * concurrency + 1e-9)) for name, share in lanes}
    return [tuple(name for name, _ in lanes if number < slots[name]) for number in range(concurrency)]
