"""The names that the templates of an action may use, and the check of those that they use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nango_py.config.template.filters import TemplateProblem
from nango_py.errors import nearest, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.config.template.compiled import Template
    from nango_py.json_types import Schema

INPUT, VALUES, STEPS, ITEM, CONFIG = "input", "values", "steps", "item", "additional_config"
ALONE = frozenset({"user_id", "integration", "now", "uuid"})
ROOTS = frozenset({INPUT, VALUES, STEPS, ITEM, CONFIG}) | ALONE


class Scope:
    """What exists where a template stands.

    Args:
        input_schema: the schema of the action's input.
        steps: the names of the steps before.
        values: the names of the step's `values`.
        has_item: whether the step runs for each item of a list.
    """

    def __init__(
        self, input_schema: Schema, steps: tuple[str, ...], values: tuple[str, ...], *, has_item: bool
    ) -> None:
        self._values = values
        self._input = input_schema
        self._steps = steps
        self._has_item = has_item

    def check(self, template: Template, *, is_whole: bool) -> Iterator[TemplateProblem]:
        """What is wrong with the names of a template (E703).

        Args:
            template: the template.
            is_whole: whether a lone name without a value is left out, so that it may be absent.
        """
        may_be_absent = is_whole and template.lone_value() is not None
        for name in template.names:
            what, hint = self._fault(name, needed=not may_be_absent and name not in template.optional_names)
            if what:
                yield TemplateProblem("E703", what, hint=hint, offset=template.offset_of(name))

    def _fault(self, name: str, *, needed: bool) -> tuple[str, str]:
        root, _, rest = name.partition(".")
        parts = rest.split(".") if rest else []
        if root not in ROOTS:
            near = nearest(root, ROOTS)
            known = f"there are: {', '.join(sorted(ROOTS))}"
            return f'unknown name "{printable(root)}"', f"did you mean {near}?" if near else known
        if root in ALONE and parts:
            return f"{root} is text and has no {printable(parts[0])}", f"write ${{{root}}}"
        if root == ITEM and not self._has_item:
            return "item exists only in steps with for_each", ""
        if root == CONFIG and not parts:
            return f"{root} has parts", f"write ${{{root}.name}}"
        if root in {STEPS, VALUES}:
            return self._part_fault(root, parts)
        return self._input_fault(parts, name, needed=needed) if root == INPUT else ("", "")

    def _part_fault(self, root: str, parts: list[str]) -> tuple[str, str]:
        if not parts:
            return f"{root} has parts", f"write ${{{root}.name}}"
        known = self._steps if root == STEPS else self._values
        if parts[0] in known:
            return "", ""
        near, kind = nearest(parts[0], known), "step before" if root == STEPS else "value"
        help_ = f"did you mean {root}.{near}?" if near else f"there are: {', '.join(known) or 'none'}"
        return f'no {kind} is named "{printable(parts[0])}"', help_

    def _input_fault(self, parts: list[str], name: str, *, needed: bool) -> tuple[str, str]:
        schema: Any = self._input
        for index, part in enumerate(parts):
            if not isinstance(schema, Mapping) or not isinstance(schema.get("properties"), Mapping):
                return "", ""  # the schema does not say what is below
            known = schema["properties"]
            above = ".".join((INPUT, *parts[:index]))
            if part not in known:
                near = nearest(part, known)
                help_ = (
                    f"did you mean {above}.{near}?" if near else f"it has: {', '.join(known) or 'nothing'}"
                )
                return f'{above} has no property "{printable(part)}"', help_
            is_given = part in (schema.get("required") or ()) or _has_default(known[part])
            if needed and not is_given:
                help_ = f'add it to required, or write ${{{name} | default("")}}'
                return f"{above}.{part} may be absent", help_
            schema = known[part]
        return "", ""


def _has_default(schema: object) -> bool:
    return isinstance(schema, Mapping) and "default" in schema
