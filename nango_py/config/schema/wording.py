"""The problem for what a schema refuses. Messages show values only where they cannot be secrets."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nango_py.config.yaml.tree import Document, Located, kind_of
from nango_py.errors import Position, Problem, nearest, printable
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.config.values import Path
    from nango_py.json_types import Schema


@record
class Fault:
    """One thing that a schema refuses.

    Attributes:
        keyword: the keyword of JSON Schema that failed.
        path: the path of the value; of the mapping, for keywords about a missing or unknown key.
        value: the value.
        schema: the schema that has the keyword.
        name: the key that is missing or unknown.
        known: the keys that are allowed, for an unknown one.
    """

    keyword: str
    path: Path
    value: Any  # of any type: this is what the schema refuses
    schema: Schema
    name: str
    known: frozenset[str] = frozenset()


_KINDS = {
    "string": "text",
    "object": "a mapping",
    "array": "a list",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
}
_JOINED = re.compile(r"([a-z][a-z0-9_]*):\S")
_WORD = re.compile(r"[A-Za-z0-9_.:/-]{1,40}\Z")


def problem_of(fault: Fault, locator: Located) -> Problem:
    """The problem, at the value or the key that is wrong."""
    describe = _DESCRIPTIONS.get(fault.keyword)
    if describe is None:
        return Problem(locator.position(fault.path), "E201", "not allowed here")
    return describe(fault, locator)


def _type(fault: Fault, locator: Located) -> Problem:
    where = locator.position(fault.path)
    wanted = fault.schema["type"]
    kinds = [wanted] if isinstance(wanted, str) else list(wanted)
    found = _kind_of(fault.value)
    example = f"write {fault.schema['expected']}" if "expected" in fault.schema else ""
    joined = _JOINED.match(fault.value) if type(fault.value) is str else None
    if "object" in kinds and joined is not None and joined[1] in fault.schema.get("properties", ()):
        help_ = f'write a space after "{joined[1]}:"'
        return Problem(where, "E201", f"expected a mapping, found {found}", "", help_)
    if kinds == ["array"]:
        return Problem(where, "E205", f"expected a list, found {found}", "", _as_list(fault) or example)
    if "seconds" in fault.schema.get("unit", ""):
        return Problem(where, "E401", f"expected a number of seconds, found {found}", "", "write 30")
    if isinstance(fault.value, float) and not math.isfinite(fault.value):
        return Problem(where, "E401", f"expected a finite number, found {found}")
    if kinds[0] == "string" and found in {"a number", "true or false"}:
        return _describe_unquoted(fault, locator, where, found)
    expected = " or ".join(_KINDS[kind] for kind in kinds)
    return Problem(where, "E201", f"expected {expected}, found {found}", "", example)


def _describe_unquoted(fault: Fault, locator: Located, where: Position, found: str) -> Problem:
    written = locator.source_text(fault.path) if isinstance(locator, Document) else ""
    if fault.schema.get("shown") and written and found == "a number":
        what = f"YAML read {printable(written, 30)} as the number {printable(str(fault.value), 30)}"
        return Problem(where, "E206", what, "", f'quote it: "{printable(written, 30)}"')
    if not where.line and not isinstance(locator, Document):
        return Problem(where, "E206", f"expected text, found {found}")  # a value of a program
    help_ = "quote it (leading zeros are lost otherwise)" if found == "a number" else "quote it"
    return Problem(where, "E206", f"expected text, found {found}", "", help_)


def _as_list(fault: Fault) -> str:
    """How to write a text of several words as a list, if the words cannot be secrets."""
    if type(fault.value) is not str:
        return ""
    one = fault.schema.get("items", {})
    if "pattern" in one and one.get("type") != "object" and re.search(one["pattern"], fault.value):
        return f"write [{fault.value}]"
    if not fault.schema.get("separated"):
        return ""
    words = [word for word in re.split(r"[\s,]+", fault.value) if word]
    return f"write [{', '.join(words)}]" if words and all(map(_WORD.match, words)) else ""


def _kind_of(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "infinity"
    return kind_of(value)


def _range(fault: Fault, locator: Located) -> Problem:
    bounds = [
        f"{sign} {fault.schema[keyword]}"
        for keyword, sign in (("exclusiveMinimum", ">"), ("minimum", ">="), ("maximum", "<="))
        if keyword in fault.schema
    ]
    endless = 'there is no "no timeout"' if fault.schema.get("unit") and fault.value <= 0 else ""
    return Problem(locator.position(fault.path), "E401", f"must be {' and '.join(bounds)}", "", endless)


def _enum(fault: Fault, locator: Located) -> Problem:
    allowed = ["true" if value is True else str(value) for value in fault.schema["enum"]]
    near = nearest(fault.value, allowed) if isinstance(fault.value, str) else ""
    words = f"{', '.join(allowed[:-1])} or {allowed[-1]}" if len(allowed) > 1 else allowed[0]
    help_ = f'did you mean "{near}"?' if near else ""
    found = "" if isinstance(fault.value, str) else f", found {_kind_of(fault.value)}"
    return Problem(locator.position(fault.path), "E204", f"expected {words}{found}", "", help_)


def _pattern(fault: Fault, locator: Located) -> Problem:
    expected = fault.schema.get("expected", "another form")
    code = fault.schema.get("code", "E204")
    return Problem(locator.position(fault.path), code, f"expected {expected}")


def _name(fault: Fault, locator: Located) -> Problem:
    what = f'the name "{printable(str(fault.value), 64)}" is not allowed'
    expected = f"expected {fault.schema.get('expected', 'another form')}"
    return Problem(locator.key_position(fault.path), fault.schema.get("code", "E204"), what, expected)


def _missing(fault: Fault, locator: Located) -> Problem:
    at_top = "" if fault.path else "top-level "
    where = locator.key_position(fault.path)
    chosen = fault.value.get("auth_mode") if isinstance(fault.value, Mapping) else None
    if fault.path[-1:] == ("auth",) and fault.name != "auth_mode" and isinstance(chosen, str):
        return Problem(where, "E208", f"{chosen} needs auth.{fault.name}")
    help_ = ""
    if fault.name in {"auth", "requests"}:
        help_ = "without a blueprint to extend, auth and requests are needed"
    return Problem(where, "E203", f'missing {at_top}key "{fault.name}"', "", help_)


def _missing_partner(fault: Fault, locator: Located) -> Problem:
    key, name = fault.name.split(":")
    return Problem(locator.key_position((*fault.path, key)), "E203", f'"{key}" needs "{name}" beside it')


def _unknown(fault: Fault, locator: Located) -> Problem:
    known = sorted(fault.known)
    near = nearest(fault.name, known)
    help_ = f'did you mean "{near}"?' if near else f"known: {', '.join(known)}"
    joined = _JOINED.match(fault.name)
    if joined is not None and joined[1] in fault.known:
        help_ = f'write a space after "{joined[1]}:"'
    where = locator.key_position((*fault.path, fault.name))
    what = f'unknown key "{printable(fault.name, 64)}"'
    chosen = next((key for key in ("auth_mode", "kind") if key in fault.known and key in fault.value), "")
    branches = [branch["then"].get("properties", ()) for branch in fault.schema.get("allOf", ())]
    if chosen and any(fault.name in properties for properties in branches):
        what += f" for {chosen} {printable(str(fault.value[chosen]), 64)}"
        help_ = f"known: {', '.join(known)}"
    return Problem(where, "E202", what, "", help_)


def _too_few(fault: Fault, locator: Located) -> Problem:
    expected = fault.schema.get("expected")
    what = {"minItems": "the list is empty", "minLength": "the text is empty"}.get(
        fault.keyword, "keys are missing"
    )
    return Problem(locator.position(fault.path), "E203", what, f"expected {expected}" if expected else "")


def _too_many(fault: Fault, locator: Located) -> Problem:
    expected = f"expected {fault.schema['expected']}" if "expected" in fault.schema else ""
    where = locator.key_position((*fault.path, list(fault.value)[fault.schema["maxProperties"]]))
    return Problem(where, "E204", "there are too many keys", expected)


_DESCRIPTIONS: dict[str, Callable[[Fault, Located], Problem]] = {
    "type": _type,
    "minimum": _range,
    "maximum": _range,
    "exclusiveMinimum": _range,
    "enum": _enum,
    "pattern": _pattern,
    "propertyNames": _name,
    "required": _missing,
    "dependentRequired": _missing_partner,
    "additionalProperties": _unknown,
    "unevaluatedProperties": _unknown,
    "minItems": _too_few,
    "minLength": _too_few,
    "minProperties": _too_few,
    "maxProperties": _too_many,
}
