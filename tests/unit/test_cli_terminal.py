"""What the nango command does for people: terminals, completion, next steps, closed streams."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Event
from nango_py._version import DOCS_URL, PROJECT_URL
from nango_py.cli.init import EXAMPLE
from nango_py.cli.output import format_columns, format_json
from nango_py.cli.waiting import WaitingLine
from tests.support.terminal import COMMAND, ROOT, on_terminal
from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli_product import Product

pytest_plugins = ("tests.support.cli_product",)
KEY = '{"api_key": "pk_test_1234567890"}'


def nango(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command in its own process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
        **options,
    )


MISSING = [
    ("call", "klaviyo", "a b", "GET", "metrics"),
    ("plan", "klaviyo", "a b", "GET", "metrics"),
    ("limits", "klaviyo", "a b"),
    ("connections", "show", "klaviyo", "a b"),
    ("connections", "test", "klaviyo", "a b"),
    ("connections", "delete", "klaviyo", "a b", "--yes"),
]


@pytest.mark.parametrize("arguments", MISSING, ids=lambda value: " ".join(value[:2]))
def test_a_missing_connection_names_the_command(product: Product, arguments: tuple[str, ...]) -> None:
    """The next step is a command that can be copied, and no function of Python."""
    result = product.run(*arguments)
    assert result.code == 2
    assert "nango connections register klaviyo 'a b'" in result.err
    assert not re.search(r"\w\(\)", result.err)


def test_an_existing_connection_names_the_option(product: Product) -> None:
    """The next step is --replace."""
    assert product.register("klaviyo", "ada", KEY).code == 0
    result = product.register("klaviyo", "ada", KEY)
    assert result.code == 2
    assert "nango connections register klaviyo ada --replace" in result.err
    assert "replace=True" not in result.err
    assert "()" not in result.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands_and_options(shell: str, tmp_path: Path) -> None:
    """Both the script and the words come from the variable that docs/cli.md names."""
    script = nango(env={"_NANGO_COMPLETE": f"{shell}_source"}, cwd=tmp_path)
    assert (script.returncode, script.stderr) == (0, "")
    assert f"_NANGO_COMPLETE={shell}_complete" in script.stdout
    words = {"COMP_WORDS": "nango connections li", "COMP_CWORD": "li" if shell == "fish" else "2"}
    found = nango(env={"_NANGO_COMPLETE": f"{shell}_complete", **words}, cwd=tmp_path)
    assert found.returncode == 0
    assert "list" in found.stdout
    assert f"_NANGO_COMPLETE={shell}_source" in (ROOT / "docs" / "cli.md").read_text()


def test_connections_are_listed_with_their_status(product: Product) -> None:
    """The table has the status, and --status selects by it."""
    product.register("klaviyo", "ada", KEY)
    listed = product.run("connections", "list")
    assert listed.out.splitlines()[0].split() == ["integration", "user", "status", "created", "modified"]
    assert "active" in listed.out
    assert "ada" in product.run("connections", "list", "--status", "active").out
    assert "ada" not in product.run("connections", "list", "--status", "needs_reauth", "--json").out
    assert product.run("connections", "list", "--status", "lost").code == 2


def test_tables_fit_eighty_columns(product: Product) -> None:
    """On a terminal, with long names too; in a pipe nothing is cut."""
    user = "user-" + "0123456789" * 9
    product.register("klaviyo", user, KEY)
    for arguments in (("blueprints", "list"), ("connections", "list"), ("integrations", "list")):
        shown = on_terminal(product.folder, *arguments, env={"NO_COLOR": "1"})
        assert "\033" not in shown
        assert len(shown.splitlines()) >= 2
        assert max(map(len, shown.splitlines())) <= 80
    assert user in product.run("connections", "list").out
    assert max(map(len, product.run("blueprints", "list").out.splitlines())) <= 80


def test_a_table_that_cannot_fit_is_still_whole_lines() -> None:
    """The widest columns give way, down to a few letters."""
    lines = format_columns(("a", "b"), [("x" * 100, "y" * 30)], width=40).splitlines()
    assert max(map(len, lines)) == 40
    assert "…" in lines[1]
    assert "x" * 100 in format_columns(("a", "b"), [("x" * 100, "y" * 30)])


def test_colours_are_for_terminals(product: Product) -> None:
    """A terminal gets colours, a pipe and NO_COLOR do not; JSON is indented for a terminal only."""
    product.register("klaviyo", "ada", KEY)
    coloured = on_terminal(product.folder, "connections", "list", env={"NO_COLOR": "", "TERM": "xterm"})
    assert "\033[" in coloured
    assert "\033[" not in product.run("connections", "list").out
    failed = on_terminal(product.folder, "connections", "show", "klaviyo", "bob", env={"NO_COLOR": ""})
    assert "\033[" in failed
    assert "\n    " in on_terminal(product.folder, "connections", "list", "--json")
    assert len(product.run("connections", "list", "--json").out.splitlines()) == 1


def test_json_bodies_are_indented_for_people() -> None:
    """Objects and lists only; other bodies are printed as they are."""
    assert format_json(b'{"a":[1,"\xc3\xa9"]}').splitlines()[1] == '  "a": ['
    assert "é" in format_json(b'{"a":[1,"\xc3\xa9"]}')
    for other in (b"", b"3", b"<html>", b"\xff", b"[" * 100_000):
        assert format_json(other) == ""


def test_a_closed_output_is_no_traceback(product: Product) -> None:
    """`nango ... >&-` and its sisters end quietly, and no file gets the number of a closed stream."""
    product.register("klaviyo", "ada", KEY)
    listed, refused = "connections list", "connections show klaviyo bob"
    for arguments, closed in (
        (listed, ">&-"), (listed, "<&-"), (listed, ">&- 2>&- <&-"), ("check", "2>&-"), ("--help", ">&-"),
        (refused, "2>&-"), (refused, ">&- 2>&- <&-"),
    ):  # fmt: skip
        command = f'exec "{sys.executable}" -W error -m nango_py {arguments} {closed}'
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False,
            cwd=product.folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert "Traceback" not in done.stderr, (arguments, closed)
        assert done.returncode == (2 if arguments == refused else 0), (arguments, closed, done.stderr)


def test_check_counts_its_warnings(product: Product) -> None:
    """With a warning it does not say "no problems"; without one it does."""
    result = product.run("check")
    assert "warning[" in result.err
    assert "no problems" not in result.out
    assert "1 warning" in result.out
    product.write("integrations.yaml", "integrations:\n  klaviyo: {extends_blueprint: 'klaviyo:v1'}\n")
    result = product.run("check")
    assert (result.err, "no problems" in result.out) == ("", True)


def test_links_have_one_base(product: Product) -> None:
    """The URLs of the package begin with the constants, and files of it link to pages that exist."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert len(urls) >= 3
    assert urls.pop("Documentation") == DOCS_URL
    assert all(url.startswith(PROJECT_URL) for url in urls.values())
    (named,) = re.findall(r"https://\S+", EXAMPLE.replace("https://api.example.com/", ""))
    assert named.startswith(DOCS_URL)
    sources = "".join(path.read_text() for path in (ROOT / "nango_py").rglob("*.py"))
    pages = re.findall(r"\{DOCS_URL\}/([\w/-]+)\.html", sources)
    assert len(pages) == sources.count("{DOCS_URL}/") >= 2
    assert [page for page in pages if not (ROOT / "docs" / f"{page}.md").is_file()] == []
    assert product.run("init").code == 0


class Terminal:
    """A terminal that says when something was written to it."""

    def __init__(self, *, is_terminal: bool = True) -> None:
        self.text, self.has_text = "", threading.Event()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return self._is_terminal

    def write(self, text: str) -> None:
        """Keep it."""
        self.text += text
        self.has_text.set()

    def flush(self) -> None:
        """Nothing is buffered."""


def test_a_wait_is_shown_and_removed() -> None:
    """The line says for what and why, and nothing of it is left at the end."""
    terminal = Terminal()
    with WaitingLine(terminal, "klaviyo", 0.01) as line:  # type: ignore[arg-type]  # what is used of a stream
        assert terminal.has_text.wait(HANG_SECONDS)
        line.note(Event("wait", 0.0, "klaviyo", "ada", "GET", "metrics", 3.7, "limit all"))
        while "limit all, 3.7 s" not in terminal.text:
            terminal.has_text.clear()
            assert terminal.has_text.wait(HANG_SECONDS)
    assert "waiting for klaviyo" in terminal.text
    assert terminal.text.endswith("\r\033[K")


def test_a_pipe_gets_no_waiting_line() -> None:
    """Nothing is written where no person reads, and nothing if there was no wait."""
    for stream in (Terminal(is_terminal=False), Terminal()):
        with WaitingLine(stream, "klaviyo", 600):  # type: ignore[arg-type]  # what is used of a stream
            pass
        assert stream.text == ""
    with WaitingLine(None, "klaviyo"):
        pass
