"""Finds blueprints by `name:version`, and checks and merges them with the blueprints that they extend."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nango_py.config.checked_files import find_checked, identify, keep_checked
from nango_py.config.inheritance import overlay
from nango_py.config.logins import (
    LOGINS,
    find_unknown_login,
    find_unknown_logins_of_examples,
    login_names,
    with_login,
    without_nulls_outside,
)
from nango_py.config.model import Blueprint, Change, Status
from nango_py.config.schema.facts import FACTS, key_paths
from nango_py.config.schema.validation import check_blueprint, check_merged
from nango_py.config.values import MAPPINGS, freeze
from nango_py.config.yaml.document import load_document
from nango_py.config.yaml.folders import NAME, Folder, display_path, version_number
from nango_py.config.yaml.merge import Origins, Sourced, settings_at, with_nulls
from nango_py.config.yaml.tree import Node
from nango_py.errors import ConfigError, Position, Problem, nearest, printable
from nango_py.record import field_names, replaced
from nango_py.registry import find_entry_points

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nango_py.config.yaml.document import Document

MAX_EXTENDS = 8
PACKS = "nango_py.blueprints"
# Keys that describe one blueprint, and not those that extend it.
_NOT_INHERITED = ("name", "version", "extends", "status", "examples", *FACTS)
_SHARED_BY_VERSIONS = ("title", "docs_url", "comment", "categories", "logo")


class BlueprintRef(NamedTuple):
    """The name, version, layer and file of a blueprint that can be found."""

    name: str
    version: str
    layer: str
    path: Path


def open_catalogue(local: Path | None = None, blueprint_paths: Iterable[Path] = ()) -> Catalogue:
    """The usual catalogue: `local`, then `blueprint_paths`, then installed packs, then shipped blueprints."""
    own = [("local", local)] if local is not None else []
    return Catalogue([*own, *(("path", path) for path in blueprint_paths)], installed=True)


def shipped_folder() -> Path:
    """The folder of the shipped blueprints: inside the package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "blueprints"
    return inside if inside.is_dir() else package.parent / "blueprints"


class Catalogue:
    """Folders of blueprints, searched in order. The first folder that has a `name:version` wins.

    Each file is read once, on first use. Make a new catalogue to see changed files.

    Args:
        folders: (layer, folder) pairs in search order; a folder may be missing.
        installed: whether to search packs and the shipped blueprints after them.
    """

    def __init__(self, folders: Sequence[tuple[str, Path]], *, installed: bool = False) -> None:
        self._given = [Folder(layer, Path(path)) for layer, path in folders]
        self._installed: list[Folder] | None = None if installed else []
        self._has_installed = installed
        self._loaded: dict[tuple[Path, str], tuple[Document, Sourced]] = {}
        self._blueprints: dict[str, Blueprint] = {}

    def with_folders(self, paths: Iterable[Path | str]) -> Catalogue:
        """The same catalogue with more folders of the layer "path", searched after the given ones."""
        own = [(folder.layer, folder.path) for folder in self._given]
        return Catalogue([*own, *(("path", Path(path)) for path in paths)], installed=self._has_installed)

    def find(
        self, ref: str, at: Position, warnings: list[Problem] | None = None, login: str = ""
    ) -> Blueprint:
        """The blueprint `name:version`, or the newest version of `name`, merged with what it extends.

        Args:
            ref: the reference as written in integrations.yaml; never a path.
            at: where the reference is written, for messages.
            warnings: receives warnings: no version is named (W101), and those of the files (W501, W502).
            login: one of the blueprint's `logins`; by default the first.

        Raises:
            ConfigError: the blueprint or its login cannot be found (E101 to E109), or its files are wrong.
        """
        warnings = [] if warnings is None else warnings
        where = self._locate(ref, at, warnings)
        key = f"{where.name}:{where.version} {login}"
        if key not in self._blueprints:
            tree = self._merged_tree(where, at, (), warnings)
            logins = login_names(tree.settings)
            if unknown := find_unknown_logins_of_examples(tree.settings, tree.origins):
                raise ConfigError(unknown)
            if logins or login:
                tree, login = _choose_login(tree, login or logins[0], at)
            settings = {**tree.settings, "name": where.name, "version": where.version}
            status = settings.get("status", {})
            self._blueprints[key] = Blueprint(
                name=where.name,
                version=where.version,
                title=settings.get("title", where.name),
                source=where.path,
                layer=where.layer,
                settings=freeze(settings),
                origins=tree.origins,
                status=Status(**{part: status.get(part) for part in field_names(Status)}),
                changes=self._changes(where, at),
                login=login,
                logins=logins,
            )
        return self._blueprints[key]

    def refs(self, problems: list[Problem] | None = None) -> list[BlueprintRef]:
        """Every blueprint that can be found, without shadowed ones, sorted by name and version.

        Args:
            problems: receives the problems of files whose version is unknown; by default they are raised.

        Raises:
            ConfigError: see `problems`.
        """
        found: dict[tuple[str, int], BlueprintRef] = {}
        for folder in self._folders():
            for name in folder.names():
                for version, path in _versions(folder, name, problems).items():
                    found.setdefault(
                        (name, version_number(version)), BlueprintRef(name, version, folder.layer, path)
                    )
        return [found[key] for key in sorted(found)]

    def locate(self, ref: str, at: Position) -> BlueprintRef:
        """The file of a `name:version`, or of the newest version of `name`.

        Raises:
            ConfigError: the blueprint cannot be found.
        """
        return self._locate(ref, at, [])

    def shadowed_files(self, ref: str) -> list[BlueprintRef]:
        """The files of a `name:version` that an earlier folder shadows."""
        name, _, version = ref.partition(":")
        every = [
            BlueprintRef(name, version, folder.layer, versions[version])
            for folder in self._folders()
            if version in (versions := folder.versions(name))
        ]
        return every[1:]

    def read_unchecked(self, ref: str, at: Position) -> Sourced | None:
        """The settings of a blueprint's own file, which may be wrong; None if it has no mapping.

        Raises:
            ConfigError: the blueprint cannot be found, or its file is not YAML.
        """
        where = self._locate(ref, at, [])
        document = self._read(where.path, [])
        body = document.data.get("versions", document.data) if isinstance(document.data, dict) else None
        if not isinstance(body, MAPPINGS) or (body is not document.data and where.version not in body):
            return None
        return _own_settings(document, where)

    def searched_folders(self) -> list[tuple[Path, tuple[str, ...]]]:
        """The folders that were searched, and the names of the YAML files that each had."""
        every = [*self._given, *(self._installed or ())]
        return [(folder.path, names) for folder in every if (names := folder.listed_names()) is not None]

    def read_files(self) -> list[tuple[Path, Document]]:
        """The files that were read."""
        read = {path: document for (path, _), (document, _) in self._loaded.items()}
        for folder in self._given + (self._installed or []):
            read.update(folder.loose_documents())
        return list(read.items())

    def check_folders(self) -> list[Problem]:
        """What is wrong in the given folders: errors, and warnings (W102) for what is not read.

        Versions that are named in file names are not read for this; `find` and `refs` do that.
        """
        problems: list[Problem] = []
        for folder in self._given:
            problems += folder.check_names()
            for name in folder.doubtful_names():
                versions = _versions(folder, name, problems)
                for version in versions if folder.has_loose_files(name) else ():
                    try:
                        self._load(BlueprintRef(name, version, folder.layer, versions[version]))
                    except ConfigError as error:
                        problems += error.problems
        return problems

    def _folders(self) -> Iterator[Folder]:
        yield from self._given
        if self._installed is None:
            self._installed = [
                *(Folder("pack", path) for path in _packs()),
                Folder("shipped", shipped_folder()),
            ]
        yield from self._installed

    def _locate(self, ref: str, at: Position, warnings: list[Problem]) -> BlueprintRef:
        name, colon, version = ref.partition(":")
        self._check_name(name, ref, at)
        if colon and not version:
            expected = f"expected name:version, e.g. {name}:v0"
            raise ConfigError([Problem(at, "E103", 'empty version after ":"', expected)])
        versions_found: dict[str, BlueprintRef] = {}
        for folder in self._folders():
            versions = folder.versions(name)
            if version in versions:
                return BlueprintRef(name, version, folder.layer, versions[version])
            for other, path in versions.items():
                versions_found.setdefault(other, BlueprintRef(name, other, folder.layer, path))
        if not versions_found:
            raise self._unknown(name, at)
        available = sorted(versions_found, key=version_number)
        if version:
            what = f'blueprint "{name}" has no version "{printable(version, 20)}"'
            number = re.fullmatch(r"[vV.]*0*([0-9]+)(?:\.0)*", version)
            near = f"v{number[1]}" if number is not None else ""
            help_ = f'did you mean "{name}:{near}"?' if near in available else ""
            raise ConfigError([Problem(at, "E102", what, f"available: {', '.join(available)}", help_)])
        newest = versions_found[available[-1]]
        pin = f"pin it: {name}:{newest.version}"
        warnings.append(Problem(at, "W101", f'"{name}" names no version, the newest is used', "", pin))
        return newest

    def _check_name(self, name: str, ref: str, at: Position) -> None:
        if NAME.match(name):
            return
        if NAME.match(name.lower()):
            what = f'unknown blueprint "{name}"; names are lower case'
            raise ConfigError([Problem(at, "E101", what, "", f'did you mean "{printable(ref.lower())}"?')])
        what = "blueprint name may contain only a-z 0-9 _ - (at most 64)"
        raise ConfigError([Problem(at, "E104", what, "it is a name, not a path")])

    def _unknown(self, name: str, at: Position) -> ConfigError:
        known = sorted({other for folder in self._folders() for other in folder.names()})
        near = nearest(name, known)
        meant = f'did you mean "{near}"? ' if near else ""
        help_ = f"{meant}({len(known)} known: nango blueprints list)"
        return ConfigError([Problem(at, "E101", f'unknown blueprint "{name}"', "", help_)])

    def _merged_tree(
        self, ref: BlueprintRef, at: Position, extending: tuple[str, ...], warnings: list[Problem]
    ) -> Sourced:
        """The checked settings of a blueprint, merged over those that it extends."""
        chain = (*extending, f"{ref.name}:{ref.version}")
        if chain[-1] in extending:
            raise ConfigError([Problem(at, "E106", f"blueprints extend each other: {' -> '.join(chain)}")])
        if len(chain) > MAX_EXTENDS:
            what = f"more than {MAX_EXTENDS} blueprints extend one another: {' -> '.join(chain)}"
            raise ConfigError([Problem(at, "E106", what)])
        document, own = self._load(ref)
        warnings += document.warnings
        parent = own.settings.get("extends")
        if parent is None:
            return without_nulls_outside(own)
        path = ("versions", ref.version, "extends") if "versions" in document.data else ("extends",)
        try:
            found = self._locate(parent, document.position(path), warnings)
        except ConfigError as error:
            problems = error.problems
        else:
            base = self._merged_tree(found, at, chain, warnings)
            inherited = {key: value for key, value in base.settings.items() if key not in _NOT_INHERITED}
            whole = overlay(Sourced(inherited, base.origins), own, LOGINS)
            problems = tuple(check_merged(whole.settings, whole.origins))
            if not problems:
                return whole
        raise ConfigError(problems)

    def _changes(self, ref: BlueprintRef, at: Position) -> tuple[Change, ...]:
        """The announced changes of a valid blueprint and of those that it extends, by date."""
        own = self._load(ref)[1]
        place = own.origins.position
        found = [
            Change(
                place(("changes", index)),
                entry["on"],
                entry["what"],
                tuple(text for _, text in key_paths(entry.get("affects"))),
                entry["url"],
                entry.get("then") or "",
            )
            for index, entry in enumerate(own.settings.get("changes") or ())
        ]
        parent = own.settings.get("extends")
        inherited = self._changes(self._locate(parent, at, []), at) if parent is not None else ()
        return tuple(sorted((*found, *inherited), key=lambda change: change.on))

    def _load(self, ref: BlueprintRef) -> tuple[Document, Sourced]:
        key = (ref.path, ref.version)
        if key not in self._loaded:
            self._loaded[key] = self._check_if_changed(ref)
        return self._loaded[key]

    def _check_if_changed(self, ref: BlueprintRef) -> tuple[Document, Sourced]:
        """A file, checked now, or before by another catalogue if it has not changed since."""
        shown_as = display_path(ref.path)
        identity = identify(ref.path, time.time())
        checked = find_checked(ref.path, shown_as, ref.version, identity)
        if checked is None:
            checked = self._check(ref)
            keep_checked(ref.path, shown_as, ref.version, identity, checked)
        return checked

    def _check(self, ref: BlueprintRef) -> tuple[Document, Sourced]:
        problems: list[Problem] = []
        document = self._read(ref.path, problems)
        problems += check_blueprint(document)
        problems += _check_file_name(document, ref)
        warnings = tuple(problem for problem in problems if problem.is_warning)
        if len(warnings) < len(problems):
            problems += _check_templates(document, ref)
            raise ConfigError(dict.fromkeys(problem for problem in problems if not problem.is_warning))
        document = replaced(document, warnings=document.warnings + warnings)
        return document, _own_settings(document, ref)

    def _read(self, path: Path, problems: list[Problem]) -> Document:
        for folder in self._given + (self._installed or []):
            document = folder.loose_documents().get(path)
            if document is not None:
                return document
        return load_document(path, display_path(path), problems)


def _choose_login(tree: Sourced, login: str, at: Position) -> tuple[Sourced, str]:
    """The tree with one of its logins, after a check of each, and the name of the login."""
    problems = find_unknown_login(login, tree.settings, at)
    for name in login_names(tree.settings):
        layered = with_login(tree, name)
        # The paths of facts name keys of the file, in which the logins are side by side.
        settings = {key: value for key, value in layered.settings.items() if key not in FACTS}
        problems += check_merged(settings, layered.origins)
    if problems:
        raise ConfigError(dict.fromkeys(problems))
    return with_login(tree, login), login


def _own_settings(document: Document, ref: BlueprintRef) -> Sourced:
    if "versions" not in document.data:
        return with_nulls(document)
    whole = settings_at(document)
    shared = {key: whole.settings[key] for key in _SHARED_BY_VERSIONS if key in whole.settings}
    own = with_nulls(document, ("versions", ref.version))
    # Nulls stay, because they remove what an extended blueprint says.
    root = own.origins.root
    node = Node(root.file, root.line, root.column, None)
    node.entries = {**{key: whole.origins.root.entries[key] for key in shared}, **root.entries}
    node.has_nulls = root.has_nulls
    return Sourced({**shared, **own.settings}, Origins(node, own.origins.key_place))


def _check_templates(document: Document, ref: BlueprintRef) -> list[Problem]:
    """The problems of the templates of a file that is wrong otherwise, so that all are reported at once."""
    from nango_py.config.template_checks import check_templates

    body = document.data.get("versions", document.data) if isinstance(document.data, dict) else None
    if not isinstance(body, MAPPINGS) or (body is not document.data and ref.version not in body):
        return []
    own = _own_settings(document, ref)
    return check_templates(own.settings, own.origins, (ref.path.parent, ref.path.parent.parent))[1]


def _versions(folder: Folder, name: str, problems: list[Problem] | None) -> dict[str, Path]:
    if problems is None:
        return folder.versions(name)
    try:
        return folder.versions(name)
    except ConfigError as error:
        problems += error.problems
    return {}


def _check_file_name(document: Document, ref: BlueprintRef) -> list[Problem]:
    """E109 if the name or version in the file differs from the file name."""
    data = document.data if isinstance(document.data, dict) else {}
    wanted = {"name": ref.name} if "versions" in data else {"name": ref.name, "version": ref.version}
    return [
        Problem(
            document.position((key,)),
            "E109",
            f'{key} "{printable(data[key], 64)}" but file is {ref.path.name}',
            "",
            "make them the same",
        )
        for key, value in wanted.items()
        if isinstance(data.get(key), str) and data[key] != value
    ]


def _packs() -> list[Path]:
    """The folders of installed packs; an entry point names a package, or the path of a folder."""
    found: list[Path] = []
    for point in sorted(find_entry_points(PACKS), key=lambda point: point.name):
        target = point.load()
        folders = list(target.__path__) if hasattr(target, "__path__") else [target]
        found.extend(Path(folder) for folder in folders)
    return found
