"""The docs are correct: their code runs and their files load."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango
from nango_py.config.schema.facts import FACTS
from nango_py.config.schema.validation import check_blueprint
from nango_py.config.yaml.document import parse_document
from tests.support.run_docs import PAGES, ROOT, TEXTS, Block, blocks, documented_place, page_runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.run_docs import Place

APP = {"oauth_client_id": "client_test", "oauth_client_secret": "client_secret_test"}
READ = "\n".join(page.read_text() for page in TEXTS)
PYTHON = [page for page in PAGES if any(block.is_run for block in blocks(page, "python"))]
COMMANDS = [page for page in PAGES if blocks(page, "sh", "console") and page.name != "cli.md"]
"""Pages with commands. The examples in cli.md are left out: they use files that only a reader has."""


def params(*languages: str, pages: tuple[Path, ...] = TEXTS) -> list[Any]:
    """The blocks of some languages as test parameters."""
    found = (block for page in pages for block in blocks(page, *languages))
    return [pytest.param(block, id=str(block)) for block in found if not block.is_example]


# -- code --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run_page() -> Iterator[Callable[[Path, Place], str]]:
    """A function that runs the Python of a page."""
    with page_runner() as run:
        yield run


@pytest.mark.parametrize("page", PYTHON, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(
    page: Path, tmp_path: Path, run_page: Callable[[Path, Place], str]
) -> None:
    """The blocks run in order against sandboxes and print the output that the page shows."""
    with documented_place(tmp_path) as place:
        output = run_page(page, place)
    for block in blocks(page, "text"):
        if block.title == "output":
            missing = missing_lines(block.text, output)
            assert not missing, f"{block}: {missing}\n{output}"


def missing_lines(expected: str, output: str) -> list[str]:
    """The lines that the output does not contain in this order; `...` matches any lines."""
    lines, missing = iter(output.splitlines()), []
    for line in expected.splitlines():
        words = line.split()
        if (
            words
            and words != ["..."]
            and not any(" ".join(words) in " ".join(each.split()) for each in lines)
        ):
            missing.append(line)
    return missing


def test_a_missing_line_of_output_would_be_noticed() -> None:
    """The control: lines are matched in order, ignoring white space."""
    assert missing_lines("a  b\n...\nc\n", "x\na b\ny\nc d\n") == []
    assert missing_lines("c\na\n", "a\nc\n") == ["a"]


@pytest.mark.parametrize("block", params("python"))
def test_every_python_block_compiles(block: Block) -> None:
    """Blocks that are not run are valid Python too."""
    ast.parse(block.text)


@pytest.mark.parametrize("page", COMMANDS, ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """The `nango` commands of a page run in order, succeed, and print the output that the page shows."""
    with documented_place(tmp_path) as place:
        redirect(tmp_path / "integrations.yaml", place.overrides())
        for block in blocks(page, "json"):
            (tmp_path / (block.title or "unnamed.json")).write_text(block.text)
        for block in blocks(page, "sh", "console"):
            if not block.is_run:
                continue
            for command, expected in commands(block):
                done = shell(command, tmp_path, place.environment())
                output = place.as_documented(done.stdout + done.stderr)
                assert done.returncode == 0 or expected, f"{block}: {command}\n{output}"
                assert not missing_lines(expected, output), f"{block}: {command}\n{output}"


def redirect(path: Path, overrides: dict[str, Any]) -> None:
    """Write base URLs of sandboxes into integrations.yaml, because commands have no option for it."""
    lines = []
    for line in path.read_text().splitlines():
        lines.append(line)
        found = re.fullmatch(r"  ([a-z-]+):", line)
        if found:
            lines.append(f"    requests: {{base_url: {overrides[found[1]]['requests']['base_url']!r}}}")
    path.write_text("\n".join(lines) + "\n")


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each `nango` command of a block, with its output on the page."""
    prompt = "$ " if block.language == "console" else ""
    current, shown = "", []
    for line in [*block.text.splitlines(), prompt]:
        if line.startswith(prompt):
            if current.startswith("nango "):
                yield current, "\n".join(shown)
            current, shown = line.removeprefix(prompt), []
        else:
            shown.append(line)


def shell(command: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command like a reader, with a key for prompts and a signal for servers."""
    given = None
    if "connections register" in command and "--credentials-file" not in command:
        command, _, _ = command.partition("#")
        command, given = f"{command.strip()} --credentials-file -", '{"api_key": "pk_user_1"}'
    if command.startswith("nango demo"):
        command = command.replace("nango demo", "nango demo --calls 8", 1)
    if command.startswith("nango sandbox"):
        command = f"timeout --preserve-status -s INT 3 {command}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder, env=environment, input=given, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_readme_has_the_two_lines() -> None:
    """One line runs the demo and one the tests, both in a virtual environment."""
    lines = [line for block in blocks(ROOT / "README.md", "sh") for line in block.text.splitlines()]
    venv = "python3 -m venv .venv && .venv/bin/pip install -q"
    assert f"{venv} . && .venv/bin/nango demo" in lines
    assert f'{venv} -e ".[test]" && .venv/bin/pytest' in lines


# -- files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", params("yaml"))
def test_every_yaml_block_loads(block: Block, tmp_path: Path) -> None:
    """Whole files load, templates included; fragments load inside an integration."""
    data = parse_document(block.text, str(block)).data
    if block.title.startswith("blueprints/"):
        blueprint_loads(block, tmp_path)
        return
    if data.keys() & set(FACTS):
        whole = {"name": "fragment", "version": "v0", "extends": "klaviyo:v1", **data}
        (tmp_path / "blueprints").mkdir()
        (tmp_path / "blueprints" / "fragment.v0.yaml").write_text(json.dumps(whole))
        data = {"extends_blueprint": "fragment:v0"}
    if "auth" in data:
        data = {"integrations": {"fragment": recipe(data)}}
    if "integrations" not in data:
        config = {"config": data.pop("config")} if "config" in data else {}
        data |= {"app": dict.fromkeys(data["app_credentials"], "a")} if "app_credentials" in data else {}
        data = {"integrations": {"fragment": {"extends_blueprint": "klaviyo:v1", **data}}, **config}
    if logo := data.get("config", {}).get("product_logo"):
        (tmp_path / logo).write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
        data["config"]["product_logo"] = str(tmp_path / logo)
    names = re.findall(r"\$\{([A-Z_]+)\}", block.text)
    environ = {name: "redis://127.0.0.1/0" if name.endswith("_URL") else "a_secret" for name in names}
    with Nango(
        data, blueprints=tmp_path / "blueprints", database_url=database(tmp_path), environ=environ
    ) as nango:
        assert nango.configuration.integrations


def recipe(data: dict[str, Any]) -> dict[str, Any]:
    """An integration with a recipe's `auth`, whose requests carry the access token by default."""
    requests = {"base_url": "https://api.example.com/", **data.get("requests", {})}
    requests.setdefault("headers", {"Authorization": "Bearer ${access_token}"})
    return {**APP, **data, "requests": requests}


def blueprint_loads(block: Block, folder: Path) -> None:
    """A blueprint is valid, and its examples send what they declare."""
    path = folder / block.title
    path.parent.mkdir()
    path.write_text(block.text)
    document = parse_document(block.text, block.title)
    assert check_blueprint(document) == []
    ref = f"{document.data['name']}:{document.data['version']}"
    with Nango({"it": {"extends_blueprint": ref, **app_of(document.data)}}, blueprints=path.parent,
               database_url=database(folder), environ={}) as nango:  # fmt: skip
        for number, example in enumerate(document.data.get("examples", ())):
            if "login" in example:
                continue  # `nango blueprints test` tries it
            nango.register_connection("it", f"user-{number}", example["credentials"])
            call = example["call"]
            plan = nango.executor("it", f"user-{number}").plan(call["method"], call["path"])
            assert plan.url == example["sends"]["url"]
            sent = dict(plan.headers.values())
            assert example["sends"]["headers"].items() <= sent.items()


def app_of(settings: dict[str, Any]) -> dict[str, str]:
    """The settings that an integration needs for the blueprint's auth mode."""
    settings = {**settings, **next(iter(settings.get("logins", {}).values()), {})}
    return APP if settings["auth"]["auth_mode"] == "OAUTH2" else {}


def database(folder: Path) -> str:
    """The URL of a store for one test."""
    return f"sqlite:///{folder / 'nango.db'}"


WRONG = """\
integrations:
  klaviyo:
    extends_blueprint: klavio
  slack:
    extends_blueprint: slack:v0
    oauth_client_id: "1"
    oauth_client_secret: ${SLACK_SECRET}
"""
"""The file with the errors that the docs show."""


def test_an_error_line_of_the_docs_is_what_is_printed(tmp_path: Path) -> None:
    """Error lines in the docs are the beginnings of lines that `nango check` prints."""
    shown = set(re.findall(r"^\S+\.yaml:\d+:\d+: error\[E\d+\].*$", READ, re.MULTILINE))
    acme = next(block for page in PAGES for block in blocks(page, "yaml") if "acme" in block.title)
    printed: list[str] = []
    for name, text in (
        ("integrations.yaml", WRONG),
        (acme.title, acme.text.replace("${api_key}", "${apikey}")),
    ):
        folder = tmp_path / name.replace("/", "-")
        (folder / "blueprints").mkdir(parents=True)
        (folder / name).write_text(text)
        command = [sys.executable, "-m", "nango_py", "check"]
        command += [name] if name == acme.title else []
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stdout + done.stderr
        printed += (done.stdout + done.stderr).splitlines()
    assert len(shown) >= 3
    assert not [line for line in shown if not any(each.startswith(line) for each in printed)], printed


# -- pictures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("picture", "word"), [("rate-limits", "429"), ("retries", "429"), ("jobs", "interactive")]
)
def test_a_picture_can_be_drawn_again(picture: str, word: str, tmp_path: Path) -> None:
    """The script runs, and draws a well-formed picture with the elements and words of the one in the docs."""
    plots, target = ROOT / "docs" / "plots", tmp_path / "again.svg"
    script = plots / f"plot_{picture.replace('-', '_')}.py"
    subprocess.run(
        [sys.executable, str(script), str(target), "--reduced"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    again, shipped = (ET.parse(path) for path in (target, plots / f"{picture}.svg"))  # noqa: S314 - our own
    assert {each.tag for each in again.iter()} == {each.tag for each in shipped.iter()}
    assert {word for word in words_of(again) if word[0].isalpha()} <= words_of(shipped)
    assert word in "".join(again.getroot().itertext())


def words_of(picture: ET.ElementTree[Any]) -> set[str]:
    """The texts of a picture, without the number at the end of some."""
    texts = ("".join(each.itertext()).strip() for each in picture.iter() if each.tag.endswith("text"))
    return {re.sub(r" [\d.]+$", "", text) for text in texts if text}
