"""Sends one plan once: the pools, TLS, the size cap, and the naming of what can go wrong."""

from __future__ import annotations

import http.client
import os
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import urllib3
import urllib3.exceptions

from nango_py.secret import live_secrets, mask_library_loggers
from nango_py.transport.addresses import AddressRefusedError, refusal
from nango_py.transport.certificates import BoundedCache, tls_context
from nango_py.transport.http1 import encode_request, is_simple
from nango_py.transport.lookups import Lookups, system_look_up
from nango_py.transport.proxy_tunnel import ProxyRefusedError, is_local
from nango_py.transport.response import Response, is_streamed, most_bytes
from nango_py.transport.sendable import Failure
from nango_py.transport.sockets import (
    ATTEMPT,
    FOREVER,
    Connector,
    DeadlineResponse,
    PlainConnection,
    Pool,
    TlsConnection,
)

if TYPE_CHECKING:
    from types import TracebackType

    from nango_py.transport.lookups import LookUp
    from nango_py.transport.sendable import Sendable, SocketSettings
    from nango_py.transport.sockets import Connection

POOL_SIZE = 64
CHUNK = 65536

Origin = tuple[str, str]
"""Scheme and netloc of a URL."""

EXPECTED = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, UnicodeError)
"""What can go wrong while a request is sent and its response is read."""


class BodyTooLargeError(urllib3.exceptions.HTTPError):
    """The decoded body is larger than the plan accepts."""


class Transport:
    """The connections of one process; safe to share between threads, and empty again after a fork.

    No proxy, netrc or certificate setting is taken from the environment; TLS is 1.2 or newer and always
    checked; redirects and retries are not its business.

    Args:
        ca_bundle: a file of trusted certificates instead of certifi's.
        look_up: gives the addresses of a name; the system does by default.
    """

    def __init__(self, ca_bundle: str | None = None, look_up: LookUp = system_look_up) -> None:
        self._ca_bundle = ca_bundle
        self._way = Connector(Lookups(look_up))
        # Apart, so that names of users which never resolve hold up nobody else's.
        self._user_lookups = Lookups(look_up)
        self._lock = threading.Lock()
        self._pools: dict[Origin, Pool] = {}
        self._apart: BoundedCache[Pool] = BoundedCache(Pool.close)
        self._tls: ssl.SSLContext | None = None
        self._pid = os.getpid()
        mask_library_loggers()

    def send(self, plan: Sendable, seconds: float) -> Response | Failure:
        """Send once. Every way to fail comes back as a Failure, so no library's message travels on."""
        origin = _origin(plan.url)
        started = time.monotonic()
        ATTEMPT.deadline, ATTEMPT.read_seconds, ATTEMPT.sent = started + seconds, plan.read_seconds, False
        shield = live_secrets.set(plan.stamp.secrets)
        pool = self._pool(origin, plan.stamp)
        connection = pool.take()
        try:
            raw = _exchange(connection, plan, seconds)
            if is_streamed(plan, raw.status):
                # A stream may take as long as its reader likes, and keeps its connection to itself.
                raw.reader.deadline = FOREVER
                return Response(
                    plan,
                    decode_response(raw, plan.method),
                    None,
                    time.monotonic() - started,
                    connection.close,
                )
            content = read_body(raw, plan.method, most_bytes(plan))
            pool.give_back(connection)
            return Response(plan, raw, content, time.monotonic() - started)
        except AddressRefusedError:
            connection.close()
            return Failure("blocked", sent=False, text=refusal(plan.stamp.guard, origin[1]))
        except ProxyRefusedError:
            connection.close()
            return Failure("proxy", sent=False, text=f"the proxy lets no connection through to {origin[1]}")
        except EXPECTED as error:
            connection.close()
            return failure(error, origin[1].rpartition("@")[2], late=time.monotonic() - started >= seconds)
        except BaseException as error:  # noqa: BLE001 - raised again
            connection.close()
            # A caller's own iterator failed, or Ctrl-C: the libraries' frames hold the rendered request.
            raise error.with_traceback(_outside(error.__traceback__))  # noqa: B904 - it is the same one
        finally:
            live_secrets.reset(shield)

    def close(self) -> None:
        """Close every idle connection; the transport can be used again."""
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.close()
        self._apart.clear()

    def _pool(self, origin: Origin, stamp: SocketSettings) -> Pool:
        if self._pid != os.getpid():
            # A forked child must not write into its parent's sockets, nor close their TLS sessions.
            self._pools, self._pid, self._lock = {}, os.getpid(), threading.Lock()
            self._apart = BoundedCache(Pool.close)
        if stamp.is_apart:
            return self._pool_apart(origin, stamp)
        pool = self._pools.get(origin)
        if pool is None:
            with self._lock:
                pool = self._pools.setdefault(origin, Pool(lambda: self._open(origin), POOL_SIZE))
        return pool

    def _pool_apart(self, origin: Origin, stamp: SocketSettings) -> Pool:
        """The connections that not everyone may use.

        One with a client certificate speaks for whoever made it. One to a host that a user named was allowed
        by the networks of one integration, and not by those of another. Proxies are not mixed either.
        """
        is_tls = origin[0] == "https"
        certificate = stamp.client_certificate if is_tls else None
        networks = None if stamp.guard is None else stamp.guard.networks
        proxy = stamp.proxy if is_tls and not is_local(urlsplit(f"//{origin[1]}").hostname or "") else None

        def made() -> Pool:
            context = None if certificate is None else certificate.context(self._trusted())
            way = Connector(self._way.lookups if networks is None else self._user_lookups, networks, proxy)
            return Pool(lambda: self._open(origin, context, way), POOL_SIZE)

        names = ("" if part is None else part.name for part in (certificate, proxy))
        return self._apart.get((origin, networks, *names), made)

    def _open(
        self, origin: Origin, context: ssl.SSLContext | None = None, way: Connector | None = None
    ) -> Connection:
        parts = urlsplit(f"{origin[0]}://{origin[1]}")
        host = parts.hostname or ""
        connection: Connection
        if origin[0] == "http":
            connection = PlainConnection(host, parts.port or 80)
        else:
            if context is None:
                if self._tls is None:
                    self._tls = tls_context(self._trusted())
                context = self._tls
            connection = TlsConnection(host, parts.port or 443, ssl_context=context)
        connection.way = way or self._way
        return connection

    def _trusted(self) -> str:
        import certifi

        return self._ca_bundle or certifi.where()


def _origin(url: str) -> Origin:
    scheme, _, rest = url.partition("://")
    return scheme, rest.partition("/")[0]


def _outside(trace: TracebackType | None) -> TracebackType | None:
    """What of a traceback lies beyond this package and the HTTP libraries."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(INSIDE):
        trace = trace.tb_next
    return trace


INSIDE = ("nango_py.", "urllib3.", "http.client", "socket", "ssl")


def _exchange(connection: Connection, plan: Sendable, seconds: float) -> DeadlineResponse:
    """Send the request and read the response's head."""
    host, _, target = plan.url.partition("://")[2].partition("/")
    target = "/" + target
    if connection.sock is None:
        connection.timeout = min(plan.connect_seconds, seconds)
        connection.connect()
    connection.timeout = min(plan.read_seconds, seconds)
    usual = is_simple(plan)
    try:
        if usual:
            connection.send(encode_request(plan, host, target))
        else:
            connection.request(plan.method, target, plan.body, dict(plan.headers.values()))
    except (BrokenPipeError, ConnectionResetError):
        # A server may answer and close before it has read everything; its response is worth reading.
        if connection.sock is None:
            raise
    if not usual:
        # urllib3 would copy and normalise every header; most callers look at none.
        return http.client.HTTPConnection.getresponse(connection)  # type: ignore[return-value]
    raw = DeadlineResponse(connection.sock, method=plan.method)
    raw.begin()
    if raw.will_close:
        connection.close()  # what was not read stays readable: the response holds the socket
    return raw


def read_body(raw: DeadlineResponse, method: str, max_bytes: int) -> bytes:
    """The decoded body.

    Raises:
        BodyTooLargeError: it is larger than `max_bytes` after decoding (0 means any size).
    """
    if max_bytes and raw.length is not None and raw.length > max_bytes:
        raise BodyTooLargeError
    if raw.length is not None and "content-encoding" not in raw.headers:
        return raw.read()
    stream = decode_response(raw, method)
    chunks, size = [], 0
    while chunk := stream.read(CHUNK, decode_content=True):
        size += len(chunk)
        if max_bytes and size > max_bytes:
            raise BodyTooLargeError
        chunks.append(chunk)
    return b"".join(chunks)


def decode_response(raw: DeadlineResponse, method: str) -> urllib3.HTTPResponse:
    """The response as urllib3 gives it: decoding, and complete or an error."""
    return urllib3.HTTPResponse(
        body=raw,
        headers=urllib3.HTTPHeaderDict(raw.headers.items()),
        status=raw.status,
        reason=raw.reason,
        preload_content=False,
        original_response=raw,
        request_method=method,
    )


def failure(error: BaseException, host: str, *, late: bool) -> Failure:
    """What a library's exception means, without its text: that may hold the URL."""
    errors = urllib3.exceptions
    sent = ATTEMPT.sent
    if isinstance(error, BodyTooLargeError):
        return Failure("too_large", sent, f"the response of {host} is larger than max_response_bytes")
    if isinstance(error, errors.NameResolutionError):
        return Failure("dns", sent=False, text=f"the name {host} could not be resolved")
    if not sent:
        if isinstance(error, ssl.SSLError | ssl.CertificateError):
            reason = getattr(error, "reason", None) or "handshake failed"
            return Failure("tls", sent=False, text=f"no trusted TLS connection to {host}: {reason}")
        return Failure("connect", sent=False, text=f"no connection to {host}")
    if late:
        return Failure("timeout", sent, f"{host} did not finish its response within the time for one attempt")
    if isinstance(error, errors.ReadTimeoutError | TimeoutError):
        return Failure("timeout", sent, f"no response from {host} in time")
    if _means(error, errors.IncompleteRead, http.client.IncompleteRead):
        return Failure("truncated", sent, f"the response of {host} broke off")
    if _means(error, ConnectionError, ssl.SSLError):
        return Failure("reset", sent, f"{host} closed the connection")
    return Failure("protocol", sent, f"{host} did not speak HTTP correctly ({type(error).__name__})")


def _means(error: BaseException, *kinds: type[BaseException]) -> bool:
    """Whether the exception is of a kind, or was made from one."""
    chain: list[Any] = [error, *error.args, error.__cause__]
    return any(isinstance(part, kinds) for part in chain)
