"""The proxy that https connections are tunnelled through (RFC 9110 section 9.3.6)."""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

from nango_py.config.urls.proxy import parse_proxy

if TYPE_CHECKING:
    from nango_py.secret import Secret

REFUSALS = range(400, 500)
"""Statuses of a CONNECT that would be the same for a second one."""


class ProxyRefusedError(Exception):
    """The proxy refuses the tunnel, and would refuse the next one. Nothing was sent."""


class Proxy:
    """The address of a proxy and the login there; compared by both.

    Its repr is masked, and it cannot be pickled.

    Attributes:
        url: the address without the login.
        login: user and password, or None.
        secrets: the texts to mask.
    """

    __slots__ = ("_identity", "host", "login", "port", "secrets", "url")

    def __init__(self, url: str) -> None:
        parts = parse_proxy(url)
        assert parts is not None  # noqa: S101 - checked when the configuration was loaded
        self.host = parts.host
        self.port = parts.port
        self.url = f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"
        self.login = (parts.user, parts.password) if parts.user else None
        self.secrets = (parts.password, self._token()) if parts.password else ()
        self._identity = (self.url, self.login)

    def headers(self) -> dict[str, str]:
        """The headers of a CONNECT request."""
        return {} if self.login is None else {"Proxy-Authorization": f"Basic {self._token()}"}

    def _token(self) -> str:
        return base64.b64encode(":".join(self.login or ()).encode()).decode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        return f"<Proxy {self.host}:{self.port}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Proxy holds a password and cannot be pickled")


def open_proxy(url: Secret | None) -> Proxy | None:
    """The proxy at an address; the same object for the same address."""
    return None if url is None else _open_proxy(url)


@lru_cache(maxsize=256)
def _open_proxy(url: Secret) -> Proxy:
    return Proxy(url.reveal())


def is_local(host: str) -> bool:
    """Whether a host is this machine, which is always reached without a proxy."""
    return re.fullmatch(r"localhost|.*\.localhost|127(\.[0-9]+){3}|::1", host, re.IGNORECASE) is not None
