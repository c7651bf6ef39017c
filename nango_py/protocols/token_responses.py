"""Token endpoints' answers, read without trust: RFC 6749 section 5 and what providers make of it."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl

from nango_py.protocols.token_exchange import LARGEST_RESPONSE, TokenRefused, TokenUnavailable, error_word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.protocols.token_exchange import TokenContext, TokenResponse

LONGEST_LIFE = 10 * 365 * 86_400.0
"""Seconds; a longer life that a response claims is cut to it."""

LONGEST_TOKEN = 65_536
DEEPEST = 32
"""Levels of a token response; what is nested more deeply could not be stored."""

_LONGEST_WAIT = 86_400.0
_UNITS = {"milliseconds": 0.001, "seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86_400.0}
_VSCHAR = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A
_FORM = re.compile(rb"[A-Za-z0-9_.%+~-]+=[^\s<>{]*")
_SKEW = 30.0  # a Date header counts whole seconds, and a response takes its time
_MILLISECONDS_FROM = 1e11  # as unix seconds this is the year 5138

# The grant itself is gone: the user has to connect again.
_GRANT_IS_GONE = frozenset(
    {"invalid_grant", "bad_refresh_token", "invalid_refresh_token", "expired_token"}
    | {"token_revoked", "token_expired", "bad_verification_code", "invalid_code", "consent_required"}
    | {"interaction_required", "login_required", "account_inactive"}
)
# The application or its request is at fault.
_CLIENT_IS_WRONG = frozenset(
    {"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_request"}
    | {"invalid_target", "incorrect_client_credentials", "redirect_uri_mismatch", "bad_client_secret"}
    | {"invalid_client_id", "bad_redirect_uri", "access_denied"}
)
_LATER = frozenset(
    {"temporarily_unavailable", "server_error", "slow_down", "ratelimited", "rate_limited", "internal_error"}
)
_NOT_BEARER = frozenset({"mac", "dpop", "pop"})
_OK = range(200, 300)
_SERVER_ERRORS = range(500, 600)
_REQUEST_TIMEOUT, _TOO_MANY = 408, 429
_REFUSALS = frozenset({400, 401, 403, 404, 405, 410, 415, 422})


def read_token_response(response: TokenResponse, now: float) -> dict[str, Any]:
    """The members of an OAuth 2 token endpoint's response.

    Raises:
        TokenRefused: it is an error that stays one (RFC 6749 5.2), under any status.
        TokenUnavailable: it is an error that passes, or no token response at all.
    """
    raise_if_transient(response, now)
    found = decode_body(response)
    if isinstance(found, dict):
        _check_error(response, found)
    if response.status not in _OK:
        raise_refused(response, found, user_is_refused=False)
    if not isinstance(found, dict):
        raise TokenUnavailable("the token endpoint's response is not an object", status=response.status)
    if str(found.get("token_type", "")).lower() in _NOT_BEARER:
        what = "the token endpoint gave a token of a type that only its holder's key can use"
        raise TokenRefused("unsupported_token_type", ends_connection=False, status=response.status, what=what)
    return found


def raise_if_transient(response: TokenResponse, now: float) -> None:
    """Raise TokenUnavailable for what passes by itself: 408, 429, 5xx, redirects, answers too large."""
    status = response.status
    if len(response.body) > LARGEST_RESPONSE:
        raise TokenUnavailable(
            f"the token endpoint's response is over {LARGEST_RESPONSE} bytes", status=status
        )
    if status in {_REQUEST_TIMEOUT, _TOO_MANY} or status in _SERVER_ERRORS:
        wait = retry_after(response, now)
        raise TokenUnavailable(f"the token endpoint answered {status}", retry_after=wait, status=status)
    if status not in _OK and status not in _REFUSALS:
        raise TokenUnavailable(f"the token endpoint answered {status}", status=status)


def decode_body(response: TokenResponse) -> Any:
    """The body as JSON or as a form (RFC 6749 wants JSON, some providers answer with a form).

    None where it is neither, as with HTML, and where it is nested too deeply.
    """
    body = response.body.removeprefix(b"\xef\xbb\xbf").strip()
    try:
        found = json.loads(body, parse_constant=_no_constant)
        return None if _is_deep(found) else found
    except (ValueError, RecursionError):
        pass
    if _FORM.fullmatch(body):
        return dict(parse_qsl(body.decode("ascii", "replace"), keep_blank_values=True))
    return None


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        holders = [part for part in level if isinstance(part, dict | list)]
        level = [item for part in holders for item in (part.values() if isinstance(part, dict) else part)]
    return bool(level)


def _no_constant(_: str) -> NoReturn:
    raise ValueError


def _check_error(response: TokenResponse, found: Mapping[str, Any]) -> None:
    word = _word_of(found)
    folded = word.lower()
    if folded in _LATER:
        raise TokenUnavailable(f"the token endpoint answered {word}", status=response.status)
    # GitHub, Slack and Zoho answer 200 to a refused request.
    if folded in _GRANT_IS_GONE:
        raise TokenRefused(word, ends_connection=True, status=response.status)
    if folded in _CLIENT_IS_WRONG or (found.get("error") and response.status in _OK):
        raise TokenRefused(word, ends_connection=False, status=response.status)


def _word_of(found: Mapping[str, Any]) -> str:
    error = found.get("error")
    if isinstance(error, dict):
        places = [error.get("type"), error.get("code"), error.get("status")]
    else:
        places = [error, found.get("error_code"), found.get("code"), found.get("status")]
    return next((word for word in map(error_word, places) if word), "")


def raise_refused(response: TokenResponse, found: Any, *, user_is_refused: bool) -> NoReturn:
    """Raise TokenRefused for a response with a status of refusal."""
    word = _word_of(found) if isinstance(found, dict) else ""
    raise TokenRefused(word, ends_connection=user_is_refused, status=response.status)


def check_token(value: Any) -> str:
    """A token as it can be sent; it stays out of the error.

    Raises:
        TokenUnavailable: it is missing, no text, too long, or holds what RFC 6749 appendix A forbids.
    """
    if isinstance(value, str) and len(value) <= LONGEST_TOKEN and _VSCHAR.fullmatch(value):
        return value
    del value
    raise TokenUnavailable("the token endpoint's response holds no usable token")


def search_path(path: str, found: Any, where: str, context: TokenContext) -> Any:
    """What stands at a JMESPath, None where nothing does.

    Raises:
        ConfigError: the setting is no JMESPath.
    """
    import jmespath

    try:
        return jmespath.search(path, found)
    except (jmespath.exceptions.JMESPathError, ValueError, TypeError, RecursionError):
        pass
    del found
    raise context.missing(f"auth.{where} is not a JMESPath that fits the response")


def read_expiry(
    context: TokenContext, response: TokenResponse, found: Any, sibling: str = ""
) -> float | None:
    """When the token of a response expires, in unix seconds of our clock; None where the response does not say.

    Args:
        context: its settings name the places and the unit.
        response: its Date tells how far our clock is from the server's.
        found: the decoded answer.
        sibling: the path of the mapping that holds the token, "" for the response itself.
    """
    lead = f"{sibling}." if sibling else ""
    at_path = context.text("expires_at_path", f"{lead}expires_at")
    in_path = context.text("expires_in_path", f"{lead}expires_in")
    lifetime = parse_seconds(search_path(in_path, found, "expires_in_path", context))
    if lifetime is not None:
        unit = _UNITS[context.text("expires_in_unit", "seconds")]
        return context.now + min(lifetime * unit, LONGEST_LIFE)
    moment = parse_moment(search_path(at_path, found, "expires_at_path", context), context.now)
    if moment is not None:
        return moment - clock_skew(response, context.now)
    declared = context.number("token_lifetime_seconds")
    return None if declared is None else context.now + declared


def clock_skew(response: TokenResponse, now: float) -> float:
    """Seconds by which the server's clock is ahead of ours; 0 where it is about the same, or not known."""
    server_now = _from_text(response.header("date"))
    return server_now - now if server_now and abs(server_now - now) > _SKEW else 0.0


def parse_seconds(value: Any) -> float | None:
    """A positive number, also as text; None for what says nothing of a life: 0, -1, NaN, other texts."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value) if not isinstance(value, int) or abs(value) < 10**18 else math.inf
    except ValueError:
        return None
    return number if number > 0 else None


def parse_moment(value: Any, now: float) -> float | None:
    """Unix seconds, or milliseconds, or ISO 8601 text, as unix seconds; None for what is no time to come."""
    number = parse_seconds(value)
    if number is not None:
        moment = number / 1000 if number > _MILLISECONDS_FROM else number
    elif isinstance(value, str):
        moment = _from_text(value)
    else:
        return None
    return min(moment, now + LONGEST_LIFE) if moment > 0 else None


def _from_text(text: str) -> float:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return 0.0


def retry_after(response: TokenResponse, now: float) -> float | None:
    """The wait that a response asks for, in seconds (RFC 9110 10.2.3); at most a day."""
    written = response.header("retry-after").strip()
    if not written:
        return None
    if written.isascii() and written.isdigit():
        return min(float(written[:12]), _LONGEST_WAIT)
    # A date is read by the server's own clock, which may not be ours.
    server_now = _from_text(response.header("date")) or now
    moment = _from_text(written)
    return min(max(moment - server_now, 0.0), _LONGEST_WAIT) if moment else None
