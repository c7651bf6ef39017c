"""Writing a streamed body into a file."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.transport.response import Response, StreamedResponse

    Progress = Callable[[int, int | None], object]

CHUNK = 1 << 16


class PartialFile:
    """A file that gets its name when it is complete; until then it has a temporary name in the same folder.

    Only the current user may read it (mode 0600). As a context manager it removes an incomplete file.
    """

    def __init__(self, target: str | os.PathLike[str], response: Response, progress: Progress | None) -> None:
        announced = response.headers.get("Content-Length", "")
        is_decoded_size = announced.isdigit() and "content-encoding" not in response.headers
        self._total = int(announced) if is_decoded_size else None
        self._progress = progress
        self._written = 0
        self._target = Path(target)
        handle, name = tempfile.mkstemp(dir=self._target.parent, prefix=".nango-")
        self._path = Path(name)
        self._file = os.fdopen(handle, "wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Write a chunk and report the progress."""
        self._written += self._file.write(chunk)
        if self._progress is not None:
            self._progress(self._written, self._total)

    def complete(self) -> None:
        """Give the file its name, atomically and durably."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._path.replace(self._target)


def write_body(response: Response, target: str | os.PathLike[str], progress: Progress | None) -> None:
    """Write a streamed body to `target`.

    Raises:
        TransportFailed: the body is incomplete or too large; `target` is unchanged.
        OSError: the file cannot be written; `target` is unchanged.
    """
    try:
        with PartialFile(target, response, progress) as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
            file.complete()
    finally:
        response.close()


async def write_stream(
    response: StreamedResponse, target: str | os.PathLike[str], progress: Progress | None
) -> None:
    """As `write_body`, for asyncio."""
    try:
        with PartialFile(target, response, progress) as file:
            async for chunk in response.aiter_content(CHUNK):
                file.write(chunk)
            await _in_thread(file.complete)
    finally:
        await response.aclose()


async def _in_thread(work: Callable[[], None]) -> None:
    """Run blocking work and wait for its end, even if this task is cancelled."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait({working})
        raise
