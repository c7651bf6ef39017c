"""Connections as the store has them, without asking it at every call."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.clock import Clock
    from nango_py.connections.model import Connection
    from nango_py.connections.store import ConnectionStore

FRESH_SECONDS = 1.0
"""How long a connection is used before another process's change to it is looked for."""

MOST_KEPT = 4096
"""Decrypted connections kept in memory; the least recently used one goes first."""


class StoredConnections:
    """The connections this process used last, each looked at again once a second while it is used.

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
        self._kept: OrderedDict[tuple[str, str], tuple[Connection, float]] = OrderedDict()

    def source(self, integration: str, user_id: str) -> StoredConnection:
        """Where one connection comes from."""
        return StoredConnection(self, integration, user_id)

    def forget(self, integration: str, user_id: str) -> None:
        """Read this connection anew the next time."""
        self._kept.pop((integration, user_id), None)

    def keep(self, connection: Connection) -> None:
        """Use a connection that was written or read a moment ago."""
        self._kept[connection.integration, connection.user_id] = (connection, self._clock.monotonic())

    def clear(self) -> None:
        """Read every connection anew."""
        self._kept.clear()

    def fresh(self, key: tuple[str, str]) -> Connection | None:
        """A connection that was read less than a second ago, else None."""
        known = self._kept.get(key)
        if known is None or self._clock.monotonic() - known[1] >= FRESH_SECONDS:
            return None
        return known[0]

    def read(self, key: tuple[str, str]) -> Connection:
        """A connection as it is stored now.

        Raises:
            ConnectionNotFound: nothing is stored, or no longer.
        """
        known, now = self._kept.get(key), self._clock.monotonic()
        store = self._store()
        is_current = known is not None and store.is_current(known[0])
        connection = known[0] if known is not None and is_current else store.get(*key)
        self._kept[key] = (connection, now)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        if self._in_use is not None:
            self._in_use(key[0])
        return connection


class StoredConnection:
    """One connection as the store has it; another process's change is seen within a second."""

    __slots__ = ("_key", "_stored")

    def __init__(self, stored: StoredConnections, integration: str, user_id: str) -> None:
        self._stored = stored
        self._key = (integration, user_id)

    def fresh(self) -> Connection | None:
        """The connection where it is known without asking the store, else None."""
        return self._stored.fresh(self._key)

    def __call__(self) -> Connection:
        """The connection as it is stored.

        Raises:
            ConnectionNotFound: it was deleted.
        """
        return self._stored.fresh(self._key) or self._stored.read(self._key)
