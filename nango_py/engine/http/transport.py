"""Sends one plan once: the pools, TLS, the size cap, and the naming of what can go wrong."""

from __future__ import annotations

import os
import threading
import time
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import urllib3.exceptions
from urllib3.util import Timeout

from nango_py.engine.commands import Failure
from nango_py.engine.http.response import Response
from nango_py.engine.http.sockets import ATTEMPT, FOREVER, PlainPool, TlsPool
from nango_py.secret import live_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3.connectionpool import HTTPConnectionPool

    from nango_py.engine.plan import Plan

POOL_SIZE = 64
CHUNK = 65536


class BodyTooLargeError(Exception):
    """The decoded body is larger than the plan accepts."""


class Transport:
    """The connections of one process; safe to share between threads, and empty again after a fork.

    No proxy, netrc or certificate setting is taken from the environment, TLS is 1.2 or newer and always
    checked, redirects and retries are not its business.

    Args:
        ca_bundle: a file of trusted certificates instead of certifi's.
    """

    def __init__(self, ca_bundle: str | None = None) -> None:
        self._ca_bundle = ca_bundle
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, str], HTTPConnectionPool] = {}
        self._pid = os.getpid()

    def send(self, plan: Plan, seconds: float) -> Response | Failure:
        """Send once. Every way to fail comes back as a Failure, so no library's message travels on."""
        origin, target = _split(plan.url)
        started = time.monotonic()
        ATTEMPT.deadline, ATTEMPT.read_seconds, ATTEMPT.sent = started + seconds, plan.read_seconds, False
        shield = live_secrets.set(plan.stamp.secrets)
        raw: Any = None
        try:
            raw = self._pool(origin).urlopen(
                plan.method,
                target,
                body=plan.body,
                headers=dict(plan.headers.values()),
                retries=False,
                redirect=False,
                assert_same_host=False,
                timeout=Timeout(
                    connect=min(plan.connect_seconds, seconds), read=min(plan.read_seconds, seconds)
                ),
                preload_content=False,
                decode_content=False,
            )
            if plan.stream:
                # A stream may take as long as its reader likes; urllib3 has no public way to its source.
                raw._original_response.reader.deadline = FOREVER  # noqa: SLF001
                content = None
            else:
                content = read_body(raw, plan.max_bytes)
            return Response(plan, raw, content, time.monotonic() - started)
        except (
            urllib3.exceptions.HTTPError,
            HTTPException,
            OSError,
            BodyTooLargeError,
            UnicodeError,
        ) as error:
            if raw is not None:
                raw.close()
            return failure(error, origin[1], time.monotonic() - started >= seconds)
        finally:
            live_secrets.reset(shield)

    def close(self) -> None:
        """Close every idle connection; the transport can be used again."""
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.close()

    def _pool(self, origin: tuple[str, str]) -> HTTPConnectionPool:
        if self._pid != os.getpid():
            # A forked child must not write into its parent's sockets, nor close their TLS sessions.
            self._pools, self._pid, self._lock = {}, os.getpid(), threading.Lock()
        pool = self._pools.get(origin)
        if pool is None:
            with self._lock:
                pool = self._pools.get(origin) or self._pools.setdefault(origin, self._open(origin))
        return pool

    def _open(self, origin: tuple[str, str]) -> HTTPConnectionPool:
        scheme, netloc = origin
        parts = urlsplit(f"{scheme}://{netloc}")
        host = parts.hostname or ""
        if scheme == "http":
            return PlainPool(host, parts.port or 80, maxsize=POOL_SIZE)
        import ssl

        import certifi

        return TlsPool(
            host,
            parts.port or 443,
            maxsize=POOL_SIZE,
            cert_reqs="CERT_REQUIRED",
            ca_certs=self._ca_bundle or certifi.where(),
            ssl_minimum_version=ssl.TLSVersion.TLSv1_2,
        )


def _split(url: str) -> tuple[tuple[str, str], str]:
    """The origin and the request target of a URL that is known to be well formed."""
    scheme, _, rest = url.partition("://")
    netloc, slash, target = rest.partition("/")
    return (scheme, netloc), slash + target or "/"


def read_body(raw: Any, max_bytes: int) -> bytes:
    """The decoded body.

    Raises:
        BodyTooLargeError: it is larger than `max_bytes` after decoding (0 means any size).
    """
    headers: Mapping[str, str] = raw.headers
    length = raw.length_remaining
    if max_bytes and length is not None and length > max_bytes:
        raise BodyTooLargeError
    if length is not None and "content-encoding" not in headers:
        data: bytes = raw.read()
        return data
    chunks, size = [], 0
    while chunk := raw.read(CHUNK, decode_content=True):
        size += len(chunk)
        if max_bytes and size > max_bytes:
            raise BodyTooLargeError
        chunks.append(chunk)
    return b"".join(chunks)


def failure(error: BaseException, host: str, out_of_time: bool) -> Failure:  # noqa: FBT001 - a fact, not a switch
    """What a library's exception means, without its text: that may hold the URL."""
    sent = ATTEMPT.sent
    host = host.rpartition("@")[2]
    if isinstance(error, BodyTooLargeError):
        return Failure("too_large", sent, f"the answer of {host} is larger than max_response_bytes")
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return Failure("dns", sent=False, text=f"the name {host} could not be resolved")
    if isinstance(error, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError):
        return Failure("connect", sent=False, text=f"no connection to {host}")
    if isinstance(error, urllib3.exceptions.SSLError):
        return Failure("tls", sent, f"no trusted TLS connection to {host}: {_tls_reason(error)}")
    if out_of_time:
        return Failure("timeout", sent, f"{host} did not finish its answer within the time for one attempt")
    if isinstance(error, urllib3.exceptions.ReadTimeoutError | TimeoutError):
        return Failure("timeout", sent, f"no answer from {host} in time")
    if isinstance(error, urllib3.exceptions.IncompleteRead) or _holds_incomplete(error):
        return Failure("truncated", sent, f"the answer of {host} broke off")
    if isinstance(error, urllib3.exceptions.ProtocolError | OSError) and _is_reset(error):
        return Failure("reset" if sent else "connect", sent, f"{host} closed the connection")
    return Failure("protocol", sent, f"{host} did not speak HTTP correctly ({type(error).__name__})")


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = [error]
    found += [argument for argument in error.args if isinstance(argument, BaseException)]
    if error.__cause__ is not None:
        found.append(error.__cause__)
    return found


def _holds_incomplete(error: BaseException) -> bool:
    from http.client import IncompleteRead

    kinds = (urllib3.exceptions.IncompleteRead, IncompleteRead)
    return any(isinstance(part, kinds) for part in _chain(error))


def _is_reset(error: BaseException) -> bool:
    from http.client import RemoteDisconnected

    return any(isinstance(part, ConnectionError | RemoteDisconnected) for part in _chain(error))


def _tls_reason(error: BaseException) -> str:
    """The TLS library's short reason, such as CERTIFICATE_VERIFY_FAILED; it never holds a URL."""
    reasons = [getattr(part, "reason", None) for part in _chain(error)]
    return next((reason for reason in reasons if isinstance(reason, str)), "handshake failed")
