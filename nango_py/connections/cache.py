"""A cache of connections, so that not every call reads the database."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.clock import Clock
    from nango_py.connections.connection import Connection
    from nango_py.connections.store import ConnectionStore

FRESH_SECONDS = 1.0
"""How long cached connections are used before checking for changes by other processes."""

MAX_CACHED = 4096
"""Maximum number of decrypted connections; the least recently read one is evicted first."""


class CacheEntry(NamedTuple):
    """A connection, and the cache version at which it was last known to be current."""

    connection: Connection
    version: int


class ConnectionCache:
    """The most recently used connections of this process.

    The cache has a version that increases with each change that this process makes and, checked once a
    second, with each change made elsewhere. An entry of the current version is used without reading the
    database. If the database has no version number (`Database.version`), the cache version increases every
    second.

    Safe to share between threads: each operation on the dict is atomic, and the worst race reads a row twice.

    Args:
        store: where the connections are stored.
        clock: the time.
        on_read: called with the integration of each connection that was checked in the store.
    """

    def __init__(
        self, store: Callable[[], ConnectionStore], clock: Clock, on_read: Callable[[str], None] | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._on_read = on_read
        self._version = 0
        self._checked_at = -FRESH_SECONDS
        self._store_version: tuple[ConnectionStore, int] | None = None
        self._entries: OrderedDict[tuple[str, str], CacheEntry] = OrderedDict()

    def source(self, integration: str, user_id: str) -> CachedConnection:
        """A handle that returns this connection whenever it is called."""
        return CachedConnection(self, integration, user_id)

    def forget(self, integration: str, user_id: str) -> None:
        """Drop this connection from the cache."""
        self._entries.pop((integration, user_id), None)
        self._version += 1

    def put(self, connection: Connection) -> None:
        """Cache a connection that was just written or read."""
        self._version += 1
        self._entries[connection.integration, connection.user_id] = CacheEntry(connection, self._version)

    def clear(self) -> None:
        """Drop every connection from the cache."""
        self._entries.clear()
        self._version += 1

    def get(self, key: tuple[str, str], own: CacheEntry | None) -> CacheEntry | None:
        """The caller's own entry or the cached one, if it may be used without reading the database."""
        if self._clock.monotonic() - self._checked_at >= FRESH_SECONDS:
            return None
        if own is not None and own.version == self._version:
            return own
        entry = self._entries.get(key)
        return entry if entry is not None and entry.version == self._version else None

    def read(self, key: tuple[str, str], own: CacheEntry | None) -> CacheEntry:
        """The connection as it is stored now.

        Raises:
            ConnectionNotFound: it is not stored, or was deleted.
        """
        store = self._store()
        version = self._check_version(store)
        entry = self._entries.get(key, own)
        if entry is None:
            entry = CacheEntry(store.get(*key), version)
        elif entry.version != version:
            is_current = store.is_current(entry.connection)
            entry = CacheEntry(entry.connection if is_current else store.get(*key), version)
        self._entries[key] = entry
        if len(self._entries) > MAX_CACHED:
            self._entries.popitem(last=False)
        if self._on_read is not None:
            self._on_read(key[0])
        return entry

    def _check_version(self, store: ConnectionStore) -> int:
        """The cache version, increased first if something may have changed in the store."""
        now = self._clock.monotonic()
        if now - self._checked_at >= FRESH_SECONDS:
            version = store.version()
            store_version = None if version is None else (store, version)
            if store_version is None or store_version != self._store_version:
                self._version += 1
            self._store_version, self._checked_at = store_version, now
        return self._version


class CachedConnection:
    """One connection of a cache; sees the changes of other processes within a second.

    It keeps the last entry, so that an executor in use works without the cache's `MAX_CACHED` entries.
    """

    __slots__ = ("_cache", "_entry", "identity")

    def __init__(self, cache: ConnectionCache, integration: str, user_id: str) -> None:
        self._cache = cache
        self.identity = (integration, user_id)
        self._entry: CacheEntry | None = None

    def get_cached(self) -> Connection | None:
        """The connection, if it may be used without reading the database."""
        entry = self._cache.get(self.identity, self._entry)
        if entry is None:
            return None
        self._entry = entry
        return entry.connection

    def __call__(self) -> Connection:
        """The connection as it is stored.

        Raises:
            ConnectionNotFound: it was deleted.
        """
        connection = self.get_cached()
        if connection is None:
            self._entry = self._cache.read(self.identity, self._entry)
            connection = self._entry.connection
        return connection
