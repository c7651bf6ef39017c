"""Encoding of token requests: parameters, client authentication and body format (RFC 6749 2.3)."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from nango_py.protocols import jwt_signing
from nango_py.protocols.token_exchange import TokenRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py.json_types import Settings
    from nango_py.protocols.token_exchange import TokenContext

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FORM = "application/x-www-form-urlencoded"


def build_token_request(
    url: str, params: Settings, headers: Mapping[str, str], *, method: str = "POST", body_format: str = "form"
) -> TokenRequest:
    """A request with its parameters in a form, a JSON body or the query; a GET has them in the query."""
    body, content_type = b"", ""
    if body_format == "query" or method == "GET":
        url = add_query(url, encode_form(params))
    elif body_format == "json":
        body, content_type = json.dumps(dict(params), separators=(",", ":")).encode(), "application/json"
    elif params or method == "POST":
        body, content_type = encode_form(params).encode(), _FORM
    defaults = {"Accept": "application/json"}
    if content_type:
        defaults["Content-Type"] = content_type
    overridden = {name.lower() for name in headers}
    defaults = {name: value for name, value in defaults.items() if name.lower() not in overridden}
    return TokenRequest(method, url, {**defaults, **headers}, body)


def add_query(url: str, query: str) -> str:
    """The URL with further parameters."""
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


def encode_form(params: Settings) -> str:
    """Form-encode the parameters; nested mappings become `name[key]`, booleans are written as in JSON."""
    return urlencode(list(_flatten(params, "{}")))


def _flatten(params: Settings, pattern: str) -> Iterator[tuple[str, str]]:
    for name, value in params.items():
        key = pattern.format(name)
        if isinstance(value, dict):
            yield from _flatten(value, f"{key}[{{}}]")
        else:
            yield key, _to_text(value)


def _to_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def authenticate_client(
    context: TokenContext, params: Settings, audience: str, *, default: str = "body"
) -> tuple[dict[str, object], dict[str, str]]:
    """The parameters and headers of a request with client authentication added.

    Args:
        context: `authorization_method` is `header` (RFC 6749 2.3.1), `body`, `none` (only the id is sent) or
            `private_key_jwt` (RFC 7523 2.2).
        params: the parameters of the request; they are not overridden.
        audience: the URL of the endpoint, for the assertion.
        default: the method if the settings do not have one.

    Raises:
        ConfigError: there is no client id.
    """
    method = context.text("authorization_method", default)
    client_id, secret = client_credentials(context)
    if not client_id and method != "none":
        raise context.missing_error("a client id is missing; set oauth_client_id")
    if method == "header":
        # Each part is form-encoded first: an id or secret may contain a colon.
        pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
        return dict(params), {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    added = {client_id_param(context): client_id} if client_id else {}
    if method == "body" and secret:
        added["client_secret"] = secret
    if method == "private_key_jwt":
        claims = {"iss": client_id, "sub": client_id, "aud": audience, "jti": jwt_signing.unique_id()}
        assertion, _ = jwt_signing.sign_jwt(
            context,
            context.settings.get("client_assertion") or {},
            "client_assertion",
            claims=claims,
            default_key="${oauth_client_secret}",
        )
        added |= {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
    return {**params, **{name: value for name, value in added.items() if name not in params}}, {}


def client_id_param(context: TokenContext) -> str:
    """What the provider calls the client id."""
    return context.text("client_id_param", "client_id")


def client_credentials(context: TokenContext) -> tuple[str, str]:
    """The client id and secret: the connection's own if it has them, else the application's."""
    client_id = context.credentials.get("client_id")
    if isinstance(client_id, str) and client_id:
        return client_id, str(context.credentials.get("client_secret") or "")
    return context.app_text("oauth_client_id"), context.app_text("oauth_client_secret")
