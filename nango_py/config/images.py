"""Logos: image files that blueprints and integrations.yaml name, as the connect page shows them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from nango_py.errors import Problem, printable

if TYPE_CHECKING:
    from nango_py.errors import Position
    from nango_py.json_types import Settings

MAX_BYTES = 65_536
TYPES = {
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}


def locate_logo(settings: Settings, at: Position) -> str:
    """The absolute path of the `logo` of some settings, relative to the file where it is written; "" if none.

    Args:
        settings: of a blueprint or an integration.
        at: where the logo is written.
    """
    logo = settings.get("logo")
    if not isinstance(logo, str) or ":" in logo:
        return ""
    return str((Path(at.file).parent / str.__str__(logo)).absolute())


def check_image(path: str, at: Position) -> list[Problem]:
    """The problem of an image file, if it has one (E204). The schema refuses names of other files."""
    fault = _find_fault(Path(path)) if Path(path).suffix.lower() in TYPES else ""
    expected = f"expected an image of at most {MAX_BYTES // 1024} KiB, relative to this file"
    return [Problem(at, "E204", f"{printable(path)} {fault}", expected)] if fault else []


def read_image(path: str) -> str:
    """An image as a `data:` URL; "" if it cannot be read."""
    if Path(path).suffix.lower() not in TYPES or _find_fault(Path(path)):
        return ""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return ""
    return f"data:{TYPES[Path(path).suffix.lower()]};base64,{base64.b64encode(content).decode()}"


def _find_fault(path: Path) -> str:
    try:
        size = path.stat().st_size if path.is_file() else -1
    except OSError:
        size = -1
    if size < 0:
        return "is not a file"
    return f"has {size} bytes" if size > MAX_BYTES else ""
