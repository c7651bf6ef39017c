"""A page of Markdown that describes actions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nango_py.actions.definition import ActionInfo
    from nango_py.json_types import JsonObject, JsonValue


def write_page(infos: Iterable[ActionInfo]) -> str:
    """The page: a section for each integration and action, with a table of its input."""
    lines, integration = ["# Actions"], ""
    for info in infos:
        if info.integration != integration:
            integration = info.integration
            lines += ["", f"## {integration}"]
        lines += ["", *_section(info)]
    return "\n".join(lines) + "\n"


def _section(info: ActionInfo) -> Iterator[str]:
    yield f"### {info.integration} {info.name}"
    yield ""
    effect = f"Changes: {', '.join(info.changes)}." if info.changes else "Changes nothing."
    yield " ".join(part for part in (info.description, effect) if part)
    properties = info.input_schema.get("properties")
    if isinstance(properties, dict) and properties:
        yield ""
        yield "| input | type | meaning |"
        yield "| --- | --- | --- |"
        required = info.input_schema.get("required")
        for name, schema in properties.items():
            is_required = isinstance(required, list) and name in required
            yield _row(name, schema, is_required=is_required)
    if info.output_schema is not None:
        yield ""
        yield f"Result: `{json.dumps(info.output_schema, ensure_ascii=False)}`"


def _row(name: str, schema: JsonValue, *, is_required: bool) -> str:
    known: JsonObject = schema if isinstance(schema, dict) else {}
    meaning = str(known.get("description") or "")
    if "default" in known:
        default = json.dumps(known["default"], ensure_ascii=False)
        meaning = f"{meaning}; default `{default}`" if meaning else f"default `{default}`"
    cells = (f"`{name}`" + (" (required)" if is_required else ""), _kind(known), meaning)
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _kind(schema: JsonObject) -> str:
    if isinstance(schema.get("enum"), list):
        return " or ".join(f"`{value}`" for value in _as_list(schema["enum"]))
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        return " or ".join(dict.fromkeys(_kind(one) for one in choices if isinstance(one, dict)))
    kinds = " or ".join(map(str, _as_list(schema.get("type") or "any value")))
    items = schema.get("items")
    return f"{kinds} of {_kind(items)}" if kinds == "array" and isinstance(items, dict) else kinds


def _as_list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else [value]
