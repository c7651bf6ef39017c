"""Draws architecture.svg from the layers in pyproject.toml and the imports in the code.

Run it after a room, a layer or an import between rooms has changed; a test fails when the picture is stale:
`python docs/images/draw_architecture.py`.
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "nango_py"
PICTURE = Path(__file__).with_name("architecture.svg")

BASE = "base"
"""The room in which the picture shows the single files below all folders."""

PURPOSES = {
    "cli": "the nango command",
    "testing": "Nango against sandboxes",
    "client": "the class Nango",
    "action_methods": "its methods that run actions",
    "blueprint_tests": "blueprints against their sandboxes",
    "server": "ASGI server with the connect page",
    "actions": "named operations in YAML and Python",
    "mcp": "the server of tools",
    "tools": "actions for language models",
    "connect": "OAuth logins and forms of users",
    "jobs": "work that runs later or elsewhere",
    "transfer": "exports and imports of connections",
    "importers": "drafts from other descriptions",
    "accounts": "register, verify and delete connections",
    "services": "what the parts of a Nango share",
    "tapes": "recorded calls",
    "tokens": "refresh, expiry and revocation",
    "engine": "plans, calls, retries, executors",
    "transport": "HTTP for threads and asyncio",
    "auth": "one file per auth mode",
    "connections": "encrypted credentials",
    "limits": "rate limits and their stores",
    "pagination": "one file per kind",
    "protocols": "OAuth, JWT, signatures without I/O",
    "sandbox": "stand-ins for APIs",
    "config": "files to checked settings",
    "database": "SQLite and PostgreSQL",
    BASE: "errors, secrets, clock, registry",
}
"""What each room is for. A new room needs a line here."""

LEFT, TOP, ROW, CELL, BOX = 16, 130, 28, 24, 112
INK, FAINT, BLUE, BAND, PAPER = "#1f2328", "#59636e", "#0969da", "#f3f5f7", "#ffffff"


def layers() -> list[list[str]]:
    """The rooms of each layer, from the top; files below the lowest folder are one room."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    written = next(each["layers"] for each in contracts if each["type"] == "layers")
    rows = [[name.strip() for name in layer.split("|")] for layer in written if "__main__" not in layer]
    lowest = max(number for number, row in enumerate(rows) if any((PACKAGE / name).is_dir() for name in row))
    return [*rows[: lowest + 1], [BASE]]


def imports(rooms: list[str]) -> dict[str, set[str]]:
    """The rooms that each room imports, for annotations and inside functions too."""
    found: dict[str, set[str]] = {room: set() for room in rooms}
    for path in PACKAGE.rglob("*.py"):
        room = room_of(path.relative_to(PACKAGE).with_suffix("").parts[0], rooms)
        if path.name in {"__init__.py", "__main__.py"} and path.parent == PACKAGE:
            continue
        for name in imported_modules(path):
            target = room_of(name, rooms)
            if target != room:
                found[room].add(target)
    return found


def imported_modules(path: Path) -> set[str]:
    """The names directly below nango_py that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            below = parts[1:2] or [alias.name for alias in node.names if (PACKAGE / alias.name).exists()]
            names.update(below if parts[0] == "nango_py" else ())
        elif isinstance(node, ast.Import):
            parts_of = [alias.name.split(".") for alias in node.names]
            names.update(parts[1] for parts in parts_of if parts[0] == "nango_py" and len(parts) > 1)
    return names


def room_of(name: str, rooms: list[str]) -> str:
    """The room of a name directly below nango_py."""
    return name if name in rooms else BASE


def picture() -> str:
    """The picture as SVG: a row for each room in the order of the layers, and a dot for each import."""
    rows = layers()
    rooms = [room for layer in rows for room in layer]
    matrix = LEFT + BOX + 282
    width, height = matrix + CELL * len(rooms) + 70, TOP + ROW * len(rooms) + 46
    size = f'width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}"',
        '     font-family="sans-serif" font-size="13">',
        "<title>The rooms of nango_py by layer, and which room imports which</title>",
        f'<rect {size} fill="{PAPER}"/>',
        text(LEFT, 28, "The rooms of nango_py", INK, 'font-size="17" font-weight="bold"'),
        text(LEFT, 52, "One band is one layer. A room imports only rooms", FAINT),
        text(LEFT, 70, "in lower layers. A dot means that the room of the", FAINT),
        text(LEFT, 88, "row imports the room of the column.", FAINT),
    ]
    y = TOP
    for number, layer in enumerate(rows):
        if number % 2 == 0:
            parts.append(rect(LEFT - 8, y, width - 2 * LEFT + 16, ROW * len(layer), BAND))
        y += ROW * len(layer)
    found = imports(rooms)
    for number, room in enumerate(rooms):
        x, y = matrix + CELL * number + CELL / 2, TOP + ROW * number
        turned = f'transform="rotate(-60 {x:g} {TOP - 8})"'
        parts += [
            text(x, TOP - 8, room, INK, turned),
            rect(LEFT, y + 3, BOX, ROW - 6, PAPER, f'stroke="{BLUE}" rx="4"'),
            text(LEFT + BOX / 2, y + 18.5, room, INK, 'text-anchor="middle"'),
            text(LEFT + BOX + 12, y + 18.5, PURPOSES[room], FAINT),
            rect(x - CELL / 2 + 2, y + 4, CELL - 4, ROW - 8, "#d8dee4"),
        ]
        for target in sorted(found[room], key=rooms.index):
            at = matrix + CELL * rooms.index(target) + CELL / 2
            parts.append(f'<circle cx="{at:g}" cy="{y + ROW / 2:g}" r="4.5" fill="{BLUE}"/>')
    parts.append(text(LEFT, height - 16, f"base: {', '.join(base_files(rooms))}", FAINT))
    return "\n".join([*parts, "</svg>", ""])


def base_files(rooms: list[str]) -> list[str]:
    """The files that are shown as one room."""
    names = {path.stem for path in PACKAGE.glob("*.py")} - set(rooms)
    return sorted(f"{name}.py" for name in names if not name.startswith("_"))


def rect(x: float, y: float, width: float, height: float, color: str, more: str = "") -> str:
    """A filled rectangle."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{color}" {more}/>'


def text(x: float, y: float, words: str, color: str, more: str = "") -> str:
    """Words with their baseline at y."""
    return f'<text x="{x:g}" y="{y:g}" fill="{color}" {more}>{escape(words)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
