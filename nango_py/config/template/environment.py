"""Replaces `${UPPER_CASE}` in integrations.yaml by environment variables, once, while loading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.config.template.compiled import RefusedText
from nango_py.config.template.compiler import substitute_environment
from nango_py.config.template.filters import TemplateProblem
from nango_py.config.template.positions import locate_problem
from nango_py.record import replaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path as FilePath

    from nango_py.config.values import Path
    from nango_py.config.yaml.document import Document
    from nango_py.errors import Problem

# Prose may show `${...}` in examples; it is not a template.
_PROSE = frozenset({"comment", "docs_url", "examples", "gotchas", "title"})


def resolve_environment(
    document: Document,
    places: Mapping[Path, str],
    environ: Mapping[str, str],
    folders: Iterable[FilePath],
    problems: list[Problem],
) -> Document:
    """The document with the values of environment variables; see `substitute_environment`.

    Args:
        document: integrations.yaml, or the same from Python.
        places: the paths of texts that are templates; other texts may name environment variables only.
        environ: the environment.
        folders: where the document's file may be, to report the exact column of a problem.
        problems: receives unset variables (E310) and malformed templates.
    """
    folders = tuple(folders)

    def resolve(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {
                key: item if _is_prose(key) else resolve(item, (*path, key)) for key, item in value.items()
            }
        if isinstance(value, list):
            return [resolve(item, (*path, index)) for index, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        try:
            return substitute_environment(value, environ, is_template=path in places)
        except TemplateProblem as problem:
            problems.append(locate_problem(problem, value, document.position(path), folders))
            return RefusedText(value)

    return replaced(document, data=resolve(document.data, ()))


def _is_prose(key: str) -> bool:
    return key in _PROSE or key.startswith("x-")
