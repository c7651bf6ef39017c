"""The cookies that bind a login to the browser that started it.

Each login has its own cookie, named after the state that the provider sends back, so logins in two windows
do not interfere. The server stores only a hash of the cookie's value.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.server.origins import PublicAddress

LIFETIME_SECONDS = 600
MAX_LOGINS = 16
"""Logins that one browser may have in progress."""

_STATES = ("state", "oauth_token", "denied")
"""Parameters that a provider returns unchanged: in OAuth 2, in OAuth 1.0a, and there after a refusal."""

_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")


def new_browser() -> str:
    """A cookie value of 256 random bits."""
    return secrets.token_urlsafe(32)


def hash_browser(browser: str) -> str:
    """The hash of a cookie's value, or "" if the value is not one of ours."""
    return hashlib.sha256(browser.encode()).hexdigest() if _VALUE.fullmatch(browser) else ""


def set_cookie(url: str, browser: str, address: PublicAddress) -> str:
    """The Set-Cookie header for a login that continues at this URL of the provider."""
    query = dict(parse_qsl(urlsplit(url).query))
    state = next((query[name] for name in _STATES if query.get(name)), "")
    return _header(_name(state, address), browser, LIFETIME_SECONDS, address)


def delete_excess(cookies: Mapping[str, str], address: PublicAddress) -> list[str]:
    """Set-Cookie headers that delete all login cookies of a browser that has too many.

    Browsers send them with every request to this host, and servers limit the size of request headers.
    """
    names = [name for name in cookies if name.startswith(_prefix(address))]
    return [_header(name, "", 0, address) for name in names] if len(names) >= MAX_LOGINS else []


def find_browser(
    query: Mapping[str, str], cookies: Mapping[str, str], address: PublicAddress
) -> tuple[str, str]:
    """The cookie value that belongs to a callback, or "", and the Set-Cookie header that deletes it."""
    for state in (*(query[name] for name in _STATES if query.get(name)), ""):
        name = _name(state, address)
        if name in cookies:
            return cookies[name], _header(name, "", 0, address)
    # Some OAuth 1.0a providers return no token when the user declines. The login checks whether this browser
    # started it; since anyone can send a browser here, the cookie is kept.
    values = [value for name, value in cookies.items() if name.startswith(_prefix(address))]
    return (values[0] if len(values) == 1 else ""), ""


def _name(state: str, address: PublicAddress) -> str:
    suffix = hashlib.sha256(f"nango login cookie\0{state}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{_prefix(address)}{suffix}"


def _prefix(address: PublicAddress) -> str:
    return "__Host-nango-login-" if address.is_https else "nango-login-"


def _header(name: str, value: str, seconds: int, address: PublicAddress) -> str:
    secure = "; Secure" if address.is_https else ""
    return f"{name}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax{secure}"
