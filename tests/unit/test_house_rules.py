"""The rules of CONTRIBUTING.md that a machine can hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nango_py

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "nango_py"
MODULES = sorted(PACKAGE.rglob("*.py"))
TEST_FILES = sorted((ROOT / "tests").rglob("test_*.py"))
BROWSER_FIXTURES = ROOT / "tests" / "browser" / "conftest.py"
"""The one place that may skip tests: where a machine has no Chromium, and never in CI."""

LAYERS = (
    {"_version", "errors", "secret", "clock", "record", "registry"},
    {"config", "database"},
    {"protocols"},
    {"auth", "connections", "limits", "pagination"},
    {"transport"},
    {"engine", "tokens"},
    {"transfer"},
    {"services"},
    {"accounts"},
    {"client"},
    {"actions"},
    {"sandbox"},
    {"connect"},
    {"server"},
    {"cli"},
    {"__main__"},
)
"""Lower layers first; a module imports its own room or a lower layer."""

OWNERS = {
    "yaml": {"config/yaml/document.py", "config/yaml/reader.py", "config/yaml/tree.py"},
    "jsonschema": {"config/schema/validation.py"},
    "jinja2": {"config/template/compiler.py"},
    "backoff": {"engine/retry.py"},
    "sqlite3": {"database/sqlite.py"},
    "psycopg": {"database/postgres.py"},
    "psycopg_pool": {"database/postgres.py"},
    "requests": {"transport/", "engine/"},
    "urllib3": {"transport/", "engine/"},
    "redis": {"limits/stores/redis_store.py"},
    "httpx2": {"transport/async_transport.py", "transport/async_addresses.py"},
    "httpcore2": {"transport/async_addresses.py"},
    "starlette": {"server/"},
    "uvicorn": {"server/"},
    "anyio": {"server/"},
    "h11": {"server/"},
}
"""Each library is imported in one place, so that replacing it touches one place."""

UPWARD = {("client.py", "nango_py.server")}
"""What is imported against the flow, when it is called: `nango.asgi_app()` is found, a function is not."""


def imported(path: Path) -> list[str]:
    """Every module that a file imports, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
            found += [f"{node.module}.{alias.name}" for alias in node.names if node.module == "nango_py"]
    return found


def layer_of(room: str) -> int:
    """The number of a room's layer."""
    return next(number for number, rooms in enumerate(LAYERS) if room in rooms)


def room_of(path: Path) -> str:
    """The room a file lies in: its folder, or its own name at the top."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.stem


@pytest.mark.parametrize("path", [path for path in MODULES if path != PACKAGE / "__init__.py"], ids=str)
def test_a_module_imports_only_its_own_room_or_a_lower_layer(path: Path) -> None:
    """Data flows one way: no module knows what stands above it or beside it."""
    room = room_of(path)
    for name in imported(path):
        parts = name.split(".")
        if parts[0] != "nango_py" or len(parts) == 1:
            continue
        if (path.relative_to(PACKAGE).as_posix(), name) in UPWARD:
            continue
        other = parts[1]
        below = layer_of(other) < layer_of(room) or layer_of(other) == 0
        assert other == room or below, f"{room} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_each_library_has_one_owner(path: Path) -> None:
    """A library that could be replaced is imported in one file or folder only."""
    place = path.relative_to(PACKAGE).as_posix()
    for name in imported(path):
        owners = OWNERS.get(name.split(".")[0])
        assert owners is None or any(place.startswith(owner) for owner in owners), f"{place} imports {name}"


def test_the_import_rule_would_see_a_breach(tmp_path: Path) -> None:
    """The control: an import inside a function is found as well."""
    breach = tmp_path / "breach.py"
    breach.write_text("def f():\n    from nango_py.engine import call\n    import yaml\n")
    assert imported(breach) == ["nango_py.engine", "yaml"]


def test_the_public_names_are_those_that_are_documented() -> None:
    """`__all__` is sorted, every name in it can be had, and nothing else is promised."""
    assert nango_py.__all__ == sorted(nango_py.__all__)
    assert set(nango_py.__all__) == set(nango_py._HOMES)
    for name in nango_py.__all__:
        assert getattr(nango_py, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Manager'"):
        nango_py.Manager  # noqa: B018


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(found.stdout.split())


HEAVY = {
    "yaml",
    "jsonschema",
    "jinja2",
    "requests",
    "urllib3",
    "cryptography",
    "psycopg",
    "sqlite3",
    "backoff",
    "rich",
    "starlette",
    "uvicorn",
}


def test_importing_the_package_loads_none_of_its_libraries() -> None:
    """`import nango_py` costs next to nothing: libraries come with the first use of what needs them."""
    assert not modules_after("import nango_py") & HEAVY


def test_the_lazy_import_test_would_see_a_library() -> None:
    """The control: a name that needs requests loads it."""
    assert "requests" in modules_after("from nango_py.transport import response")


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.name)
def test_every_test_opens_with_a_sentence(path: Path) -> None:
    """Whoever reads a failing test reads first what should have happened."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            assert ast.get_docstring(node), f"{path.name}: {node.name} has no sentence"


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: path.name)
def test_no_test_sleeps_mocks_or_is_switched_off(path: Path) -> None:
    """Time is injected, stand-ins are real servers, and every test runs."""
    if path == Path(__file__):
        return
    text = path.read_text()
    if path == BROWSER_FIXTURES:
        assert text.count("pytest.skip(reason)") == 1
        text = text.replace("pytest.skip(reason)", "")
    patterns = [r"unittest\.mock", r"pytest\.(mark\.)?(skip|xfail)\b", r"\bskipif\b"]
    if path in TEST_FILES:
        patterns.append(r"\btime\.sleep\(")
    for pattern in patterns:
        assert not re.search(pattern, text), f"{path.name} holds {pattern}"


def test_no_file_outgrows_its_room() -> None:
    """Files stay small enough to be read in one go."""
    long = {path.name: count for path in MODULES if (count := len(path.read_text().splitlines())) > 350}
    assert not long


def test_the_tree_names_no_machine() -> None:
    """Nothing in the tree holds a path or address that exists on one machine only."""
    tracked = subprocess.run(
        ["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    pattern = re.compile(r"/(work|root|home)/\w")
    for name in tracked:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".yaml", ".toml", ".json"} and path != Path(__file__).resolve():
            assert not pattern.search(path.read_text()), name
