"""Parts by name: built-in ones from their folder, outside ones by entry point."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

from nango_py import registry as registry_module
from nango_py.registry import AUTH_MODES, PAGINATORS, Registry, UnknownPluginError


def test_built_in_plugins_are_found_by_their_files() -> None:
    """A part is one file in its folder; its name is known without importing it."""
    assert {"API_KEY", "OAUTH2", "USERNAME_PASSWORD"} <= set(AUTH_MODES.names())
    assert {"cursor", "link_header", "next_url", "offset", "page", "single"} <= set(PAGINATORS.names())
    assert AUTH_MODES.names() == tuple(sorted(AUTH_MODES.names()))
    assert "BASE" not in AUTH_MODES.names()


@pytest.mark.parametrize("registry", [AUTH_MODES, PAGINATORS], ids=["auth", "pagination"])
def test_each_plugin_has_the_name_of_its_file(registry: Registry[object]) -> None:
    """The file's name and the class's `name` are the same."""
    for name, cls in registry.all().items():
        assert cls.name == name  # type: ignore[attr-defined]
        assert registry.get(name) is cls


def test_an_unknown_name_suggests_the_nearest() -> None:
    """The message suggests the nearest name, or lists the known ones."""
    with pytest.raises(UnknownPluginError, match='unknown auth mode "API_KYE"; did you mean "API_KEY"'):
        AUTH_MODES.get("API_KYE")
    with pytest.raises(LookupError, match="known: "):
        PAGINATORS.get("zebra")


@pytest.mark.parametrize("name", ["../secret", "base", "os", "", "nango_py.auth.api_key", "API_KEY.x"])
def test_a_name_is_never_a_module_path(name: str) -> None:
    """Only files of the folder and declared entry points are ever imported."""
    with pytest.raises(UnknownPluginError):
        AUTH_MODES.get(name)


class Outside:
    """A part of another package."""

    name = "outside"


def test_a_registered_class_is_known() -> None:
    """Tests and programs may register without an entry point."""
    registry: Registry[object] = Registry("pagination kind", "nango_py.pagination")
    assert registry.register(Outside) is Outside
    assert registry.get("outside") is Outside
    assert "outside" in registry.names()


def test_an_outside_package_registers_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its class is loaded when it is asked for, by the same door as the built-in ones."""
    point = importlib.metadata.EntryPoint("outside", f"{__name__}:Outside", "nango_py.pagination")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setattr(registry_module, "find_entry_points", lambda _: [point])
    monkeypatch.setattr(importlib.metadata.EntryPoint, "load", lambda _: Outside)
    registry: Registry[object] = Registry("pagination kind", "nango_py.pagination")
    assert "outside" in registry.names()
    assert registry.get("outside") is Outside


def test_getting_a_plugin_imports_no_other() -> None:
    """A program pays only for the parts that its files name."""
    code = (
        "import sys\n"
        "from nango_py.registry import AUTH_MODES\n"
        "AUTH_MODES.names(); AUTH_MODES.get('API_KEY')\n"
        "print(sorted(name for name in sys.modules if name.startswith('nango_py.auth.')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['nango_py.auth.api_key', 'nango_py.auth.base']"
