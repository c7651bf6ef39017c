"""Names to addresses within a time: getaddrinfo itself knows no end."""

from __future__ import annotations

import os
import re
import socket
import threading
from typing import TYPE_CHECKING, Any

from urllib3.util import connection as urllib3_connection

if TYPE_CHECKING:
    from collections.abc import Callable

    AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
    LookUp = Callable[[str, int], list[AddressInfo]]

MOST_AT_ONCE = 64
"""Names that are looked up at one time. A look-up that hangs keeps its thread until the system gives up."""


def system_look_up(host: str, port: int) -> list[AddressInfo]:
    """What the system knows of a name; blocks as long as the system likes.

    Raises:
        OSError: nothing is known of it.
    """
    found: list[Any] = socket.getaddrinfo(
        host, port, urllib3_connection.allowed_gai_family(), socket.SOCK_STREAM
    )
    return found


class _Question:
    """One look-up under way, and whoever waits for it."""

    __slots__ = ("answer", "error", "is_done")

    def __init__(self) -> None:
        self.is_done = threading.Event()
        self.answer: list[AddressInfo] = []
        self.error: tuple[Any, ...] | None = None

    def ask(self, look_up: LookUp, host: str, port: int) -> None:
        try:
            self.answer = look_up(host, port)
        except (OSError, UnicodeError) as error:
            self.error = error.args if isinstance(error, socket.gaierror) else (socket.EAI_FAIL, "failed")
        finally:
            self.is_done.set()


class Lookups:
    """Look-ups with a deadline; safe to share between threads and after a fork.

    Several of one name at one time are one.

    Args:
        look_up: gives the addresses of a name, as getaddrinfo does.
    """

    def __init__(self, look_up: LookUp = system_look_up) -> None:
        self._look_up = look_up
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], _Question] = {}
        self._pid = os.getpid()

    def addresses(self, host: str, port: int, seconds: float) -> list[AddressInfo]:
        """The addresses of a host, in the order in which they are to be tried.

        Raises:
            socket.gaierror: there are none, or none came in time.
        """
        if host == "localhost" or re.fullmatch(r"[0-9.]+|.*:.*", host):
            return self._look_up(host, port)  # an address, or of the hosts file: nobody is asked
        question = self._question(host, port)
        if not question.is_done.wait(seconds):
            raise socket.gaierror(socket.EAI_AGAIN, "no answer in time")
        if question.error is not None:
            raise socket.gaierror(*question.error)
        return question.answer

    def _question(self, host: str, port: int) -> _Question:
        if self._pid != os.getpid():
            # The parent's threads do not exist in its child, and will never answer there.
            self._running, self._lock, self._pid = {}, threading.Lock(), os.getpid()
        with self._lock:
            known = self._running.get((host, port))
            if known is not None:
                return known
            if len(self._running) >= MOST_AT_ONCE:
                raise socket.gaierror(socket.EAI_AGAIN, "too many names are looked up at once")
            question = self._running[host, port] = _Question()
        asking = threading.Thread(
            target=self._ask, args=(question, host, port), name="nango-dns", daemon=True
        )
        try:
            asking.start()
        except RuntimeError:  # no thread can be had: better late than never
            self._ask(question, host, port)
        return question

    def _ask(self, question: _Question, host: str, port: int) -> None:
        try:
            question.ask(self._look_up, host, port)
        finally:
            with self._lock:
                self._running.pop((host, port), None)
