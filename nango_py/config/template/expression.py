"""From the syntax tree of an expression to closures: an allow-list of the few nodes a template may have.

The nodes are Jinja's; they are known here by the names of their classes, so this file needs no Jinja.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from nango_py.config.template.filters import (
    FILTER_NAMES,
    FILTERS,
    Absent,
    TemplateProblem,
    is_absent,
    is_true,
    to_text,
)
from nango_py.errors import nearest, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.config.template.compiled import Evaluate

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*")
_ONLY_NAMES = "only names are allowed inside ${ }, e.g. ${api_key}"
_GRAMMAR = "allowed: names, filters, or, text in quotes, and `a if b else c`"


class ValueOf(Protocol):
    """Gives the closure of a dotted name, and notes whether the template can do without a value."""

    def __call__(self, name: str, *, needed: bool) -> Evaluate:
        """The closure."""


def refuse(offset: int, what: str = "", hint: str = _GRAMMAR) -> TemplateProblem:
    """The problem of an expression that is not allowed."""
    return TemplateProblem("E308", what or _ONLY_NAMES, hint=hint, offset=offset)


class Translation:
    """The reading of one expression.

    Args:
        value_of: gives the closure of a name.
        names: the names found so far; the first one stands for the expression in messages.
        offset: where the expression stands, for messages.
    """

    def __init__(self, value_of: ValueOf, names: list[str], offset: int) -> None:
        self._value_of = value_of
        self._names = names
        self._offset = offset

    def value(self, node: Any, *, needed: bool) -> Evaluate:
        """A closure that gives the value of the node, if it is one of the few kinds allowed."""
        kind = type(node).__name__
        if kind in {"Name", "Getattr"}:
            return self._name(node, needed=needed)
        if kind == "Const":
            return self._literal(node)
        if kind == "Filter":
            return self._filter(node, needed=needed)
        if kind == "Or":
            first = self.value(node.left, needed=False)
            second = self.value(node.right, needed=needed)
            return lambda variables: value if is_true(value := first(variables)) else second(variables)
        if kind == "CondExpr":
            return self._choice(node)
        raise self._refused()

    def _name(self, node: Any, *, needed: bool) -> Evaluate:
        return self._value_of(self._dotted(node), needed=needed)

    def _dotted(self, node: Any) -> str:
        keys: list[str] = []
        while type(node).__name__ == "Getattr":
            keys.append(node.attr)
            node = node.node
        if type(node).__name__ != "Name":
            raise self._refused()
        name = ".".join([node.name, *reversed(keys)])
        if not NAME.fullmatch(name):
            raise self._refused("a name inside ${ } has only letters, digits and _, and starts with a letter")
        return name

    def _literal(self, node: Any) -> Evaluate:
        value = node.value
        if not isinstance(value, str | int | float):
            raise self._refused()
        return lambda _: value

    def _filter(self, node: Any, *, needed: bool) -> Evaluate:
        if node.name not in FILTER_NAMES:
            near = nearest(node.name, FILTER_NAMES)
            hint = f'did you mean "{near}"?' if near else f"there are: {', '.join(FILTER_NAMES)}"
            raise self._refused(f'no filter "{printable(node.name)}"', hint)
        if node.kwargs or node.dyn_args or node.dyn_kwargs or node.node is None:
            raise self._refused()
        self._check_argument_count(node.name, len(node.args))
        if node.name == "default":
            subject = self.value(node.node, needed=False)
            fallback = self.value(node.args[0], needed=needed)
            return lambda variables: fallback(variables) if is_absent(value := subject(variables)) else value
        # The order is that of the text, so that the first name of the expression is its subject.
        subject = self.value(node.node, needed=needed)
        return self._applied(
            node.name, subject, [self.value(argument, needed=needed) for argument in node.args]
        )

    def _applied(self, name: str, subject: Evaluate, arguments: list[Evaluate]) -> Evaluate:
        function = FILTERS[name][0]
        label = self._names[0] if self._names else name

        def applied(variables: Mapping[str, Any]) -> Any:
            value = subject(variables)
            if is_absent(value):
                return value if isinstance(value, Absent) else Absent(label)
            return function(value, label, *(to_text(argument(variables), label) for argument in arguments))

        return applied

    def _check_argument_count(self, name: str, count: int) -> None:
        fewest, most = (1, 1) if name == "default" else FILTERS[name][1:]
        if not fewest <= count <= most:
            wanted = "no argument" if not most else "one argument" if fewest else "at most one argument"
            raise self._refused(f'the filter "{name}" takes {wanted}')

    def _choice(self, node: Any) -> Evaluate:
        if node.expr2 is None:
            raise self._refused("an if needs its else")
        chosen = self.value(node.expr1, needed=False)
        test = self._condition(node.test)
        other = self.value(node.expr2, needed=False)
        return lambda variables: chosen(variables) if test(variables) else other(variables)

    def _condition(self, node: Any) -> Callable[[Mapping[str, Any]], bool]:
        kind = type(node).__name__
        if kind == "Not":
            inner = self._condition(node.node)
            return lambda variables: not inner(variables)
        if kind == "Test" and node.name == "defined" and not (node.args or node.kwargs):
            subject = self._name(node.node, needed=False)
            return lambda variables: not is_absent(subject(variables))
        if kind == "Compare" and len(node.ops) == 1 and node.ops[0].op in {"eq", "ne"}:
            return self._comparison(node)
        value = self.value(node, needed=False)
        return lambda variables: is_true(value(variables))

    def _comparison(self, node: Any) -> Callable[[Mapping[str, Any]], bool]:
        left = self.value(node.expr, needed=False)
        right = self.value(node.ops[0].expr, needed=False)
        wanted = node.ops[0].op == "eq"

        def compared(variables: Mapping[str, Any]) -> bool:
            first, second = left(variables), right(variables)
            if is_absent(first) or is_absent(second):
                return (is_absent(first) and is_absent(second)) is wanted
            return (to_text(first, "left side") == to_text(second, "right side")) is wanted

        return compared

    def _refused(self, what: str = "", hint: str = _GRAMMAR) -> TemplateProblem:
        return refuse(self._offset, what, hint)
