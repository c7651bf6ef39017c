"""Grants of more than one request or secret, and what providers call the parts of usual ones."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from nango_py import ConfigError, CredentialsError, Nango, NangoError, TransportFailed
from nango_py.protocols import oauth2_protocol
from nango_py.protocols.two_step_login import build_step_request
from nango_py.sandbox.saml_assertions import read_assertion
from nango_py.secret import reveal
from nango_py.tokens.token_requests import token_context
from tests.support.fake_clock import ManualClock
from tests.support.fault_server import Tls
from tests.support.mode_api import BOTH, GET, POST, Answer, Api, Seen, call
from tests.support.sandbox_logins import MAIL, log_in, open_nango, product
from tests.support.token_contexts import pem, rsa_key

if TYPE_CHECKING:
    from pathlib import Path

BEARER = {"Authorization": "Bearer ${access_token}"}


def a_certificate(folder: Path) -> tuple[str, str]:
    """A client certificate and its key as PEM; the certificate is also in a file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ada.example")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    timed = builder.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
    text = timed.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    (folder / "ada.pem").write_text(text)
    return text, pem(key)


@BOTH
def test_client_credentials_with_a_certificate(kind: str, tmp_path: Path) -> None:
    """Token endpoint and API see the certificate (RFC 8705); without one, nothing reaches them."""
    server = tmp_path / "server.pem"
    server.write_bytes(Tls().certificate())
    chain, key = a_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(tmp_path / "ada.pem")

    def judge(seen: Seen) -> Answer:
        return 200, {}, {"access_token": "fresh", "expires_in": 3600} if seen.path == "/token" else {}

    with Api(judge, context) as api:
        declared: dict[str, Any] = {"token_url": f"{api.url}/token", "clock": ManualClock()}
        with api.nango("OAUTH2_CC", BEARER, ca_bundle=server, **declared) as nango:
            own = {"client_id": "own-id", "client_secret": "own-planted"}
            nango.register_connection("it", "eve", own)
            with pytest.raises(NangoError):
                call(nango, kind, GET, user="eve")
            assert api.seen == []
            nango.register_connection("it", "u1", {**own, "client_certificate": chain, "client_key": key})
            assert call(nango, kind, GET, POST) == [200, 200]
            with pytest.raises(TransportFailed):
                call(nango, kind, GET, user="eve")
    assert [seen.path.partition("?")[0] for seen in api.seen] == ["/token", "/api/things", "/api/things"]
    assert {seen.certificate["subject"] for seen in api.seen} == {((("commonName", "ada.example"),),)}


@pytest.mark.parametrize("missing", ["client_certificate", "client_key"])
def test_a_certificate_and_its_key_come_together(missing: str) -> None:
    """One without the other is named; the other stays out of the message."""
    settings = {"auth": {"auth_mode": "OAUTH2_CC", "token_url": "https://id.mail.test/t"}, **MAIL_REQUESTS}
    begin = {"client_certificate": "-----BEGIN CERTIFICATE-----", "client_key": "-----BEGIN PRIVATE KEY-----"}
    given = {name: f"{line}\nplanted\n" for name, line in begin.items() if name != missing}
    with open_nango(settings) as nango, pytest.raises(CredentialsError, match=missing) as caught:
        nango.register_connection("it", "ada", {"client_id": "i", "client_secret": "s", **given})
    assert "planted" not in str(caught.value)


MAIL_REQUESTS = {"requests": MAIL["requests"]}
STEPS: dict[str, Any] = {
    "additional_steps": [
        {
            "token_url": "https://rest.mail.test/login",
            "body_format": "query",
            "token_params": {"version": "*", "access_token": "${raw.access_token}"},
        }
    ],
    "token_response": {"token": "session.key"},
    "token_lifetime_seconds": 3600,
}
SESSION: dict[str, Any] = {
    **MAIL,
    "auth": {**MAIL["auth"], **STEPS},
    "requests": {
        "base_url": 'https://${raw.restUrl | split("/", 2) | split(".", 0)}.mail.test/rest/',
        "headers": {"X-Session": "${access_token}"},
    },
    "examples": [
        {
            "call": {"method": "GET", "path": "me"},
            "credentials": {"access_token": "token_test", "raw": {"restUrl": "https://rest42.mail.test/e9/"}},
            "sends": {"url": "https://rest42.mail.test/rest/me"},
        }
    ],
}


@BOTH
def test_a_session_follows_each_token(kind: str) -> None:
    """After the login, before the session expires, and after a 401: token request and step, then the call."""
    clock = ManualClock()
    with product(SESSION, clock=clock) as (nango, api):
        assert log_in(nango, api).ok
        held: Any = reveal(nango.store.get("it", "ada").credentials)
        assert held["raw"]["restUrl"] == "https://rest42.mail.test/e9/"
        assert held["raw"]["access_token"].startswith("oauth_")
        assert held["access_token"] == held["raw"]["session"]["key"]

        def get() -> int:
            if kind == "sync":
                return nango.executor("it", "ada").get("me").status_code
            return asyncio.run(get_async())

        async def get_async() -> int:
            try:
                return (await nango.async_executor("it", "ada").get("me")).status_code
            finally:
                await nango.services.async_transport.aclose()

        assert get() == 200
        clock.sleep(3600)
        assert get() == 200
        api.expire_tokens()
        assert get() == 200
        assert [received.endpoint for received in api.login_ledger.received] == ["token", "login"] * 3
        api.revoke("ada")
        clock.sleep(3600)
        with pytest.raises(CredentialsError, match="must connect again"):
            get()
        assert nango.store.get("it", "ada").status == "needs_reauth"


def opened_at(api: Api, **steps: Any) -> Nango:
    """A product whose sessions are opened at this server, with an expired token of `u1`."""
    auth = {
        "auth_mode": "OAUTH2",
        "authorization_url": f"{api.url}/authorize",
        "token_url": f"{api.url}/token",
        "additional_steps": [{"token_url": f"{api.url}/session", **steps}],
        "token_response": {"token": "key"},
    }
    requests = {"base_url": f"{api.url}/", "headers": {"X-Session": "${access_token}"}, "allow_http": True}
    nango = open_nango({**MAIL, "auth": auth, "requests": requests}, clock=ManualClock())
    old = {"access_token": "old", "refresh_token": "refresh-0", "expires_at": 1}
    nango.register_connection("it", "u1", old)
    return nango


@BOTH
@pytest.mark.parametrize("failure", [503, 400])
def test_a_step_that_fails_loses_no_refresh_token(kind: str, failure: int) -> None:
    """The refresh token is valid once: its successor is stored, and the next attempt goes on with it."""
    valid, failures = ["refresh-0"], [failure]

    def judge(seen: Seen) -> Answer:
        if seen.path == "/token":
            if parse_qs(seen.body.decode())["refresh_token"] != valid[-1:]:
                return 400, {}, {"error": "invalid_grant"}
            valid.append(f"refresh-{len(valid)}")
            return 200, {}, {"access_token": f"oauth-{len(valid)}", "refresh_token": valid[-1]}
        if seen.path.startswith("/session"):
            named = parse_qs(urlsplit(seen.path).query)["token"][0]
            return (failures.pop(), {}, {}) if failures else (200, {}, {"key": f"session-of-{named}"})
        right = seen.headers["x-session"] == f"session-of-oauth-{len(valid)}"
        return (200 if right else 401), {}, {}

    with Api(judge) as api:
        steps = {"token_method": "GET", "token_params": {"token": "${raw.access_token}"}}
        with opened_at(api, **steps) as nango:
            if failure == 400:  # the application is rejected, which its owner can correct
                with pytest.raises(CredentialsError, match="rejects the application") as caught:
                    call(nango, kind, GET)
                assert "oauth-" not in str(caught.value)
                stored: Any = reveal(nango.store.get("it", "u1").credentials)
                assert stored["refresh_token"] == "refresh-1"
                assert "access_token" not in stored
                nango.services.clock.sleep(3600)
            assert call(nango, kind, GET) == [200]
    assert valid == ["refresh-0", "refresh-1", "refresh-2"]


def test_a_refused_session_ends_the_connection() -> None:
    """A user who may not use the API has to connect again."""

    def judge(seen: Seen) -> Answer:
        if seen.path == "/token":
            return 200, {}, {"access_token": "oauth-1", "refresh_token": "refresh-1"}
        return 403, {}, {"error": "no API access"}

    with Api(judge) as api, opened_at(api) as nango:
        with pytest.raises(CredentialsError, match="must connect again"):
            call(nango, "sync", GET)
        assert nango.store.get("it", "u1").status == "needs_reauth"


@BOTH
def test_a_saml_assertion_is_exchanged_for_a_token(kind: str) -> None:
    """RFC 7522: subject, audience and signature are those that the endpoint requires; a refusal ends it."""

    def judge(seen: Seen) -> Answer:
        if seen.path == "/token":
            given = parse_qs(seen.body.decode())
            found = read_assertion(given["assertion"][0], pem(rsa_key()), now[0])
            right = found is not None and (found.subject, found.audience) == ("ada", "www.hr.test")
            return (200, {}, {"access_token": "made", "expires_in": 60}) if right else REFUSED
        return (200 if seen.headers["authorization"] == "Bearer made" else 401), {}, {}

    REFUSED: Answer = (400, {}, {"error": "invalid_grant"})  # noqa: N806 - a constant of the test
    now = [0.0]
    with Api(judge) as api:
        saml = {"audience": "www.hr.test", "issuer": "app"}
        with api.nango("OAUTH2_SAML", BEARER, token_url=f"{api.url}/token", saml_assertion=saml) as nango:
            now[0] = nango.services.clock.now()
            nango.register_connection("it", "u1", {"private_key": pem(rsa_key()), "username": "ada"})
            nango.register_connection("it", "eve", {"private_key": pem(rsa_key()), "username": "eve"})
            assert call(nango, kind, GET, POST) == [200, 200]
            with pytest.raises(CredentialsError, match="must connect again"):
                call(nango, kind, GET, user="eve")
            assert nango.store.get("it", "eve").status == "needs_reauth"


def test_the_sandbox_knows_users_by_their_assertions() -> None:
    """Subject and key name the user; another key is refused."""
    settings = {
        "auth": {
            "auth_mode": "OAUTH2_SAML",
            "token_url": "https://id.mail.test/t",
            "saml_assertion": {"issuer": "a"},
        },
        **MAIL_REQUESTS,
        "verification": {"path": "me"},
    }
    users = {name: {"private_key": pem(rsa_key()), "username": name} for name in ("ada", "bob")}
    with product(settings, sandbox={"credentials": users}) as (nango, api):
        for name, given in users.items():
            nango.register_connection("it", name, given)
            assert nango.executor("it", name).get("me").status_code == 200
        assert [received.user for received in api.ledger.received] == ["ada", "bob"]
        other = pem(ec.generate_private_key(ec.SECP256R1()))  # type: ignore[arg-type]
        nango.register_connection("it", "eve", {"private_key": other, "username": "ada"})
        assert nango.executor("it", "eve").verify().outcome == "refused"


def test_names_and_scopes_of_a_provider() -> None:
    """The code has another name in the token request, and a scope names the user's organisation."""
    auth = {
        **MAIL["auth"],
        "code_param": "auth_code",
        "default_scopes": ["https://${additional_config.org}.test/a"],
    }
    config = {
        "type": "object",
        "required": ["org"],
        "properties": {"org": {"type": "string", "title": "Org"}},
    }
    with product({**MAIL, "auth": auth, "connection_config": config, "oauth_scopes": ["b"]}) as (nango, api):
        assert log_in(nango, api, additional_config={"org": "acme"}).ok
        stored: Any = reveal(nango.store.get("it", "ada").credentials)
        assert stored["scope"] == "https://acme.test/a b"
        assert nango.executor("it", "ada").get("me").status_code == 200


def test_client_credentials_ask_for_scopes_of_the_user() -> None:
    """A template in `default_scopes` is rendered for each connection; a missing value is named."""
    auth = {
        "auth_mode": "OAUTH2_CC",
        "token_url": "https://id.mail.test/t",
        "default_scopes": ["https://${additional_config.org}.crm.test/.default"],
    }
    with open_nango({"auth": auth, **MAIL_REQUESTS}) as nango:
        given = {"client_id": "i", "client_secret": "s"}
        nango.register_connection("it", "ada", given, additional_config={"org": "acme"})
        nango.register_connection("it", "bob", given)
        integration = nango.configuration.integrations["it"]
        context = token_context(integration, nango.store.get("it", "ada"), 0.0)
        sent = parse_qs(oauth2_protocol.client_credentials_request(context).body.decode())
        assert sent["scope"] == ["https://acme.crm.test/.default"]
        with pytest.raises(ConfigError, match=r"additional_config\.org"):
            token_context(integration, nango.store.get("it", "bob"), 0.0)


def test_parameters_may_be_nested() -> None:
    """In forms as name[key][key], in JSON as they are."""
    params = {"a": {"b": {"c": 1, "d": "${username}"}, "e": True}}
    for body_format, expected in (("form", "a%5Bb%5D%5Bc%5D=1&a%5Bb%5D%5Bd%5D=ada&a%5Be%5D=true"),
                                  ("json", '{"a":{"b":{"c":1,"d":"ada"},"e":true}}')):  # fmt: skip
        auth = {"token_params": params, "token_url": "https://id.mail.test/t", "body_format": body_format}
        requests = {**MAIL["requests"], "headers": {"X-Token": "${token}"}}
        with open_nango({"auth": {"auth_mode": "TWO_STEP", **auth}, "requests": requests}) as nango:
            nango.register_connection("it", "ada", {"username": "ada"})
            context = token_context(nango.configuration.integrations["it"], nango.store.get("it", "ada"), 0.0)
            assert build_step_request(context, auth, "").body.decode() == expected


@pytest.mark.parametrize(
    ("template", "config", "query"),
    [
        ('${additional_config.org | default("")}', {}, ""),
        ('${additional_config.org | default("")}', {"org": "a"}, "?org=a"),
        ("${additional_config.org or ''}", {"org": ""}, ""),
        ("${additional_config.org}", {"org": ""}, "?org="),
        ("", {}, "?org="),
    ],
)
def test_an_optional_parameter_without_a_value_is_left_out(
    template: str, config: dict[str, str], query: str
) -> None:
    """If the template says that it needs none; a constant and a required value are sent as they are."""
    requests = {**MAIL["requests"], "params": {"org": template}}
    with open_nango({**MAIL, "requests": requests}) as nango:
        nango.register_connection("it", "ada", {"access_token": "t"}, additional_config=config)
        assert nango.executor("it", "ada").plan("GET", "me").url == f"https://api.mail.test/v1/me{query}"
