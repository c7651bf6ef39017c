"""DNS lookups with a timeout: getaddrinfo itself has none."""

from __future__ import annotations

import re
import socket
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from urllib3.util import connection as urllib3_connection

from nango_py.forks import forget_in_children

if TYPE_CHECKING:
    from collections.abc import Callable

    AddressInfo = tuple[
        socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]
    ]
    LookUp = Callable[[str, int], list[AddressInfo]]
    Lookup = Future["list[AddressInfo] | socket.gaierror"]

MAX_CONCURRENT = 64
"""Maximum number of lookups at a time. One that hangs keeps its thread until the system gives up."""


def system_look_up(host: str, port: int) -> list[AddressInfo]:
    """The addresses of a host, as the system resolves them; blocks for as long as it takes.

    Raises:
        OSError: the name could not be resolved.
    """
    family = urllib3_connection.allowed_gai_family()
    return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)  # type: ignore[return-value] # no AF_BLUETOOTH


class Lookups:
    """Lookups with a timeout; safe to share between threads and after a fork.

    Concurrent lookups of one name share one thread.

    Args:
        look_up: returns the addresses of a host, as getaddrinfo does.
    """

    def __init__(self, look_up: LookUp = system_look_up) -> None:
        self._look_up = look_up
        self.forget_inherited()
        forget_in_children(self)

    def forget_inherited(self) -> None:
        """See `Forkable`: the threads of the parent's lookups do not exist in a child."""
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], Lookup] = {}

    def resolve(self, host: str, port: int, seconds: float) -> list[AddressInfo]:
        """The addresses of a host, in the order in which to try them.

        Raises:
            socket.gaierror: the name has no address, or none was found in time.
        """
        try:
            found = self._start(host, port).result(seconds)
        except TimeoutError:
            found = socket.gaierror(socket.EAI_AGAIN, "no response in time")
        return _addresses(found)

    async def resolve_async(self, host: str, port: int, seconds: float) -> list[AddressInfo]:
        """The same without blocking the event loop."""
        import asyncio

        lookup = self._start(host, port)
        try:
            # wait_for of Python 3.11 loses a cancellation that arrives together with the result.
            async with asyncio.timeout(seconds):
                found = await asyncio.wrap_future(lookup)
        except TimeoutError:
            found = socket.gaierror(socket.EAI_AGAIN, "no response in time")
        return _addresses(found)

    def _start(self, host: str, port: int) -> Lookup:
        if host == "localhost" or re.fullmatch(r"[0-9.]+|.*:.*", host):
            lookup = _new_lookup()  # an address, or in the hosts file: no DNS server is asked
            self._run(lookup, host, port)
            return lookup
        with self._lock:
            running = self._running.get((host, port))
            if running is not None:
                return running
            if len(self._running) >= MAX_CONCURRENT:
                raise socket.gaierror(socket.EAI_AGAIN, "too many lookups at once")
            lookup = self._running[host, port] = _new_lookup()
        thread = threading.Thread(target=self._run, args=(lookup, host, port), name="nango-dns", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no thread left
            self._run(lookup, host, port)
        return lookup

    def _run(self, lookup: Lookup, host: str, port: int) -> None:
        found: list[AddressInfo] | socket.gaierror = socket.gaierror(socket.EAI_FAIL, "failed")
        try:
            found = self._look_up(host, port)
        except socket.gaierror as error:
            found = socket.gaierror(*error.args)
        except (OSError, UnicodeError):
            pass
        finally:
            with self._lock:
                self._running.pop((host, port), None)
            lookup.set_result(found)


def _new_lookup() -> Lookup:
    lookup: Lookup = Future()
    lookup.set_running_or_notify_cancel()  # one caller that gives up must not cancel it for the others
    return lookup


def _addresses(found: list[AddressInfo] | socket.gaierror) -> list[AddressInfo]:
    if isinstance(found, socket.gaierror):
        raise socket.gaierror(*found.args)  # a new one, as several threads may raise it
    return found
