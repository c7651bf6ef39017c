"""Idle connections, and which requests may share one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from nango_py.record import record
from nango_py.transport.proxy_tunnel import is_local

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from nango_py.transport.certificates import Certificate
    from nango_py.transport.proxy_tunnel import Proxy
    from nango_py.transport.sendable import Sendable

MAX_IDLE = 200
"""Maximum number of idle connections to all hosts; the least recently used one is closed first."""

MAX_IDLE_SECONDS = 30.0
"""Maximum age of an idle connection."""


@record
class Route:
    """How to reach an origin. Requests share connections only if their routes are equal.

    A connection with a client certificate speaks for its owner. A connection to a host that a user named was
    allowed by the networks of one integration, not by those of another. A proxy's tunnel belongs to a login.
    """

    scheme: str
    netloc: str
    certificate: Certificate | None = None
    networks: tuple[str, ...] | None = None
    proxy: Proxy | None = None


def find_route(request: Sendable) -> Route:
    """The route of a request. Only https has certificates and proxies."""
    scheme, netloc = split_origin(request.url)
    settings = request.settings
    networks = None if settings.guard is None else settings.guard.networks
    if scheme != "https":
        return Route(scheme, netloc, networks=networks)
    proxy = None if is_local(urlsplit(request.url).hostname or "") else settings.proxy
    return Route(scheme, netloc, settings.client_certificate, networks, proxy)


def pool_key(request: Sendable) -> Hashable:
    """What requests must have in common to share connections: the route, or the origin where that is all."""
    return find_route(request) if request.settings.needs_own_pool else split_origin(request.url)


def split_origin(url: str) -> tuple[str, str]:
    """Scheme and netloc of a URL."""
    scheme, _, rest = url.partition("://")
    return scheme, rest.partition("/")[0]


class IdleWire(Protocol):
    """A connection without a request."""

    def is_usable(self) -> bool:
        """Whether it is open, and nothing has arrived since its last response."""

    def close(self) -> None:
        """Close it."""


Wire = TypeVar("Wire", bound=IdleWire)


class IdleWires(Generic[Wire]):
    """The idle connections to all hosts; safe to share between threads.

    Args:
        now: a monotonic clock.

    Attributes:
        is_swept: whether somebody calls `sweep` until nothing is left.
    """

    __slots__ = ("__weakref__", "_by_key", "_lock", "_now", "_wires", "is_swept")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.is_swept = False
        self._lock = threading.Lock()
        # By identity, the least recently used one first: the wire, its key, and since when it is idle.
        self._wires: OrderedDict[int, tuple[Wire, Hashable, float]] = OrderedDict()
        self._by_key: dict[Hashable, list[Wire]] = {}

    def __len__(self) -> int:
        return len(self._wires)

    def take(self, key: Hashable) -> Wire | None:
        """The most recently used connection that can still be used; the others are closed."""
        while True:
            with self._lock:
                wires = self._by_key.get(key)
                if not wires:
                    return None
                wire = wires[-1]
                since = self._remove(wire)
            if self._now() - since < MAX_IDLE_SECONDS and wire.is_usable():
                return wire
            wire.close()

    def give_back(self, key: Hashable, wire: Wire) -> bool:
        """Keep a connection for the next request; whether somebody calls `sweep` already."""
        surplus = None
        with self._lock:
            is_swept, self.is_swept = self.is_swept, True
            self._wires[id(wire)] = (wire, key, self._now())
            self._by_key.setdefault(key, []).append(wire)
            if len(self._wires) > MAX_IDLE:
                surplus, _, _ = next(iter(self._wires.values()))
                self._remove(surplus)
        if surplus is not None:
            surplus.close()
        return is_swept

    def discard(self, wire: Wire) -> None:
        """Forget a connection that was closed."""
        with self._lock:
            if id(wire) in self._wires:
                self._remove(wire)

    def sweep(self) -> int:
        """Close what is too old or was closed by its server; how many are left. After 0 it ends."""
        with self._lock:
            oldest = self._now() - MAX_IDLE_SECONDS
            found = [
                wire for wire, _, since in self._wires.values() if since <= oldest or not wire.is_usable()
            ]
            for wire in found:
                self._remove(wire)
            left = len(self._wires)
            self.is_swept = bool(left)
        for wire in found:
            wire.close()
        return left

    def clear(self) -> None:
        """Close all."""
        with self._lock:
            found = [wire for wire, _, _ in self._wires.values()]
            self._wires.clear()
            self._by_key.clear()
        for wire in found:
            wire.close()

    def _remove(self, wire: Wire) -> float:
        _, key, since = self._wires.pop(id(wire))
        wires = self._by_key[key]
        wires.remove(wire)
        if not wires:
            del self._by_key[key]
        return since
