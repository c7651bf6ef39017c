"""Checks documents against the file format, and reports every problem at once. The only jsonschema import.

jsonschema's messages repeat the wrong value, which may be a secret. Ours name the key, the kind of value that
was found, and what was expected. References stay inside the format: nothing is fetched.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nango_py.config.pagination_merge import overlay_pagination
from nango_py.config.schema.fast_check import (
    NEVER_NULL,
    is_integer,
    is_missing,
    is_number,
    is_surely_valid,
    known_keys,
)
from nango_py.config.schema.format import resolve_references
from nango_py.config.schema.lint import lint_blueprint, lint_names, lint_settings
from nango_py.config.schema.lint_pagination import lint_pagination
from nango_py.config.schema.wording import Fault, problem_of
from nango_py.config.values import list_at, mapping_at
from nango_py.config.yaml.merge import with_nulls
from nango_py.config.yaml.tree import Document, Located
from nango_py.errors import MAX_PROBLEMS, Position, Problem, nearest, printable
from nango_py.record import replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Place
    from nango_py.json_types import Schema, Settings

_PARENT_KEYS = ("extends", "extends_blueprint")
_ENVIRONMENT = re.compile(r"\$\{\s*[A-Z][A-Z0-9_]*\s*\}\Z")


def check_blueprint(document: Document) -> list[Problem]:
    """Every problem of a blueprint file, sorted. Keys that it may inherit are not required.

    Unknown keys of a file in the form of the first Nango, with `versions`, are warnings (W105).
    """
    if document.data is None:
        return [Problem(Position(document.file, 1, 1), "E203", "file is empty", 'expected "name:"')]
    found = _problems("blueprint_file", document.data, document, _below_version)
    if isinstance(document.data, dict) and "versions" in document.data:
        found = [_as_warning(problem) if problem.code == "E202" else problem for problem in found]
    found += lint_blueprint(document)
    known = {(problem.position, problem.code) for problem in found}
    bodies = _check_bodies(document)
    found += [problem for problem in bodies if (problem.position, problem.code) not in known]
    return sorted(found, key=_get_position)


def _check_bodies(document: Document) -> Iterator[Problem]:
    """What is contradictory in each blueprint of a file that extends no other."""
    if not isinstance(document.data, dict):
        return
    versions = document.data.get("versions")
    if "versions" not in document.data and "extends" not in document.data:
        yield from lint_settings(document.data, document)
        yield from _check_endpoints(document.data, document)
    for version, body in versions.items() if isinstance(versions, dict) else ():
        if isinstance(body, dict) and "extends" not in body:
            tree = with_nulls(document, ("versions", version))
            yield from lint_settings(tree.settings, tree.origins)
            yield from _check_endpoints(tree.settings, tree.origins)


def _as_warning(problem: Problem) -> Problem:
    help_ = problem.help if problem.help.startswith("did you mean") else ""
    return replaced(problem, code="W105", what=f"{problem.what} is ignored", help=help_)


def check_integrations(document: Document) -> list[Problem]:
    """Every problem of an integrations.yaml, sorted. Keys that a blueprint may have are not required.

    `log_level` and `auth_mode` may be one `${UPPER_CASE}`; `check_merged` checks its value.
    """
    if document.data is None:
        help_ = 'expected "integrations:" (see docs/quickstart.md)'
        return [Problem(Position(document.file, 1, 1), "E203", "file is empty", help_)]
    found = _problems("integrations_file", document.data, document, _below_integration)
    return sorted([*found, *lint_names(document)], key=_get_position)


def check_merged(settings: Settings, locator: Located) -> list[Problem]:
    """What is missing or contradictory after merging, sorted.

    Args:
        settings: the whole tree of a blueprint or an integration; each of its files was checked before.
        locator: where the parts of the tree were written.
    """
    found = _problems("merged", settings, locator, lambda _: True)
    endpoints = _check_endpoints(settings, locator)
    return sorted([*found, *lint_settings(settings, locator), *endpoints], key=_get_position)


def check_pagination(block: Settings, locator: Located) -> list[Problem]:
    """What is wrong with a merged `pagination:` block, sorted."""
    settings = {"pagination": block}
    found = _problems("paged", settings, locator, lambda _: True)
    return sorted([*found, *lint_pagination(settings, locator)], key=_get_position)


def check_value(schema: Schema, value: object, name: str) -> list[Problem]:
    """What is wrong with a value for which a file has a JSON Schema, such as the input of an action.

    Args:
        schema: a valid schema of draft 2020-12; nothing is fetched.
        value: plain JSON.
        name: what the value is called; positions are places in it, such as `input.email`.
    """
    locator = _InValue(name)
    found: list[Problem] = []
    for error in _validator_of_values()(schema).iter_errors(value):
        problem = problem_of(_fault(error), locator)
        if problem not in found:
            found.append(problem)
        if len(found) > MAX_PROBLEMS:
            break
    return sorted(found, key=_get_position)


class _InValue(Located):
    """Places in a value, such as `input.orders[0].id`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def place(self, path: Path) -> Place:
        """The place as the name of a file, without a line."""
        parts = [f"[{part}]" if isinstance(part, int) else f".{printable(part, 64)}" for part in path]
        return "".join((self._name, *parts)), 0, 0, 0, 0


def find_schema_fault(schema: object) -> tuple[Path, str]:
    """Where a JSON Schema of draft 2020-12 is wrong, and what is wrong; ((), "") for a valid one."""
    import jsonschema

    base = jsonschema.Draft202012Validator
    error = jsonschema.exceptions.best_match(base(base.META_SCHEMA).iter_errors(schema))
    if error is None:
        return (), ""
    keyword = next((str(part) for part in reversed(error.absolute_path) if isinstance(part, str)), "")
    return tuple(error.absolute_path), f"{keyword or 'this'} is not as JSON Schema (draft 2020-12) has it"


def _check_endpoints(settings: Settings, locator: Located) -> Iterator[Problem]:
    """What is wrong with the blocks of `endpoints` after they are merged over `pagination`."""
    without_problems: list[Settings] = []  # many endpoints differ in the same way
    for index, entry in enumerate(list_at(settings, "endpoints")):
        own = entry.get("pagination") if isinstance(entry, Mapping) else None
        if isinstance(own, Mapping):
            merged = overlay_pagination(mapping_at(settings, "pagination"), own)
            if merged in without_problems:
                continue
            found = check_pagination(merged, _Below(locator, ("endpoints", index)))
            if not found:
                without_problems.append(merged)
            yield from found


class _Below(Located):
    """The places of a part of a tree."""

    def __init__(self, locator: Located, path: Path) -> None:
        self._locator, self._path = locator, path

    def place(self, path: Path) -> Place:
        """The place of a value of the part."""
        return self._locator.place((*self._path, *path))


def _below_version(path: Path) -> bool:
    return path[0] != "versions" or len(path) > len(("versions", "v0"))


def _below_integration(path: Path) -> bool:
    return path[0] != "integrations" or len(path) > len(("integrations", "name"))


def _problems(
    definition: str, data: Any, locator: Located, is_removable: Callable[[Path], bool]
) -> list[Problem]:
    # The numbers of a merged tree were checked in their files.
    has_infinity = isinstance(locator, Document) and locator.has_infinity
    if not has_infinity and is_surely_valid(resolve_references(definition), data):
        return []
    found: list[Problem] = []
    faulty: set[Path] = set()
    for error in _validator(definition).iter_errors(data):
        fault = _fault(error)
        if fault.path in faulty and fault.keyword in {"type", "enum"}:
            continue
        if fault.value is None and fault.keyword in {"type", "enum"} and _removes(fault.path, is_removable):
            continue
        if fault.path == ("integrations",) and fault.value is None:
            continue  # reported as a missing key
        if fault.keyword == "required" and _misspells_parent(fault):
            continue
        if fault.keyword == "enum" and fault.path[:1] == ("integrations",) and _from_environment(fault.value):
            continue
        faulty.add(fault.path)
        found.append(problem_of(fault, locator))
        if len(found) > MAX_PROBLEMS:
            break
    found.extend(
        Problem(locator.position(path), "E401", "expected a finite number")
        for path in (_find_infinite(data, ()) if has_infinity else ())
        if path not in faulty
    )
    return found


def _fault(error: Any) -> Fault:
    path: Path = tuple(error.absolute_path)
    if "propertyNames" in error.absolute_schema_path:
        return Fault("propertyNames", (*path, error.instance), error.instance, error.schema, error.message)
    known = error.validator_value if isinstance(error.validator_value, frozenset) else frozenset()
    return Fault(error.validator, path, error.instance, error.schema, error.message, known)


def _removes(path: Path, is_removable: Callable[[Path], bool]) -> bool:
    in_list = any(isinstance(part, int) for part in path)
    return bool(path) and not in_list and path[-1] not in NEVER_NULL and is_removable(path)


def _misspells_parent(fault: Fault) -> bool:
    """Whether auth or requests are missing only because `extends` or `extends_blueprint` is misspelled."""
    misspelled = (key for key in fault.value if key not in _PARENT_KEYS and nearest(key, _PARENT_KEYS))
    return fault.name in {"auth", "requests"} and any(misspelled)


def _from_environment(value: object) -> bool:
    return isinstance(value, str) and _ENVIRONMENT.match(value) is not None


def _find_infinite(value: object, path: Path) -> Iterator[Path]:
    if isinstance(value, float):
        if not math.isfinite(value):
            yield path
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _find_infinite(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _find_infinite(item, (*path, index))


def _get_position(problem: Problem) -> Position:
    return problem.position


@functools.cache
def _validator(definition: str) -> Any:
    import jsonschema
    from referencing import Registry

    base = jsonschema.Draft202012Validator
    types = base.TYPE_CHECKER.redefine_many(
        {
            "object": lambda _, value: isinstance(value, Mapping),
            "array": lambda _, value: isinstance(value, list | tuple),
            "number": lambda _, value: is_number(value),
            "integer": lambda _, value: is_integer(value),
        }
    )
    keywords = {
        "required": _required,
        "additionalProperties": _closed,
        "unevaluatedProperties": _closed,
        "dependentRequired": _dependent,
    }
    extend: Any = jsonschema.validators.extend
    cls = extend(base, keywords, type_checker=types)
    return cls(resolve_references(definition), registry=Registry())


@functools.cache
def _validator_of_values() -> Any:
    """The validator of values from callers: a null is a value, and an infinite number is not one."""
    import jsonschema
    from referencing import Registry

    base = jsonschema.Draft202012Validator
    types = base.TYPE_CHECKER.redefine("number", lambda _, value: is_number(value))
    extend: Any = jsonschema.validators.extend
    keywords = {
        "required": _required_of_values,
        "additionalProperties": _closed_values,
        "dependentRequired": _dependent,
    }
    return functools.partial(extend(base, keywords, type_checker=types), registry=Registry())


# Keywords about keys: one error for each key, with the key as its message.
def _required_of_values(
    _: Validator, names: Iterable[str], instance: object, __: Schema
) -> Iterator[ValidationError]:
    from jsonschema import ValidationError

    if isinstance(instance, Mapping):
        for name in names:
            if name not in instance:
                yield ValidationError(name)


def _closed_values(
    validator: Any,  # the stubs of jsonschema have no `descend`
    allowed: Schema | bool,  # noqa: FBT001 - as jsonschema calls it
    instance: object,
    schema: Schema,
) -> Iterator[ValidationError]:
    from jsonschema import ValidationError

    known = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    if not isinstance(instance, Mapping):
        return
    for key in instance:
        if key in known or any(re.search(pattern, key) for pattern in patterns):
            continue
        if allowed is not False:
            yield from validator.descend(instance[key], allowed, path=key, schema_path="additionalProperties")
        else:
            yield ValidationError(key, validator_value=frozenset(known))


def _required(_: Validator, names: Iterable[str], instance: object, __: Schema) -> Iterator[ValidationError]:
    from jsonschema import ValidationError

    if isinstance(instance, Mapping):
        for name in names:
            if is_missing(instance, name):
                yield ValidationError(name)


def _dependent(
    _: Validator, needs: Mapping[str, list[str]], instance: object, __: Schema
) -> Iterator[ValidationError]:
    from jsonschema import ValidationError

    if isinstance(instance, Mapping):
        for key, names in needs.items():
            for name in names:
                if key in instance and name not in instance:
                    yield ValidationError(f"{key}:{name}")


def _closed(
    validator: Any,  # the stubs of jsonschema have no `descend`
    allowed: Schema | bool,  # noqa: FBT001 - as jsonschema calls it
    instance: object,
    schema: Schema,
) -> Iterator[ValidationError]:
    from jsonschema import ValidationError

    if not isinstance(instance, Mapping):
        return

    def holds(condition: Schema, value: object) -> bool:
        return bool(validator.evolve(schema=condition).is_valid(value))

    known = schema.get("properties", {})
    for key in instance:
        if key in known:
            continue
        if allowed is not False:
            yield from validator.descend(instance[key], allowed, path=key, schema_path="additionalProperties")
        elif not key.startswith("x-") and key not in (known := known_keys(schema, instance, holds)):
            yield ValidationError(key, validator_value=frozenset(known))
