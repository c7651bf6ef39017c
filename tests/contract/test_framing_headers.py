"""Headers that say where a request ends, or what becomes of its connection, are the sender's alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConfigError, InvalidRequest, Nango
from nango_py.transport import http1
from tests.support.fault_server import HANG, READ, FaultServer, response
from tests.support.made_values import a_plan
from tests.support.nango_at_server import WIDE, calling

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = [
    "Content-Length", "Transfer-Encoding", "Host", "Connection", "Keep-Alive", "Upgrade", "TE", "Trailer",
    "Expect", "Proxy-Connection", "Proxy-Authorization", "Proxy-Authenticate", "HTTP2-Settings",
]  # fmt: skip
FORMS: dict[str, Callable[[str], Any]] = {
    "as usual": lambda name: {name: "0"},
    "in lower case": lambda name: {name.lower(): "0"},
    "in upper case": lambda name: {name.upper(): "0"},
    "with an underscore": lambda name: {name.replace("-", "_"): "0"},
    "with a blank behind": lambda name: {f"{name} ": "0"},
    "with a tab before": lambda name: {f"\t{name}": "0"},
    "as bytes": lambda name: {name.encode(): b"0"},
    "in a list of pairs": lambda name: [("X-Other", "1"), (name, "0")],
    "in pairs of two cases": lambda name: ((name, "0"), (name.lower(), "1")),
    "as a number": lambda name: {name: 0},
}
HIDDEN = b"GET /v1/admin HTTP/1.1\r\nHost: h\r\n\r\n"
"""A second request in the body of the first."""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_a_call_with_a_framing_header_is_refused(name: str, form: str) -> None:
    """Before anything is sent, in whatever form the header is given."""
    with pytest.raises(InvalidRequest, match=r"E313|mapping"):
        a_plan("POST", data=HIDDEN, headers=FORMS[form](name))


def call(nango: Nango, way: str, headers: Any) -> None:
    """Send a body with headers by one of the executors, or by a session."""
    if way == "sync":
        nango.executor("shop", "user-1").post("things", data=HIDDEN, headers=headers)
    elif way == "async":

        async def work() -> None:
            async with nango:
                await nango.async_executor("shop", "user-1").post("things", data=HIDDEN, headers=headers)

        asyncio.run(work())
    else:
        nango.session("shop", "user-1").post("things", data=HIDDEN, headers=headers)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_no_executor_sends_a_second_request(way: str) -> None:
    """The call is refused, and nothing has reached the API."""
    with FaultServer([READ, response(), HANG]) as server, calling(server.url, rate_limits=WIDE) as nango:
        with pytest.raises(InvalidRequest, match="Content-Length"):
            call(nango, way, {"Content-Length": "0"})
        assert server.connections == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_session_replaces_them(name: str) -> None:
    """SDKs and requests set some of them; the body goes out whole, with its own length."""
    with FaultServer([READ, response(), HANG]) as server, calling(server.url, rate_limits=WIDE) as nango:
        call(nango, "session", {name: "0"})
        (request,) = server.wait_for_requests(1)
    head, _, body = request.partition(b"\r\n\r\n")
    assert body == HIDDEN
    lines = [line.lower() for line in head.split(b"\r\n")[1:]]
    names = [line.partition(b":")[0].decode() for line in lines]
    assert [one for one in names if one in {other.lower() for other in NAMES}] == ["host", "content-length"]
    assert b"content-length: %d" % len(HIDDEN) in lines


def test_the_hidden_request_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: where the caller's length is believed, the server reads two requests."""
    monkeypatch.setattr("nango_py.config.template.headers.is_framing", lambda _: False)
    monkeypatch.setattr(http1, "is_framing", lambda name: name == "host")
    with (
        FaultServer([READ, response(), READ, HANG]) as server,
        calling(server.url, rate_limits=WIDE) as nango,
    ):
        call(nango, "sync", {"Content-Length": "0"})
        assert server.requests[0].startswith(b"POST /things HTTP/1.1\r\n")
        assert b"Content-Length: 0\r\n" in server.requests[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_blueprint_cannot_set_them_either(name: str) -> None:
    """The file is refused with the place of the header."""
    settings = {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {"base_url": "https://api.example.test/", "headers": {name: "${api_key}"}},
    }
    with pytest.raises(ConfigError, match="E313"):
        Nango({"shop": settings}, database_url="sqlite:///:memory:", environ={})
