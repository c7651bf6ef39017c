"""Five hundred planted secrets in every kind of failed call, with all loggers at DEBUG: none is shown."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from nango_py import CredentialsError, Nango, NangoError
from nango_py.record import replaced
from tests.support.fault_server import CLOSE, HANG, READ, RESET, FaultServer, gzip_bomb, response
from tests.support.leak_finder import PLACES, LeakFinder, collect_logs, make_credentials, make_nango
from tests.support.planted_secrets import HALVES, Collector, everything_of, secret, shown
from tests.support.sockets import closed_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nango_py.engine.executor import Executor


@pytest.fixture
def collector() -> Iterator[Collector]:
    """The log records of the test."""
    with collect_logs() as handler:
        yield handler


TAILS = {"query": ' +/=%&"\\é~', "header": '+/=%&"\\é~', "bearer": "+/=%&~", "basic": ':+/=%&"\\é',
         "declared": "+=%&~", "named": "+/=%&~"}  # fmt: skip


def echo(number: int, place: str, status: int) -> bytes:
    """An error response that repeats the credential, as some APIs do."""
    value = secret(number, TAILS[place])
    body = {"error": {"code": value, "detail": f"the key {value} is wrong"}}
    return response(json.dumps(body).encode(), status, {"X-Echo": "1"})


def get(executor: Executor) -> Any:
    """An ordinary call."""
    return executor.get("things", params={"q": "1"})


def strict(executor: Executor) -> Any:
    """A call that raises for bad responses."""
    return executor.get("things", raise_for_error=True)


def status(executor: Executor) -> Any:
    """What programs written for requests do."""
    executor.get("things").raise_for_status()


def as_json(executor: Executor) -> Any:
    """Parses a response that is not JSON."""
    return executor.get("things").json()


def walk(executor: Executor) -> Any:
    """Walks over pages."""
    return list(executor.paginate("things"))


def verify(executor: Executor) -> Any:
    """The verification call, whose path may hold the key."""
    return executor.verify()


def stream(executor: Executor) -> Any:
    """Reads a streamed body."""
    return b"".join(executor.get("things", stream=True).iter_content(100))


def post(executor: Executor) -> Any:
    """A call that is not repeated."""
    return executor.post("things", json={"n": 1}, raise_for_error=True)


def broken_upload(executor: Executor) -> Any:
    """A generator of the caller's that fails half way."""

    def parts() -> Iterator[bytes]:
        yield b"part"
        raise LookupError("the file is gone")

    return executor.put("things", data=parts())


def wrong_upload(executor: Executor) -> Any:
    """A body that yields values that are not bytes."""
    return executor.put("things", data=iter([1, 2]))


def bad_calls(executor: Executor) -> Any:
    """Calls that cannot be made; the last error is raised."""
    for options in (
        {"headers": {"X": "a\nb"}},
        {"timeout": -1},
        {"json": object()},
        {"idempotency_key": "k"},
    ):
        with contextlib.suppress(NangoError):
            executor.post("things", **options)
    return executor.get("../%2e%2e/admin")


def session(executor: Executor, **options: Any) -> Any:
    """A third-party SDK."""
    from nango_py.engine.executor import Executor
    from nango_py.engine.requests_adapter import Adapter, Session
    from nango_py.engine.requests_transport import RequestsTransport

    inner: Any = executor._io
    transport = RequestsTransport(inner._transport)
    runtime, connection = executor._get_runtime, executor._read_connection
    sending = Executor(runtime, connection, transport, inner.limits, inner._clock)
    return Session(Adapter(sending, transport)).get("things", params={"q": "1"}, **options).raise_for_status()


REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /things?again=1\r\nContent-Length: 0\r\n\r\n"


AWAY = b"HTTP/1.1 307 Away\r\nLocation: http://127.0.0.2:1/\r\nContent-Length: 0\r\n\r\n"


LIMITED = b"HTTP/1.1 429 Slow\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n"


SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"


OTHER_HOST = response(b'{"data": [1], "links": {"next": "https://evil.test/?api_key=x"}}')


# What the server does (None: no server; a status: repeats the credential), and what the program calls.
MODES: dict[str, tuple[Any, Callable[[Executor], Any]]] = {
    "good": ([READ, response(b'{"ok": true}')], get),
    "401 with an echo": (401, status),
    "403 with an echo": (403, strict),
    "401 when verified": (401, verify),
    "a host that is gone": (None, verify),
    "404 with an echo": (404, session),
    "422 with an echo": (422, post),
    "410 gone": ([READ, response(b"gone", 410)], strict),
    "500 twice": ([READ, response(b"oops", 500)], status),
    "503 for a post": ([READ, response(b"oops", 503, {"Retry-After": "1"})], post),
    "429 for ever": ([READ, LIMITED % b"0.1"], get),
    "429 for days": ([READ, LIMITED % b"999999"], get),
    "429 in a session": ([READ, LIMITED % b"999999"], session),
    "refused": (None, get),
    "refused in a session": (None, session),
    "reset": ([READ, RESET], get),
    "reset after a post": ([READ, RESET], post),
    "closed": ([READ, CLOSE], session),
    "truncated": ([READ, SHORT, CLOSE], get),
    "no HTTP": ([READ, b"junk\r\n\r\n", CLOSE], get),
    "silence": ([READ, HANG], lambda executor: executor.get("things", timeout=0.02)),
    "silence in a session": ([READ, HANG], lambda executor: session(executor, timeout=0.02)),
    "too large": ([READ, response(gzip_bomb(3_000_000), headers={"Content-Encoding": "gzip"})], get),
    "no gzip": ([READ, response(b"plain", headers={"Content-Encoding": "gzip"})], get),
    "redirects for ever": ([READ, REDIRECT], get),
    "redirect away": ([READ, AWAY], status),
    "no JSON": ([READ, response(b"<html>")], as_json),
    "a page elsewhere": ([READ, OTHER_HOST], walk),
    "a page in a circle": ("circle", walk),
    "a page that fails": (400, walk),
    "a broken stream": ([READ, SHORT, CLOSE], stream),
    "a broken upload": ([READ, HANG], broken_upload),
    "a wrong upload": ([READ, HANG], wrong_upload),
    "bad calls": ([READ, HANG], bad_calls),
}


USERS = 16
"""For each mode: with 34 modes, more than five hundred secrets."""


def make_scripts(script: Any, numbers: range) -> list[Any]:
    """What the server does: to each connection the same, or to each user's connection its own."""
    if isinstance(script, int):
        return [[READ, echo(number, choose_place(number), script)] for number in numbers]
    if script == "circle":
        # The link repeats the credential, as APIs do that keep it in the query.
        values = [secret(number, TAILS[choose_place(number)]) for number in numbers]
        links = [f"/things?api_key={requests.utils.quote(value, safe='')}&p=1" for value in values]
        return [
            [
                step
                for page in range(4)
                for step in (READ, response(json.dumps({"data": [page], "links": {"next": link}}).encode()))
            ]
            for link in links
        ]
    return [script * 8 if script[-1] not in {RESET, CLOSE, HANG} else script]


def choose_place(number: int) -> str:
    """Where a user's credential goes."""
    return list(PLACES)[number % len(PLACES)]


def run_mode(nango: Nango, name: str, number: int, act: Callable[[Executor], Any], finder: LeakFinder) -> str:
    """Plant a secret, make one call with it, and keep all that is shown; what came of it, in a word."""
    place, user = choose_place(number), f"user-{number}"
    value = secret(number, TAILS[place])
    nango.register_connection(place, user, make_credentials(place, value))
    return run_call(nango, f"{name} ({place})", (place, user), act, finder)


def run_half(nango: Nango, name: str, number: int, act: Callable[[Executor], Any], finder: LeakFinder) -> str:
    """The same with half of a surrogate pair in the secret, which nothing stores; an older version did."""
    place, user = choose_place(number), f"user-{number}"
    value = secret(number, HALVES[number % len(HALVES)])
    credentials = make_credentials(place, value)
    source = f"{name} ({place}, half a pair)"
    for do in (nango.register_connection, nango.verify_credentials):
        with pytest.raises(CredentialsError) as caught:
            do(place, user, credentials)
        finder.add(f"{do.__name__} of {source}", everything_of(caught.value, __file__))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nango_py.connections.validation.has_surrogate", lambda _: False)
        nango.store.create(place, user, credentials)
    good = f"good-{number}"
    nango.register_connection(place, good, make_credentials(place, secret(number)))
    executor = nango.executor(place, good)
    nango.services.cache.put(replaced(nango.store.get(place, user), user_id=good))
    try:
        outcome = type(act(executor)).__name__
    except Exception as error:  # noqa: BLE001 - every error is looked at
        outcome = type(error).__name__
        finder.add(f"error of {source}", everything_of(error, __file__))
    finder.add(f"objects of {source}", f"{executor!r} {shown(executor.attempts)} {executor.explain()}")
    return outcome


def run_call(
    nango: Nango,
    source: str,
    connection: tuple[str, str],
    act: Callable[[Executor], Any],
    finder: LeakFinder,
) -> str:
    """Make one call, and keep all that is shown; what came of it, in a word."""
    executor = nango.executor(*connection)
    outcome = ""
    try:
        got = act(executor)
    except Exception as error:  # noqa: BLE001 - every error is looked at
        outcome = type(error).__name__
        finder.add(f"error of {source}", everything_of(error, __file__))
    else:
        finder.add(f"result of {source}", shown(got))
        if isinstance(got, requests.Response):
            request = f"{got.url} {got.request.url} {got.request.headers}"
            finder.add(f"response of {source}", f"{request} {shown(vars(got))}")
    plan = executor.plan("POST", "things", json={"n": 1})
    objects = f"{plan} {plan!r} {executor!r} {shown(executor.attempts)} {executor.explain()}"
    finder.add(f"objects of {source}", f"{objects} {nango.connections_for_user(connection[1])}")
    return outcome or type(got).__name__


def test_no_failure_shows_a_secret(
    tmp_path: Path, collector: Collector, capfd: pytest.CaptureFixture[str]
) -> None:
    """Logs, exceptions with causes and frames, reprs, standard output and the database files contain none."""
    finder, outcomes, halves = LeakFinder(), set(), set()
    for index, (name, (script, act)) in enumerate(MODES.items()):
        numbers = range(index * USERS, (index + 1) * USERS)
        server = contextlib.nullcontext() if script is None else FaultServer(*make_scripts(script, numbers))
        with server as running:
            url = running.url if running is not None else f"http://127.0.0.1:{closed_port()}/"
            with make_nango(tmp_path, url) as nango:
                for number in numbers:
                    outcomes.add(run_mode(nango, name, number, act, finder))
                    if not isinstance(script, list):
                        nango.close()  # so that the next user gets a new connection
                halves.add(run_half(nango, name, 5000 + 2 * index, act, finder))
                halves.add(run_half(nango, name, 5001 + 2 * index, act, finder))
                finder.add("nango", f"{nango!r} {nango.configuration!r}")
    assert len(MODES) * USERS >= 500
    assert outcomes == {
        "Response", "HTTPError", "ProviderError", "RateLimited", "TransportFailed", "JSONDecodeError",
        "InvalidRequest", "RequestFailed", "StreamFailed", "LookupError", "NoneType", "Verification",
    }  # fmt: skip
    assert halves == {"CredentialsError", "ConfigError", "InvalidRequest", "Verification"}
    finder.add("logs", "\n".join(collector.lines))
    finder.add("output", "".join(capfd.readouterr()))
    for file in tmp_path.rglob("*"):
        if file.is_file():
            finder.add(file.name, file.read_bytes().decode("latin-1"))
    assert len(collector.lines) > 1000
    assert finder.leaks()[:5] == []
