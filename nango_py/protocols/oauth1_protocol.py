"""OAuth 1.0a without I/O (RFC 5849): signatures, and the requests for temporary and token credentials."""

from __future__ import annotations

import functools
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from nango_py.protocols import token_responses
from nango_py.protocols.client_auth import add_query
from nango_py.protocols.signed_request import SignedRequest, render_setting
from nango_py.protocols.token_exchange import (
    TokenRefused,
    TokenRequest,
    TokenUnavailable,
    error_code,
)
from nango_py.secret import without_frames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.json_types import JsonObject, JsonValue, Settings
    from nango_py.protocols.token_exchange import TokenContext, TokenResponse

_FORM = "application/x-www-form-urlencoded"
_RSA = "RSA-SHA1"
_OK = range(200, 300)
_REJECTED_BY_USER = frozenset({"token_rejected", "token_expired", "token_revoked", "permission_denied"})


def nonce() -> str:
    """A unique nonce: 128 random bits (RFC 5849 3.3)."""
    return secrets.token_hex(16)


def authorization(
    request: SignedRequest,
    variables: Mapping[str, object],
    settings: Settings,
    now: float,
    *,
    callback: str = "",
    verifier: str = "",
    unique: str = "",
) -> str:
    """The Authorization header of a request (RFC 5849 3.5.1).

    Args:
        request: the request to sign; its body is only signed if it is a form.
        variables: oauth_client_id, oauth_client_secret (for RSA-SHA1, a private key in PEM format),
            oauth_token and oauth_token_secret, as far as they exist.
        settings: `signature_method` (default: HMAC-SHA1) and `realm`.
        now: unix seconds.
        callback: for a request for temporary credentials.
        verifier: for a request for token credentials.
        unique: the nonce; generated if empty.

    Raises:
        TokenRefused: the key does not fit the method.
    """
    method = str.__str__(settings.get("signature_method", "HMAC-SHA1"))
    client = _create_client(
        variables, method, callback_uri=callback or None, verifier=verifier or None,
        nonce=unique or nonce(), timestamp=str(int(now)),
    )  # fmt: skip
    is_form = request.header("content-type").partition(";")[0].strip().lower() == _FORM
    body = _reencode(request.body.decode("utf-8", "replace")) if is_form and request.body else None
    realm = render_setting(settings["realm"], variables, "realm") if settings.get("realm") else None
    if realm is not None:
        realm = realm.replace("\\", "\\\\").replace('"', '\\"')
    try:
        _, headers, _ = client.sign(
            _reencode_url(request.url), request.method, body, {"Content-Type": _FORM} if body else {}, realm
        )
        return str(headers["Authorization"])
    except Exception:  # noqa: BLE001, S110 - the message may quote the key
        pass
    del client, variables
    what = f"the request cannot be signed with {method}"
    raise TokenRefused("invalid_key", ends_connection=False, what=what)


def _create_client(variables: Mapping[str, object], method: str, **options: str | None) -> Any:
    secret = str(variables.get("oauth_client_secret") or "")
    return _client_class()(
        str(variables.get("oauth_client_id") or ""),
        client_secret="" if method == _RSA else secret,
        rsa_key=secret.replace("\\n", "\n") if method == _RSA else None,
        resource_owner_key=variables.get("oauth_token"),
        resource_owner_secret=variables.get("oauth_token_secret"),
        signature_method=method,
        **options,
    )


@functools.cache
def _client_class() -> Any:
    """Oauthlib's client, without logging of base strings and signatures."""
    from oauthlib import oauth1
    from oauthlib.oauth1.rfc5849 import signature as signature_module

    client: Any = oauth1.Client
    signature: Any = signature_module

    class QuietClient(client):  # type: ignore[misc]  # untyped where it is extended
        def get_oauth_signature(self, request: Any) -> str:
            if self.signature_method == "PLAINTEXT":
                return str(signature.sign_plaintext(self.client_secret, self.resource_owner_secret))
            uri, headers, body = self._render(request)
            parameters = signature.collect_parameters(urlsplit(uri).query, body=body, headers=headers)
            text = signature.signature_base_string(
                request.http_method,
                signature.base_string_uri(uri),
                signature.normalize_parameters(parameters),
            )
            return str(self.SIGNATURE_METHODS[self.signature_method](text, self))

    return QuietClient


def _reencode_url(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, _reencode(parts.query), ""))


def _reencode(encoded: str) -> str:
    """The same parameters, with every character encoded that RFC 5849 3.6 requires."""
    return urlencode(parse_qsl(encoded, keep_blank_values=True), quote_via=quote, safe="~")


@without_frames
def temporary_request(context: TokenContext, callback: str) -> TokenRequest:
    """The request for temporary credentials (RFC 5849 2.1).

    Args:
        context: its settings `request_url`, `request_params` and `request_http_method` (default: POST).
        callback: the URL of the callback, or "oob".
    """
    url = context.url("request_url")
    params = context.render_all(context.settings.get("request_params"), "request_params")
    url = add_query(url, urlencode(params, quote_via=quote))
    return _build_signed_request(context, url, "request_http_method", context.app, callback=callback)


@without_frames
def authorization_url(context: TokenContext, oauth_token: str) -> str:
    """The URL for the user's browser (RFC 5849 2.2)."""
    url = context.url("authorization_url")
    params = context.render_all(context.settings.get("authorization_params"), "authorization_params")
    params["oauth_token"] = oauth_token
    return add_query(url, urlencode(params, quote_via=quote))


@without_frames
def token_request(context: TokenContext, temporary: Mapping[str, str], verifier: str) -> TokenRequest:
    """The request for token credentials (RFC 5849 2.3).

    Args:
        context: its settings `token_url` and `token_http_method` (default: POST).
        temporary: the result of `read_temporary_credentials`.
        verifier: of the callback; "" if the provider sent none.
    """
    variables = {**context.app, **{key: temporary[key] for key in ("oauth_token", "oauth_token_secret")}}
    return _build_signed_request(
        context, context.url("token_url"), "token_http_method", variables, verifier=verifier
    )


@without_frames
def read_temporary_credentials(context: TokenContext, response: TokenResponse) -> dict[str, str]:
    """oauth_token and oauth_token_secret of the temporary credentials, to be stored until the callback.

    Raises:
        TokenRefused, TokenUnavailable: as `read_credentials`; also if the provider does not confirm the
            callback: OAuth 1.0 without that is vulnerable to session fixation (RFC 5849 2.1).
    """
    values = _read_response(response, context.now)
    if str(values.get("oauth_callback_confirmed", "")).lower() != "true":
        what = "the provider did not confirm the callback, which OAuth 1.0a requires"
        raise TokenRefused("callback_unconfirmed", ends_connection=False, status=response.status, what=what)
    return _read_token_pair(values)


@without_frames
def read_credentials(context: TokenContext, response: TokenResponse) -> JsonObject:
    """The credentials to store: oauth_token, oauth_token_secret and `raw`, the rest of the response.

    Raises:
        TokenRefused: the user or the provider rejected the request.
        TokenUnavailable: it may work later, or the response is malformed.
    """
    values = _read_response(response, context.now)
    pair = _read_token_pair(values)
    rest = {name: value for name, value in values.items() if name not in pair}
    return {**pair, "raw": token_responses.bounded_raw(context, rest)}


def _build_signed_request(
    context: TokenContext,
    url: str,
    method_key: str,
    variables: Mapping[str, object],
    *,
    callback: str = "",
    verifier: str = "",
) -> TokenRequest:
    if not context.app_text("oauth_client_id"):
        raise context.missing_error("a consumer key is missing; set oauth_client_id")
    method = context.text(method_key, "POST")
    settings = {key: value for key, value in context.settings.items() if key != "realm"}
    header = authorization(
        SignedRequest(method, url), variables, settings, context.now, callback=callback, verifier=verifier
    )
    return TokenRequest(method, url, {"Accept": f"{_FORM}, application/json", "Authorization": header})


def _read_response(response: TokenResponse, now: float) -> JsonObject:
    token_responses.raise_if_transient(response, now)
    values = token_responses.decode_body(response)
    if response.status not in _OK:
        code = error_code(values.get("oauth_problem")) if isinstance(values, dict) else ""
        raise TokenRefused(code, ends_connection=code in _REJECTED_BY_USER, status=response.status)
    if not isinstance(values, dict):
        raise TokenUnavailable(
            "the token endpoint's response is neither a form nor a JSON object", status=response.status
        )
    return values


def _read_token_pair(values: Mapping[str, JsonValue]) -> dict[str, str]:
    return {
        name: token_responses.check_token(values.get(name)) for name in ("oauth_token", "oauth_token_secret")
    }
