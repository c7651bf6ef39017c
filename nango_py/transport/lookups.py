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


class Question:
    """One look-up, under way or done, and whoever waits for it."""

    __slots__ = ("_error", "_listeners", "_lock", "_response", "is_done")

    def __init__(self) -> None:
        self.is_done = threading.Event()
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], object]] = []
        self._response: list[AddressInfo] = []
        self._error: tuple[Any, ...] | None = None

    def ask(self, look_up: LookUp, host: str, port: int) -> None:
        """Look up, and tell who waits."""
        try:
            self._response = look_up(host, port)
        except (OSError, UnicodeError) as error:
            self._error = error.args if isinstance(error, socket.gaierror) else (socket.EAI_FAIL, "failed")
        finally:
            with self._lock:
                self.is_done.set()
            for tell in self._listeners:
                tell()

    def then(self, tell: Callable[[], object]) -> None:
        """Call `tell`, from whatever thread, once there is a result."""
        with self._lock:
            if not self.is_done.is_set():
                self._listeners.append(tell)
                return
        tell()

    def result(self) -> list[AddressInfo]:
        """The addresses.

        Raises:
            socket.gaierror: there are none, or none came so far.
        """
        if not self.is_done.is_set():
            raise socket.gaierror(socket.EAI_AGAIN, "no response in time")
        if self._error is not None:
            raise socket.gaierror(*self._error)
        return self._response


class Lookups:
    """Look-ups with a deadline; safe to share between threads and after a fork.

    Several of one name at one time are one.

    Args:
        look_up: gives the addresses of a name, as getaddrinfo does.
    """

    def __init__(self, look_up: LookUp = system_look_up) -> None:
        self._look_up = look_up
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], Question] = {}
        self._pid = os.getpid()

    def addresses(self, host: str, port: int, seconds: float) -> list[AddressInfo]:
        """The addresses of a host, in the order in which they are to be tried.

        Raises:
            socket.gaierror: there are none, or none came in time.
        """
        question = self.question(host, port)
        question.is_done.wait(seconds)
        return question.result()

    def question(self, host: str, port: int) -> Question:
        """The look-up of a name, under way in a thread of its own.

        Raises:
            socket.gaierror: too many names are looked up already.
        """
        if host == "localhost" or re.fullmatch(r"[0-9.]+|.*:.*", host):
            question = Question()  # an address, or of the hosts file: nobody is asked
            question.ask(self._look_up, host, port)
            return question
        if self._pid != os.getpid():
            # The parent's threads do not exist in its child, and will never answer there.
            self._running, self._lock, self._pid = {}, threading.Lock(), os.getpid()
        with self._lock:
            known = self._running.get((host, port))
            if known is not None:
                return known
            if len(self._running) >= MOST_AT_ONCE:
                raise socket.gaierror(socket.EAI_AGAIN, "too many names are looked up at once")
            question = self._running[host, port] = Question()
        asking = threading.Thread(
            target=self._ask, args=(question, host, port), name="nango-dns", daemon=True
        )
        try:
            asking.start()
        except RuntimeError:  # no thread can be had: better late than never
            self._ask(question, host, port)
        return question

    def _ask(self, question: Question, host: str, port: int) -> None:
        try:
            question.ask(self._look_up, host, port)
        finally:
            with self._lock:
                self._running.pop((host, port), None)
