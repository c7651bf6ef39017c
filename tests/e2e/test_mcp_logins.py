"""Logins at MCP servers on real sockets: discovery (RFC 9728, RFC 8414), registration (RFC 7591), tokens."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from nango_py import ConfigError, ConnectFailed, Nango
from nango_py.connect.mcp import describe_application
from nango_py.connections.rows import unstored_connection
from nango_py.protocols.server_metadata import MAX_SCOPES, get_request, is_usable_url, well_known_urls
from nango_py.tokens.token_requests import make_token_plan, token_context
from nango_py.transport.sendable import Failure
from tests.support.connect_product import connect_server
from tests.support.fake_clock import ManualClock
from tests.support.login_product import COOKIE, a_product, callback_of, log_in, rows, stored
from tests.support.nango_at_server import QUICK, WIDE
from tests.support.oauth2_login_provider import LoginProvider, consent
from tests.support.provider_grants import CLIENT_ID, CLIENT_SECRET
from tests.support.provider_server import ProviderRequest, ProviderResponse, Served, query_of

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = "https://connect.example.test/nango/client.json"
WELL_KNOWN = "/.well-known/oauth-protected-resource"


class AuthorizationServer(LoginProvider):
    """A login provider with metadata and registration.

    Attributes:
        changes: members of the metadata that differ; None leaves one out.
        registrations: the bodies of registrations.
        revocations: the forms of revocations.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"client_auth": "none", **options})
        self.routes = {
            **LoginProvider.routes,
            "/.well-known/oauth-authorization-server": "describe",
            "/register": "register",
            "/revoke": "revoke",
        }
        self.changes: dict[str, Any] = {}
        self.revocations: list[dict[str, str]] = []
        self.registrations: list[dict[str, Any]] = []
        self.register_response: ProviderResponse | None = None

    def describe(self, incoming: ProviderRequest) -> ProviderResponse:
        """The metadata."""
        found = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "registration_endpoint": f"{self.url}/register",
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_post"],
            "authorization_response_iss_parameter_supported": True,
            **self.changes,
        }
        return ProviderResponse(200, {name: value for name, value in found.items() if value is not None})

    def revoke(self, incoming: ProviderRequest) -> ProviderResponse:
        """The revocation endpoint (RFC 7009)."""
        self.revocations.append(incoming.form)
        return ProviderResponse(200, "")

    def register(self, incoming: ProviderRequest) -> ProviderResponse:
        """The registration endpoint."""
        self.registrations.append(json.loads(incoming.body))
        if self.register_response is not None:
            return self.register_response
        self.client.id = f"registered_{len(self.registrations)}"
        return ProviderResponse(201, {"client_id": self.client.id, "token_endpoint_auth_method": "none"})


class McpServer(Served):
    """An MCP server that takes the tokens of an authorization server.

    Attributes:
        requests: (method, path, whether a token was sent) of each request.
        document: replaces members of the metadata; `named` is the URL of the 401.
    """

    def __init__(self, tokens: AuthorizationServer) -> None:
        self.tokens = tokens
        self.requests: list[tuple[str, str, bool]] = []
        self.document: Any = {}
        self.named = ""
        self.scope = ""

    def response(self, incoming: ProviderRequest) -> ProviderResponse:
        """The metadata, a 401, or a result."""
        token = incoming.headers.get("Authorization", "").removeprefix("Bearer ")
        self.requests.append((incoming.method, incoming.path, bool(token)))
        if incoming.path.startswith("/.well-known/"):
            if incoming.path != f"{WELL_KNOWN}/mcp":
                return ProviderResponse(404, "")
            if isinstance(self.document, ProviderResponse):
                return self.document
            found = {"resource": f"{self.url}/mcp", "authorization_servers": [self.tokens.url]}
            return ProviderResponse(200, {**found, "scopes_supported": ["things.read"], **self.document})
        family, ends = self.tokens.tokens.get(token, (None, 0.0))
        if family is not None and ends > self.tokens.now():
            return ProviderResponse(200, {"jsonrpc": "2.0", "id": 1, "result": {}})
        named = self.named or f"{self.url}{WELL_KNOWN}/mcp"
        challenge = f'Bearer realm="mcp", resource_metadata="{named}"'
        if self.scope:
            challenge += f', scope="{self.scope}"'
        return ProviderResponse(401, {}, {"WWW-Authenticate": challenge})


def entry(server: McpServer, **more: Any) -> dict[str, Any]:
    """An integration of an MCP server on this machine."""
    return {
        "auth": {"auth_mode": "MCP_OAUTH2", "resource_url": f"{server.url}/mcp"},
        "requests": {
            "base_url": f"{server.url}/",
            "headers": {"Authorization": "Bearer ${access_token}"},
            "allow_http": True,
        },
        "retries": {"backoff": QUICK},
        "rate_limits": WIDE,
        **more,
    }


def refusal_of(nango: Nango) -> ConnectFailed:
    """The error of a login that cannot start."""
    with pytest.raises(ConnectFailed) as caught:
        nango.logins.begin("mail", "user-1", browser=COOKIE)
    assert rows(nango) == []
    return caught.value


def test_a_server_is_a_connection_like_any_other(database_url: str) -> None:
    """Discovery, registration, login, a call, and a refresh an hour later, all for this server."""
    clock = ManualClock()
    with contextlib.ExitStack() as stack:
        tokens = stack.enter_context(AuthorizationServer(now=clock.now))
        server = stack.enter_context(McpServer(tokens))
        with a_product(entry(server), database_url, clock=clock) as nango:
            assert log_in(nango).ok
            assert nango.executor("mail", "user-1").post("mcp", json={"method": "ping"}).status_code == 200
            (registered,) = tokens.registrations
            (redirect_uri,) = registered["redirect_uris"]
            assert registered == {
                "client_name": "nango_py",
                "redirect_uris": [redirect_uri],
                "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"],
                "token_endpoint_auth_method": "none",
                "application_type": "native",
            }
            resource = f"{server.url}/mcp"
            assert tokens.authorizations[0]["resource"] == resource
            assert tokens.authorizations[0]["scope"] == "things.read"
            assert tokens.authorizations[0]["client_id"] == "registered_1"
            clock.advance(3700)
            assert nango.executor("mail", "user-1").post("mcp", json={"method": "ping"}).status_code == 200
            kinds = [(kind, form["resource"], form["client_id"]) for kind, _, form in tokens.token_calls]
            assert kinds == [
                ("authorization_code", resource, "registered_1"),
                ("refresh_token", resource, "registered_1"),
            ]
            assert stored(nango)["resource"] == resource
            assert [sent for _, path, sent in server.requests if "well-known" in path] == [False]


def test_tokens_are_revoked_where_the_server_says(caplog: pytest.LogCaptureFixture) -> None:
    """By the application that got them; without an endpoint, or with an unusable one, nothing is sent."""
    with AuthorizationServer() as tokens, McpServer(tokens) as server, a_product(entry(server)) as nango:
        for named in (
            f"{tokens.url}/revoke",
            None,
            7,
            f"{tokens.url}/${{access_token}}",
            "file:///etc/passwd",
        ):
            tokens.changes = {"revocation_endpoint": named}
            assert log_in(nango).ok
            sent = stored(nango)
            nango.delete_connection("mail", "user-1")
            if named == f"{tokens.url}/revoke":
                hints = {"refresh_token": sent["refresh_token"], "access_token": sent["access_token"]}
                assert tokens.revocations == [
                    {"token": token, "token_type_hint": name, "client_id": "registered_1"}
                    for name, token in hints.items()
                ]
    assert len(tokens.revocations) == 2
    assert "no endpoint to revoke it" in caplog.text


def test_the_first_way_to_be_an_application_is_taken() -> None:
    """A registered client, else a document if the server takes it, else a registration."""
    with AuthorizationServer() as tokens, McpServer(tokens) as server:
        tokens.changes = {"client_id_metadata_document_supported": True}
        auth = {**entry(server)["auth"], "client_id_metadata_url": DOCUMENT}
        tokens.client.id = DOCUMENT
        with a_product(entry(server, auth=auth)) as nango:
            assert log_in(nango).ok
            assert tokens.authorizations[-1]["client_id"] == DOCUMENT
        tokens.client.id, tokens.client.method = CLIENT_ID, "client_secret_post"
        app = {"oauth_client_id": CLIENT_ID, "oauth_client_secret": CLIENT_SECRET}
        with a_product(entry(server, auth=auth, **app)) as nango:
            assert log_in(nango).ok
            assert tokens.token_calls[-1][2]["client_secret"] == CLIENT_SECRET
        assert tokens.registrations == []
        tokens.changes, tokens.client.method = {}, "none"
        with a_product(entry(server, auth=auth)) as nango:
            assert log_in(nango).ok
        assert len(tokens.registrations) == 1
        tokens.changes = {"registration_endpoint": None}
        with a_product(entry(server)) as nango:
            assert refusal_of(nango).code == "misconfigured"


def test_scopes_of_the_challenge_come_before_those_of_the_metadata() -> None:
    """And those of integrations.yaml before both; odd and countless ones are left out."""
    with AuthorizationServer() as tokens, McpServer(tokens) as server:
        server.scope = "things.write"
        server.document = {"scopes_supported": [*["things.read"] * 5, 7, "a b", 'x"y', *map(str, range(500))]}
        with a_product(entry(server)) as nango:
            nango.logins.begin("mail", "user-1", browser=COOKIE)
            url = nango.logins.begin("mail", "user-1", browser=COOKIE)
            assert query_of(url)["scope"] == "things.write"
            server.scope = ""
            scopes = query_of(nango.logins.begin("mail", "user-1"))["scope"].split(" ")
            assert len(scopes) == MAX_SCOPES
            assert 'x"y' not in scopes
        with a_product(entry(server, oauth_scopes=["things.read", "things.write"])) as nango:
            url = nango.logins.begin("mail", "user-1", browser=COOKIE)
            assert query_of(url)["scope"] == "things.read things.write"


def test_metadata_is_looked_for_without_a_challenge() -> None:
    """At the well-known URL of the path, if the 401 names none, or one of another origin."""
    with AuthorizationServer() as tokens, AuthorizationServer() as evil, McpServer(tokens) as server:
        server.named = f"{evil.url}{WELL_KNOWN}"
        with a_product(entry(server)) as nango:
            assert log_in(nango).ok
        assert evil.authorizations == []


def test_servers_without_iss_have_callbacks_of_their_own() -> None:
    """A code of one authorization server is not sent to another (RFC 9700 4.4): redirect URIs differ."""
    with (
        AuthorizationServer(issuer="none") as honest,
        AuthorizationServer(issuer="none") as other,
        McpServer(honest) as server,
    ):
        for tokens in (honest, other):
            tokens.changes = {"authorization_response_iss_parameter_supported": None}
        with a_product(entry(server)) as nango:
            assert log_in(nango).ok
            assert nango.executor("mail", "user-1").post("mcp", json={}).status_code == 200
            right = callback_of(nango)
            server.tokens = other
            attacked = callback_of(nango)
            assert right["issuer_mark"] != attacked["issuer_mark"]
            asked = len(other.token_calls)
            for mark in (right["issuer_mark"], ""):
                stolen = {**right, "state": attacked["state"], "issuer_mark": mark}
                outcome = nango.logins.finish(stolen, COOKIE)
                assert outcome.code == "wrong_issuer"
                attacked = callback_of(nango)
            assert len(other.token_calls) == asked
            assert nango.logins.finish(attacked, COOKIE).ok  # the control


def test_servers_with_iss_keep_the_plain_callback() -> None:
    """Their callbacks say who sends them, so the redirect URI needs no mark."""
    with AuthorizationServer() as tokens, McpServer(tokens) as server, a_product(entry(server)) as nango:
        assert log_in(nango).ok
        assert "issuer_mark" not in tokens.registrations[0]["redirect_uris"][0]


@pytest.mark.parametrize(
    ("url", "is_guarded"),
    [
        ("https://mcp.example.test/.well-known/x", False),
        ("https://id.example.test/token", True),
        ("https://mcp.example.test:8443/token", True),
        ("https://10.0.0.7/token", True),
    ],
)
def test_metadata_of_a_constant_server_leads_to_no_private_network(url: str, is_guarded: bool) -> None:  # noqa: FBT001
    """The server that the product names may be private; what its metadata names has to be allowed."""
    declared = {
        "auth": {"auth_mode": "MCP_OAUTH2", "resource_url": "https://mcp.example.test/mcp"},
        "requests": {
            "base_url": "https://mcp.example.test/",
            "headers": {"Authorization": "Bearer ${access_token}"},
            "allowed_networks": ["10.0.0.0/24"],
        },
    }
    with a_product(declared) as nango:
        integration = nango.configuration.integrations["mail"]
        connection = unstored_connection("mail", "user-1", {}, {}, 0.0)
        guard = make_token_plan(get_request(url), token_context(integration, connection, 0.0)).settings.guard
        assert (guard is not None) is is_guarded
        assert guard is None or guard.networks == ("10.0.0.0/24",)


RESOURCES: dict[str, Any] = {
    "another server": {"resource": "https://other.example.test/mcp"},
    "another path": {"resource": "/other"},
    "no identifier": {"resource": None},
    "no authorization server": {"authorization_servers": []},
    "an authorization server that is a list": {"authorization_servers": [["x"]]},
    "a file": {"authorization_servers": ["file:///etc/passwd"]},
    "a user in the URL": {"authorization_servers": ["https://a:b@evil.example.test"]},
    "a template": {"authorization_servers": ["https://evil.example.test/${access_token}"]},
    "a fragment": {"authorization_servers": ["https://evil.example.test/#x"]},
    "a long URL": {"authorization_servers": ["https://evil.example.test/" + "x" * 3000]},
    "a list": ProviderResponse(200, []),
    "HTML": ProviderResponse(200, "<html>"),
    "a redirect": ProviderResponse(302, "", {"Location": "https://evil.example.test/"}),
    "a large document": ProviderResponse(200, {"x": "x" * 2_000_000}),
    "a deep document": ProviderResponse(200, "[" * 100_000),
}


@pytest.mark.parametrize("name", RESOURCES)
def test_hostile_metadata_of_a_server_starts_no_login(name: str) -> None:
    """No authorization server is asked, and nothing of the document is quoted."""
    with AuthorizationServer() as tokens, McpServer(tokens) as server:
        server.document = RESOURCES[name]
        with a_product(entry(server)) as nango:
            error = refusal_of(nango)
        assert error.code == "exchange_failed"
        assert "evil" not in str(error)
        assert tokens.registrations == []


SERVERS: dict[str, Any] = {
    "another issuer": {"issuer": "https://other.example.test"},
    "no issuer": {"issuer": None},
    "no PKCE": {"code_challenge_methods_supported": None},
    "plain PKCE": {"code_challenge_methods_supported": ["plain"]},
    "PKCE as text": {"code_challenge_methods_supported": "S256"},
    "no token endpoint": {"token_endpoint": None},
    "a script as login page": {"authorization_endpoint": "javascript:alert(1)"},
    "a template as endpoint": {"token_endpoint": "https://evil.example.test/?t=${access_token}"},
    "a list as endpoint": {"authorization_endpoint": ["https://evil.example.test/"]},
}


@pytest.mark.parametrize("name", SERVERS)
def test_hostile_metadata_of_an_authorization_server_starts_no_login(name: str) -> None:
    """Nothing is registered, and nothing of the document is quoted."""
    with AuthorizationServer() as tokens, McpServer(tokens) as server:
        tokens.changes = SERVERS[name]
        with a_product(entry(server)) as nango:
            error = refusal_of(nango)
        assert error.code == "exchange_failed"
        assert "evil" not in str(error)
        assert tokens.registrations == []


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (ProviderResponse(400, {"error": "invalid_redirect_uri"}), "exchange_failed"),
        (ProviderResponse(201, {"client_id": ["x"]}), "exchange_failed"),
        (ProviderResponse(201, {"client_id": "x\r\ny"}), "exchange_failed"),
        (ProviderResponse(503, {}, {"Retry-After": "60"}), "unavailable"),
    ],
)
def test_a_refused_registration_starts_no_login(response: ProviderResponse, code: str) -> None:
    """The error says whether it is worth another try."""
    with AuthorizationServer() as tokens, McpServer(tokens) as server:
        tokens.register_response = response
        with a_product(entry(server)) as nango:
            assert refusal_of(nango).code == code


def test_the_issuer_of_a_callback_is_checked() -> None:
    """RFC 9207: another issuer, or none where the metadata promises one, gets no code."""
    with AuthorizationServer() as tokens, McpServer(tokens) as server, a_product(entry(server)) as nango:
        for iss in ("https://evil.example.test", None):
            callback = query_of(consent(nango.logins.begin("mail", "user-1", browser=COOKIE)))
            del callback["iss"]
            outcome = nango.logins.finish({**callback, **({"iss": iss} if iss else {})}, COOKIE)
            assert outcome.code == "wrong_issuer"
        assert tokens.token_calls == []


def test_a_server_that_users_name_cannot_lead_to_private_networks() -> None:
    """Neither the server itself, nor the authorization server that it names, is asked at such an address."""
    field = {"type": "string", "format": "origin", "title": "Server"}
    config = {"type": "object", "required": ["server"], "properties": {"server": field}}
    named = {
        "auth": {"auth_mode": "MCP_OAUTH2", "resource_url": "${additional_config.server}/mcp"},
        "connection_config": config,
        "requests": {
            "base_url": "${additional_config.server}/",
            "headers": {"Authorization": "Bearer ${access_token}"},
        },
    }
    with a_product(named) as nango, pytest.raises(ConnectFailed) as caught:
        nango.logins.begin("mail", "user-1", additional_config={"server": "https://localhost"})
    assert caught.value.code == "invalid_credentials"
    with a_product(named) as nango:
        found = unstored_connection("mail", "user-1", {}, {"server": "https://mcp.example.test"}, 0.0)
        context = token_context(nango.services.integration("mail"), found, 0.0)
        plan = make_token_plan(get_request("https://localhost/.well-known/x"), context)
        outcome = nango.services.transport.send(plan, 5.0)
        assert isinstance(outcome, Failure)
        assert (outcome.reason, outcome.sent) == ("blocked", False)
    secret = {**named, "oauth_client_id": "1", "oauth_client_secret": "s"}
    with pytest.raises(ConfigError, match="E322"):
        a_product(secret).configuration  # noqa: B018


@pytest.mark.parametrize(
    ("url", "base", "usable"),
    [
        ("https://as.example.test/a?b=c", "https://x.test", True),
        ("http://as.example.test/", "https://x.test", False),
        ("http://127.0.0.1:80/", "http://127.0.0.1:1", True),
        ("https://as.example.test\\@evil.test/", "https://x.test", False),
        ("https://user@as.example.test/", "https://x.test", False),
        ("https://as.example.test/{x}", "https://x.test", False),
        ("HTTPS://as.example.test/", "https://x.test", False),
        ("https://", "https://x.test", False),
        (None, "https://x.test", False),
    ],
)
def test_urls_of_documents_are_plain(url: Any, base: str, *, usable: bool) -> None:
    """https, without user, fragment or braces; http only beside http."""
    assert is_usable_url(url, base) is usable


def test_well_known_urls_follow_the_rfcs() -> None:
    """RFC 8414 section 3.1 and 5, and RFC 9728 section 3.1."""
    names = ("oauth-authorization-server", "openid-configuration")
    assert well_known_urls("https://a.test/tenant", *names) == (
        "https://a.test/.well-known/oauth-authorization-server/tenant",
        "https://a.test/.well-known/openid-configuration/tenant",
        "https://a.test/tenant/.well-known/openid-configuration",
    )
    assert well_known_urls("https://a.test", "oauth-protected-resource") == (
        "https://a.test/.well-known/oauth-protected-resource",
    )
    assert well_known_urls("https://a.test/mcp", "oauth-protected-resource") == (
        "https://a.test/.well-known/oauth-protected-resource/mcp",
        "https://a.test/.well-known/oauth-protected-resource",
    )


def test_the_connect_server_says_who_the_application_is(tmp_path: Path) -> None:
    """The document at /client.json names itself and the callback; without https there is none."""
    with AuthorizationServer() as tokens, McpServer(tokens) as server:
        with connect_server(tmp_path, integrations={"tools": entry(server)}) as product:
            assert product.visitor().ask("GET", "/client.json").status_code == 404
        config = {"oauth_server_root_url": "https://connect.example.test/nango", "product_name": "Acme"}
        with a_product(entry(server), config=config) as nango:
            document = describe_application(nango.services, nango.logins.redirect_uri)
            assert document is not None
            assert document["client_id"] == DOCUMENT
            assert document["redirect_uris"] == [DOCUMENT.replace("client.json", "oauth/callback")]
            assert (document["client_name"], document["token_endpoint_auth_method"]) == ("Acme", "none")
            tokens.changes = {"client_id_metadata_document_supported": True}
            url = nango.logins.begin("mail", "user-1", browser=COOKIE)
            assert query_of(url)["client_id"] == DOCUMENT
            assert urlsplit(url).path == "/authorize"
