"""The recipes of CONTRIBUTING.md work: each file is written where it says, and used from end to end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.support.run_docs import ROOT, blocks

if TYPE_CHECKING:
    from pathlib import Path

PAGE = ROOT / "CONTRIBUTING.md"
RECIPES = {block.title: block.text for block in blocks(PAGE, "yaml", "python") if block.title}
BLUEPRINT, MODE, KIND = (
    "blueprints/northwind.v1.yaml",
    "nango_py/auth/bearer.py",
    "nango_py/pagination/next_header.py",
)

PAGED = """
  - call: {method: GET, path: orders}
    credentials: {token: token_test_1234}
    sends: {url: https://api.northwind.test/v1/orders, headers: {}}
    response: {status: 200, headers: {X-Next-Page: "?page=2"}, json: {items: [1, 2]}}
  - call: {method: GET, path: orders, params: {page: "2"}}
    credentials: {token: token_test_1234}
    sends: {url: "https://api.northwind.test/v1/orders?page=2", headers: {}}
    response: {status: 200, json: {items: [3]}}

gotchas:"""
"""Two pages for the example's list."""

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
        "api_key: key_test_1234": "token: token_test_1234",
        "Bearer key_test_1234": "Bearer token_test_1234",
        "{kind: offset, param: offset, limit_param: limit, limit: 100, records: items}": (
            "{kind: next_header, header: X-Next-Page, records: items}"
        ),
        "\ngotchas:": PAGED,
    }
    text = RECIPES[BLUEPRINT]
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
        cwd=folder, env=environ, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of its own to add files to."""
    folder = tmp_path / "checkout"
    for name in ("nango_py", "blueprints", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("integrations.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def test_the_recipes_name_the_three_kinds_of_file() -> None:
    """A blueprint, an auth mode and a paginator each are one file."""
    assert set(RECIPES) == {BLUEPRINT, MODE, KIND}


def test_a_blueprint_is_one_file(checkout: Path) -> None:
    """The recipe's blueprint passes the command and the contract tests that the recipe names."""
    write(checkout, {BLUEPRINT: RECIPES[BLUEPRINT]})
    assert "nango check blueprints/northwind.v1.yaml" in PAGE.read_text()
    run(["-m", "nango_py", "check", BLUEPRINT], checkout, checkout)
    command = ["-m", "pytest", "-n0", "-q", "-k", "northwind", "tests/contract/test_blueprints.py"]
    assert " passed" in run(command, checkout, checkout)


def test_an_auth_mode_and_a_paginator_are_one_file_each(checkout: Path) -> None:
    """Dropped into their folders they are registered, checked, masked, placed and followed."""
    write(checkout, {MODE: RECIPES[MODE], KIND: RECIPES[KIND], BLUEPRINT: own_kinds()})
    run(["-m", "nango_py", "check", BLUEPRINT], checkout, checkout)
    output = run(["-W", "error", "-c", PROGRAM], checkout, checkout)
    assert [line for line in PRINTED if line not in output] == [], output


def test_the_contract_tests_find_them(checkout: Path) -> None:
    """Nothing else has to be told of a new auth mode; a new kind of paging says how it is walked."""
    write(checkout, {MODE: RECIPES[MODE], KIND: RECIPES[KIND]})
    (row,) = (block.text for block in blocks(PAGE, "python") if block.text.startswith("WALKS["))
    contract = checkout / "tests" / "contract" / "test_paginators.py"
    before, mark, after = contract.read_text().partition("\ndef paginator_of(")
    assert mark
    contract.write_text(f"{before}\n{row}\n{mark}{after}")
    command = ["-m", "pytest", "-n0", "-q", "-k", "BEARER or next_header or walked"]
    tests = ["tests/contract/test_auth_modes.py", "tests/contract/test_paginators.py"]
    output = run([*command, *tests], checkout, checkout)
    assert " passed" in output


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
            "my_package/bearer.py": RECIPES[MODE],
            "my_package/next_header.py": RECIPES[KIND],
            "my_package/blueprints/__init__.py": "",
            "my_package/blueprints/northwind.v1.yaml": own_kinds(),
            "my_package-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n",
            "my_package-1.0.dist-info/entry_points.txt": points,
        },
    )
    output = run(["-W", "error", "-c", PROGRAM], tmp_path, ROOT, site)
    assert [line for line in PRINTED if line not in output] == [], output
