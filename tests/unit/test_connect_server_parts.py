"""The parts of the connect server that need no socket: hosts and origins, cookies, pace, paths, pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.routing import Match

from nango_py.config.model import Config
from nango_py.connect.outcome import LoginOutcome
from nango_py.errors import CONNECT_CODES
from nango_py.server.asgi import ENDPOINTS, make_router, visible_root_path
from nango_py.server.cookies import find_browser, hash_browser, new_browser, set_cookie
from nango_py.server.login_pages import Pages
from nango_py.server.origins import PublicAddress, make_public_address
from nango_py.server.responses import make_refusal
from nango_py.server.security_headers import cors_headers, security_headers
from nango_py.server.site import MAX_BUCKETS, Throttle
from nango_py.server.static_files import StaticFiles
from tests.support.connect_product import notice_of
from tests.support.fake_clock import ManualClock

APP = "https://app.product.test"
ROOT = Path(__file__).resolve().parents[2]


def address(root: str, hosts: tuple[str, ...] = (), origins: tuple[str, ...] = (APP,)) -> PublicAddress:
    """The doors of a `config:`."""
    return make_public_address(
        Config(oauth_server_root_url=root, connect_hosts=hosts, connect_origins=origins)
    )


@pytest.mark.parametrize(
    ("root", "origin", "prefix"),
    [
        ("https://Product.test", "https://product.test", ""),
        ("https://product.test/", "https://product.test", ""),
        ("https://product.test:443/a/b/", "https://product.test", "/a/b"),
        ("https://product.test:8443/a", "https://product.test:8443", "/a"),
        ("http://localhost:3003", "http://localhost:3003", ""),
        ("http://localhost:80/x", "http://localhost", "/x"),
        ("http://[::1]:3003", "http://[::1]:3003", ""),
    ],
)
def test_the_root_url_determines_origin_and_prefix(root: str, origin: str, prefix: str) -> None:
    """The origin is written as browsers write it: in lower case, without the default port."""
    found = address(root)
    assert (found.root, found.prefix) == (origin, prefix)


def test_own_hosts_come_from_the_configuration() -> None:
    """They are the root's name with any port, further names and exact hosts, and on loopback its names."""
    public = address("https://product.test", ("internal", "other.test:8080"))
    for host in ("product.test", "PRODUCT.test:8443", "internal", "internal:1", "other.test:8080"):
        assert public.is_own_host(host), host
    for host in (
        "localhost",
        "127.0.0.1",
        "other.test",
        "other.test:1",
        "product.test.evil",
        "xproduct.test",
        "",
    ):
        assert not public.is_own_host(host), host
    local = address("http://localhost:3003")
    assert all(local.is_own_host(host) for host in ("localhost:3003", "127.0.0.1:9", "[::1]:3003"))
    assert not local.is_own_host("127.0.0.2")


def test_the_host_header_matters_only_on_loopback() -> None:
    """Elsewhere the request does not influence which origin receives a result."""
    assert address("https://product.test", ("internal",)).own_origin("internal") == "https://product.test"
    assert address("http://localhost:3003").own_origin("127.0.0.1:8000") == "http://127.0.0.1:8000"
    assert address("http://localhost:3003").own_origin("evil.test") == "http://localhost:3003"


def test_origins_are_compared_exactly() -> None:
    """The session's origin, else the configured ones, and our own pages are trusted, and nothing similar."""
    found = address("https://product.test", origins=(APP, "https://b.test"))
    assert found.may_receive_result(APP)
    assert found.may_receive_result("https://product.test")
    assert found.may_receive_result(APP, session_origin=APP)
    assert not found.may_receive_result("https://b.test", session_origin=APP)
    for origin in ("", "null", f"{APP}/", f"{APP}:443", APP.upper(), "https://product.test.evil", "*"):
        assert not found.may_receive_result(origin), origin
        assert cors_headers(origin, found) == {}
    assert cors_headers(APP, found)["Access-Control-Allow-Origin"] == APP


@pytest.mark.parametrize(
    ("prefix", "root_path", "path", "expected"),
    [
        ("", "", "/connect", "/connect"),
        ("/nango", "", "/nango/connect/session", "/connect/session"),
        ("/nango", "", "/connect/session", "/connect/session"),
        ("/nango", "/nango", "/nango/oauth/callback", "/oauth/callback"),
        ("/a/nango", "/nango", "/nango/oauth/callback", "/oauth/callback"),
        ("/nango", "", "/nango/other", "/nango/other"),
        ("/nango", "", "/nangox/connect", "/nangox/connect"),
        ("/connect", "", "/connect/connect/session", "/connect/session"),
        ("/connect", "", "/connect/session", "/connect/session"),
        ("/connect", "/connect", "/connect/connect/session", "/connect/session"),
    ],
)
def test_starlette_finds_the_endpoint_below_any_root(
    prefix: str, root_path: str, path: str, expected: str
) -> None:
    """Served directly, mounted, or behind a proxy that strips the prefix: the endpoint is the same."""
    scope = {"type": "http", "method": "GET", "path": path, "root_path": root_path}
    scope["root_path"] = visible_root_path(scope)
    routes = make_router(prefix).routes
    matches = [route.matches(scope) for route in routes]
    endpoints = [child["endpoint"] for match, child in matches if match is Match.FULL]
    assert endpoints[:1] == ([ENDPOINTS[expected]] if expected in ENDPOINTS else [])


def test_a_callback_finds_the_cookie_of_its_login() -> None:
    """It is found by the state of OAuth 2, or by the token of OAuth 1.0a."""
    secure = address("https://product.test")
    first, second = new_browser(), new_browser()
    jar = {}
    for url, value in (("https://a.test/?state=s1&x=1", first), ("https://b.test/?oauth_token=t2", second)):
        name, _, rest = set_cookie(url, value, secure).partition("=")
        jar[name] = rest.partition(";")[0]
    assert len(jar) == 2
    assert find_browser({"state": "s1", "code": "c"}, jar, secure)[0] == first
    assert find_browser({"state": "s9", "oauth_token": "t2", "oauth_verifier": "v"}, jar, secure)[0] == second
    for query in ({"state": "s2"}, {"oauth_token": "t1"}, {"code": "s1"}, {}, {"state": "\ud800"}):
        assert find_browser(query, jar, secure) == ("", "")
    assert "Max-Age=0" in find_browser({"state": "s1"}, jar, secure)[1]


def test_only_the_hash_of_a_cookie_is_stored() -> None:
    """Values of 256 bits are hashed; anything else is refused."""
    value = new_browser()
    assert len(value) == 43
    assert value not in hash_browser(value)
    assert len(hash_browser(value)) == 64
    assert hash_browser("") == hash_browser("x") == hash_browser(value + "=") == hash_browser("é" * 43) == ""


def test_each_session_has_its_own_token_bucket() -> None:
    """After ten at once the eleventh waits six seconds, and another session does not."""
    clock = ManualClock()
    throttle = Throttle(clock, 10)
    assert [throttle.acquire("a") for _ in range(10)] == [0.0] * 10
    assert throttle.acquire("a") == pytest.approx(6.0)
    assert throttle.acquire("b") == 0.0
    clock.advance(5.9)
    assert throttle.acquire("a") == pytest.approx(0.1)
    clock.advance(0.2)
    assert throttle.acquire("a") == 0.0
    assert throttle.acquire("a") > 0
    clock.advance(600)
    assert [throttle.acquire("a") for _ in range(11)][-1] == pytest.approx(6.0)


def test_the_throttle_has_bounded_memory() -> None:
    """A hundred thousand sessions leave memory flat, and active ones are not forgotten."""
    throttle = Throttle(ManualClock(), 2)
    for number in range(100_000):
        throttle.acquire(f"session-{number}")
        throttle.acquire("busy")
    assert len(throttle) == MAX_BUCKETS
    assert throttle.acquire("busy") > 0


def test_pages_insert_values_as_text() -> None:
    """Whatever titles, messages, codes, products and URLs contain, the elements are those of the page."""
    odd = "</script><b>\"'>&amp;{message}{0}%s"
    pages = Pages(StaticFiles(), "/nango", Config(product_name=odd))
    failed = LoginOutcome(False, odd, odd, APP, odd, odd, odd, (odd,))  # noqa: FBT003 - ok
    message = {
        "source": "nango-connect",
        "type": "AUTHORIZATION_FAILED",
        "integration": odd,
        "attempt": odd,
        "code": odd,
        "message": odd,
        "missing_scopes": [odd],
    }
    for html in (
        pages.result(failed, odd),
        pages.result(LoginOutcome(True, odd, odd), odd),  # noqa: FBT003 - ok
        pages.error(odd, odd),
        pages.confirm(odd, "https://a.test/", odd),
        pages.redirect(odd, f"https://a.test/?x={odd}"),
    ):
        notice = notice_of(html)
        assert "b" not in notice.tags
        assert notice.tags.count("script") == (1 if notice.message else 0)
        assert notice.message in (None, message)
        assert odd.partition("{")[0] in notice.text or notice.kind == "leaving"
    assert notice.next_url == f"https://a.test/?x={odd}"


def test_an_unexpected_error_is_only_referred_to(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the response nor the log has the text of a foreign exception; both have the same reference."""
    refusal = make_refusal(KeyError("pk_live_secret"))
    assert (refusal.status, refusal.code) == (500, "mistake")
    assert "pk_live" not in f"{refusal.message} {caplog.text}"
    assert refusal.message.split()[-1] in caplog.text
    assert "KeyError" in caplog.text


def test_no_policy_allows_inline_code() -> None:
    """Each policy starts with default-src 'none', and HSTS is sent with https only."""
    for kind in ("page", "notice", "data", "script"):
        local = security_headers(kind, address("http://localhost:3003"))  # type: ignore[arg-type]  # a literal
        assert local["Content-Security-Policy"].startswith("default-src 'none'")
        assert "unsafe" not in local["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in local
    assert "Strict-Transport-Security" in security_headers("data", address("https://product.test"))


def test_too_many_attempts_have_status_429() -> None:
    """The throttle's code has its status wherever codes are looked up."""
    assert CONNECT_CODES["too_many"] == 429


def test_every_error_code_is_documented() -> None:
    """Codes of the server beyond those of logins are in the table of docs/connect.md."""
    said = "".join(path.read_text() for path in (ROOT / "nango_py" / "server").glob("*.py"))
    codes = set(re.findall(r'Refusal\(\s*\d+, "(\w+)"', said)) - CONNECT_CODES.keys()
    page = (ROOT / "docs" / "connect.md").read_text()
    rows = "".join(
        line.partition("|")[2].partition("|")[0] for line in page.splitlines() if line.startswith("| `")
    )
    assert codes == set(re.findall(r"`(\w+)`", rows)) & codes
    assert len(codes) >= 8
