"""Open files as bodies: with a length, and sent again from where they stood."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from nango_py.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE_SIZE = 65_536


class FileBody:
    """The rest of an open file that can be rewound. It is not closed.

    Args:
        file: open for reading, as bytes or text; text is sent as UTF-8.
        start: where it stands.
        content_length: from there to its end, in bytes.
    """

    def __init__(self, file: Any, start: int, content_length: int) -> None:
        self._file = file
        self._start = start
        self.content_length = content_length

    @classmethod
    def of(cls, file: Any) -> FileBody | None:
        """The body; None if the file cannot be rewound.

        Raises:
            InvalidRequest: the file is closed, or cannot be read.
        """
        try:
            if not file.seekable():
                return None
            start = file.tell()
            if isinstance(file.read(0), str):
                file.seek(start)
                size = sum(map(len, _pieces(file)))
            else:
                size = max(0, file.seek(0, io.SEEK_END) - start)
            file.seek(start)
        except AttributeError:
            return None  # it only has `read`
        except (OSError, ValueError, TypeError) as error:
            reason = type(error).__name__
        else:
            return cls(file, start, size)
        raise InvalidRequest(f"data= is a file that cannot be read ({reason}); is it open for reading?")

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(self._start)
        return _pieces(self._file)


def _pieces(file: Any) -> Iterator[bytes]:
    while piece := file.read(PIECE_SIZE):
        yield piece.encode() if isinstance(piece, str) else piece
