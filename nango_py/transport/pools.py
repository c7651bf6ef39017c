"""Which requests may share a connection, and a bounded cache for pools that only some may use."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import urlsplit

from nango_py.record import record
from nango_py.transport.proxy_tunnel import is_local

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from nango_py.transport.certificates import Certificate
    from nango_py.transport.proxy_tunnel import Proxy
    from nango_py.transport.sendable import Sendable

MAX_CACHED = 256
"""Maximum number of entries in a `BoundedCache`; the least recently used entry is dropped first."""

Value = TypeVar("Value")


@record
class PoolKey:
    """What requests to one origin must have in common to share connections.

    A connection with a client certificate speaks for its owner. A connection to a host that a user named was
    allowed by the networks of one integration, not by those of another. A proxy's tunnel belongs to a login.
    """

    certificate: Certificate | None = None
    networks: tuple[str, ...] | None = None
    proxy: Proxy | None = None


def pool_key(request: Sendable) -> PoolKey:
    """The key of the connections that a request may use. Only https has certificates and proxies."""
    settings, url = request.settings, urlsplit(request.url)
    networks = None if settings.guard is None else settings.guard.networks
    if url.scheme != "https":
        return PoolKey(networks=networks)
    proxy = None if is_local(url.hostname or "") else settings.proxy
    return PoolKey(settings.client_certificate, networks, proxy)


class BoundedCache(Generic[Value]):
    """At most MAX_CACHED values, each made once for its key; two threads may rarely make one twice.

    Args:
        drop: called with each value that is dropped.
    """

    __slots__ = ("_drop", "_values")

    def __init__(self, drop: Callable[[Value], None] = lambda _: None) -> None:
        self._drop = drop
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key."""
        value = self._values.get(key)
        if value is None:
            value = self._values[key] = make()
            while len(self._values) > MAX_CACHED:
                self._drop(self._values.popitem(last=False)[1])
        else:
            with suppress(KeyError):  # another thread has dropped it
                self._values.move_to_end(key)
        return value

    def clear(self) -> None:
        """Drop all values."""
        while self._values:
            self._drop(self._values.popitem()[1])
