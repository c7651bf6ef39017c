"""TLS: the certificates that servers are checked against, and those that clients present."""

from __future__ import annotations

import hashlib
import os
import ssl
import tempfile
from typing import NoReturn

from nango_py.errors import CredentialsError
from nango_py.transport.bounded_cache import BoundedCache


def tls_context(ca_bundle: str | None = None) -> ssl.SSLContext:
    """A context for TLS 1.2 or newer that checks servers against a CA bundle, certifi's by default."""
    import certifi

    context = ssl.create_default_context(cafile=ca_bundle or certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsContexts:
    """The TLS settings of a transport: the common ones, and those with a client certificate; each made once.

    Args:
        ca_bundle: a file of trusted certificates to use instead of certifi's.
    """

    def __init__(self, ca_bundle: str | None = None) -> None:
        self._ca_bundle = ca_bundle
        self._common: ssl.SSLContext | None = None
        self._own: BoundedCache[ssl.SSLContext] = BoundedCache()

    def get(self, certificate: Certificate | None) -> ssl.SSLContext:
        """The settings for connections with a client certificate, or None.

        Raises:
            CredentialsError: the certificate or key is invalid, or they do not belong together.
        """
        if certificate is not None:
            return self._own.get(certificate, lambda: certificate.context(self._ca_bundle))
        if self._common is None:
            self._common = tls_context(self._ca_bundle)
        return self._common


class Certificate:
    """A client certificate chain and its private key as PEM; compared by content.

    Its repr is masked, and it cannot be pickled.
    """

    __slots__ = ("_chain", "_digest", "_key")

    def __init__(self, chain: str, key: str) -> None:
        self._chain = chain
        self._key = key
        self._digest = hashlib.sha256(f"{chain}\0{key}".encode()).digest()

    def context(self, ca_bundle: str | None = None) -> ssl.SSLContext:
        """A TLS context that also presents this certificate (RFC 8446 section 4.4.2).

        Raises:
            CredentialsError: the certificate or key is invalid, or they do not belong together.
        """
        context = tls_context(ca_bundle)
        if self._load_into(context):
            return context
        raise CredentialsError("the client certificate and its key cannot be used; are they a pair?")

    def _load_into(self, context: ssl.SSLContext) -> bool:
        # OpenSSL reads keys from files only. This one has mode 0600 and is removed before anything is sent.
        number, path = tempfile.mkstemp(prefix="nango-", suffix=".pem")
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(f"{self._chain}\n{self._key}")
            # Without this callback, OpenSSL would ask for the password on the terminal.
            context.load_cert_chain(path, password=lambda: b"")
        except (ssl.SSLError, ValueError):
            return False
        finally:
            os.unlink(path)  # noqa: PTH108 - pathlib is not needed for anything else
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        return "<Certificate>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Certificate holds a private key and cannot be pickled")
