"""Finds Python actions in the modules and folders that `config.actions` lists. Nothing else is imported."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nango_py.actions.registering import MARK, Registration
from nango_py.errors import ConfigError, Position, Problem, printable
from nango_py.forks import forget_in_children

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

logger = logging.getLogger("nango_py.actions")

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
FOLDER_PREFIX = "nango_actions_of"

Stamp = tuple[int, int]
MAX_MESSAGE = 500


class ActionModules:
    """The Python actions of a configuration, imported on first use.

    Args:
        names: names of modules, and paths of folders.
        reload: whether changed files are imported again, for development. A file that cannot be imported is
            logged, and the actions of its last good version stay.
    """

    def __init__(self, names: tuple[str, ...], *, reload: bool) -> None:
        self._names = names
        self._reload = reload
        self._found: dict[tuple[str, str], Registration] | None = None
        self._stamps: dict[str, Stamp] = {}
        self.version = 0
        self.forget_inherited()
        forget_in_children(self)

    def forget_inherited(self) -> None:
        """See `Forkable`."""
        self._lock = threading.RLock()

    def registrations(self) -> dict[tuple[str, str], Registration]:
        """The actions by integration and name.

        Raises:
            ConfigError: a module cannot be imported, or two functions are the same action (E705).
        """
        found = self._found
        if found is not None and not (self._reload and self._has_changed()):
            return found
        with self._lock:
            if self._found is None:
                self._found = self._load(is_again=False)
            elif self._has_changed():
                try:
                    self._found = self._load(is_again=True)
                except ConfigError as error:
                    what = "the actions changed but cannot be imported; the last good ones stay in use"
                    logger.error("%s:\n%s", what, error)  # noqa: TRY400 - the problems say everything
                    self._stamps = self._current_stamps()
            self.version += 1
            return self._found

    def _has_changed(self) -> bool:
        return self._current_stamps() != self._stamps

    def _current_stamps(self) -> dict[str, Stamp]:
        return {str(path): _stamp(path) for path in self._files()}

    def _files(self) -> Iterator[Path]:
        for name in self._names:
            if _is_folder(name):
                yield from _files_in(Path(name))
            elif (file := getattr(sys.modules.get(name), "__file__", None)) is not None:
                yield Path(file)

    def _load(self, *, is_again: bool) -> dict[tuple[str, str], Registration]:
        found: dict[tuple[str, str], Registration] = {}
        problems: list[Problem] = []
        for name in self._names:
            for registration, place in self._registrations_of(name, problems, is_again=is_again):
                key = (registration.integration, registration.name)
                known = found.setdefault(key, registration)
                if known.function is not registration.function:
                    what = f"{key[0]} has two actions that are named {key[1]}"
                    problems.append(Problem(Position(place), "E705", what, "", "rename one of them"))
        if problems:
            raise ConfigError(problems)
        self._stamps = self._current_stamps()
        return found

    def _registrations_of(
        self, name: str, problems: list[Problem], *, is_again: bool
    ) -> Iterator[tuple[Registration, str]]:
        if _is_folder(name):
            yield from _read_folder(Path(name), problems)
            return
        module, why = import_module_of(name, is_again=is_again)
        if module is None:
            help_ = "config.actions lists modules by name, and folders by a path with a slash"
            problems.append(Problem(Position(name), "E705", f"cannot be imported: {why}", "", help_))
            return
        for value in list(vars(module).values()):
            for registration in getattr(value, MARK, ()) if callable(value) else ():
                yield registration, name


def _is_folder(name: str) -> bool:
    return "/" in name or "\\" in name


def _files_in(folder: Path) -> list[Path]:
    """The files `<integration>/<action>.py`, sorted; names that begin with an underscore are helpers."""
    return sorted(path for path in folder.glob("*/*.py") if not path.name.startswith("_"))


def _read_folder(folder: Path, problems: list[Problem]) -> Iterator[tuple[Registration, str]]:
    if not folder.is_dir():
        problems.append(Problem(Position(str(folder)), "E705", "the folder of actions does not exist"))
        return
    for path in _files_in(folder):
        integration, name = path.parent.name, path.stem.replace("_", "-")
        if not (NAME.fullmatch(integration) and NAME.fullmatch(name)):
            what = "the names of an action's folder and file consist of a-z 0-9 _ -"
            problems.append(Problem(Position(str(path)), "E705", what))
            continue
        module, why = _import_file(path)
        run = getattr(module, "run", None)
        if module is None:
            problems.append(Problem(Position(str(path)), "E705", f"cannot be imported: {why}"))
        elif not callable(run):
            what = "the file has no function run"
            problems.append(Problem(Position(str(path)), "E705", what, "", "write def run(context, input)"))
        else:
            changes = None if (said := getattr(module, "CHANGES", None)) is None else tuple(said)
            changes = () if getattr(module, "READS", False) is True else changes
            yield Registration(integration, name, run, changes, "", module.__doc__ or ""), str(path)


def import_module_of(name: str, *, is_again: bool = False) -> tuple[ModuleType | None, str]:
    """A module of the product, or None and why it cannot be imported."""
    try:
        known = sys.modules.get(name)
        if is_again and known is not None:
            return importlib.reload(known), ""
        return importlib.import_module(name), ""
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the module's own code raises
        return None, _describe(error)


def _import_file(path: Path) -> tuple[ModuleType | None, str]:
    name = f"{FOLDER_PREFIX}_{path.parent.name}_{path.stem}".replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        return None, "not a Python file"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as dataclasses and pickle expect
    try:
        code = compile(path.read_bytes(), str(path), "exec")  # no .pyc: it may be as old as the change
        exec(code, module.__dict__)  # noqa: S102 - the product's own file, as importing it would
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the module's own code raises
        return None, _describe(error)
    return module, ""


def _describe(error: BaseException) -> str:
    line = getattr(error, "lineno", None)
    where = f" (line {line})" if isinstance(line, int) else ""
    try:
        text = printable(str(error), MAX_MESSAGE)
    except Exception:  # noqa: BLE001 - an exception that cannot be printed
        text = "its message cannot be read"
    return f"{type(error).__name__}: {text}{where}"


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
