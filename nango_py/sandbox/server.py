"""The sandbox as a server: a port on 127.0.0.1 and the thread that serves it."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

from nango_py.clock import SYSTEM_CLOCK
from nango_py.sandbox.api import Api
from nango_py.sandbox.http_socket import Connection

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from types import TracebackType

    from nango_py.clock import Clock
    from nango_py.sandbox.budgets import Manner
    from nango_py.sandbox.faults import FaultPlan
    from nango_py.sandbox.ledger import Ledger
    from nango_py.sandbox.limit_headers import RetryAfter
    from nango_py.sandbox.request_counts import Counted

_BACKLOG = 1024
_TURNS_TO_ACCEPT = 4


class Sandbox:
    """A local stand-in for an API; a context manager, and safe to ask from any thread.

    It refuses what the API would refuse (a credential missing, misplaced or unknown: 401; too many
    requests: 429), answers the blueprint's examples, makes something plausible up for other paths
    below the base path, injects faults, and writes everything down in `ledger`.

    Args:
        settings: the merged tree of a blueprint or integration, templates still text.
        credentials: user id -> credentials; the ledger then says whose were seen, and others are refused.
            None accepts any credential in its right place.
        faults: what goes wrong.
        port: on 127.0.0.1; 0 takes a free one.
        pages: path below the base path -> number of pages, for blueprints that page by `next_url`.
        counting: how windows count: "fixed" (aligned to the clock, like Klaviyo's), "sliding" or "bucket".
        retry_after: how a 429 says when to come back: "seconds", "decimals", "http-date"; or "body", in the
            body's sentence only.
        retired: answer 410 to everything; only for a blueprint whose `status.retires_on` is past.
        idempotency_header: a repeated value of this header gets the first response again and is not processed
            twice. None takes the blueprint's `retries.idempotency_header`, "" none.
        clock: `monotonic` is what windows are counted by; `now` is for dates.

    Raises:
        ValueError: the settings are not of the blueprint format, or `retired` does not fit them.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        credentials: Mapping[str, Mapping[str, Any]] | None = None,
        faults: FaultPlan | None = None,
        port: int = 0,
        pages: Mapping[str, int] | None = None,
        counting: Manner = "fixed",
        retry_after: RetryAfter = "seconds",
        retired: bool = False,
        idempotency_header: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._api = Api(
            settings,
            credentials=credentials,
            faults=faults,
            pages=pages,
            counting=counting,
            retry_after=retry_after,
            retired=retired,
            idempotency_header=idempotency_header,
            clock=clock,
        )
        self._port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_asked: asyncio.Event | None = None

    @property
    def base_url(self) -> str:
        """Where it listens: `http://127.0.0.1:PORT` and the path of the blueprint's base_url."""
        if not self._port:
            raise RuntimeError("the sandbox has no address before it is started; use it as a context manager")
        return f"http://127.0.0.1:{self._port}{self._api.base_path}"

    @property
    def port(self) -> int:
        """The port; 0 while a free one is still to be taken."""
        return self._port

    @property
    def ledger(self) -> Ledger:
        """What was received."""
        return self._api.ledger

    @property
    def counted(self) -> tuple[Counted, ...]:
        """For each account, key and window, how many requests arrived in it at most."""
        return self._api.counting.counted

    def accept(self, user: str, credentials: Mapping[str, Any]) -> None:
        """From now on this user has these credentials and no others."""
        self._api.credentials.accept(user, credentials)

    def revoke(self, user: str) -> None:
        """From now on this user's credentials are refused."""
        self._api.credentials.revoke(user)

    def start(self) -> None:
        """Listen, and serve from a thread of its own until `stop`.

        Raises:
            OSError: the port is taken.
        """
        if self._thread is not None:
            raise RuntimeError("the sandbox is running")
        listener = socket.create_server(("127.0.0.1", self._port), backlog=_BACKLOG)
        self._port = listener.getsockname()[1]
        self._api.origin = f"http://127.0.0.1:{self._port}"
        is_ready = threading.Event()
        serving = self._serve(listener, is_ready)
        self._thread = threading.Thread(target=_run, args=(serving,), name="nango-sandbox", daemon=True)
        self._thread.start()
        is_ready.wait()

    def stop(self) -> None:
        """Close every connection and the port; harmless when it is not running."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stop_asked is None:
            return
        self._loop.call_soon_threadsafe(self._stop_asked.set)
        thread.join()

    def serve_forever(self) -> None:
        """Serve until KeyboardInterrupt, or until another thread calls `stop`; started already or not."""
        if self._thread is None:
            self.start()
        thread = self._thread
        try:
            while thread is not None and thread.is_alive():
                thread.join(0.2)
        finally:
            self.stop()

    def __enter__(self) -> Self:
        """The started sandbox."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    async def _serve(self, listener: socket.socket, is_ready: threading.Event) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._stop_asked = asyncio.Event()
        connections: set[Connection] = set()
        server = await loop.create_server(
            lambda: Connection(self._api, connections), sock=listener, backlog=_BACKLOG
        )
        is_ready.set()
        await self._stop_asked.wait()
        # asyncio loses a connection whose accepting is under way when its server closes.
        loop.remove_reader(listener.fileno())
        for _ in range(_TURNS_TO_ACCEPT):
            await asyncio.sleep(0)
        server.close()
        while connections:
            for connection in tuple(connections):
                connection.abort()
            await asyncio.sleep(0)
        await server.wait_closed()


def _run(serving: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner() as runner:
        runner.run(serving)
