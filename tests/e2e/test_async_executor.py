"""The async executor does what the sync one does: one corpus of servers, driven through both."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.errors import RequestFailed
from tests.support.fake_clock import ManualClock
from tests.support.fault_server import (
    CLOSE,
    HANG,
    READ,
    RESET,
    Drip,
    FaultServer,
    Tls,
    black_hole,
    gzip_bomb,
    response,
)
from tests.support.nango_at_server import QUICK, calling
from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py import Nango
    from tests.support.fault_server import Script


def says(body: bytes = b'{"a": 1}', status: int = 200, **headers: str) -> bytes:
    """A response on a connection that is not used again."""
    seen = {name.replace("_", "-"): value for name, value in headers.items()}
    return response(body, status, {"Connection": "close", **seen})


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n", **headers: str) -> bytes:
    """A response without a Content-Length."""
    head = says(b"", **headers, Transfer_Encoding="chunked").replace(b"Content-Length: 0\r\n", b"")
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


OK: Script = [READ, says()]
Attempts = list[tuple[int, str, str]]


@dataclass(frozen=True)
class Case:
    """A server, a call, and how it must end.

    Attributes:
        scripts: what the server does on each connection; the last one for ever.
        ends: the status, or the error's name and its reason.
        attempts: status, reason and action of each.
    """

    name: str
    scripts: tuple[Script, ...]
    ends: int | tuple[str, str]
    attempts: Attempts
    method: str = "GET"
    call: Mapping[str, Any] = field(default_factory=dict)
    retries: Mapping[str, Any] = field(default_factory=dict)
    tls: Tls | None = None


GOOD: Attempts = [(200, "", "return")]
TWICE = {"max_attempts": 2}


def failed(reason: str, times: int = 1, last: str = "fail") -> Attempts:
    """Attempts without a response, until the last one."""
    return [*[(0, reason, "retry")] * (times - 1), (0, reason, last)]


CASES = [
    Case("good", (OK,), 200, GOOD),
    Case("empty", ([READ, says(b"", 204)],), 204, [(204, "", "return")]),
    Case("head only", ([READ, says(b"")],), 200, GOOD, "HEAD"),
    Case("early hints", ([READ, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", says()],), 200, GOOD),
    Case("not found", ([READ, says(status=404)],), 404, [(404, "", "fail")]),
    Case("not changed", ([READ, says(b"", 304)],), 304, [(304, "", "return")]),
    Case("unknown status", ([READ, says(status=599)],), 599, [(599, "", "fail")]),
    Case("limited", ([READ, says(status=429, Retry_After="30")], OK), 200, [(429, "", "wait"), *GOOD]),
    Case(
        "limited POST", ([READ, says(status=429, Retry_After="3")], OK),
        200, [(429, "", "wait"), *GOOD], "POST",
    ),
    Case(
        "limited for long",
        ([READ, says(status=429, Retry_After="999999")],),
        ("RateLimited", "Retry-After"),
        [(429, "", "fail")],
    ),
    Case("down for a moment", ([READ, says(status=503)], OK), 200, [(503, "", "retry"), *GOOD]),
    Case(
        "down", ([READ, says(status=503)],), 503, [(503, "", "retry"), (503, "", "fail")], retries=TWICE
    ),
    Case("down for POST", ([READ, says(status=503)],), 503, [(503, "", "fail")], "POST", {"json": {"a": 1}}),
    Case(
        "refusing for a while", ([READ, says(status=503, Retry_After="7")], OK),
        200, [(503, "", "wait"), *GOOD],
    ),
    Case("reset before", ([0.03, RESET], OK), 200, [(0, "reset", "retry"), *GOOD]),
    Case("reset after", ([READ, RESET], OK), 200, [(0, "reset", "retry"), *GOOD]),
    Case(
        "reset after POST", ([READ, RESET], OK),
        ("TransportFailed", "reset"), failed("reset"), "POST", {"data": b"x"},
    ),
    Case("closed without a word", ([READ, CLOSE], OK), 200, [(0, "reset", "retry"), *GOOD]),
    Case("truncated", ([READ, says()[:-3]], OK), 200, [(0, "truncated", "retry"), *GOOD]),
    Case(
        "truncated POST", ([READ, says()[:-3]],),
        ("TransportFailed", "truncated"), failed("truncated"), "POST",
    ),
    Case("truncated chunks", ([READ, chunked(b"abc", end=b"")], OK), 200, [(0, "truncated", "retry"), *GOOD]),
    Case("reset in the body", ([READ, says()[:-3], 0.05, RESET], OK), 200, [(0, "reset", "retry"), *GOOD]),
    Case(
        "silent", ([READ, HANG],), ("TransportFailed", "timeout"), failed("timeout", 2),
        call={"timeout": 0.15}, retries=TWICE,
    ),
    Case(
        "silent in the body", ([READ, says()[:-3], HANG],), ("TransportFailed", "timeout"),
        failed("timeout", 1), "POST", {"timeout": 0.15},
    ),
    Case(
        "moved", ([READ, says(status=302, Location="/elsewhere?a=b")], OK),
        200, [(302, "", "redirect"), *GOOD],
    ),
    Case(
        "moved POST", ([READ, says(status=307, Location="/elsewhere")], OK),
        200, [(307, "", "redirect"), *GOOD], "POST", {"json": {"a": 1}},
    ),
    Case(
        "moved away", ([READ, says(status=302, Location="http://127.0.0.2:1/")],),
        302, [(302, "", "return")],
    ),
    Case("moved nowhere", ([READ, says(status=302, Location="http://[")],), 302, [(302, "", "return")]),
    Case(
        "moved in circles", ([READ, says(status=302, Location="/things")],), ("TransportFailed", "redirects"),
        [*[(302, "", "redirect")] * 5, (302, "", "fail")],
    ),
    Case(
        "too large by Content-Length", ([READ, says(b"x" * 99)],), ("TransportFailed", "too_large"),
        failed("too_large"),
        call={"max_response_bytes": 98},
    ),
    Case(
        "too large, chunked", ([READ, chunked(b"x" * 50, b"y" * 49)],), ("TransportFailed", "too_large"),
        failed("too_large"), call={"max_response_bytes": 98},
    ),
    Case(
        "just small enough", ([READ, chunked(b"x" * 50, b"y" * 49)],),
        200, GOOD, call={"max_response_bytes": 99},
    ),
    Case("gzip", ([READ, says(gzip.compress(b'{"a": 1}'), Content_Encoding="gzip")],), 200, GOOD),
    Case(
        "gzip bomb", ([READ, says(gzip_bomb(2**24), Content_Encoding="gzip")],),
        ("TransportFailed", "too_large"), failed("too_large"), call={"max_response_bytes": 2**20},
    ),
    Case(
        "broken gzip", ([READ, says(b"not gzip at all", Content_Encoding="gzip")],),
        ("TransportFailed", "protocol"), failed("protocol", 2), retries=TWICE,
    ),
    Case(
        "another protocol", ([READ, b"SSH-2.0-OpenSSH_9.9\r\n\r\n"],), ("TransportFailed", "protocol"),
        failed("protocol", 2), retries=TWICE,
    ),
    Case(
        "untrusted", (OK,), ("TransportFailed", "tls"), failed("tls"), tls=Tls(),
    ),
    Case(
        "deadline", ([READ, HANG],),
        ("TransportFailed", "timeout"), failed("timeout"), "POST", {"deadline_seconds": 0.2},
    ),
    Case(
        "a rule retries good responses", ([READ, says(b"wait")], OK), 200, [(200, "", "retry"), *GOOD],
        retries={"rules": [{"when": {"status": 200, "body_contains": "wait"}, "do": "retry"}]},
    ),
]  # fmt: skip


@contextlib.contextmanager
def serving(case: Case) -> Iterator[tuple[FaultServer, Any]]:
    """The case's server, and a Nango that calls it with a clock that never really waits."""
    retries = {"backoff": QUICK, **case.retries}
    with (
        FaultServer(*case.scripts, tls=case.tls) as server,
        calling(server.url, clock=ManualClock(), retries=retries) as nango,
    ):
        yield server, nango


def story(response_: Any, error: RequestFailed | None, server: FaultServer) -> dict[str, Any]:
    """What caller and server see of a call, in a form that can be compared."""
    attempts = (error or response_).attempts
    seen: dict[str, Any] = {
        "attempts": [(one.status, one.reason, one.action) for one in attempts],
        "rules": [one.rule for one in attempts],
        "received": [one.received for one in attempts],
        "requests": [sorted(request.split(b"\r\n")) for request in server.requests],
    }
    if error is None:
        seen |= {"ends": response_.status_code, "body": response_.content, "headers": dict(response_.headers)}
        return seen | {"reason": response_.reason, "url": response_.url.partition("/things")[2]}
    why = getattr(error, "reason", "") or ("Retry-After" if hasattr(error, "window") else "")
    return seen | {"ends": (type(error).__name__, why), "context": (error.__cause__, error.__context__)}


def through_sync(case: Case) -> dict[str, Any]:
    """The result with the sync executor."""
    with serving(case) as (server, nango):
        found, error = None, None
        try:
            found = nango.executor("shop", "user-1").request(case.method, "things", **case.call)
        except RequestFailed as failure:
            error = failure
        return without_port(story(found, error, server), server)


def through_async(case: Case) -> dict[str, Any]:
    """The result with the async executor."""

    async def call() -> dict[str, Any]:
        found, error = None, None
        async with nango:
            try:
                found = await nango.async_executor("shop", "user-1").request(
                    case.method, "things", **case.call
                )
            except RequestFailed as failure:
                error = failure
            return story(found, error, server)

    with serving(case) as (server, nango):
        return without_port(asyncio.run(call()), server)


def without_port(seen: dict[str, Any], server: FaultServer) -> dict[str, Any]:
    """The result without the server's port, which differs each time."""
    port = str(server.port).encode()
    seen["requests"] = [[line.replace(port, b"PORT") for line in lines] for lines in seen["requests"]]
    return seen


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_executors_do_the_same(case: Case) -> None:
    """Result, attempts, rules and the bytes on the wire are the same."""
    sync = through_sync(case)
    assert (sync["ends"], sync["attempts"]) == (case.ends, case.attempts)
    assert through_async(case) == sync


@pytest.mark.parametrize("name", ["sync", "async"])
def test_an_unreachable_server_costs_the_connect_timeout(name: str) -> None:
    """A black hole ends in `connect`, is retried with any method, and takes the time given."""
    with black_hole() as port:
        case = Case("", (), 0, [], "POST", {"timeout": (0.2, 5)}, TWICE)
        started = time.monotonic()
        error = failure_at(f"http://127.0.0.1:{port}/", case, name)
        assert time.monotonic() - started < HANG_SECONDS
    assert (error.reason, [one.action for one in error.attempts]) == ("connect", ["retry", "fail"])


@pytest.mark.parametrize("name", ["sync", "async"])
@pytest.mark.parametrize("part", ["head", "body"])
def test_a_slow_response_ends_with_the_timeout_of_the_attempt(name: str, part: str) -> None:
    """A byte now and then does not extend a call beyond its total timeout."""
    whole = says(b"x" * 1000)
    cut = 10 if part == "head" else len(whole) - 999
    case = Case("", (), 0, [], "POST")
    with FaultServer([READ, whole[:cut], Drip(whole[cut:], 1, 0.03)]) as server:
        started = time.monotonic()
        error = failure_at(server.url, case, name, http_request_timeout_seconds=0.4)
        assert time.monotonic() - started < HANG_SECONDS
    assert error.reason == "timeout"


@pytest.mark.parametrize("name", ["sync", "async"])
def test_a_port_without_a_server_refuses(name: str) -> None:
    """`connect`, and nothing was sent."""
    with FaultServer(OK) as server:
        url = server.url
    error = failure_at(url, Case("", (), 0, [], "POST", {}, TWICE), name)
    assert (error.reason, len(error.attempts)) == ("connect", 2)


def failure_at(url: str, case: Case, name: str, **settings: Any) -> Any:
    """The error that a call of the case ends in."""
    retries = {"backoff": QUICK, **case.retries}
    with calling(url, clock=ManualClock(), retries=retries, **settings) as nango:
        with pytest.raises(RequestFailed) as raised:
            call_by_name(nango, name, case.method, "things", **case.call)
        return raised.value


def call_by_name(nango: Nango, name: str, method: str, path: str, **options: Any) -> Any:
    """The response of a call by the named executor."""
    if name == "sync":
        return nango.executor("shop", "user-1").request(method, path, **options)
    return asyncio.run(nango.async_executor("shop", "user-1").request(method, path, **options))


BODIES: dict[str, Any] = {
    "json": {"json": {"é": [1, None]}},
    "form": {"data": {"a": "b c", "d": ["1", "2"]}},
    "text": {"data": "grüße"},
    "bytes": {"data": b"\x00\xff"},
    "no body": {},
    "query": {"params": {"a": "b c'\"", "d": ["1", "é"]}},
    "odd path": {"path": "things/a%2Fb/ü'(x)?q='a'&r=[1]|%7C"},
    "headers": {"headers": {"X-Odd": "é \t~", "Accept": None, "x-lower": "1"}},
    "trace": {"method": "OPTIONS"},
    "own method": {"method": "PURGE"},
}


@pytest.mark.parametrize("name", BODIES)
def test_both_send_the_same_bytes(name: str) -> None:
    """Request line, headers and body are equal, but for the order of the headers."""
    options = {"method": "POST", "path": "things", **BODIES[name]}
    seen = []
    with FaultServer(OK) as server, calling(server.url) as nango:
        call_by_name(nango, "sync", **options)
        call_by_name(nango, "async", **options)
        for request in server.requests:
            head, _, body = request.partition(b"\r\n\r\n")
            line, *headers = head.split(b"\r\n")
            seen.append((line, sorted(header.lower() for header in headers), body))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("name", ["sync", "async"])
def test_an_iterator_is_sent_in_chunks_and_once(name: str) -> None:
    """A consumed stream is not sent again: the call ends with its only response or error."""
    with FaultServer([READ, says(status=503)]) as server, calling(server.url) as nango:
        found = call_by_name(nango, name, "PUT", "things", data=iter([b"large"]))
        assert (found.status_code, len(found.attempts)) == (503, 1)
        assert "the body cannot be sent again" in found.attempts[0].rule
