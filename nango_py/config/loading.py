"""Loads integrations.yaml, or the same from Python, as a checked and frozen Configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nango_py.clock import SYSTEM_CLOCK
from nango_py.config.assemble import Parent, assemble_integration
from nango_py.config.images import check_image, locate_logo
from nango_py.config.inheritance import inherited_settings, overlay
from nango_py.config.lifecycle import check_lifecycle
from nango_py.config.logins import find_unknown_login, login_names, with_login
from nango_py.config.model import Config, Configuration, Integration
from nango_py.config.own_fields import check_app_credentials, missing_app_credentials
from nango_py.config.schema.fast_check import is_surely_valid
from nango_py.config.schema.format import resolve_references
from nango_py.config.schema.template_places import template_places
from nango_py.config.schema.validation import check_integrations, check_merged
from nango_py.config.settings import read_config, request_settings, with_integrations_key
from nango_py.config.template.compiled import RefusedText
from nango_py.config.template.environment import resolve_environment
from nango_py.config.template_checks import check_templates, check_usage
from nango_py.config.urls.app_secrets import check_app_secrets
from nango_py.config.urls.hosts import iter_texts
from nango_py.config.urls.proxy import ProxyPlaces, check_proxy
from nango_py.config.values import MAPPINGS, EnvironmentText, mapping_at
from nango_py.config.yaml.document import document_from_python, load_document
from nango_py.config.yaml.listing import find_twin
from nango_py.config.yaml.merge import Sourced, with_nulls
from nango_py.errors import MAX_PROBLEMS, ConfigError, Position, Problem, unknown_name
from nango_py.record import record, replaced
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nango_py.clock import Clock
    from nango_py.config.catalogue import Catalogue
    from nango_py.config.model import Blueprint
    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Document
    from nango_py.json_types import Settings

FROM_PYTHON = "Nango(integrations=...)"
OVERRIDES = "Nango(overrides=...)"
APP_SETTINGS = ("app_api_key", "oauth_client_id", "oauth_client_secret")
# A variable of the environment as shells, Windows, Mustache and placeholders of manuals write it.
_OTHER_TOOL = re.compile(
    r"\$\(?[A-Z_][A-Z0-9_]*\)?|%[A-Z_][A-Z0-9_]*%|\{\{.*\}\}|\{[A-Z_][A-Z0-9_]*\}|<[^<>]*>"
)
IF_MISSING = "run this in your product's folder, name the file (--integrations), or begin with `nango init`"


@record
class LoadResult:
    """A configuration and what it was made from.

    Attributes:
        document: integrations.yaml, or the same from Python, with the values of environment variables.
        overrides: the settings that were merged over it.
        trees: the merged tree and the blueprint of each integration.
        catalogue: the catalogue of its blueprints.
        environ: the names of the environment variables that were read.
    """

    configuration: Configuration
    document: Document
    overrides: Document
    trees: Mapping[str, tuple[Sourced, Blueprint | None]]
    catalogue: Catalogue
    environ: frozenset[str]


def load_configuration(
    source: FilePath | Settings,
    *,
    catalogue: Catalogue,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Settings] | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Configuration:
    """The configuration of the files.

    Args:
        source: integrations.yaml, or its content: `{"integrations": {...}, "config": {...}}` or only the
            integrations by name.
        catalogue: where to find blueprints; the folders of `config.blueprint_paths` are added to it.
        environ: the values of `${UPPER_CASE}` names; by default those of this process. Read once.
        overrides: settings by integration, merged over those of `source`.
        clock: the time, which says what blueprints are retired.

    Raises:
        ConfigError: all problems of all files, sorted by place.
    """
    given = os.environ if environ is None else environ
    return load(source, catalogue=catalogue, environ=given, overrides=overrides, clock=clock).configuration


def load(
    source: FilePath | Settings,
    *,
    catalogue: Catalogue,
    environ: Mapping[str, str],
    overrides: Mapping[str, Settings] | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> LoadResult:
    """Like `load_configuration`, with what the configuration was made from."""
    return _Loading(environ, clock).run(source, catalogue, overrides or {})


class _Loading:
    """Loads one source, and collects problems and warnings."""

    def __init__(self, environ: Mapping[str, str], clock: Clock) -> None:
        self._environ = _RecordingEnviron(environ)
        self._clock = clock
        self._trees: dict[str, tuple[Sourced, Blueprint | None]] = {}
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []
        self._folders: list[FilePath] = []

    def run(
        self,
        source: FilePath | Settings,
        catalogue: Catalogue,
        overrides: Mapping[str, Settings],
    ) -> LoadResult:
        folder = None if isinstance(source, Mapping) else source.parent
        self._folders = [folder or FilePath()]
        document = self._document(source)
        over = self._overrides(overrides, document)
        config = Config()
        if isinstance(document.data, dict) and isinstance(document.data.get("config"), dict):
            config = self._config(document.data["config"], folder)
        self._problems += check_image(config.product_logo, document.position(("config", "product_logo")))
        if config.blueprint_paths:
            catalogue = catalogue.with_folders(config.blueprint_paths)
        self._report(catalogue.check_folders())
        entries = document.data.get("integrations") if isinstance(document.data, dict) else None
        integrations = {}
        for name in entries if isinstance(entries, dict) else ():
            if len(self._problems) > MAX_PROBLEMS:
                break
            found = self._integration(name, document, over, catalogue, config)
            if found is not None:
                integrations[name] = found
        if self._problems:
            raise ConfigError(dict.fromkeys(self._problems))
        warnings = tuple(sorted(dict.fromkeys(self._warnings), key=lambda warning: warning.position))
        configuration = Configuration(MappingProxyType(integrations), config, document.file, warnings)
        return LoadResult(
            configuration, document, over, self._trees, catalogue, frozenset(self._environ.names_read)
        )

    def _report(self, found: Iterable[Problem]) -> None:
        for problem in found:
            (self._warnings if problem.is_warning else self._problems).append(problem)

    def _document(self, source: FilePath | Settings) -> Document:
        if isinstance(source, Mapping):
            document = document_from_python(with_integrations_key(source), FROM_PYTHON)
        else:
            twin = find_twin(source)
            if_missing = IF_MISSING if twin is None else f"rename {twin} to {source.name}"
            document = load_document(source, problems=self._problems, if_missing=if_missing)
            if twin is not None:
                what = "this file is not read"
                self._warnings.append(
                    Problem(Position(str(twin)), "W102", what, f"{source.name} beside it is")
                )
        self._warnings += document.warnings
        self._problems += check_integrations(document)
        places = template_places("integrations_file", document.data)
        complete = resolve_environment(document, places, self._environ, self._folders, self._problems)
        if complete.data != document.data:
            self._problems += check_integrations(complete)
        return complete

    def _overrides(self, overrides: Mapping[str, Settings], document: Document) -> Document:
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
        return resolve_environment(over, places, self._environ, self._folders, self._problems, above=1)

    def _config(self, written: Settings, folder: FilePath | None) -> Config:
        # The schema check reports values of a wrong type.
        lists = dict.fromkeys(("actions", "blueprint_paths", "connect_origins", "connect_hosts"), list)
        numbers = dict.fromkeys(
            ("default_http_request_timeout_seconds", "token_timeout_seconds"), int | float
        )
        kinds: dict[str, Any] = {**lists, **numbers, "jobs": Mapping}
        valid = {key: value for key, value in written.items() if isinstance(value, kinds.get(key, str))}
        return read_config(valid, folder)

    def _integration(
        self, name: str, document: Document, over: Document, catalogue: Catalogue, config: Config
    ) -> Integration | None:
        path: Path = ("integrations", name)
        entry = document.data["integrations"][name]
        if not isinstance(entry, dict):
            return None
        known_problems = len(self._problems)
        login = over.data.get(name, {}).get("login") or entry.get("login") or ""
        blueprint = self._blueprint(entry, path, document, catalogue, login)
        if blueprint is None and "extends_blueprint" in entry:
            own = with_nulls(document, path)
            self._problems += check_templates(own.settings, own.origins, self._folders)[1]
            return None
        own = self._choose_login(with_nulls(document, path), blueprint, login)
        tree = overlay(inherited_settings(blueprint, document, path), own)
        if isinstance(over.data.get(name), dict):
            tree = overlay(tree, with_nulls(over, (name,)))
        self._check_merged(tree, blueprint, document, path)
        compiled, problems = check_templates(tree.settings, tree.origins, self._folders)
        self._problems += problems
        self._check_actions(tree, blueprint, (own.settings, over.data.get(name, {})))
        if len(self._problems) > known_problems or not self._is_valid(entry, over.data.get(name, {})):
            return None
        self._warnings += check_usage(tree.settings, compiled, tree.origins)
        requests = request_settings(tree.settings, compiled, config)
        position_of = tree.origins.position
        if logo := locate_logo(tree.settings, position_of(("logo",))):
            tree = replaced(tree, settings={**tree.settings, "logo": logo})
            self._problems += check_image(logo, position_of(("logo",)))
        places = ProxyPlaces(
            position_of, document.position(("config", "proxy_url")), document.key_position(path)
        )
        self._problems += check_proxy(tree.settings, config, requests.user_hosts, places)
        self._problems += check_app_secrets(tree.settings, requests.user_hosts, position_of)
        if self._problems:
            return None
        self._trees[name] = (tree, blueprint)
        parent = Parent() if blueprint is None else Parent(blueprint.ref, blueprint.title, blueprint.status)
        return assemble_integration(name, parent, tree.settings, tree.origins, requests, config)

    def _check_actions(
        self, tree: Sourced, blueprint: Blueprint | None, own: tuple[Settings, Settings]
    ) -> None:
        """Check the product's own actions; those of installed blueprints are tested with these."""
        actions = tree.settings.get("actions")
        if not isinstance(actions, MAPPINGS):
            return
        from nango_py.config.actions.checks import check_actions

        is_own = blueprint is None or blueprint.layer in {"local", "path"}
        written = set().union(*(mapping_at(settings, "actions") for settings in own))
        names = [name for name in actions if is_own or name in written]
        self._problems += check_actions(tree.settings, tree.origins, self._folders, names)

    def _choose_login(self, own: Sourced, blueprint: Blueprint | None, login: str) -> Sourced:
        """An entry without a blueprint with one of its logins; with a blueprint, it may not have logins."""
        names, position_of = login_names(own.settings), own.origins.position
        if blueprint is None:
            if login and login not in names:
                self._problems += find_unknown_login(login, own.settings, position_of(("login",)))
                return own
            return with_login(own, login or names[0]) if names else own
        if names:
            what, help_ = "an entry that extends a blueprint has no logins", "write them into a blueprint"
            self._problems.append(Problem(own.origins.key_position(("logins",)), "E204", what, "", help_))
        return own

    def _check_merged(
        self, tree: Sourced, blueprint: Blueprint | None, document: Document, path: Path
    ) -> None:
        reported = {(problem.position, problem.code) for problem in self._problems}
        self._problems += [
            problem
            for problem in check_merged(tree.settings, tree.origins)
            if (problem.position, problem.code) not in reported
        ]
        self._problems += _check_app_settings(tree, blueprint, document, path)

    def _is_valid(self, *entries: Settings) -> bool:
        """Whether no problem so far is in these parts of an integration, so that it can be assembled."""
        if not self._problems:
            return True
        schema = resolve_references("integration")
        is_refused = any(isinstance(text, RefusedText) for text in iter_texts(entries))
        return not is_refused and all(is_surely_valid(schema, entry) for entry in entries if entry)

    def _blueprint(
        self, entry: Settings, path: Path, document: Document, catalogue: Catalogue, login: str
    ) -> Blueprint | None:
        ref = entry.get("extends_blueprint")
        if not isinstance(ref, str):
            return None
        where = document.position((*path, "extends_blueprint"))
        failure: ConfigError | None = None
        blueprint: Blueprint | None = None
        try:
            blueprint = catalogue.find(str.__str__(ref), where, self._warnings)
            if login:
                place = document.position((*path, "login" if "login" in entry else "extends_blueprint"))
                blueprint = catalogue.find(blueprint.ref, place, self._warnings, str.__str__(login))
        except ConfigError as error:
            failure = error
        if failure is not None:
            hidden = isinstance(ref, EnvironmentText)
            self._problems += [
                _hide_name(problem) if hidden and problem.position == where else problem
                for problem in failure.problems
            ]
            return None
        assert blueprint is not None  # noqa: S101 - find gives one or raises
        self._folders += [blueprint.source.parent, blueprint.source.parent.parent]
        self._warnings += check_lifecycle(blueprint, where, self._clock)
        return blueprint


class _RecordingEnviron(Mapping[str, str]):
    """The environment, which records the names that were read."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.names_read: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names_read.add(name)
        return self._environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)


def _check_app_settings(
    tree: Sourced, blueprint: Blueprint | None, document: Document, path: Path
) -> list[Problem]:
    auth = tree.settings.get("auth")
    if not isinstance(auth, MAPPINGS):
        return []
    mode = auth.get("auth_mode")
    if not isinstance(mode, str) or mode not in AUTH_MODES.names():
        return []
    mode = str.__str__(mode)
    source = f" (from blueprint {blueprint.ref})" if blueprint is not None else ""
    where = document.key_position(path)
    # A public client, such as a desktop app, has no secret (RFC 6749 2.1).
    optional = {"oauth_client_secret"} if auth.get("authorization_method") == "none" else set()
    missing = [
        Problem(where, "E208", f"{mode}{source} needs {name}")
        for name in AUTH_MODES.get(mode).required_app_settings
        if not tree.settings.get(name) and name not in optional
    ]
    missing += [
        Problem(where, "E208", f"app credential {name}{source} is missing", "", f"add app: {{{name}: ...}}")
        for name in missing_app_credentials(tree.settings)
    ]
    help_ = "write ${NAME} for an environment variable"
    missing += [
        Problem(
            tree.origins.position(("app", name)), "E323", f"{name} is in the form of another tool", "", help_
        )
        for name, value in mapping_at(tree.settings, "app").items()
        if type(value) is str and _OTHER_TOOL.fullmatch(value)
    ]
    missing += check_app_credentials(tree.settings, tree.origins)
    return missing + [
        Problem(tree.origins.position((name,)), "E323", f"{name} is in the form of another tool", "", help_)
        for name in APP_SETTINGS
        if type(tree.settings.get(name)) is str and _OTHER_TOOL.fullmatch(tree.settings[name])
    ]


def _hide_name(problem: Problem) -> Problem:
    """The problem without the name of the blueprint, which came from the environment."""
    return replaced(problem, what="the environment variable does not name a known blueprint", help="")
