"""One attempt of a job: run its handler, and decide what becomes of the job."""

from __future__ import annotations

import asyncio
import inspect
import random
import threading
from typing import TYPE_CHECKING

from nango_py.engine.patience import Patience, with_patience
from nango_py.errors import NangoError, UnknownNameError, printable
from nango_py.jobs.context import HandlerContext, format_utc
from nango_py.jobs.job import CANCELLED, DEAD, DONE, WAITING
from nango_py.jobs.outcome import describe, end_of_attempt
from nango_py.jobs.store import LOGGER, Finished, result_of
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nango_py.clock import Clock
    from nango_py.jobs.context import Handler
    from nango_py.jobs.job import JobSettings
    from nango_py.jobs.store import Claimed, JobStore
    from nango_py.json_types import JsonValue

PATIENCE_SECONDS = 1.0
"""The longest wait for a quota inside of a job. One that would wait longer is put back."""

JOB_PATIENCE = Patience(PATIENCE_SECONDS)

MAX_ERROR = 2000


class UnknownHandler(UnknownNameError):
    """This process has no handler of that name."""

    kind = "handler"
    is_retryable = True  # another worker may have it


class ConnectionReplaced(NangoError):
    """The connection of a job was deleted, or registered again, after the job was enqueued."""

    is_retryable = False


@record
class Registered:
    """A handler, and the seconds that an attempt should take at most; None for no limit."""

    run: Handler
    timeout_seconds: float | None = None


class Work:
    """Runs the attempts of jobs. Safe to share between threads.

    Args:
        store: the jobs.
        handlers: the handlers by name; others may be added later.
        settings: the lanes.
        clock: the time.
        find_masker: returns a function that masks the secrets of a connection in a text.

    Attributes:
        is_stopping: set when the worker should end.
    """

    def __init__(
        self,
        store: JobStore,
        handlers: dict[str, Registered],
        settings: JobSettings,
        clock: Clock,
        find_masker: Callable[[str, str], Callable[[str], str]],
    ) -> None:
        self.store = store
        self.clock = clock
        self.settings = settings
        self.is_stopping = False
        self.chance: Callable[[], float] = random.random
        self._handlers = handlers
        self._find_masker = find_masker
        self._shares = dict(settings.lanes)

    def run(self, claimed: Claimed) -> Finished:
        """Run one attempt; what the handler raises decides how it ends, and nothing is raised."""
        row = claimed.row
        context = self._context(claimed)
        if row.is_cancelled:
            return Finished(claimed, CANCELLED, context.state())
        if row.attempts > row.max_attempts:  # its worker died in the last attempt
            return Finished(claimed, DEAD, context.state(), is_counted=False)
        patience = Patience(PATIENCE_SECONDS, is_behind=self._shares.get(row.lane, 1.0) < 1.0)
        try:
            with with_patience(patience):
                self._check_connection(claimed)
                result = result_of(self._call(context))
        except Exception as error:  # noqa: BLE001 - its text is stored, masked
            failure = error
        except KeyboardInterrupt as error:
            if threading.current_thread() is threading.main_thread():  # the user ends the program
                self.store.finish(self.give_back(claimed, context))
                raise
            failure = RuntimeError(f"the handler raised {type(error).__name__}")
        except BaseException as error:  # noqa: BLE001 - such as SystemExit of a handler
            failure = RuntimeError(f"the handler raised {type(error).__name__}")
        else:
            return Finished(claimed, DONE, {**context.state(), "result": result})
        return self._finish_failed(claimed, context, failure)

    def give_back(self, claimed: Claimed, context: HandlerContext | None = None) -> Finished:
        """Let a job that was claimed wait again, as if it had not been, but for its checkpoint."""
        state = claimed.state if context is None else context.state()
        return Finished(claimed, WAITING, state, is_counted=False)

    def _context(self, claimed: Claimed) -> HandlerContext:
        registered = self._handlers.get(claimed.row.handler)
        seconds = None if registered is None else registered.timeout_seconds
        deadline = None if seconds is None else self.clock.now() + seconds

        def mask(text: str) -> str:
            return self._find_masker(claimed.row.integration, claimed.row.user_id)(text)

        return HandlerContext(claimed, self.store, self.clock, lambda: self.is_stopping, mask, deadline)

    def _check_connection(self, claimed: Claimed) -> None:
        """Refuse a job whose connection was replaced: the new one may be for another account."""
        row, expected = claimed.row, claimed.content.get("connection")
        if expected is not None and self.store.connection_of(row.integration, row.user_id) != expected:
            raise ConnectionReplaced(
                f'the connection of user "{printable(row.user_id)}" for integration '
                f'"{printable(row.integration)}" was deleted or registered again after the job was enqueued; '
                "enqueue it again"
            )

    def _call(self, context: HandlerContext) -> JsonValue:
        registered = self._handlers.get(context.handler)
        if registered is None:
            raise UnknownHandler(context.handler, self._handlers)
        result = registered.run(context)
        if inspect.isawaitable(result):
            return asyncio.run(_finish(result))
        return result

    def _finish_failed(self, claimed: Claimed, context: HandlerContext, error: Exception) -> Finished:
        row = claimed.row
        ending = end_of_attempt(error, row.attempts, row.max_attempts, self.clock.now(), self.chance)
        text = self._find_masker(row.integration, row.user_id)(describe(error))
        text = printable(text, MAX_ERROR)
        then = f"put back until {format_utc(ending.run_at)}" if not ending.is_counted else ending.status
        if ending.is_counted and ending.status == WAITING:
            then = f"next attempt at {format_utc(ending.run_at)}"
        context.log(f"attempt {row.attempts} ended: {text}; {then}")
        level = LOGGER.info if ending.status in {WAITING, CANCELLED} else LOGGER.warning
        level("%s job %s: %s: %s", row.handler, row.id, then, text)
        state = {**context.state(), "error": text if ending.is_counted else ""}
        run_at = int(ending.run_at * 1_000_000)
        return Finished(
            claimed, ending.status, state, run_at, is_counted=ending.is_counted, is_held=ending.is_held
        )


async def _finish(result: Awaitable[JsonValue]) -> JsonValue:
    return await result
