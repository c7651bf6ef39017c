"""A few of the shipped blueprints that stand for all of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from nango_py.config.schema.format import definitions

FILES = sorted((Path(__file__).parents[2] / "blueprints").glob("*.yaml"))


def keys_of_format(node: Any) -> set[str]:
    """Every key that a part of the file format names."""
    below = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    own = node.get("properties") if isinstance(node, dict) else None
    return set(own if isinstance(own, dict) else ()).union(*map(keys_of_format, below))


def with_every_key(files: list[Path]) -> list[Path]:
    """A few of the files, which together have every key of the file format that any of them has."""
    known = keys_of_format(definitions())
    keys = {path: known.intersection(re.findall(r"(\w+):", path.read_text("utf-8"))) for path in files}
    missing, chosen = set().union(*keys.values()), []
    while missing:
        chosen.append(max(files, key=lambda path: len(keys[path] & missing)))
        missing -= keys[chosen[-1]]
    return chosen
