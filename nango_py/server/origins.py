"""Where the connect server is, who may speak to it, and who hears how a login ended: by `config:` only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nango_py.config.urls.hosts import origin_of
from nango_py.record import record

if TYPE_CHECKING:
    from nango_py.config.model import Config

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.IGNORECASE)


@record
class PublicAddress:
    """What `config:` says of the connect server.

    Attributes:
        root: the origin of oauth_server_root_url, such as `https://product.test`.
        prefix: its path without a slash at the end, often "".
        names: host names that are ours, in lower case.
        hosts: values of the Host header, port included, that are ours too.
        origins: `config.connect_origins`.
        is_loopback: whether this is a developer's machine.
    """

    root: str
    prefix: str
    names: frozenset[str]
    hosts: frozenset[str]
    origins: tuple[str, ...]
    is_loopback: bool

    @property
    def is_https(self) -> bool:
        """Whether browsers reach the server by TLS, from whatever ends it."""
        return self.root.startswith("https:")

    def knows(self, host: str) -> bool:
        """Whether a Host header names this server. The port is the network's matter, but for exact hosts."""
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        return found[1].lower() in self.names or host.lower() in self.hosts

    def own_origin(self, host: str) -> str:
        """The origin of our pages, as the browser that sent this Host header sees it.

        On a developer's machine that is the name and port which the browser chose; elsewhere it never
        depends on what was sent.
        """
        return f"http://{host.lower()}" if self.is_loopback and self.knows(host) else self.root

    def hears(self, origin: str, wanted: str = "") -> bool:
        """Whether a page of this origin may hear how a login ended.

        Args:
            origin: of the page.
            wanted: the origin that the session is for, or "" for all of `connect_origins`.
        """
        return origin == self.root or origin in ({wanted} if wanted else self.origins)

    def better_name(self, host: str) -> str:
        """The root's own origin, for a browser that came by another name of this machine; else "".

        Cookies and messages of a login are bound to the name to which the provider sends the browser back.
        """
        mine, its = _HOST.fullmatch(self.root.partition("//")[2]), _HOST.fullmatch(host)
        if not self.is_loopback or mine is None or its is None or mine[2] != its[2]:
            return ""
        return "" if mine[1] == its[1].lower() else self.root


def make_public_address(config: Config) -> PublicAddress:
    """The doors of a configuration."""
    parts = urlsplit(config.oauth_server_root_url)
    found = _HOST.fullmatch(parts.netloc)
    name = (found[1] if found else parts.netloc).lower()
    is_loopback = name in _LOOPBACK
    extra = {host.lower() for host in config.connect_hosts}
    with_port = {host for host in extra if (match := _HOST.fullmatch(host)) and match[2]}
    return PublicAddress(
        root=origin_of(config.oauth_server_root_url),
        prefix=parts.path.rstrip("/"),
        names=frozenset({name} | (extra - with_port) | (_LOOPBACK if is_loopback else set())),
        hosts=frozenset(with_port),
        origins=config.connect_origins,
        is_loopback=is_loopback,
    )
