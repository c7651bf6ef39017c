"""Plugins by name: auth modes, paginators and page servers, built in or from other packages.

A plugin is one file in its folder: `nango_py/auth/api_key.py` is the auth mode `API_KEY`. It is imported on
first use, so a program only loads what its files name. Other packages register the same kind of class by
entry point (`nango_py.auth`, `nango_py.pagination`, `nango_py.sandbox.paging`).
"""

from __future__ import annotations

import functools
import importlib
import itertools
import sys
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nango_py.errors import unknown_name

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Plugin = TypeVar("Plugin")


class UnknownPluginError(LookupError):
    """There is no plugin with that name; the message suggests the nearest one."""


class Registry(Generic[Plugin]):
    """Classes of one kind by the name that YAML uses for them.

    Args:
        kind: the term for error messages, such as "auth mode".
        package: the package of the built-in plugins; `base` and modules with a leading underscore are not
            plugins. Also the entry point group for other packages.
        upper: whether the names are written in upper case in YAML.
    """

    def __init__(self, kind: str, package: str, *, upper: bool = False) -> None:
        self.kind = kind
        self._package = package
        self._upper = upper
        self._classes: dict[str, type[Plugin]] = {}

    def register(self, cls: type[Plugin]) -> type[Plugin]:
        """Class decorator: registers the class under its `name`."""
        self._classes[cls.name] = cls  # type: ignore[attr-defined]  # every plugin class declares `name`
        return cls

    def get(self, name: str) -> type[Plugin]:
        """The class with that name.

        Raises:
            UnknownPluginError: there is none.
        """
        if name not in self._classes:
            # Built-in plugins first: searching the installed packages is slow.
            self._import(name)
        if name not in self._classes and name in self._entry_points():
            self._classes[name] = self._entry_points()[name].load()
        if name not in self._classes:
            raise UnknownPluginError(unknown_name(self.kind, name, self.names()))
        return self._classes[name]

    def names(self) -> tuple[str, ...]:
        """All names, sorted, without importing the plugins."""
        return tuple(sorted({*self._classes, *self._modules(), *self._entry_points()}))

    def all(self) -> dict[str, type[Plugin]]:
        """All plugins, imported."""
        return {name: self.get(name) for name in self.names()}

    def additions(self) -> tuple[str, ...]:
        """The names of plugins from other packages that this process registered."""
        return tuple(
            name for name, cls in self._classes.items() if not cls.__module__.startswith(f"{self._package}.")
        )

    def has_external(self) -> bool:
        """Whether other packages provide plugins."""
        return bool(self.additions() or self._entry_points())

    def _import(self, name: str) -> None:
        """Import the module of a built-in plugin, if there is one with that name."""
        stem = name.lower() if self._upper else name
        is_name = stem.isidentifier() and stem.isascii() and stem != "base" and not stem.startswith("_")
        if not is_name or (self._upper and name != name.upper()):
            return
        module = f"{self._package}.{stem}"
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise

    @functools.cache  # noqa: B019 - registries live as long as the process
    def _modules(self) -> dict[str, str]:
        import pkgutil

        package = importlib.import_module(self._package)
        return {
            (module.name.upper() if self._upper else module.name): f"{self._package}.{module.name}"
            for module in pkgutil.iter_modules(package.__path__)
            if module.name != "base" and not module.name.startswith("_")
        }

    @functools.cache  # noqa: B019
    def _entry_points(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in find_entry_points(self._package)}


def find_entry_points(group: str) -> list[EntryPoint]:
    """The entry points of a group."""
    return _scan_packages(tuple(sys.path)).get(group, [])


@functools.cache
def _scan_packages(_: tuple[str, ...]) -> dict[str, list[EntryPoint]]:
    """Every installed entry point by group, scanned once for each path: it takes longer than a start."""
    import importlib.metadata

    found: Any = importlib.metadata.entry_points()  # a mapping of groups before Python 3.12
    groups: dict[str, list[EntryPoint]] = {}
    for point in itertools.chain.from_iterable(dict.values(found)) if isinstance(found, dict) else found:
        groups.setdefault(point.group, []).append(point)
    return groups


AUTH_MODES: Registry[Any] = Registry("auth mode", "nango_py.auth", upper=True)
PAGINATORS: Registry[Any] = Registry("pagination kind", "nango_py.pagination")
PAGE_SERVERS: Registry[Any] = Registry("pagination kind of the sandbox", "nango_py.sandbox.paging")
GENERAL_KIND = "next"
"""The kind of a `pagination:` block without `kind`."""
