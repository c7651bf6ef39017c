"""The commands explain themselves, and docs/cli.md says the same."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from nango_py.cli.root import nango

ROOT = Path(__file__).resolve().parents[2]
GENERATOR = runpy.run_path(str(ROOT / "docs" / "generate_cli.py"))
COMMANDS: dict[str, click.Command] = dict(GENERATOR["commands"]())

HEAVY = {"rich", "requests", "urllib3", "jsonschema", "jinja2", "cryptography", "yaml", "psycopg", "sqlite3",
         "starlette", "uvicorn"}  # fmt: skip


def test_the_page_of_the_command_line_is_fresh() -> None:
    """docs/cli.md is what `python docs/generate_cli.py` would write now."""
    assert (ROOT / "docs" / "cli.md").read_text() == GENERATOR["page"]()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_with_an_example(name: str) -> None:
    """`--help` of every command says what it does and shows a line to copy."""
    shown = CliRunner().invoke(nango, [*name.split()[1:], "--help"])
    assert shown.exit_code == 0
    example = shown.output.partition("Example:\n")[2]
    assert "nango " in example.partition("\n\n")[0]
    assert f"## {name}\n" in (ROOT / "docs" / "cli.md").read_text()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_is_explained(name: str) -> None:
    """No option stands in the help without a sentence, and every flag has a purpose."""
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option):
            assert option.help, f"{name} {option.name}"


def test_no_option_takes_a_credential() -> None:
    """Arguments are seen by every user of a machine, so there is nowhere to type a secret."""
    options = [
        option.name or ""
        for command in COMMANDS.values()
        for option in command.params
        if isinstance(option, click.Option)
    ]
    wanted = ("key", "token", "secret", "password", "credential")
    found = {name for name in options if any(word in name for word in wanted)}
    assert found == {"credentials_file", "key_file"}


def modules_after(arguments: list[str]) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after a command."""
    code = (
        f"import sys\nfrom nango_py.cli import main\nmain({arguments!r})\n"
        "print('MODULES', *{name.split('.')[0] for name in sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(found.stdout.partition("MODULES")[2].split())


def test_help_loads_no_library_but_click() -> None:
    """`nango --help` is there at once."""
    assert not modules_after(["--help"]) & HEAVY


def test_a_command_that_reads_files_loads_what_it_needs() -> None:
    """The control: the same measurement sees a library where one is used."""
    assert "yaml" in modules_after(["blueprints", "list"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["plan", "klaviyo"], "Missing argument 'USER'"),
        (["demo", "--calls", "many"], "Invalid value for '--calls'"),
        (["plan", "a", "b", "GET", "c", "-p", "novalue"], "-p takes name=value"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was typed wrong is said in one line, with the way to the help."""
    from nango_py.cli import main

    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {said}")
    assert captured.err.count("\n") == 1
