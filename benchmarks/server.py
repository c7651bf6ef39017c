"""A loopback HTTP/1.1 server in a separate process, so cheap that the measurement shows the client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

PAGE_SIZE = 100
PAGES = 200
SMALL = json.dumps({"data": [{"id": "1", "type": "metric", "attributes": {"name": "Opened"}}]}).encode()


class Api(asyncio.Protocol):
    """Responds to every request at once: `/api/pages?page=n` with records, others with a small body."""

    def __init__(self, pages: list[bytes]) -> None:
        self._pages = pages
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to respond on."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Respond to every complete request in the buffer."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
            self._transport.write(self._response(head.split(b" ", 2)[1]))  # type: ignore[attr-defined]

    def _response(self, target: bytes) -> bytes:
        body = SMALL
        if b"/pages" in target:
            body = self._pages[int(target.partition(b"page=")[2] or b"1") - 1]
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
            b"Date: Mon, 05 Jan 2026 10:00:00 GMT\r\nX-Request-Id: 7f3a\r\n\r\n%b" % (len(body), body)
        )


def _pages(base: str) -> list[bytes]:
    attributes = {"email": "ada@example.com", "first_name": "Ada", "score": 1.5}
    found = []
    for page in range(1, PAGES + 1):
        records = [
            {"id": f"{page}-{number}", "type": "profile", "attributes": attributes}
            for number in range(PAGE_SIZE)
        ]
        following = f"{base}/api/pages?page={page + 1}" if page < PAGES else None
        found.append(json.dumps({"data": records, "links": {"next": following}}).encode())
    return found


def _serve(pipe: Connection) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Api(pages), "127.0.0.1", 0, backlog=2048)
        port = server.sockets[0].getsockname()[1]
        pages = _pages(f"http://127.0.0.1:{port}")
        pipe.send(port)
        await loop.run_in_executor(None, pipe.poll, None)
        server.close()

    asyncio.run(main())


@contextlib.contextmanager
def running() -> Iterator[str]:
    """The base URL of a server that runs while the block does."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        ours.send("stop")
        process.join(5)
        if process.is_alive():
            process.kill()
