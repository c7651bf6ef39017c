"""The device flow of OAuth 2 without I/O (RFC 8628), for machines without a browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nango_py.protocols import oauth2_protocol, token_responses
from nango_py.protocols.client_auth import authenticate_client, build_token_request
from nango_py.protocols.token_exchange import TokenUnavailable
from nango_py.record import field, record
from nango_py.secret import without_frames

if TYPE_CHECKING:
    from nango_py.json_types import JsonObject
    from nango_py.protocols.token_exchange import TokenContext, TokenRequest, TokenResponse

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
PENDING, SLOW_DOWN = "authorization_pending", "slow_down"
DEFAULT_INTERVAL_SECONDS = 5.0
LONGEST_INTERVAL_SECONDS = 60.0
LONGEST_LIFE_SECONDS = 3600.0
SLOWER_SECONDS = 5.0
"""By how much the interval grows after `slow_down` (RFC 8628 3.5)."""

_CODE = re.compile(r"[\x21-\x7e]{1,4096}")
_USER_CODE = re.compile(r"[\x20-\x7e]{1,64}")
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@record
class DeviceCodes:
    """What a provider returns at the beginning (RFC 8628 3.2).

    Attributes:
        user_code: what the user enters.
        verification_uri: where, and `verification_uri_complete` the same with the code, or "".
        life_seconds: how long the codes are valid.
        interval_seconds: how often the provider may be asked.
    """

    device_code: str = field(repr=False)
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    life_seconds: float
    interval_seconds: float


@without_frames
def codes_request(context: TokenContext) -> TokenRequest:
    """The request for the codes (RFC 8628 3.1)."""
    url = context.url("device_authorization_url")
    params, headers = authenticate_client(context, oauth2_protocol.scope_params(context), url)
    return build_token_request(url, params, headers)


@without_frames
def read_codes(context: TokenContext, response: TokenResponse) -> DeviceCodes:
    """The codes in a response.

    Raises:
        TokenRefused, TokenUnavailable: see `token_responses.read_token_response`.
    """
    values = token_responses.read_token_response(response, context)
    device_code, user_code = values.get("device_code"), values.get("user_code")
    # Google calls it verification_url.
    uri = _read_url(values, "verification_uri") or _read_url(values, "verification_url")
    is_valid = isinstance(device_code, str) and _CODE.fullmatch(device_code)
    if not is_valid or not isinstance(user_code, str) or not _USER_CODE.fullmatch(user_code) or not uri:
        raise TokenUnavailable("the provider's response has no valid codes")
    life = token_responses.parse_seconds(values.get("expires_in")) or LONGEST_LIFE_SECONDS
    interval = token_responses.parse_seconds(values.get("interval")) or DEFAULT_INTERVAL_SECONDS
    return DeviceCodes(
        str(device_code),
        user_code,
        uri,
        _read_url(values, "verification_uri_complete"),
        min(life, LONGEST_LIFE_SECONDS),
        min(interval, LONGEST_INTERVAL_SECONDS),
    )


def _read_url(values: JsonObject, name: str) -> str:
    """A URL that a user may be sent to, or ""."""
    text = values.get(name)
    if not isinstance(text, str) or not re.fullmatch(r"[\x21-\x7e]{1,2000}", text):
        return ""
    try:
        parts = urlsplit(text)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL)
    except ValueError:
        return ""
    return text if is_safe and parts.hostname and "@" not in parts.netloc else ""


@without_frames
def token_request(context: TokenContext, device_code: str) -> TokenRequest:
    """The request for a token (RFC 8628 3.4)."""
    return oauth2_protocol.grant_request(context, {"grant_type": GRANT_TYPE, "device_code": device_code})


def read_progress(response: TokenResponse) -> str:
    """PENDING or SLOW_DOWN if the user has not decided yet (RFC 8628 3.5), else ""."""
    body = token_responses.decode_body(response)
    code = body.get("error") if isinstance(body, dict) else None
    return str(code) if code in {PENDING, SLOW_DOWN} else ""
