"""Names to classes: auth modes, paginators and whatever outside packages add.

A part is one file in its folder: `nango_py/auth/api_key.py` is auth mode `API_KEY`. It is imported when it
is asked for, so a program pays only for the parts that its files name. Outside packages register the same
kind of class by entry point (`nango_py.auth`, `nango_py.pagination`).
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nango_py.errors import unknown_name

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Part = TypeVar("Part")


class UnknownPartError(LookupError):
    """No part of that name; the message offers the nearest one."""


class Registry(Generic[Part]):
    """Classes of one kind by the name that YAML uses for them.

    Args:
        kind: the word for error messages, such as "auth mode".
        package: the folder whose modules hold the built-in parts; `base` and names with a leading
            underscore are not parts. It is the entry point group of outside packages too.
        upper: whether YAML writes the names in capitals.
    """

    def __init__(self, kind: str, package: str, *, upper: bool = False) -> None:
        self.kind = kind
        self._package = package
        self._upper = upper
        self._classes: dict[str, type[Part]] = {}

    def register(self, cls: type[Part]) -> type[Part]:
        """Class decorator: makes the class known under its `name`."""
        self._classes[cls.name] = cls  # type: ignore[attr-defined]  # every part class declares `name`
        return cls

    def get(self, name: str) -> type[Part]:
        """The class of that name.

        Raises:
            UnknownPartError: nobody registered it.
        """
        if name not in self._classes:
            # Looking through the installed packages costs more than the rest of a start: our own come first.
            self._import(name)
        if name not in self._classes and name in self._outside():
            self._classes[name] = self._outside()[name].load()
        if name not in self._classes:
            raise UnknownPartError(unknown_name(self.kind, name, self.names()))
        return self._classes[name]

    def names(self) -> tuple[str, ...]:
        """Every name that `get` answers, sorted, without importing the parts."""
        return tuple(sorted({*self._classes, *self._modules(), *self._outside()}))

    def all(self) -> dict[str, type[Part]]:
        """Every part, imported."""
        return {name: self.get(name) for name in self.names()}

    def additions(self) -> tuple[str, ...]:
        """The names of parts that this process registered and that are not of this package."""
        return tuple(
            name for name, cls in self._classes.items() if not cls.__module__.startswith(f"{self._package}.")
        )

    def has_outside(self) -> bool:
        """Whether a part may come from another package."""
        return bool(self.additions() or self._outside())

    def _import(self, name: str) -> None:
        """Import the module of a built-in part, if there is one of that name."""
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
    def _outside(self) -> dict[str, EntryPoint]:
        import importlib.metadata

        return {point.name: point for point in importlib.metadata.entry_points(group=self._package)}


AUTH_MODES: Registry[Any] = Registry("auth mode", "nango_py.auth", upper=True)
PAGINATORS: Registry[Any] = Registry("pagination kind", "nango_py.pagination")
