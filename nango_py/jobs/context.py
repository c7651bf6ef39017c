"""What a handler gets, and what it may raise."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nango_py.errors import NangoError, printable
from nango_py.jobs.store import LOGGER, copy_json, result_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nango_py.clock import Clock
    from nango_py.jobs.store import Claimed, JobStore
    from nango_py.json_types import JsonObject, JsonValue

    Handler = Callable[["HandlerContext"], JsonValue | Awaitable[JsonValue]]

MAX_LINES, MAX_LINE = 200, 500
"""How much of its log a job keeps: the last lines, and the beginning of each."""

CHECK_SECONDS = 1.0
"""Seconds between two looks into the database for a request to cancel."""


class RetryAt(NangoError):
    """Raised by a handler: put the job back until a time. The attempt does not count.

    Attributes:
        when: unix seconds.
    """

    def __init__(self, when: float, reason: str = "the job was put back") -> None:
        self.when = when
        super().__init__(reason)


class JobCancelled(NangoError):
    """Raised by a handler that ends because its job was cancelled, and by `checkpoint` of such a job."""


class HandlerContext:
    """The job that a handler runs.

    Attributes:
        job_id: the id of the job.
        handler: the name that the handler is registered under.
        integration: of the connection, or "".
        user_id: of the connection, or "".
        payload: the JSON value that was enqueued.
        attempt: 1 for the first attempt.
        lane: of the job.
        idempotency_key: the same in all attempts; the calls of the handler send it.
        deadline: unix seconds at which the attempt should have ended, or None.
        saved: the value of the last `checkpoint`, also of earlier attempts, or None.
    """

    def __init__(
        self,
        claimed: Claimed,
        store: JobStore,
        clock: Clock,
        is_stopping: Callable[[], bool],
        mask: Callable[[str], str],
        deadline: float | None = None,
    ) -> None:
        row = claimed.row
        self.job_id, self.handler = row.id, row.handler
        self.integration, self.user_id, self.lane = row.integration, row.user_id, row.lane
        # Copies: what a handler does to them changes neither the job nor its next attempt.
        self.payload = copy_json(claimed.content["payload"])
        self.attempt = row.attempts
        self.idempotency_key = claimed.key
        self.deadline = deadline
        self._checkpoint: JsonValue = claimed.state.get("checkpoint")
        self.saved = copy_json(self._checkpoint)
        lines = claimed.state.get("log")
        self._lines = [str(line) for line in lines] if isinstance(lines, list) else []
        self._claimed = claimed
        self._store = store
        self._clock = clock
        self._is_stopping = is_stopping
        self._mask = mask
        self._is_cancelled = False
        self._next_check = clock.monotonic() + CHECK_SECONDS

    @property
    def is_stopping(self) -> bool:
        """Whether the worker is about to stop: a long job should save a checkpoint and raise `RetryAt(0)`."""
        return self._is_stopping()

    @property
    def cancelled(self) -> bool:
        """Whether the job was cancelled, or given to another worker: the handler should end."""
        if not self._is_cancelled and self._clock.monotonic() >= self._next_check:
            self._next_check = self._clock.monotonic() + CHECK_SECONDS
            self._is_cancelled = self._store.is_cancelled(self._claimed)
        return self._is_cancelled

    def checkpoint(self, value: JsonValue) -> None:
        """Store a value, with which the next attempt begins as `saved`.

        Raises:
            JobCancelled: the job was cancelled, or given to another worker because this one did not show
                that it is alive; nothing was stored.
            StorageError: the value is not a JSON value, is too large, or the database failed.
        """
        saved = result_of(value, "the checkpoint")
        if not self._store.save(self._claimed, {**self.state(), "checkpoint": saved}):
            self._is_cancelled = True
            raise JobCancelled("another worker has taken over the job")
        self._checkpoint, self.saved = saved, copy_json(saved)

    def log(self, line: str) -> None:
        """Add a line to the log of the job, and to the logger `nango_py.jobs`; credentials are masked."""
        text = printable(self._mask(line), MAX_LINE)
        self._lines = [*self._lines[1 - MAX_LINES :], f"{format_utc(self._clock.now())} {text}"]
        where = f"{self.integration} {printable(self.user_id)} " if self.integration else ""
        LOGGER.info("%s%s job %s: %s", where, self.handler, self.job_id, text)

    def state(self) -> JsonObject:
        """The checkpoint and the log, as they are stored."""
        return {"checkpoint": self._checkpoint, "log": list(self._lines)}


def format_utc(seconds: float) -> str:
    """A time in unix seconds as ISO text."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
