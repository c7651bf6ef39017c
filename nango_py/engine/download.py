"""Writing a streamed body into a file, which replaces an earlier one only when it is complete."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from nango_py.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.transport.response import Response

    Progress = Callable[[int, int | None], object]

WHOLE = frozenset({200, 201, 203})
PARTIAL = 206
NO_REST = 416
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)


class PartialFile:
    """A file that gets its name when it is complete; until then it has a temporary name in the same folder.

    Only the current user may read it (mode 0600). As a context manager it removes an incomplete file.
    """

    def __init__(self, target: str | os.PathLike[str], progress: Progress | None) -> None:
        self._progress = progress
        self._written = 0
        self._total: int | None = None
        self._validator = ""
        self._target = Path(target)
        if self._target.exists() and not self._target.is_file():
            raise InvalidRequest(f"{self._target} is not a regular file; name a file")
        handle, name = tempfile.mkstemp(dir=self._target.parent, prefix=".nango-")
        self._path = Path(name)
        self._file = os.fdopen(handle, "wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def range_headers(self) -> dict[str, str]:
        """Headers that request the rest of the body, if the server offers it and names the body by a tag.

        Source: RFC 9110 sections 13.1.5 and 14.2
        """
        if not self._written or not self._validator:
            return {}
        return {"Range": f"bytes={self._written}-", "If-Range": self._validator}

    def begin(self, response: Response) -> None:
        """Continue with the body of a response: the whole, or the rest that was requested."""
        headers = response.headers
        is_rest = response.status_code == PARTIAL and self._written > 0
        if not is_rest:
            self._file.seek(0)
            self._file.truncate()
            self._written = 0
        self._validator = find_validator(headers) if response.status_code in WHOLE else self._validator
        announced = headers.get("Content-Length", "")
        is_decoded_size = announced.isdigit() and "content-encoding" not in headers
        self._total = self._written + int(announced) if is_decoded_size else None

    def fits(self, response: Response) -> bool:
        """Whether a partial response is the whole rest of the same body, from where this file ends.

        A server that ignores If-Range may send a part of another one (RFC 9110 section 15.3.7).
        """
        headers = response.headers
        found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        if not self._written or found is None or "content-encoding" in headers:
            return False
        first, last = int(found[1]), int(found[2])
        total = self._total if found[3] == "*" else int(found[3])
        return (
            (first, last + 1) == (self._written, total)
            and self._total in {None, total}
            and headers.get("ETag", self._validator) == self._validator
            and headers.get("Content-Length", str(last + 1 - first)) == str(last + 1 - first)
        )

    def forget(self) -> None:
        """Request the whole body the next time."""
        self._validator = ""

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


def find_validator(headers: Mapping[str, str]) -> str:
    """The strong ETag by which the rest of a body can be requested; "" if the server offers no ranges."""
    tag = headers.get("ETag", "")
    has_ranges = headers.get("Accept-Ranges", "").strip().lower() == "bytes"
    return tag if has_ranges and tag.startswith('"') and "content-encoding" not in headers else ""
