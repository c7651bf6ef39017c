"""OAuth 2 without I/O: RFC 6749, PKCE (RFC 7636), JWT bearer (RFC 7523), revocation (RFC 7009).

Functions take a TokenContext and give a URL, a TokenRequest, or the credentials that a response makes.
What a provider does differently stands in the blueprint's `auth:`.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from nango_py.protocols import jwt_signing, token_responses
from nango_py.protocols.client_auth import authenticate_client, token_request
from nango_py.protocols.frames import without_error_frames

if TYPE_CHECKING:
    from nango_py.protocols.token_exchange import TokenContext, TokenRequest, TokenResponse

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SIMPLE_PATH = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")


def code_verifier() -> str:
    """A fresh PKCE verifier: 256 bits in 43 characters (RFC 7636 4.1)."""
    return secrets.token_urlsafe(32)


def code_challenge(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def uses_pkce(context: TokenContext) -> bool:
    """Whether the code is bound to a verifier: always, unless the blueprint says `pkce: false`."""
    return context.settings.get("pkce") is not False


@without_error_frames
def authorization_url(context: TokenContext, *, redirect_uri: str, state: str, verifier: str = "") -> str:
    """Where the user's browser is sent (RFC 6749 4.1.1).

    Args:
        context: `authorization_params` may add parameters and replace those of the protocol, but for
            state, redirect_uri and the PKCE challenge.
        redirect_uri: where the browser comes back to.
        state: binds the response to the browser; the caller makes and checks it.
        verifier: of `code_verifier`; it is not sent, only its S256 challenge, and that if `uses_pkce`.
    """
    params: dict[str, str] = {"response_type": "code", "client_id": context.app_text("oauth_client_id")}
    if context.scopes:
        params["scope"] = _scope(context)
    params |= context.rendered(context.settings.get("authorization_params"), "authorization_params")
    params |= {"redirect_uri": redirect_uri, "state": state}
    for name in ("code_challenge", "code_challenge_method"):
        params.pop(name, None)
    if verifier and uses_pkce(context):
        params |= {"code_challenge": code_challenge(verifier), "code_challenge_method": "S256"}
    url = context.url("authorization_url")
    query = urlencode({name: value for name, value in params.items() if value != ""}, quote_via=quote)
    return f"{url}{'&' if '?' in url else '?'}{query}"


@without_error_frames
def code_request(context: TokenContext, *, code: str, redirect_uri: str, verifier: str = "") -> TokenRequest:
    """The exchange of an authorization code (RFC 6749 4.1.3)."""
    own = {"grant_type": "authorization_code", **_declared(context, "token_params")}
    own |= {"code": code, "redirect_uri": redirect_uri}
    if verifier and uses_pkce(context):
        own["code_verifier"] = verifier
    return _request(context, own)


@without_error_frames
def refresh_request(context: TokenContext) -> TokenRequest:
    """The use of a refresh token (RFC 6749 6), at `refresh_url` where the blueprint has one.

    `refresh_params` takes the place of `token_params`. Scopes are not sent: the grant keeps its own.
    """
    if context.settings.get("refresh_params") is not None:
        own = {"grant_type": "refresh_token", **_declared(context, "refresh_params")}
    else:
        own = {**_declared(context, "token_params"), "grant_type": "refresh_token"}
    own["refresh_token"] = context.credentials["refresh_token"]
    return _request(context, own, "refresh_url" if context.settings.get("refresh_url") else "token_url")


@without_error_frames
def client_credentials_request(context: TokenContext) -> TokenRequest:
    """A token for the application itself (RFC 6749 4.4); `token_params` may name another grant_type."""
    own: dict[str, Any] = {"grant_type": "client_credentials"}
    if context.scopes:
        own["scope"] = _scope(context)
    return _request(context, {**own, **_declared(context, "token_params")})


@without_error_frames
def jwt_bearer_request(context: TokenContext) -> TokenRequest:
    """A token for a signed assertion (RFC 7523 2.1), in the body or, as GitHub Apps do, as bearer token."""
    settings = context.settings.get("assertion") or {}
    url = context.url("token_url")
    in_header = context.text("assertion_placement", "body") == "header"
    claims = {} if in_header else {"aud": url, "jti": jwt_signing.unique_id()}
    assertion, _ = jwt_signing.sign_jwt(context, settings, "assertion", claims=claims)
    declared = _declared(context, "token_params")
    if in_header:
        return _sent(context, url, declared, {"Authorization": f"Bearer {assertion}"})
    own: dict[str, Any] = {"grant_type": JWT_BEARER, "assertion": assertion}
    if context.scopes and not settings.get("scope_claim"):
        own["scope"] = _scope(context)
    params = {**own, **declared}
    headers: dict[str, str] = {}
    if "authorization_method" in context.settings:
        params, headers = authenticate_client(context, params, url)
    return _sent(context, url, params, headers)


@without_error_frames
def revocation_requests(context: TokenContext) -> tuple[TokenRequest, ...]:
    """What withdraws the grant (RFC 7009), refresh token first; () where the blueprint names no URL."""
    if not context.settings.get("revocation_url"):
        return ()
    url = context.url("revocation_url")
    found = []
    for name in ("refresh_token", "access_token"):
        token = context.credentials.get(name)
        if isinstance(token, str) and token:
            params, headers = authenticate_client(context, {"token": token, "token_type_hint": name}, url)
            found.append(token_request(url, params, headers))
    return tuple(found)


@without_error_frames
def read_credentials(context: TokenContext, response: TokenResponse) -> dict[str, Any]:
    """The credentials to store after a token response.

    What the connection had and the response does not repeat is kept: the refresh token (RFC 6749 6), the
        scope,
    members of `raw`. An `expires_at` is not: where the response says nothing, nothing is known.

    Raises:
        TokenRefused, TokenUnavailable: see `token_responses.granted`.
    """
    found = token_responses.read_token_response(response, context.now)
    path = context.text("token_path", "access_token")
    sibling = path.rpartition(".")[0] if _SIMPLE_PATH.fullmatch(path) else ""
    token = token_responses.check_token(token_responses.search_path(path, found, "token_path", context))
    kept = {key: value for key, value in context.credentials.items() if key != "expires_at"}
    stored: dict[str, Any] = {**kept, "access_token": token}
    refresh_path = context.text("refresh_token_path", f"{sibling}.refresh_token".lstrip("."))
    refresh = token_responses.search_path(refresh_path, found, "refresh_token_path", context)
    if isinstance(refresh, str) and refresh:
        stored["refresh_token"] = token_responses.check_token(refresh)
    expires_at = token_responses.read_expiry(context, response, found, sibling)
    if expires_at is not None:
        stored["expires_at"] = expires_at
    holder = token_responses.search_path(sibling, found, "token_path", context) if sibling else found
    stored |= _words(holder if isinstance(holder, Mapping) else {})
    if "scope" not in stored and context.scopes:
        stored["scope"] = _scope(context)  # a response without scope grants what was asked for: RFC 6749 5.1
    old = context.credentials.get("raw")
    stored["raw"] = {**(old if isinstance(old, Mapping) else {}), **found}
    return stored


@without_error_frames
def values_to_keep(
    context: TokenContext, response: TokenResponse, callback: Mapping[str, str]
) -> dict[str, Any]:
    """What the blueprint wants kept in additional_config: `keep_from_response` and `keep_from_callback`.

    Call it after `credentials_of` accepted the response. Values that are not there are left out.
    """
    found = token_responses.decode_body(response)
    kept: dict[str, Any] = {}
    for name, path in (context.settings.get("keep_from_response") or {}).items():
        value = token_responses.search_path(str.__str__(path), found, f"keep_from_response.{name}", context)
        if isinstance(value, str | int | float):
            kept[name] = value
    for name in context.settings.get("keep_from_callback") or ():
        if name in callback:
            kept[str.__str__(name)] = callback[name]
    return kept


def _words(holder: Mapping[str, Any]) -> dict[str, Any]:
    """token_type and scope where they are texts; a list of scopes is joined by blanks."""
    found: dict[str, Any] = {}
    if isinstance(holder.get("token_type"), str):
        found["token_type"] = holder["token_type"]
    scope = holder.get("scope")
    if isinstance(scope, list):
        scope = " ".join(word for word in scope if isinstance(word, str))
    if isinstance(scope, str):
        found["scope"] = scope
    return found


def _scope(context: TokenContext) -> str:
    return context.text("scope_separator", " ").join(context.scopes)


def _declared(context: TokenContext, key: str) -> dict[str, Any]:
    return context.rendered(context.settings.get(key), key)


def _request(context: TokenContext, params: Mapping[str, Any], url_key: str = "token_url") -> TokenRequest:
    url = context.url(url_key)
    params, headers = authenticate_client(context, params, url)
    return _sent(context, url, params, headers)


def _sent(
    context: TokenContext, url: str, params: Mapping[str, Any], headers: Mapping[str, str]
) -> TokenRequest:
    declared = context.headers(context.settings.get("token_headers"), "token_headers")
    own = {name: value for name, value in headers.items() if name.lower() not in map(str.lower, declared)}
    return token_request(
        url, params, {**own, **declared},
        method=context.text("token_method", "POST"), body_format=context.text("body_format", "form"),
    )  # fmt: skip
