"""Parsing of untrusted token responses: RFC 6749 section 5, and the deviations of providers."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qsl

from nango_py.json_types import is_deeper_than
from nango_py.protocols.token_exchange import LARGEST_RESPONSE, TokenRefused, TokenUnavailable, error_code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.json_types import JsonObject, JsonValue
    from nango_py.protocols.token_exchange import TokenContext, TokenResponse

MAX_LIFETIME = 10 * 365 * 86_400.0
"""Seconds; longer lifetimes are reduced to this."""

MAX_TOKEN_LENGTH = 65_536
MAX_DEPTH = 32
"""Maximum nesting of a token response."""

_MAX_RETRY_AFTER = 86_400.0
_UNITS = {"milliseconds": 0.001, "seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86_400.0}
_VSCHAR = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A
_FORM = re.compile(rb"[A-Za-z0-9_.%+~-]+=[^\s<>{]*")
_MIN_SKEW = 30.0  # a Date header has whole seconds, and a response takes time
_MILLISECONDS_FROM = 1e11  # as unix seconds this is the year 5138

# The grant is invalid: the user has to connect again.
_GRANT_ERRORS = frozenset(
    {"invalid_grant", "bad_refresh_token", "invalid_refresh_token", "expired_token"}
    | {"token_revoked", "token_expired", "bad_verification_code", "invalid_code", "consent_required"}
    | {"interaction_required", "login_required", "account_inactive"}
)
# The application or its request is wrong.
_CLIENT_ERRORS = frozenset(
    {"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_request"}
    | {"invalid_target", "incorrect_client_credentials", "redirect_uri_mismatch", "bad_client_secret"}
    | {"invalid_client_id", "bad_redirect_uri", "access_denied"}
)
_TRANSIENT_ERRORS = frozenset(
    {"temporarily_unavailable", "server_error", "slow_down", "ratelimited", "rate_limited", "internal_error"}
)
_UNSUPPORTED_TOKEN_TYPES = frozenset({"mac", "dpop", "pop"})
_OK = range(200, 300)
_SERVER_ERRORS = range(500, 600)
_REQUEST_TIMEOUT, _TOO_MANY = 408, 429
_REFUSALS = frozenset({400, 401, 403, 404, 405, 410, 415, 422})


def read_token_response(response: TokenResponse, now: float) -> JsonObject:
    """The members of an OAuth 2 token response.

    Raises:
        TokenRefused: a permanent error (RFC 6749 5.2), with any status.
        TokenUnavailable: a transient error, or not a token response.
    """
    raise_if_transient(response, now)
    body = decode_body(response)
    if isinstance(body, dict):
        _check_error(response, body)
    if response.status not in _OK:
        raise_refused(response, body, ends_connection=False)
    if not isinstance(body, dict):
        raise TokenUnavailable("the token endpoint's response is not a JSON object", status=response.status)
    if str(body.get("token_type", "")).lower() in _UNSUPPORTED_TOKEN_TYPES:
        what = "the token endpoint returned an unsupported type of token; only bearer tokens are supported"
        raise TokenRefused("unsupported_token_type", ends_connection=False, status=response.status, what=what)
    return body


def raise_if_transient(response: TokenResponse, now: float) -> None:
    """Raise TokenUnavailable for transient errors: 408, 429, 5xx, redirects, responses that are too large."""
    status = response.status
    if len(response.body) > LARGEST_RESPONSE:
        raise TokenUnavailable(
            f"the token endpoint's response is larger than {LARGEST_RESPONSE} bytes", status=status
        )
    if status in {_REQUEST_TIMEOUT, _TOO_MANY} or status in _SERVER_ERRORS:
        wait = retry_after(response, now)
        raise TokenUnavailable(f"the token endpoint returned {status}", retry_after=wait, status=status)
    if status not in _OK and status not in _REFUSALS:
        raise TokenUnavailable(f"the token endpoint returned {status}", status=status)


def decode_body(response: TokenResponse) -> JsonValue:
    """The decoded body: JSON (RFC 6749) or a form, which some providers return.

    None if it is neither, such as HTML, or nested too deeply.
    """
    body = response.body.removeprefix(b"\xef\xbb\xbf").strip()
    try:
        value: JsonValue = json.loads(body, parse_constant=_reject_constant)
        if is_deeper_than(value, MAX_DEPTH):
            return None
        return _without_surrogates(value) if b"\\u" in body else value
    except (ValueError, RecursionError):
        pass
    if _FORM.fullmatch(body):
        return dict(parse_qsl(body.decode("ascii", "replace"), keep_blank_values=True))
    return None


def _without_surrogates(value: JsonValue) -> JsonValue:
    """The value with half surrogate pairs, which nothing can store or send, replaced by `?`."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {str(_without_surrogates(key)): _without_surrogates(item) for key, item in value.items()}
    return value


def _reject_constant(_: str) -> NoReturn:
    raise ValueError


def _check_error(response: TokenResponse, body: Mapping[str, JsonValue]) -> None:
    code = _find_error_code(body)
    folded = code.lower()
    if folded in _TRANSIENT_ERRORS:
        raise TokenUnavailable(f"the token endpoint returned {code}", status=response.status)
    # GitHub, Slack and Zoho return 200 for a rejected request.
    if folded in _GRANT_ERRORS:
        raise TokenRefused(code, ends_connection=True, status=response.status)
    if folded in _CLIENT_ERRORS or (body.get("error") and response.status in _OK):
        raise TokenRefused(code, ends_connection=False, status=response.status)


def _find_error_code(body: Mapping[str, JsonValue]) -> str:
    error = body.get("error")
    if isinstance(error, dict):
        candidates = [error.get("type"), error.get("code"), error.get("status")]
    else:
        candidates = [error, body.get("error_code"), body.get("code"), body.get("status")]
    return next((code for code in map(error_code, candidates) if code), "")


def raise_refused(response: TokenResponse, body: JsonValue, *, ends_connection: bool) -> NoReturn:
    """Raise TokenRefused for a response with an error status."""
    code = _find_error_code(body) if isinstance(body, dict) else ""
    raise TokenRefused(code, ends_connection=ends_connection, status=response.status)


def check_token(value: object) -> str:
    """The token, after checking that it can be sent; the error does not contain it.

    Raises:
        TokenUnavailable: it is missing, not text, too long, or has characters that RFC 6749 appendix A
            forbids.
    """
    if isinstance(value, str) and len(value) <= MAX_TOKEN_LENGTH and _VSCHAR.fullmatch(value):
        return value
    del value
    raise TokenUnavailable("the token endpoint's response has no valid token")


def search_path(path: str, body: JsonValue, where: str, context: TokenContext) -> JsonValue:
    """The value at a JMESPath, or None.

    Raises:
        ConfigError: the setting is not a valid JMESPath.
    """
    import jmespath

    try:
        value: JsonValue = jmespath.search(path, body)
    except (jmespath.exceptions.JMESPathError, ValueError, TypeError, RecursionError):
        del body
    else:
        return value
    raise context.missing_error(f"auth.{where} is not a valid JMESPath, or does not fit the response")


def read_expiry(
    context: TokenContext, response: TokenResponse, body: JsonValue, parent: str = ""
) -> float | None:
    """When the token of a response expires, in unix seconds of our clock; None if it is unknown.

    Args:
        context: its settings have the paths and the unit.
        response: its Date header shows the skew between our clock and the server's.
        body: the decoded body.
        parent: the path of the object with the token; "" for the body itself.
    """
    prefix = f"{parent}." if parent else ""
    at_path = context.text("expires_at_path", f"{prefix}expires_at")
    in_path = context.text("expires_in_path", f"{prefix}expires_in")
    lifetime = parse_seconds(search_path(in_path, body, "expires_in_path", context))
    if lifetime is not None:
        unit = _UNITS[context.text("expires_in_unit", "seconds")]
        return context.now + min(lifetime * unit, MAX_LIFETIME)
    moment = parse_timestamp(search_path(at_path, body, "expires_at_path", context), context.now)
    if moment is not None:
        return moment - clock_skew(response, context.now)
    declared = context.number("token_lifetime_seconds")
    return None if declared is None else context.now + declared


def clock_skew(response: TokenResponse, now: float) -> float:
    """Seconds by which the server's clock is ahead of ours; 0 if the difference is small or unknown."""
    server_now = _parse_date(response.header("date"))
    return server_now - now if server_now and abs(server_now - now) > _MIN_SKEW else 0.0


def parse_seconds(value: object) -> float | None:
    """A positive number, also as text; None for anything else, such as 0, -1 or NaN."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value) if not isinstance(value, int) or abs(value) < 10**18 else math.inf
    except ValueError:
        return None
    return number if number > 0 else None


def parse_timestamp(value: object, now: float) -> float | None:
    """Unix seconds from seconds, milliseconds or ISO 8601 text; None for anything else."""
    number = parse_seconds(value)
    if number is not None:
        moment = number / 1000 if number > _MILLISECONDS_FROM else number
    elif isinstance(value, str):
        moment = _parse_date(value)
    else:
        return None
    return min(moment, now + MAX_LIFETIME) if moment > 0 else None


def _parse_date(text: str) -> float:
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return 0.0


def retry_after(response: TokenResponse, now: float) -> float | None:
    """The seconds of a Retry-After header (RFC 9110 10.2.3), at most a day; None without one."""
    header = response.header("retry-after").strip()
    if not header:
        return None
    if header.isascii() and header.isdigit():
        return min(float(header[:12]), _MAX_RETRY_AFTER)
    # A date refers to the server's clock, which may differ from ours.
    server_now = _parse_date(response.header("date")) or now
    moment = _parse_date(header)
    return min(max(moment - server_now, 0.0), _MAX_RETRY_AFTER) if moment else None
