"""The files that the connect page is made of, read once; each under a name that changes with its content."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from nango_py.record import field, record

FOLDER = Path(__file__).with_name("static")
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_REFERENCE = re.compile(rb'((?:href|src)=")static/([a-z0-9.-]+)"')


@record
class StaticFile:
    """One file: its content type, content, and the first bytes of its hash."""

    content_type: str
    content: bytes = field(repr=False)
    version: str


class StaticFiles:
    """The files of a folder by name; nothing else can be reached."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {}
        for path in sorted(folder.glob("*")):
            if path.suffix in TYPES:
                content = path.read_bytes()
                version = hashlib.sha256(content).hexdigest()[:12]
                self._files[path.name] = StaticFile(TYPES[path.suffix], content, version)

    def find(self, name: str) -> StaticFile | None:
        """The file of that name."""
        return self._files.get(name)

    def address(self, prefix: str, name: str) -> str:
        """The path of a file, with its version, as it is written into pages."""
        found = self._files.get(name)
        return f"{prefix}/static/{name}" + (f"?v={found.version}" if found else "")

    def page(self, name: str) -> bytes:
        """An HTML file whose references to other files have their versions."""
        found = self._files.get(name)
        return b"" if found is None else _REFERENCE.sub(self._versioned, found.content)

    def _versioned(self, match: re.Match[bytes]) -> bytes:
        address = self.address("", match[2].decode()).removeprefix("/")
        return match[1] + address.encode() + b'"'
