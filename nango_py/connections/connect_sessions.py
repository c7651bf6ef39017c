"""Connect sessions: short-lived permission for one user to connect certain integrations.

A token is its claims as JSON, sealed with the active encryption key. Nothing is stored: only processes with
the same keys can read, create or change a token.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import zlib
from typing import TYPE_CHECKING

from nango_py.argument_types import check_type
from nango_py.config.urls.hosts import origin_of
from nango_py.config.values import NOTHING
from nango_py.connections.rows import from_microseconds
from nango_py.connections.validation import check_identity
from nango_py.errors import ConnectFailed
from nango_py.record import field, record
from nango_py.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from nango_py.config.model import Config
    from nango_py.connections.cipher import Key
    from nango_py.connections.keys import KeyRing
    from nango_py.connections.store import ConnectionStore

MAX_TOKEN_LENGTH = 16_384
MAX_LABEL_LENGTH = 200
_URL = re.compile(
    r"(?:https://(?:\[[0-9a-f:.]+\]|[^\s/?#@:\[\]\\<>\"]+)|http://(?:localhost|127\.0\.0\.1|\[::1\]))"
    r"(?::[0-9]{1,5})?(?:[/?#][^\s\\<>\"]*)?"
)
_ASSOCIATED_DATA = b"nango connect session 1"


@record
class ConnectSession:
    """Permission to connect, to be passed to the user's browser. Its repr shows neither token nor URL.

    Attributes:
        token: for `nango-connect.js` and the connect page.
        url: the connect page with the token in the fragment, which browsers do not send to servers.
        expires_at: in UTC.
    """

    token: Secret = field(repr=False)
    url: str = field(repr=False)
    user_id: str
    integrations: tuple[str, ...]
    expires_at: datetime


@record
class SessionClaims:
    """The claims of a valid token.

    Attributes:
        id: a random id of the session.
        integrations: those that the user may connect.
        origin: the origin that receives the results of logins; "" for those of `config.connect_origins`.
        user_label: the user's name on the page, or "".
        ends_at: unix seconds.
        return_url: the page of the product to which the connect page links, or "".
        language: of the page, one of `LANGUAGES`; "" for that of the browser.
        choices: what the program chose in advance, by integration and name of the choice.
    """

    id: str
    user_id: str
    integrations: tuple[str, ...]
    origin: str
    user_label: str
    ends_at: float
    return_url: str = ""
    language: str = ""
    choices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


LANGUAGES = ("en", "de", "fr")
"""The languages of the connect page."""

MAX_URL_LENGTH = 2000
MIN_SECONDS, MAX_SECONDS = 60, 86_400


def new_connect_session(
    store: ConnectionStore,
    config: Config,
    user_id: str,
    integrations: tuple[str, ...],
    lifetime_seconds: float,
    origin: str,
    user_label: str,
    return_url: str = "",
    language: str = "",
    choices: Mapping[str, Mapping[str, str]] = NOTHING,
) -> ConnectSession:
    """A session that starts now; for the arguments see `Nango.connect_session`.

    Raises:
        ValueError: the lifetime, the origin, the return URL or the language is not allowed.
        TypeError: the lifetime is not a number, or one of the texts is not text.
        StorageError: the user id cannot be stored.
    """
    check_type("lifetime_seconds", lifetime_seconds, (int, float), "a number of seconds")
    check_type("origin", origin, str, "an origin such as https://app.example.com")
    check_type("user_label", user_label, str, "text, such as the user's e-mail address")
    check_type("return_url", return_url, str, "a URL of your product")
    check_type("language", language, str, f"one of {', '.join(LANGUAGES)}")
    is_url = return_url.isprintable() and _URL.fullmatch(return_url)
    if return_url and (len(return_url) > MAX_URL_LENGTH or not is_url):
        raise ValueError(
            "return_url must be an https:// URL (http:// on localhost) of at most 2000 characters"
        )
    if language and language not in LANGUAGES:
        raise ValueError(f"language must be one of {', '.join(LANGUAGES)}")
    if not MIN_SECONDS <= lifetime_seconds <= MAX_SECONDS:
        raise ValueError(f"lifetime_seconds must be from {MIN_SECONDS} to {MAX_SECONDS}")
    origin = origin and origin_of(origin)
    if origin and origin not in config.connect_origins:
        allowed = ", ".join(config.connect_origins) or "none"
        raise ValueError(f"origin is not in config.connect_origins; allowed: {allowed}")
    ends_at = store.microseconds() / 1_000_000 + lifetime_seconds
    claims = SessionClaims(
        secrets.token_urlsafe(16),
        user_id,
        integrations,
        origin,
        user_label[:MAX_LABEL_LENGTH],
        ends_at,
        return_url,
        language,
        choices,
    )
    token = seal_session(store.current_key(), claims)
    if len(token.reveal()) > MAX_TOKEN_LENGTH:
        raise ValueError(
            f"{len(integrations)} integrations are too many for one session; pass only those to be shown"
        )
    url = f"{config.oauth_server_root_url.rstrip('/')}/connect#session={token.reveal()}"
    return ConnectSession(token, url, user_id, integrations, from_microseconds(int(ends_at * 1_000_000)))


def seal_session(key: Key, claims: SessionClaims) -> Secret:
    """The token of these claims.

    Raises:
        StorageError: the user id cannot be stored.
    """
    check_identity("any", claims.user_id)
    content = {
        "id": claims.id,
        "user": claims.user_id,
        "integrations": list(claims.integrations),
        "origin": claims.origin,
        "label": claims.user_label,
        "ends": claims.ends_at,
        "return": claims.return_url,
        "language": claims.language,
        "choices": {name: dict(values) for name, values in claims.choices.items()},
    }
    # Proxies accept headers of 8 KiB or less, and a session may have a thousand integrations.
    text = zlib.compress(json.dumps(content, separators=(",", ":")).encode(), level=9)
    sealed = key.seal(text, _ASSOCIATED_DATA)
    return Secret(f"{key.id}.{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}")


def open_session(keyring: KeyRing, token: str, now: float) -> SessionClaims:
    """The claims of a token.

    Args:
        keyring: of the store; the key file is read again for a key that another process created.
        token: the result of `seal_session`.
        now: unix seconds.

    Raises:
        ConnectFailed: `session_invalid` if it is not a token of these keys, `session_expired` if it has
            expired.
        TypeError: the token is not text.
    """
    check_type("token", token, str, "the text of a connect session: session.token.reveal()")
    plain = _decrypt(keyring, Secret(token))
    if plain is None:
        raise ConnectFailed("session_invalid", "this link is not valid; ask for a new one")
    content = json.loads(zlib.decompress(plain))
    claims = SessionClaims(
        content["id"],
        content["user"],
        tuple(content["integrations"]),
        content["origin"],
        content["label"],
        content["ends"],
        content.get("return", ""),  # a session of an earlier version has none
        content.get("language", ""),
        content.get("choices", {}),
    )
    if claims.ends_at <= now:
        raise ConnectFailed("session_expired", "this link has expired; ask for a new one")
    return claims


def _decrypt(keyring: KeyRing, token: Secret) -> bytes | None:
    key_id, _, encoded = token.reveal().partition(".")
    if len(token.reveal()) > MAX_TOKEN_LENGTH or not encoded.isascii():
        return None
    try:
        sealed = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except (binascii.Error, ValueError):
        return None
    if base64.urlsafe_b64encode(sealed).decode().rstrip("=") != encoded:
        return None  # bits that base64 does not use were changed
    key = keyring.find_or_reload(key_id)
    return None if key is None else key.open(sealed, _ASSOCIATED_DATA)
