"""The recipes of CONTRIBUTING.md work: a copy of the tree gets their files and runs their commands."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import PurePath
from typing import TYPE_CHECKING

import pytest

from tests.support.run_docs import ROOT, blocks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.run_docs import Block

PAGE = ROOT / "CONTRIBUTING.md"
FILES = {block.title: block.text for block in blocks(PAGE, "yaml", "python") if block.title}
BLUEPRINT, MODE, KIND = (
    "blueprints/northwind.v1.yaml",
    "nango_py/auth/bearer.py",
    "nango_py/pagination/next_header.py",
)
PAGE_SERVER = "nango_py/sandbox/paging/next_header.py"
RECIPES = {
    "A blueprint": BLUEPRINT,
    "An action": "",
    "An auth mode": MODE,
    "A paginator": KIND,
    "A limit store": "nango_py/limits/stores/logged.py",
    "A CLI command": "nango_py/cli/users.py",
}
"""Each recipe's heading, and the new file; "" if it only changes one."""

PAGES, SCHEMAS = "docs/generate_reference", {"schema/blueprint", "schema/integrations"}
GENERATED: dict[str, set[str]] = {
    "A blueprint": {"docs/generate_blueprints", PAGES},
    "An action": {PAGES},
    "An auth mode": {"docs/generate_auth", PAGES, *SCHEMAS},
    "A paginator": {PAGES, *SCHEMAS},
    "A limit store": SCHEMAS,
    "A CLI command": {"docs/generate_cli"},
}
"""What each recipe generates again: one that forgot it would profit from the next, in the same checkout."""

PAGED = """\
      json: {id: 1}
  - call: {method: GET, path: orders}
    credentials: {token: token_test_1234}
    sends: {url: https://api.northwind.test/v1/orders, headers: {}}
    response: {status: 200, headers: {X-Next-Page: "?page=2"}, json: {items: [1, 2]}}
  - call: {method: GET, path: orders, params: {page: "2"}}
    credentials: {token: token_test_1234}
    sends: {url: "https://api.northwind.test/v1/orders?page=2", headers: {}}
    response: {status: 200, json: {items: [3]}}
"""
"""The last example, and two pages of a list."""

PROGRAM = """
import sys
from nango_py import CredentialsError, Nango, Sandbox

entry = {"it": {"extends_blueprint": "northwind:v1"}}
settings = Nango(entry).configuration.integrations["it"].settings
with Sandbox(settings, credentials={"user-1": {"token": "token_of_user_1"}}) as api:
    with Nango(entry, overrides={"it": {"requests": {"base_url": api.base_url}}}) as nango:
        try:
            nango.register_connection("it", "user-2", {"tokn": "token_of_user_2"})
        except CredentialsError as error:
            print(error)
        nango.register_connection("it", "user-1", {"token": "token_of_user_1"})
        executor = nango.executor("it", "user-1")
        print(executor.plan("GET", "me"))
        print(executor.get("me").json(), list(executor.paginate("orders")))
        print([(record.endpoint, record.user, record.status) for record in api.ledger.received])
"""
PRINTED = (
    'it/user-2: unknown credential "tokn"; did you mean "token"?',
    "Authorization: Bearer ***",
    "{'id': 1} [1, 2, 3]",
    "[('me', 'user-1', 200), ('orders', 'user-1', 200), ('orders', 'user-1', 200)]",
)


def own_kinds() -> str:
    """The recipe's blueprint with the recipe's own auth mode and kind of paging."""
    changes = {
        "API_KEY": "BEARER",
        "${api_key}": "${token}",
        "credentials: {api_key: key_test_1234}": "credentials: {token: token_test_1234}",
        "  api_key: {title": "  token: {title",
        "Bearer key_test_1234": "Bearer token_test_1234",
        "{kind: offset, param: offset, size: {param: limit, max: 100}, records: items}": (
            "{kind: next_header, header: X-Next-Page, records: items}"
        ),
        "      json: {id: 1}\n": PAGED,
    }
    text = FILES[BLUEPRINT]
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def write(folder: Path, files: dict[str, str]) -> None:
    """Put files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def run(arguments: list[str], folder: Path, *paths: Path) -> str:
    """What a fresh interpreter prints that sees these packages."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env=environ, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the tree, with `python`, `pytest` and `nango` for its commands."""
    folder = tmp_path / "checkout"
    # With their bytecode, which is valid in copies; its temporary files vanish.
    ignored = shutil.ignore_patterns("*.pyc.*", "browser")
    for name in ("nango_py", "blueprints", "tests", "docs", "examples", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "LICENSE",
        "integrations.yaml",
        "pyproject.toml",
    ):
        shutil.copy(ROOT / name, folder)
    for name, arguments in {"python": "", "pytest": "-m pytest -q -n0", "nango": "-m nango_py"}.items():
        tool = tmp_path / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        tool.chmod(0o755)
    return folder


def blocks_of(heading: str) -> list[Block]:
    """The blocks of one section of the page, in order."""
    lines = PAGE.read_text().splitlines()
    start = lines.index(f"## {heading}") + 1
    end = next(number for number, line in enumerate(lines) if number > start and line.startswith("## "))
    return [block for block in blocks(PAGE) if start < block.line <= end]


def apply(diff: str, text: str) -> str:
    """The text after a change whose lines begin with a blank, a minus or a plus."""
    before = "".join(line[1:] + "\n" for line in diff.splitlines() if line[:1] != "+").rstrip("\n")
    after = "".join(line[1:] + "\n" for line in diff.splitlines() if line[:1] != "-").rstrip("\n")
    assert text.count(before) == 1, before
    return text.replace(before, after)


def follow(heading: str, checkout: Path) -> list[str]:
    """Do what a recipe says, block by block, but its tests: their files and `-k`, to run with the others."""
    tests: list[str] = []
    for block in blocks_of(heading):
        path = checkout / block.title
        if block.language == "sh":
            commands, _, options = block.text.partition("pytest ")
            shell(commands, checkout)
            tests = shlex.split(options.replace("\\\n", ""))
        elif block.language == "diff":
            path.write_text(apply(block.text, path.read_text()))
        else:
            assert not path.exists()
            path.write_text(block.text)
    return tests


def shell(commands: str, checkout: Path) -> str:
    """What commands print in a checkout; they succeed."""
    environ = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "PATH": f"{checkout.parent / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis"),  # its table of Unicode takes a second
    }
    done = subprocess.run(
        ["bash", "-ec", commands],
        cwd=checkout, env=environ, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
    return done.stdout


def union(selections: list[list[str]]) -> str:
    """One `pytest` that runs the tests of several."""
    files = dict.fromkeys(name for each in selections for name in each if name.endswith(".py"))
    words = [f"({each[each.index('-k') + 1]})" if "-k" in each else stems(each) for each in selections]
    return shlex.join(["pytest", *files, "-k", " or ".join(words)])


def stems(files: list[str]) -> str:
    """The option `-k` for all tests of some files."""
    return " or ".join(PurePath(name).stem for name in files)


def test_each_recipe_adds_one_file() -> None:
    """Each section holds a new file, at most some changes of others, and ends with its commands.

    A paginator has its page server in a second file.
    """
    assert set(FILES) == {*filter(None, RECIPES.values()), PAGE_SERVER}
    for heading, name in RECIPES.items():
        found = blocks_of(heading)
        titles = [block.title for block in found if block.language in {"yaml", "python"}]
        assert titles == [*([name] if name else []), *([PAGE_SERVER] if name == KIND else [])]
        assert found[-1].language == "sh"
        assert "pytest tests/" in found[-1].text
        assert GENERATED[heading] == {*re.findall(r"docs/generate_\w+|schema/\w+", found[-1].text)}


def test_the_recipes_work_to_the_letter(checkout: Path) -> None:
    """Their files are written, their changes made and their commands run, and the tests that they name."""
    output = shell(union([follow(heading, checkout) for heading in RECIPES]), checkout)
    assert re.search(r"\d+ passed", output)
    assert "skipped" not in output


def test_a_recipe_without_its_commands_would_be_noticed(checkout: Path) -> None:
    """The control: the new file alone leaves the docs incomplete."""
    (checkout / KIND).write_text(FILES[KIND])
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "tests/unit/test_docs_complete.py", "-kmentioned"]
    environ = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, cwd=checkout, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "next_header" in done.stdout


def test_an_auth_mode_and_a_paginator_are_used_from_end_to_end(checkout: Path) -> None:
    """Dropped into their folders they are registered, checked, masked, placed and followed."""
    write(checkout, {MODE: FILES[MODE], KIND: FILES[KIND], BLUEPRINT: own_kinds()})
    run(["-m", "nango_py", "check", BLUEPRINT], checkout, checkout)
    output = run(["-W", "error", "-c", PROGRAM], checkout, checkout)
    assert [line for line in PRINTED if line not in output] == [], output


def test_they_may_come_from_another_package(tmp_path: Path) -> None:
    """The same files in a package of somebody else's are found by its entry points."""
    (toml,) = (block.text for block in blocks(PAGE, "toml"))
    groups = tomllib.loads(toml)["project"]["entry-points"]
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in each.items())
        for group, each in groups.items()
    )
    site = tmp_path / "site"
    write(
        site,
        {
            "my_package/__init__.py": "",
            "my_package/bearer.py": FILES[MODE],
            "my_package/next_header.py": FILES[KIND],
            "my_package/next_header_server.py": FILES[PAGE_SERVER],
            "my_package/blueprints/__init__.py": "",
            "my_package/blueprints/northwind.v1.yaml": own_kinds(),
            "my_package-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n",
            "my_package-1.0.dist-info/entry_points.txt": points,
        },
    )
    output = run(["-W", "error", "-c", PROGRAM], tmp_path, ROOT, site)
    assert [line for line in PRINTED if line not in output] == [], output
