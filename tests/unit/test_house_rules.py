"""The rules of CONTRIBUTING.md that a machine can hold."""

from __future__ import annotations

import ast
import re
import shutil
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

OWNERS = {
    "yaml": {
        "config/yaml/document.py",
        "config/yaml/reader.py",
        "config/yaml/tree.py",
        "importers/reading.py",
    },
    "jsonschema": {"config/schema/validation.py"},
    "jinja2": {"config/template/parser.py"},
    "backoff": {"engine/retry.py"},
    "sqlite3": {"database/sqlite.py"},
    "psycopg": {"database/postgres.py"},
    "psycopg_pool": {"database/postgres.py", "jobs/procrastinate_runner.py"},
    "requests": {"transport/", "engine/requests_adapter.py", "engine/requests_transport.py"},
    "urllib3": {"transport/", "engine/requests_adapter.py", "engine/requests_transport.py"},
    "redis": {"limits/stores/redis_store.py"},
    "procrastinate": {"jobs/procrastinate_runner.py"},
    "cronsim": {"jobs/schedule.py"},
    "xmltodict": {"engine/response_body.py"},
    "httpx": set(),
    "httpx2": set(),
    "starlette": {"server/"},
    "uvicorn": {"server/"},
    "anyio": {"server/", "mcp/sdk.py"},
    "mcp": {"mcp/sdk.py"},
    "mcp_types": {"mcp/sdk.py"},
    "h11": {"server/"},
}
"""Each library is imported in one place, so that replacing it touches one place."""


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text())


def imported(path: Path) -> list[str]:
    """Every module that a file imports, wherever in it; ruff allows one in a line."""
    return re.findall(r"^\s*(?:from|import) ([\w.]+)", path.read_text(), re.MULTILINE)


def lint_imports(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the package in a folder, with the contracts of its pyproject.toml."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_room_imports_only_rooms_below_it() -> None:
    """The contracts of pyproject.toml hold: layers, and no circle between rooms, folders or files."""
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "breach",
    [
        "def call() -> None:\n    from nango_py import client\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from nango_py.client import Nango\n",
    ],
    ids=["inside a function", "for an annotation"],
)
def test_the_contracts_see_a_breach(breach: str, tmp_path: Path) -> None:
    """The control: an import of a higher room is refused wherever it stands."""
    shutil.copytree(PACKAGE, tmp_path / "nango_py", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "nango_py" / "clock.py").write_text(breach)
    done = lint_imports(tmp_path, "--contract", "layers")
    assert done.returncode == 1
    assert "nango_py.clock -> nango_py.client" in done.stdout


def test_each_library_has_one_owner() -> None:
    """A library that could be replaced is imported in one file or folder only."""
    for path in MODULES:
        place = path.relative_to(PACKAGE).as_posix()
        for name in imported(path):
            owners = OWNERS.get(name.split(".")[0])
            assert owners is None or place.startswith(tuple(owners)), f"{place} imports {name}"


def test_the_import_rule_would_see_a_breach(tmp_path: Path) -> None:
    """The control: an import inside a function is found as well."""
    breach = tmp_path / "breach.py"
    breach.write_text("def f():\n    from nango_py.engine import call\n    import yaml\n")
    assert imported(breach) == ["nango_py.engine", "yaml"]


def test_the_public_names_are_those_that_are_documented() -> None:
    """`__all__` is sorted, and lists every name that is imported at its first use."""
    assert nango_py.__all__ == sorted(nango_py.__all__)
    assert set(nango_py._MODULES) <= set(nango_py.__all__)
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
    "cronsim",
    "procrastinate",
    "starlette",
    "uvicorn",
    "mcp",
    "pydantic",
}


def test_importing_the_package_loads_none_of_its_libraries() -> None:
    """`import nango_py` costs next to nothing: libraries come with the first use of what needs them."""
    assert not modules_after("import nango_py") & HEAVY


def test_the_lazy_import_test_would_see_a_library() -> None:
    """The control: a name that needs requests loads it."""
    assert "requests" in modules_after("from nango_py.transport import response")


def test_every_test_opens_with_a_sentence() -> None:
    """The reader of a failing test first reads what should have happened."""
    for path in TEST_FILES:
        for node in (each for top in parsed(path).body for each in (top, *getattr(top, "body", ()))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                assert ast.get_docstring(node, clean=False), f"{path.name}: {node.name} has no sentence"


def test_no_test_sleeps_mocks_or_is_switched_off() -> None:
    """Time is injected, stand-ins are real servers, and every test runs."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path == Path(__file__):
            continue
        text = path.read_text()
        if path == BROWSER_FIXTURES:
            assert text.count("pytest.skip(reason)") == 1
            text = text.replace("pytest.skip(reason)", "")
        pattern = r"unittest\.mock|pytest\.(mark\.)?(skip|xfail)\b|\bskipif\b"
        if path in TEST_FILES:
            pattern += r"|\btime\.sleep\("
        found = re.search(pattern, text)
        assert found is None, f"{path.name} holds {found[0]}"


LOCKS = {
    "clock.py": "the clock of tests",
    "database/base.py": "the gate that forks wait for, which is made anew in a child",
    "database/postgres.py": "made anew in a child, too",
    "database/sqlite.py": "held only within the gate that forks wait for",
    "engine/place.py": "one thread's, which a child does not have",
    "forks.py": "the lock that forks wait for",
    "sandbox/": "a test tool",
    "tapes/": "a test tool",
    "tokens/endpoints.py": "replaced with the refresher's jobs",
    "tokens/refresher.py": "replaced when the process is another one",
    "transport/pools.py": "replaced with the connections",
}
"""Where else a lock may be made than in `forget_inherited`, and why a child does not wait for it."""


def locks_made(tree: ast.AST, place: str = "") -> list[str]:
    """The functions that make a lock or a condition of threading."""
    found = []
    for node in ast.iter_child_nodes(tree):
        inner = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else place
        is_made = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if is_made and node.func.attr in {"Lock", "RLock", "Condition"}:
            found.append(place)
        found += locks_made(node, inner)
    return found


def test_no_lock_is_left_in_a_forked_child() -> None:
    """A lock is a short one of `forks.py`, or is made in `forget_inherited`, which children call."""
    for path in MODULES:
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(tuple(LOCKS)):
            assert set(locks_made(parsed(path))) <= {"forget_inherited"}, name


def test_a_lock_that_children_inherit_is_seen() -> None:
    """The control: one that is made in `__init__`."""
    tree = ast.parse("class A:\n    def __init__(self):\n        self._lock = threading.Lock()\n")
    assert locks_made(tree) == ["__init__"]


def test_no_file_outgrows_its_room() -> None:
    """Files stay small enough to be read in one go."""
    long = {path.name: count for path in MODULES if (count := len(path.read_text().splitlines())) > 500}
    assert not long


def test_the_tree_names_no_machine() -> None:
    """Nothing in the tree holds a path or address that exists on one machine only."""
    tracked = subprocess.run(
        ["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    # An API may have such a segment in the middle of a path, as in drives/{id}/root/children.
    pattern = re.compile(r"(?<![\w}])/(work|root|home)/\w")
    for name in tracked:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".yaml", ".toml", ".json"} and path != Path(__file__).resolve():
            assert not pattern.search(path.read_text()), name
