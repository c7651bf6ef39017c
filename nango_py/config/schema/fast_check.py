"""A quick yes for settings that fit, so that a program with right files never imports jsonschema.

It knows the keywords that the file format uses and answers only "fits". Whatever it does not accept, for
a reason or because it does not know a keyword, goes to the full validator, which alone words problems.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.config.schema.format import Schema

# A null removes what lies below it, so it is no value of a wrong type; but a parent cannot be removed.
NEVER_NULL = frozenset({"extends", "extends_blueprint"})
# The required keys whose null is a value.
MAY_BE_NULL = frozenset({"equals"})

_SAYS_NOTHING = frozenset(
    {"title", "description", "$comment", "examples", "default", "format", "template", "then", "else"}
    | {"expected", "code", "shown", "unit", "separated", "patternProperties"}
)


class _UnknownKeywordError(Exception):
    pass


def is_surely_valid(schema: Schema, value: Any) -> bool:
    """True only if the full validator would find nothing wrong."""
    try:
        return _fits(schema, value, in_list=False)
    except _UnknownKeywordError:
        return False


def is_missing(value: Mapping[str, Any], name: str) -> bool:
    """Whether a required key is not there, or is null where null is no value."""
    return name not in value or (value[name] is None and name not in MAY_BE_NULL)


def is_number(value: Any) -> bool:
    """A finite number; JSON Schema has no others."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_integer(value: Any) -> bool:
    """An int; 1.0 is none, though JSON Schema calls it one."""
    return isinstance(value, int) and not isinstance(value, bool)


def _fits(schema: Schema, value: Any, *, in_list: bool) -> bool:
    for keyword, wanted in schema.items():
        if keyword in _SAYS_NOTHING:
            continue
        check = _CHECKS.get(keyword)
        if check is None:
            raise _UnknownKeywordError
        if not check(wanted, value, schema, in_list):
            return False
    return True


_KINDS: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list | tuple),
    "boolean": lambda value: isinstance(value, bool),
    "number": is_number,
    "integer": is_integer,
}


def _type(wanted: Any, value: Any, _: Schema, __: bool) -> bool:  # noqa: FBT001 - one signature for all
    return any(_KINDS[kind](value) for kind in ([wanted] if isinstance(wanted, str) else wanted))


def _properties(wanted: Any, value: Any, _: Schema, in_list: bool) -> bool:  # noqa: FBT001
    if not isinstance(value, Mapping):
        return True
    return all(
        (item is None and not in_list and key not in NEVER_NULL) or _fits(wanted[key], item, in_list=in_list)
        for key, item in value.items()
        if key in wanted
    )


def _closed(wanted: Any, value: Any, schema: Schema, in_list: bool) -> bool:  # noqa: FBT001
    if not isinstance(value, Mapping):
        return True
    others = [key for key in value if key not in schema.get("properties", ())]
    if wanted is not False:
        return all(_fits(wanted, value[key], in_list=in_list) for key in others)
    unknown = [key for key in others if not key.startswith("x-")]
    return not unknown or known_keys(schema, value, _holds).issuperset(unknown)


def known_keys(schema: Schema, value: Any, holds: Callable[[Schema, Any], bool]) -> set[str]:
    """The keys that a closed mapping may have, given the ones that choose among parts."""
    known = set(schema.get("properties", ()))
    for branch in schema.get("allOf", ()):
        if holds(branch["if"], value):
            known |= set(branch["then"].get("properties", ()))
    return known


def _holds(schema: Schema, value: Any) -> bool:
    return _fits(schema, value, in_list=False)


def _branch(wanted: Any, value: Any, schema: Schema, in_list: bool) -> bool:  # noqa: FBT001
    taken = schema.get("then" if _fits(wanted, value, in_list=in_list) else "else")
    return taken is None or _fits(taken, value, in_list=in_list)


def _required(wanted: Any, value: Any, _: Schema, __: bool) -> bool:  # noqa: FBT001
    return not isinstance(value, Mapping) or not any(is_missing(value, name) for name in wanted)


def _partners(wanted: Any, value: Any, _: Schema, __: bool) -> bool:  # noqa: FBT001
    if not isinstance(value, Mapping):
        return True
    return all(name in value for key, names in wanted.items() if key in value for name in names)


def _items(wanted: Any, value: Any, _: Schema, __: bool) -> bool:  # noqa: FBT001
    return not isinstance(value, list | tuple) or all(_fits(wanted, item, in_list=True) for item in value)


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _matches(pattern: str, text: str) -> bool:
    return _compiled(pattern).search(text) is not None


_CHECKS: dict[str, Callable[[Any, Any, Schema, bool], bool]] = {
    "type": _type,
    "properties": _properties,
    "additionalProperties": _closed,
    "unevaluatedProperties": _closed,
    "if": _branch,
    "required": _required,
    "dependentRequired": _partners,
    "items": _items,
    "allOf": lambda wanted, value, _, in_list: all(_fits(part, value, in_list=in_list) for part in wanted),
    "not": lambda wanted, value, _, in_list: not _fits(wanted, value, in_list=in_list),
    "enum": lambda wanted, value, _, __: isinstance(value, str) and value in wanted,
    "const": lambda wanted, value, _, __: isinstance(value, str) and value == wanted,
    "pattern": lambda wanted, value, _, __: (
        not isinstance(value, str) or bool(_compiled(wanted).search(value))
    ),
    "minimum": lambda wanted, value, _, __: not is_number(value) or value >= wanted,
    "maximum": lambda wanted, value, _, __: not is_number(value) or value <= wanted,
    "exclusiveMinimum": lambda wanted, value, _, __: not is_number(value) or value > wanted,
    "minLength": lambda wanted, value, _, __: not isinstance(value, str) or len(value) >= wanted,
    "minItems": lambda wanted, value, _, __: not isinstance(value, list | tuple) or len(value) >= wanted,
    "minProperties": lambda wanted, value, _, __: not isinstance(value, Mapping) or len(value) >= wanted,
    "propertyNames": lambda wanted, value, _, __: (
        not isinstance(value, Mapping) or all(_fits(wanted, name, in_list=False) for name in value)
    ),
}
