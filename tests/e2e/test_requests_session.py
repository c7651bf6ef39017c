"""nango.session() and nango.adapter(): sessions of requests that send through the engine."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
from typing import TYPE_CHECKING, Any

import pytest
import requests
import urllib3
from requests.auth import HTTPBasicAuth

from nango_py import InvalidRequest, TransportFailed
from nango_py.sandbox import Fault, FaultPlan
from tests.support.fault_server import READ, FaultServer
from tests.support.recording_server import RecordingServer, Reply
from tests.support.sandbox_product import SHOP, a_nango, a_product, key_of
from tests.support.session_product import IN_PATH, IN_QUERY, KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.recording_server import Received


pytest_plugins = ("tests.support.session_fixtures",)
pytestmark = pytest.mark.usefixtures("no_settings_from_the_environment")


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
