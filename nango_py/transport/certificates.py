"""Client certificates: two PEM texts, and the TLS context that presents them (RFC 8446 section 4.4.2)."""

from __future__ import annotations

import hashlib
import os
import ssl
import tempfile
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from nango_py.errors import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

MOST_KEPT = 256
"""Pools of client certificates; the one that was used least recently goes first."""

Made = TypeVar("Made")


class Certificate:
    """A certificate chain and its private key. Its repr is masked and it does not pickle.

    Attributes:
        name: the same for the same two texts, and for no others.
    """

    __slots__ = ("_pair", "name")

    def __init__(self, chain: str, key: str) -> None:
        self._pair = chain, key
        self.name = hashlib.sha256(f"{chain}\0{key}".encode()).hexdigest()

    def context(self, ca_bundle: str) -> ssl.SSLContext:
        """A TLS context that presents the certificate, and checks servers against a file of trusted ones.

        Raises:
            CredentialsError: the texts are no certificate and key, or do not belong together.
        """
        context = tls_context(ca_bundle)
        if self._load(context):
            return context
        raise CredentialsError("the client certificate and its key cannot be used; are they a pair?")

    def _load(self, context: ssl.SSLContext) -> bool:
        # OpenSSL reads keys from files only. This one is 0600, and gone before anything is sent.
        number, path = tempfile.mkstemp(prefix="nango-", suffix=".pem")
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write("\n".join(self._pair))
            # A password is never asked for: one would wait for a terminal.
            context.load_cert_chain(path, password=lambda: b"")
        except (ssl.SSLError, ValueError):
            return False
        finally:
            os.unlink(path)  # noqa: PTH108 - pathlib is not needed for anything else
        return True

    def __repr__(self) -> str:
        return "<Certificate>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Certificate holds a private key and is not pickled")


def tls_context(ca_bundle: str) -> ssl.SSLContext:
    """TLS 1.2 or newer, with servers checked against a file of trusted certificates."""
    context = ssl.create_default_context(cafile=ca_bundle)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class BoundedCache(Generic[Made]):
    """Things made once for each key, as many as MOST_KEPT. A race makes one twice, which does no harm."""

    __slots__ = ("_drop", "_kept")

    def __init__(self, drop: Callable[[Made], None]) -> None:
        self._drop = drop
        self._kept: OrderedDict[Hashable, Made] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """The thing of this key."""
        known = self._kept.get(key)
        if known is None:
            known = self._kept[key] = make()
            while len(self._kept) > MOST_KEPT:
                self._drop(self._kept.popitem(last=False)[1])
        else:
            with suppress(KeyError):  # dropped by another thread
                self._kept.move_to_end(key)
        return known

    def clear(self) -> None:
        """Drop all."""
        while self._kept:
            self._drop(self._kept.popitem()[1])
