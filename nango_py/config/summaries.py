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
    return _summarize(catalogue, where, 0)


def _summarize(catalogue: Catalogue, where: BlueprintRef, depth: int) -> Summary:
    shown = _read_shown(where.path)
    if depth == MAX_EXTENDS:
        shown = None  # the whole file says what is wrong
    if shown is None or (shown.get("name"), shown.get("version")) != (where.name, where.version):
        found = catalogue.find(f"{where.name}:{where.version}", _PLACE)
        return _summary_of(where, {**found.settings, "title": found.title}, found.status, None)
    given = shown.get("status")
    status = given if isinstance(given, MAPPINGS) else {}
    extends = shown.get("extends")
    parent = None
    if isinstance(extends, str):
        parent = _summarize(catalogue, catalogue.locate(extends, _PLACE), depth + 1)
    return _summary_of(
        where, shown, Status(**{part: status.get(part) for part in field_names(Status)}), parent
    )


def _summary_of(where: BlueprintRef, settings: Settings, status: Status, parent: Summary | None) -> Summary:
    auth, requests = settings.get("auth") or {}, settings.get("requests") or {}
    return Summary(
        ref=f"{where.name}:{where.version}",
        title=settings.get("title") or (parent.title if parent else where.name),
        categories=tuple(settings.get("categories") or (parent.categories if parent else ())),
        auth_mode=auth.get("auth_mode") or (parent.auth_mode if parent else None),
        base_url=requests.get("base_url") or (parent.base_url if parent else None),
        layer=where.layer,
        source=where.path,
        status=status,
    )


def _read_shown(path: Path) -> Settings | None:
    """The keys of a file that a list shows; None if the file has to be read as a whole."""
    data = read_keys(path, _SHOWN)
    return _with_first_login(data) if data is not None and _has_right_types(data) else None


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


def _with_first_login(shown: Settings) -> Settings | None:
    """The keys with those of the default login over them; None if that takes the whole files."""
    names = login_names(shown)
    if not names:
        return None if LOGINS in shown else shown
    login = shown[LOGINS][names[0]]
    if "extends" in shown or not isinstance(login, MAPPINGS) or not _has_right_types(login):
        return None
    blocks = {key: {**(shown.get(key) or {}), **(login.get(key) or {})} for key in ("auth", "requests")}
    return {**shown, **blocks}
