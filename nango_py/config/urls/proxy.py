"""A proxy as integrations.yaml names it: for one integration, for all, or for none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from nango_py.errors import Problem
from nango_py.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nango_py.config.model import Config, UserHosts
    from nango_py.config.values import Path
    from nango_py.errors import Position

DIRECT = "direct"
"""Said in place of a proxy by an integration that does without the general one."""

PATH: Path = ("requests", "proxy_url")
EXPECTED = "expected http://proxy.example.com:3128, with user:password@ before the host if need be, or direct"

_PROXY = (
    r"http://(?:(?P<user>[^/@:\s]+)(?::(?P<password>[^/@\s]*))?@)?"
    r"(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?/?"
)


class ProxyParts(NamedTuple):
    """What a proxy's address says; user and password are decoded, and "" where there are none."""

    host: str
    port: int
    user: str
    password: str


def parse_proxy(url: str) -> ProxyParts | None:
    """The parts of a proxy's address; None if it is none."""
    found = re.fullmatch(_PROXY, url, re.IGNORECASE)
    if found is None or int(found["port"] or 80) > 65_535:  # noqa: PLR2004 - the largest port
        return None
    user, password = unquote(found["user"] or ""), unquote(found["password"] or "")
    if not (user + password).isprintable() or not (user + password).isascii():
        return None
    return ProxyParts(found["host"].strip("[]"), int(found["port"] or 80), user, password)


def get_proxy(requests: Mapping[str, Any], config: Config) -> Secret | None:
    """The address of the proxy that an integration uses, masked; None for direct connections."""
    own = requests.get("proxy_url")
    url = config.proxy_url if own is None else str.__str__(own)
    return Secret(url) if url and url != DIRECT else None


def check_proxy(
    settings: Mapping[str, Any],
    config: Config,
    hosts: UserHosts | None,
    position_of: Callable[[Path], Position],
) -> Iterator[Problem]:
    """What is wrong with the proxy of an integration; its address is not shown.

    Raises nothing; yields E204 an address that is none, E321 a proxy where users name hosts.
    """
    found = get_proxy(settings["requests"], config)
    if found is None:
        return
    if parse_proxy(found.reveal()) is None:
        yield Problem(position_of(PATH), "E204", "not the address of a proxy", EXPECTED)
    elif hosts is not None and (hosts.in_base_url or hosts.in_auth):
        help_ = "set requests.proxy_url: direct for this integration"
        what = "users name hosts here, and a proxy would look them up where nothing is checked"
        yield Problem(position_of(PATH), "E321", what, "", help_)
