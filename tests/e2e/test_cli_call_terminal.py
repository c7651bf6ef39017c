"""`nango call` for a person at a terminal: JSON that can be read, a line while it waits, and Ctrl-C."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango
from nango_py.cli.waiting import CLEAR_LINE
from tests.support.fork_server import NANGO, run
from tests.support.recording_server import Received, RecordingServer, Reply
from tests.support.terminal import Terminal, on_terminal
from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "key_planted_0001"


class Api:
    """Responds to `slow` when the test allows it, and refuses `limited` once."""

    def __init__(self) -> None:
        self.may_respond = threading.Event()
        self.is_limited = True

    def respond(self, request: Received) -> Any:
        """The response to one request."""
        if request.target == "/slow":
            self.may_respond.wait(HANG_SECONDS)
        if request.target == "/limited" and self.is_limited:
            self.is_limited = False
            return Reply({}, 429, (("Retry-After", "3"),))
        if request.target == "/missing":
            return Reply({"error": "no such record"}, 404)
        if request.target == "/text":
            return Reply(b"plain", 200, (("Content-Type", "text/plain"),))
        return {"name": "Zoë", "sizes": [1, 2]}


@pytest.fixture
def api() -> Iterator[Api]:
    """An API that lets every request end with the test."""
    api = Api()
    yield api
    api.may_respond.set()


@pytest.fixture
def folder(tmp_path: Path, api: Api) -> Iterator[Path]:
    """A product that is connected to the API."""
    with RecordingServer(api.respond) as server:
        entry = {
            "auth": {"auth_mode": "API_KEY"},
            "requests": {"base_url": server.url, "headers": {"Authorization": "Bearer ${api_key}"}},
        }
        path = tmp_path / "integrations.yaml"
        path.write_text(json.dumps({"integrations": {"shop": entry}}))
        with Nango(path) as nango:
            nango.register_connection("shop", "ada", {"api_key": KEY})
        yield tmp_path


def call(path: str, *more: str) -> tuple[str, ...]:
    """The arguments of a GET."""
    return ("call", "shop", "ada", "GET", path, *more)


def test_json_is_indented_and_an_error_is_coloured(folder: Path) -> None:
    """A text ends with a line end, and --include and --explain add what they add in a pipe."""
    env = {"NO_COLOR": "", "TERM": "xterm"}
    assert (
        on_terminal(folder, *call("good"), env=env)
        == '{\n  "name": "Zoë",\n  "sizes": [\n    1,\n    2\n  ]\n}\n'
    )
    assert on_terminal(folder, *call("text"), env=env) == "plain\n"
    with Terminal(folder, *call("missing"), env=env) as terminal:
        shown = terminal.read_all()
        assert terminal.code == 1
    assert '{\n  "error": "no such record"\n}\n' in shown
    assert "\033[31m" in shown
    assert "status 404" in shown
    full = on_terminal(folder, *call("good", "--include", "--explain"), env=env)
    assert "HTTP 200" in full
    assert "attempt 1: 200" in full
    assert KEY not in full


def test_a_line_says_what_is_waited_for(folder: Path, api: Api) -> None:
    """It appears while the API is silent, counts, and is gone before the response is printed."""
    with Terminal(folder, *call("slow")) as terminal:
        terminal.read_until("waiting for shop: 1 s, Ctrl-C stops")
        api.may_respond.set()
        shown = terminal.read_all()
        assert terminal.code == 0
    before, _, after = shown.rpartition(CLEAR_LINE)
    assert "waiting for shop" in before
    assert after.startswith('{\n  "name"')
    assert "waiting" not in after


def test_the_line_says_why_a_limit_is_waited_for(folder: Path) -> None:
    """The reason is that of the call's own events."""
    with Terminal(folder, *call("limited")) as terminal:
        terminal.read_until("waiting for shop (")
        shown = terminal.read_all()
        assert terminal.code == 0
    assert "429" in shown or "gate" in shown
    assert shown.endswith("}\n")


def test_ctrl_c_stops_the_wait(folder: Path) -> None:
    """The exit code is that of an interrupted command, the line is cleared, and there is no traceback."""
    with Terminal(folder, *call("slow")) as terminal:
        terminal.read_until("waiting for shop")
        terminal.type("\x03")
        shown = terminal.read_all()
        assert terminal.code == 130
    assert CLEAR_LINE in shown
    assert "Traceback" not in shown
    assert KEY not in shown


def test_a_pipe_gets_the_body_alone(folder: Path, api: Api) -> None:
    """The control: no line, no colour and no indentation where a program reads."""
    api.may_respond.set()
    done = run(NANGO, *call("slow"), cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"name": "Zoë", "sizes": [1, 2]}
    assert "\n" not in done.stdout
