"""Errors, limits and settings of a session: those of requests, and ours at the same time."""

from __future__ import annotations

import pickle
import socket
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import requests
import urllib3

from nango_py import ConnectionNotFound, InvalidRequest, RateLimited, RequestFailed, TransportFailed
from tests.support.fault_server import READ, FaultServer
from tests.support.recording_server import RecordingServer
from tests.support.sandbox_product import SHOP, a_product
from tests.support.session_product import KEY, QUICK, connected

if TYPE_CHECKING:
    from pathlib import Path


pytest_plugins = ("tests.support.session_fixtures",)
pytestmark = pytest.mark.usefixtures("no_settings_from_the_environment")


def test_a_server_without_tls_is_an_ssl_error(tmp_path: Path) -> None:
    """As in requests, and a TransportFailed with reason tls."""
    with RecordingServer(lambda _: {}) as server:
        base = server.url.replace("http://", "https://")
        with connected(tmp_path, base, retries=QUICK) as nango:
            error = failing(nango.session("shop", "u0"))
    assert isinstance(error, requests.exceptions.SSLError)
    assert isinstance(error, TransportFailed)
    assert error.reason == "tls"


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
