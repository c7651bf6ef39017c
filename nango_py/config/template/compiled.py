"""Compiled templates: pieces of text that are joined with the values of a call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Self

from nango_py.config.template.filters import Absent, TemplateProblem, to_text
from nango_py.config.values import EnvironmentText
from nango_py.record import field, record
from nango_py.secret import MASK

LONGEST_OUTPUT = 65_536

Evaluate = Callable[[Mapping[str, object]], object]


@record
class Variable:
    """A piece of a template that is one name."""

    name: str
    keys: tuple[str, ...]

    def value(self, variables: Mapping[str, object]) -> object:
        """The value of the name, or Absent."""
        value: Any = variables  # unknown until it is indexed
        for key in self.keys:
            try:
                value = value[key]
            except (KeyError, TypeError, IndexError):
                return Absent(self.name)
        return value

    def text(self, variables: Mapping[str, object]) -> str:
        """The value as text, or a TemplateProblem."""
        value = self.value(variables)
        return value if value.__class__ is str else to_text(value, self.name)


@record
class Expression:
    """A piece of a template that is an expression."""

    name: str
    names: tuple[str, ...]
    hidden: bool
    evaluate: Evaluate = field(repr=False)

    def text(self, variables: Mapping[str, object]) -> str:
        """The value as text, or a TemplateProblem."""
        return to_text(self.evaluate(variables), self.name)


@record(eq=False)
class Template:
    """A checked template; make one with `compile_template`.

    Attributes:
        source: the text as written; `***` for a text from the environment.
        names: the dotted names that it uses, in order of appearance, without environment variables.
        optional_names: those of `names` that need no value, because they are used in `default`, `or` or `if`.
    """

    source: str
    names: tuple[str, ...]
    optional_names: frozenset[str]
    _offsets: Mapping[str, int] = field(repr=False)
    _pieces: tuple[str | Variable | Expression, ...] = field(repr=False)

    @property
    def needs_value(self) -> bool:
        """Whether the text is constant, or a variable of it must have a value."""
        return self.is_constant or not self.optional_names.issuperset(self.names)

    @property
    def is_constant(self) -> bool:
        """Whether it renders to the same text for every connection."""
        return not self.names

    @property
    def is_hidden(self) -> bool:
        """Whether it contains a value of the environment."""
        return any(
            isinstance(piece, EnvironmentText) or (isinstance(piece, Expression) and piece.hidden)
            for piece in self._pieces
        )

    def shows_secret(self, secret_names: Collection[str]) -> bool:
        """Whether the rendered text contains one of these variables, or a value of the environment."""
        return self.is_hidden or any(_is_secret(name, secret_names) for name in self.names)

    def lone_value(self) -> Evaluate | None:
        """What gives the value of a template that is one `${...}`, with its type; None for other texts.

        It returns an Absent if there is no value.
        """
        if len(self._pieces) != 1 or isinstance(self._pieces[0], str):
            return None
        piece = self._pieces[0]
        return piece.value if isinstance(piece, Variable) else piece.evaluate

    def values(self) -> list[str | Evaluate]:
        """The texts of the file, and what gives each value between them."""
        return [
            piece
            if isinstance(piece, str)
            else piece.value
            if isinstance(piece, Variable)
            else piece.evaluate
            for piece in self._pieces
        ]

    def offset_of(self, name: str) -> int:
        """The offset of the first `name` in `source`."""
        return self._offsets.get(name, 0)

    def render(self, variables: Mapping[str, object]) -> str:
        """The text with its values. Values are never parsed as templates.

        Raises:
            TemplateProblem: a variable has no value, or the text is longer than 64 KiB.
        """
        text = "".join([piece if isinstance(piece, str) else piece.text(variables) for piece in self._pieces])
        if len(text) > LONGEST_OUTPUT:
            del text
            raise TemplateProblem("E315", f"the rendered text is longer than {LONGEST_OUTPUT} characters")
        return text

    def render_parts(self, variables: Mapping[str, object]) -> list[tuple[str, str]]:
        """The pieces of the rendered text as (text, name); name is "" for text of the file.

        For callers that encode or check each value by its position, as in URLs.
        """
        parts = [
            (str.__str__(piece), "") if isinstance(piece, str) else (piece.text(variables), piece.name)
            for piece in self._pieces
        ]
        if sum(len(text) for text, _ in parts) > LONGEST_OUTPUT:
            del parts
            raise TemplateProblem("E315", f"the rendered text is longer than {LONGEST_OUTPUT} characters")
        return parts

    def outline(self) -> list[tuple[str, str]]:
        """The pieces of `render_parts` with "" instead of each value."""
        return [
            (str.__str__(piece), "") if isinstance(piece, str) else ("", piece.name) for piece in self._pieces
        ]

    def piece_text(self, index: int, variables: Mapping[str, object]) -> str:
        """The text of a piece of `outline`, rendered.

        Raises:
            TemplateProblem: a variable has no value.
        """
        piece = self._pieces[index]
        return str.__str__(piece) if isinstance(piece, str) else piece.text(variables)

    def is_expression(self, index: int) -> bool:
        """Whether a piece of `outline` is more than one name."""
        return isinstance(self._pieces[index], Expression)

    def defaults(self) -> list[tuple[str, str | None]]:
        """The pieces of `outline`, with the text that an expression has without any variable, or None."""
        return [
            (str(piece), None) if isinstance(piece, str) else ("", _default(piece)) for piece in self._pieces
        ]

    def names_by_piece(self) -> list[tuple[str, ...]]:
        """The names in each piece of `outline`; () for text of the file."""
        return [
            () if isinstance(piece, str) else (piece.name,) if isinstance(piece, Variable) else piece.names
            for piece in self._pieces
        ]

    def mask(self, variables: Mapping[str, object], secret_names: Collection[str]) -> str:
        """The rendered text with `***` for secret variables and values of the environment.

        An expression that uses a secret is masked as a whole.
        """
        return "".join(text for text, _ in self.mask_parts(variables, secret_names))

    def mask_parts(
        self, variables: Mapping[str, object], secret_names: Collection[str]
    ) -> list[tuple[str, str]]:
        """The pieces of `mask`, like those of `render_parts`."""
        return [_mask(piece, variables, secret_names) for piece in self._pieces]


def _default(piece: Variable | Expression) -> str | None:
    if isinstance(piece, Variable) or piece.hidden:
        return None
    try:
        return piece.text({})
    except TemplateProblem:
        return None


def _mask(
    piece: str | Variable | Expression, variables: Mapping[str, object], secret_names: Collection[str]
) -> tuple[str, str]:
    if isinstance(piece, str):
        return (MASK if isinstance(piece, EnvironmentText) else piece, "")
    if isinstance(piece, Variable):
        is_secret = _is_secret(piece.name, secret_names)
    else:
        is_secret = piece.hidden or any(_is_secret(name, secret_names) for name in piece.names)
    return (MASK if is_secret else piece.text(variables), piece.name)


def _is_secret(name: str, secret_names: Collection[str]) -> bool:
    return name in secret_names or name.partition(".")[0] in secret_names


class TemplateText(str):
    """A template of integrations.yaml that mixes values of the environment with other names.

    As a str it is what the file says. `compile_template` returns `template`, which holds those values.
    """

    __slots__ = ("template",)
    template: Template

    def __new__(cls, text: str, template: Template) -> Self:
        """The text, with its template attached."""
        self = super().__new__(cls, text)
        self.template = template
        return self


class RefusedText(str):
    """A text of integrations.yaml whose problem was reported already; later checks skip it."""

    __slots__ = ()
