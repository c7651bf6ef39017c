"""A streamed body on its way into a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.engine.http.response import Response

CHUNK = 1 << 16


def write_body(
    answer: Response, target: str | os.PathLike[str], progress: Callable[[int, int | None], object] | None
) -> None:
    """Write a streamed body beside `target`, then put it in its place in one step.

    The file is for this user's eyes only (mode 0600).

    Raises:
        TransportFailed: the body broke off, or is larger than it may be; `target` is as it was.
        OSError: the disk's own fault; `target` is as it was.
    """
    target = Path(target)
    announced = answer.headers.get("Content-Length", "")
    total = int(announced) if announced.isdigit() and "content-encoding" not in answer.headers else None
    name = ""
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".nango-")
        with os.fdopen(handle, "wb") as file:
            written = 0
            for chunk in answer.iter_content(CHUNK):
                written += file.write(chunk)
                if progress is not None:
                    progress(written, total)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    finally:
        answer.close()
        if name:
            Path(name).unlink(missing_ok=True)
