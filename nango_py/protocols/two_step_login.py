"""Proprietary logins: one or more declared requests, and a token somewhere in the last response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.protocols import token_responses
from nango_py.protocols.client_auth import build_token_request
from nango_py.protocols.token_exchange import TokenUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.json_types import JsonObject, JsonValue, Settings
    from nango_py.protocols.token_exchange import TokenContext, TokenRequest, TokenResponse

_OK = range(200, 300)
_LOGIN_REJECTED = frozenset({401, 403})


def build_step_request(
    context: TokenContext, step: Settings, where: str, seen: Mapping[str, JsonValue] | None = None
) -> TokenRequest:
    """The request of one step.

    Args:
        context: variables and time.
        step: token_url, token_method, token_params, token_headers and body_format (default: JSON).
        where: the step's position in the settings, for errors.
        seen: the members of earlier responses, available to templates as `raw`; by default the stored ones.
    """
    extra = None if seen is None else {"raw": seen}
    return build_token_request(
        context.url(f"{where}token_url", step.get("token_url"), extra),
        context.render_all(step.get("token_params"), f"{where}token_params", extra),
        context.render_headers(step.get("token_headers"), f"{where}token_headers", extra),
        method=str.__str__(step.get("token_method", "POST")),
        body_format=str.__str__(step.get("body_format", "json")),
    )


def read_step_response(response: TokenResponse, context: TokenContext) -> JsonValue:
    """The decoded body of a successful response; a text/plain body as it is.

    Raises:
        TokenRefused: 4xx; with 401 and 403, the user's login was rejected.
        TokenUnavailable: it may work later.
    """
    body = token_responses.decode_body(response)
    token_responses.raise_if_ended(response, body, context)
    token_responses.raise_if_transient(response, context.now)
    if response.status not in _OK:
        is_rejected = response.status in _LOGIN_REJECTED
        token_responses.raise_refused(response, body, context, ends_connection=is_rejected)
    if body is None and response.header("content-type").startswith("text/plain"):
        return response.body.decode("utf-8", "replace").strip()
    return body


def read_token(context: TokenContext, response: TokenResponse, body: JsonValue) -> JsonObject:
    """The credentials with the token of the last response, and with its expiry if that is known.

    Raises:
        TokenUnavailable: there is no valid token.
    """
    paths: Settings = context.settings.get("token_response") or {}
    token: JsonValue
    if paths.get("token_header"):
        token = response.header(str.__str__(paths["token_header"]))
    else:
        path = str.__str__(paths.get("token", "access_token"))
        if body is None:
            raise TokenUnavailable("the login response is neither JSON nor a form", status=response.status)
        token = token_responses.search_path(path, body, "token_response.token", context)
    kept = {key: value for key, value in context.credentials.items() if key != "expires_at"}
    stored: JsonObject = {**kept, "token": token_responses.check_token(token)}
    if paths.get("refresh_token"):
        path = str.__str__(paths["refresh_token"])
        value = token_responses.search_path(path, body, "token_response.refresh_token", context)
        if isinstance(value, str) and value:
            token_responses.check_token(value)
            stored["refresh_token"] = value
    expires_at = _read_expiry(context, paths, response, body)
    return stored if expires_at is None else {**stored, "expires_at": expires_at}


def read_login(
    context: TokenContext, response: TokenResponse, body: JsonValue, seen: Mapping[str, JsonValue]
) -> JsonObject:
    """The credentials to store after the last response, with the members of all responses as `raw`."""
    members = {**seen, **(body if isinstance(body, dict) else {})}
    return {
        **read_token(context, response, body),
        "raw": token_responses.bounded_raw(context, members),
    }


def _read_expiry(
    context: TokenContext, paths: Settings, response: TokenResponse, body: JsonValue
) -> float | None:
    where = "token_response.token_expiration"
    if paths.get("token_expiration"):
        value = token_responses.search_path(str.__str__(paths["token_expiration"]), body, where, context)
        if paths.get("token_expiration_strategy") == "expireAt":
            moment = token_responses.parse_timestamp(value, context.now)
            if moment is not None:
                moment -= token_responses.clock_skew(response, context.now)
        else:
            unit = str.__str__(paths.get("token_expiration_unit", "seconds"))
            lifetime = token_responses.parse_lifetime(value, unit)
            moment = None if lifetime is None else context.now + lifetime
        if moment is not None:
            return moment
    declared = context.number("token_lifetime_seconds")
    return None if declared is None else context.now + declared
