"""The files of examples/ are valid, and the how-to pages show what is in them. `tests/examples` runs them."""

from __future__ import annotations

import ast
import json
import re

import pytest

from nango_py import Nango
from tests.support.run_docs import HOW_TO, ROOT, blocks

EXAMPLES = ROOT / "examples"
FOLDERS = sorted(path for path in EXAMPLES.iterdir() if path.is_dir())
SHOWN = [block for page in HOW_TO for block in blocks(page) if block.is_example]
LINKED = "".join(page.read_text() for page in HOW_TO)
ENVIRON = {"DATABASE_URL": "postgresql://127.0.0.1/none", "PUBLIC_URL": "https://connect.example.com"}


def names(pattern: str) -> list[str]:
    """The files of all examples that fit a pattern."""
    return sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob(pattern))


@pytest.mark.parametrize("block", SHOWN, ids=lambda block: f"{block}")
def test_a_page_shows_what_is_in_the_file(block: object) -> None:
    """A block with the name of an example is a part of this file, to the letter."""
    assert block.text in (ROOT / block.title).read_text()  # type: ignore[attr-defined]


def test_pages_show_every_example() -> None:
    """Each folder is shown on a page, and a page links it and the README of the examples."""
    assert {block.title.split("/")[1] for block in SHOWN} | {"notebook"} == {path.name for path in FOLDERS}
    for folder in FOLDERS:
        assert f"](../../examples/{folder.name}/" in LINKED
        assert f"]({folder.name}/" in (EXAMPLES / "README.md").read_text()


@pytest.mark.parametrize("name", names("*.py"))
def test_a_file_is_python(name: str) -> None:
    """Each file of Python compiles, and begins with a sentence."""
    assert ast.get_docstring(ast.parse((EXAMPLES / name).read_text()))


@pytest.mark.parametrize("name", names("integrations.yaml"))
def test_integrations_load(name: str) -> None:
    """Each integrations.yaml is valid."""
    with Nango(EXAMPLES / name, environ=ENVIRON) as nango:
        assert set(nango.configuration.integrations) == {"klaviyo"}


@pytest.mark.parametrize("name", names("*.ipynb"))
def test_a_notebook_is_python_without_outputs(name: str) -> None:
    """Each cell compiles, and no output of a real account is stored."""
    for cell in json.loads((EXAMPLES / name).read_text())["cells"]:
        if cell["cell_type"] == "code":
            compile("".join(cell["source"]), name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            assert cell["outputs"] == []


def test_a_bridge_has_at_most_forty_lines() -> None:
    """A bridge is short enough to be copied into a product."""
    for path in (EXAMPLES / "observability").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 40, path.name


def test_no_example_has_a_secret() -> None:
    """Passwords and keys come from the environment; the control shows what would be found."""
    pattern = re.compile(r"(password|secret_key|encryption_keys?)\w*\s*[=:]\s*[\"']?[\w-]{4}", re.IGNORECASE)
    assert pattern.search('SECRET_KEY = "abcdef"')
    for path in EXAMPLES.rglob("*.*"):
        if path.suffix in {".py", ".yaml"}:
            found = pattern.search(path.read_text().replace("os.environ[", "["))
            assert found is None, f"{path.name}: {found}"
