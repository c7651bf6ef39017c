"""The files of the connect page, read once. Their URLs carry a version that changes with the content."""

from __future__ import annotations

import hashlib
import json
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from nango_py.record import field, record

if TYPE_CHECKING:
    from nango_py.connect.words import Words

FOLDER = Path(__file__).with_name("static")
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PLACE = re.compile(r"\{(\w+)\}")
_REFERENCE = re.compile(rb'((?:href|src)=")static/([a-z0-9.-]+)"')


@record
class StaticFile:
    """A file, and the start of its content's hash as its version."""

    content_type: str
    content: bytes = field(repr=False)
    version: str


class StaticFiles:
    """The files of a folder by name. Nothing outside the folder can be reached."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {}
        for path in sorted(folder.glob("*")):
            if path.suffix in TYPES:
                content = path.read_bytes()
                version = hashlib.sha256(content).hexdigest()[:12]
                self._files[path.name] = StaticFile(TYPES[path.suffix], content, version)

    def find(self, name: str) -> StaticFile | None:
        """The file of that name, or None."""
        return self._files.get(name)

    def url(self, prefix: str, name: str) -> str:
        """The URL of a file, with its version."""
        file = self._files.get(name)
        return f"{prefix}/static/{name}" + (f"?v={file.version}" if file else "")

    def page(self, name: str, words: Words) -> str:
        """An HTML file, with the versions added to its references, and in a language."""
        file = self._files.get(name)
        if file is None:
            return ""
        text = _REFERENCE.sub(self._add_version, file.content).decode()
        values = {"language": words.language, "words": json.dumps(words.texts, ensure_ascii=False)}
        return _PLACE.sub(lambda match: escape(values.get(match[1]) or words(match[1])), text)

    def _add_version(self, match: re.Match[bytes]) -> bytes:
        url = self.url("", match[2].decode()).removeprefix("/")
        return match[1] + url.encode() + b'"'
