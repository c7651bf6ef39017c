"""What a list shows of blueprints, from a few keys of each file.

Reading a whole blueprint with the place of each key takes longer than libyaml alone, so a list cuts the keys
that it shows out of the text. `nango check` reads and checks whole files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.config.catalogue import MAX_EXTENDS
from nango_py.config.logins import LOGINS, login_names
from nango_py.config.model import Status
from nango_py.config.values import MAPPINGS
from nango_py.config.yaml.document import parse_document
from nango_py.config.yaml.merge import IN_A_LAYER
from nango_py.errors import ConfigError, Position
from nango_py.record import field_names, record

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py.config.catalogue import BlueprintRef, Catalogue
    from nango_py.json_types import Settings

_SHOWN = frozenset({
    "name", "version", "title", "extends", "categories", "status", "auth", "requests", LOGINS,
})  # fmt: skip
_TOP_LEVEL = re.compile(r"^([A-Za-z_][A-Za-z0-9_-]*):(?=\s)", re.MULTILINE)
_OTHER_LINE = re.compile(r"^(?![A-Za-z_][A-Za-z0-9_-]*:\s|[ #\r\n]|\Z)", re.MULTILINE)
_PLACE = Position("blueprints")


@record
class Summary:
    """What a list shows of a blueprint."""

    ref: str
    title: str
    categories: tuple[str, ...]
    auth_mode: str | None
    base_url: str | None
    layer: str
    source: Path
    status: Status


def summarize(catalogue: Catalogue, where: BlueprintRef) -> Summary:
    """The summary of a blueprint.

    Raises:
        ConfigError: what is read of the file is wrong.
    """
    shown = _merge_shown(catalogue, where, 0)
    if shown is None:
        found = catalogue.find(f"{where.name}:{where.version}", _PLACE)
        shown, status = {**found.settings, "title": found.title}, found.status
    else:
        given = shown.get("status") or {}
        status = Status(**{part: given.get(part) for part in field_names(Status)})
        shown = _with_first_login(shown)
    return Summary(
        ref=f"{where.name}:{where.version}",
        title=shown.get("title") or where.name,
        categories=tuple(shown.get("categories") or ()),
        auth_mode=(shown.get("auth") or {}).get("auth_mode"),
        base_url=(shown.get("requests") or {}).get("base_url"),
        layer=where.layer,
        source=where.path,
        status=status,
    )


def _merge_shown(catalogue: Catalogue, where: BlueprintRef, depth: int) -> Settings | None:
    """The shown keys of a blueprint over those that it extends; None if that takes the whole files."""
    shown = _read_shown(where.path) if depth < MAX_EXTENDS else None
    if shown is None or (shown.get("name"), shown.get("version")) != (where.name, where.version):
        return None
    extends = shown.get("extends")
    if extends is None:
        return shown
    parent = _merge_shown(catalogue, catalogue.locate(extends, _PLACE), depth + 1)
    return None if parent is None else _merge({**parent, "status": None}, shown)


def _merge(below: Settings, over: Settings, depth: int = 0) -> Settings:
    """Settings with others over them, as `config.yaml.merge` does it for whole files."""
    merged = dict(below)
    for key, value in over.items():
        if value is None and depth < IN_A_LAYER:
            merged.pop(key, None)
            continue
        known, inside = merged.get(key), depth + 1 if depth else int(key == LOGINS)
        is_merged = isinstance(value, MAPPINGS) and isinstance(known, MAPPINGS) and key != "status"
        merged[key] = _merge(known, value, inside) if is_merged else value  # type: ignore[arg-type]
    return merged


def _read_shown(path: Path) -> Settings | None:
    """The keys of a file that a list shows; None if the file has to be read as a whole."""
    data = read_keys(path, _SHOWN)
    if data is None or not _has_right_types(data):
        return None
    logins = data.get(LOGINS, {})
    if not isinstance(logins, MAPPINGS) or (LOGINS in data and not login_names(data)):
        return None
    of_logins = [login if isinstance(login, MAPPINGS) else {"title": 0} for login in logins.values()]
    return data if all(map(_has_right_types, of_logins)) else None


def read_keys(path: Path, keys: frozenset[str]) -> Settings | None:
    """Some top-level keys of a file, unchecked; None if the file has to be read as a whole."""
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError):
        return None
    starts = [(found[1], found.start()) for found in _TOP_LEVEL.finditer(text)]
    names = [name for name, _ in starts]
    if _OTHER_LINE.search(text) or len(set(names)) < len(names) or "versions" in names:
        return None
    ends = [*(start for _, start in starts[1:]), len(text)]
    shown = "".join(text[start:end] for (name, start), end in zip(starts, ends, strict=True) if name in keys)
    try:
        data = parse_document(shown, path.name).data
    except ConfigError:
        return None
    return data if isinstance(data, MAPPINGS) else None


def _has_right_types(data: Settings) -> bool:
    """Whether what is shown is text or null, in mappings or null; a whole file is refused with its place."""
    categories = data.get("categories")
    if not (categories is None or is_texts(categories)):
        return False
    blocks = [data.get(key) or {} for key in ("auth", "requests", "status")]
    if not all(isinstance(block, MAPPINGS) for block in blocks):
        return False
    texts = (data.get("title"), data.get("extends"), blocks[0].get("auth_mode"), blocks[1].get("base_url"))
    return all(text is None or isinstance(text, str) for text in texts)


def is_texts(value: object) -> bool:
    """Whether a value is a list of texts."""
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


def _with_first_login(shown: Settings) -> Settings:
    """The keys with those of the default login over them."""
    names = login_names(shown)
    return _merge(shown, shown[LOGINS][names[0]]) if names else shown
