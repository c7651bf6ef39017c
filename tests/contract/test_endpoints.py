"""`endpoints` and `requests.bases`, by both executors over sockets: what differs for some requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConfigError, InvalidRequest, TransportFailed
from tests.support.both_executors import EXECUTORS, open_product
from tests.support.recording_server import RecordingServer, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py import Nango
    from tests.support.recording_server import Received

KEY = "key_test_12345678"
OTHER = "other_test_87654321"


def respond(received: Received) -> Any:
    """An API that fails at paths that end in `flaky`."""
    if received.target.partition("?")[0].endswith("flaky"):
        return Reply({"error": "busy"}, 503)
    return {"path": received.target}


@pytest.fixture
def servers() -> Iterator[tuple[RecordingServer, RecordingServer]]:
    """The API, and its host for content."""
    with RecordingServer(respond) as api, RecordingServer(respond) as content:
        yield api, content


def entry_of(api: RecordingServer, content: RecordingServer, *endpoints: Any) -> dict[str, Any]:
    """An integration with both."""
    return {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {
            "base_url": f"{api.url}v1/",
            "bases": {"content": f"{content.url}up/"},
            "headers": {"Authorization": "Bearer ${api_key}", "X-Version": "1"},
            "params": {"locale": "en", "format": "full"},
        },
        "retries": {"max_attempts": 2, "backoff": {"base_seconds": 0.001}},
        "connection_config": {"properties": {"plan": {"type": "string"}}},
        "endpoints": list(endpoints),
    }


UPLOADS = {"match": {"path": "files/**"}, "base": "content"}


@EXECUTORS
def test_an_endpoint_has_its_own_base(run: Any, servers: Any) -> None:
    """The blueprint sends some paths to another host, with the credentials; callers need not know."""
    api, content = servers
    with open_product(entry_of(api, content, UPLOADS), credentials={"api_key": KEY}) as nango:
        assert run(nango, lambda shop: shop.get("files/a/b")).json() == {
            "path": "/up/files/a/b?locale=en&format=full"
        }
        assert run(nango, lambda shop: shop.get("orders")).json() == {
            "path": "/v1/orders?locale=en&format=full"
        }
    assert [one.headers["authorization"] for one in (*api.received, *content.received)] == [
        f"Bearer {KEY}"
    ] * 2


@EXECUTORS
def test_a_caller_may_name_a_base(run: Any, servers: Any) -> None:
    """`at()` sends to a base, whatever the endpoints say; a whole URL below a base is sent there too."""
    api, content = servers
    with open_product(entry_of(api, content, UPLOADS), credentials={"api_key": KEY}) as nango:
        run(nango, lambda shop: shop.at("content").get("orders"))
        run(nango, lambda shop: shop.get(f"{content.url}up/orders"))
        run(nango, lambda shop: shop.get(f"{api.url}v1/orders"))
        with pytest.raises(InvalidRequest):
            run(nango, lambda shop: shop.get(f"{content.url}elsewhere/orders"))
        for name in ("contents", "", "content/..", None, 7, b"content", ["content"]):
            with pytest.raises(InvalidRequest, match="content"):
                run(nango, lambda shop, base=name: shop.at(base).get("orders"))
    assert [one.target.partition("?")[0] for one in content.received] == ["/up/orders"] * 2
    assert [one.target.partition("?")[0] for one in api.received] == ["/v1/orders"]


def test_the_executor_of_a_base_is_its_own(servers: Any) -> None:
    """It has its base URL and its last call; the first executor is as it was."""
    api, content = servers
    with open_product(entry_of(api, content), credentials={"api_key": KEY}) as nango:
        shop = nango.executor("shop", "u")
        files = shop.at("content")
        assert (shop.base_url, files.base_url) == (f"{api.url}v1/", f"{content.url}up/")
        files.get("a")
        assert (len(shop.attempts), len(files.attempts)) == (0, 1)
        assert str(files.plan("GET", "a")).startswith(f"GET {content.url}up/a")
        assert files.at("content").base_url == files.base_url


@EXECUTORS
def test_headers_and_parameters_are_merged(run: Any, servers: Any) -> None:
    """The first entry that names a header decides it; what no entry names stays; callers may override."""
    api, content = servers
    endpoints = (
        {"match": {"method": "GET", "path": "orders"}, "headers": {"x-version": "3"}},
        {
            "match": {"path": "orders"},
            "headers": {"X-Version": "2", "X-More": "1"},
            "params": {"format": "s"},
        },
        {"match": {"config": {"plan": "pro"}}, "headers": {"X-Plan": "${additional_config.plan}"}},
    )
    entry = entry_of(api, content, *endpoints)
    connection = {"credentials": {"api_key": KEY}, "additional_config": {"plan": "pro"}}
    with open_product(entry, **connection) as nango:
        run(nango, lambda shop: shop.get("orders"))
        run(nango, lambda shop: shop.post("orders", params={"format": "own"}, headers={"X-More": "own"}))
        run(nango, lambda shop: shop.get("others"))
    found = [
        tuple(one.headers.get(name) for name in ("x-version", "x-more", "x-plan")) for one in api.received
    ]
    assert found == [("3", "1", "pro"), ("2", "own", "pro"), ("1", None, "pro")]
    assert [one.target.partition("?")[2] for one in api.received] == [
        "locale=en&format=s",
        "locale=en&format=own",
        "locale=en&format=full",
    ]


@EXECUTORS
def test_a_post_that_only_reads_may_be_repeated(run: Any, servers: Any) -> None:
    """`safe: true` sends it again after a 503; the control is the same POST without it."""
    api, content = servers
    endpoint = {"match": {"path": "search/flaky", "body": {"kind": "query"}}, "safe": True}
    with open_product(entry_of(api, content, endpoint), credentials={"api_key": KEY}) as nango:
        run(nango, lambda shop: shop.post("search/flaky", json={"kind": "query"}))
        assert len(api.received) == 2
        run(nango, lambda shop: shop.post("search/flaky", json={"kind": "change"}))
        assert len(api.received) == 3


def test_timeouts_of_an_endpoint(servers: Any) -> None:
    """They replace those of `requests`, within the time for an attempt; the caller's go first."""
    endpoint = {"match": {"path": "reports/**"}, "timeout_seconds": {"read": 80}}
    other = {"match": {"path": "huge"}, "timeout_seconds": {"connect": 7, "read": 300}}
    with open_product(entry_of(*servers, endpoint, other), credentials={"api_key": KEY}) as nango:
        shop = nango.executor("shop", "u")
        plans = [shop.plan("GET", path) for path in ("orders", "reports/7", "huge")]
        assert [(plan.connect_seconds, plan.read_seconds) for plan in plans] == [(5, 30), (5, 80), (7, 100)]
        assert shop.plan("GET", "reports/7", timeout=3).read_seconds == 3


SECRET_ENDPOINT = {
    "match": {"path": "admin/**"},
    "headers": {"X-Admin-Key": "${app_api_key}"},
    "params": {"signed": "${api_key | sha256}"},
}


@EXECUTORS
def test_credentials_of_an_endpoint_stay_hidden(run: Any, servers: Any) -> None:
    """Headers and parameters with a secret are masked, and callers cannot replace them."""
    api, content = servers
    entry = {**entry_of(api, content, SECRET_ENDPOINT), "app_api_key": OTHER}
    with open_product(entry, credentials={"api_key": KEY}) as nango:
        plan = nango.executor("shop", "u").plan(
            "GET", "admin/a", headers={"X-Admin-Key": "own"}, params={"signed": "own"}
        )
        assert plan.headers["x-admin-key"] == ("X-Admin-Key", OTHER)
        assert "signed=own" not in plan.url
        assert "signed=" in plan.url
        hidden = plan.url.partition("signed=")[2].partition("&")[0]
        for text in (str(plan), repr(plan), str(nango.executor("shop", "u").plan("GET", f"a/{hidden}"))):
            assert OTHER not in text
            assert hidden not in text
        assert hidden == run(nango, lambda shop: shop.get("admin/b")).json()["path"].partition("signed=")[2]
        # The control: an endpoint without the header does not send it.
        run(nango, lambda shop: shop.get("orders"))
        assert "x-admin-key" not in api.received[-1].headers


@EXECUTORS
def test_a_redirect_to_another_base_keeps_its_names(run: Any) -> None:
    """Between bases redirects are followed with the credentials; a host outside is not."""
    with RecordingServer(lambda one: {"at": one.target}) as content:
        locations = [f"{content.url}up/x", "https://other.invalid/x"]

        def redirect(_: Received) -> Reply:
            return Reply(None, 302, (("Location", locations[len(api.received) - 1]),))

        with (
            RecordingServer(redirect) as api,
            open_product(entry_of(api, content), credentials={"api_key": KEY}) as nango,
        ):
            assert run(nango, lambda shop: shop.get("a")).json() == {"at": "/up/x"}
            assert run(nango, lambda shop: shop.get("a")).status_code == 302
        assert content.received[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_base_of_a_user_is_guarded(servers: Any) -> None:
    """A base whose host users name may not be a private address, as base_url may not."""
    api, content = servers
    entry = entry_of(api, content)
    entry["requests"]["bases"] = {"own": "https://${additional_config.host}/x/"}
    entry["connection_config"] = {"properties": {"host": {"type": "string", "format": "host"}}}
    connection = {"credentials": {"api_key": KEY}, "additional_config": {"host": "localhost:1"}}
    with open_product(entry, **connection) as nango, pytest.raises(TransportFailed) as caught:
        nango.executor("shop", "u").at("own").get("a")
    assert caught.value.reason == "blocked"


def test_bases_are_checked_like_base_url(servers: Any) -> None:
    """Plain http, a host of the user's choice, and a secret that would go there are refused at load."""
    api, content = servers
    for url, code in [
        ("http://files.example.test/", "E302"),
        ("https://${additional_config.plan}/", "E304"),
        ("ftp://files.example.test/", "E301"),
    ]:
        entry = entry_of(api, content)
        entry["requests"]["bases"]["content"] = url
        with pytest.raises(ConfigError, match=code), open_product(entry) as nango:
            _ = nango.configuration
    entry = {**entry_of(api, content, SECRET_ENDPOINT), "app_api_key": OTHER}
    entry["requests"]["bases"] = {"own": "https://${additional_config.host}/x/"}
    entry["connection_config"] = {"properties": {"host": {"type": "string", "format": "host"}}}
    with pytest.raises(ConfigError, match="E322") as caught, open_product(entry) as nango:
        _ = nango.configuration
    assert OTHER not in str(caught.value)


def session_of(nango: Nango) -> Any:
    """The requests session of user `u`."""
    return nango.session("shop", "u")


def test_libraries_reach_every_base(servers: Any) -> None:
    """A URL below a base is sent there, with what the blueprint says of its endpoint."""
    api, content = servers
    endpoint = {"match": {"path": "files/**"}, "base": "content", "headers": {"X-Version": "9"}}
    with open_product(entry_of(api, content, endpoint), credentials={"api_key": KEY}) as nango:
        session = session_of(nango)
        session.get(f"{content.url}up/files/1")
        session.get(f"{api.url}v1/orders")
    assert [one.headers["x-version"] for one in content.received] == ["9"]
    assert content.received[0].target.startswith("/up/files/1?")
    assert len(api.received) == 1
