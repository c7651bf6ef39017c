"""What a program may watch: one frozen record for each thing that happens in a call, no secret in it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from nango_py.errors import unknown_name
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.attempt import Attempt

logger = logging.getLogger("nango_py.events")


@record
class Event:
    """Something that happened in a call, or when a user connected an account.

    Attributes:
        kind: `attempt` (one sending ended), `wait` (the call waits), `retry` (it will be sent again), `gate`
            (the API closed a gate for everyone under this call's keys), `giving_up` (it ends in an error),
            `needs_reauth` (the provider refused a connection's credentials for good; told once),
            `not_revoked` (a connection was deleted, and its provider could not be told), `connected` (a user
            connected an account, by a login or on the connect page) or `connect_failed` (a try ended
            without a connection).
        at: unix seconds.
        endpoint: the path below base_url, without its query; it and `method` are "" for the last four.
        seconds: how long: of the sending, of the wait, or until the gate opens.
        reason: why, in words: a rule, a limit, an error's first line.
        attempt: the record of the sending, for `attempt` and `retry`.
    """

    kind: str
    at: float
    integration: str
    user_id: str
    method: str
    endpoint: str
    seconds: float = 0.0
    reason: str = ""
    attempt: Attempt | None = None


KINDS = (
    "attempt", "wait", "retry", "gate", "giving_up",
    "needs_reauth", "not_revoked", "connected", "connect_failed",
)  # fmt: skip


class Events:
    """The callbacks of one Nango. A callback runs in the caller's thread and should be quick."""

    __slots__ = ("_callbacks", "_lock")

    def __init__(self) -> None:
        # Tuples are replaced and never changed, so that telling needs no lock. Each registration is a list
        # of its own, because one callback may be registered twice and taken off once.
        self._callbacks: dict[str, tuple[list[Callable[[Event], Any]], ...]] = {}
        self._lock = threading.Lock()

    def on(self, kind: str, callback: Callable[[Event], Any]) -> Callable[[], None]:
        """Call `callback` with each event of a kind; the response takes it off again.

        Raises:
            ValueError: there is no such kind.
        """
        if kind not in KINDS:
            raise ValueError(unknown_name("event", kind, KINDS))
        registered = [callback]
        with self._lock:
            self._callbacks[kind] = (*self._callbacks.get(kind, ()), registered)

        def off() -> None:
            with self._lock:
                self._callbacks[kind] = tuple(one for one in self._callbacks[kind] if one is not registered)

        return off

    def has_listeners(self, kind: str) -> bool:
        """Whether anybody listens; asked before a record is made."""
        return bool(self._callbacks) and bool(self._callbacks.get(kind))

    def emit(self, event: Event) -> None:
        """Tell the listeners. What a callback raises is logged and does no harm."""
        for (callback,) in self._callbacks.get(event.kind, ()):
            try:
                callback(event)
            except Exception:  # somebody else's code
                logger.warning("a callback for %r raised; the call goes on", event.kind, exc_info=True)
