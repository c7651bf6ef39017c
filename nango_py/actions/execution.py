"""One execution of an action: its id, its deadline, the calls that it makes, and its records."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from nango_py.engine.events import Event
from nango_py.errors import (
    ActionFailed,
    ActionInputError,
    ConfigError,
    ConnectionNotFound,
    DeadlineExceeded,
    NangoError,
    StorageError,
    UnknownNameError,
    printable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.clock import Clock
    from nango_py.engine.events import Events
    from nango_py.json_types import JsonValue

SECONDS = 300.0
"""The time for an action whose caller sets no deadline."""

JOB_SECONDS = 3600.0
"""The same for one attempt of a job, for which no caller waits."""

STARTED = "%(integration)s %(user_id)s action %(action)s started (execution %(execution)s)"
FINISHED = (
    "%(integration)s %(user_id)s action %(action)s ended: %(outcome)s in %(milliseconds)d ms "
    "(execution %(execution)s, calls: %(calls)s)"
)
UNEXPECTED = (
    "%(integration)s %(user_id)s action %(action)s: the result does not fit its output: %(places)s "
    "(execution %(execution)s)"
)
SUCCESS = "success"
RAISED_UNCHANGED = (
    ActionFailed, ActionInputError, ConfigError, ConnectionNotFound, StorageError, UnknownNameError,
)  # fmt: skip
"""Errors that say more than that the action failed."""


class Memory:
    """What an action remembers between attempts; without a job, only while it runs.

    Attributes:
        saved: the value of the last checkpoint, or None.
        is_kept: whether another attempt will see the checkpoints.
        idempotency_key: the key of the job, the same on every attempt; "" without a job.
    """

    __slots__ = ("_save", "idempotency_key", "is_kept", "saved")

    def __init__(
        self,
        saved: JsonValue = None,
        save: Callable[[JsonValue], None] | None = None,
        idempotency_key: str = "",
    ) -> None:
        self.saved = saved
        self.is_kept = save is not None
        self.idempotency_key = idempotency_key
        self._save = save

    def checkpoint(self, value: JsonValue) -> None:
        """Remember a value for the next attempt."""
        self.saved = value
        if self._save is not None:
            self._save(value)

    def note(self, progress: JsonValue) -> None:
        """Remember how far an action is, unless that is too much to be stored: then the last note stays.

        The action goes on, because giving up would repeat what it has done already.
        """
        try:
            self.checkpoint(progress)
        except StorageError as error:
            if getattr(error, "is_retryable", True):
                raise


class Execution:
    """One execution of an action.

    Attributes:
        execution_id: 8 hexadecimal digits, in its log records and events.
        call_ids: the calls that it has made.
        has_deadline: whether the caller has set a deadline.
        is_over: whether it has ended, so that code of the action that still runs may make no more calls.
        memory: what it remembers.
    """

    __slots__ = (
        "_began", "_ends", "_events", "_logger", "_seconds", "action", "call_ids", "clock", "execution_id",
        "has_deadline", "integration", "is_over", "memory", "user_id",
    )  # fmt: skip

    def __init__(
        self, integration: str, action: str, user_id: str, clock: Clock, events: Events,
        logger: logging.Logger, deadline: float | None, memory: Memory | None = None,
    ) -> None:  # fmt: skip
        self.integration = integration
        self.action = action
        self.user_id = user_id
        self.clock = clock
        self.execution_id = os.urandom(4).hex()
        self.call_ids: list[str] = []
        self.is_over = False
        self.memory = memory or Memory()
        self.has_deadline = deadline is not None
        self._events = events
        self._logger = logger
        longest = JOB_SECONDS if self.memory.is_kept else SECONDS
        self._seconds = longest if deadline is None else deadline
        self._began = clock.monotonic()
        self._ends = self._began + self._seconds

    def seconds_left(self) -> float:
        """The seconds until the deadline.

        Raises:
            DeadlineExceeded: the deadline has passed.
        """
        left = self._ends - self.clock.monotonic()
        if left <= 0:
            raise self.out_of_time()
        return left

    def out_of_time(self) -> DeadlineExceeded:
        """The error for an action that takes too long."""
        return DeadlineExceeded(f"the action takes longer than its deadline of {self._seconds:g} s")

    def start(self) -> None:
        """Record that it starts."""
        if self._events.has_listeners("action_started"):
            self._emit("action_started", 0.0, "")
        if self._logger.isEnabledFor(logging.INFO):
            fields = self._fields()
            self._logger.info(STARTED, fields, extra={"nango": fields})

    def report_unexpected(self, places: str) -> None:
        """Record that the result does not fit the output that the action declares."""
        if self._events.has_listeners("unexpected_result"):
            self._emit("unexpected_result", self.clock.monotonic() - self._began, places)
        fields = {**self._fields(), "places": places}
        self._logger.warning(UNEXPECTED, fields, extra={"nango": fields})

    def finish(self, error: BaseException | None = None) -> None:
        """Record how it ended."""
        self.is_over = True
        level = logging.INFO if error is None else logging.WARNING
        has_listeners = self._events.has_listeners("action_finished")
        if not has_listeners and not self._logger.isEnabledFor(level):
            return
        seconds, reason = self.clock.monotonic() - self._began, _reason(error)
        if has_listeners:
            self._emit("action_finished", seconds, reason)
        fields = {
            **self._fields(),
            "outcome": reason or SUCCESS,
            "milliseconds": round(seconds * 1000),
            "calls": ", ".join(self.call_ids) or "none",
        }
        self._logger.log(level, FINISHED, fields, extra={"nango": fields})

    def record_error(self, error: BaseException) -> BaseException:
        """Record that an error ended it, and return what is to be raised: ActionFailed for a failed call."""
        failure = error
        if isinstance(error, NangoError) and not isinstance(error, RAISED_UNCHANGED):
            failure = self._call_failure(error)
        elif isinstance(error, Exception) and not isinstance(error, NangoError):
            failure = self.foreign_failure(type(error).__name__, "")
        self.finish(failure)
        return failure

    def _call_failure(self, error: NangoError) -> ActionFailed:
        text = f"{self.integration} action {self.action} failed: {error}"
        return self._failure(text, error, type(error).__name__)

    def foreign_failure(self, cause_type: str, masked: str) -> ActionFailed:
        """The error for an exception of the action's own code, whose text is masked already."""
        text = f"{self.integration} action {self.action} failed: {cause_type}"
        return self._failure(f"{text}: {masked}" if masked else text, None, cause_type)

    def _failure(self, text: str, cause: NangoError | None, cause_type: str) -> ActionFailed:
        return ActionFailed(
            text, integration=self.integration, action=self.action, user_id=self.user_id,
            execution_id=self.execution_id, call_ids=tuple(self.call_ids), cause=cause, cause_type=cause_type,
        )  # fmt: skip

    def _fields(self) -> dict[str, object]:
        return {
            "integration": self.integration,
            "user_id": printable(self.user_id),
            "action": self.action,
            "execution": self.execution_id,
        }

    def _emit(self, kind: str, seconds: float, reason: str) -> None:
        event = Event(
            kind,
            self.clock.now(),
            self.integration,
            self.user_id,
            method="",
            endpoint="",
            seconds=seconds,
            reason=reason,
            action=self.action,
            execution_id=self.execution_id,
            call_ids=tuple(self.call_ids),
        )
        self._events.emit(event)


def _reason(error: BaseException | None) -> str:
    if error is None:
        return ""
    if isinstance(error, ActionFailed):
        return str(error).partition("failed: ")[2].partition("\n")[0]
    return str(error).partition("\n")[0] if isinstance(error, NangoError) else type(error).__name__
