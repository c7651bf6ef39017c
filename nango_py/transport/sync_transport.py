"""Sends a request once and names what went wrong: the sync transport."""

from __future__ import annotations

import http.client
import math
import os
import ssl
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import urllib3
import urllib3.exceptions

from nango_py.secret import live_secrets, mask_library_loggers
from nango_py.transport.addresses import AddressRefusedError, blocked_message
from nango_py.transport.certificates import tls_context
from nango_py.transport.http1 import encode_request, is_simple
from nango_py.transport.lookups import Lookups, system_look_up
from nango_py.transport.pools import BoundedCache, PoolKey, pool_key
from nango_py.transport.proxy_tunnel import ProxyRefusedError
from nango_py.transport.response import CHUNK_SIZE, Response, is_streamed, max_body_size
from nango_py.transport.sendable import Failure
from nango_py.transport.sockets import (
    ATTEMPT,
    Connection,
    Connector,
    DeadlineResponse,
    Pool,
    TlsConnection,
)

if TYPE_CHECKING:
    from types import TracebackType

    from nango_py.transport.lookups import LookUp
    from nango_py.transport.sendable import Sendable

POOL_SIZE = 64

Origin = tuple[str, str]
"""Scheme and netloc of a URL."""

_EXPECTED_ERRORS = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, UnicodeError)


class BodyTooLargeError(urllib3.exceptions.HTTPError):
    """The decoded body exceeds the limit of its request."""


class Transport:
    """The connections of one process; safe to share between threads, and empty again after a fork.

    No proxy, netrc or certificate setting is taken from the environment. TLS is 1.2 or newer and always
    checked. Redirects and retries are left to the caller.

    Args:
        ca_bundle: a file of trusted certificates to use instead of certifi's.
        look_up: returns the addresses of a name; the system's resolver by default.
    """

    def __init__(self, ca_bundle: str | None = None, look_up: LookUp = system_look_up) -> None:
        self._ca_bundle = ca_bundle
        self._connector = Connector(Lookups(look_up))
        # Separate, so that names of users which never resolve do not delay other lookups.
        self._user_lookups = Lookups(look_up)
        self._lock = threading.Lock()
        self._pools: dict[Origin, Pool] = {}
        self._separate_pools: BoundedCache[Pool] = BoundedCache(Pool.close)
        self._tls: ssl.SSLContext | None = None
        self._pid = os.getpid()
        mask_library_loggers()

    def send(self, plan: Sendable, seconds: float) -> Response | Failure:
        """Send a request once, within a time.

        Whatever goes wrong is returned as a Failure, without the message of a library.
        """
        origin = _origin(plan.url)
        started = time.monotonic()
        ATTEMPT.deadline, ATTEMPT.read_seconds, ATTEMPT.sent = started + seconds, plan.read_seconds, False
        secrets = live_secrets.set(plan.settings.secrets)
        pool = self._pool(origin, plan)
        connection = pool.take()
        try:
            raw = _exchange(connection, plan, seconds)
            if is_streamed(plan, raw.status):
                # The reader of a stream may take its time, and the connection is used for nothing else.
                raw.reader.deadline = math.inf
                body = decode_response(raw, plan.method)
                return Response(plan, body, None, time.monotonic() - started, connection.close)
            content = read_body(raw, plan.method, max_body_size(plan))
            pool.give_back(connection)
            return Response(plan, raw, content, time.monotonic() - started)
        except AddressRefusedError:
            connection.close()
            return Failure("blocked", sent=False, text=blocked_message(plan.settings.guard, origin[1]))
        except ProxyRefusedError:
            connection.close()
            return Failure.of("proxy", origin[1], sent=False)
        except _EXPECTED_ERRORS as error:
            connection.close()
            is_late = time.monotonic() - started >= seconds
            return _failure(error, origin[1].rpartition("@")[2], is_late=is_late)
        except BaseException as error:  # noqa: BLE001 - raised again
            connection.close()
            # A caller's iterator failed, or Ctrl-C: the frames of the libraries hold the rendered request.
            raise error.with_traceback(_outside(error.__traceback__))  # noqa: B904 - it is the same one
        finally:
            live_secrets.reset(secrets)

    def close(self) -> None:
        """Close all idle connections; the transport can still be used."""
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.close()
        self._separate_pools.clear()

    def _pool(self, origin: Origin, plan: Sendable) -> Pool:
        if self._pid != os.getpid():
            # A forked child must neither write into its parent's sockets nor close their TLS sessions.
            self._pools, self._pid, self._lock = {}, os.getpid(), threading.Lock()
            self._separate_pools = BoundedCache(Pool.close)
        if plan.settings.needs_own_pool:
            key = pool_key(plan)
            return self._separate_pools.get((origin, key), lambda: self._new_pool(origin, key))
        pool = self._pools.get(origin)
        if pool is None:
            with self._lock:
                pool = self._pools.setdefault(origin, self._new_pool(origin, PoolKey()))
        return pool

    def _new_pool(self, origin: Origin, key: PoolKey) -> Pool:
        connector, context = self._connector, None
        if key != PoolKey():
            lookups = connector.lookups if key.networks is None else self._user_lookups
            connector = Connector(lookups, key.networks, key.proxy)
        if key.certificate is not None:
            context = key.certificate.context(self._ca_bundle)
        return Pool(lambda: self._connection(origin, connector, context), POOL_SIZE)

    def _connection(self, origin: Origin, connector: Connector, context: ssl.SSLContext | None) -> Connection:
        url = urlsplit(f"{origin[0]}://{origin[1]}")
        host = url.hostname or ""
        connection: Connection
        if origin[0] == "http":
            connection = Connection(host, url.port or 80)
        else:
            connection = TlsConnection(host, url.port or 443, ssl_context=context or self._default_tls())
        connection.connector = connector
        return connection

    def _default_tls(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = tls_context(self._ca_bundle)
        return self._tls


def _origin(url: str) -> Origin:
    scheme, _, rest = url.partition("://")
    return scheme, rest.partition("/")[0]


_INSIDE = ("nango_py.", "urllib3.", "http.client", "socket", "ssl")


def _outside(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that lies beyond this package and the HTTP libraries."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(_INSIDE):
        trace = trace.tb_next
    return trace


def _exchange(connection: Connection, plan: Sendable, seconds: float) -> DeadlineResponse:
    """Send the request and read the head of the response."""
    host, _, target = plan.url.partition("://")[2].partition("/")
    target = "/" + target
    if connection.sock is None:
        connection.timeout = min(plan.connect_seconds, seconds)
        connection.connect()
    connection.timeout = min(plan.read_seconds, seconds)
    is_encoded_here = is_simple(plan)
    try:
        if is_encoded_here:
            connection.send(encode_request(plan, host, target))
        else:
            connection.request(plan.method, target, plan.body, dict(plan.headers.values()))
    except (BrokenPipeError, ConnectionResetError):
        # A server may respond and close before it has read the whole request; its response counts.
        if connection.sock is None:
            raise
    if not is_encoded_here:
        # urllib3 would copy and normalise every header, which most callers do not read.
        return http.client.HTTPConnection.getresponse(connection)  # type: ignore[return-value]
    raw = DeadlineResponse(connection.sock, method=plan.method)
    raw.begin()
    if raw.will_close:
        connection.close()  # the response keeps the socket until it is read
    return raw


def read_body(raw: DeadlineResponse, method: str, max_bytes: int) -> bytes:
    """The decoded body.

    Raises:
        BodyTooLargeError: it exceeds `max_bytes` after decoding (0 for no limit).
    """
    if max_bytes and raw.length is not None and raw.length > max_bytes:
        raise BodyTooLargeError
    if raw.length is not None and "content-encoding" not in raw.headers:
        return raw.read()
    stream = decode_response(raw, method)
    chunks, size = [], 0
    while chunk := stream.read(CHUNK_SIZE, decode_content=True):
        size += len(chunk)
        if max_bytes and size > max_bytes:
            raise BodyTooLargeError
        chunks.append(chunk)
    return b"".join(chunks)


def decode_response(raw: DeadlineResponse, method: str) -> urllib3.HTTPResponse:
    """The response as urllib3 reads it: decoded, and an error if it is incomplete."""
    return urllib3.HTTPResponse(
        body=raw,
        headers=urllib3.HTTPHeaderDict(raw.headers.items()),
        status=raw.status,
        reason=raw.reason,
        preload_content=False,
        original_response=raw,
        request_method=method,
    )


def _failure(error: BaseException, host: str, *, is_late: bool) -> Failure:
    """The failure that a library's exception means, without its text: that may contain the URL."""
    errors = urllib3.exceptions
    sent = ATTEMPT.sent
    if isinstance(error, BodyTooLargeError):
        return Failure.of("too_large", host, sent=sent)
    if isinstance(error, errors.NameResolutionError):
        return Failure.of("dns", host, sent=False)
    if not sent:
        if isinstance(error, ssl.SSLError | ssl.CertificateError):
            detail = getattr(error, "reason", None) or "handshake failed"
            return Failure.of("tls", host, sent=False, detail=detail)
        return Failure.of("connect", host, sent=False)
    if is_late or isinstance(error, errors.ReadTimeoutError | TimeoutError):
        return Failure.of("timeout", host, sent=True)
    if _is_caused_by(error, errors.IncompleteRead, http.client.IncompleteRead):
        return Failure.of("truncated", host, sent=True)
    if _is_caused_by(error, ConnectionError, ssl.SSLError):
        return Failure.of("reset", host, sent=True)
    return Failure.of("protocol", host, sent=True, detail=type(error).__name__)


def _is_caused_by(error: BaseException, *kinds: type[BaseException]) -> bool:
    """Whether the exception is of one of the kinds, or wraps one."""
    return any(isinstance(part, kinds) for part in (error, *error.args, error.__cause__))
