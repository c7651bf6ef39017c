"""OAuth 2 without I/O: RFC 6749, PKCE (7636), JWT and SAML bearer (7523, 7522), and revocation (7009).

The functions take a TokenContext and return a URL, a TokenRequest, or the credentials in a response. What a
provider does differently is in the `auth:` section of its blueprint.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from nango_py.protocols import jwt_signing, token_responses
from nango_py.protocols.client_auth import (
    add_query,
    authenticate_client,
    build_token_request,
    client_credentials,
    client_id_param,
)
from nango_py.protocols.token_exchange import TokenUnavailable
from nango_py.record import replaced
from nango_py.secret import without_frames

if TYPE_CHECKING:
    from nango_py.json_types import JsonObject, JsonValue, Settings
    from nango_py.protocols.token_exchange import TokenContext, TokenRequest, TokenResponse

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SAML_BEARER = "urn:ietf:params:oauth:grant-type:saml2-bearer"
_REQUEST_URI = re.compile(r"[\x21-\x7e]{1,2048}")
_REFRESH_LIFETIMES = ("refresh_token_expires_in", "x_refresh_token_expires_in", "refresh_expires_in")
_SIMPLE_PATH = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")


def code_verifier() -> str:
    """A new PKCE verifier: 256 random bits in 43 characters (RFC 7636 4.1)."""
    return secrets.token_urlsafe(32)


def code_challenge(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def uses_pkce(context: TokenContext) -> bool:
    """Whether to use PKCE: yes, unless the blueprint has `pkce: unsupported` or `pkce: false`."""
    return context.settings.get("pkce") not in {False, "unsupported"}


@without_frames
def authorization_url(context: TokenContext, params: Mapping[str, str]) -> str:
    """The URL for the user's browser (RFC 6749 4.1.1), with `authorization_params` or what replaces them."""
    url = context.url("authorization_url")
    query = urlencode({name: value for name, value in params.items() if value != ""}, quote_via=quote)
    return add_query(url, query)


@without_frames
def authorization_params(
    context: TokenContext, *, redirect_uri: str, state: str, verifier: str = ""
) -> dict[str, str]:
    """The parameters of a login (RFC 6749 4.1.1).

    Args:
        context: its setting `authorization_params` may add and override parameters, except for state,
            redirect_uri and the PKCE challenge.
        redirect_uri: the URL of the callback.
        state: binds the response to the browser; generated and checked by the caller.
        verifier: the result of `code_verifier`; only its S256 challenge is sent, if `uses_pkce`.
    """
    params: dict[str, str] = {"response_type": "code", client_id_param(context): _client_id(context)}
    if context.scopes:
        params["scope"] = _join_scopes(context)
    params |= context.render_all(context.settings.get("authorization_params"), "authorization_params")
    params |= {"redirect_uri": redirect_uri, "state": state}
    for name in ("code_challenge", "code_challenge_method"):
        params.pop(name, None)
    if verifier and uses_pkce(context):
        params |= {"code_challenge": code_challenge(verifier), "code_challenge_method": "S256"}
    return params


@without_frames
def pushed_request(context: TokenContext, params: Mapping[str, str]) -> TokenRequest:
    """The request that sends the parameters of a login, instead of the browser (RFC 9126 2.1)."""
    url = context.url("pushed_authorization_url")
    given = {name: value for name, value in params.items() if value != ""}
    sent, headers = authenticate_client(context, given, url)
    return build_token_request(url, sent, headers)


@without_frames
def read_pushed_response(context: TokenContext, response: TokenResponse) -> dict[str, str]:
    """The parameters of the login page after `pushed_request` (RFC 9126 2.2 and 4).

    Raises:
        TokenRefused, TokenUnavailable: see `token_responses.read_token_response`.
    """
    values = token_responses.read_token_response(response, context)
    uri = values.get("request_uri")
    if not isinstance(uri, str) or not _REQUEST_URI.fullmatch(uri):
        raise TokenUnavailable("the provider's response has no valid request_uri")
    return {client_id_param(context): _client_id(context), "request_uri": uri}


@without_frames
def code_request(context: TokenContext, *, code: str, redirect_uri: str, verifier: str = "") -> TokenRequest:
    """The exchange of an authorization code for a token (RFC 6749 4.1.3)."""
    params = {"grant_type": "authorization_code", **_render_params(context, "token_params")}
    params |= {context.text("code_param", "code"): code, "redirect_uri": redirect_uri}
    if verifier and uses_pkce(context):
        params["code_verifier"] = verifier
    return _build_authenticated_request(context, params)


@without_frames
def refresh_request(context: TokenContext) -> TokenRequest:
    """The use of a refresh token (RFC 6749 6), at `refresh_url` if the blueprint has one.

    `refresh_params` replaces `token_params`. Scopes are not sent: the grant keeps its own.
    """
    if context.settings.get("refresh_params") is not None:
        params = {"grant_type": "refresh_token", **_render_params(context, "refresh_params")}
    else:
        params = {**_render_params(context, "token_params"), "grant_type": "refresh_token"}
    params["refresh_token"] = context.credentials["refresh_token"]
    url_key = "refresh_url" if context.settings.get("refresh_url") else "token_url"
    return _build_authenticated_request(context, params, url_key)


def scope_params(context: TokenContext) -> dict[str, object]:
    """The parameter for the scopes; {} without scopes."""
    return {"scope": _join_scopes(context)} if context.scopes else {}


@without_frames
def grant_request(context: TokenContext, grant: Mapping[str, object]) -> TokenRequest:
    """A token request with the parameters of an extension grant (RFC 6749 4.5)."""
    return _build_authenticated_request(context, {**_render_params(context, "token_params"), **grant})


@without_frames
def exchange_request(context: TokenContext, default_type: str) -> TokenRequest:
    """The exchange of a subject token, and of an actor token if there is one (RFC 8693 2.1).

    Args:
        context: of a connection with a `subject_token`.
        default_type: the type of both tokens if the blueprint does not state it.
    """
    grant: dict[str, object] = {"grant_type": TOKEN_EXCHANGE, **scope_params(context)}
    for name in ("subject_token", "actor_token"):
        if context.credentials.get(name):
            grant[name] = context.credentials[name]
            grant[f"{name}_type"] = context.text(f"{name}_type", default_type)
    return grant_request(context, grant)


@without_frames
def client_credentials_request(context: TokenContext) -> TokenRequest:
    """A request for a token of the application itself (RFC 6749 4.4); `token_params` may set grant_type."""
    params = {"grant_type": "client_credentials"}
    if context.scopes:
        params["scope"] = _join_scopes(context)
    return _build_authenticated_request(context, {**params, **_render_params(context, "token_params")})


@without_frames
def jwt_bearer_request(context: TokenContext) -> TokenRequest:
    """The exchange of a signed assertion for a token (RFC 7523 2.1).

    The assertion is sent in the body or, as for GitHub Apps, as a bearer token.
    """
    settings = context.settings.get("assertion") or {}
    url = context.url("token_url")
    in_header = context.text("assertion_placement", "body") == "header"
    claims = {} if in_header else {"aud": url, "jti": jwt_signing.unique_id()}
    assertion, _ = jwt_signing.sign_jwt(context, settings, "assertion", claims=claims)
    if in_header:
        token_params = _render_params(context, "token_params")
        return _build_request(context, url, token_params, {"Authorization": f"Bearer {assertion}"})
    scope = {} if settings.get("scope_claim") else scope_params(context)
    return _assertion_request(context, url, {"grant_type": JWT_BEARER, "assertion": assertion, **scope})


@without_frames
def saml_bearer_request(context: TokenContext) -> TokenRequest:
    """The exchange of a SAML assertion for a token (RFC 7522 2.1)."""
    from nango_py.protocols import saml_assertion

    url = context.url("token_url")
    assertion = saml_assertion.sign_assertion(context, context.settings.get("saml_assertion") or {}, url)
    grant = {"grant_type": SAML_BEARER, "assertion": assertion, **scope_params(context)}
    return _assertion_request(context, url, grant)


def _assertion_request(context: TokenContext, url: str, grant: Settings) -> TokenRequest:
    """A token request with an assertion; the client authenticates if the settings say how."""
    params: dict[str, object] = {**grant, **_render_params(context, "token_params")}
    headers: dict[str, str] = {}
    if "authorization_method" in context.settings:
        params, headers = authenticate_client(context, params, url)
    return _build_request(context, url, params, headers)


@without_frames
def revocation_requests(context: TokenContext) -> tuple[TokenRequest, ...]:
    """The requests that revoke the tokens: the blueprint's own, or those of RFC 7009, refresh token first.

    There are none if the blueprint has neither `revocation` nor `revocation_url`.
    """
    own = context.settings.get("revocation")
    if own and context.credentials.get("access_token"):
        return (_own_revocation_request(context, own),)
    if not context.settings.get("revocation_url"):
        return ()
    url = context.url("revocation_url")
    requests = []
    for name in ("refresh_token", "access_token"):
        token = context.credentials.get(name)
        if isinstance(token, str) and token:
            params, headers = authenticate_client(context, {"token": token, "token_type_hint": name}, url)
            requests.append(build_token_request(url, params, headers))
    return tuple(requests)


def _own_revocation_request(context: TokenContext, own: Settings) -> TokenRequest:
    url = context.url("revocation.url", own["url"])
    params = context.render_all(own.get("body"), "revocation.body")
    method = str(own.get("authorization_method", "none"))
    headers: dict[str, str] = {}
    if method != "none":
        settings = {**context.settings, "authorization_method": method}
        params, headers = authenticate_client(replaced(context, settings=settings), params, url)
    headers |= context.render_headers(own.get("headers"), "revocation.headers")
    verb, body_format = str(own.get("method", "POST")), str(own.get("body_format", "form"))
    return build_token_request(url, params, headers, method=verb, body_format=body_format)


@without_frames
def read_credentials(
    context: TokenContext, response: TokenResponse, *, is_refresh: bool = False
) -> JsonObject:
    """The credentials to store after a token response.

    The refresh token (RFC 6749 6) and the scope stay as they are if the response does not repeat them, and so
    do the members of `raw` that templates name. `expires_at` is then unknown.

    Args:
        context: of the request.
        response: of the token endpoint.
        is_refresh: whether the request used a refresh token.

    Raises:
        TokenRefused, TokenUnavailable: see `token_responses.read_token_response`.
    """
    values = token_responses.read_token_response(response, context, is_refresh=is_refresh)
    path = context.text("token_path", "access_token")
    parent = path.rpartition(".")[0] if _SIMPLE_PATH.fullmatch(path) else ""
    token = token_responses.check_token(token_responses.search_path(path, values, "token_path", context))
    unknown = {"expires_at", "refresh_expires_at"}
    kept = {key: value for key, value in context.credentials.items() if key not in unknown}
    stored: JsonObject = {**kept, "access_token": token}
    refresh_path = context.text("refresh_token_path", f"{parent}.refresh_token".lstrip("."))
    refresh_token = token_responses.search_path(refresh_path, values, "refresh_token_path", context)
    if isinstance(refresh_token, str) and refresh_token:
        token_responses.check_token(refresh_token)
        stored["refresh_token"] = refresh_token
    expires_at = token_responses.read_expiry(context, response, values, parent)
    if expires_at is not None:
        stored["expires_at"] = expires_at
    stored |= _read_refresh_expiry(context, values, is_new="refresh_token" in stored)
    holder = token_responses.search_path(parent, values, "token_path", context) if parent else values
    stored |= _read_type_and_scope(holder if isinstance(holder, Mapping) else {})
    if "scope" not in stored and context.scopes:
        # Without scope, the response grants what was requested (RFC 6749 5.1).
        stored["scope"] = _join_scopes(context)
    stored["raw"] = token_responses.bounded_raw(context, values)
    return stored


def kept_from_callback(settings: Settings, callback: Mapping[str, str]) -> JsonObject:
    """The values that `keep_from_callback` puts into additional_config."""
    names = settings.get("keep_from_callback") or ()
    params = names if isinstance(names, Mapping) else dict(zip(names, names, strict=True))
    return {
        str.__str__(name): callback[param]
        for name, param in params.items()
        if callback.get(param) is not None
    }


def kept_from_response(context: TokenContext, values: JsonValue, *, at_refresh: bool = False) -> JsonObject:
    """The values that `keep_from_response` puts into additional_config; at a refresh those `on: every`."""
    kept: JsonObject = {}
    for name, rule in (context.settings.get("keep_from_response") or {}).items():
        path = rule["path"] if isinstance(rule, Mapping) else rule
        if at_refresh and not (isinstance(rule, Mapping) and rule.get("on") == "every"):
            continue
        value = token_responses.search_path(str.__str__(path), values, f"keep_from_response.{name}", context)
        if isinstance(value, str | int | float):
            kept[str.__str__(name)] = value
    return kept


def _read_refresh_expiry(context: TokenContext, values: JsonObject, *, is_new: bool) -> JsonObject:
    """When the refresh token expires: by the response, as many providers say it, or by the blueprint."""
    if not is_new:
        return {}
    lifetimes = (token_responses.parse_seconds(values.get(name)) for name in _REFRESH_LIFETIMES)
    seconds = next(filter(None, lifetimes), context.number("refresh_token_lifetime_seconds"))
    return {} if seconds is None else {"refresh_expires_at": context.now + seconds}


def _client_id(context: TokenContext) -> str:
    return client_credentials(context)[0]


def _read_type_and_scope(holder: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """token_type and scope, if they are text; a list of scopes is joined by spaces."""
    values: dict[str, JsonValue] = {}
    if isinstance(holder.get("token_type"), str):
        values["token_type"] = holder["token_type"]
    scope = holder.get("scope")
    if isinstance(scope, list):
        scope = " ".join(name for name in scope if isinstance(name, str))
    if isinstance(scope, str):
        values["scope"] = scope
    return values


def _join_scopes(context: TokenContext) -> str:
    return context.text("scope_separator", " ").join(context.scopes)


def _render_params(context: TokenContext, key: str) -> dict[str, object]:
    return context.render_all(context.settings.get(key), key)


def _build_authenticated_request(
    context: TokenContext, params: Settings, url_key: str = "token_url"
) -> TokenRequest:
    url = context.url(url_key)
    params, headers = authenticate_client(context, params, url)
    return _build_request(context, url, params, headers)


def _build_request(
    context: TokenContext, url: str, params: Settings, headers: Mapping[str, str]
) -> TokenRequest:
    declared = context.render_headers(context.settings.get("token_headers"), "token_headers")
    overridden = {name.lower() for name in declared}
    kept = {name: value for name, value in headers.items() if name.lower() not in overridden}
    return build_token_request(
        url, params, {**kept, **declared},
        method=context.text("token_method", "POST"), body_format=context.text("body_format", "form"),
    )  # fmt: skip
