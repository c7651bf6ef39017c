"""A streamed body on its way into a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import requests
import urllib3.exceptions

from nango_py.errors import TransportFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.engine.http.response import Response

CHUNK = 1 << 16


def write_body(
    answer: Response, target: str | os.PathLike[str], progress: Callable[[int, int | None], object] | None
) -> None:
    """Write a streamed body beside `target`, then put it in its place in one step.

    Raises:
        TransportFailed: the body broke off, or is larger than it may be; `target` is as it was.
    """
    target = Path(target)
    announced = answer.headers.get("Content-Length")
    total = int(announced) if announced and "content-encoding" not in answer.headers else None
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    broken = ""
    try:
        with os.fdopen(handle, "wb") as file:
            written = 0
            for chunk in answer.iter_content(CHUNK):
                written += file.write(chunk)
                if progress is not None:
                    progress(written, total)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        broken = type(error).__name__
        if isinstance(error, OSError) and not isinstance(error, requests.RequestException | TimeoutError):
            raise  # the disk's own fault, in its own words
    finally:
        answer.close()
        Path(name).unlink(missing_ok=True)
    if broken:
        raise TransportFailed(f"the download broke off ({broken})", reason="truncated", response=answer)
