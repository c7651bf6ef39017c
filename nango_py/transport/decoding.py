"""Bodies that are compressed (RFC 9110 section 8.4): decoded in bounded pieces, and never half of one.

A body that ends before its compressed data does is an error, as one that ends before its Content-Length.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

from nango_py.transport.http1 import CutOffError, MalformedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nango_py.transport.http1 import HeaderLines

PIECE_SIZE = 65_536
"""Maximum size of a decoded piece in bytes, so that a small body cannot fill the memory."""

MAX_CODINGS = 5


class _Member(Protocol):
    """One compressed unit: a gzip member, a zstd frame, a whole deflate or br body."""

    is_over: bool
    has_more: bool  # whether decoded bytes are left for another call

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """At most PIECE_SIZE decoded bytes, and the data that was not used."""


class _ZlibMember:
    """gzip (RFC 1952) and deflate (RFC 1950; as many servers send it, RFC 1951 too)."""

    def __init__(self, bits: int) -> None:
        self._decoder = zlib.decompressobj(bits)
        self._seen = b"" if bits == zlib.MAX_WBITS else None
        self.is_over = self.has_more = False

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        if self._seen is not None:
            self._seen += data
        try:
            piece = self._decoder.decompress(data, PIECE_SIZE)
        except zlib.error:
            if self._seen is None:
                raise
            # The header of zlib is missing.
            data, self._seen = self._seen, None
            self._decoder = zlib.decompressobj(-zlib.MAX_WBITS)
            piece = self._decoder.decompress(data, PIECE_SIZE)
        if piece:
            self._seen = None
        self.is_over = self._decoder.eof
        self.has_more = len(piece) == PIECE_SIZE and not self.is_over
        return piece, self._decoder.unused_data if self.is_over else self._decoder.unconsumed_tail


class _ZstdMember:
    """zstd (RFC 8878), by `compression.zstd` of Python 3.14 or backports.zstd."""

    def __init__(self, library: Any) -> None:
        self._decoder = library.ZstdDecompressor()
        self.is_over = self.has_more = False

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        piece = self._decoder.decompress(data, PIECE_SIZE)
        self.is_over = self._decoder.eof
        self.has_more = not self.is_over and not self._decoder.needs_input
        return piece, self._decoder.unused_data if self.is_over else b""


class _BrotliMember:
    """br (RFC 7932), by brotli 1.2 or newer: earlier ones cannot bound what a piece decodes to."""

    def __init__(self, library: Any) -> None:
        self._decoder = library.Decompressor()
        self.is_over = self.has_more = False

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        piece = self._decoder.process(data, output_buffer_limit=PIECE_SIZE)
        self.is_over = self._decoder.is_finished()
        self.has_more = not self.is_over and not self._decoder.can_accept_more_data()
        return piece, b""


class Decoding(Protocol):
    """Decodes the body of one response."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The decoded pieces of data that has arrived.

        Raises:
            MalformedError: the data is not of this coding.
        """

    def finish(self) -> None:
        """Check that the body was complete.

        Raises:
            CutOffError: the compressed data ended in the middle.
        """


class Decoder:
    """Decodes one coding.

    Args:
        start: makes the decoder of a member.
        has_members: whether several may follow each other.
        errors: what its library raises for data that is not of its kind.
    """

    def __init__(
        self, start: Callable[[], _Member], *, has_members: bool, errors: tuple[type[Exception], ...]
    ) -> None:
        self._start = start
        self._has_members = has_members
        self._errors = errors
        self._member: _Member | None = None
        self._is_empty = True

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The decoded pieces of data that has arrived.

        Raises:
            MalformedError: the data is not of this coding.
        """
        while data or (self._member is not None and self._member.has_more):
            if self._member is None:
                if not self._is_empty:
                    data = data.lstrip(b"\0")  # padding, as gzip allows
                    if data and not self._has_members:
                        raise MalformedError("data behind the compressed body")
                    if not data:
                        return
                self._member, self._is_empty = self._start(), False
            try:
                piece, data = self._member.decode(data)
            except self._errors:
                piece = None
            if piece is None:
                raise MalformedError("the body is not compressed as announced")
            if self._member.is_over:
                self._member = None
            if piece:
                yield piece

    def finish(self) -> None:
        """Check that the body was complete.

        Raises:
            CutOffError: the compressed data ended in the middle.
        """
        if self._member is not None:
            raise CutOffError("the compressed body is incomplete")


class _Chain:
    """Several codings, of which the last one was applied last."""

    def __init__(self, decoders: list[Decoder]) -> None:
        self._decoders = decoders[::-1]

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The decoded pieces of data that has arrived; raises as `Decoder.decode`."""
        pieces: Iterable[bytes] = (data,)
        for decoder in self._decoders:
            pieces = chain.from_iterable(map(decoder.decode, pieces))
        yield from pieces

    def finish(self) -> None:
        """Check that the body was complete; raises as `Decoder.finish`."""
        for decoder in self._decoders:
            decoder.finish()


def _find_library(*names: str) -> Any:
    """The first of these modules that is installed; loaded here, and not in the middle of a call."""
    for name in names:
        with suppress(ImportError):
            return import_module(name)
    return None


_ZSTD = _find_library("compression.zstd", "backports.zstd")
_BROTLI = _find_library("brotli", "brotlicffi")
if _BROTLI is not None and not hasattr(_BROTLI.Decompressor, "can_accept_more_data"):
    _BROTLI = None


def _decoder_for(coding: str) -> Decoder | None:
    """The decoder of a coding; None if it is unknown or its library is not installed."""
    if coding in {"gzip", "x-gzip"}:
        return Decoder(lambda: _ZlibMember(zlib.MAX_WBITS | 16), has_members=True, errors=(zlib.error,))
    if coding == "deflate":
        return Decoder(lambda: _ZlibMember(zlib.MAX_WBITS), has_members=False, errors=(zlib.error,))
    if coding == "br" and _BROTLI:
        return Decoder(lambda: _BrotliMember(_BROTLI), has_members=False, errors=(_BROTLI.error,))
    if coding == "zstd" and _ZSTD:
        return Decoder(lambda: _ZstdMember(_ZSTD), has_members=True, errors=(_ZSTD.ZstdError,))
    return None


def decoder_of(headers: HeaderLines) -> Decoding | None:
    """The decoder for a response with these headers; None if the body is taken as it is.

    As in `requests`, a coding that is unknown here is passed over.

    Raises:
        MalformedError: there are too many codings.
    """
    lines = headers.get_all("content-encoding")
    if not lines:
        return None
    codings = [part.strip().lower() for line in lines for part in line.split(",")]
    if len(codings) > MAX_CODINGS:
        raise MalformedError("too many content codings")
    decoders = [decoder for coding in codings if (decoder := _decoder_for(coding)) is not None]
    if len(decoders) > 1:
        return _Chain(decoders)
    return decoders[0] if decoders else None
