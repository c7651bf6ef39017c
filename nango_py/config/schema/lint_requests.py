"""Names that `endpoints` and matches refer to: bases, and settings of the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.values import MAPPINGS, list_at, mapping_at
from nango_py.errors import Problem, nearest, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Located
    from nango_py.json_types import Settings


PLACES = ("header", "param", "body")
"""Where idempotency keys may go."""


def check_requests(settings: Settings, locator: Located) -> Iterator[Problem]:
    """Unknown bases (E204), settings that no connection has (E202), and keys without a place (E204)."""
    bases = list(mapping_at(settings, "requests", "bases"))
    for path, endpoint in _items(settings.get("endpoints"), ("endpoints",)):
        base = endpoint.get("base")
        if isinstance(base, str) and base not in bases:
            help_ = _help(base, bases, "add it to requests.bases")
            what = f'requests.bases has no "{printable(base, 64)}"'
            yield Problem(locator.position((*path, "base")), "E204", what, "", help_)
    yield from _check_idempotency(settings, locator)
    yield from _check_uploads(settings, locator)
    fields = list(mapping_at(settings, "connection_config", "properties"))
    for path, match in _matches(settings):
        for name in mapping_at(match, "config"):
            if name not in fields:
                where = locator.key_position((*path, "config", name))
                help_ = _help(name, fields, "add it to connection_config.properties")
                what = f'connection_config has no property "{printable(name, 64)}"'
                yield Problem(where, "E202", what, "", help_)


def _check_idempotency(settings: Settings, locator: Located) -> Iterator[Problem]:
    """Idempotency keys that have no place, or several (E204)."""
    retries = mapping_at(settings, "retries")
    if retries.get("idempotency_header") is not None and retries.get("idempotency") is not None:
        where = locator.key_position(("retries", "idempotency_header"))
        help_ = "remove idempotency_header"
        yield Problem(where, "E204", "idempotency says where keys go", "", help_)
    holders: list[tuple[Path, Settings]] = [(("retries",), retries)]
    for path, holder in (*holders, *_items(settings.get("endpoints"), ("endpoints",))):
        block = holder.get("idempotency")
        if not isinstance(block, MAPPINGS):
            continue
        places = [place for place in PLACES if block.get(place) is not None]
        if len(places) != 1:
            what = f"a key has one place, not {' and '.join(places)}" if places else "the key has no place"
            where = locator.key_position((*path, "idempotency"))
            yield Problem(where, "E204", what, "expected header, param or body")


def _check_uploads(settings: Settings, locator: Located) -> Iterator[Problem]:
    """Uploads whose responses do not say what has arrived, or say it twice (E204)."""
    for path, endpoint in _items(settings.get("endpoints"), ("endpoints",)):
        block = endpoint.get("upload")
        if isinstance(block, MAPPINGS) and ("received" in block) == ("missing" in block):
            what = (
                "received and missing say the same"
                if "received" in block
                else "nothing says what has arrived"
            )
            where = locator.key_position((*path, "upload"))
            yield Problem(where, "E204", what, "expected received or missing")


def _help(name: str, known: list[str], otherwise: str) -> str:
    near = nearest(name, known)
    return f'did you mean "{near}"?' if near else f"it has: {', '.join(known)}" if known else otherwise


def _matches(settings: Settings) -> Iterator[tuple[Path, Settings]]:
    """Every `match` that asks for settings, with its path."""
    retries, limits = mapping_at(settings, "retries"), mapping_at(settings, "rate_limits")
    lists: list[tuple[Path, object]] = [
        (("endpoints",), settings.get("endpoints")),
        (("retries", "rules"), retries.get("rules")),
    ]
    for path, budget in _items(limits.get("budgets"), ("rate_limits", "budgets")):
        lists.append(((*path, "cases"), budget.get("cases")))
    for path, entries in lists:
        # Blueprints have hundreds of cases: one loop without a call for each.
        for index, entry in enumerate(list_at(entries)):
            match = entry.get("match") if isinstance(entry, MAPPINGS) else None
            if isinstance(match, MAPPINGS) and "config" in match:
                yield (*path, index, "match"), match


def _items(value: object, path: Path) -> Iterator[tuple[Path, Settings]]:
    """The mappings of a list, with their paths."""
    for index, item in enumerate(list_at(value)):
        if isinstance(item, MAPPINGS):
            yield (*path, index), item
