"""JSON values with templates: a lone `${input.count}` keeps its type, and what has no value is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from nango_py.config.template.filters import Absent, TemplateProblem
from nango_py.config.values import MAPPINGS, plain

if TYPE_CHECKING:
    from nango_py.config.template.compiled import Template
    from nango_py.config.values import Path

Build: TypeAlias = Callable[[Mapping[str, object]], Any]
"""Makes a value from variables; the result is an Absent if it is to be left out."""


class TemplateReader(Protocol):
    """Compiles the templates of a request, and collects their problems."""

    def read(self, text: str, path: Path, *, may_be_absent: bool) -> Template:
        """The template of a text; an empty one if it is malformed.

        Args:
            text: as written.
            path: where it is written, below `request`.
            may_be_absent: whether a lone name without a value is left out.
        """


NOTHING = Absent("a mapping without values")


def compile_value(value: object, path: Path, reader: TemplateReader) -> Build:
    """What makes a value from variables."""
    build = _compile(value, path, reader)
    if build is not None:
        return build
    constant = plain(value)
    return lambda _: constant


def compile_text(text: str, path: Path, reader: TemplateReader) -> Build:
    """What makes a text from variables; a lone template without a value makes an Absent."""
    template = reader.read(text, path, may_be_absent=True)
    if template.is_constant:
        constant = template.render({})
        return lambda _: constant
    if template.lone_value() is None:
        return template.render
    return lambda variables: _text_or_absent(template, variables)


def _text_or_absent(template: Template, variables: Mapping[str, object]) -> str | Absent:
    lone = template.lone_value()
    if lone is not None and isinstance(lone(variables), Absent | None):
        return NOTHING
    return template.render(variables)


def _compile(value: object, path: Path, reader: TemplateReader) -> Build | None:
    """What makes a value; None for a constant."""
    if isinstance(value, str):
        return _compile_text(value, path, reader)
    if isinstance(value, MAPPINGS):
        return _compile_mapping(value, path, reader)
    if isinstance(value, list | tuple):
        return _compile_list(value, path, reader)
    return None


def _compile_text(text: str, path: Path, reader: TemplateReader) -> Build | None:
    template = reader.read(text, path, may_be_absent=True)
    if template.is_constant:
        return None if type(text) is str and "${" not in text else _constant(template.render({}))
    return template.lone_value() or template.render


def _constant(text: str) -> Build:
    return lambda _: text


def _compile_mapping(value: Mapping[str, object], path: Path, reader: TemplateReader) -> Build | None:
    entries = [(str.__str__(key), _compile(item, (*path, key), reader), item) for key, item in value.items()]
    if all(build is None for _, build, _ in entries):
        return None
    parts = [(key, build, None if build is not None else plain(item)) for key, build, item in entries]

    def build_mapping(variables: Mapping[str, object]) -> object:
        made: dict[str, object] = {}
        for key, build, constant in parts:
            if build is None:
                made[key] = constant
                continue
            item = build(variables)
            if item.__class__ is not Absent:
                made[key] = item
        return made or NOTHING

    return build_mapping


def _compile_list(value: list[Any] | tuple[Any, ...], path: Path, reader: TemplateReader) -> Build | None:
    items = [(_compile(item, (*path, index), reader), item) for index, item in enumerate(value)]
    if all(build is None for build, _ in items):
        return None
    parts = [(build, None if build is not None else plain(item)) for build, item in items]

    def build_list(variables: Mapping[str, object]) -> object:
        made = [constant if build is None else build(variables) for build, constant in parts]
        made = [item for item in made if item.__class__ is not Absent]
        return made or NOTHING

    return build_list


def present(build: Build, variables: Mapping[str, object], name: str) -> Any:
    """The value of something that may not be left out.

    Raises:
        TemplateProblem: E314; the value is missing.
    """
    value = build(variables)
    if isinstance(value, Absent):
        raise TemplateProblem("E314", f"{name} has no value")
    return value
