"""What a program may watch: a frozen record for each thing that happens in a call, without a secret."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nango_py.errors import unknown_name
from nango_py.forks import new_short_lock
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.attempt import Attempt

    Callback = Callable[["Event"], object]

logger = logging.getLogger("nango_py.events")


@record
class Event:
    """Something that happened in a call, or when a user connected an account.

    Attributes:
        kind: `attempt` (an attempt ended), `wait` (the call waits), `retry` (it will be sent again), `gate`
            (the API closed a gate for all calls under the same keys), `giving_up` (it ends in an error),
            `needs_reauth` (the provider refused a connection's credentials, and the user must connect again;
            emitted once), `not_revoked` (a connection was deleted, but its tokens could not be revoked),
            `connected` (a user connected an account, by a login or on the connect page), `connect_failed` (an
            attempt to connect failed), `deprecated` (a response says that its endpoint is deprecated, ends
            or is gone; emitted once for each endpoint), `action_started`, `unexpected_result` (the result of
            an action does not fit its `output`) or `action_finished`.
        at: unix seconds.
        endpoint: the path below base_url, without its query; it and `method` are "" for the events of
            connections and actions.
        seconds: the duration: of the attempt, of the wait, of the action, until the gate opens, or until the
            endpoint ends.
        reason: why, in words: a rule, a limit, the first line of an error, places in a result; "" for an
            action that succeeded.
        attempt: the record of the attempt, for `attempt`, `retry` and `gate`.
        call_id: the call that it happened in; "" for `deprecated` and the events of connections and actions.
        action: the name of the action, for its events.
        execution_id: which execution of the action.
        call_ids: the calls that the action made, for `action_finished`.
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
    call_id: str = ""
    action: str = ""
    execution_id: str = ""
    call_ids: tuple[str, ...] = ()


KINDS = (
    "attempt", "wait", "retry", "gate", "giving_up",
    "needs_reauth", "not_revoked", "connected", "connect_failed", "deprecated",
    "action_started", "unexpected_result", "action_finished",
)  # fmt: skip


class Events:
    """The callbacks of one Nango. A callback should be quick.

    It runs in the caller's thread, or for tokens in the thread that refreshes them.
    """

    __slots__ = ("_callbacks", "_lock")

    def __init__(self) -> None:
        # Tuples are replaced, never changed, so that emit() needs no lock. Each registration is a list, so
        # that a callback that is registered twice can be removed once.
        self._callbacks: dict[str, tuple[list[Callback], ...]] = {}
        self._lock = new_short_lock()

    def on(self, kind: str, callback: Callback) -> Callable[[], None]:
        """Call `callback` with each event of a kind; the result removes it.

        Raises:
            ValueError: there is no such kind.
        """
        if kind not in KINDS:
            raise ValueError(unknown_name("event", kind, KINDS))
        registered = [callback]
        with self._lock:
            self._callbacks[kind] = (*self._callbacks.get(kind, ()), registered)

        def remove() -> None:
            with self._lock:
                self._callbacks[kind] = tuple(one for one in self._callbacks[kind] if one is not registered)

        return remove

    def has_listeners(self, kind: str) -> bool:
        """Whether there is a callback; checked before an event is created."""
        return bool(self._callbacks) and bool(self._callbacks.get(kind))

    def emit(self, event: Event) -> None:
        """Call the callbacks. An exception in one is logged, and has no other effect."""
        for (callback,) in self._callbacks.get(event.kind, ()):
            try:
                callback(event)
            except Exception:  # the callback is not our code
                logger.warning("a callback for %r raised; the call goes on", event.kind, exc_info=True)
