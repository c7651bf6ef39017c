"""How a token request is written: parameters, client authentication and body format (RFC 6749 2.3)."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from nango_py.protocols import jwt_signing
from nango_py.protocols.token_exchange import TokenRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.protocols.token_exchange import TokenContext

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FORM = "application/x-www-form-urlencoded"


def token_request(
    url: str,
    params: Mapping[str, Any],
    headers: Mapping[str, str],
    *,
    method: str = "POST",
    body_format: str = "form",
) -> TokenRequest:
    """A request whose parameters stand in a form, a JSON body or the query; those of a GET in the query."""
    body, content_type = b"", ""
    if body_format == "query" or method == "GET":
        query = encode_form(params)
        url = f"{url}{'&' if '?' in url else '?'}{query}" if query else url
    elif body_format == "json":
        body, content_type = json.dumps(dict(params), separators=(",", ":")).encode(), "application/json"
    else:
        body, content_type = encode_form(params).encode(), _FORM
    standard = {"Accept": "application/json"}
    if content_type:
        standard["Content-Type"] = content_type
    given = {name.lower() for name in headers}
    kept = {name: value for name, value in standard.items() if name.lower() not in given}
    return TokenRequest(method, url, {**kept, **headers}, body)


def encode_form(params: Mapping[str, Any]) -> str:
    """The parameters form-encoded; a mapping inside becomes `name[key]`, true and false as in JSON."""
    pairs = []
    for name, value in params.items():
        if isinstance(value, dict):
            pairs += [(f"{name}[{key}]", _plain(item)) for key, item in value.items()]
        else:
            pairs.append((name, _plain(value)))
    return urlencode(pairs)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def authenticate_client(
    context: TokenContext, params: Mapping[str, Any], audience: str, *, default: str = "body"
) -> tuple[dict[str, Any], dict[str, str]]:
    """Parameters and headers in which the application says who it is.

    Args:
        context: `authorization_method` is `header` (RFC 6749 2.3.1), `body`, `none` (only the id is sent) or
            `private_key_jwt` (RFC 7523 2.2).
        params: the parameters so far; what they say already is left as it is.
        audience: the URL of the endpoint, for the assertion.
        default: the method where the settings name none.

    Raises:
        ConfigError: there is no client id.
    """
    method = context.text("authorization_method", default)
    client_id, secret = client_credentials(context)
    if not client_id and method != "none":
        raise context.missing("a client id is missing: set oauth_client_id")
    if method == "header":
        # Each part is form-encoded first: an id or secret may hold a colon.
        pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
        return dict(params), {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    own: dict[str, Any] = {"client_id": client_id} if client_id else {}
    if method == "body" and secret:
        own["client_secret"] = secret
    if method == "private_key_jwt":
        claims = {"iss": client_id, "sub": client_id, "aud": audience, "jti": jwt_signing.unique_id()}
        assertion, _ = jwt_signing.sign_jwt(
            context,
            context.settings.get("client_assertion") or {},
            "client_assertion",
            claims=claims,
            default_key="${oauth_client_secret}",
        )
        own |= {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
    return {**params, **{name: value for name, value in own.items() if name not in params}}, {}


def client_credentials(context: TokenContext) -> tuple[str, str]:
    """The client's id and secret: the connection's own where it has them, else the application's."""
    own = context.credentials.get("client_id")
    if isinstance(own, str) and own:
        return own, str(context.credentials.get("client_secret") or "")
    return context.app_text("oauth_client_id"), context.app_text("oauth_client_secret")
