"""The nango command as a process, with real sockets, signals, pipes and terminals.

The prompts, a closed pipe and the demo of the wheel are those of a Python that was just started.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import urllib.request
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nango_py.attempt import Attempt
from nango_py.cli.demo.result import CallOutcome, Result, SandboxCounts
from tests.support.fork_server import NANGO, Child, run, start
from tests.support.oauth_product import mail
from tests.support.oauth_token_server import Provider
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
KEY = "pk_planted_0123456789"
COMMAND = [sys.executable, "-m", "nango_py"]


def environment(**more: str) -> dict[str, str]:
    """An environment where Python imports the package of this checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NANGO_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def nango(folder: Path, *arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    return run(NANGO, *arguments, text=stdin, cwd=folder, env=environment(**more))


@contextmanager
def sandbox(folder: Path, *arguments: str) -> Iterator[tuple[Child, str]]:
    """A running `nango sandbox` and its introduction."""
    unbuffered = environment(PYTHONUNBUFFERED="1")
    with start(NANGO, "sandbox", *arguments, cwd=folder, env=unbuffered) as process:
        introduction = process.stdout.readline()
        while "requests: {" not in introduction:
            introduction += process.stdout.readline()
        yield process, introduction


def product(folder: Path, introduction: str) -> None:
    """Write an integrations.yaml for the sandbox, with the line of its introduction, and register a user."""
    line = introduction.splitlines()[-1].strip()
    text = f"integrations:\n  klaviyo:\n    extends_blueprint: klaviyo:v1\n    {line}\n"
    (folder / "integrations.yaml").write_text(text)
    register = ["connections", "register", "klaviyo", "user-1", "--credentials-file", "-", "--no-verify"]
    assert nango(folder, *register, stdin=json.dumps({"api_key": KEY})).returncode == 0


def test_a_call_prints_the_body_and_explains_itself(tmp_path: Path) -> None:
    """The body is printed on standard output, and the explanation on standard error."""
    with sandbox(tmp_path, "klaviyo:v1", "--faults", "503=0.5", "--seed", "3") as (_, introduction):
        product(tmp_path, introduction)
        found = nango(tmp_path, "call", "klaviyo", "user-1", "GET", "metrics", "--explain")
        assert found.returncode == 0
        assert json.loads(found.stdout)["data"]
        assert found.stderr.startswith("attempt 1: ")
        assert "-> return" in found.stderr
        whole = nango(tmp_path, "call", "klaviyo", "user-1", "GET", "metrics", "--include")
        assert whole.stdout.startswith("HTTP 200 OK\n")
        verbose = nango(tmp_path, "-v", "call", "klaviyo", "user-1", "GET", "metrics")
        assert "klaviyo user-1 GET /metrics -> 200" in verbose.stderr
    for one in (found, whole, verbose):
        assert KEY not in one.stdout + one.stderr


def test_failed_calls_have_exit_code_1(tmp_path: Path) -> None:
    """A status of 400 or above, and an unreachable API, exit with code 1."""
    with sandbox(tmp_path, "klaviyo:v1") as (_, introduction):
        product(tmp_path, introduction)
        refused = nango(tmp_path, "call", "klaviyo", "user-1", "GET", "profiles/none")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["errors"]
    assert refused.stderr == "error: klaviyo GET profiles/none: status 404\n"
    gone = nango(tmp_path, "call", "klaviyo", "user-1", "POST", "events", "--deadline", "0.5")
    assert gone.returncode == 1
    assert gone.stdout == ""
    assert gone.stderr.startswith("error: klaviyo POST /events: ")
    assert gone.stderr.count("\n") == 1


def test_a_retired_api_names_its_replacement(tmp_path: Path) -> None:
    """A 410 of the retired Klaviyo API names the blueprint to use instead."""
    with sandbox(tmp_path, "klaviyo:v0", "--retired") as (_, introduction):
        product(tmp_path, introduction)
        text = (tmp_path / "integrations.yaml").read_text()
        (tmp_path / "integrations.yaml").write_text(text.replace("klaviyo:v1", "klaviyo:v0"))
        found = nango(tmp_path, "call", "klaviyo", "user-1", "GET", "v1/metrics")
    assert found.returncode == 1
    assert "status 410" in found.stderr
    assert "klaviyo:v1" in found.stderr


def test_the_sandbox_runs_until_it_is_interrupted(tmp_path: Path) -> None:
    """It prints example commands, and after Ctrl-C a summary; the exit code is 130."""
    with sandbox(tmp_path, "klaviyo:v1") as (process, introduction):
        product(tmp_path, introduction)
        assert nango(tmp_path, "call", "klaviyo", "user-1", "GET", "metrics").returncode == 0
        process.send_signal(signal.SIGINT)
        err = process.communicate()[1]
    assert process.returncode == 130
    assert "Klaviyo-API-Key key_example_1234" in introduction
    assert err == "1 requests received; faults injected: none\n"


def free_pair() -> int:
    """A port that is free, as is the next one."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port + 1)):
                return port


def test_several_sandboxes_have_ports_in_a_row(tmp_path: Path) -> None:
    """Each API has its own port and settings, and all are shown on the page of each."""
    options = ("--port", str(free_pair()), "--limits", "none")
    with sandbox(tmp_path, "klaviyo:v1", "slack", *options) as (process, introduction):
        shown = introduction
        while "auth: {" not in shown:
            line = process.stdout.readline()
            assert line, shown
            shown += line
        urls = re.findall(r"http://127\.0\.0\.1:(\d+)/_sandbox/$", shown, re.MULTILINE)
        with urllib.request.urlopen(f"http://127.0.0.1:{urls[0]}/_sandbox/state", timeout=10) as response:
            state = json.load(response)
        process.send_signal(signal.SIGINT)
        err = process.communicate()[1]
    assert [int(each) - int(urls[0]) for each in urls] == [0, 1]
    assert [each["title"] for each in state["sandboxes"]] == ["Klaviyo", "Slack"]
    assert f"http://127.0.0.1:{urls[1]}/_sandbox/token/api/oauth.v2.access" in shown
    assert err.count("0 requests received") == 2
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("klavio",), "E101"),
        (("klaviyo:v1", "--faults", "explosion=0.1"), "explosion"),
        (("klaviyo:v1", "--faults", "503"), "FAULT=SHARE"),
        (("klaviyo:v1", "--retired"), "retires_on"),
    ],
)
def test_invalid_sandbox_arguments_are_usage_errors(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    """Unknown names and faults are errors before the sandbox listens."""
    found = nango(tmp_path, "sandbox", *arguments)
    assert found.returncode == 2
    assert said in found.stderr
    assert found.stderr.count("\n") == 1


def test_a_port_in_use_is_a_usage_error(tmp_path: Path) -> None:
    """One line names the port, and nothing is said of requests."""
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        found = nango(tmp_path, "sandbox", "klaviyo:v1", "--port", str(port))
    assert found.returncode == 2
    assert f"port {port}" in found.stderr
    assert found.stderr.count("\n") == 1


def test_the_demo_succeeds_and_removes_its_files(tmp_path: Path) -> None:
    """No call fails in spite of the faults, no request is carried out twice, and no file is left."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    found = nango(tmp_path, "demo", "--calls", "60", "--json", TMPDIR=str(temporary))
    assert found.stderr == ""
    assert found.returncode == 0
    printed = json.loads(found.stdout)
    together = {label: numbers["together"] for label, numbers in printed["counts"].items()}
    assert together["calls"] == 60
    assert together["succeeded"] + together["POST not retried, outcome unknown"] == 60
    assert together["attempts"] >= 60
    assert together["duplicates"] == together["limits exceeded"] == printed["keys_found"] == 0
    assert len(printed["records"]) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]
    assert not list(temporary.iterdir())


def test_the_demo_keeps_its_files_with_keep(tmp_path: Path) -> None:
    """--keep writes the database and the records without keys, to an empty folder only."""
    found = nango(tmp_path, "demo", "--calls", "12", "--keep", "kept")
    assert found.returncode == 0
    assert "calls" in found.stdout
    assert found.stdout.endswith("kept: kept\n")
    assert sorted(path.name for path in (tmp_path / "kept").glob("*.*")) == [
        "nango.db",
        "nango.key",
        "records.log",
    ]
    records = (tmp_path / "kept" / "records.log").read_text()
    assert "api_key=***" in records
    assert not re.search(r"pk_[0-9a-f]{32}", records)
    again = nango(tmp_path, "demo", "--calls", "12", "--keep", "kept")
    assert again.returncode == 2
    assert "not empty" in again.stderr


def test_the_demo_draws_a_bar_on_a_terminal(tmp_path: Path) -> None:
    """The progress bar and the drawn table appear on a terminal, not in a pipe."""
    with Terminal(
        tmp_path, "demo", "--calls", "12", env=environment(TERM="xterm", COLUMNS="120")
    ) as terminal:
        shown = terminal.read_all()
        assert terminal.code == 0
    assert "12/12" in shown
    assert "│ duplicates" in shown
    piped = nango(tmp_path, "demo", "--calls", "12").stdout
    assert "│" not in piped
    assert "\x1b" not in piped


def test_an_interrupted_demo_removes_its_files(tmp_path: Path) -> None:
    """Ctrl-C exits with code 130 and removes the temporary folder."""
    with Terminal(tmp_path, "demo", env={"TERM": "xterm", "TMPDIR": str(tmp_path)}) as terminal:
        terminal.read_until("attempts")
        terminal.type("\x03")
        shown = terminal.read_all()
        assert terminal.code == 130
    assert "Traceback" not in shown
    assert not list(tmp_path.iterdir())


def test_the_demo_runs_from_a_wheel_in_any_folder(tmp_path: Path) -> None:
    """The wheel contains every file that the demo needs."""
    build = f"import hatchling.build as b; print(b.build_wheel({str(tmp_path)!r}))"
    built = subprocess.run(
        [sys.executable, "-c", build], cwd=ROOT, capture_output=True, text=True, check=True
    )
    zipfile.ZipFile(tmp_path / built.stdout.split()[-1]).extractall(tmp_path / "site")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    found = subprocess.run(
        [*COMMAND, "demo", "--calls", "8"], cwd=folder, env=environment(PYTHONPATH=str(tmp_path / "site")),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert found.stderr == ""
    assert found.returncode == 0
    assert not list(folder.iterdir())


def result(outcome: CallOutcome, counts: SandboxCounts, keys_found: int = 0) -> Result:
    """The result of a demo with one call."""
    return Result({"klaviyo": "klaviyo:v0"}, (outcome,), {"klaviyo": counts}, (), 1.0, keys_found)


ONCE = (Attempt(number=1),)
SUCCESS = CallOutcome("klaviyo", "GET", 200, "", ONCE)


@pytest.mark.parametrize(
    ("outcome", "problems"),
    [
        (result(SUCCESS, SandboxCounts(1, 0, 0)), 0),
        (result(CallOutcome("klaviyo", "POST", 0, "timeout", ONCE), SandboxCounts(1, 0, 0)), 0),
        (result(CallOutcome("klaviyo", "POST", 503, "", ONCE), SandboxCounts(1, 0, 0)), 0),
        (result(CallOutcome("klaviyo", "POST", 0, "tls", ONCE), SandboxCounts(1, 0, 0)), 1),
        (result(CallOutcome("klaviyo", "GET", 503, "", ONCE), SandboxCounts(1, 0, 0)), 1),
        (result(CallOutcome("klaviyo", "GET", 401, "", ONCE), SandboxCounts(1, 0, 0)), 1),
        (result(SUCCESS, SandboxCounts(1, 1, 0)), 1),
        (result(SUCCESS, SandboxCounts(1, 0, 1)), 1),
        (result(SUCCESS, SandboxCounts(1, 0, 0), keys_found=1), 1),
    ],
)
def test_the_demo_reports_problems(outcome: Result, problems: int) -> None:
    """Control: a duplicate, an exceeded limit, a failed call or a visible key makes the demo fail."""
    assert len(outcome.problems()) == problems


def test_a_closed_pipe_is_not_an_error(tmp_path: Path) -> None:
    """A command whose output pipe is closed exits without a message."""
    process = subprocess.Popen(
        [*COMMAND, "schema", "blueprint"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 141


def test_credentials_typed_at_a_terminal_are_not_echoed(tmp_path: Path) -> None:
    """The key is neither on the screen nor in the arguments that `ps` shows."""
    (tmp_path / "integrations.yaml").write_text("integrations: {klaviyo: {extends_blueprint: klaviyo:v1}}\n")
    arguments = ["connections", "register", "klaviyo", "user-1", "--config", "{}", "--no-verify"]
    code, shown = on_terminal(tmp_path, arguments, when="): ", response=KEY)
    assert code == 0
    assert "registered klaviyo/user-1" in shown
    assert KEY not in shown


@pytest.mark.parametrize(
    "words", [("call", "mail", "user-1", "GET", "things"), ("connections", "test", "mail", "user-1")]
)
def test_sigterm_waits_for_a_token_refresh(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A command that gets SIGTERM during a token refresh stores the new token before it exits."""
    with Provider("strict") as provider:
        entry = mail(provider.url, verification={"path": "things"})
        (tmp_path / "integrations.yaml").write_text(json.dumps({"integrations": {"mail": entry}}))
        credentials = provider.grant("user-1", expired=True)
        register = ["connections", "register", "mail", "user-1", "--credentials-file", "-", "--no-verify"]
        assert nango(tmp_path, *register, stdin=json.dumps(credentials)).returncode == 0
        provider.gate.clear()
        with start(NANGO, *words, cwd=tmp_path, env=environment()) as process:
            assert provider.arrived.acquire(timeout=60)
            process.send_signal(signal.SIGTERM)
            provider.gate.set()
            process.communicate()
            assert process.returncode == -signal.SIGTERM
        again = nango(tmp_path, "call", "mail", "user-1", "GET", "things")
        assert again.returncode == 0, again.stderr
        assert provider.calls_of("user-1") == ["granted"]


def test_ctrl_c_at_the_prompt_is_exit_code_130(tmp_path: Path) -> None:
    """Ctrl-C at a prompt exits without a traceback."""
    (tmp_path / "integrations.yaml").write_text("integrations: {klaviyo: {extends_blueprint: klaviyo:v1}}\n")
    arguments = ["connections", "register", "klaviyo", "user-1", "--config", "{}", "--no-verify"]
    code, shown = on_terminal(tmp_path, arguments, when="): ", response="\x03")
    assert code == 130
    assert "Traceback" not in shown


def on_terminal(
    folder: Path, arguments: list[str], when: str = "", response: str = "", **more: str
) -> tuple[int, str]:
    """Run the command on a pseudo-terminal; type `response` when it shows `when`."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execve(sys.executable, [*COMMAND, *arguments], environment(TERM="xterm", COLUMNS="120", **more))  # noqa: S606 - no shell is needed
    shown, has_typed = "", not when
    try:
        while select.select([terminal], [], [], 60)[0]:
            try:
                read = os.read(terminal, 65536)
            except OSError:  # raised on Linux when the other end is closed
                break
            if not read:
                break
            shown += read.decode("utf-8", "replace")
            if not has_typed and when in shown:
                assert KEY.encode() not in Path(f"/proc/{child}/cmdline").read_bytes()
                os.write(terminal, response.encode() + (b"" if response < " " else b"\r"))
                has_typed = True
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown
