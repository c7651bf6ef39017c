"""Compiles and checks the templates of a settings tree."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from nango_py.config.header_checks import check_header_names
from nango_py.config.host_choices import check_host_choices
from nango_py.config.own_fields import check_declared_names, own_names
from nango_py.config.schema.lint import lint_usage
from nango_py.config.schema.template_places import JMESPATH, template_places
from nango_py.config.template.compiled import RefusedText
from nango_py.config.template.compiler import compile_template
from nango_py.config.template.environment import locate_problem
from nango_py.config.template.filters import TemplateProblem
from nango_py.config.template.foreign import MAY_BE_FOREIGN, check_foreign_names
from nango_py.config.template.headers import check_header_template
from nango_py.config.template.variables import KEY_NAME, check_variables, variable_names
from nango_py.config.urls.base_url import check_base_url
from nango_py.config.urls.host_tables import check_host_tables
from nango_py.config.urls.hosts import ARTICLES, FORMATS, ROOT, host_fields, normalize_host
from nango_py.config.urls.paths import check_path_template
from nango_py.config.values import EnvironmentText, mapping_at
from nango_py.errors import MAX_PROBLEMS, Problem
from nango_py.json_path import find_path_fault
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path as FilePath

    from nango_py.config.model import Blueprint
    from nango_py.config.template.compiled import Template
    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Located
    from nango_py.json_types import Settings

Compiled = dict["Path", "Template"]
_SCOPES = frozenset({"connection", "integration"})


def check_templates(
    settings: Settings, locator: Located, folders: Iterable[FilePath] = ()
) -> tuple[Compiled, list[Problem]]:
    """Every template of a merged tree by its path, and their problems.

    Args:
        settings: the merged settings of a blueprint or an integration.
        locator: where the parts of the tree were written.
        folders: where the files may be found, to report the exact column.
    """
    compiled: Compiled = {}
    problems: list[Problem] = []
    folders = tuple(folders)
    auth_mode = _auth_mode(settings)
    fields = host_fields(settings)
    own = own_names(settings)
    allow_http = _at(settings, ("requests", "allow_http")) is True
    for path, kind in template_places("integration", settings).items():
        text = _at(settings, path)
        if isinstance(text, RefusedText) or len(problems) > MAX_PROBLEMS:
            continue
        if kind == JMESPATH:
            problems += _check_json_path(text, locator, path)
            continue
        try:
            template = compiled[path] = compile_template(text)
            if MAY_BE_FOREIGN.search(template.source):
                names = _names(settings, auth_mode)
                check_foreign_names(template.source, names, is_sure=_is_key(kind, path))
            check_declared_names(template, settings)
            _check_place(template, kind, path, fields, allow_http=allow_http)
        except TemplateProblem as problem:
            problems.append(locate_problem(problem, text, locator.position(path), folders))
            continue
        if auth_mode:
            problems += [
                locate_problem(problem, text, locator.position(path), folders)
                for problem in check_variables(template, kind, auth_mode, own)
            ]
    problems += itertools.islice(check_header_names(settings, locator), MAX_PROBLEMS)
    problems += itertools.islice(check_host_tables(settings, locator), MAX_PROBLEMS)
    problems += itertools.islice(_check_host_fields(settings, fields, locator), MAX_PROBLEMS)
    problems += itertools.islice(check_host_choices(settings, compiled, fields, locator), MAX_PROBLEMS)
    return compiled, problems


def _check_json_path(text: str, locator: Located, path: Path) -> list[Problem]:
    what, help_ = find_path_fault(str.__str__(text))
    if not what:
        return []
    if isinstance(text, EnvironmentText):  # the help would repeat the value
        what, help_ = "not a JMESPath", ""
    return [Problem(locator.position(path), "E324", what, "", help_)]


def check_blueprint_templates(blueprint: Blueprint) -> list[Problem]:
    """The problems of the templates of a blueprint with one of its logins."""
    folders = (blueprint.source.parent, blueprint.source.parent.parent)
    origins = blueprint.origins
    compiled, problems = check_templates(blueprint.settings, origins, folders)
    if "actions" in blueprint.settings:
        from nango_py.config.actions.checks import check_actions

        problems += check_actions(blueprint.settings, origins, folders)
    return problems or check_usage(blueprint.settings, compiled, origins)


def check_usage(settings: Settings, compiled: Compiled, locator: Located) -> list[Problem]:
    """Warnings about credentials and keys that are not used; see `lint_usage`."""
    blocks = {"requests", "endpoints"}
    sent = [name for path, template in compiled.items() if path[0] in blocks for name in template.names]
    return list(lint_usage(settings, sent, locator))


def _names(settings: Settings, auth_mode: str) -> dict[str, str]:
    """How templates write each variable, by its name and, for settings of a connection, by its last part."""
    fields = mapping_at(settings, "connection_config", "properties")
    names = {name.lower(): f"{ROOT}{name}" for name in fields}
    names |= {name: name for name in own_names(settings)}
    return {**names, **{name: name for name in (variable_names(auth_mode) if auth_mode else ())}}


def _is_key(kind: str, path: Path) -> bool:
    """Whether braces are never text here: in URLs, in `auth:`, and in what sends a key."""
    return kind in {"url", "text"} or (
        kind in {"header", "query"} and KEY_NAME.search(str(path[-1])) is not None
    )


def _check_place(
    template: Template, kind: str, path: Path, fields: Mapping[str, str], *, allow_http: bool
) -> None:
    if kind == "url":
        check_base_url(
            template, allow_http=allow_http, allow_query=path[0] != "requests",
            fields={name: kind for name, kind in fields.items() if kind in FORMATS},
        )  # fmt: skip
    elif kind == "path":
        check_path_template(template)
    elif kind == "header":
        check_header_template(template, str(path[-1]))
    elif path[-1] == "counted_per" and template.is_constant and template.source not in _SCOPES:
        raise TemplateProblem(
            "E204", "expected connection, integration or a template", hint="e.g. ${additional_config.account}"
        )


def _check_host_fields(settings: Settings, fields: Mapping[str, str], locator: Located) -> Iterator[Problem]:
    """Fields that are declared as hosts but cannot be hosts (E204)."""
    for name, kind in fields.items():
        place = ("connection_config", "properties", name.removeprefix(ROOT))
        field = _at(settings, place)
        if kind not in FORMATS:
            continue  # the schema check reports it
        if field.get("type", "string") != "string":
            yield Problem(
                locator.position((*place, "type")),
                "E204",
                f"{ARTICLES[kind]} must be a string",
                "expected string",
            )
        if "default" in field and not normalize_host(field["default"], kind):
            yield Problem(
                locator.position((*place, "default")),
                "E204",
                f"not {ARTICLES[kind]}",
                f"expected {FORMATS[kind]}",
            )


def _auth_mode(settings: Settings) -> str:
    """The auth mode of the settings, or "" if it is missing or unknown, which the schema check reports."""
    mode = _at(settings, ("auth", "auth_mode"))
    return str.__str__(mode) if isinstance(mode, str) and mode in AUTH_MODES.names() else ""


def _at(settings: Any, path: Path) -> Any:
    """The value at a path, or None."""
    for part in path:
        if hasattr(settings, "items"):
            settings = settings.get(part)
        elif isinstance(settings, list | tuple) and isinstance(part, int):
            settings = settings[part]
        else:
            return None
    return settings
