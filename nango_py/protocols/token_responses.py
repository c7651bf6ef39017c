"""Parsing of untrusted token responses: RFC 6749 section 5, and the deviations of providers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qsl

from nango_py.config.values import as_tuple
from nango_py.header_values import parse_date, parse_longest_wait
from nango_py.json_path import search_json
from nango_py.json_types import is_deeper_than, is_text_deeper_than
from nango_py.protocols.refusals import GRANT, TRANSIENT, read_refusal
from nango_py.protocols.token_exchange import LARGEST_RESPONSE, TokenRefused, TokenUnavailable

if TYPE_CHECKING:
    from nango_py.json_types import JsonObject, JsonValue
    from nango_py.protocols.refusals import Refusal
    from nango_py.protocols.token_exchange import TokenContext, TokenResponse

MAX_LIFETIME = 10 * 365 * 86_400.0
"""Seconds; longer lifetimes are reduced to this."""

MAX_TOKEN_LENGTH = 65_536
MAX_RAW_BYTES = 65_536
"""Maximum size of the stored token response as JSON."""

MAX_DIGITS = 1000
"""Maximum length of a whole number in a token response."""

MAX_DEPTH = 32
"""Maximum nesting of a token response."""

_MAX_RETRY_AFTER = 86_400.0
_UNITS = {"milliseconds": 0.001, "seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86_400.0}
_VSCHAR = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A
_FORM = re.compile(rb"[A-Za-z0-9_.%+~-]+=[^\s<>{]*")
_MIN_SKEW = 30.0  # a Date header has whole seconds, and a response takes time
_MILLISECONDS_FROM = 1e11  # as unix seconds this is the year 5138

_UNSUPPORTED_TOKEN_TYPES = frozenset({"mac", "dpop", "pop"})
_OK = range(200, 300)
_SERVER_ERRORS = range(500, 600)
_REQUEST_TIMEOUT, _TOO_MANY = 408, 429
_REFUSALS = frozenset({400, 401, 403, 404, 405, 410, 415, 422})


def read_token_response(
    response: TokenResponse, context: TokenContext, *, is_refresh: bool = False
) -> JsonObject:
    """The members of an OAuth 2 token response.

    Args:
        response: of the token endpoint.
        context: of the request; its settings may declare `grant_ended`.
        is_refresh: whether the request used a refresh token.

    Raises:
        TokenRefused: a permanent error (RFC 6749 5.2), with any status.
        TokenUnavailable: a transient error, or not a token response.
    """
    body = decode_body(response)
    raise_if_ended(response, body, context)
    raise_if_transient(response, context.now)
    if response.status not in _OK or (isinstance(body, dict) and is_error_body(body)):
        raise_refused(response, body, context, is_refresh=is_refresh)
    if not isinstance(body, dict):
        raise TokenUnavailable("the token endpoint's response is not a JSON object", status=response.status)
    if str(body.get("token_type", "")).lower() in _UNSUPPORTED_TOKEN_TYPES:
        what = "the token endpoint returned an unsupported type of token; only bearer tokens are supported"
        raise TokenRefused("unsupported_token_type", ends_connection=False, status=response.status, what=what)
    return body


MAX_PLAIN_WORDS = 300
"""Maximum length in bytes of a refusal in plain text."""


def is_error_body(body: Mapping[str, JsonValue]) -> bool:
    """Whether a body with a status of success is an error, as GitHub, Slack and Zoho send them."""
    if any(body.get(name) for name in ("error", "errors", "error_code", "errorCode")):
        return True
    return body.get("ok") is False or body.get("success") is False


def raise_if_ended(response: TokenResponse, body: JsonValue, context: TokenContext) -> None:
    """Raise TokenRefused if the blueprint's `grant_ended` names this response."""
    for condition in context.settings.get("grant_ended") or ():
        statuses = as_tuple(condition.get("status", response.status))
        wanted = condition.get("json")
        if (
            response.status in statuses
            and str(condition.get("body_contains", "")).encode() in response.body
            and (
                wanted is None
                or search_path(str.__str__(wanted["path"]), body, "grant_ended.json.path", context)
                == wanted["equals"]
            )
        ):
            refusal = read_refusal(body, response.status, is_refresh=True)
            raise _refusal_error(refusal, response, context, ends_connection=True)


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

    None if it is neither, such as HTML, or nested too deeply. Numbers that nothing can store, such as
    `Infinity`, `1e999` or one of 5,000 digits, are null: the token beside them may be the only valid one.
    """
    body = response.body.removeprefix(b"\xef\xbb\xbf").strip()
    if is_text_deeper_than(body, MAX_DEPTH):
        return None
    try:
        value: JsonValue = json.loads(
            body, parse_constant=lambda _: None, parse_float=_parse_float, parse_int=_parse_int
        )
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


def _parse_float(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _parse_int(text: str) -> int | None:
    return int(text) if len(text) <= MAX_DIGITS else None


def raise_refused(
    response: TokenResponse,
    body: JsonValue,
    context: TokenContext,
    *,
    is_refresh: bool = False,
    ends_connection: bool = False,
) -> NoReturn:
    """Raise the error that a response stands for.

    Args:
        response: an error.
        body: its decoded body.
        context: of the request.
        is_refresh: whether the request used a refresh token.
        ends_connection: whether the user has to connect again if the response does not say whose fault it is.
    """
    words = _plain_words(response) if body is None else body
    refusal = read_refusal(words, response.status, is_refresh=is_refresh)
    if refusal.meaning == TRANSIENT:
        what = f"the token endpoint returned {refusal.code or response.status}"
        raise TokenUnavailable(what, retry_after=retry_after(response, context.now), status=response.status)
    ends = refusal.meaning == GRANT or ends_connection
    raise _refusal_error(refusal, response, context, ends_connection=ends)


def _plain_words(response: TokenResponse) -> str | None:
    """A short body that is neither JSON nor a form nor markup, such as `invalid_grant`."""
    text = response.body.decode("utf-8", "replace").strip() if len(response.body) <= MAX_PLAIN_WORDS else ""
    return None if text in {"", "null"} or "<" in text else text


def _refusal_error(
    refusal: Refusal, response: TokenResponse, context: TokenContext, *, ends_connection: bool
) -> TokenRefused:
    return TokenRefused(
        context.mask(refusal.code),
        ends_connection=ends_connection,
        status=response.status,
        description=context.mask(refusal.text),
        is_certain=refusal.is_certain,
    )


def bounded_raw(context: TokenContext, values: Mapping[str, JsonValue]) -> JsonObject:
    """A response as it is stored: at most MAX_RAW_BYTES as JSON.

    It replaces the response before it, except for members that it omits and that templates name. Of a
    response that is too large, the members that templates name are kept first, then the small ones.
    """
    old, named = context.credentials.get("raw"), context.raw_names
    kept = {name: value for name, value in old.items() if name in named} if isinstance(old, Mapping) else {}
    members: JsonObject = {**kept, **values}
    sizes = {name: len(json.dumps({name: value})) for name, value in members.items()}
    total = 0
    for name in sorted(members, key=lambda name: (name not in named, sizes[name])):
        total += sizes[name]
        if total > MAX_RAW_BYTES:
            del members[name]
    return members


def check_token(value: object) -> str:
    """The token without blanks around it, which no header can have; the error does not contain it.

    Raises:
        TokenUnavailable: it is missing, not text, too long, or has characters that RFC 6749 appendix A
            forbids.
    """
    token = value.strip(" ") if isinstance(value, str) else ""
    if len(token) <= MAX_TOKEN_LENGTH and _VSCHAR.fullmatch(token):
        return token
    del value, token
    raise TokenUnavailable("the token endpoint's response has no valid token")


def search_path(path: str, body: JsonValue, where: str, context: TokenContext) -> JsonValue:
    """The value at a JMESPath, or None.

    Raises:
        ConfigError: the setting is not a valid JMESPath.
    """
    with suppress(ValueError):
        return search_json(path, body)
    del body
    raise context.missing_error(f"auth.{where} is not a valid JMESPath")


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
    value = search_path(in_path, body, "expires_in_path", context)
    lifetime = parse_lifetime(value, context.text("expires_in_unit", "seconds"))
    if lifetime is not None:
        return context.now + lifetime
    moment = parse_timestamp(search_path(at_path, body, "expires_at_path", context), context.now)
    if moment is not None:
        return moment - clock_skew(response, context.now)
    declared = context.number("token_lifetime_seconds")
    return None if declared is None else context.now + declared


def parse_lifetime(value: object, unit: str) -> float | None:
    """Seconds from a number in a unit, at most MAX_LIFETIME; None if it is not a positive number."""
    number = parse_seconds(value)
    return None if number is None else min(number * _UNITS[unit], MAX_LIFETIME)


def clock_skew(response: TokenResponse, now: float) -> float:
    """Seconds by which the server's clock is ahead of ours; 0 if the difference is small or unknown."""
    server_now = parse_date(response.header("date"))
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
        moment = parse_date(value) or 0.0
    else:
        return None
    return min(moment, now + MAX_LIFETIME) if moment > 0 else None


def retry_after(response: TokenResponse, now: float) -> float | None:
    """The seconds of a Retry-After header, at most a day; None without a wait in it."""

    def server_time() -> float:
        # A date refers to the server's clock, which may differ from ours.
        return parse_date(response.header("date")) or now

    wait = parse_longest_wait(response.header("retry-after"), server_time)
    return None if wait is None or wait < 0 else min(wait, _MAX_RETRY_AFTER)
