"""A check that says only whether settings are certainly valid, so that valid files never import jsonschema.

It interprets the same schemas as jsonschema, so a change of the file format needs no change here. What it
does not accept, because of the value or because it does not know a keyword, goes to jsonschema, which alone
finds and words problems. For klaviyo:v1 jsonschema takes 59,320 calls and an import of 80 ms (0.65 of a
process that makes one call with requests); this takes some 5,000 calls. A test compares the two.
"""

# ruff: noqa: FBT001, SIM110 - one signature for all checks, and loops

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nango_py.config.values import MAPPINGS
from nango_py.json_types import Schema, Settings

# A null removes what is below it, so it is not a value of a wrong type; but a parent cannot be removed.
NEVER_NULL = frozenset({"extends", "extends_blueprint"})
# The required keys whose null is a value.
MAY_BE_NULL = frozenset({"equals"})

_IGNORED = frozenset(
    {"title", "description", "$comment", "examples", "default", "format", "template", "then", "else"}
    | {"expected", "code", "shown", "never_null", "unit", "separated", "patternProperties", "type"}
    | {"minLength", "minProperties", "minItems"}
)
_CLASSES: dict[str, tuple[type, ...]] = {
    "string": (str,), "object": MAPPINGS, "array": (list, tuple), "boolean": (bool,),
    "number": (int, float), "integer": (int,),
}  # fmt: skip

Check = Callable[[Any, Any, Schema, bool], bool]
"""Whether a value fits a keyword, given the keyword's argument, the value, the schema, and is_in_list."""


Checks = list[tuple[Check, Any]]
"""Checks with the arguments of their keywords."""


class _UnknownKeywordError(Exception):
    pass


def is_surely_valid(schema: Schema, value: object) -> bool:
    """True only if jsonschema would find nothing wrong. Infinite numbers are not looked for."""
    try:
        return _fits(schema, value, is_in_list=False)
    except _UnknownKeywordError:
        return False
    finally:
        _fitting.clear()  # texts of integrations.yaml may be secrets


def is_missing(value: Settings, name: str) -> bool:
    """Whether a required key is missing, or is null although null is not a value."""
    return name not in value or (value[name] is None and name not in MAY_BE_NULL)


def is_number(value: object) -> bool:
    """Whether the value is a finite number; JSON Schema has no others."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_integer(value: object) -> bool:
    """Whether the value is an int; 1.0 is not, although JSON Schema calls it one."""
    return isinstance(value, int) and not isinstance(value, bool)


def known_keys(schema: Schema, value: object, holds: Callable[[Schema, object], bool]) -> set[str]:
    """The keys that a closed mapping may have, given the values that choose among parts."""
    known = set(schema.get("properties", ()))
    for branch in schema.get("allOf", ()):
        if holds(branch["if"], value):
            known |= set(branch["then"].get("properties", ()))
    return known


class _Steps:
    """The checks of a schema by the kind of value that they apply to."""

    __slots__ = (
        "classes",
        "for_lists",
        "for_mappings",
        "for_others",
        "for_texts",
        "is_bool_allowed",
        "min_items",
        "min_length",
        "min_properties",
        "schema",
        "takes_any_text",
    )

    def __init__(self, schema: Schema) -> None:
        self.schema = schema  # kept, so that its id is not given to another
        kinds = schema.get("type", ())
        kinds = [kinds] if isinstance(kinds, str) else kinds
        self.classes: tuple[type, ...] = ()
        for kind in kinds:
            self.classes += _CLASSES[kind]
        self.is_bool_allowed = not kinds or "boolean" in kinds
        # Not among the checks, which cost a call each: nearly every mapping of the format is checked.
        self.min_items: int = schema.get("minItems", 0)
        self.min_length: int = schema.get("minLength", 0)
        self.min_properties: int = schema.get("minProperties", 0)
        self.for_mappings: Checks = []
        self.for_lists: Checks = []
        self.for_texts: Checks = []
        self.for_others: Checks = []
        for keyword, wanted in schema.items():
            self._add(keyword, wanted, schema)
        is_text = not self.classes or str in self.classes
        self.takes_any_text = is_text and not (self.for_texts or self.min_length)

    def _add(self, keyword: str, wanted: Any, schema: Schema) -> None:
        if keyword == "allOf":
            parts = [(_if_simple(part["if"]) if part.keys() == _SKIPPABLE else None, part) for part in wanted]
            self._add_for_all(_all_of, parts)
        elif keyword == "if":
            condition = _if_simple(wanted)
            if condition is None or "then" in schema:
                self._add_for_all(_branch, (condition, wanted))
            else:  # a value that is not a mapping meets the condition
                self.for_mappings.append((_branch, (condition, wanted)))
        elif keyword in _FOR_ANY:
            self._add_for_all(_FOR_ANY[keyword], wanted)
        elif keyword in _FOR_MAPPINGS:
            self.for_mappings.append((_FOR_MAPPINGS[keyword], wanted))
        elif keyword in _FOR_LISTS:
            self.for_lists.append((_FOR_LISTS[keyword], wanted))
        elif keyword in _FOR_TEXTS:
            self.for_texts.append((_FOR_TEXTS[keyword], wanted))
        elif keyword not in _IGNORED:
            raise _UnknownKeywordError

    def _add_for_all(self, check: Check, wanted: Any) -> None:
        for checks in (self.for_mappings, self.for_lists, self.for_texts, self.for_others):
            checks.append((check, wanted))


_SKIPPABLE = {"if", "then"}

_Condition = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]
"""The keys that a mapping must have, and the texts that some of them must be."""


def _if_simple(schema: Schema) -> _Condition | None:
    """What a schema asks of a mapping if that is no more than keys and texts, as to choose an auth mode."""
    required, texts = schema.get("required", ()), []
    for name, part in schema.get("properties", {}).items():
        if name not in required or part.keys() - {"description"} != {"const"}:
            return None
        texts.append((name, part["const"]))
    return (tuple(required), tuple(texts)) if schema.keys() <= {"required", "properties"} else None


def _is_met(condition: _Condition, value: object) -> bool:
    if not isinstance(value, MAPPINGS):
        return True  # the keywords say nothing about other values
    required, texts = condition
    for name in required:
        if name not in value or (value[name] is None and name not in MAY_BE_NULL):
            return False
    for name, text in texts:
        if value[name] != text:
            return False
    return True


_steps: dict[int, _Steps] = {}
_fitting: set[tuple[int, str]] = set()
"""Texts that fit a schema, by its id, during a check: files repeat methods and windows hundreds of times."""


def _fits(schema: Schema, value: object, *, is_in_list: bool) -> bool:  # noqa: C901 - one call for each value
    schema_id = id(schema)
    steps = _steps.get(schema_id)
    if steps is None:
        steps = _steps[schema_id] = _Steps(schema)
    if steps.classes and not isinstance(value, steps.classes):
        return False
    if isinstance(value, str):
        if (schema_id, value) in _fitting:
            return True
        checks, is_long_enough = steps.for_texts, len(value) >= steps.min_length
    elif isinstance(value, MAPPINGS):
        checks, is_long_enough = steps.for_mappings, len(value) >= steps.min_properties
    elif isinstance(value, list | tuple):
        checks, is_long_enough = steps.for_lists, len(value) >= steps.min_items
    elif isinstance(value, bool) and not steps.is_bool_allowed:
        return False
    else:
        checks, is_long_enough = steps.for_others, True
    if not is_long_enough:
        return False
    for check, wanted in checks:
        if not check(wanted, value, schema, is_in_list):
            return False
    if checks and isinstance(value, str):
        _fitting.add((schema_id, value))
    return True


def _holds(schema: Schema, value: object) -> bool:
    return _fits(schema, value, is_in_list=False)


# Loops instead of generators below: a generator costs a call for each item.
def _all_of(
    wanted: Sequence[tuple[_Condition | None, Schema]], value: object, _: Schema, is_in_list: bool
) -> bool:
    for condition, part in wanted:
        # Most parts are for another auth mode or kind of pages.
        if condition is not None and not _is_met(condition, value):
            continue
        if not _fits(part, value, is_in_list=is_in_list):
            return False
    return True


def _branch(
    wanted: tuple[_Condition | None, Schema], value: object, schema: Schema, is_in_list: bool
) -> bool:
    condition, written = wanted
    is_met = _fits(written, value, is_in_list=is_in_list) if condition is None else _is_met(condition, value)
    chosen = schema.get("then" if is_met else "else")
    return chosen is None or _fits(chosen, value, is_in_list=is_in_list)


def _properties(wanted: Mapping[str, Schema], value: Settings, _: Schema, is_in_list: bool) -> bool:
    for key, item in value.items():
        if key not in wanted or (item is None and not is_in_list and key not in NEVER_NULL):
            continue
        below = wanted[key]
        steps = _steps.get(id(below))
        # Most values are texts of any kind, or repeat; a call for each would be a third of all calls.
        if (
            steps is not None
            and isinstance(item, str)
            and (steps.takes_any_text or (id(below), item) in _fitting)
        ):
            continue
        if not _fits(below, item, is_in_list=is_in_list):
            return False
    return True


def _closed(wanted: Schema | bool, value: Settings, schema: Schema, is_in_list: bool) -> bool:
    others = value.keys() - schema.get("properties", {}).keys()
    if not others:
        return True
    if not isinstance(wanted, bool):
        if not is_in_list and not wanted.get("never_null"):
            others = {key for key in others if value[key] is not None}
        return all(_fits(wanted, value[key], is_in_list=is_in_list) for key in others)
    unknown = [key for key in others if not key.startswith("x-")]
    return not unknown or known_keys(schema, value, _holds).issuperset(unknown)


def _required(wanted: Sequence[str], value: Settings, _: Schema, __: bool) -> bool:
    for name in wanted:
        if (name not in value or value[name] is None) and is_missing(value, name):
            return False
    return True


def _partners(wanted: Mapping[str, Sequence[str]], value: Settings, _: Schema, __: bool) -> bool:
    for key, names in wanted.items():
        if key in value and not value.keys() >= set(names):
            return False
    return True


def _items(wanted: Schema, value: Sequence[object], _: Schema, __: bool) -> bool:
    schema_id = id(wanted)
    for item in value:
        if isinstance(item, str) and (schema_id, item) in _fitting:
            continue
        if not _fits(wanted, item, is_in_list=True):
            return False
    return True


def _property_names(wanted: Schema, value: Settings, _: Schema, __: bool) -> bool:
    return all(_fits(wanted, name, is_in_list=False) for name in value)


@functools.cache
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


_FOR_ANY: dict[str, Check] = {
    "not": lambda wanted, value, _, is_in_list: not _fits(wanted, value, is_in_list=is_in_list),
    "enum": lambda wanted, value, _, __: (isinstance(value, str) or value is True) and value in wanted,
    "const": lambda wanted, value, _, __: isinstance(value, str) and value == wanted,
    "minimum": lambda wanted, value, _, __: not is_number(value) or value >= wanted,
    "maximum": lambda wanted, value, _, __: not is_number(value) or value <= wanted,
    "exclusiveMinimum": lambda wanted, value, _, __: not is_number(value) or value > wanted,
}
_FOR_MAPPINGS: dict[str, Check] = {
    "properties": _properties,
    "additionalProperties": _closed,
    "unevaluatedProperties": _closed,
    "required": _required,
    "dependentRequired": _partners,
    "propertyNames": _property_names,
    "maxProperties": lambda wanted, value, _, __: len(value) <= wanted,
}
_FOR_LISTS: dict[str, Check] = {"items": _items}
_FOR_TEXTS: dict[str, Check] = {
    "pattern": lambda wanted, value, _, __: _compile(wanted).search(value) is not None,
    "maxLength": lambda wanted, value, _, __: len(value) <= wanted,
}
