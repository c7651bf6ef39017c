"""OAuth 1.0a without I/O (RFC 5849): signatures, and the requests for its two kinds of token."""

from __future__ import annotations

import functools
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from nango_py.protocols import token_responses
from nango_py.protocols.frames import without_error_frames
from nango_py.protocols.signed_request import SignedRequest, render_setting
from nango_py.protocols.token_exchange import TokenRefused, TokenRequest, TokenUnavailable, error_word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.protocols.token_exchange import TokenContext, TokenResponse

_FORM = "application/x-www-form-urlencoded"
_RSA = "RSA-SHA1"
_OK = range(200, 300)
_USER_SAID_NO = frozenset({"token_rejected", "token_expired", "token_revoked", "permission_denied"})


def nonce() -> str:
    """A nonce that no other request has: 128 bits (RFC 5849 3.3)."""
    return secrets.token_hex(16)


def authorization(
    request: SignedRequest,
    variables: Mapping[str, Any],
    settings: Mapping[str, Any],
    now: float,
    *,
    callback: str = "",
    verifier: str = "",
    unique: str = "",
) -> str:
    """The Authorization header of a request (RFC 5849 3.5.1).

    Args:
        request: what is signed; its body only if it is a form.
        variables: oauth_client_id, oauth_client_secret (for RSA-SHA1 the PEM of a private key), oauth_token
            and oauth_token_secret, those that there are.
        settings: `signature_method` (HMAC-SHA1 unless given) and `realm`.
        now: unix seconds.
        callback: of a request for temporary credentials.
        verifier: of a request for token credentials.
        unique: the nonce; a fresh one unless given.

    Raises:
        TokenRefused: the key does not fit the method.
    """
    method = str.__str__(settings.get("signature_method", "HMAC-SHA1"))
    secret = str(variables.get("oauth_client_secret") or "")
    client = _client_class()(
        str(variables.get("oauth_client_id") or ""),
        client_secret="" if method == _RSA else secret,
        rsa_key=secret.replace("\\n", "\n") if method == _RSA else None,
        resource_owner_key=variables.get("oauth_token"),
        resource_owner_secret=variables.get("oauth_token_secret"),
        callback_uri=callback or None,
        verifier=verifier or None,
        signature_method=method,
        nonce=unique or nonce(),
        timestamp=str(int(now)),
    )
    is_form = request.header("content-type").partition(";")[0].strip().lower() == _FORM
    body = _strict(request.body.decode("utf-8", "replace")) if is_form and request.body else None
    realm = render_setting(settings["realm"], variables, "realm") if settings.get("realm") else None
    if realm is not None:
        realm = realm.replace("\\", "\\\\").replace('"', '\\"')
    try:
        _, headers, _ = client.sign(
            _strict_url(request.url), request.method, body, {"Content-Type": _FORM} if body else {}, realm
        )
        return str(headers["Authorization"])
    except Exception:  # noqa: BLE001, S110 - whatever is said of a key may quote it
        pass
    del client, secret, variables
    raise TokenRefused("invalid_key", ends_connection=False, what=f"the request cannot be signed by {method}")


@functools.cache
def _client_class() -> Any:
    """The client of oauthlib, but for the base string and the signature that it writes to its log."""
    from oauthlib import oauth1
    from oauthlib.oauth1.rfc5849 import signature as functions

    client: Any = oauth1.Client
    signature: Any = functions

    class QuietClient(client):  # type: ignore[misc]  # untyped where it is extended
        def get_oauth_signature(self, request: Any) -> str:
            if self.signature_method == "PLAINTEXT":
                return str(signature.sign_plaintext(self.client_secret, self.resource_owner_secret))
            uri, headers, body = self._render(request)
            collected = signature.collect_parameters(urlsplit(uri).query, body=body, headers=headers)
            text = signature.signature_base_string(
                request.http_method,
                signature.base_string_uri(uri),
                signature.normalize_parameters(collected),
            )
            return str(self.SIGNATURE_METHODS[self.signature_method](text, self))

    return QuietClient


def _strict_url(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, _strict(parts.query), ""))


def _strict(encoded: str) -> str:
    """The same parameters, each character encoded that RFC 5849 3.6 does not leave alone."""
    return urlencode(parse_qsl(encoded, keep_blank_values=True), quote_via=quote, safe="~")


@without_error_frames
def temporary_request(context: TokenContext, callback: str) -> TokenRequest:
    """The request for temporary credentials (RFC 5849 2.1).

    Args:
        context: `request_url`, `request_params`, `request_http_method` (POST unless given).
        callback: where the browser comes back to, or "oob".
    """
    url = context.url("request_url")
    params = context.rendered(context.settings.get("request_params"), "request_params")
    if params:
        url += ("&" if "?" in url else "?") + urlencode(params, quote_via=quote)
    return _signed_call(context, url, "request_http_method", context.app, callback=callback)


@without_error_frames
def authorization_url(context: TokenContext, oauth_token: str) -> str:
    """Where the user's browser is sent (RFC 5849 2.2)."""
    url = context.url("authorization_url")
    params = context.rendered(context.settings.get("authorization_params"), "authorization_params")
    params["oauth_token"] = oauth_token
    return url + ("&" if "?" in url else "?") + urlencode(params, quote_via=quote)


@without_error_frames
def token_request(context: TokenContext, temporary: Mapping[str, str], verifier: str) -> TokenRequest:
    """The request for token credentials (RFC 5849 2.3).

    Args:
        context: `token_url`, `token_http_method` (POST unless given).
        temporary: oauth_token and oauth_token_secret that `temporary_of` gave.
        verifier: of the callback; "" where the provider gave none.
    """
    variables = {**context.app, **{key: temporary[key] for key in ("oauth_token", "oauth_token_secret")}}
    return _signed_call(context, context.url("token_url"), "token_http_method", variables, verifier=verifier)


@without_error_frames
def read_temporary_credentials(context: TokenContext, response: TokenResponse) -> dict[str, str]:
    """oauth_token and oauth_token_secret of the temporary credentials; to be kept until the callback.

    Raises:
        TokenRefused, TokenUnavailable: as `credentials_of`; also a provider of OAuth 1.0, which does not
            confirm the callback and lets an attacker fix the session (RFC 5849 2.1).
    """
    found = _granted(response, context.now)
    if str(found.get("oauth_callback_confirmed", "")).lower() != "true":
        what = "the provider did not confirm the callback, as OAuth 1.0a wants"
        raise TokenRefused("callback_unconfirmed", ends_connection=False, status=response.status, what=what)
    return _pair(found)


@without_error_frames
def read_credentials(context: TokenContext, response: TokenResponse) -> dict[str, Any]:
    """The credentials to store: oauth_token, oauth_token_secret and `raw`, the rest of the response.

    Raises:
        TokenRefused: the user or the provider said no.
        TokenUnavailable: it may work later, or the response is none.
    """
    found = _granted(response, context.now)
    pair = _pair(found)
    return {**pair, "raw": {name: value for name, value in found.items() if name not in pair}}


def _signed_call(
    context: TokenContext,
    url: str,
    method_key: str,
    variables: Mapping[str, Any],
    *,
    callback: str = "",
    verifier: str = "",
) -> TokenRequest:
    if not context.app_text("oauth_client_id"):
        raise context.missing("a consumer key is missing: set oauth_client_id")
    method = context.text(method_key, "POST")
    settings = {key: value for key, value in context.settings.items() if key != "realm"}
    header = authorization(
        SignedRequest(method, url), variables, settings, context.now, callback=callback, verifier=verifier
    )
    return TokenRequest(method, url, {"Accept": f"{_FORM}, application/json", "Authorization": header})


def _granted(response: TokenResponse, now: float) -> Mapping[str, Any]:
    token_responses.raise_if_transient(response, now)
    found = token_responses.decode_body(response)
    if response.status not in _OK:
        word = error_word(found.get("oauth_problem")) if isinstance(found, dict) else ""
        raise TokenRefused(word, ends_connection=word in _USER_SAID_NO, status=response.status)
    if not isinstance(found, dict):
        raise TokenUnavailable(
            "the token endpoint's response is neither a form nor JSON", status=response.status
        )
    return found


def _pair(found: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: token_responses.check_token(found.get(name)) for name in ("oauth_token", "oauth_token_secret")
    }
