"""The proxy that https connections are tunnelled through (RFC 9110 section 9.3.6)."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

from nango_py.config.urls.proxy import parse_proxy

if TYPE_CHECKING:
    from nango_py.secret import Secret


class ProxyRefusedError(Exception):
    """The proxy does not let a connection through, and would not a second time. Nothing was sent."""


class Proxy:
    """Where tunnels begin, and the login there. Its repr is masked and it does not pickle.

    Attributes:
        name: the same for the same address and login, and for no others.
        url: the address without the login.
        login: user and password, or None.
        secrets: the texts that must not be seen.
    """

    __slots__ = ("host", "login", "name", "port", "secrets", "url")

    def __init__(self, url: str) -> None:
        parts = parse_proxy(url)
        assert parts is not None  # noqa: S101 - checked when the file was read
        self.host = parts.host
        self.port = parts.port
        self.url = f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"
        self.name = hashlib.sha256(url.encode()).hexdigest()
        self.login = (parts.user, parts.password) if parts.user else None
        token = base64.b64encode(f"{parts.user}:{parts.password}".encode()).decode()
        self.secrets = (parts.password, token) if parts.password else ()

    def headers(self) -> dict[str, str]:
        """What a CONNECT carries beside its target."""
        if self.login is None:
            return {}
        token = base64.b64encode(":".join(self.login).encode()).decode()
        return {"Proxy-Authorization": f"Basic {token}"}

    def __repr__(self) -> str:
        return f"<Proxy {self.host}:{self.port}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Proxy holds a password and is not pickled")


def open_proxy(url: Secret | None) -> Proxy | None:
    """The proxy of an address; one object for each."""
    return None if url is None else _proxy(url)


@lru_cache(maxsize=256)
def _proxy(url: Secret) -> Proxy:
    return Proxy(url.reveal())


def is_local(host: str) -> bool:
    """Whether a host is this machine, which no proxy leads to."""
    return re.fullmatch(r"localhost|.*\.localhost|127(\.[0-9]+){3}|::1", host, re.IGNORECASE) is not None


def refuses(message: str) -> bool:
    """Whether the status in a library's message on a tunnel is a refusal for good: 4xx."""
    return re.search(r"(?:^|failed: )4[0-9]{2}\b", message) is not None
