"""Checks the values that a file offers for a part of a host."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.config.template.filters import TemplateProblem
from nango_py.config.urls.hosts import ROOT, whole_host
from nango_py.config.values import MAPPINGS, list_at, mapping_at
from nango_py.errors import Problem, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py.config.template.compiled import Template
    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Located
    from nango_py.json_types import Settings

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_URLS = ("requests", "auth")


def check_host_choices(
    settings: Settings, compiled: Mapping[Path, Template], fields: Mapping[str, str], locator: Located
) -> Iterator[Problem]:
    """Choices and defaults of settings that are part of a host, but are not one DNS label (E305).

    Each connection with such a value would fail.
    """
    declared = mapping_at(settings, "connection_config", "properties")
    for path, template in compiled.items():
        if path[0] in _URLS and template.source.startswith("http"):
            for index, name in _in_host(template, fields):
                field = declared.get(name.removeprefix(ROOT))
                if isinstance(field, MAPPINGS):
                    yield from _check_field(template, index, name.removeprefix(ROOT), field, locator)


def _in_host(template: Template, fields: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """The pieces of a template that are part of a host label, each with its only name."""
    whole, _ = whole_host(template, fields) if fields else (-1, "")
    names = template.names_by_piece()
    text = ""
    for index, (piece, name) in enumerate(template.outline()):
        text += piece
        if "/" in text.partition("://")[2]:
            return
        if name and index != whole and len(names[index]) == 1 and names[index][0].startswith(ROOT):
            yield index, names[index][0]


def _check_field(
    template: Template, index: int, name: str, field: Settings, locator: Located
) -> Iterator[Problem]:
    path: Path = ("connection_config", "properties", name)
    values: list[tuple[Path, object]] = [
        (("enum", number), value) for number, value in enumerate(list_at(field, "enum"))
    ]
    if "default" in field:
        values.append((("default",), field["default"]))
    for below, value in values:
        try:
            text = template.piece_text(index, {"additional_config": {name: value}})
        except TemplateProblem:
            continue
        if isinstance(value, str) and not _LABEL.fullmatch(text):
            what = f'"{printable(text, 64)}" is part of a host, but not one DNS label'
            expected = "expected a-z 0-9 - without dots"
            help_ = "write the hosts as a table in hosts:"
            yield Problem(locator.position((*path, *below)), "E305", what, expected, help_)
