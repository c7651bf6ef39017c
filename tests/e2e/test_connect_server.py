"""The connect server on a real socket: every route, every header, mounted and by itself."""

from __future__ import annotations

import http.client
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Match, Mount, Route

from nango_py.server.asgi import ENDPOINTS, make_router
from nango_py.server.static_files import FOLDER
from nango_py.server.uvicorn_server import make_server, open_listener
from tests.support.connect_product import APP, GOOD_KEY, Product, connect_server, notice_of, serving
from tests.support.fake_clock import ManualClock
from tests.support.oauth2_login_provider import consent
from tests.support.provider_server import query_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nango_py import Nango

ROUTES = [
    ("GET", "/connect"),
    ("GET", "/connect/session"),
    ("POST", "/connect/integrations/shop"),
    ("DELETE", "/connect/integrations/shop"),
    ("GET", "/connect/attempts/a1"),
    ("GET", "/oauth/connect/mail"),
    ("POST", "/oauth/connect/mail"),
    ("GET", "/oauth/callback"),
    ("GET", "/oauth/callback/mail"),
    ("POST", "/oauth/choice"),
    ("GET", "/client.json"),
    ("GET", "/static/connect.css"),
    ("GET", "/nango-connect.js"),
    ("GET", "/nowhere"),
]
DATA = [route for route in ROUTES if route[1].startswith("/connect/")]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """One product for the tests that only look."""
    with connect_server(tmp_path_factory.mktemp("product")) as running:
        yield running


def raw(product: Product, method: str, target: str, headers: dict[str, str]) -> tuple[int, Any, bytes]:
    """A request whose Host header is what the test says."""
    parts = urlsplit(product.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    connection.request(method, target, headers={"Host": parts.netloc, **headers})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, response.headers, body


# What users do.


def test_a_user_logs_in(product: Product) -> None:
    """Session, start, consent, callback: the connection works, and the page receives the result."""
    token, visitor = product.session("ada"), product.visitor()
    end = visitor.login(token, "mail", attempt="try-1", origin=APP)
    assert (end.kind, end.origin) == ("ok", APP)
    assert end.message == {
        "source": "nango-connect",
        "type": "AUTHORIZATION_SUCEEDED",
        "integration": "mail",
        "attempt": "try-1",
        "code": "",
        "message": "",
        "missing_scopes": [],
    }
    assert product.nango.executor("mail", "ada").get("things").status_code == 200
    assert visitor.ask("GET", "/connect/attempts/try-1", token).json() == {
        "done": True, "ok": True, "integration": "mail", "code": "", "message": "", "missing_scopes": [],
    }  # fmt: skip


def test_a_user_logs_in_with_oauth_1(product: Product) -> None:
    """The older protocol has no state and works the same way."""
    assert product.visitor().login(product.session("bob"), "bird").kind == "ok"
    assert product.nango.executor("bird", "bob").get("things").status_code == 200


def test_a_user_declines(product: Product) -> None:
    """Nothing is stored, and the page receives the reason."""
    end = product.visitor().login(product.session("cleo"), "mail", "deny")
    assert (end.kind, end.message and end.message["type"]) == ("failed", "AUTHORIZATION_FAILED")
    assert end.message is not None
    assert end.message["code"] == "access_denied"
    assert product.nango.connections_for_user("cleo") == []


def test_a_user_enters_a_key(product: Product) -> None:
    """An invalid key is refused before it is stored; a valid one is stored and can be deleted."""
    token, visitor = product.session("dora"), product.visitor()

    def typed(key: str) -> Any:
        body = {"credentials": {"api_key": key}, "additional_config": {}, "attempt": "k1"}
        return visitor.ask("POST", "/connect/integrations/shop", token, json=body)

    wrong = typed("key_that_is_wrong_1")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "refused")
    assert product.nango.connections_for_user("dora") == []
    empty = typed("")
    assert (empty.status_code, empty.json()["error"]["code"]) == (422, "invalid_credentials")
    assert "api_key" in empty.json()["error"]["fields"]
    assert typed(GOOD_KEY).json() == {"status": "connected", "verified": True, "message": ""}
    offer = visitor.ask("GET", "/connect/session", token).json()["integrations"][2]
    assert (offer["name"], offer["status"]) == ("shop", "connected")
    for _ in range(2):
        gone = visitor.ask("DELETE", "/connect/integrations/shop", token)
        assert (gone.status_code, gone.json()) == (200, {"status": "not_connected"})
    assert product.nango.connections_for_user("dora") == []


def test_a_link_leads_to_the_provider(product: Product) -> None:
    """A plain link redirects; a form gets a page that continues, since CSP would stop a redirect."""
    visitor, token = product.visitor(), product.session("emma")
    link = visitor.ask("GET", f"/oauth/connect/mail?session={token}")
    assert (link.status_code, link.text) == (303, "")
    assert visitor.callback(consent(link.headers["Location"])).status_code == 200
    page = visitor.start(token, "mail")
    assert (page.status_code, "Location" in page.headers) == (200, False)
    assert f'href="{link.headers["Location"].partition("&")[0]}' in page.text.replace("&amp;", "&")


def test_logins_in_two_windows_do_not_interfere(product: Product) -> None:
    """Each login has its own cookie, which is deleted when it ends."""
    visitor, token = product.visitor(), product.session("finn")
    first, second = visitor.login_url(token, "mail"), visitor.login_url(token, "mail")
    assert len(visitor.http.cookies) == 2
    for url in (second, first):
        assert notice_of(visitor.callback(consent(url)).text).kind == "ok"
    assert len(visitor.http.cookies) == 0


def test_a_browser_keeps_few_cookies(product: Product) -> None:
    """Abandoned logins leave few cookies, and the last login works."""
    visitor, token = product.visitor(), product.session("gina")
    urls, most = [], 0
    for _ in range(40):
        urls.append(visitor.login_url(token, "mail"))
        most = max(most, len(visitor.http.cookies))
    assert most == 16
    assert notice_of(visitor.callback(consent(urls[-1])).text).kind == "ok"


def test_a_login_may_start_and_finish_at_different_servers(tmp_path: Path) -> None:
    """Workers and machines share the database and the keys, and nothing else."""
    with connect_server(tmp_path) as product:
        visitor, token = product.visitor(), product.session()
        back = consent(visitor.login_url(token, "mail", attempt="t1"))
        other, listener = product.sibling(), open_listener("127.0.0.1", 0)
        there = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with other, serving(lambda: make_server(other.accounts), listener):
            end = visitor.callback(back.replace(product.url, there))
            assert notice_of(end.text).kind == "ok"
        assert visitor.ask("GET", "/connect/attempts/t1", token).json()["ok"] is True
        assert notice_of(visitor.callback(back).text).kind == "failed"
        assert len(product.provider.exchanges()) == 1


def test_an_error_before_the_login_reaches_the_page(product: Product) -> None:
    """It is shown in the popup and sent to the page, whose origin was checked."""
    visitor, token = product.visitor(), product.session("gil", ["mail"])
    response = visitor.start(token, "shop", attempt="t9", origin=APP)
    notice = notice_of(response.text)
    assert (response.status_code, notice.kind, notice.origin) == (404, "failed", APP)
    assert notice.message is not None
    assert (notice.message["attempt"], notice.message["code"]) == ("t9", "unknown_integration")


def test_an_expired_session_is_refused_everywhere(tmp_path: Path) -> None:
    """Every route that needs a session returns 401 after its expiry, and nothing happens."""
    clock = ManualClock()
    with connect_server(tmp_path, clock=clock) as product:
        token, visitor = product.session(lifetime_seconds=60), product.visitor()
        clock.advance(61)
        for method, path in DATA:
            response = visitor.ask(method, path, token, json={} if method == "POST" else None)
            assert (response.status_code, response.json()["error"]["code"]) == (401, "session_expired")
            assert response.headers["WWW-Authenticate"] == "Bearer"
        response = visitor.start(token, "mail")
        assert (response.status_code, notice_of(response.text).message) == (401, None)
        assert product.provider.authorizations == []


@pytest.mark.parametrize(("method", "path"), DATA)
@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer x", "Basic eDp4", "Bearer a.b.c"])
def test_data_requires_a_session(product: Product, method: str, path: str, authorization: str) -> None:
    """Without a valid token there is no data, whatever is wrong with the token."""
    headers = {"Authorization": authorization, "Content-Type": "application/json"}
    response = product.visitor().ask(method, path, headers=headers, data=b"{}" if method == "POST" else None)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "session_invalid")


# Headers.


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_response_has_security_headers(product: Product, method: str, path: str) -> None:
    """Whatever the status, browsers may do nothing that the page does not need."""
    response = product.visitor().ask(method, path)
    policy = dict(
        part.strip().partition(" ")[::2] for part in response.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert policy["form-action"] == ("'self'" if path == "/connect" else "'none'")
    assert policy["frame-ancestors"] == (APP if path == "/connect" else "'none'")
    assert policy.get("script-src", "'self'") == policy.get("style-src", "'self'") == "'self'"
    assert "unsafe" not in str(policy)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert "camera=()" in response.headers["Permissions-Policy"]
    assert ("X-Frame-Options" in response.headers) == (path != "/connect")
    is_file = response.status_code == 200 and path.startswith(("/static", "/nango"))
    assert response.headers["Cache-Control"] == ("no-cache" if is_file else "no-store")
    assert "Strict-Transport-Security" not in response.headers
    assert "Server" not in response.headers
    is_window = path == "/connect" or path.startswith("/oauth/")
    assert response.headers["Cross-Origin-Opener-Policy"] == ("unsafe-none" if is_window else "same-origin")
    assert policy.get("require-trusted-types-for") == ("'script'" if is_window else None)


def test_https_makes_cookies_secure_and_adds_hsts(tmp_path: Path) -> None:
    """An https root URL makes cookies Secure with the __Host- prefix, and browsers remember it."""
    config = {"oauth_server_root_url": "https://connect.product.test/in", "connect_origins": []}
    with connect_server(tmp_path, config=config) as product:
        headers = {"Host": "connect.product.test", "Sec-Fetch-Site": "same-origin"}
        status, found, _ = raw(product, "GET", "/in/connect", headers)
        assert (status, found["Strict-Transport-Security"]) == (200, "max-age=31536000")
        assert "frame-ancestors 'none'" in found["Content-Security-Policy"]
        assert found["X-Frame-Options"] == "DENY"
        assert found["Cross-Origin-Opener-Policy"] == "unsafe-none"
        status, found, _ = raw(product, "GET", f"/in/oauth/connect/mail?session={product.session()}", headers)
        cookie = found["Set-Cookie"]
        assert re.fullmatch(
            r"__Host-nango-login-[0-9a-f]{16}=[\w-]{43}; Max-Age=600; Path=/; HttpOnly; SameSite=Lax; Secure",
            cookie,
        )
        expected = "https://connect.product.test/in/oauth/callback"
        assert query_of(found["Location"])["redirect_uri"] == expected
        # The whole way through: the callback finds the cookie, and the result goes to the root's origin.
        back = urlsplit(consent(found["Location"]))
        headers["Cookie"] = cookie.partition(";")[0]
        status, found, body = raw(product, "GET", f"{back.path}?{back.query}", headers)
        notice = notice_of(body.decode())
        assert (status, notice.kind, notice.origin) == (200, "ok", "https://connect.product.test")
        assert "Max-Age=0" in found["Set-Cookie"]


def test_only_versioned_urls_are_cached_forever(product: Product) -> None:
    """A file's versioned URL changes with its content; without a version it is revalidated."""
    names = sorted(path.name for path in FOLDER.glob("*.*"))
    visitor = product.visitor()
    assert {"connect.html", "connect.css", "connect.js", "result.js", "nango-connect.js"} <= set(names)
    page = visitor.ask("GET", "/connect").text
    for name, version in re.findall(r'(?:href|src)="static/([a-z.-]+)\?v=([0-9a-f]{12})"', page):
        kept = visitor.ask("GET", f"/static/{name}?v={version}")
        assert (kept.status_code, kept.headers["Cache-Control"]) == (
            200,
            "public, max-age=31536000, immutable",
        )
        assert kept.content == (FOLDER / name).read_bytes()
        old = visitor.ask("GET", f"/static/{name}?v=000000000000")
        assert old.headers["Cache-Control"] == "no-cache"
        again = visitor.ask("GET", f"/static/{name}", headers={"If-None-Match": old.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert 'href="static/connect.css?v=' in page
    for path in (
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/no.js",
        "/static/",
    ):
        assert raw(product, "GET", path, {})[0] == 404


# Other origins.


def test_only_configured_origins_may_read_data(product: Product) -> None:
    """CORS names the origins of `connect_origins` exactly, for data only, without cookies."""
    token, visitor = product.session(), product.visitor()
    for origin in (
        APP,
        "https://evil.test",
        f"{APP}.evil.test",
        "http://app.product.test",
        "null",
        APP.upper(),
    ):
        response = visitor.ask("GET", "/connect/session", token, headers={"Origin": origin})
        assert response.headers["Vary"] == "Origin"
        assert response.headers.get("Access-Control-Allow-Origin") == (APP if origin == APP else None)
        assert "Access-Control-Allow-Credentials" not in response.headers
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        preflight = visitor.ask("OPTIONS", "/connect/integrations/shop", headers=asked)
        assert preflight.status_code == 204
        allowed = preflight.headers.get("Access-Control-Allow-Headers")
        assert allowed == ("authorization, content-type" if origin == APP else None)
    page = visitor.ask("GET", "/connect", headers={"Origin": APP})
    assert "Access-Control-Allow-Origin" not in page.headers


@pytest.mark.parametrize(("method", "path"), [each for each in ROUTES if each[0] != "GET"])
def test_pages_of_other_origins_cannot_change_anything(product: Product, method: str, path: str) -> None:
    """A request that a browser sends for a foreign page is refused, even with a valid session."""
    token = product.session()
    form = {"data": {"session": token}} if "oauth" in path else {"json": {}}
    response = product.visitor().ask(method, path, token, headers={"Origin": "https://evil.test"}, **form)
    assert response.status_code == 403


# Where it is served.


def test_the_prefix_may_be_stripped_by_a_proxy(tmp_path: Path) -> None:
    """The path of the root URL is optional in requests."""
    with connect_server(tmp_path, prefix="/api/nango") as product:
        end = product.visitor().login(product.session(), "mail")
        assert end.kind == "ok"
        assert 'href="/api/nango/static/connect.css' in product.visitor().ask("GET", "/oauth/callback").text
        assert raw(product, "GET", "/api/nango/connect", {})[0] == 200
        assert raw(product, "GET", "/connect", {})[0] == 200
        assert raw(product, "GET", "/api/connect", {})[0] == 404


@pytest.mark.parametrize("prefix", ["/nango", "/connect", "/a/b"])
def test_mounted_in_another_application(tmp_path: Path, prefix: str) -> None:
    """In a product's own Starlette application everything works, and the product's pages are unchanged."""

    def server(nango: Nango) -> uvicorn.Server:
        own = Route("/", lambda _: PlainTextResponse("the product"))
        app = Starlette(routes=[own, Mount(prefix, nango.asgi_app())])
        return uvicorn.Server(uvicorn.Config(app, log_config=None))

    with connect_server(tmp_path, prefix=prefix, server=server) as product:
        visitor, token = product.visitor(), product.session()
        assert visitor.login(token, "mail").kind == "ok"
        assert visitor.ask("GET", "/connect/session", token).status_code == 200
        assert visitor.ask("GET", "/connect").status_code == 200
        status, headers, body = raw(product, "GET", "/", {})
        assert (status, body, "Content-Security-Policy" in headers) == (200, b"the product", False)
        assert visitor.ask("GET", "/nothing").status_code == 404


def test_the_application_supports_lifespan(tmp_path: Path) -> None:
    """The application starts and stops with servers that use ASGI's lifespan."""

    def server(nango: Nango) -> uvicorn.Server:
        return make_server(nango.accounts, lifespan="on")

    with connect_server(tmp_path, server=server) as product:
        assert product.visitor().ask("GET", "/connect").status_code == 200


def test_a_developers_browser_is_redirected_to_the_canonical_host(tmp_path: Path) -> None:
    """Browsers treat localhost and 127.0.0.1 as two sites: cookies of one are not sent to the other."""
    with connect_server(tmp_path) as product:
        port = urlsplit(product.url).port
        status, headers, _ = raw(product, "GET", "/connect", {"Host": f"localhost:{port}"})
        assert (status, headers["Location"]) == (303, f"{product.url}/connect")
        status, headers, _ = raw(product, "GET", "/connect", {"Host": "localhost:1"})
        assert (status, headers["Location"]) == (200, None)


# Methods, types and bounds.


@pytest.mark.parametrize("path", sorted({path for _, path in ROUTES[:-1]}))
def test_unsupported_methods_are_refused(product: Product, path: str) -> None:
    """405 and OPTIONS list the supported methods; HEAD has no body and never starts or finishes a login."""
    visitor = product.visitor()
    for method in ("PUT", "PATCH", "TRACE", "CONNEXION"):
        response = visitor.ask(method, path)
        assert (response.status_code, "Allow" in response.headers) == (405, True)
    assert visitor.ask("OPTIONS", path).headers["Allow"] == response.headers["Allow"]
    head = visitor.ask("HEAD", path)
    has_no_head = path == "/client.json" or "/oauth/" in path or "/connect/" in path
    assert (head.content, head.status_code) == (b"", 405 if has_no_head else 200)


def test_malformed_requests_are_refused(product: Product) -> None:
    """Wrong types, broken or deep JSON, unknown or repeated fields: 4xx, and nothing happens."""
    token, visitor = product.session("hal"), product.visitor()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    typed = {"Content-Type": "application/json"}
    wrong: list[tuple[str, dict[str, str], bytes, int]] = [
        ("/connect/integrations/shop", form, b"a=1", 415),
        ("/connect/integrations/shop", typed, b"{", 400),
        ("/connect/integrations/shop", typed, b"[]", 400),
        ("/connect/integrations/shop", typed, b"\xff\xfe", 400),
        ("/connect/integrations/shop", typed, b"[" * 60_000, 400),
        ("/connect/integrations/shop", typed, b'{"credentials": ' + b'{"a":' * 50 + b"1" + b"}" * 51, 400),
        ("/connect/integrations/shop", typed, b'{"credentials": []}', 400),
        ("/connect/integrations/shop", typed, b'{"user_id": "victim"}', 400),
        ("/connect/integrations/shop", typed, b'{"attempt": "../x"}', 400),
        ("/connect/integrations/shop", typed, b'{"attempt": 1}', 400),
        ("/connect/integrations/shop", typed, b'{"credentials": {"api_key": "\\ud800"}}', 422),
        ("/oauth/connect/mail", typed, b"{}", 415),
        ("/oauth/connect/mail", form, f"session={token}&session=x".encode(), 400),
        ("/oauth/connect/mail", form, f"session={token}&config=[]".encode(), 400),
        ("/oauth/connect/mail", form, f"session={token}&config=%7B%22x%22:%221%22%7D".encode(), 422),
        ("/oauth/connect/mail", form, b"&".join(b"a%d=1" % number for number in range(500)), 400),
    ]
    for path, headers, body, status in wrong:
        assert visitor.ask("POST", path, token, headers=headers, data=body).status_code == status, body[:60]
    assert product.nango.connections_for_user("hal") == []


def test_the_size_of_bodies_is_limited(product: Product) -> None:
    """More than 64 KiB is refused, with a Content-Length and without one."""
    token, visitor = product.session(), product.visitor()
    path, big = "/connect/integrations/shop", b" " * 70_000
    assert visitor.ask("POST", path, token, data=big).status_code == 413
    assert visitor.ask("POST", path, token, data=iter([big])).status_code == 413
    body = json.dumps({"credentials": {"api_key": "x" * 60_000}}).encode()
    typed = {"Content-Type": "application/json"}
    assert visitor.ask("POST", path, token, headers=typed, data=body).status_code == 422


def test_errors_are_html_for_browsers_and_json_for_scripts(product: Product) -> None:
    """An unknown address gets a page if the client accepts HTML, else JSON."""
    visitor = product.visitor()
    page = visitor.ask("GET", "/nowhere", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (page.status_code, page.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert visitor.ask("GET", "/nowhere").json()["error"]["code"] == "not_found"
    assert visitor.ask("GET", "/oauth/callback").headers["Content-Type"] == "text/html; charset=utf-8"


def test_every_route_is_tested_here() -> None:
    """The table of this file names each endpoint with each of its methods."""
    tested = set()
    for method, path in ROUTES:
        scope = {"type": "http", "method": method, "path": path}
        matches = [route.matches(scope) for route in make_router("").routes]
        tested |= {(child["endpoint"], method) for match, child in matches if match is Match.FULL}
    expected = {
        (endpoint, method)
        for endpoint in ENDPOINTS.values()
        for method in endpoint.handlers.keys() - {"HEAD"}
    }
    assert tested == expected
