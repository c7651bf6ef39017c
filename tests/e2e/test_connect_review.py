"""What a second look at the connect server asked: odd addresses, keys, mounts, bodies and browsers."""

from __future__ import annotations

import contextlib
import html
import http.client
import json
import os
import secrets
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from nango_py import Nango
from nango_py.connections.keys import add_key
from nango_py.connections.rotation import replace_key
from nango_py.errors import ConfigError, TransportFailed
from nango_py.protocols.token_responses import MAX_DEPTH
from nango_py.server.uvicorn_server import make_server, open_listener
from tests.support.connect_product import GOOD_KEY, Product, Visitor, connect_server, notice_of, serving
from tests.support.fake_clock import ManualClock
from tests.support.fault_server import READ, FaultServer, response
from tests.support.oauth2_login_provider import LoginProvider, consent
from tests.support.provider_grants import CLIENT_SECRET
from tests.support.provider_server import ProviderResponse, query_of
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
OPEN = {"auth": {"auth_mode": "NONE"}, "requests": {"base_url": "https://api.example.test/"}}
OAUTH = {
    "auth": {
        "auth_mode": "OAUTH2",
        "authorization_url": "https://login.example.test/authorize",
        "token_url": "https://login.example.test/token",
    },
    "oauth_client_id": "id",
    "oauth_client_secret": "secret",
    "requests": {"base_url": "https://api.example.test/"},
}


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    """A separate product for each test."""
    with connect_server(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    ("root", "app", "heard"),
    [
        ("https://Connect.Product.TEST", "https://App.Product.TEST", "https://app.product.test"),
        ("https://connect.product.test:443", "https://app.product.test:443", "https://app.product.test"),
    ],
)
def test_configured_origins_are_normalized(tmp_path: Path, root: str, app: str, heard: str) -> None:
    """Browsers write an origin in lower case and without the default port; the files need not."""
    config = {"oauth_server_root_url": root, "connect_origins": [app], "connect_hosts": ["127.0.0.1"]}
    with connect_server(tmp_path, config=config) as product:
        visitor, token = product.visitor(), product.session()
        for origin in (heard, "https://connect.product.test", ""):
            response = visitor.start(token, "mail", origin=origin)
            assert (response.status_code, notice_of(response.text).kind) == (200, "leaving")
        asked = visitor.ask("GET", "/connect/session", token, headers={"Origin": heard})
        assert asked.headers.get("Access-Control-Allow-Origin") == heard
        assert heard in asked.json()["origins"]


@pytest.mark.parametrize("origin", [{"Origin": "null"}, {}])
def test_a_foreign_page_without_an_origin_cannot_start_a_login(
    product: Product, origin: dict[str, str]
) -> None:
    """A foreign form may send the origin `null`; Sec-Fetch-Site still says that it is foreign."""
    token = product.session()
    codes = {}
    for site in ("cross-site", "same-site", "same-origin", "none"):
        said = {**origin, "Sec-Fetch-Site": site}
        response = product.visitor().ask("POST", "/oauth/connect/mail", data={"session": token}, headers=said)
        codes[site] = response.status_code, "Set-Cookie" in response.headers
    refused = (403, False)
    began = (200, True)
    assert codes == {"cross-site": refused, "same-site": refused, "same-origin": began, "none": began}


def test_a_link_on_a_foreign_page_needs_a_click(product: Product) -> None:
    """A page that sends its visitors here with its own session gets no account without their click."""
    params = {"session": product.session(user_label="<b>mallory</b>")}
    visitor = product.visitor()
    for site, status in (("none", 303), ("same-site", 200), ("cross-site", 200)):
        headers = {"Sec-Fetch-Site": site}
        response = visitor.ask("GET", "/oauth/connect/mail", params=params, headers=headers)
        assert response.status_code == status
    page = notice_of(response.text)
    assert (page.kind, page.next_url) == ("leaving", "")
    assert "connect your account for <b>mallory</b>" in page.text
    link = html.unescape(response.text.partition('class="button" href="')[2].partition('"')[0])
    assert notice_of(visitor.callback(consent(link)).text).kind == "ok"


def test_a_reloaded_result_page_does_not_claim_a_failure(product: Product) -> None:
    """Tabs are restored and pages reloaded; the second response does not know how the login ended."""
    visitor = product.visitor()
    back = consent(visitor.login_url(product.session(), "mail"))
    assert "Not connected" not in visitor.callback(back).text
    again = visitor.callback(back)
    assert (again.status_code, notice_of(again.text).kind) == (400, "failed")
    assert "Not connected" not in again.text
    assert "already ended" in again.text


def test_a_login_works_across_a_key_rotation(tmp_path: Path) -> None:
    """A login started by a process with a new key may finish at one that has not reread the key file."""
    with connect_server(tmp_path, encryption_keys=None) as product:
        assert product.visitor().login(product.session(), "mail").kind == "ok"
        add_key(tmp_path)
        listener = open_listener("127.0.0.1", 0)
        with product.sibling() as other, serving(lambda: make_server(other.accounts), listener):
            other.store.rotate()
            visitor = product.visitor()
            visitor.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            token = other.connect_session("user-2").token.reveal()
            back = consent(visitor.login_url(token, "mail"))
            assert notice_of(visitor.callback(back).text).kind == "ok"


def test_logins_and_links_survive_a_key_rotation(tmp_path: Path) -> None:
    """`nango keys rotate` beside a running server: both can read what either creates afterwards."""
    with connect_server(tmp_path, encryption_keys=None) as product:
        visitor = product.visitor()
        assert visitor.login(product.session(), "mail").kind == "ok"
        with product.sibling() as other:
            replace_key(other.store, tmp_path)
            token = product.session("user-2")
            assert other.read_session(token).user_id == "user-2"
            assert visitor.login(token, "mail").kind == "ok"
            for number in range(2):
                token = other.connect_session(f"user-{number}").token.reveal()
                assert visitor.login(token, "mail").kind == "ok"


def test_a_connection_that_cannot_be_decrypted_can_be_replaced(product: Product, tmp_path: Path) -> None:
    """Such a connection is shown as one to connect again, and hides no other integration."""
    visitor, token = product.visitor(), product.session()
    typed = {"credentials": {"api_key": GOOD_KEY}}
    assert visitor.ask("POST", "/connect/integrations/shop", token, json=typed).status_code == 200
    assert visitor.login(token, "mail").kind == "ok"
    with contextlib.closing(sqlite3.connect(tmp_path / "nango.db")) as database, database:
        database.execute("UPDATE nango_connections SET status = 'needs_reauth' WHERE integration = 'shop'")
    response = visitor.ask("GET", "/connect/session", token)
    assert response.status_code == 200
    status = {offer["name"]: offer["status"] for offer in response.json()["integrations"]}
    assert status == {"mail": "connected", "bird": "not_connected", "shop": "needs_reauth"}
    again = visitor.ask("POST", "/connect/integrations/shop", token, json=typed)
    assert again.status_code == 200
    assert visitor.ask("DELETE", "/connect/integrations/shop", token).status_code == 200


@pytest.mark.parametrize("depth", [40, 900, 930, 960, 990, 5000, 10_000])
def test_deeply_nested_json_is_a_bad_request(product: Product, depth: int) -> None:
    """Bodies that exceed the recursion limit are refused with 400."""
    visitor, token = product.visitor(), product.session()
    nested = "[" * depth + "]" * depth
    headers = {"Content-Type": "application/json"}
    body = f'{{"credentials":{nested}}}'
    response = visitor.ask("POST", "/connect/integrations/shop", token, data=body, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_request")
    assert visitor.start(token, "mail", config=f'{{"x":{nested}}}').status_code in {400, 422}


def test_a_session_may_name_many_integrations(tmp_path: Path) -> None:
    """Proxies accept its token, every token can be read, and one that is too long is never created."""
    faces = "\N{GRINNING FACE}" * 256
    with connect_server(tmp_path, integrations={f"integration-{n}": OPEN for n in range(1000)}) as product:
        token = product.session(faces, user_label=faces)
        assert len(token) < 8000
        response = product.visitor().ask("GET", "/connect/session", token)
        assert len(response.json()["integrations"]) == 1003
    random = {f"x{secrets.token_hex(30)}": OPEN for _ in range(800)}
    with Nango({"integrations": random}, database_url="sqlite:///:memory:", environ={}) as nango:
        some = list(random)[:100]
        assert nango.read_session(nango.connect_session("user-1", some).token.reveal()).integrations == (
            *some,
        )
        with pytest.raises(ValueError, match="800 integrations"):
            nango.connect_session("user-1")


def test_mounted_below_a_root_path_that_a_proxy_stripped(tmp_path: Path) -> None:
    """An application that knows its proxy's prefix, as with FastAPI(root_path=...), can be mounted on."""

    def server(nango: Nango) -> uvicorn.Server:
        inner = Starlette(routes=[Mount("/nango", nango.asgi_app())])

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await inner({**scope, "root_path": "/api"}, receive, send)

        return uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))

    with connect_server(tmp_path, prefix="/api/nango", server=server) as product:
        address = urlsplit(product.url)
        for path, status in (("/nango/connect", 200), ("/api/nango/connect", 200), ("/connect", 404)):
            connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
            connection.request("GET", path)
            assert connection.getresponse().status == status, path
            connection.close()


def test_invalid_numbers_are_user_errors(tmp_path: Path) -> None:
    """NaN and infinity are not valid levels."""
    config = {"type": "object", "properties": {"level": {"type": "number", "minimum": 1}}}
    with connect_server(tmp_path, integrations={"levels": {**OAUTH, "connection_config": config}}) as product:
        visitor, token = product.visitor(), product.session()
        for value in ("NaN", "Infinity", "1e999", "-Infinity", "true", "[]"):
            response = visitor.start(token, "levels", config=f'{{"level":{value}}}')
            message = notice_of(response.text).message
            assert message is not None
            assert (response.status_code, message["code"]) == (422, "invalid_credentials"), value
        for value in ("2", '"2"'):  # a form sends text
            assert visitor.start(token, "levels", config=f'{{"level":{value}}}').status_code == 200


def self_hosted(auth: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An integration whose users name the host, with a secret of the product."""
    host = "http://${additional_config.host}"
    field = {"type": "string", "format": "host", **more.pop("field", {})}
    requests = {"base_url": f"{host}/api/", "allow_http": True, "allowed_networks": ["127.0.0.0/8"]}
    return {
        "auth": {"authorization_url": f"{host}/authorize", "token_url": f"{host}/token", **auth},
        "oauth_client_id": "id",
        "oauth_client_secret": CLIENT_SECRET,
        "connection_config": {"type": "object", "required": ["host"], "properties": {"host": field}},
        "requests": {**requests, **more},
    }


def test_the_products_secret_is_never_sent_to_a_users_host(tmp_path: Path) -> None:
    """With the secret the files are refused; without it a login at any host reveals nothing."""
    with LoginProvider() as elsewhere:
        host = f"localhost:{urlsplit(elsewhere.url).port}"
        entry = self_hosted({"auth_mode": "OAUTH2"})
        listed = self_hosted({"auth_mode": "OAUTH2"}, field={"enum": [host]})
        public = self_hosted({"auth_mode": "OAUTH2", "authorization_method": "none"})
        with pytest.raises(ConfigError, match=r"E322.*your oauth_client_secret would be sent"):
            _ = Nango({"integrations": {"own": entry}}, environ={}).configuration
        with connect_server(tmp_path, integrations={"listed": listed, "public": public}) as product:
            for name in ("listed", "public"):
                visitor = product.visitor()
                url = visitor.login_url(product.session(), name, config=json.dumps({"host": host}))
                state = query_of(url)["state"]
                visitor.ask("GET", "/oauth/callback", params={"state": state, "code": "c"})
        assert [CLIENT_SECRET in str(call) for call in elsewhere.token_calls] == [True, False]


def test_typed_hosts_do_not_open_the_circuit_breaker(tmp_path: Path) -> None:
    """A user who repeatedly enters an unreachable host stops no call of another user."""
    tenants = {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {
            "base_url": "http://127.0.0.1:9/${additional_config.shop}/",
            "headers": {"X-Key": "${api_key}"},
            "allow_http": True,
        },
        "connection_config": {"type": "object", "properties": {"shop": {"type": "string"}}},
        "verification": {"method": "GET", "path": "me"},
        "retries": {"circuit_breaker": {"failures": 5, "seconds": 1}},
    }
    clock = ManualClock()
    with connect_server(tmp_path, integrations={"tenants": tenants}, clock=clock) as product:
        product.nango.register_connection("tenants", "user-1", {"api_key": "k"}, {"shop": "good"})
        visitor, token = product.visitor(), product.session("mallory")
        typed = {"credentials": {"api_key": "k"}, "additional_config": {"shop": "none"}}
        for _ in range(8):
            response = visitor.ask("POST", "/connect/integrations/tenants", token, json=typed)
            assert response.status_code == 503
            clock.advance(1)
        with pytest.raises(TransportFailed) as caught:
            product.nango.executor("tenants", "user-1").get("things")
        assert caught.value.reason == "connect"


FORKED = """
import json, os, signal, socket, sys
from nango_py import Nango
from nango_py.server.uvicorn_server import make_server
integrations, database, key, descriptor = json.loads(sys.argv[1])
nango = Nango(integrations, database_url=database, encryption_keys=key, environ={})
nango.connections_for_user("somebody")  # the store is open before the fork
server, listener = make_server(nango.accounts), socket.socket(fileno=descriptor)
children = []
for _ in range(4):
    child = os.fork()
    if not child:
        server.run(sockets=[listener])
        os._exit(0)
    children.append(child)
print("ready", flush=True)
sys.stdin.read()
for child in children:
    os.kill(child, signal.SIGTERM)
listener.close()
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


def test_forked_workers_share_a_database(tmp_path: Path) -> None:
    """As with gunicorn's --preload: four children of one process, one database, logins at all of them."""
    listener = open_listener("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    database = f"sqlite:///{tmp_path}/nango.db"
    with listener, LoginProvider() as provider:
        integrations = {"integrations": {"mail": provider.entry()}, "config": {"oauth_server_root_url": url}}
        given = json.dumps([integrations, database, ENCRYPTION_KEY, listener.fileno()])
        with (
            Nango(integrations, database_url=database, encryption_keys=ENCRYPTION_KEY, environ={}) as nango,
            subprocess.Popen(
                [sys.executable, "-W", "error", "-c", FORKED, given],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                pass_fds=[listener.fileno()],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            ) as process,
        ):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

            def log_in(number: int) -> str:
                token = nango.connect_session(f"user-{number}").token.reveal()
                return Visitor(url).login(token, "mail").kind

            with ThreadPoolExecutor(8) as browsers:
                assert [*browsers.map(log_in, range(40))] == ["ok"] * 40
            said, errors = process.communicate()
            assert (said, errors) == ("[-15, -15, -15, -15]\n", "")
            assert len(nango.connections_for_integration("mail")) == 40


@pytest.mark.parametrize("depth", [MAX_DEPTH - 2, MAX_DEPTH, 40, 200, 300, 500, 900, 960, 5000])
def test_a_deeply_nested_token_response_is_an_error(product: Product, depth: int) -> None:
    """Whatever the depth of a provider's response, the page shows how the login ended, without a 500."""
    nested = "[" * depth + "]" * depth
    body = f'{{"access_token": "token_1", "token_type": "Bearer", "extra": {nested}}}'
    product.provider.token_faults.append(ProviderResponse(200, body, {"Content-Type": "application/json"}))
    end = product.visitor().login(product.session(), "mail")
    assert end.message is not None
    assert end.message["code"] == ("" if depth < MAX_DEPTH else "exchange_failed")


@pytest.mark.parametrize("depth", [900, 940, 960, 20_000])
@pytest.mark.parametrize("status", [200, 401, 429])
def test_deeply_nested_json_of_an_api_causes_no_server_error(tmp_path: Path, status: int, depth: int) -> None:
    """Users may name the host that checks their key, and it may respond with anything."""
    body = b'{"error":' + b"[" * depth + b"]" * depth + b"}"
    said = response(body, status, {"Content-Type": "application/json", "Retry-After": "1000"})
    with FaultServer(*[[READ, said]] * 4) as api:
        deep = {
            "auth": {"auth_mode": "API_KEY"},
            "requests": {
                "base_url": f"{api.url}/",
                "headers": {"X-Key": "${api_key}"},
                "allow_http": True,
            },
            "verification": {"method": "GET", "path": "me"},
            "errors": {"message": "error"},
            "retries": {"rules": [{"when": {"json": {"path": "error", "equals": "x"}}, "do": "fail"}]},
        }
        with connect_server(tmp_path, integrations={"deep": deep}) as product:
            typed = {"credentials": {"api_key": "k"}}
            answered = product.visitor().ask(
                "POST", "/connect/integrations/deep", product.session(), json=typed
            )
        assert answered.status_code == {200: 200, 401: 422, 429: 503}[status]
