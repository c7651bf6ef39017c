"""Five hundred planted secrets, every failure mode, all loggers at DEBUG: not a byte of them is shown."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
import requests

from nango_py import ConfigError, Nango, NangoError, TamperError
from tests.support.fault_server import CLOSE, HANG, READ, RESET, FaultServer, gzip_bomb, response
from tests.support.planted_secrets import Collector, everything_of, secret, shown, traces
from tests.support.sandbox_product import ENCRYPTION_KEY
from tests.support.sockets import closed_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nango_py.engine.executor import Executor

RETRIES = {"max_attempts": 2, "deadline_seconds": 3, "backoff": {"base_seconds": 0.001, "max_seconds": 0.002}}
COMMON: dict[str, Any] = {
    "auth": {"auth_mode": "API_KEY"},
    "retries": RETRIES,
    "http_request_timeout_seconds": 1.0,
    "pagination": {"kind": "next_url", "next": "links.next", "records": "data"},
    "errors": {"message": "error.detail", "code": "error.code"},
    "log_level": "debug",
}
PLACES: dict[str, dict[str, Any]] = {
    "query": {"params": {"api_key": "${api_key}", "list": '${additional_config.list | default("x")}'}},
    "header": {"headers": {"X-Api-Key": "${api_key}", "X-At": "${method} ${endpoint}"}},
    "bearer": {"headers": {"Authorization": "Bearer ${api_key}"}, "params": {"sig": "${api_key | sha256}"}},
    "basic": {"headers": {"Authorization": "Basic ${basic_auth_encoded}"}},
}
TAILS = {"query": ' +/=%&"\\é~', "header": '+/=%&"\\é~', "bearer": "+/=%&~", "basic": ':+/=%&"\\é'}


def echo(number: int, place: str, status: int) -> bytes:
    """An error answer that repeats the credential, as some APIs do."""
    value = secret(number, TAILS[place])
    body = {"error": {"code": value, "detail": f"the key {value} is wrong"}}
    return response(json.dumps(body).encode(), status, {"X-Echo": "1"})


class Shown:
    """Everything that was shown: texts by where they come from."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, str]] = []

    def add(self, source: str, text: str) -> None:
        """Keep a text."""
        self.texts.append((source, text))

    def leaks(self) -> list[str]:
        """Where a secret can be seen, and what is around it."""
        return [f"{source}: {trace}" for source, text in self.texts for trace in traces(text)]


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
    """Reads a response that is no JSON."""
    return executor.get("things").json()


def walk(executor: Executor) -> Any:
    """Walks over pages."""
    return list(executor.paginate("things"))


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
    """A body that yields what is no bytes."""
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
    from nango_py.engine.requests_session import Session

    return Session(executor).get("things", params={"q": "1"}, **options).raise_for_status()


REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /things?again=1\r\nContent-Length: 0\r\n\r\n"
AWAY = b"HTTP/1.1 307 Away\r\nLocation: http://127.0.0.2:1/\r\nContent-Length: 0\r\n\r\n"
LIMITED = b"HTTP/1.1 429 Slow\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n"
SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"
OTHER_HOST = response(b'{"data": [1], "links": {"next": "https://evil.test/?api_key=x"}}')

# What the server does (None: nobody listens; a status: the credential repeated), and what the program calls.
MODES: dict[str, tuple[Any, Callable[[Executor], Any]]] = {
    "good": ([READ, response(b'{"ok": true}')], get),
    "401 with an echo": (401, status),
    "403 with an echo": (403, strict),
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
"""For each mode: with 32 modes, more than five hundred secrets."""


def scripts_of(script: Any, numbers: range) -> list[Any]:
    """What the server does: to each connection the same, or to each user's connection its own."""
    if isinstance(script, int):
        return [[READ, echo(number, place_of(number), script)] for number in numbers]
    if script == "circle":
        # The link repeats the credential, as APIs do that keep it in the query.
        values = [secret(number, TAILS[place_of(number)]) for number in numbers]
        links = [f"/things?api_key={requests.utils.quote(value, safe='')}&p=1" for value in values]
        bodies = [json.dumps({"data": [1], "links": {"next": link}}).encode() for link in links]
        return [[READ, response(body)] * 4 for body in bodies]
    return [script * 8 if script[-1] not in {RESET, CLOSE, HANG} else script]


def place_of(number: int) -> str:
    """Where a user's credential goes."""
    return list(PLACES)[number % len(PLACES)]


def run_mode(nango: Nango, name: str, number: int, act: Callable[[Executor], Any], found: Shown) -> str:
    """Plant a secret, make one call with it, and keep all that is shown; what came of it, in a word."""
    place, user = place_of(number), f"user-{number}"
    value = secret(number, TAILS[place])
    credentials = {"username": "ada", "password": value} if place == "basic" else {"api_key": value}
    nango.register_connection(place, user, credentials)
    executor = nango.executor(place, user)
    source = f"{name} ({place})"
    outcome = ""
    try:
        got = act(executor)
    except Exception as error:  # noqa: BLE001 - every error is looked at
        outcome = type(error).__name__
        found.add(f"error of {source}", everything_of(error, __file__))
    else:
        found.add(f"result of {source}", shown(got))
        if isinstance(got, requests.Response):
            request = f"{got.url} {got.request.url} {got.request.headers}"
            found.add(f"response of {source}", f"{request} {shown(vars(got))}")
    plan = executor.plan("POST", "things", json={"n": 1})
    objects = f"{plan} {plan!r} {executor!r} {shown(executor.attempts)} {executor.explain()}"
    found.add(f"objects of {source}", f"{objects} {nango.connections_for_user(user)}")
    return outcome or type(got).__name__


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Every logger at DEBUG, into a list."""
    root = logging.getLogger()
    handler, level = Collector(), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    changed = [logging.getLogger(name) for name in ("urllib3", "requests", "backoff", "asyncio", "nango_py")]
    for logger in changed:
        logger.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)
    for logger in changed:
        logger.setLevel(logging.NOTSET)


def product_for(folder: Path, base_url: str, key: str = ENCRYPTION_KEY) -> Nango:
    """A product with an integration for each place of a credential."""
    entries = {
        place: {**COMMON, "requests": {"base_url": base_url, "max_response_bytes": 1_000_000, **where}}
        for place, where in PLACES.items()
    }
    entries["basic"]["auth"] = {"auth_mode": "USERNAME_PASSWORD"}
    return Nango(entries, database_url=f"sqlite:///{folder}/nango.db", encryption_keys=key, environ={})


def test_no_secret_is_shown_by_any_failure(
    tmp_path: Path, collector: Collector, capfd: pytest.CaptureFixture[str]
) -> None:
    """Logs, exceptions with causes and frames, reprs, standard output and the database files hold none."""
    found, outcomes = Shown(), set()
    for index, (name, (script, act)) in enumerate(MODES.items()):
        numbers = range(index * USERS, (index + 1) * USERS)
        server = contextlib.nullcontext() if script is None else FaultServer(*scripts_of(script, numbers))
        with server as running:
            url = running.url if running is not None else f"http://127.0.0.1:{closed_port()}/"
            with product_for(tmp_path, url) as nango:
                for number in numbers:
                    outcomes.add(run_mode(nango, name, number, act, found))
                    if not isinstance(script, list):
                        nango.close()  # so that the next user has a connection of its own
                found.add("nango", f"{nango!r} {nango.configuration!r}")
    assert len(MODES) * USERS >= 500
    assert outcomes == {
        "Response", "HTTPError", "ProviderError", "RateLimited", "TransportFailed", "ConnectionError",
        "Timeout", "JSONDecodeError", "InvalidRequest", "RequestFailed", "StreamFailed", "LookupError",
        "TypeError", "NoneType",
    }  # fmt: skip
    found.add("logs", "\n".join(collector.lines))
    found.add("output", "".join(capfd.readouterr()))
    for file in tmp_path.rglob("*"):
        if file.is_file():
            found.add(file.name, file.read_bytes().decode("latin-1"))
    assert len(collector.lines) > 1000
    assert found.leaks()[:5] == []


def kept(found: Shown, name: str, act: Callable[[], Any]) -> BaseException:
    """The error of an act that must fail, with all that it shows kept."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any error, the caller looks at which
        act()
    found.add(name, everything_of(caught.value, __file__))
    return caught.value


WRONG_CREDENTIALS: list[Any] = [
    {"api_key": [secret(1)]}, {"api_key": {"a": secret(2)}}, {"api_kye": secret(3)}, {"api_key": 4},
    {"api_key": secret(5).encode()}, {"api_key": secret(6), "other": secret(7)}, secret(8), [secret(9)], None,
]  # fmt: skip
UNFIT = ["\n", "\r\nX-Evil: 1", "\0", "€", " ", "\x7f", "\ud800"]


def test_no_secret_is_shown_by_registering_and_storing(tmp_path: Path, collector: Collector) -> None:
    """Wrong credentials, keys that fit no header, doubles, altered rows and wrong encryption keys."""
    found = Shown()
    with product_for(tmp_path, "http://127.0.0.1:1/") as nango:
        for wrong in WRONG_CREDENTIALS[:3] + WRONG_CREDENTIALS[4:]:
            error = kept(
                found,
                f"registering {type(wrong).__name__}",
                lambda wrong=wrong: nango.register_connection("header", "u", wrong),
            )
            assert isinstance(error, NangoError)
        for number, tail in enumerate(UNFIT):
            user = f"unfit-{number}"
            with contextlib.suppress(NangoError):
                nango.register_connection("header", user, {"api_key": secret(20 + number) + tail})
                error = kept(found, f"unfit {tail!a}", lambda user=user: nango.executor("header", user))
                assert isinstance(error, ConfigError), error
        nango.register_connection("header", "twice", {"api_key": secret(40)})
        kept(found, "twice", lambda: nango.register_connection("header", "twice", {"api_key": secret(41)}))
    with contextlib.closing(sqlite3.connect(tmp_path / "nango.db")) as database, database:
        database.execute("UPDATE nango_connections SET user_id = 'moved' WHERE user_id = 'twice'")
    with product_for(tmp_path, "http://127.0.0.1:1/") as nango:
        assert isinstance(kept(found, "moved row", lambda: nango.executor("header", "moved")), TamperError)
    other_key = ENCRYPTION_KEY[::-1].strip("=")[:43] + "="
    with product_for(tmp_path, "http://127.0.0.1:1/", other_key) as nango:
        kept(found, "wrong encryption key", lambda: nango.executor("header", "moved"))
    found.add("logs", "\n".join(collector.lines))
    for file in tmp_path.rglob("*"):
        if file.is_file():
            found.add(file.name, file.read_bytes().decode("latin-1"))
    assert found.leaks() == []


def with_entry(**entry: Any) -> dict[str, Any]:
    """integrations.yaml's content with one entry that reads planted secrets from the environment."""
    return {
        "shop": {
            "auth": {"auth_mode": "API_KEY"},
            "app_api_key": "${PLANTED}",
            "requests": {
                "base_url": "https://x.test/",
                "headers": {"X": "${api_key}", "Y": "${app_api_key}"},
            },
            **entry,
        }
    }


WRONG_FILES: list[dict[str, Any]] = [
    with_entry(app_api_key="${PLANTED_ODD}", log_level="${PLANTED}"),
    with_entry(oauth_client_secret=[secret(60)]),
    with_entry(app_api_key={"a": secret(61)}),
    with_entry(oauth_client_secet=secret(62)),
    with_entry(app_api_key=secret(63) + "${", oauth_client_secret=5),
    with_entry(requests={"base_url": f"https://user:{secret(64)}@x.test/"}),
    with_entry(requests={"base_url": "${PLANTED}"}),
    with_entry(requests={"base_url": "https://x.test/", "headers": {"X": "${PLANTED_LINE} ${api_key}"}}),
    with_entry(requests={"base_url": "https://x.test/", "headers": {"X": "${PLANTED_LINE}"}}),
    with_entry(requests={"base_url": "https://x.test/", "headers": {"X Y": "${PLANTED}"}}),
    with_entry(requests={"base_url": "https://x.test/", "params": {"k": "${PLANTED}${nope}"}}),
    with_entry(http_request_timeout_seconds="${PLANTED}"),
    with_entry(extends_blueprint="${PLANTED}"),
]


@pytest.mark.parametrize("entries", WRONG_FILES, ids=range(len(WRONG_FILES)))
def test_no_secret_is_shown_by_wrong_files(
    entries: dict[str, Any], tmp_path: Path, collector: Collector, capfd: pytest.CaptureFixture[str]
) -> None:
    """What the environment gives, and what stands in secret fields, is in no message and no frame."""
    environ = {
        "PLANTED": secret(70), "PLANTED_ODD": secret(71, '+/=%&"\\é~'), "PLANTED_LINE": secret(72, "\r\n"),
    }  # fmt: skip
    found = Shown()
    error = kept(
        found, "loading", lambda: Nango(entries, environ=environ, database_url=f"sqlite:///{tmp_path}/n.db")
    )
    assert isinstance(error, ConfigError)
    found.add("logs", "\n".join(collector.lines))
    found.add("output", "".join(capfd.readouterr()))
    assert found.leaks() == []


def test_application_secrets_are_hidden_like_those_of_users(tmp_path: Path, collector: Collector) -> None:
    """An app key from the environment shows in no plan, repr, configuration or log."""
    found = Shown()
    entries = with_entry()
    with FaultServer([READ, response(b"ok")]) as server:
        entries["shop"]["requests"]["base_url"] = server.url
        with Nango(entries, environ={"PLANTED": secret(80)}, encryption_keys=ENCRYPTION_KEY,
                   database_url=f"sqlite:///{tmp_path}/n.db") as nango:  # fmt: skip
            nango.register_connection("shop", "u", {"api_key": secret(81)})
            shop = nango.executor("shop", "u")
            shop.get("x")
            (request,) = server.wait_for_requests(1)
            plan = shop.plan("GET", "x")
            found.add(
                "shown", f"{plan} {plan!r} {nango!r} {nango.configuration!r} {shown(nango.configuration)}"
            )
    assert secret(80).encode() in request
    found.add("logs", "\n".join(collector.lines))
    assert found.leaks() == []


SPELLINGS = [
    secret(1), f"a{secret(1)}b", requests.utils.quote(secret(1, "+/"), safe=""), json.dumps(secret(1, 'é"')),
    repr(secret(1, "\\")), base64.b64encode(secret(1).encode()).decode(),
    base64.urlsafe_b64encode(f"ada:{secret(1)}".encode()).decode(),
    base64.b64encode(f"ad:{secret(1)}".encode()).decode(),
    secret(1)[:14], secret(1).upper(), secret(1).encode().hex(), secret(1)[::-1],
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_search_finds_a_secret_in_every_spelling(spelling: str) -> None:
    """The control: raw, percent-encoded, JSON, repr, base64 at any alignment, hex, and halves."""
    assert traces(f"some text {spelling} more text")
    assert not traces(f"some text {'*' * 40} more text")


def test_a_planted_leak_is_caught(collector: Collector) -> None:
    """The control: what requests itself shows of a failed call is found in error, frames and log."""
    found = Shown()
    url = f"http://127.0.0.1:{closed_port()}/?api_key={secret(1)}"
    kept(found, "requests", lambda: requests.get(url, timeout=1))
    assert found.leaks()

    def careless(key: str) -> None:
        logging.getLogger("nango_py.careless").debug("calling with %s", key)
        raise LookupError("no secret in the text")

    kept(found, "a frame", lambda: careless(secret(2)))
    found.texts.clear()
    found.add("log", "\n".join(collector.lines))
    assert found.leaks()
