"""OAuth 2 of a sandbox: authorization and token endpoint (RFC 6749, 7523, 7636), revocation (RFC 7009)."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nango_py.record import record
from nango_py.sandbox.documents import write_at_path
from nango_py.sandbox.expressions import unwrap
from nango_py.sandbox.logins.requests import RefusedError
from nango_py.sandbox.logins.session_steps import SessionSteps
from nango_py.sandbox.made_up import made_up_setting
from nango_py.sandbox.responses import SandboxResponse
from nango_py.sandbox.saml_assertions import read_assertion
from nango_py.sandbox.signed_tokens import read_signed_token, s256

if TYPE_CHECKING:
    from nango_py.clock import Clock
    from nango_py.json_types import JsonValue
    from nango_py.sandbox.logins.provider import Provider
    from nango_py.sandbox.logins.requests import LoginRequest
    from nango_py.sandbox.logins.tokens import IssuedToken, TokenBook

_CODE_SECONDS = 600.0
_NO_STORE = {"Cache-Control": "no-store"}


@record
class _Code:
    """What an authorization code stands for."""

    user: str
    client_id: str
    redirect_uri: str
    scope: str
    challenge: str
    ends: float


class OAuth2Endpoints:
    """The endpoints of the modes OAUTH2, OAUTH2_CC, OAUTH2_JWT, OAUTH2_SAML and TOKEN_EXCHANGE.

    Args:
        provider: the blueprint.
        tokens: issues the tokens.
        clock: the time.
    """

    def __init__(self, provider: Provider, tokens: TokenBook, clock: Clock) -> None:
        self._provider = provider
        self._tokens = tokens
        self._clock = clock
        self.sessions = SessionSteps(provider, clock)
        self._codes: dict[str, _Code] = {}
        self._used_codes: dict[str, str] = {}
        self._pushed: dict[str, dict[str, str]] = {}
        self._device_codes: dict[str, str] = {}

    def read_params(self, params: Mapping[str, str]) -> dict[str, str]:
        """The parameters under the names of RFC 6749; those that were pushed, for a reference to them."""
        names = {self._provider.text(f"{name}_param", name): name for name in ("client_id", "code")}
        named = {names.get(name, name): value for name, value in params.items()}
        return {**self._pushed.get(named.get("request_uri", ""), {}), **named}

    def push(self, request: LoginRequest) -> SandboxResponse:
        """The response of the endpoint for pushed authorization requests (RFC 9126)."""
        params = self.read_params(request.form())
        try:
            self._check_client(request, params)
            self.check_authorization(params)
        except RefusedError as refused:
            return _refuse(refused)
        uri = f"urn:ietf:params:oauth:request_uri:{secrets.token_urlsafe(24)}"
        self._pushed[uri] = {name: value for name, value in params.items() if name != "client_secret"}
        return SandboxResponse.of({"request_uri": uri, "expires_in": 60}, status=201)

    def give_codes(self, request: LoginRequest) -> SandboxResponse:
        """The codes of the device flow (RFC 8628). A user of the sandbox agrees at once."""
        params = self.read_params(request.form())
        try:
            self._check_client(request, params)
        except RefusedError as refused:
            return _refuse(refused)
        code = f"device_{secrets.token_urlsafe(24)}"
        self._device_codes[code] = params.get("scope", "")
        uri = "https://sandbox.example.com/device"
        codes: dict[str, JsonValue] = {"device_code": code, "user_code": "SAND-BOX1", "verification_uri": uri}
        return SandboxResponse.of({**codes, "expires_in": 600, "interval": 0.01})

    def check_authorization(self, params: Mapping[str, str]) -> None:
        """Refuse an authorization request that no page should be shown for (RFC 6749 section 4.1.2.1).

        Raises:
            RefusedError: the client, the redirect URI or the challenge is wrong.
        """
        provider = self._provider
        if params.get("response_type") != "code":
            raise RefusedError("unsupported_response_type", "response_type must be code")
        expected = provider.client_id
        if not params.get("client_id") or (expected and params["client_id"] != expected):
            raise RefusedError("invalid_client", "client_id is unknown")
        if "://" not in params.get("redirect_uri", ""):
            raise RefusedError("invalid_request", "redirect_uri is not a URL")
        challenge = params.get("code_challenge", "")
        if challenge and (provider.pkce == "unsupported" or params.get("code_challenge_method") != "S256"):
            raise RefusedError("invalid_request", "this code challenge is not supported")
        if provider.pkce == "required" and not challenge:
            raise RefusedError("invalid_request", "a code_challenge is required")
        for name, template in (provider.auth.get("authorization_params") or {}).items():
            wanted = provider.render_for(template, {})
            if wanted and name not in {"scope", "client_id", "response_type"} and params.get(name) != wanted:
                raise RefusedError("invalid_request", f"{name} must be {wanted}")

    def grant(self, params: Mapping[str, str], user: str) -> dict[str, str]:
        """The parameters of the callback after the user agreed."""
        code = f"code_{secrets.token_urlsafe(24)}"
        self._codes[code] = _Code(
            user,
            params["client_id"],
            params["redirect_uri"],
            params.get("scope", ""),
            params.get("code_challenge", ""),
            self._clock.monotonic() + _CODE_SECONDS,
        )
        names = self._provider.auth.get("keep_from_callback") or ()
        named = names.items() if isinstance(names, Mapping) else zip(names, names, strict=True)
        kept = {
            unwrap(param): str(made_up_setting(self._provider.settings, unwrap(name)))
            for name, param in named
        }
        return {**kept, self._callback_param("code"): code, **self._state_and_issuer(params)}

    def deny(self, params: Mapping[str, str]) -> dict[str, str]:
        """The parameters of the callback after the user declined."""
        denied = {
            self._callback_param("error"): "access_denied",
            self._callback_param("error_description"): "The user declined.",
        }
        return {**denied, **self._state_and_issuer(params)}

    def _callback_param(self, name: str) -> str:
        """What the provider calls a parameter of the callback."""
        return unwrap((self._provider.auth.get("callback_params") or {}).get(name) or name)

    def _state_and_issuer(self, params: Mapping[str, str]) -> dict[str, str]:
        issuer = self._provider.text("issuer")
        state = {"state": params["state"]} if "state" in params else {}
        return {**state, **({"iss": issuer} if issuer else {})}

    def respond(self, request: LoginRequest, *, is_refresh_url: bool) -> SandboxResponse:
        """The response of the token endpoint.

        Args:
            request: the request.
            is_refresh_url: whether it came to the `refresh_url`.
        """
        try:
            issued = self._exchange(request, is_refresh_url=is_refresh_url)
        except RefusedError as refused:
            status, body = self._provider.refusal(refused)
            challenge = {"WWW-Authenticate": "Basic"} if status == 401 else {}  # noqa: PLR2004
            return SandboxResponse.of(body, status=status, headers={**_NO_STORE, **challenge})
        return SandboxResponse.of(self._document(self.sessions.exchange(issued)), headers=_NO_STORE)

    def _exchange(self, request: LoginRequest, *, is_refresh_url: bool) -> IssuedToken:
        provider = self._provider
        if request.method != provider.text("token_method", "POST"):
            raise RefusedError("invalid_request", f"{request.method} is not supported", status=405)
        params = self.read_params(request.params(provider.text("body_format", "form")))
        if provider.mode in {"OAUTH2_JWT", "OAUTH2_SAML"}:
            is_jwt = provider.mode == "OAUTH2_JWT"
            return self._exchange_assertion(request, params) if is_jwt else self._exchange_saml(params)
        if provider.mode == "OAUTH2_CC":
            return self._exchange_client(request, params)
        self._check_client(request, params)
        if "device_code" in params:
            return self._exchange_device_code(params["device_code"])
        if provider.mode == "TOKEN_EXCHANGE":
            return self._exchange_subject(params)
        if "refresh_token" in params:
            if bool(provider.auth.get("refresh_url")) != is_refresh_url:
                raise RefusedError("invalid_request", "this endpoint does not refresh tokens")
            issued = self._tokens.refresh(params["refresh_token"])
            if issued is not None:
                return issued
            raise RefusedError("invalid_grant", "the refresh token is not valid", ends_grant=True)
        if params.get("grant_type") == "client_credentials":
            return self._tokens.issue("application", params.get("scope", ""), is_refreshable=False)
        return self._exchange_code(params)

    def _exchange_device_code(self, device_code: str) -> IssuedToken:
        scope = self._device_codes.pop(device_code, None)
        if scope is None:
            raise RefusedError("expired_token", "the device code is unknown or was used")
        return self._tokens.issue(next(iter(self._provider.users or ("user-1",))), scope)

    def _exchange_subject(self, params: Mapping[str, str]) -> IssuedToken:
        """A subject token of a user of the sandbox (RFC 8693 section 2.1)."""
        subject, users = params.get("subject_token", ""), self._provider.users
        owner = next(
            (user for user, given in (users or {}).items() if given.get("subject_token") == subject), ""
        )
        if not subject or not params.get("subject_token_type") or (users is not None and not owner):
            raise RefusedError("invalid_request", "the subject token is not valid", ends_grant=True)
        return self._tokens.issue(owner or "user-1", params.get("scope", ""), is_refreshable=False)

    def _exchange_code(self, params: Mapping[str, str]) -> IssuedToken:
        code = self._codes.pop(params.get("code", ""), None)
        if code is None:
            self._revoke_tokens_of(params.get("code", ""))
            raise RefusedError("invalid_grant", "the code is unknown or was used")
        if self._clock.monotonic() > code.ends:
            raise RefusedError("invalid_grant", "the code has expired")
        if params.get("redirect_uri") != code.redirect_uri:
            raise RefusedError("invalid_grant", "redirect_uri is not that of the login")
        verifier = params.get("code_verifier", "")
        if bool(verifier) != bool(code.challenge) or (verifier and s256(verifier) != code.challenge):
            raise RefusedError("invalid_grant", "code_verifier does not match the challenge")
        issued = self._tokens.issue(code.user, code.scope)
        self._used_codes[params["code"]] = issued.refresh_token or issued.access_token
        return issued

    def _revoke_tokens_of(self, code: str) -> None:
        """A code that is used twice ends what it granted (RFC 6749 section 4.1.2)."""
        if code in self._used_codes:
            self._tokens.revoke(self._used_codes[code])

    def _exchange_client(self, request: LoginRequest, params: Mapping[str, str]) -> IssuedToken:
        """Client credentials, or a password, of a user of the sandbox."""
        client_id, secret = self._read_client(request, params)
        password = params.get("username"), params.get("password")
        for user, given in (self._provider.users or {}).items():
            own = given.get("client_id") or self._provider.client_id
            own_secret = given.get("client_secret") or self._provider.client_secret
            names_user = (
                not given.get("username")
                or password[0] is None
                or password
                == (
                    given.get("username"),
                    given.get("password"),
                )
            )
            if names_user and client_id == own and _is_equal(secret, str(own_secret or "")):
                return self._tokens.issue(user, params.get("scope", ""), is_refreshable=False)
        if self._provider.users is not None or not client_id or not secret:
            raise RefusedError("invalid_client", "unknown client credentials", status=401)
        return self._tokens.issue(client_id, params.get("scope", ""), is_refreshable=False)

    def _exchange_assertion(self, request: LoginRequest, params: Mapping[str, str]) -> IssuedToken:
        """A signed assertion, from the place that the blueprint declares (RFC 7523 section 2.1)."""
        provider = self._provider
        if provider.text("assertion_placement", "body") == "header":
            scheme, _, assertion = request.headers.get("authorization", "").partition(" ")
            assertion = assertion if scheme == "Bearer" else ""
        else:
            assertion = params.get("assertion", "")
        template = (provider.auth.get("assertion") or {}).get("signing_key", "${private_key}")
        users: Mapping[str, Mapping[str, object]] = provider.users or {"": {}}
        for user, given in users.items():
            key = provider.render_for(template, given) or ""
            claims = read_signed_token(assertion, key, self._clock.now())
            if claims is not None:
                owner = user or str(claims.get("iss") or "user-1")
                return self._tokens.issue(owner, params.get("scope", ""), is_refreshable=False)
        raise RefusedError("invalid_grant", "the assertion is not valid", ends_grant=True)

    def _exchange_saml(self, params: Mapping[str, str]) -> IssuedToken:
        """A signed SAML assertion whose subject is a user of the sandbox (RFC 7522 section 2.1)."""
        provider, now = self._provider, self._clock.now()
        settings = provider.auth.get("saml_assertion") or {}
        users: Mapping[str, Mapping[str, object]] = provider.users or {"": {}}
        for user, given in users.items():
            key = provider.render_for(settings.get("signing_key", "${private_key}"), given) or ""
            found = read_assertion(params.get("assertion", ""), key, now)
            subject = provider.render_for(settings.get("subject", "${username}"), given)
            if found is not None and subject in {None, found.subject}:
                owner = user or found.subject or "user-1"
                return self._tokens.issue(owner, params.get("scope", ""), is_refreshable=False)
        raise RefusedError("invalid_grant", "the assertion is not valid", ends_grant=True)

    def _check_client(self, request: LoginRequest, params: Mapping[str, str]) -> None:
        provider = self._provider
        client_id, secret = self._read_client(request, params)
        default = "none" if provider.mode == "MCP_OAUTH2" else "body"
        method = provider.text("authorization_method", default)
        is_known = bool(client_id) and client_id == (provider.client_id or client_id)
        if method == "private_key_jwt":
            template = (provider.auth.get("client_assertion") or {}).get(
                "signing_key", "${oauth_client_secret}"
            )
            key = provider.render_for(template, {}) or ""
            is_known = is_known and read_signed_token(secret, key, self._clock.now()) is not None
        elif method != "none":
            is_known = is_known and bool(secret) and _is_equal(secret, provider.client_secret or secret)
        if not is_known:
            raise RefusedError("invalid_client", "the client is unknown, or its secret is wrong", status=401)

    def _read_client(self, request: LoginRequest, params: Mapping[str, str]) -> tuple[str, str]:
        """Client id and secret, from the place that the blueprint declares (RFC 6749 section 2.3)."""
        method = self._provider.text("authorization_method", "body")
        if method == "header":
            return request.basic_credentials() or ("", "")
        name = "client_assertion" if method == "private_key_jwt" else "client_secret"
        return params.get("client_id", ""), params.get(name, "")

    def _document(self, issued: IssuedToken) -> JsonValue:
        provider = self._provider
        path = provider.text("token_path", "access_token")
        parent = path.rpartition(".")[0]
        prefix = f"{parent}." if parent else ""
        document = provider.raw_example()
        values: dict[str, JsonValue] = {path: issued.access_token, f"{prefix}token_type": "Bearer"}
        if issued.refresh_token:
            values[provider.text("refresh_token_path", f"{prefix}refresh_token")] = issued.refresh_token
        if issued.scope:
            values[f"{prefix}scope"] = issued.scope
        for each, value in values.items():
            document = write_at_path(document, each, value)
        if issued.lifetime_seconds is not None:
            now = self._clock.now()
            document = provider.expiry(document, issued.lifetime_seconds, now, prefix)
        return provider.fill(document)

    def revoke(self, request: LoginRequest) -> SandboxResponse:
        """The response of the revocation endpoint, which is a 200 for unknown tokens too (RFC 7009 2.2)."""
        params = request.form()
        try:
            self._check_client(request, params)
        except RefusedError as refused:
            return _refuse(refused)
        self._tokens.revoke(params.get("token", ""))
        return SandboxResponse()


def _refuse(refused: RefusedError) -> SandboxResponse:
    return SandboxResponse.of({"error": refused.code}, status=refused.status)


def _is_equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))
