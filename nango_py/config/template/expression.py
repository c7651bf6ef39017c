"""Translates the syntax tree of an expression to closures. Only the few nodes in this file are allowed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from nango_py.config.template.filters import (
    FILTER_NAMES,
    FILTERS,
    Absent,
    TemplateProblem,
    is_absent,
    is_true,
    to_text,
)
from nango_py.config.template.parser import SyntaxNode
from nango_py.errors import nearest, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.config.template.compiled import Evaluate
    from nango_py.config.template.parser import Field

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*")
_ONLY_NAMES = "only names are allowed inside ${ }, e.g. ${api_key}"
_GRAMMAR = "allowed: names, filters, or, text in quotes, numbers, and `a if b else c`"


def _number(node: Field) -> int | float | None:
    """The number that a node writes, or None."""
    if not isinstance(node, SyntaxNode):
        return None
    if node.kind == "Neg":
        below = _number(node.fields["node"])
        return None if below is None else -below
    value = node.fields["value"] if node.kind == "Const" else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


class ValueOf(Protocol):
    """Returns the closure of a dotted name; `needed` says whether the template needs a value for it."""

    def __call__(self, name: str, *, needed: bool) -> Evaluate:
        """The closure."""


def refuse(offset: int, what: str = "", hint: str = _GRAMMAR) -> TemplateProblem:
    """The problem of an expression that is not allowed."""
    return TemplateProblem("E308", what or _ONLY_NAMES, hint=hint, offset=offset)


class Translation:
    """Translates one expression.

    Args:
        value_of: returns the closure of a name.
        names: the names found so far; the first one stands for the expression in messages.
        offset: the offset of the expression in the template, for messages.
    """

    def __init__(self, value_of: ValueOf, names: list[str], offset: int) -> None:
        self._value_of = value_of
        self._names = names
        self._offset = offset

    def value(self, node: Field, *, needed: bool) -> Evaluate:
        """A closure that returns the value of the node, if its kind is allowed."""
        if not isinstance(node, SyntaxNode):
            raise self._problem()
        kind = node.kind
        if kind in {"Name", "Getattr"}:
            return self._name(node, needed=needed)
        if kind == "Const":
            return self._literal(node.fields["value"])
        if kind == "Filter":
            return self._filter(node, needed=needed)
        if kind == "Or":
            first = self.value(node.fields["left"], needed=False)
            second = self.value(node.fields["right"], needed=needed)
            return lambda variables: value if is_true(value := first(variables)) else second(variables)
        if kind == "CondExpr":
            return self._choice(node)
        raise self._problem()

    def _name(self, node: Field, *, needed: bool) -> Evaluate:
        return self._value_of(self._dotted_name(node), needed=needed)

    def _dotted_name(self, node: Field) -> str:
        keys: list[str] = []
        while isinstance(node, SyntaxNode) and node.kind == "Getattr":
            keys.append(str(node.fields["attr"]))
            node = node.fields["node"]
        if not isinstance(node, SyntaxNode) or node.kind != "Name":
            raise self._problem()
        name = ".".join([str(node.fields["name"]), *reversed(keys)])
        if not NAME.fullmatch(name):
            raise self._problem("a name inside ${ } has only letters, digits and _, and starts with a letter")
        return name

    def _literal(self, value: Field) -> Evaluate:
        if not isinstance(value, str | int | float):
            raise self._problem()
        return lambda _: value

    def _filter(self, node: SyntaxNode, *, needed: bool) -> Evaluate:
        name, operand, arguments = str(node.fields["name"]), node.fields["node"], node.fields["args"]
        if name not in FILTER_NAMES:
            near = nearest(name, FILTER_NAMES)
            hint = f'did you mean "{near}"?' if near else f"there are: {', '.join(FILTER_NAMES)}"
            raise self._problem(f'no filter "{printable(name)}"', hint)
        has_others = any(node.fields[field] for field in ("kwargs", "dyn_args", "dyn_kwargs"))
        if has_others or operand is None or not isinstance(arguments, tuple):
            raise self._problem()
        self._check_argument_count(name, len(arguments))
        if name == "split" and not isinstance(_number(arguments[1]), int):
            raise self._problem(
                'the second argument of "split" is a number, such as 0, or -1 for the last part'
            )
        if name == "default":
            subject = self.value(operand, needed=False)
            fallback = self.value(arguments[0], needed=needed)
            return lambda variables: fallback(variables) if is_absent(value := subject(variables)) else value
        # In the order of the text, so that the first name of the expression is its subject.
        subject = self.value(operand, needed=needed)
        return self._apply(name, subject, [self._argument(argument, needed=needed) for argument in arguments])

    def _argument(self, node: Field, *, needed: bool) -> Evaluate:
        """An argument of a filter, which may also be a negative number."""
        number = _number(node)
        return self.value(node, needed=needed) if number is None else self._literal(number)

    def _apply(self, name: str, subject: Evaluate, arguments: list[Evaluate]) -> Evaluate:
        function = FILTERS[name][0]
        label = self._names[0] if self._names else name

        def apply(variables: Mapping[str, object]) -> object:
            value = subject(variables)
            if is_absent(value):
                return value if isinstance(value, Absent) else Absent(label)
            return function(value, label, *(to_text(argument(variables), label) for argument in arguments))

        return apply

    def _check_argument_count(self, name: str, count: int) -> None:
        fewest, most = (1, 1) if name == "default" else FILTERS[name][1:]
        if not fewest <= count <= most:
            expected = {(0, 0): "no argument", (0, 1): "at most one argument", (2, 2): "two arguments"}.get(
                (fewest, most), "one argument"
            )
            raise self._problem(f'the filter "{name}" takes {expected}')

    def _choice(self, node: SyntaxNode) -> Evaluate:
        if node.fields["expr2"] is None:
            raise self._problem("an if needs its else")
        chosen = self.value(node.fields["expr1"], needed=False)
        test = self._condition(node.fields["test"])
        other = self.value(node.fields["expr2"], needed=False)
        return lambda variables: chosen(variables) if test(variables) else other(variables)

    def _condition(self, node: Field) -> Callable[[Mapping[str, object]], bool]:
        if isinstance(node, SyntaxNode):
            fields = node.fields
            if node.kind == "Not":
                inner = self._condition(fields["node"])
                return lambda variables: not inner(variables)
            if (
                node.kind == "Test"
                and fields["name"] == "defined"
                and not (fields["args"] or fields["kwargs"])
            ):
                subject = self._name(fields["node"], needed=False)
                return lambda variables: not is_absent(subject(variables))
            if node.kind == "Compare":
                return self._comparison(node)
        value = self.value(node, needed=False)
        return lambda variables: is_true(value(variables))

    def _comparison(self, node: SyntaxNode) -> Callable[[Mapping[str, object]], bool]:
        operands = node.fields["ops"]
        if not isinstance(operands, tuple) or len(operands) != 1 or not isinstance(operands[0], SyntaxNode):
            raise self._problem()
        operand = operands[0].fields
        if operand["op"] not in {"eq", "ne"}:
            raise self._problem()
        left = self.value(node.fields["expr"], needed=False)
        right = self.value(operand["expr"], needed=False)
        is_equal_expected = operand["op"] == "eq"

        def compare(variables: Mapping[str, object]) -> bool:
            first, second = left(variables), right(variables)
            if is_absent(first) or is_absent(second):
                return (is_absent(first) and is_absent(second)) is is_equal_expected
            return (to_text(first, "left side") == to_text(second, "right side")) is is_equal_expected

        return compare

    def _problem(self, what: str = "", hint: str = _GRAMMAR) -> TemplateProblem:
        return refuse(self._offset, what, hint)
