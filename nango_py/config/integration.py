"""integrations.yaml, or the same from Python, to a checked and frozen Configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nango_py.clock import SYSTEM_CLOCK
from nango_py.config.checked import check_blueprint_templates, check_templates
from nango_py.config.document import document_from_python, load_document
from nango_py.config.environment import with_environment
from nango_py.config.merge import Origins, Sourced, merged, with_nulls
from nango_py.config.model import Config, Configuration, EnvironmentText, Integration, Status, frozen
from nango_py.config.names import names_of, secret_names_of
from nango_py.config.places import template_places
from nango_py.config.schema import check_integrations, check_merged
from nango_py.config.settings import config_of, request_settings
from nango_py.errors import ConfigError, Problem, unknown_name
from nango_py.registry import AUTH_MODES
from nango_py.secret import Secret

if TYPE_CHECKING:
    from nango_py.clock import Clock
    from nango_py.config.blueprint import Catalogue
    from nango_py.config.model import Blueprint, Path
    from nango_py.config.tree import Document

__all__ = ["check_blueprint_templates", "check_templates", "load_configuration", "origin_of"]

FROM_PYTHON = "Nango(integrations=...)"
OVERRIDES = "Nango(overrides=...)"
_APP_NAMES = ("app_api_key", "oauth_client_id", "oauth_client_secret")
_APP_SECRETS = frozenset({"app_api_key", "oauth_client_secret"})


def load_configuration(
    source: FilePath | Mapping[str, Any],
    *,
    catalogue: Catalogue,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Configuration:
    """Everything that the files say, or every problem of all of them.

    Args:
        source: integrations.yaml, or its content: `{"integrations": {...}, "config": {...}}` or only the
            integrations by name.
        catalogue: where blueprints are found; the folders of `config.blueprint_paths` are added to it.
        environ: what `${UPPER_CASE}` names are read from, once; the process's environment by default.
        overrides: settings by integration, laid over those of `source`.
        clock: tells which blueprints are retired.

    Raises:
        ConfigError: with all problems, sorted by place.
    """
    loading = _Loading(os.environ if environ is None else environ, clock)
    return loading.configuration(source, catalogue, overrides or {})


def origin_of(integration: Integration, path: Path) -> str:
    """`file:line` of the setting at `path`, or of the nearest thing around it that was written."""
    while path and path not in integration.origins:
        path = path[:-1]
    position = integration.origins.get(path)
    if position is None:
        return ""
    return f"{position.file}:{position.line}" if position.line else position.file


class _Loading:
    """One run over one source; it gathers problems and warnings."""

    def __init__(self, environ: Mapping[str, str], clock: Clock) -> None:
        self._environ = environ
        self._clock = clock
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []
        self._folders: list[FilePath] = []

    def configuration(
        self,
        source: FilePath | Mapping[str, Any],
        catalogue: Catalogue,
        overrides: Mapping[str, Mapping[str, Any]],
    ) -> Configuration:
        folder = None if isinstance(source, Mapping) else source.parent
        self._folders = [folder or FilePath()]
        document = self._document(source)
        over = self._overrides(overrides, document)
        config = Config()
        if isinstance(document.data, dict) and isinstance(document.data.get("config"), dict):
            config = self._config(document.data["config"], folder)
        if config.blueprint_paths:
            catalogue = catalogue.with_folders(config.blueprint_paths)
        entries = document.data.get("integrations") if isinstance(document.data, dict) else None
        integrations = {}
        for name in entries if isinstance(entries, dict) else ():
            found = self._integration(name, document, over, catalogue, config)
            if found is not None:
                integrations[name] = found
        if self._problems:
            raise ConfigError(dict.fromkeys(self._problems))
        warnings = tuple(sorted(dict.fromkeys(self._warnings), key=lambda warning: warning.position))
        return Configuration(MappingProxyType(integrations), config, document.file, warnings)

    def _document(self, source: FilePath | Mapping[str, Any]) -> Document:
        if isinstance(source, Mapping):
            document = document_from_python(_whole(source), FROM_PYTHON)
        else:
            document = load_document(source, problems=self._problems)
        self._warnings += document.warnings
        self._problems += check_integrations(document)
        places = template_places("integrations_file", document.data)
        complete = with_environment(document, places, self._environ, self._folders, self._problems)
        if complete.data != document.data:
            self._problems += check_integrations(complete)
        return complete

    def _overrides(self, overrides: Mapping[str, Mapping[str, Any]], document: Document) -> Document:
        over = document_from_python(overrides, OVERRIDES)
        known = document.data.get("integrations") if isinstance(document.data, dict) else None
        for name in over.data:
            if isinstance(known, dict) and name not in known:
                what = unknown_name("integration", name, known)
                self._problems.append(Problem(over.position((name,)), "E101", what))
        places = {
            (name, *path): kind
            for name, entry in over.data.items()
            for path, kind in template_places("integration", entry).items()
        }
        return with_environment(over, places, self._environ, self._folders, self._problems)

    def _config(self, written: Mapping[str, Any], folder: FilePath | None) -> Config:
        # A value of the wrong type is a problem that the schema check has found already.
        kinds: dict[str, Any] = {"blueprint_paths": list, "default_http_request_timeout_seconds": int | float}
        fitting = {key: value for key, value in written.items() if isinstance(value, kinds.get(key, str))}
        return config_of(fitting, folder)

    def _integration(
        self, name: str, document: Document, over: Document, catalogue: Catalogue, config: Config
    ) -> Integration | None:
        path: Path = ("integrations", name)
        entry = document.data["integrations"][name]
        if not isinstance(entry, dict):
            return None
        blueprint = self._blueprint(entry, path, document, catalogue)
        if blueprint is None and "extends_blueprint" in entry:
            return None
        tree = _laid(_base_of(blueprint, document, path), with_nulls(document, path))
        if isinstance(over.data.get(name), dict):
            tree = _laid(tree, with_nulls(over, (name,)))
        position_of, key_position_of = tree.origins.position, tree.origins.key_position
        said = {(problem.position, problem.code) for problem in self._problems}
        whole = check_merged(tree.settings, position_of, key_position_of)
        self._problems += [problem for problem in whole if (problem.position, problem.code) not in said]
        self._problems += _missing_app_settings(tree, blueprint, document, path)
        compiled, problems = check_templates(tree.settings, position_of, key_position_of, self._folders)
        self._problems += problems
        if self._problems:
            return None
        return _built(name, blueprint, tree, request_settings(tree.settings, compiled, config))

    def _blueprint(
        self, entry: Mapping[str, Any], path: Path, document: Document, catalogue: Catalogue
    ) -> Blueprint | None:
        ref = entry.get("extends_blueprint")
        if not isinstance(ref, str):
            return None
        where = document.position((*path, "extends_blueprint"))
        failure: ConfigError | None = None
        blueprint: Blueprint | None = None
        try:
            blueprint = catalogue.find(str.__str__(ref), where, self._warnings)
        except ConfigError as error:
            failure = error
        if failure is not None:
            self._problems += failure.problems
            return None
        assert blueprint is not None  # noqa: S101 - find gives one or raises
        self._folders += [blueprint.source.parent, blueprint.source.parent.parent]
        self._warnings += _life(blueprint, where, self._clock)
        return blueprint


def _whole(source: Mapping[str, Any]) -> Mapping[str, Any]:
    """The mapping with its `integrations:` key, which a caller in Python may leave out."""
    is_whole = "integrations" in source and all(
        key in {"integrations", "config"} or str(key).startswith("x-") for key in source
    )
    return source if is_whole else {"integrations": source}


def _base_of(blueprint: Blueprint | None, document: Document, path: Path) -> Sourced:
    if blueprint is None:
        return Sourced({}, Origins({(): document.place(path)}))
    return Sourced(_thawed(blueprint.settings), _origins_of(blueprint))


def _origins_of(blueprint: Blueprint) -> Origins:
    origins = blueprint.origins
    if isinstance(origins, Origins):
        return origins
    return Origins(
        {
            path: (place.file, place.line, place.column, place.line, place.column)
            for path, place in origins.items()
        }
    )


def _thawed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _thawed(item) for key, item in value.items()}
    return [_thawed(item) for item in value] if isinstance(value, list | tuple) else value


def _laid(base: Sourced, over: Sourced) -> Sourced:
    """`over` laid over `base`, where a header replaces the one that differs from it in case only."""
    settings = dict(base.settings)
    for block in ("requests", "verification"):
        lower, upper = _headers(settings, block), _headers(over.settings, block)
        replaced = {name.lower(): name for name in upper}
        kept = {key: value for key, value in lower.items() if replaced.get(key.lower(), key) == key}
        if len(kept) < len(lower):
            settings[block] = {**settings[block], "headers": kept}
    return merged(Sourced(settings, base.origins), over)


def _headers(settings: Mapping[str, Any], block: str) -> Mapping[str, Any]:
    within = settings.get(block)
    headers = within.get("headers") if isinstance(within, dict) else None
    return headers if isinstance(headers, dict) else {}


def _missing_app_settings(
    tree: Sourced, blueprint: Blueprint | None, document: Document, path: Path
) -> list[Problem]:
    auth = tree.settings.get("auth")
    mode = auth.get("auth_mode") if isinstance(auth, dict) else None
    if not isinstance(mode, str) or mode not in AUTH_MODES.names():
        return []
    mode = str.__str__(mode)
    source = f" (from blueprint {blueprint.ref})" if blueprint is not None else ""
    where = document.key_position(path)
    return [
        Problem(where, "E208", f"{mode}{source} needs {name}")
        for name in AUTH_MODES.get(mode).required_app_settings
        if not tree.settings.get(name)
    ]


def _life(blueprint: Blueprint, where: Any, clock: Clock) -> list[Problem]:
    """A warning where the API that a blueprint speaks is switched off, or will be."""
    today = datetime.fromtimestamp(clock.now(), UTC).date().isoformat()
    status = blueprint.status
    help_ = f"extend {status.migrate_to} instead" if status.migrate_to else ""
    if status.retires_on and status.retires_on <= today:
        return [
            Problem(
                where, "W503", f"the API of {blueprint.ref} was retired on {status.retires_on}", "", help_
            )
        ]
    if status.deprecated_on and status.deprecated_on <= today:
        ends = f" and retires on {status.retires_on}" if status.retires_on else ""
        what = f"the API of {blueprint.ref} is deprecated since {status.deprecated_on}{ends}"
        return [Problem(where, "W504", what, "", help_)]
    return []


def _built(name: str, blueprint: Blueprint | None, tree: Sourced, requests: Any) -> Integration:
    settings = dict(tree.settings)
    auth_mode = str.__str__(settings["auth"]["auth_mode"])
    app = {key: str.__str__(settings[key]) for key in _APP_NAMES if settings.get(key)}
    # Written out or from the environment: what is secret does not show when settings are printed.
    settings.update({key: EnvironmentText(app[key]) for key in _APP_SECRETS & app.keys()})
    return Integration(
        name=name,
        blueprint=blueprint.ref if blueprint is not None else "",
        title=str(settings.get("title") or (blueprint.title if blueprint is not None else name)),
        auth_mode=auth_mode,
        settings=frozen(settings),
        origins=tree.origins,
        requests=requests,
        status=blueprint.status if blueprint is not None else Status(),
        log_level=str.__str__(settings["log_level"]) if "log_level" in settings else None,
        app_variables=MappingProxyType({key: Secret(value) for key, value in app.items()}),
        oauth_scopes=tuple(map(str.__str__, settings.get("oauth_scopes", ()))),
        names=names_of(auth_mode),
        secret_names=secret_names_of(auth_mode),
    )
