"""Login calls that an API made up itself: declared requests, and a token somewhere in the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.auth._protocol import answers
from nango_py.auth._protocol.client import token_request
from nango_py.auth._protocol.tokens import TokenUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.auth._protocol.tokens import TokenAnswer, TokenContext, TokenRequest

_OK = range(200, 300)
_WRONG_LOGIN = frozenset({401, 403})


def step_request(
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


def granted(answer: TokenAnswer, now: float) -> Any:
    """The decoded body of a good answer; text that is neither JSON nor a form as it is.

    Raises:
        TokenRefused: 4xx; 401 and 403 say that the user's login is wrong.
        TokenUnavailable: it may work later.
    """
    answers.check_passing(answer, now)
    found = answers.decoded(answer)
    if answer.status not in _OK:
        answers.refuse(answer, found, user_is_refused=answer.status in _WRONG_LOGIN)
    if found is None and answer.header("content-type").startswith("text/plain"):
        return answer.body.decode("utf-8", "replace").strip()
    return found


def token_of(context: TokenContext, answer: TokenAnswer, found: Any) -> dict[str, Any]:
    """The credentials with the token of the last step, and when it expires if the answer or the settings say.

    Raises:
        TokenUnavailable: there is no usable token.
    """
    places = context.settings.get("token_response") or {}
    if places.get("token_header"):
        token = answer.header(str.__str__(places["token_header"]))
    else:
        path = str.__str__(places.get("token", "access_token"))
        if found is None:
            raise TokenUnavailable("the login call's answer is neither JSON nor a form", status=answer.status)
        token = answers.pick(path, found, "token_response.token", context)
    kept = {key: value for key, value in context.credentials.items() if key != "expires_at"}
    stored = {**kept, "token": answers.token_text(token)}
    expires_at = _expiry(context, places, answer, found)
    return stored if expires_at is None else {**stored, "expires_at": expires_at}


def _expiry(
    context: TokenContext, places: Mapping[str, Any], answer: TokenAnswer, found: Any
) -> float | None:
    where = "token_response.token_expiration"
    if places.get("token_expiration"):
        value = answers.pick(str.__str__(places["token_expiration"]), found, where, context)
        if places.get("token_expiration_strategy") == "expireAt":
            moment = answers.moment_of(value, context.now)
            if moment is not None:
                moment -= answers.skew(answer, context.now)
        else:
            life = answers.seconds_of(value)
            moment = None if life is None else context.now + min(life, answers.LONGEST_LIFE)
        if moment is not None:
            return moment
    declared = context.number("token_lifetime_seconds")
    return None if declared is None else context.now + declared
