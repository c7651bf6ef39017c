"""The `request:` of an action, compiled: what makes the arguments of a call from variables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from nango_py.config.actions.value_templates import Build, TemplateReader, compile_text, compile_value
from nango_py.config.template.filters import Absent, TemplateProblem, to_text
from nango_py.config.urls.paths import check_path_template, render_path
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py.config.template.compiled import Template
    from nango_py.config.values import Path
    from nango_py.json_types import Settings

BODIES = ("json", "data", "body")
MAX_RECORDS = 1000
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_-]+")


class Paging(NamedTuple):
    """How an action reads a list.

    Attributes:
        max_records: after how many records it stops.
        options: more options of `paginate`.
    """

    max_records: Build
    options: dict[str, Any]


@record
class ActionRequest:
    """The request of a step.

    Attributes:
        method: in upper case.
        base: the name of a base of `requests.bases`, or "".
        path: makes the path, percent-encoded.
        options: what makes each option of the call, by its name.
        paging: how to read a list; None for one call.
        query: the GraphQL document, or "".
        variables: makes its variables.
    """

    method: str
    base: str
    path: Build
    options: tuple[tuple[str, Build], ...]
    paging: Paging | None
    query: str
    variables: Build

    def make_options(self, variables: Mapping[str, object]) -> dict[str, Any]:
        """The options of the call.

        Raises:
            TemplateProblem: a value is missing or cannot be sent.
        """
        made: dict[str, Any] = {}
        for name, build in self.options:
            value = build(variables)
            if value.__class__ is not Absent:
                made[name] = value
        return made


def compile_request(settings: Settings, reader: TemplateReader) -> ActionRequest:
    """The request of a step.

    Args:
        settings: the checked `request:` block.
        reader: compiles its templates, and collects their problems.
    """
    compiler = _Compiler(settings, reader)
    graphql, paginate = settings.get("graphql") or {}, settings.get("paginate")
    return ActionRequest(
        method=str(settings.get("method", "GET")).upper(),
        base=str(settings.get("base", "")),
        path=compiler.path(),
        options=tuple(compiler.options()),
        paging=compiler.paging({} if paginate is True else paginate) if paginate else None,
        query=str(graphql.get("query", "")),
        variables=_body_of(compiler.value(("graphql", "variables")) or _empty),
    )


def _empty(_: object) -> dict[str, object]:
    return {}


class _Compiler:
    def __init__(self, settings: Settings, reader: TemplateReader) -> None:
        self._settings = settings
        self._reader = reader

    def options(self) -> Iterator[tuple[str, Build]]:
        """What makes each option of the call."""
        params, headers = self._settings.get("params") or {}, self._settings.get("headers") or {}
        if params:
            values = ((name, ("params", name)) for name in params)
            yield (
                "params",
                _params_of(
                    [
                        (str.__str__(name), compile_value(params[name], path, self._reader))
                        for name, path in values
                    ]
                ),
            )
        if headers:
            yield (
                "headers",
                _headers_of([(str.__str__(name), self._text(("headers", name))) for name in headers]),
            )
        for name in BODIES:
            if name in self._settings:
                yield name, _body_of(self.value((name,)) or _empty)
        if "idempotency_key" in self._settings:
            yield "idempotency_key", self._text(("idempotency_key",))

    def path(self) -> Build:
        """What makes the path."""
        written = self._settings.get("path")
        if written is None:
            return lambda _: ""
        template = self._reader.read(written, ("path",), may_be_absent=False)
        if template.is_constant:
            constant = template.render({})
            return lambda _: constant
        return _path_of(template)

    def value(self, path: Path) -> Build | None:
        """What makes the value at a path; None if nothing does."""
        value = self._at(path)
        return None if value is None else compile_value(value, path, self._reader)

    def paging(self, block: Settings) -> Paging:
        """How to read the list."""
        options: dict[str, Any] = {}
        if "records" in block:
            options["pagination"] = {"records": str(block["records"])}
        options |= {name: block[name] for name in ("page_size", "at") if name in block}
        limit = self.value(("paginate", "max_records")) if "max_records" in block else None
        return Paging(limit or (lambda _: MAX_RECORDS), options)

    def _at(self, path: Path) -> Any:
        value: Any = self._settings
        for part in path:
            value = value.get(part) if hasattr(value, "get") else None
        return value

    def _text(self, path: Path) -> Build:
        value = self._at(path)
        if not isinstance(value, str):
            constant = to_text(value, str(path[-1]))
            return lambda _: constant
        return compile_text(value, path, self._reader)


def check_path(template: Template) -> None:
    """Refuse a path that leads out of its base URL, or has a query.

    Raises:
        TemplateProblem: E316.
    """
    check_path_template(template)
    if "?" in "".join(text for text, _ in template.outline()):
        raise TemplateProblem("E316", "the path has a query", hint="write it under params")


LONGEST_SEGMENT = 8192
"""Servers refuse longer URLs, and an error would repeat all of it."""


def _path_of(template: Template) -> Build:
    """What makes a path with each value as one segment; the usual ids need no encoding."""
    parts = template.values()

    def build_path(variables: Mapping[str, object]) -> str:
        made = []
        for part in parts:
            if part.__class__ is str:
                made.append(part)
                continue
            value = part(variables)  # type: ignore[operator] # a text or a function
            if value.__class__ is str and len(value) > LONGEST_SEGMENT:
                what = f"a value in the path is longer than {LONGEST_SEGMENT} characters"
                raise TemplateProblem("E315", what)
            if value.__class__ is not str or _PLAIN_VALUE.fullmatch(value) is None:
                return render_path(template, variables)
            made.append(value)
        return "".join(made)

    return build_path


def _params_of(fields: list[tuple[str, Build]]) -> Build:
    """What makes query parameters: lists repeat one, true is `true`, and null is left out."""

    def build_params(variables: Mapping[str, object]) -> dict[str, object]:
        made: dict[str, object] = {}
        for name, build in fields:
            value = build(variables)
            if value.__class__ is str or value.__class__ is int:
                made[name] = value
            elif value.__class__ is list:
                made[name] = [to_text(item, name) for item in value]
            elif value is not None and value.__class__ is not Absent:
                made[name] = to_text(value, name)
        return made

    return build_params


def _headers_of(fields: list[tuple[str, Build]]) -> Build:
    def build_headers(variables: Mapping[str, object]) -> dict[str, object]:
        made: dict[str, object] = {}
        for name, build in fields:
            value = build(variables)
            if value.__class__ is not Absent:
                made[name] = value
        return made

    return build_headers


def _body_of(build: Build) -> Build:
    """A body is sent also if all of its fields are left out."""

    def build_body(variables: Mapping[str, object]) -> Any:
        value = build(variables)
        return {} if isinstance(value, Absent) else value

    return build_body
