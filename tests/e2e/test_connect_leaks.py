"""Every way to connect, or to fail to: not a byte of a secret is shown, logged or returned."""

from __future__ import annotations

import http.client
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from nango_py import ConnectFailed, Nango
from nango_py.server.uvicorn_server import make_server
from tests.support.connect_product import (
    APP,
    SHOP,
    Product,
    connect_server,
    notice_of,
    records_of_the_product,
)
from tests.support.oauth2_login_provider import consent
from tests.support.planted_secrets import CORE, Collector, everything_of, secret, shown, traces
from tests.support.provider_grants import CLIENT_SECRET
from tests.support.provider_server import ProviderResponse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import requests

GOOD, WRONG = secret(1), secret(2)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Every logger of the process, uvicorn's and Starlette's too, at DEBUG."""
    with records_of_the_product() as handler:
        yield handler


class Seen:
    """Everything that came out of a product, and the secrets that must not be in it."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._texts: list[str] = []
        self._tokens: list[str] = [CLIENT_SECRET]

    def secret(self, text: str) -> str:
        """A secret that has no planted core: what matters of it is its middle."""
        self._tokens.append(text[len(text) // 4 : len(text) // 4 + 24])
        return text

    def response(self, response: requests.Response, *, is_way_out: bool = False) -> requests.Response:
        """What the server said; the way to the provider and the cookie are for this browser alone."""
        headers = {name: value for name, value in response.headers.items() if name != "Set-Cookie"}
        if not is_way_out:
            self._texts += [response.text, str(headers)]
        return response

    def text(self, text: str) -> None:
        """Anything else."""
        self._texts.append(text)

    def leaks(self) -> list[str]:
        """What should not be there."""
        texts = [*self._texts, *self._collector.lines]
        found = [leak for text in texts for leak in traces(text)]
        return found + [text[:300] for text in texts for token in self._tokens if token in text]


def a_product(folder: Path) -> Any:
    """A product whose provider and users have planted secrets only."""
    return connect_server(
        folder,
        provider={"prefix": CORE},
        key=GOOD,
        integrations={"keyed": {**SHOP, "requests": {**SHOP["requests"], "base_url": "http://127.0.0.1:9/"}}},
    )


def journeys(product: Product, seen: Seen) -> None:
    """Logins that work, are refused, come back wrong, and meet a provider that says odd things."""
    visitor, token = (
        product.visitor(),
        seen.secret(product.session(integrations=["mail", "bird", "shop", "keyed"])),
    )
    faults: list[Any] = [
        None,
        ProviderResponse(500, {"error": secret(3)}),
        ProviderResponse(200, {"access_token": [secret(4)]}),
        ProviderResponse(400, {"error": "invalid_grant"}),
        ProviderResponse(200, f"<html>{secret(6)}</html>"),
        ProviderResponse(200, {"access_token": secret(7) + "\r\n", "token_type": "Bearer"}),
    ]
    for number, fault in enumerate(faults):
        product.provider.token_faults.extend([fault] if fault else [])
        began = seen.response(visitor.start(token, "mail", attempt=f"m{number}", origin=APP), is_way_out=True)
        back = consent(notice_of(began.text).next_url)
        for _ in range(2):
            seen.response(visitor.callback(back))
        seen.response(visitor.ask("GET", f"/connect/attempts/m{number}", token))
    link = visitor.ask("GET", f"/oauth/connect/bird?session={token}")
    seen.response(visitor.callback(consent(link.headers["Location"])))
    seen.response(product.visitor().callback(back))
    for key in (WRONG, GOOD):
        for name in ("shop", "keyed"):
            body = {"credentials": {"api_key": key}, "additional_config": {"x": key}}
            seen.response(visitor.ask("POST", f"/connect/integrations/{name}", token, json=body))
            del body["additional_config"]
            seen.response(visitor.ask("POST", f"/connect/integrations/{name}", token, json=body))
    seen.response(visitor.ask("GET", "/connect/session", token))
    for path in (
        "/connect/integrations/shop",
        "/nowhere",
        "/oauth/callback",
        f"/oauth/connect/shop?session={token}",
    ):
        seen.response(visitor.ask("GET", f"{path}", token, headers={"Accept": "text/html"}))
    verifiers = [
        given["code_verifier"] for _, _, given in product.provider.token_calls if "code_verifier" in given
    ]
    for verifier in verifiers:
        seen.secret(verifier)
    assert len(verifiers) == len(faults)


def odd_requests(product: Product, seen: Seen) -> None:
    """Requests that uvicorn itself refuses or stumbles over, with secrets wherever there is room."""
    parts, token = urlsplit(product.url), seen.secret(product.session())
    for target, headers in (
        (f"/oauth/callback?code={secret(8)}&state={secret(9)}", {"Cookie": f"nango-login-x={secret(10)}"}),
        (f"/oauth/connect/mail?session={token}&next={secret(11)}", {}),
        (f"/connect/session?key={secret(12)}", {"Authorization": f"Bearer {secret(13)}"}),
        ("/connect", {"Host": "evil.test", "Authorization": f"Bearer {token}"}),
        ("/connect", {"Upgrade": "websocket", "Connection": "upgrade", "Authorization": f"Bearer {token}"}),
        ("/connect", {"X-Long": secret(14) * 4_000}),
    ):
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        connection.request("GET", target, headers={"Host": parts.netloc, **headers})
        response = connection.getresponse()
        seen.text(response.read().decode() + str(response.headers))
        connection.close()


def broken_store(product: Product, folder: Path, seen: Seen) -> None:
    """A store that cannot be opened any more, in the middle of everything."""
    visitor, token = product.visitor(), seen.secret(product.session())
    back = consent(visitor.login_url(token, "mail"))
    product.nango.close()
    (folder / "nango.db").rename(folder / "gone.db")
    (folder / "nango.db").mkdir()
    body = {"credentials": {"api_key": GOOD}}
    responses = [
        seen.response(visitor.callback(back)),
        seen.response(visitor.ask("POST", "/connect/integrations/shop", token, json=body)),
        seen.response(visitor.ask("GET", "/connect/session", token)),
        seen.response(visitor.start(token, "mail")),
    ]
    assert [response.status_code for response in responses] == [503] * 4
    assert all("Reference" in response.text for response in responses[1:])


def test_no_secret_is_shown(tmp_path: Path, collector: Collector) -> None:
    """Responses, headers and logs at DEBUG hold no session, key, code, token or verifier."""
    seen = Seen(collector)
    with a_product(tmp_path) as product:
        journeys(product, seen)
        odd_requests(product, seen)
        with pytest.raises(ConnectFailed) as caught:
            product.nango.read_session(secret(15))
        seen.text(everything_of(caught.value, __file__))
        seen.text(shown(vars(product.server.config.app)) + repr(product.server.config.app))
        broken_store(product, tmp_path, seen)
    assert seen.leaks() == []
    lines = "\n".join(collector.lines)
    assert "GET /oauth/callback 400" in lines
    assert "POST /connect/integrations/shop 422" in lines
    assert "mistake" in lines


def test_a_planted_leak_is_found(tmp_path: Path, collector: Collector) -> None:
    """The control: uvicorn's own access log, and a response that holds a token, are noticed."""
    seen = Seen(collector)

    def talkative(nango: Nango) -> Any:
        server = make_server(nango.accounts, access_log=True)
        logging.getLogger("uvicorn.access").propagate = True
        return server

    with connect_server(tmp_path, server=talkative) as product:
        token = seen.secret(product.session())
        product.visitor().ask("GET", f"/oauth/callback?code={secret(1)}")
        assert any("uvicorn.access" in line for line in collector.lines)
        assert seen.leaks()
        before = len(seen.leaks())
        seen.text(f"<p>{token}</p>")
        assert len(seen.leaks()) > before
