"""Blueprints by `name:version`: where they are looked for, what they extend, and how they are checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nango_py.config.model import Blueprint, Status
from nango_py.config.schema.validation import check_blueprint, check_merged
from nango_py.config.values import freeze
from nango_py.config.yaml.document import load_document
from nango_py.config.yaml.folders import NAME, Folder, display_path, version_number
from nango_py.config.yaml.merge import Origins, Sourced, merge, sourced, with_nulls, without_nulls
from nango_py.config.yaml.tree import Node
from nango_py.errors import ConfigError, Position, Problem, nearest, printable
from nango_py.record import field_names
from nango_py.registry import find_entry_points

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nango_py.config.yaml.document import Document

MAX_EXTENDS = 8
PACKS = "nango_py.blueprints"
# What says something about one version of one API, and not about those that extend it.
_NOT_INHERITED = ("name", "version", "extends", "status", "examples")
_SHARED_BY_VERSIONS = ("title", "docs_url", "comment", "categories")


class BlueprintRef(NamedTuple):
    """A blueprint that can be found: its name and version, the layer it is in, and its file."""

    name: str
    version: str
    layer: str
    path: Path


def open_catalogue(local: Path | None = None, blueprint_paths: Iterable[Path] = ()) -> Catalogue:
    """The usual catalogue: `local`, then `blueprint_paths`, then installed packs, then the shipped ones."""
    own = [("local", local)] if local is not None else []
    return Catalogue([*own, *(("path", path) for path in blueprint_paths)], installed=True)


def shipped_folder() -> Path:
    """The blueprints that come with the package: inside a wheel, or beside the package in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "blueprints"
    return inside if inside.is_dir() else package.parent / "blueprints"


class Catalogue:
    """Folders of blueprints, searched in order; the first that has a name:version gives it.

    Files are read when they are asked for, and once. A catalogue is made anew to see changed files;
    `changed()` says when.

    Args:
        folders: (layer, folder) pairs in the order of the search; a folder may be missing.
        installed: whether packs and the shipped blueprints follow them.

    """

    def __init__(self, folders: Sequence[tuple[str, Path]], *, installed: bool = False) -> None:
        self._given = [Folder(layer, Path(path)) for layer, path in folders]
        self._installed: list[Folder] | None = None if installed else []
        self._has_installed = installed
        self._loaded: dict[tuple[Path, str], tuple[Document, Sourced]] = {}
        self._blueprints: dict[str, Blueprint] = {}
        self._seen = self.fingerprint()

    def with_folders(self, paths: Iterable[Path | str]) -> Catalogue:
        """The same catalogue with more folders (layer "path"), searched after the ones that were given."""
        own = [(folder.layer, folder.path) for folder in self._given]
        return Catalogue([*own, *(("path", Path(path)) for path in paths)], installed=self._has_installed)

    def find(self, ref: str, at: Position, warnings: list[Problem] | None = None) -> Blueprint:
        """The blueprint of a `name:version`, or the newest of a `name`, with what it extends merged in.

        Args:
            ref: as integrations.yaml writes it. Never a path.
            at: where it is written, for the message.
            warnings: gets what is suspicious and no error: no version was named (W101), and what the
                blueprint's file is warned of (W501, W502).

        Raises:
            ConfigError: E101 to E109 it cannot be found; or everything that is wrong in its files.
        """
        noted = warnings if warnings is not None else []
        found = self._locate(ref, at, noted)
        key = f"{found.name}:{found.version}"
        if key not in self._blueprints:
            tree = self._tree(found, at, (), noted)
            settings = {**tree.settings, "name": found.name, "version": found.version}
            life = settings.get("status", {})
            self._blueprints[key] = Blueprint(
                name=found.name,
                version=found.version,
                title=settings.get("title", found.name),
                source=found.path,
                layer=found.layer,
                settings=freeze(settings),
                origins=tree.origins,
                status=Status(**{part: life.get(part) for part in field_names(Status)}),
            )
        return self._blueprints[key]

    def refs(self) -> list[BlueprintRef]:
        """Every blueprint that can be found, sorted by name and version; shadowed ones are left out."""
        found: dict[tuple[str, int], BlueprintRef] = {}
        for folder in self._folders():
            for name in folder.names():
                for version, path in folder.versions(name).items():
                    found.setdefault(
                        (name, version_number(version)), BlueprintRef(name, version, folder.layer, path)
                    )
        return [found[key] for key in sorted(found)]

    def shadowed(self, ref: str) -> list[BlueprintRef]:
        """The files of a `name:version` that are not used because an earlier folder has one too."""
        name, _, version = ref.partition(":")
        every = [
            BlueprintRef(name, version, folder.layer, versions[version])
            for folder in self._folders()
            if version in (versions := folder.versions(name))
        ]
        return every[1:]

    def fingerprint(self) -> tuple[Any, ...]:
        """What differs as soon as a file of a given folder is written, added or removed."""
        return tuple(folder.fingerprint() for folder in self._given)

    def changed(self) -> bool:
        """Whether a file of a given folder was touched since this catalogue was made."""
        return self.fingerprint() != self._seen

    def listed(self) -> list[tuple[Path, tuple[str, ...]]]:
        """The folders that were looked into, and the YAML files that each held then."""
        every = [*self._given, *(self._installed or ())]
        return [(folder.path, seen) for folder in every if (seen := folder.seen()) is not None]

    def read(self) -> list[tuple[Path, Document]] | None:
        """The files that were read; None if some were read only to see which versions they hold."""
        names = {path.name.partition(".")[0] for path, _ in self._loaded}
        folders = [*self._given, *(self._installed or ())]
        looked_into = [folder for folder in folders if folder.seen() is not None]
        if any(folder.has_loose_files(name) for folder in looked_into for name in names):
            return None
        return [(path, document) for (path, _), (document, _) in self._loaded.items()]

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
        every: dict[str, BlueprintRef] = {}
        for folder in self._folders():
            versions = folder.versions(name)
            if version in versions:
                return BlueprintRef(name, version, folder.layer, versions[version])
            for other, path in versions.items():
                every.setdefault(other, BlueprintRef(name, other, folder.layer, path))
        if not every:
            raise self._unknown(name, at)
        available = sorted(every, key=version_number)
        if version:
            what = f'blueprint "{name}" has no version "{printable(version, 20)}"'
            raise ConfigError([Problem(at, "E102", what, f"available: {', '.join(available)}")])
        newest = every[available[-1]]
        pin = f"pin it: {name}:{newest.version}"
        warnings.append(Problem(at, "W101", f'"{name}" names no version, the newest is used', "", pin))
        return newest

    def _check_name(self, name: str, ref: str, at: Position) -> None:
        if NAME.match(name):
            return
        if NAME.match(name.lower()):
            what = f'unknown blueprint "{name}"; names are lower case'
            raise ConfigError([Problem(at, "E101", what, "", f'did you mean "{printable(ref.lower())}"?')])
        what = "blueprint name may hold only a-z 0-9 _ - (at most 64)"
        raise ConfigError([Problem(at, "E104", what, "it is a name, not a path")])

    def _unknown(self, name: str, at: Position) -> ConfigError:
        known = sorted({other for folder in self._folders() for other in folder.names()})
        near = nearest(name, known)
        meant = f'did you mean "{near}"? ' if near else ""
        help_ = f"{meant}({len(known)} known: nango blueprints list)"
        return ConfigError([Problem(at, "E101", f'unknown blueprint "{name}"', "", help_)])

    def _tree(
        self, ref: BlueprintRef, at: Position, below: tuple[str, ...], warnings: list[Problem]
    ) -> Sourced:
        """The settings of a blueprint laid over those it extends, checked."""
        chain = (*below, f"{ref.name}:{ref.version}")
        if chain[-1] in below:
            raise ConfigError([Problem(at, "E106", f"blueprints extend each other: {' -> '.join(chain)}")])
        if len(chain) > MAX_EXTENDS:
            what = f"more than {MAX_EXTENDS} blueprints extend one another: {' -> '.join(chain)}"
            raise ConfigError([Problem(at, "E106", what)])
        document, own = self._load(ref)
        warnings += document.warnings
        parent = own.settings.get("extends")
        if parent is None:
            return without_nulls(own)
        path = ("versions", ref.version, "extends") if "versions" in document.data else ("extends",)
        try:
            found = self._locate(parent, document.position(path), warnings)
        except ConfigError as error:
            problems = error.problems
        else:
            base = self._tree(found, at, chain, warnings)
            inherited = {key: value for key, value in base.settings.items() if key not in _NOT_INHERITED}
            whole = merge(Sourced(inherited, base.origins), own)
            problems = tuple(check_merged(whole.settings, whole.origins))
            if not problems:
                return whole
        raise ConfigError(problems)

    def _load(self, ref: BlueprintRef) -> tuple[Document, Sourced]:
        key = (ref.path, ref.version)
        if key not in self._loaded:
            problems: list[Problem] = []
            document = load_document(ref.path, display_path(ref.path), problems)
            problems += check_blueprint(document)
            problems += _misnamed(document, ref)
            if problems:
                raise ConfigError(problems)
            self._loaded[key] = (document, _own_settings(document, ref))
        return self._loaded[key]


def _own_settings(document: Document, ref: BlueprintRef) -> Sourced:
    if "versions" not in document.data:
        return with_nulls(document)
    whole = sourced(document)
    shared = {key: whole.settings[key] for key in _SHARED_BY_VERSIONS if key in whole.settings}
    own = with_nulls(document, ("versions", ref.version))
    # Nulls stay, because they remove what an extended blueprint says.
    root = own.origins.root
    node = Node(root.file, root.line, root.column, None)
    node.entries = {**{key: whole.origins.root.entries[key] for key in shared}, **root.entries}
    node.has_nulls = root.has_nulls
    return Sourced({**shared, **own.settings}, Origins(node, own.origins.key_place))


def _misnamed(document: Document, ref: BlueprintRef) -> list[Problem]:
    """E109 where the file says another name or version than its own file name."""
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
    """The folders of installed packs: an entry point names a package, or a folder as text."""
    found: list[Path] = []
    for point in sorted(find_entry_points(PACKS), key=lambda point: point.name):
        target = point.load()
        folders = list(target.__path__) if hasattr(target, "__path__") else [target]
        found.extend(Path(folder) for folder in folders)
    return found
