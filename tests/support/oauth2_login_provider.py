"""OAuth providers with a login page, on a real socket: what a browser, a connect server and an API meet.

    with LoginProvider(rotation="strict", life=10) as provider:
        nango = Nango({"mail": provider.entry()}, ...)
        callback = consent(logins.begin("mail", "user-1"))        # what a user's browser does
        provider.token_calls, provider.api_calls                   # what really happened

The rules of the protocol are Authlib's, the independent implementation that ours is measured by: code grant,
PKCE (required), refresh tokens, and all kinds of client authentication. `tests.support.oauth1_login_provider`
has the same for OAuth 1.0a.
"""

from __future__ import annotations

import html
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import urlencode, urlsplit

import requests
from authlib.common.security import generate_token
from authlib.oauth2.rfc6749 import (
    AuthorizationCodeMixin,
    AuthorizationServer,
    ClientMixin,
    InvalidRequestError,
    OAuth2Error,
    OAuth2Request,
    grants,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter

from tests.support.nango_at_server import QUICK, WIDE
from tests.support.provider_grants import CLIENT_ID, CLIENT_SECRET, Family, Grants
from tests.support.provider_server import ProviderRequest, ProviderResponse, Served
from tests.support.token_contexts import pem, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

METHODS = {
    "client_secret_basic": "header",
    "client_secret_post": "body",
    "none": "none",
    "private_key_jwt": "private_key_jwt",
}
"""How a client says who it is: the word of RFC 7591, and ours."""

SCOPES = ["things.read", "things.write"]

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<link rel="icon" href="data:,"><title>Sign in to Mail</title></head>
<body><main><h1>Sign in to Mail</h1>
<p>{client} asks for: <span id="scopes">{scopes}</span></p>
<form method="post" action="{action}">
<label>User <input name="user" value="{user}"></label>
<button id="allow" name="decision" value="allow">Allow</button>
<button id="deny" name="decision" value="deny">Deny</button>
</form></main></body></html>
"""
"""The consent page: a real browser can use it, and nothing in it runs a script."""


def consent(url: str, decision: str = "allow", user: str = "sarah") -> str:
    """What a user does in a browser: open the login page, choose. The URL that the provider redirects to."""
    page = requests.get(url, timeout=10, allow_redirects=False)
    if page.is_redirect:
        return page.headers["Location"]
    assert page.status_code == 200, page.text
    assert "Allow" in page.text
    form = {"decision": decision, "user": user}
    response = requests.post(url, data=form, timeout=10, allow_redirects=False)
    assert response.is_redirect, response.text
    return response.headers["Location"]


class LoginProvider(Served, Grants):
    """An authorization server with a login page, a token endpoint and an API.

    Args:
        client_auth: how the one client has to say who it is, a key of METHODS.
        rotation: of refresh tokens: `none`, `grace`, or `strict`, where the use of an old one withdraws all.
        life: of an access token, in seconds.
        grace_seconds: how long a replaced refresh token still works under `grace`.
        now: unix seconds.
        requires_pkce: whether a login without a challenge is refused.
        issuer: what redirects say of who sends them: `right`, `wrong` or `none`.
        grants: the scopes that the user allows; all that are incoming for by default.
        coop: whether pages cut themselves off from the window that opened them.
        prefix: stands in every token and code.

    Attributes:
        authorizations: the parameters of each login page that was opened.
        token_calls: (grant type, outcome, parameters) of each token call.
        api_calls: (token, status) of each API call.
        refusals: parameters with which the next redirects say no, one each, `error` and others.
        token_faults: responses that replace those of the next token requests, one each.
        token_fields: further members of each token response.
        gate: while it is clear, token calls wait; `arrived` is released for each that came in.
    """

    routes: ClassVar[dict[str, str]] = {"/authorize": "authorize", "/token": "token", "/api": "api"}

    def __init__(
        self,
        client_auth: str = "client_secret_post",
        rotation: str = "none",
        *,
        life: int = 3600,
        grace_seconds: float = 60,
        now: Callable[[], float] = time.time,
        requires_pkce: bool = True,
        issuer: str = "right",
        grants: tuple[str, ...] | None = None,
        coop: bool = False,
        prefix: str = "",
    ) -> None:
        self.client = Client(client_auth)
        Grants.__init__(self, rotation, life, grace_seconds, now)
        self.requires_pkce, self.issuer, self.grants = requires_pkce, issuer, grants
        self.coop, self.prefix = coop, prefix
        self.token_fields: dict[str, Any] = {}
        self.authorizations: list[dict[str, str]] = []
        self.token_calls: list[tuple[str, str, dict[str, str]]] = []
        self.api_calls: list[tuple[str, int]] = []
        self.refusals: deque[dict[str, str]] = deque()
        self.token_faults: deque[ProviderResponse] = deque()
        self.codes: dict[str, Code] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Semaphore(0)

    def __enter__(self) -> Self:
        super().__enter__()
        self._authlib = _authlib_server(self)
        return self

    def auth(self, **more: Any) -> dict[str, Any]:
        """The `auth:` block that fits this provider."""
        found = {
            "auth_mode": "OAUTH2",
            "authorization_url": f"{self.url}/authorize",
            "token_url": f"{self.url}/token",
            "authorization_method": METHODS[self.client.method],
        }
        if self.issuer != "none":
            found["issuer"] = self.url
        if self.client.method == "private_key_jwt":
            found["client_assertion"] = {"algorithm": "RS256"}
        return {**found, **more}

    def entry(self, auth: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """An entry of integrations.yaml for this provider and the API behind it."""
        secrets = {
            "client_secret_basic": CLIENT_SECRET,
            "client_secret_post": CLIENT_SECRET,
            "private_key_jwt": pem(rsa_key()),
        }
        secret = secrets.get(self.client.method)
        return {
            "auth": self.auth(**(auth or {})),
            "oauth_client_id": CLIENT_ID,
            **({"oauth_client_secret": secret} if secret else {}),
            "oauth_scopes": SCOPES,
            "requests": {
                "base_url": f"{self.url}/api/",
                "headers": {"Authorization": "Bearer ${access_token}"},
                "allow_http": True,
            },
            "retries": {"backoff": QUICK},
            "rate_limits": WIDE,
            **more,
        }

    def exchanges(self) -> list[str]:
        """The outcomes of the token calls that brought a code."""
        return [outcome for kind, outcome, _ in self.token_calls if kind == "authorization_code"]

    def authorize(self, incoming: ProviderRequest) -> ProviderResponse:
        """The login page, and what comes of it."""
        request = Request(incoming)
        if incoming.method == "GET":
            self.authorizations.append(incoming.query)
        try:
            grant = self._authlib.get_consent_grant(request)
        except OAuth2Error as error:
            return self._authlib.handle_error_response(request, error)
        if incoming.method == "GET":
            page = PAGE.format(
                client=html.escape(request.payload.client_id or ""),
                scopes=html.escape(request.payload.scope or ""),
                action=html.escape(incoming.target), user="sarah",
            )  # fmt: skip
            headers = {"Cross-Origin-Opener-Policy": "same-origin"} if self.coop else {}
            return ProviderResponse(200, page, {"Content-Type": "text/html; charset=utf-8", **headers})
        if self.refusals:
            params = {"state": request.payload.state or "", **self.refusals.popleft()}
            return ProviderResponse(
                302, "", {"Location": f"{request.payload.redirect_uri}?{urlencode(params)}"}
            )
        allowed = incoming.form.get("decision") == "allow"
        user = incoming.form.get("user", "") if allowed else None
        found: ProviderResponse = self._authlib.create_authorization_response(
            request, grant_user=user, grant=grant
        )
        return found

    def token(self, incoming: ProviderRequest) -> ProviderResponse:
        """The token endpoint."""
        request = Request(incoming)
        kind = incoming.form.get("grant_type", "")
        self.arrived.release()
        self.gate.wait()
        with self.lock:
            if self.token_faults:
                self.token_calls.append((kind, "fault", incoming.form))
                return self.token_faults.popleft()
            response: ProviderResponse = self._authlib.create_token_response(request)
            outcome = "granted" if response.status == 200 else response.body.get("error", "")
            self.token_calls.append((kind, outcome, incoming.form))
            return response

    def api(self, incoming: ProviderRequest) -> ProviderResponse:
        """The API: who the token's user is."""
        token = incoming.headers.get("Authorization", "").removeprefix("Bearer ")
        with self.lock:
            family = self.holder(token)
            self.api_calls.append((token, 401 if family is None else 200))
        if family is None:
            return ProviderResponse(401, {"error": "invalid_token"})
        return ProviderResponse(200, {"user": family.user, "scope": family.scope, "path": incoming.path})


@dataclass
class Client(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """The one client that the provider knows."""

    method: str
    id: str = CLIENT_ID

    def get_client_id(self) -> str:
        """Its id."""
        return self.id

    def get_default_redirect_uri(self) -> None:
        """It has to name one."""

    def get_allowed_scope(self, scope: str | None) -> str:
        """What it may ask for."""
        return " ".join(word for word in (scope or "").split() if word in SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Only this machine, and the products of tests."""
        host = urlsplit(redirect_uri).hostname or ""
        return host in {"127.0.0.1", "localhost"} or host.endswith(".product.test")

    def check_client_secret(self, client_secret: str) -> bool:
        """Whether it is the one."""
        return client_secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Only the one way."""
        return method == self.method

    def check_response_type(self, response_type: str) -> bool:
        """Codes only."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Codes and refresh tokens."""
        return grant_type in {"authorization_code", "refresh_token"}


@dataclass
class Code(AuthorizationCodeMixin):  # type: ignore[misc]
    """An authorization code."""

    redirect_uri: str
    scope: str
    user: str
    code_challenge: str | None
    code_challenge_method: str | None
    ends: float
    family: Family | None = None

    def get_redirect_uri(self) -> str:
        """The one that it was made for."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """What the user allowed."""
        return self.scope


class Request(OAuth2Request):  # type: ignore[misc]
    """A request as Authlib reads it; it believes in https."""

    def __init__(self, incoming: ProviderRequest) -> None:
        super().__init__(incoming.method, f"https://provider.test{incoming.target}", headers=incoming.headers)
        self._args, self._form = incoming.query, incoming.form
        self.payload = BasicOAuth2Payload({**incoming.query, **incoming.form})

    @property
    def args(self) -> dict[str, str]:
        """The query."""
        return self._args

    @property
    def form(self) -> dict[str, str]:
        """The body."""
        return self._form


def _authlib_server(provider: LoginProvider) -> Any:  # noqa: C901 - one class for each rule of Authlib
    """Authlib's server and grants over the provider's memory."""

    class Server(AuthorizationServer):  # type: ignore[misc]
        def query_client(self, client_id: str) -> Client | None:
            return provider.client if client_id == provider.client.id else None

        def save_token(self, token: dict[str, Any], request: Request) -> None:
            token.update(provider.token_fields)
            family = request.refresh_token
            if family is None:
                code = request.authorization_code
                family = code.family = Family(request.user, token.get("scope", ""))
            if token.get("refresh_token"):
                provider.keep_refresh(family, token["refresh_token"])
            provider.keep_access(family, token["access_token"])

        def send_signal(self, *_: Any, **__: Any) -> None:
            pass

        def create_oauth2_request(self, request: Request) -> Request:
            return request

        def handle_response(self, status: int, body: Any, headers: Any) -> ProviderResponse:
            return ProviderResponse(status, body, dict(headers))

    class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = list(METHODS)

        def generate_authorization_code(self) -> str:
            return f"{provider.prefix}{generate_token(32)}{provider.prefix}"

        def save_authorization_code(self, code: str, request: Request) -> None:
            allowed = provider.grants
            scope = " ".join(word for word in request.scope.split() if allowed is None or word in allowed)
            data = request.payload.data
            provider.codes[code] = Code(
                data["redirect_uri"], scope, request.user, data.get("code_challenge"),
                data.get("code_challenge_method"), provider.now() + 60,
            )  # fmt: skip

        def query_authorization_code(self, code: str, client: Client) -> Code | None:
            found = provider.codes.get(code)
            if found is not None and found.family is not None:
                found.family.is_revoked = True  # used twice: RFC 6749 4.1.2
                return None
            return found if found is not None and found.ends > provider.now() else None

        def delete_authorization_code(self, authorization_code: Code) -> None:
            pass  # kept, so that a second use is seen

        def authenticate_user(self, authorization_code: Code) -> str:
            return authorization_code.user

    class RefreshGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = list(METHODS)
        INCLUDE_NEW_REFRESH_TOKEN = provider.rotation != "none"

        def authenticate_refresh_token(self, refresh_token: str) -> Family | None:
            return provider.redeem(refresh_token)[0]

        def authenticate_user(self, refresh_token: Family) -> str:
            return refresh_token.user

        def revoke_old_credential(self, refresh_token: Family) -> None:
            pass  # save_token has put the old one aside

    class Challenge(CodeChallenge):  # type: ignore[misc]
        def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
            data = grant.request.payload.data
            if provider.requires_pkce and data.get("code_challenge_method") != "S256":
                raise InvalidRequestError("PKCE with S256 is required")
            super().validate_code_challenge(grant, redirect_uri)

    class Issuer(IssuerParameter):  # type: ignore[misc]
        def __init__(self, _: Any) -> None:
            pass

        def get_issuer(self) -> str | None:
            return {"right": provider.url, "wrong": "https://evil.example.test"}.get(provider.issuer)

    class Assertion(JWTBearerClientAssertion):  # type: ignore[misc]
        CLIENT_AUTH_METHOD = "private_key_jwt"
        seen: ClassVar[set[str]] = set()

        def get_audiences(self) -> list[str]:
            return [f"{provider.url}/token"]

        def validate_jti(self, claims: Any, jti: str) -> bool:
            is_new = jti not in self.seen
            self.seen.add(jti)
            return is_new

        def resolve_client_public_key(self, client: Client) -> Any:
            from joserfc.jwk import RSAKey

            return RSAKey.import_key(rsa_key().public_key())

    def named(*_: Any, **__: Any) -> str:
        return f"{provider.prefix}{generate_token(30)}{provider.prefix}"

    server = Server()
    server.register_token_generator("default", BearerTokenGenerator(named, named, lambda *_: provider.life))
    server.register_grant(CodeGrant, [Challenge(required=True)])
    server.register_grant(RefreshGrant)
    server.register_client_auth_method("private_key_jwt", Assertion())
    issuer = Issuer(server)
    issuer(server)
    return server
