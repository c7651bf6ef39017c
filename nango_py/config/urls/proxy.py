"""Proxies of integrations: one for each, one for all, or none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from nango_py.errors import Problem
from nango_py.record import record
from nango_py.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py.config.model import Config, UserHosts
    from nango_py.config.values import Path
    from nango_py.errors import Position
    from nango_py.json_types import Settings

DIRECT = "direct"
"""The value of an integration that does not use the general proxy."""

PATH: Path = ("requests", "proxy_url")
EXPECTED = "expected http://proxy.example.com:3128, optionally with user:password@, or direct"

_PROXY = (
    r"http://(?:(?P<user>[^/@:\s]+)(?::(?P<password>[^/@\s]*))?@)?"
    r"(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?/?"
)


class ProxyParts(NamedTuple):
    """The parts of a proxy URL; user and password are decoded, and "" if missing."""

    host: str
    port: int
    user: str
    password: str


def parse_proxy(url: str) -> ProxyParts | None:
    """The parts of a proxy URL; None if it is not valid."""
    found = re.fullmatch(_PROXY, url, re.IGNORECASE)
    if found is None or int(found["port"] or 80) > 65_535:  # noqa: PLR2004 - the largest port
        return None
    user, password = unquote(found["user"] or ""), unquote(found["password"] or "")
    if not (user + password).isprintable() or not (user + password).isascii():
        return None
    return ProxyParts(found["host"].strip("[]"), int(found["port"] or 80), user, password)


def get_proxy(requests: Settings, config: Config) -> Secret | None:
    """The proxy URL of an integration; None for direct connections."""
    own = requests.get("proxy_url")
    url = config.proxy_url if own is None else str.__str__(own)
    return Secret(url) if url and url != DIRECT else None


@record
class ProxyPlaces:
    """Where a proxy may be written: in the integration, for all integrations, or in neither."""

    position_of: Callable[[Path], Position]
    general: Position
    integration: Position


def check_proxy(
    settings: Settings, config: Config, hosts: UserHosts | None, places: ProxyPlaces
) -> Iterator[Problem]:
    """Problems of a proxy: its URL is invalid (E204), or users name hosts (E321)."""
    found = get_proxy(settings["requests"], config)
    if found is None:
        return
    is_own = settings["requests"].get("proxy_url") is not None
    if parse_proxy(found.reveal()) is None:
        where = places.position_of(PATH) if is_own else places.general
        yield Problem(where, "E204", "not a proxy URL", EXPECTED)
    elif hosts is not None and (hosts.in_base_url or hosts.in_auth):
        help_ = "set requests.proxy_url: direct for this integration"
        what = "users name hosts here, and a proxy would resolve them without our address checks"
        where = places.position_of(PATH) if is_own else places.integration
        yield Problem(where, "E321", what, "", help_)
