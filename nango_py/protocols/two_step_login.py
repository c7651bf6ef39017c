"""Login calls that an API made up itself: declared requests, and a token somewhere in the response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.protocols import token_responses
from nango_py.protocols.client_auth import token_request
from nango_py.protocols.token_exchange import TokenUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.protocols.token_exchange import TokenContext, TokenRequest, TokenResponse

_OK = range(200, 300)
_WRONG_LOGIN = frozenset({401, 403})


def build_step_request(
    context: TokenContext, step: Mapping[str, Any], where: str, seen: Mapping[str, Any]
) -> TokenRequest:
    """The request of one step.

    Args:
        context: gives values and time.
        step: token_url, token_method, token_params, token_headers, body_format (JSON unless given).
        where: the step's place in the settings, for errors.
        seen: the members of the earlier steps' answers, which templates know as `raw`.
    """
    extra = {"raw": seen}
    return token_request(
        context.url(f"{where}token_url", step.get("token_url"), extra),
        context.rendered(step.get("token_params"), f"{where}token_params", extra),
        context.headers(step.get("token_headers"), f"{where}token_headers", extra),
        method=str.__str__(step.get("token_method", "POST")),
        body_format=str.__str__(step.get("body_format", "json")),
    )


def read_step_response(response: TokenResponse, now: float) -> Any:
    """The decoded body of a good response; text that is neither JSON nor a form as it is.

    Raises:
        TokenRefused: 4xx; 401 and 403 say that the user's login is wrong.
        TokenUnavailable: it may work later.
    """
    token_responses.raise_if_transient(response, now)
    found = token_responses.decode_body(response)
    if response.status not in _OK:
        token_responses.raise_refused(response, found, user_is_refused=response.status in _WRONG_LOGIN)
    if found is None and response.header("content-type").startswith("text/plain"):
        return response.body.decode("utf-8", "replace").strip()
    return found


def read_token(context: TokenContext, response: TokenResponse, found: Any) -> dict[str, Any]:
    """The credentials with the token of the last step, and when it expires if the response or the settings say.

    Raises:
        TokenUnavailable: there is no usable token.
    """
    places = context.settings.get("token_response") or {}
    if places.get("token_header"):
        token = response.header(str.__str__(places["token_header"]))
    else:
        path = str.__str__(places.get("token", "access_token"))
        if found is None:
            raise TokenUnavailable(
                "the login call's answer is neither JSON nor a form", status=response.status
            )
        token = token_responses.search_path(path, found, "token_response.token", context)
    kept = {key: value for key, value in context.credentials.items() if key != "expires_at"}
    stored = {**kept, "token": token_responses.check_token(token)}
    expires_at = _expiry(context, places, response, found)
    return stored if expires_at is None else {**stored, "expires_at": expires_at}


def _expiry(
    context: TokenContext, places: Mapping[str, Any], response: TokenResponse, found: Any
) -> float | None:
    where = "token_response.token_expiration"
    if places.get("token_expiration"):
        value = token_responses.search_path(str.__str__(places["token_expiration"]), found, where, context)
        if places.get("token_expiration_strategy") == "expireAt":
            moment = token_responses.parse_moment(value, context.now)
            if moment is not None:
                moment -= token_responses.clock_skew(response, context.now)
        else:
            life = token_responses.parse_seconds(value)
            moment = None if life is None else context.now + min(life, token_responses.LONGEST_LIFE)
        if moment is not None:
            return moment
    declared = context.number("token_lifetime_seconds")
    return None if declared is None else context.now + declared
