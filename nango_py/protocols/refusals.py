"""What a token endpoint's refusal means: the grant is dead, the client is refused, or it may work later.

RFC 6749 section 5.2 has one place and six codes. Providers put them into lists and below other names, send
other codes and other statuses, or say it in a sentence only. What the rules here do not know, a blueprint
says under `auth.grant_ended`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.errors import printable
from nango_py.protocols.token_exchange import error_code
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.json_types import JsonValue

MAX_NODES = 300
"""Maximum number of values of a response that are searched for codes."""

MAX_DESCRIPTION = 300

GRANT, CLIENT, TRANSIENT, UNKNOWN = "grant", "client", "transient", "unknown"

# The user's grant or login is invalid: the user has to connect again.
_GRANT_CODES = frozenset(
    {"invalid_grant", "bad_refresh_token", "invalid_refresh_token", "refresh_token_invalid"}
    | {"refresh_token_expired", "expired_refresh_token", "refresh_token_revoked", "revoked_refresh_token"}
    | {"refresh_token_not_found", "expired_token", "token_revoked", "token_expired", "invalid_token"}
    | {"token_invalid", "revoked_token", "bad_verification_code", "invalid_code", "consent_required"}
    | {"interaction_required", "login_required", "account_inactive", "user_suspended", "grant_expired"}
    | {"grant_revoked", "expired_client_token"}
)
# The application or its request is wrong, whatever the text beside the code says.
_CLIENT_CODES = frozenset(
    {"invalid_client", "incorrect_client_credentials", "bad_client_secret", "invalid_client_id"}
    | {
        "invalid_client_secret",
        "invalid_application",
        "deleted_client",
        "disabled_client",
        "unsupported_grant_type",
    }
    | {"invalid_scope", "invalid_target", "redirect_uri_mismatch", "bad_redirect_uri"}
)
# The same, unless the text says that the refresh token is dead.
_WEAK_CLIENT_CODES = frozenset({"unauthorized_client", "invalid_request", "access_denied"})
_TRANSIENT_CODES = frozenset(
    {"temporarily_unavailable", "server_error", "slow_down", "ratelimited", "rate_limited", "internal_error"}
    | {"rate_limit_exceeded", "too_many_requests", "service_unavailable", "internal_server_error"}
)
_MEANING = {
    **dict.fromkeys(_GRANT_CODES, GRANT),
    **dict.fromkeys(_CLIENT_CODES, CLIENT),
    **dict.fromkeys(_TRANSIENT_CODES, TRANSIENT),
}
_CODE_KEYS = frozenset(
    {"", "error", "errors", "code", "type", "status", "reason", "name", "errorcode", "errortype", "suberror"}
    | {"errorsubtype", "errorname", "errorkey", "key", "faultcode"}
)
_TEXT_KEYS = frozenset(
    {"", "errordescription", "description", "message", "detail", "details", "errormessage", "errordetail"}
    | {"msg", "errormsg", "reason", "title", "error", "errors", "summary", "fault", "faultstring"}
    | {"base", "nonfielderrors", "refreshtoken"}
)
"""Keys in small letters without `_`; "" is a body that is a text."""
_DEAD = (
    r"(?:invalid|expired|revoked|inactive|unknown|not valid|no longer valid|not found|not exist|withdrawn)"
)
_DEAD_GRANT = re.compile(
    rf"\b(?:refresh[ _-]?token|authorization grant)\b[^.]{{0,60}}?\b(?:{_DEAD}|used)\b"
    rf"|\b{_DEAD}\b[^.]{{0,30}}?\brefresh[ _-]?token\b"
    r"|\bactive refresh[ _-]?token\b"
    rf"|\b(?:invalid|expired|revoked) (?:access )?token\b"
    rf"|\btoken (?:is|was|has|has been)? ?(?:invalid|expired|revoked)\b",
    re.IGNORECASE,
)
_ABOUT_CLIENT = re.compile(
    r"(?<![a-z])(?:client|application|app|consumer|developer|partner|api[ _-]?key)(?![a-z])", re.IGNORECASE
)
_CLIENT_DETAILS = re.compile(r"client[ _-]?(?:id|secret|authenticat|credential)", re.IGNORECASE)
_LATER = re.compile(r"rate limit|too many requests|try again later|temporarily", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_UNAUTHORIZED = 401


@record
class Refusal:
    """What a refusal means.

    Attributes:
        meaning: GRANT, CLIENT, TRANSIENT, or UNKNOWN if the response names no error.
        code: the provider's code, or "".
        text: the provider's sentence, as sent; it may repeat a credential.
        is_certain: False if the response does not say whose fault it is.
    """

    meaning: str
    code: str = ""
    text: str = ""
    is_certain: bool = True


def read_refusal(body: JsonValue, status: int, *, is_refresh: bool) -> Refusal:
    """What a response means that is not a token.

    Args:
        body: the decoded body. Of one that is a text only known codes are shown: it may be a credential.
        status: the HTTP status.
        is_refresh: whether the request used a refresh token, so that a sentence about a token that is
            invalid is about this one.
    """
    codes = list(_codes(body))
    text = "" if isinstance(body, str) else next(_texts(body), "")
    for word, written in codes:
        meaning = _MEANING.get(word)
        if meaning is not None:
            return Refusal(meaning, written, text)
    weak = next((written for word, written in codes if word in _WEAK_CLIENT_CODES), "")
    code = weak or next((written for _, written in codes), "")
    if any(_LATER.search(found) for found in _texts(body)):
        return Refusal(TRANSIENT, code, text)
    if is_refresh and any(_says_grant_is_dead(found) for found in _texts(body)):
        return Refusal(GRANT, code, text)
    if weak:
        return Refusal(CLIENT, weak, text)
    if is_refresh and status == _UNAUTHORIZED:
        is_about_client = any(_ABOUT_CLIENT.search(found) for found in (code, *_texts(body)))
        return Refusal(CLIENT if is_about_client else GRANT, code, text, is_certain=False)
    return Refusal(UNKNOWN, code, text)


def _says_grant_is_dead(text: str) -> bool:
    return bool(_DEAD_GRANT.search(text)) and not _CLIENT_DETAILS.search(text)


def _codes(body: JsonValue) -> Iterator[tuple[str, str]]:
    """The error codes of a body in their order: as `invalid_grant` is written, and as the provider does."""
    for key, value, holder in _walk(body):
        if key.replace("_", "") in _CODE_KEYS and isinstance(value, str):
            # A code may have a name space or a sentence: `invalid_client: Invalid secret`.
            for part in (value, value.partition(":")[0], re.split(r"[/#:.]", value)[-1]):
                word = _to_snake(part)
                shown = error_code(part.strip()) if key else ""
                written = shown or (word if word in _MEANING else "")
                if written:
                    yield word, written
        if key == "code" and isinstance(value, str) and value.lower() in {"invalid", "expired", "revoked"}:
            # Strava names the field beside the word.
            names = (holder.get("field"), holder.get("resource"))
            words = [f"{value.lower()}_{_to_snake(name)}" for name in names if isinstance(name, str)]
            yield from ((word, word) for word in words if error_code(word))


def _to_snake(text: str) -> str:
    return re.sub(r"[\s-]+", "_", _CAMEL.sub("_", text[:100].strip())).lower()


def _texts(body: JsonValue) -> Iterator[str]:
    """The sentences of a body, each as one short line."""
    for key, value, _ in _walk(body):
        if key.replace("_", "") in _TEXT_KEYS and isinstance(value, str) and " " in value.strip():
            yield printable(value.strip(), MAX_DESCRIPTION)


def _walk(body: JsonValue) -> Iterator[tuple[str, JsonValue, dict[str, JsonValue]]]:
    """Each value with its key in snake case and its object, outer ones first; list items as their list."""
    waiting: list[tuple[str, JsonValue, dict[str, JsonValue]]] = [("", body, {})]
    for number, (key, value, holder) in enumerate(waiting):
        if number >= MAX_NODES:
            return
        yield key, value, holder
        if isinstance(value, dict):
            waiting.extend((_to_snake(name), item, value) for name, item in value.items())
        elif isinstance(value, list):
            waiting.extend((key, item, holder) for item in value)
