"""Compiles and checks templates: texts with `${...}`.

Plain names are read here. Other expressions are parsed by Jinja, their syntax tree is checked against an
allow-list, and translated to closures over our own filters. Jinja's code generator never runs.

Inside `${ }`: dotted names, the filters of `nango_py.config.template.filters` and `default`, `or`, text and
number literals, and `a if b else c` where b is a name, `x == y`, `x != y`, `x is defined`, or `not` one of
these. Everything else (`{{ }}`, `{% %}`, `{# #}`, `$x`) is plain text. A literal `${` is written `${ "${" }`.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from nango_py.config.template.compiled import Evaluate, Expression, Template, TemplateText, Variable
from nango_py.config.template.expression import NAME, Translation, refuse
from nango_py.config.template.filters import Absent, TemplateProblem, to_text
from nango_py.config.template.parser import parse_expression
from nango_py.config.values import EnvironmentText
from nango_py.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_SOURCE = 16_384
LONGEST_EXPRESSION = 1_000

_ENVIRONMENT_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_LIKE_A_NAME = re.compile(r"[$@]?[A-Za-z][\w.]*(?:[ -]+[A-Za-z0-9][\w.]*)*", re.ASCII)
_DOTTED_NAME = re.compile(r"[\w.]+")
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_RESERVED = frozenset(
    {"true", "false", "none", "True", "False", "None", "if", "else", "or", "and", "not", "in", "is"}
)


def compile_template(
    text: str, environ: Mapping[str, str] | None = None, *, allow_env: bool = False
) -> Template:
    """The checked template of a text.

    Args:
        text: the text as written in the file; an EnvironmentText is a constant and is not parsed.
        environ: the values of UPPER_CASE names, read now.
        allow_env: whether the text may name environment variables (integrations.yaml only).

    Raises:
        TemplateProblem: not closed (E307), not allowed (E308), environment variable not set (E310) or not
            allowed here (E311), too long (E315).
    """
    if isinstance(text, EnvironmentText):
        return Template(MASK, (), frozenset(), {}, (text,))
    if isinstance(text, TemplateText):
        return text.template
    if "${" not in text:
        return Template(text, (), frozenset(), {}, (text,) if text else ())
    if len(text) > LONGEST_SOURCE:
        raise TemplateProblem("E315", f"a template may have at most {LONGEST_SOURCE} characters")
    return _Compiler(text, environ if environ is not None else {}, allow_env=allow_env).template()


def substitute_environment(text: str, environ: Mapping[str, str], *, is_template: bool) -> str:
    """A text of integrations.yaml with the values of environment variables.

    A text that names only environment variables becomes an EnvironmentText, and a template that also has
    other names a TemplateText.

    Raises:
        TemplateProblem: as in `compile_template`; other variables are not allowed here (E306).
    """
    template = compile_template(text, environ, allow_env=True)
    if template.is_constant and template.is_hidden:
        return EnvironmentText(template.render({}))
    if is_template:
        return TemplateText(text, template) if template.is_hidden else text
    if template.is_constant:
        return template.render({})
    name = template.names[0]
    raise TemplateProblem(
        "E306",
        f'unknown variable "{name}"',
        expected="expected an environment variable here, such as ${SLACK_CLIENT_SECRET}",
        offset=template.offset_of(name),
    )


def literal_parts(text: str) -> list[tuple[int, str]]:
    """The parts of a compiled text that are outside of `${...}`, with their offsets."""
    parts: list[tuple[int, str]] = []
    index = 0
    while (opened := text.find("${", index)) >= 0:
        parts.append((index, text[index:opened]))
        index = _end_of(text, opened + 2) + 1
    return [*parts, (index, text[index:])]


def _end_of(text: str, start: int) -> int:
    """The index of the `}` that closes the expression starting at `start`, or -1."""
    depth = 0
    index = start
    while index < len(text):
        char = text[index]
        if char in "\"'":
            quoted = _QUOTED.match(text, index)
            if quoted is None:
                return -1
            index = quoted.end()
            continue
        if char == "}" and depth == 0:
            return index
        depth += {"{": 1, "}": -1}.get(char, 0)
        index += 1
    return -1


class _Compiler:
    """Compiles one text, and collects its pieces and names."""

    def __init__(self, text: str, environ: Mapping[str, str], *, allow_env: bool) -> None:
        self._text = text
        self._environ = environ
        self._allow_env = allow_env
        self._required: dict[str, bool] = {}
        self._offsets: dict[str, int] = {}
        # Of the expression that is being compiled:
        self._start = 0
        self._expression = ""
        self._expression_names: list[str] = []
        self._hidden = False

    def template(self) -> Template:
        pieces: list[str | Variable | Expression] = []
        index = 0
        while (opened := self._text.find("${", index)) >= 0:
            if opened > index:
                pieces.append(self._text[index:opened])
            end = _end_of(self._text, opened + 2)
            if end < 0:
                raise TemplateProblem(
                    "E307", '"${" is never closed', hint='close it with }, or write ${ "${" }', offset=opened
                )
            pieces.append(self._piece(opened, self._text[opened + 2 : end]))
            index = end + 1
        if index < len(self._text):
            pieces.append(self._text[index:])
        optional = frozenset(name for name, required in self._required.items() if not required)
        offsets = MappingProxyType(self._offsets)
        return Template(self._text, tuple(self._required), optional, offsets, tuple(pieces))

    def _piece(self, opened: int, inner: str) -> str | Variable | Expression:
        self._start, self._expression, self._expression_names, self._hidden = opened, inner, [], False
        name = inner.strip()
        if NAME.fullmatch(name) and name.partition(".")[0] not in _RESERVED:
            return self._plain_name(name)
        if _LIKE_A_NAME.fullmatch(name) and _RESERVED.isdisjoint(name.split()):
            meant = re.sub(r"[^A-Za-z0-9.]+", "_", name).strip("_")
            raise refuse(opened, "a name has only letters, digits and _", f"did you mean ${{{meant}}}?")
        if len(inner) > LONGEST_EXPRESSION:
            raise refuse(opened, f"an expression may have at most {LONGEST_EXPRESSION} characters")
        translation = Translation(self._value_of, self._expression_names, opened)
        tree = parse_expression(inner)
        if tree is None:
            raise refuse(opened)
        evaluate = translation.value(tree, needed=True)
        names = tuple(self._expression_names)
        if names:
            return Expression(names[0], names, self._hidden, evaluate)
        return self._constant(evaluate)

    def _constant(self, evaluate: Evaluate) -> str:
        """The text of an expression without names: literals and environment variables only."""
        try:
            text = to_text(evaluate({}), "expression")
        except TemplateProblem as problem:
            problem.offset = self._start
            raise
        return EnvironmentText(text) if self._hidden else text

    def _plain_name(self, name: str) -> str | Variable:
        if _is_environment(name):
            return EnvironmentText(to_text(self._environment(name, needed=True), name))
        return self._use(name, needed=True)

    def _use(self, name: str, *, needed: bool) -> Variable:
        self._required[name] = self._required.get(name, False) or needed
        self._offsets.setdefault(name, self._offset_of(name))
        self._expression_names.append(name)
        return Variable(name, tuple(name.split(".")))

    def _value_of(self, name: str, *, needed: bool) -> Evaluate:
        """The closure of a name inside an expression."""
        if _is_environment(name):
            value = self._environment(name, needed=needed)
            return lambda _: value
        return self._use(name, needed=needed).value

    def _offset_of(self, name: str) -> int:
        blanked = _QUOTED.sub(lambda match: " " * len(match[0]), self._expression)
        for found in _DOTTED_NAME.finditer(blanked):
            if found[0] == name or found[0].startswith(f"{name}."):
                return self._start + 2 + found.start()
        return self._start + 2

    def _environment(self, name: str, *, needed: bool) -> str | Absent:
        offset = self._offset_of(name)
        if "." in name:
            raise TemplateProblem("E308", "an environment variable has no parts", offset=offset)
        if not self._allow_env:
            raise TemplateProblem(
                "E311",
                "blueprints may not read environment variables",
                hint="set it in integrations.yaml",
                offset=offset,
            )
        self._hidden = True
        if name not in self._environ and needed:
            raise TemplateProblem("E310", f"environment variable {name} is not set", offset=offset)
        return self._environ.get(name, Absent(name))


def _is_environment(name: str) -> bool:
    return _ENVIRONMENT_NAME.fullmatch(name.partition(".")[0]) is not None
