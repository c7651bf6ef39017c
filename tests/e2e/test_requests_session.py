"""nango.session() and nango.adapter(): sessions of requests that send through the engine."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
import socket
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import requests
import urllib3
from requests.auth import HTTPBasicAuth

from nango_py import ConnectionNotFound, InvalidRequest, RateLimited, RequestFailed, TransportFailed
from nango_py.sandbox import Fault, FaultPlan
from tests.support.fault_server import READ, FaultServer
from tests.support.recording_server import RecordingServer, Reply
from tests.support.sandbox_product import SHOP, a_nango, a_product, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nango_py import Nango
    from nango_py.engine.requests_adapter import Session
    from tests.support.recording_server import Received

KEY = "key_planted_0123456789"
QUICK = {"max_attempts": 1}
IN_PATH: dict[str, Any] = {"auth": {"auth_mode": "API_KEY"}, "requests": {"base_url": ""}}
IN_QUERY: dict[str, Any] = {
    "auth": {"auth_mode": "API_KEY"},
    "requests": {"base_url": "https://x.test/v1/", "params": {"key": "${api_key}"}, "allow_http": True},
}


@pytest.fixture(autouse=True)
def no_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies and certificates of the machine change nothing here."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def connected(folder: Path, base_url: str, settings: Any = SHOP, **more: Any) -> Nango:
    """A product whose `shop` is at `base_url`, with one connection."""
    nango = a_nango(folder, base_url, {**settings, **more})
    nango.register_connection("shop", "u0", {"api_key": KEY})
    return nango


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[Session, RecordingServer]]]:
    """Start a server below `/v1/` of which a session is returned."""
    opened: list[Any] = []

    def start(respond: Callable[[Received], Any], settings: Any = SHOP, suffix: str = "", **more: Any) -> Any:
        server = RecordingServer(respond).__enter__()
        nango = connected(tmp_path, f"{server.url}v1/{suffix}", settings, **more)
        opened.extend((server, nango))
        return nango.session("shop", "u0"), server

    yield start
    for each in reversed(opened):
        each.__exit__(None, None, None)


def third_party_sdk(session: requests.Session, base: str) -> list[Any]:
    """An SDK that knows only requests."""
    session.headers["Authorization"] = "Bearer of the SDK"
    session.headers.update({"X-SDK": "1"})
    first = session.get(f"{base}things", params={"page": 1}, timeout=10)
    first.raise_for_status()
    second = session.post(base + "things", json={"n": 2})
    third = session.request("PUT", base + "things/3", data=b"raw", headers={"Content-Type": "x/y"})
    prepared = session.prepare_request(requests.Request("GET", base + "things?q=a%20b#top"))
    fourth = session.send(prepared, stream=True, timeout=(3, 5))
    return [first.json(), second.status_code, third.ok, b"".join(fourth.iter_content(10))]


def test_a_session_makes_a_third_party_sdk_authenticated(tmp_path: Path) -> None:
    """The SDK's own credential is replaced, and everything else is sent unchanged."""
    with a_product(tmp_path) as (nango, sandbox):
        with nango.session("shop", "u0") as session:
            assert isinstance(session, requests.Session)
            results = third_party_sdk(session, sandbox.base_url)
        seen = sandbox.ledger.received
    assert results[1:3] == [200, True]
    assert {entry.headers["authorization"] for entry in seen} == {f"Key {key_of(0)}"}
    assert {entry.headers["x-sdk"] for entry in seen} == {"1"}
    assert [(entry.method, entry.endpoint, entry.query) for entry in seen] == [
        ("GET", "things", "page=1"), ("POST", "things", ""), ("PUT", "things/3", ""),
        ("GET", "things", "q=a%20b"),
    ]  # fmt: skip
    assert (seen[1].json(), seen[2].body, seen[2].headers["content-type"]) == ({"n": 2}, b"raw", "x/y")


def test_a_session_takes_paths_below_the_base(tmp_path: Path) -> None:
    """A path without a host is relative to base_url; hooks run; the blueprint's parameters are sent."""
    settings = {**SHOP, "requests": {"base_url": "https://x.example.test/v1/", "params": {
        "api_key": "${api_key}", "format": "json"}}}  # fmt: skip
    hooked: list[int] = []
    with a_product(tmp_path, settings) as (nango, sandbox):
        session = nango.session("shop", "u0")
        session.hooks["response"].append(lambda found, **_: hooked.append(found.status_code))
        session.get("things?next=https://other.test/&api_key=mine")
        session.get("/things", params={"format": "xml"})
        seen = [entry.query for entry in sandbox.ledger.received]
    assert seen == [
        f"api_key={key_of(0)}&format=json&next=https://other.test/",
        f"api_key={key_of(0)}&format=xml",
    ]
    assert hooked == [200, 200]


def test_a_session_works_with_headers_that_differ_from_call_to_call(tmp_path: Path) -> None:
    """The base URL is known without making a plan."""
    settings = {
        **SHOP,
        "requests": {
            "base_url": "https://x.example.test/v1/",
            "headers": {"Authorization": "Key ${api_key}", "X-Call": "${method} ${endpoint}"},
        },
    }
    with a_product(tmp_path, settings) as (nango, sandbox):
        session = nango.session("shop", "u0")
        session.get("things")
        session.post(f"{sandbox.base_url}things/7", json={})
        assert [entry.headers["x-call"] for entry in sandbox.ledger.received] == [
            "GET things",
            "POST things/7",
        ]


def test_a_session_paces_and_retries_and_translates(tmp_path: Path) -> None:
    """A 429 is waited out, a final 429 is returned, and a failure raises what SDKs catch."""
    settings = {**SHOP, "retries": {"max_attempts": 2, "backoff": {"base_seconds": 0.001}}}
    limited = Fault("status", status=429, retry_after=0.2)
    faults = FaultPlan.script([503, None, limited, limited, "reset_after", "reset_after"])
    with a_product(tmp_path, settings, faults=faults) as (nango, sandbox):
        session = nango.session("shop", "u0")
        assert session.get("a").status_code == 200
        assert session.get("b").status_code == 429
        with pytest.raises(requests.ConnectionError) as caught:
            session.get("c")
        assert isinstance(caught.value, TransportFailed)
        assert caught.value.__context__ is None
        assert key_of(0) not in repr(caught.value)
        assert len(sandbox.ledger) == 6
    with FaultServer([READ, 10.0]) as server, a_nango(tmp_path / "2", server.url, settings) as nango:
        nango.register_connection("shop", "u", {"api_key": "some_key_1"})
        with pytest.raises(requests.Timeout):
            nango.session("shop", "u").post("slow", timeout=0.1)


def moving(received: Received) -> Any:
    """A server whose `/v1/a` has moved to `/v1/b`, and where everything else echoes its request."""
    if received.target.startswith("/v1/a"):
        return Reply(status=int(received.target[-3:]), headers=(("Location", "/v1/b"),))
    return {"method": received.method, "target": received.target}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_those_of_requests(status: int, serve: Any) -> None:
    """Method, history, `next`, allow_redirects and max_redirects are as in a plain session."""
    session, server = serve(moving)
    for method in ("GET", "PUT", "POST"):
        answers = []
        for each in (session, requests.Session()):
            found = each.request(method, f"{server.url}v1/a{status}", data="body")
            stopped = each.request(method, f"{server.url}v1/a{status}", data="body", allow_redirects=False)
            assert stopped.next is not None
            answers.append(
                (found.json(), [old.status_code for old in found.history], stopped.status_code,
                 stopped.next.method, stopped.next.url, stopped.is_redirect)
            )  # fmt: skip
        assert answers[0] == answers[1]
    assert session.head(f"a{status}").status_code == status
    session.max_redirects = 0
    with pytest.raises(requests.TooManyRedirects):
        session.get(f"a{status}")


def test_a_redirect_to_a_file_store_arrives_without_the_key(serve: Any) -> None:
    """The store's bytes are returned, and the store sees no credential of the connection."""
    with RecordingServer(lambda _: b"x" * 10_000) as store:
        session, _ = serve(lambda _: Reply(status=302, headers=(("Location", f"{store.url}file?sig=1"),)))
        found = session.get("attachments/1", stream=True)
        assert sum(len(piece) for piece in found.iter_content(1000)) == 10_000
        (asked,) = store.received
    assert asked.target == "/file?sig=1"
    assert "authorization" not in asked.headers
    assert KEY not in repr(asked)


def test_a_key_that_a_redirect_repeats_is_shown_nowhere(serve: Any) -> None:
    """An API that adds a slash repeats its query; the next request has the key, and no response shows it."""

    def add_slash(received: Received) -> Any:
        path, _, query = received.target.partition("?")
        if path.endswith("/"):
            return {}
        return Reply(status=301, headers=(("Location", f"{path}/?{query}"),))

    session, server = serve(add_slash, IN_QUERY)
    found = session.get("things", params={"page": 2})
    assert [asked.target for asked in server.received] == [
        f"/v1/things?key={KEY}&page=2",
        f"/v1/things/?key={KEY}&page=2",
    ]
    assert found.url == f"{server.url}v1/things/?page=2"
    shown = [found.url, found.request.url, found.request.headers, found.history[0].headers]
    assert KEY not in repr(shown)


OUTSIDE = [
    "users/../../../admin/keys",
    "users/%2e%2e/%2e%2e/admin",
    "users/..%2f..%2fadmin",
    "users/%252e%252e/admin",
    "users/..\\..\\admin",
    "users/./x",
    "..;/admin",
    "//evil.test/x",
    "{base}users/../../admin",
    "{base}%2e%2e/admin",
    "{base}users/..%5cadmin",
    b"users/../../admin",
    "http://u:p@{host}/v1/x",
]


@pytest.mark.parametrize("url", OUTSIDE)
def test_a_path_is_checked_as_it_was_given(url: Any, serve: Any) -> None:
    """Before requests resolves dots: nothing is sent, and the error is one of requests and ours."""
    session, server = serve(lambda _: {})
    if isinstance(url, str):
        url = url.replace("{base}", f"{server.url}v1/").replace("{host}", server.host)
    calls: list[Callable[[], object]] = [
        lambda: session.get(url),
        lambda: session.prepare_request(requests.Request("DELETE", url)),
    ]
    for call in calls:
        with pytest.raises(InvalidRequest) as caught:
            call()
        assert isinstance(caught.value, requests.exceptions.InvalidURL)
    assert server.received == []


def test_the_check_lets_other_paths_through(serve: Any) -> None:
    """The control: dots within names, other APIs of the origin, queries, fragments and bytes are sent."""
    session, server = serve(lambda _: {})
    requests.get(f"{server.url}v1/users/../../admin", timeout=5)
    assert server.received.pop().target == "/admin"  # what the check prevents
    for url in (
        "a..b/c.d", f"{server.url}other/x", "x?next=../y", "x#top", b"bytes", "items:batchGet",
        f"{server.url}v1/caf%C3%A9",
    ):  # fmt: skip
        assert session.get(url).status_code == 200
    assert [asked.target for asked in server.received] == [
        "/v1/a..b/c.d", "/other/x", "/v1/x?next=../y", "/v1/x", "/v1/bytes", "/v1/items:batchGet",
        "/v1/caf%C3%A9",
    ]  # fmt: skip


def test_other_hosts_are_reached_as_by_a_plain_session(serve: Any) -> None:
    """A session belongs to its SDK: other hosts get its own login, and nothing of the connection."""
    session, api = serve(lambda _: {})
    session.auth = ("sdk", "password")
    with RecordingServer(lambda _: {}) as other:
        assert session.get(f"{other.url}x").status_code == 200
        assert session.get(f"{api.url}v1/x").status_code == 200
        (elsewhere,) = other.received
    assert elsewhere.headers["authorization"].startswith("Basic ")
    assert api.received[0].headers["authorization"] == f"Key {KEY}"


@pytest.mark.parametrize("settings", [SHOP, IN_QUERY], ids=["header", "query"])
def test_the_login_of_an_sdk_is_replaced(settings: Any, serve: Any) -> None:
    """Its Authorization goes out neither in the place of the connection's credential nor beside it."""
    session, server = serve(lambda _: {}, settings)
    session.get("x", auth=HTTPBasicAuth("sdk", "password"))
    session.get("x", headers={"authorization": "Bearer placeholder"})
    for asked in server.received:
        assert asked.headers.get("authorization", "") in {"", f"Key {KEY}"}
        assert "placeholder" not in repr(asked)
        assert KEY in repr(asked)


def test_cookies_are_kept_by_the_session(serve: Any) -> None:
    """As SDKs with a CSRF token need it: a second session of the same user has its own."""
    cookies = (("Set-Cookie", "sid=1; Path=/"), ("Set-Cookie", "csrf=2; Path=/"))
    session, server = serve(lambda _: Reply({}, headers=cookies))
    assert session.get("login").cookies.get_dict() == {"sid": "1", "csrf": "2"}
    session.get("next")
    assert session.cookies.get_dict() == {"sid": "1", "csrf": "2"}
    assert set(server.received[1].headers["cookie"].split("; ")) == {"sid=1", "csrf=2"}
    copied = copy.deepcopy(session)
    copied.cookies.clear()
    copied.get("copy")
    copy.copy(session).get("copy")
    assert "cookie" not in server.received[2].headers
    assert "cookie" in server.received[3].headers


def test_the_response_is_the_one_that_requests_makes(serve: Any) -> None:
    """URL, request, connection, raw, hooks and the record of attempts; pickles of it can be read."""
    session, server = serve(lambda _: Reply({"n": 1}, headers=(("X-Two", "a"), ("X-Two", "b"))))
    found = session.get("things?page=1")
    plain = requests.get(f"{server.url}v1/things?page=1", timeout=5)
    assert type(found) is type(plain)
    for name in (
        "status_code",
        "reason",
        "url",
        "encoding",
        "text",
        "history",
        "is_redirect",
        "apparent_encoding",
    ):
        assert getattr(found, name) == getattr(plain, name)
    changing = {"Date"}
    assert {k: v for k, v in found.headers.items() if k not in changing} == {
        k: v for k, v in plain.headers.items() if k not in changing
    }
    assert found.connection is session.adapter
    assert (found.raw.status, found.raw.version, found.raw.read()) == (200, 11, b"")
    assert isinstance(found.raw, urllib3.HTTPResponse)
    assert [attempt.status for attempt in found.attempts] == [200]
    assert KEY not in repr([found.request.headers, found.request.url])
    restored = pickle.loads(pickle.dumps(found))  # noqa: S301 - our own bytes
    assert (restored.json(), restored.request.url) == ({"n": 1}, found.url)


def test_a_stream_can_be_read_in_every_way(serve: Any) -> None:
    """iter_content, iter_lines, raw and closing early; chunks arrive as they are sent."""
    session, _ = serve(lambda _: Reply((b"line 1\n", b"line 2\n")))
    assert list(session.get("x", stream=True).iter_lines()) == [b"line 1", b"line 2"]
    assert b"".join(session.get("x", stream=True).iter_content(3)) == b"line 1\nline 2\n"
    assert session.get("x", stream=True).raw.read() == b"line 1\nline 2\n"
    assert session.get("x", stream=True).content == b"line 1\nline 2\n"
    with session.get("x", stream=True) as found:
        assert next(found.iter_content(4)) == b"line"
    assert session.get("x").text == "line 1\nline 2\n"


def test_bodies_arrive_as_from_a_plain_session(serve: Any, tmp_path: Path) -> None:
    """Forms, JSON, bytes, files, iterators and multipart: the same length or chunks, and the same bytes."""
    session, server = serve(lambda _: {})
    path = tmp_path / "upload"
    path.write_bytes(b"file content" * 100)

    def send(each: requests.Session, method: str, number: int) -> None:
        with path.open("rb") as file:
            options: list[dict[str, Any]] = [
                {"data": {"a": ["1", "\u00fc"]}},
                {"json": {"a": 1.5}},
                {"data": b"bytes"},
                {"data": "t\u00e4xt".encode()},
                {"data": io.BytesIO(b"in memory")},
                {"data": file},
                {"data": iter([b"one", b"two"])},
                {"files": {"f": ("name.txt", b"text")}, "data": {"x": "y"}},
                {},
            ]
            each.request(method, f"{server.url}v1/x", **options[number])

    for number, method in itertools.product(range(9), ("POST", "DELETE")):
        for each in (session, requests.Session()):
            send(each, method, number)
        ours, plain = server.received[-2:]
        for name in ("content-length", "transfer-encoding"):
            assert ours.headers.get(name) == plain.headers.get(name), (method, number)
        mine, theirs = (
            asked.headers.get("content-type", "").partition("boundary=")[2].encode()
            for asked in (ours, plain)
        )
        assert ours.body.replace(mine, b"-") == plain.body.replace(theirs, b"-")


def test_a_file_is_sent_again_from_its_start(serve: Any, tmp_path: Path) -> None:
    """With its length each time, from where it stood when the call began; an iterator is sent once."""
    quick = {"backoff": {"base_seconds": 0.001}}
    session, server = serve(lambda _: Reply(status=503 if len(server.received) < 3 else 200), retries=quick)
    path = tmp_path / "upload"
    path.write_bytes(b"skipped" + b"x" * 100_000)
    with path.open("rb") as file:
        file.seek(7)
        assert session.put("x", data=file).status_code == 200
    assert [asked.body for asked in server.received] == [b"x" * 100_000] * 3
    assert {asked.headers["content-length"] for asked in server.received} == {"100000"}
    server.received.clear()
    assert session.put("x", data=iter([b"once"])).status_code == 503
    assert [asked.body for asked in server.received] == [b"once"]


def test_a_server_without_tls_is_an_ssl_error(tmp_path: Path) -> None:
    """As in requests, and a TransportFailed with reason tls."""
    with RecordingServer(lambda _: {}) as server:
        base = server.url.replace("http://", "https://")
        with connected(tmp_path, base, retries=QUICK) as nango:
            error = failing(nango.session("shop", "u0"))
    assert isinstance(error, requests.exceptions.SSLError)
    assert isinstance(error, TransportFailed)
    assert error.reason == "tls"


def test_framing_headers_of_an_sdk_are_not_sent(serve: Any) -> None:
    """Host, Connection and the like are the sender's: an SDK cannot smuggle in a second request."""
    session, server = serve(lambda _: {})
    headers = {
        "Content-Length": "0",
        "Host": "evil.test",
        "Connection": "upgrade",
        "Upgrade": "h2c",
        "TE": "x",
    }
    session.post("x", data=b"GET /v1/stolen HTTP/1.1\r\nHost: a\r\n\r\n", headers=headers)
    session.get("y")
    assert [asked.target for asked in server.received] == ["/v1/x", "/v1/y"]
    assert server.received[0].headers["host"] == server.host
    assert not {"connection", "upgrade"} & set(server.received[0].headers)


def failing(session: Any, **options: Any) -> Any:
    """The error of a call."""
    with pytest.raises(requests.RequestException) as caught:
        session.get("x", **options)
    return caught.value


def test_errors_are_those_of_requests_and_ours(tmp_path: Path) -> None:
    """Each is catchable as both, names its request, has no context, and can be pickled."""
    settings = {**SHOP, "retries": {**QUICK, "backoff": {"base_seconds": 0.001}}}
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"
    for number, (steps, kind) in enumerate((
        ([READ, cut], requests.exceptions.ChunkedEncodingError),
        ([READ, 10.0], requests.ReadTimeout),
        ([READ], requests.ConnectionError),
    )):  # fmt: skip
        with (
            FaultServer(steps) as server,
            connected(tmp_path / str(number), server.url, settings) as nango,
        ):
            error = failing(nango.session("shop", "u0"), timeout=0.2)
            assert isinstance(error, TransportFailed)
            assert isinstance(error, kind)
            assert error.request.url == f"{server.url}x"
            assert error.__context__ is None
            assert KEY not in repr([error, error.request.headers])
            assert KEY not in repr([frame.f_locals for frame, _ in traceback.walk_tb(error.__traceback__)])
    with connected(tmp_path / "closed", f"http://127.0.0.1:{port}/", settings) as nango:
        session = nango.session("shop", "u0")
        error = failing(session)
        assert type(error).__mro__[2:4] == TransportFailed.__mro__[1:3]
        assert isinstance(error, requests.ConnectionError)
        assert not isinstance(error, requests.Timeout)
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
        assert isinstance(again, TransportFailed)
        assert isinstance(again, requests.ConnectionError)
        assert (str(again), again.reason) == (str(error), "connect")
        nango.delete_connection("shop", "u0")
        assert isinstance(failing(session), ConnectionNotFound)


def test_a_limit_is_an_error_of_requests(tmp_path: Path) -> None:
    """RateLimited of our own budgets, with the moment when the next call is allowed."""
    settings = {
        **SHOP,
        "retries": {"deadline_seconds": 0.5},
        "rate_limits": {"budgets": [{"key": "all", "otherwise": ["1/hour"]}]},
    }
    with a_product(tmp_path, settings) as (nango, _):
        session = nango.session("shop", "u0")
        assert session.get("x").ok
        error = failing(session)
    assert isinstance(error, RateLimited)
    assert error.retry_at > 0
    assert error.response is None


def test_a_full_queue_is_a_connect_timeout(tmp_path: Path) -> None:
    """A host that takes no connection in time raises ConnectTimeout, as in requests."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.settimeout(0)
            filler.connect_ex(server.getsockname())
        base = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with connected(tmp_path, base, retries=QUICK) as nango:
            error = failing(nango.session("shop", "u0"), timeout=(0.2, 5))
        for filler in fillers:
            filler.close()
    assert isinstance(error, requests.ConnectTimeout)
    assert isinstance(error, RequestFailed)


@pytest.mark.parametrize("timeout", [0.2, (None, 0.2), (3, 0.2), urllib3.Timeout(connect=3, read=0.2)])
def test_every_form_of_timeout_is_kept(timeout: Any, tmp_path: Path) -> None:
    """A number, a pair with None, and urllib3's Timeout."""
    with (
        FaultServer([READ, 10.0]) as server,
        connected(tmp_path, server.url, retries=QUICK) as nango,
    ):
        assert isinstance(failing(nango.session("shop", "u0"), timeout=timeout), requests.ReadTimeout)


def test_a_stream_that_breaks_off_raises_what_requests_raises(tmp_path: Path) -> None:
    """ChunkedEncodingError while the body is read."""
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"
    with FaultServer([READ, cut]) as server, connected(tmp_path, server.url) as nango:
        found = nango.session("shop", "u0").get("x", stream=True)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            list(found.iter_content(10))


def test_settings_of_a_session_are_used_or_refused(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is used, also one of the environment; verify=False is refused, and nothing is sent."""
    session, _ = serve(lambda _: {})
    with RecordingServer(lambda _: {"via": "proxy"}) as proxy:
        assert session.get("x", proxies={"http": proxy.url}).json() == {"via": "proxy"}
        monkeypatch.setenv("http_proxy", proxy.url)
        assert session.get("x").json() == {"via": "proxy"}
        assert [asked.headers["authorization"] for asked in proxy.received] == [f"Key {KEY}"] * 2
        session.trust_env = False
        assert session.get("x").json() == {}
        assert len(proxy.received) == 2


def test_an_unchecked_certificate_is_refused(tmp_path: Path) -> None:
    """verify=False is an error that says so; so is a proxy where the host is checked by us."""
    with connected(tmp_path, "https://127.0.0.1:9/", retries=QUICK) as nango:
        session = nango.session("shop", "u0")
        assert isinstance(failing(session, verify=False), InvalidRequest)
        assert isinstance(failing(session), TransportFailed)


def test_an_adapter_is_mounted_in_a_session_of_an_sdk(serve: Any) -> None:
    """Mounting it elsewhere does not send the credentials elsewhere."""
    session, server = serve(lambda _: {})
    own = session.adapter.mount_on(requests.Session())
    assert type(own) is requests.Session
    assert own.get(f"{server.url}v1/x").ok
    with RecordingServer(lambda _: {}) as other:
        own.mount("http://", session.adapter)
        with pytest.raises(InvalidRequest):
            own.get(f"{other.url}x")
        assert other.received == []
    assert server.received[0].headers["authorization"] == f"Key {KEY}"
    with pytest.raises(TypeError, match=r"nango\.session"):
        pickle.dumps(session)
    lookalike = f"http://{server.host}.evil.test/"
    assert type(own.get_adapter(lookalike)) is not requests.adapters.HTTPAdapter
    assert not lookalike.startswith(session.adapter.prefixes)


def test_an_old_host_of_the_api_is_allowed_by_the_blueprint(serve: Any) -> None:
    """`allowed_hosts` names it; its calls spend from the same budgets as those of the new host."""
    with RecordingServer(lambda _: {}) as old:
        requests_block = {**SHOP["requests"], "allowed_hosts": [old.host]}
        session, _ = serve(lambda _: {}, {**SHOP, "requests": requests_block})
        assert session.get(f"{old.url}v1/users/me").ok
        assert old.received[0].headers["authorization"] == f"Key {KEY}"
        assert session.adapter.executor.attempts[-1].endpoint == "users/me"


def test_a_credential_in_the_base_url_is_shown_nowhere(serve: Any) -> None:
    """A session shows *** in its place, also after a redirect that repeats it; the server sees the key."""

    def respond(asked: Received) -> Any:
        if asked.target.endswith("/old"):
            target = f"http://{asked.headers['host']}/v1/bot{KEY}/new"
            return Reply(status=302, headers=(("Location", target),))
        return {}

    session, server = serve(respond, IN_PATH, suffix="bot${api_key}/")
    found = session.get("old")
    assert [asked.target for asked in server.received] == [f"/v1/bot{KEY}/old", f"/v1/bot{KEY}/new"]
    assert found.url == f"{server.url}v1/bot***/new"
    assert KEY not in repr([found.history[0].headers, found.request.url])


def test_hooks_may_send_again(serve: Any) -> None:
    """Digest logins and the like send the request again through `response.connection`."""
    session, server = serve(lambda asked: Reply({}, 401 if "x-again" not in asked.headers else 200))

    def again(found: requests.Response, **options: Any) -> requests.Response:
        if found.status_code != 401:
            return found
        repeated = found.request.copy()
        repeated.headers["X-Again"] = "1"
        return found.connection.send(repeated, **options)

    assert session.get("x", hooks={"response": again}).status_code == 200
    assert len(server.received) == 2
