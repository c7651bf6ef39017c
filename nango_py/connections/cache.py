"""Connections as the store has them, without asking it at every call."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.clock import Clock
    from nango_py.connections.connection import Connection
    from nango_py.connections.store import ConnectionStore

FRESH_SECONDS = 1.0
"""How long connections are used before another process's changes are looked for."""

MOST_KEPT = 4096
"""Decrypted connections kept for executors to come; the least recently read one goes first."""


class Known(NamedTuple):
    """A connection, and the era in which it was last seen to be as it is stored."""

    connection: Connection
    era: int


class ConnectionCache:
    """The connections this process used last.

    Time is cut into eras: a new one begins with each change that this process makes, and, looked for once a
    second, with each change of anybody else. What was read in the running era needs no question. Where the
    database cannot tell of changes as a whole, each second is an era of its own.

    Safe to share between threads: each step on the dict is atomic, and the worst race reads a row twice.

    Args:
        store: where they are stored.
        clock: the time.
        in_use: told the integration of each connection that was looked at.
    """

    def __init__(
        self, store: Callable[[], ConnectionStore], clock: Clock, in_use: Callable[[str], None] | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._in_use = in_use
        self._era = 0
        self._looked_at = -FRESH_SECONDS
        self._version: tuple[ConnectionStore, int] | None = None
        self._kept: OrderedDict[tuple[str, str], Known] = OrderedDict()

    def source(self, integration: str, user_id: str) -> CachedConnection:
        """Where one connection comes from."""
        return CachedConnection(self, integration, user_id)

    def forget(self, integration: str, user_id: str) -> None:
        """Read this connection anew the next time."""
        self._kept.pop((integration, user_id), None)
        self._era += 1

    def keep(self, connection: Connection) -> None:
        """Use a connection that was written or read a moment ago."""
        self._era += 1
        self._kept[connection.integration, connection.user_id] = Known(connection, self._era)

    def clear(self) -> None:
        """Read every connection anew."""
        self._kept.clear()
        self._era += 1

    def known(self, key: tuple[str, str], own: Known | None) -> Known | None:
        """What may be used of a connection without asking the store: the caller's own copy, or ours."""
        if self._clock.monotonic() - self._looked_at >= FRESH_SECONDS:
            return None
        if own is not None and own.era == self._era:
            return own
        kept = self._kept.get(key)
        return kept if kept is not None and kept.era == self._era else None

    def read(self, key: tuple[str, str], own: Known | None) -> Known:
        """A connection as it is stored now.

        Raises:
            ConnectionNotFound: nothing is stored, or no longer.
        """
        store = self._store()
        era = self._look(store)
        known = self._kept.get(key, own)
        if known is None:
            known = Known(store.get(*key), era)
        elif known.era != era:
            is_current = store.is_current(known.connection)
            known = Known(known.connection if is_current else store.get(*key), era)
        self._kept[key] = known
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        if self._in_use is not None:
            self._in_use(key[0])
        return known

    def _look(self, store: ConnectionStore) -> int:
        """The era that runs now; a new one where somebody may have changed something."""
        now = self._clock.monotonic()
        if now - self._looked_at >= FRESH_SECONDS:
            version = store.version()
            seen = None if version is None else (store, version)
            if seen is None or seen != self._version:
                self._era += 1
            self._version, self._looked_at = seen, now
        return self._era


class CachedConnection:
    """One connection as the store has it; another process's change is seen within a second.

    It holds what it read, so that an executor in use needs no place among the `MOST_KEPT`.
    """

    __slots__ = ("_key", "_own", "_stored")

    def __init__(self, stored: ConnectionCache, integration: str, user_id: str) -> None:
        self._stored = stored
        self._key = (integration, user_id)
        self._own: Known | None = None

    def fresh(self) -> Connection | None:
        """The connection where it is known without asking the store, else None."""
        known = self._stored.known(self._key, self._own)
        if known is None:
            return None
        self._own = known
        return known.connection

    def __call__(self) -> Connection:
        """The connection as it is stored.

        Raises:
            ConnectionNotFound: it was deleted.
        """
        connection = self.fresh()
        if connection is None:
            self._own = self._stored.read(self._key, self._own)
            connection = self._own.connection
        return connection
