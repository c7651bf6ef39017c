"""The cookie that binds a login to the browser in which it began.

Each login has its own, named after the state that the provider sends back: two logins in two windows do not
disturb one another. Its value goes to this server only; what is kept of it is a hash.
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

SECONDS = 600
MOST = 16
"""Logins that one browser may have under way."""

_STATES = ("state", "oauth_token", "denied")
"""What comes back unchanged: of OAuth 2, of OAuth 1.0a, and of OAuth 1.0a where the user said no."""

_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")


def new_browser() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def bind_browser(browser: str) -> str:
    """What is kept of a cookie's value: its hash, or "" for what is none."""
    return hashlib.sha256(browser.encode()).hexdigest() if _VALUE.fullmatch(browser) else ""


def set_cookie(url: str, browser: str, doors: PublicAddress) -> str:
    """The Set-Cookie header for a login that goes on at this URL of the provider."""
    query = dict(parse_qsl(urlsplit(url).query))
    state = next((query[name] for name in _STATES if query.get(name)), "")
    return _header(_name(state, doors), browser, SECONDS, doors)


def superfluous(cookies: Mapping[str, str], doors: PublicAddress) -> list[str]:
    """The headers that delete all cookies of logins, where a browser has begun more than it can mean.

    Browsers send them with every request to this host, and servers bound what they accept.
    """
    names = [name for name in cookies if name.startswith(_prefix(doors))]
    return [_header(name, "", 0, doors) for name in names] if len(names) >= MOST else []


def browser_of(query: Mapping[str, str], cookies: Mapping[str, str], doors: PublicAddress) -> tuple[str, str]:
    """The value of the cookie that belongs to a callback, or "", and the header that deletes it."""
    for state in (*(query[name] for name in _STATES if query.get(name)), ""):
        name = _name(state, doors)
        if name in cookies:
            return cookies[name], _header(name, "", 0, doors)
    # Some providers of OAuth 1.0a bring no token back with a no. The login knows whether this browser is its
    # own; and anybody can send a browser here, so the cookie stays.
    logins = [value for name, value in cookies.items() if name.startswith(_prefix(doors))]
    return (logins[0] if len(logins) == 1 else ""), ""


def _name(state: str, doors: PublicAddress) -> str:
    suffix = hashlib.sha256(f"nango login cookie\0{state}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{_prefix(doors)}{suffix}"


def _prefix(doors: PublicAddress) -> str:
    return "__Host-nango-login-" if doors.is_https else "nango-login-"


def _header(name: str, value: str, seconds: int, doors: PublicAddress) -> str:
    secure = "; Secure" if doors.is_https else ""
    return f"{name}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax{secure}"
