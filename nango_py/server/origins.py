"""The public address of the connect server, and the origins it trusts. Both come from `config:` only."""

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
    """Where browsers reach the connect server, and which pages it talks to.

    Attributes:
        root: the origin of oauth_server_root_url, such as `https://product.test`.
        prefix: its path without a trailing slash, often "".
        names: our host names in lower case, valid with any port.
        hosts: further Host headers of ours, with a port that must match.
        origins: `config.connect_origins`.
        is_loopback: whether the root is on this machine.
    """

    root: str
    prefix: str
    names: frozenset[str]
    hosts: frozenset[str]
    origins: tuple[str, ...]
    is_loopback: bool

    @property
    def is_https(self) -> bool:
        """Whether browsers use TLS, even if a proxy terminates it."""
        return self.root.startswith("https:")

    def is_own_host(self, host: str) -> bool:
        """Whether a Host header names this server."""
        match = _HOST.fullmatch(host)
        return match is not None and (match[1].lower() in self.names or host.lower() in self.hosts)

    def own_origin(self, host: str) -> str:
        """The origin of our pages as the browser sees it.

        Only on a developer's machine does it depend on the Host header.
        """
        return f"http://{host.lower()}" if self.is_loopback and self.is_own_host(host) else self.root

    def may_receive_result(self, origin: str, session_origin: str = "") -> bool:
        """Whether a page of this origin may learn how a login ended.

        Args:
            origin: the origin of the page.
            session_origin: the origin that the session is limited to, or "" for all of `connect_origins`.
        """
        return origin == self.root or origin in ({session_origin} if session_origin else self.origins)

    def canonical_origin(self, host: str) -> str:
        """The root's origin if the browser used another name of this machine, else "".

        Cookies and messages of a login are bound to the name to which the provider sends the browser back.
        """
        own, given = _HOST.fullmatch(self.root.partition("//")[2]), _HOST.fullmatch(host)
        if not self.is_loopback or own is None or given is None or own[2] != given[2]:
            return ""
        return "" if own[1] == given[1].lower() else self.root


def make_public_address(config: Config) -> PublicAddress:
    """The address that a configuration describes."""
    parts = urlsplit(config.oauth_server_root_url)
    match = _HOST.fullmatch(parts.netloc)
    name = (match[1] if match else parts.netloc).lower()
    is_loopback = name in _LOOPBACK
    extra = {host.lower() for host in config.connect_hosts}
    with_port = {host for host in extra if (found := _HOST.fullmatch(host)) and found[2]}
    return PublicAddress(
        root=origin_of(config.oauth_server_root_url),
        prefix=parts.path.rstrip("/"),
        names=frozenset({name} | (extra - with_port) | (_LOOPBACK if is_loopback else set())),
        hosts=frozenset(with_port),
        origins=config.connect_origins,
        is_loopback=is_loopback,
    )
