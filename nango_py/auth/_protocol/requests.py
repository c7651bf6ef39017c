"""A request as the modes see it that sign it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from nango_py.record import field, record

if TYPE_CHECKING:
    from collections.abc import Mapping


@record
class SignedRequest:
    """One attempt, complete but for its signature. It holds credentials: its repr is masked.

    Attributes:
        url: absolute, encoded as it will be sent.
        headers: by name in any case.
        body: b"" for none; None for one that is sent as it is read and cannot be hashed.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=b"", repr=False)

    def header(self, name: str) -> str:
        """The value of a header, or ""."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")

    @property
    def target(self) -> str:
        """The path and the query, as the request line has them (RFC 9112 3.2.1)."""
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def __repr__(self) -> str:
        return f"<SignedRequest {self.method} {urlsplit(self.url).hostname}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SignedRequest holds credentials and is not pickled")
