"""Every command has help, and docs/cli.md is generated from it."""

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


def test_the_command_line_page_is_up_to_date() -> None:
    """docs/cli.md is the output of `python docs/generate_cli.py`."""
    assert (ROOT / "docs" / "cli.md").read_text() == GENERATOR["page"]()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_with_an_example(name: str) -> None:
    """`--help` of every command includes an example."""
    shown = CliRunner().invoke(nango, [*name.split()[1:], "--help"])
    assert shown.exit_code == 0
    example = shown.output.partition("Example:\n")[2]
    assert "nango " in example.partition("\n\n")[0]
    assert f"## {name}\n" in (ROOT / "docs" / "cli.md").read_text()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_is_explained(name: str) -> None:
    """Every option has a help text."""
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option):
            assert option.help, f"{name} {option.name}"


def test_no_option_takes_a_credential() -> None:
    """No option takes a secret, because other users of the machine can see arguments."""
    options = [
        option.name or ""
        for command in COMMANDS.values()
        for option in command.params
        if isinstance(option, click.Option) and not option.is_flag
    ]
    wanted = ("key", "token", "secret", "password", "credential")
    found = {name for name in options if any(word in name for word in wanted)}
    assert found == {"credentials_file", "key_file", "key", "token_url"}  # a place and a URL of a draft


def modules_after(arguments: list[str]) -> set[str]:
    """The top-level modules that a new interpreter has loaded after a command."""
    code = (
        f"import sys\nfrom nango_py.cli import main\nmain({arguments!r})\n"
        "print('MODULES', *{name.split('.')[0] for name in sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(found.stdout.partition("MODULES")[2].split())


def test_help_loads_no_library_but_click() -> None:
    """`nango --help` starts fast because it imports no heavy library."""
    assert not modules_after(["--help"]) & HEAVY


def test_a_command_that_reads_files_loads_yaml() -> None:
    """Control: the same measurement detects a library that a command imports."""
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
def test_usage_errors_have_one_line_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A usage error prints one line on standard error."""
    from nango_py.cli import main

    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {said}")
    assert captured.err.count("\n") == 1
