"""The description of an action, in YAML or Python, and the checks of its input and results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING

from nango_py.config.actions.compiled import defaults_of
from nango_py.config.schema.value_check import compile_check
from nango_py.config.yaml.tree import kind_of
from nango_py.errors import ActionInputError, Position, Problem
from nango_py.json_types import is_deeper_than
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.config.actions.compiled import YamlAction
    from nango_py.json_types import JsonObject, JsonValue

YAML, PYTHON = "yaml", "python"
DEEPEST_INPUT = 200
"""Levels of an input that does not fit; deeper ones could exhaust the stack of whatever describes them."""
PLAIN = frozenset({str, int, bool, type(None)})
"""The types of values that need no further look."""
MOST_PLACES = 5
"""How many places of an unexpected result are reported."""
TOO_DEEP = Problem(Position("input"), "E007", "nested too deeply")


@record
class ActionInfo:
    """An action of an integration.

    Attributes:
        integration: the name in integrations.yaml.
        name: the name of the action.
        title: its name for people.
        description: what it does, for people and language models.
        changes: what it changes at the API, such as ("profiles",); () if it only reads.
        input_schema: JSON Schema (draft 2020-12) of its input, an object.
        output_schema: JSON Schema of its result, or None if it is not declared.
        kind: `yaml` or `python`.
        place: where it is written: `file:line`, or the name of a function.
    """

    integration: str
    name: str
    title: str
    description: str
    changes: tuple[str, ...]
    input_schema: JsonObject
    output_schema: JsonObject | None
    kind: str
    place: str

    @property
    def is_read(self) -> bool:
        """Whether the action changes nothing."""
        return not self.changes


class InputCheck:
    """Checks the input of an action against its schema, and fills in defaults.

    The usual check costs a few calls; only the problems of an input that does not fit import jsonschema.
    """

    __slots__ = ("_defaults", "_info", "_is_fitting", "_mutable_defaults")

    def __init__(self, info: ActionInfo) -> None:
        self._info = info
        self._defaults = defaults_of(info.input_schema)
        self._mutable_defaults = {
            name: value for name, value in self._defaults.items() if isinstance(value, list | dict)
        }
        self._is_fitting: Callable[[object], bool] = compile_check(info.input_schema)

    def check(self, given: Mapping[str, JsonValue] | None) -> JsonObject:
        """The input with defaults.

        Raises:
            ActionInputError: it does not fit.
        """
        if given is not None and not hasattr(given, "keys"):
            raise self.error(f"expected a mapping, found {kind_of(given)}")
        defaults = self._mutable_defaults
        # Copies: a caller who changes a result that holds a default would change it for everybody.
        value: JsonObject = {**self._defaults, **(deepcopy(defaults) if defaults else {}), **(given or {})}
        problems: list[Problem] = []
        try:
            if not self._is_fitting(value):
                problems = self._problems(value)
            else:
                for name in value:  # without a function call in the usual case
                    if value[name].__class__ not in PLAIN:
                        problem = _json_problem(value, "input", DEEPEST_INPUT)
                        problems = [problem] if problem is not None else []
                        break
        except RecursionError:
            problems = [TOO_DEEP]
        except (OverflowError, ValueError):
            problems = [Problem(Position("input"), "E401", "a number is too large")]
        if problems:
            raise ActionInputError(self._info.integration, self._info.name, problems)
        return value

    def _problems(self, value: JsonObject) -> list[Problem]:
        from nango_py.config.schema.validation import check_value

        # The messages of what is nested deeply would be as deep.
        is_deep = is_deeper_than(value, DEEPEST_INPUT)
        return [TOO_DEEP] if is_deep else check_value(self._info.input_schema, value, "input")

    def error(self, what: str) -> ActionInputError:
        """The error for an input that is wrong as a whole."""
        problem = Problem(Position("input"), "E201", what)
        return ActionInputError(self._info.integration, self._info.name, [problem])


class OutputCheck:
    """Checks the results of an action against its schema, if it declares one."""

    __slots__ = ("_is_fitting", "_schema")

    def __init__(self, schema: JsonObject | None) -> None:
        self._schema = schema
        self._is_fitting: Callable[[object], bool] | None = None if schema is None else compile_check(schema)

    def misfits(self, result: JsonValue) -> str:
        """The first places that do not fit, such as `output.id`, without their values; "" if all do."""
        if self._is_fitting is None or self._schema is None:
            return ""
        try:
            if self._is_fitting(result):
                return ""
            from nango_py.config.schema.validation import check_value

            problems = check_value(self._schema, result, "output")
        except (OverflowError, RecursionError, ValueError):
            return "output"
        return ", ".join(dict.fromkeys(problem.position.file for problem in problems[:MOST_PLACES]))


def _json_problem(value: object, place: str, depth: int) -> Problem | None:
    """Why a value is not JSON, with its place; None if it is."""
    if isinstance(value, str | int | None):
        return None
    if isinstance(value, float):
        is_number = math.isfinite(value)
        return (
            None if is_number else Problem(Position(place), "E401", "not a finite number; JSON has no other")
        )
    if depth == 0:
        return Problem(Position(place), "E007", "nested too deeply")
    if isinstance(value, Mapping):
        inside = ((f"{place}.{name}", item) for name, item in value.items())
    elif isinstance(value, list | tuple):
        inside = ((f"{place}[{number}]", item) for number, item in enumerate(value))
    else:
        expected = "expected text, a number, true, false, null, a list or a mapping"
        return Problem(Position(place), "E201", f"not JSON: of type {type(value).__name__}; {expected}")
    problems = (_json_problem(item, name, depth - 1) for name, item in inside)
    return next((problem for problem in problems if problem is not None), None)


def yaml_info(integration: str, action: YamlAction) -> ActionInfo:
    """The description of an action in a YAML file."""
    return ActionInfo(
        integration=integration,
        name=action.name,
        title=action.title,
        description=action.description,
        changes=action.changes,
        input_schema=action.input_schema,
        output_schema=action.output_schema,
        kind=YAML,
        place=action.place,
    )
