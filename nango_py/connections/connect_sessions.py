"""Connect sessions: the permission for one user to connect some integrations, for some minutes.

A token is its claims as JSON, sealed with the active encryption key: every process with the same keys can
read it, nobody else can read, make or change one, and nothing is stored.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import zlib
from typing import TYPE_CHECKING

from nango_py.config.urls.hosts import origin_of
from nango_py.connections.rows import from_microseconds
from nango_py.connections.validation import check_identity, check_type
from nango_py.errors import ConnectFailed
from nango_py.record import field, record
from nango_py.secret import Secret

if TYPE_CHECKING:
    from datetime import datetime

    from nango_py.config.model import Config
    from nango_py.connections.cipher import Key
    from nango_py.connections.keys import KeyRing
    from nango_py.connections.store import ConnectionStore

LONGEST_TOKEN = 16_384
LONGEST_LABEL = 200
_PLACE = b"nango connect session 1"


@record
class ConnectSession:
    """A permission to connect, to be handed to the user's browser. Its repr shows neither token nor URL.

    Attributes:
        token: what `nango-connect.js` and the connect page are given.
        url: the connect page with the token in its fragment, which browsers send to no server.
        expires_at: in UTC.
    """

    token: Secret = field(repr=False)
    url: str = field(repr=False)
    user_id: str
    integrations: tuple[str, ...]
    expires_at: datetime


@record
class SessionClaims:
    """What a valid token says.

    Attributes:
        id: names the session, and tells nothing else of it.
        integrations: those that the user may connect.
        origin: the page that hears how logins end; "" for those of `config.connect_origins`.
        user_label: what the page calls the user, or "".
        ends_at: unix seconds.
    """

    id: str
    user_id: str
    integrations: tuple[str, ...]
    origin: str
    user_label: str
    ends_at: float


SHORTEST_SECONDS, LONGEST_SECONDS = 60, 86_400


def new_connect_session(
    store: ConnectionStore,
    config: Config,
    user_id: str,
    integrations: tuple[str, ...],
    lifetime_seconds: float,
    origin: str,
    user_label: str,
) -> ConnectSession:
    """A session from now on; the arguments as in `Nango.connect_session`.

    Raises:
        ValueError: the lifetime or the origin is not allowed.
        TypeError: the lifetime is no number, or the origin or the label no text.
        StorageError: the user id cannot be stored.
    """
    check_type("lifetime_seconds", lifetime_seconds, (int, float), "a number of seconds")
    check_type("origin", origin, str, "an origin such as https://app.example.com")
    check_type("user_label", user_label, str, "text, such as the user's e-mail address")
    if not SHORTEST_SECONDS <= lifetime_seconds <= LONGEST_SECONDS:
        raise ValueError(f"lifetime_seconds must be from {SHORTEST_SECONDS} to {LONGEST_SECONDS}")
    origin = origin and origin_of(origin)
    if origin and origin not in config.connect_origins:
        known = ", ".join(config.connect_origins) or "none"
        raise ValueError(f"origin is not one of config.connect_origins, which are: {known}")
    ends_at = store.microseconds() / 1_000_000 + lifetime_seconds
    claims = SessionClaims(
        secrets.token_urlsafe(16), user_id, integrations, origin, user_label[:LONGEST_LABEL], ends_at
    )
    token = seal_session(store.current_key(), claims)
    if len(token.reveal()) > LONGEST_TOKEN:
        raise ValueError(f"a session cannot name {len(integrations)} integrations; name those that are shown")
    url = f"{config.oauth_server_root_url.rstrip('/')}/connect#session={token.reveal()}"
    return ConnectSession(token, url, user_id, integrations, from_microseconds(int(ends_at * 1_000_000)))


def seal_session(key: Key, claims: SessionClaims) -> Secret:
    """The token of these claims.

    Raises:
        StorageError: the user id cannot be stored.
    """
    check_identity("any", claims.user_id)
    said = {
        "id": claims.id,
        "user": claims.user_id,
        "integrations": list(claims.integrations),
        "origin": claims.origin,
        "label": claims.user_label,
        "ends": claims.ends_at,
    }
    # Proxies take headers of 8 KiB and less, and a session may name a thousand integrations.
    text = zlib.compress(json.dumps(said, separators=(",", ":")).encode(), level=9)
    sealed = key.seal(text, _PLACE)
    return Secret(f"{key.id}.{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}")


def open_session(keyring: KeyRing, token: str, now: float) -> SessionClaims:
    """The claims of a token.

    Args:
        keyring: of the store; the file is read again for a key that another process has made.
        token: what `sealed_session` gave.
        now: unix seconds.

    Raises:
        ConnectFailed: `session_invalid` for what is no token of these keys, `session_expired` for an old one.
        TypeError: the token is no text.
    """
    check_type("token", token, str, "the text of a connect session: session.token.reveal()")
    plain = _opened(keyring, Secret(token))
    if plain is None:
        raise ConnectFailed("session_invalid", "this link is not valid; ask for a new one")
    said = json.loads(zlib.decompress(plain))
    claims = SessionClaims(
        said["id"], said["user"], tuple(said["integrations"]), said["origin"], said["label"], said["ends"]
    )
    if claims.ends_at <= now:
        raise ConnectFailed("session_expired", "this link has expired; ask for a new one")
    return claims


def _opened(keyring: KeyRing, token: Secret) -> bytes | None:
    key_id, _, encoded = token.reveal().partition(".")
    if len(token.reveal()) > LONGEST_TOKEN or not encoded.isascii():
        return None
    try:
        sealed = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except (binascii.Error, ValueError):
        return None
    key = keyring.find_anew(key_id)
    return None if key is None else key.open(sealed, _PLACE)
