"""How an adapter of requests sends an attempt: by the engine's transport, or by requests itself."""

from __future__ import annotations

import os
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import requests
import requests.adapters
import urllib3.connectionpool
import urllib3.exceptions
from requests.structures import CaseInsensitiveDict
from requests.utils import select_proxy

from nango_py.errors import InvalidRequest
from nango_py.secret import live_secrets
from nango_py.transport.response import CHUNK_SIZE, Response, is_streamed, max_body_size
from nango_py.transport.sendable import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.transport.sendable import FailureReason, Sendable
    from nango_py.transport.sync_transport import Transport

CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class SessionSettings(threading.local):
    """The settings of this thread's request, from its session or from the call."""

    stream = False
    verify: bool | str = True
    cert: Any = None
    proxies: Mapping[str, str] | None = None

    def proxy_for(self, url: str) -> str | None:
        """The proxy for a URL."""
        return select_proxy(url, dict(self.proxies)) if self.proxies else None

    def bundle_for(self, url: str) -> str:
        """The trusted certificates that the session names; "" for those of Nango."""
        verify = self.verify
        if not isinstance(verify, str) or not url.startswith("https:"):
            return ""
        return "" if verify in {os.environ.get(name) for name in CA_VARIABLES} else verify


SESSION_SETTINGS = SessionSettings()


class RequestsTransport:
    """The engine's transport, with two cases in which requests sends the attempt.

    These are a proxy or a client certificate of the session, and a test tool that replaces the connections of
    urllib3, such as vcrpy.

    Args:
        transport: of the engine.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._by_bundle: dict[str, Transport] = {}

    def send(self, plan: Sendable, seconds: float) -> Response | Failure:
        """Send a request once.

        Raises:
            InvalidRequest: the session's settings would lead around a check of this connection.
        """
        if self._transport.tape is not None:
            return self._transport.send(plan, seconds)
        settings, url = SESSION_SETTINGS, plan.url
        is_unusual = bool(settings.proxy_for(url) or (settings.cert and url.startswith("https:")))
        if is_unusual and plan.settings.needs_own_pool:
            raise InvalidRequest(
                "proxies= and cert= cannot be used for this connection, whose host, proxy or certificate is "
                "set here; set trust_env = False on the session if the proxy comes from the environment"
            )
        if not is_unusual and not _is_replaced():
            return self._transport_for(settings.bundle_for(url)).send(plan, seconds)
        secrets = live_secrets.set(plan.settings.secrets)
        try:
            return _send_once(plan, seconds)
        finally:
            live_secrets.reset(secrets)

    def _transport_for(self, bundle: str) -> Transport:
        if not bundle:
            return self._transport
        found = self._by_bundle.get(bundle)
        return found or self._by_bundle.setdefault(bundle, type(self._transport)(bundle))

    def close(self) -> None:
        """Close the connections that were opened for this session alone."""
        for transport in self._by_bundle.values():
            transport.close()


def _is_replaced() -> bool:
    """Whether a test tool has replaced the classes of urllib3's connections."""
    pool = urllib3.connectionpool.HTTPSConnectionPool
    return not pool.ConnectionCls.__module__.startswith("urllib3.")


def _send_once(plan: Sendable, seconds: float) -> Response | Failure:
    started, host = time.monotonic(), plan.url.split("/")[2]
    adapter = requests.adapters.HTTPAdapter()  # for one request: no connection is shared between users
    try:
        found = adapter.send(
            _prepare(plan),
            stream=True,
            timeout=(min(plan.connect_seconds, seconds), min(plan.read_seconds, seconds)),
            verify=SESSION_SETTINGS.verify,
            cert=SESSION_SETTINGS.cert,
            proxies=dict(SESSION_SETTINGS.proxies or {}),
        )
        took = time.monotonic() - started
        if is_streamed(plan, found.status_code):
            return Response(plan, found.raw, None, took, found.close)
        content = _read(found, max_body_size(plan))
    except requests.RequestException as error:
        reason = _reason_of(error)
        return Failure.of(reason, host, sent=reason not in {"dns", "connect", "tls", "proxy"})
    head = SimpleNamespace(status=found.status_code, reason=found.reason, headers=found.raw.headers)
    if content is None:
        return Failure.of("too_large", host, sent=True)
    return Response(plan, head, content, time.monotonic() - started)


def _prepare(plan: Sendable) -> requests.PreparedRequest:
    prepared: Any = requests.PreparedRequest()
    prepared.method, prepared.url, prepared.body = plan.method, plan.url, plan.body
    prepared.headers = CaseInsensitiveDict(dict(plan.headers.values()))
    if isinstance(plan.body, bytes):
        prepared.headers["Content-Length"] = str(len(plan.body))
    return prepared  # type: ignore[no-any-return]


def _read(found: requests.Response, max_bytes: int) -> bytes | None:
    """The decoded body; None if it is too large."""
    chunks, size = [], 0
    with found:
        for chunk in found.iter_content(CHUNK_SIZE):
            size += len(chunk)
            if max_bytes and size > max_bytes:
                return None
            chunks.append(chunk)
    return b"".join(chunks)


def _reason_of(error: requests.RequestException) -> FailureReason:
    kinds: tuple[tuple[type[Exception], FailureReason], ...] = (
        (requests.exceptions.ProxyError, "proxy"),
        (requests.exceptions.SSLError, "tls"),
        (requests.ConnectTimeout, "connect"),
        (requests.ReadTimeout, "timeout"),
        (requests.exceptions.ChunkedEncodingError, "truncated"),
        (requests.exceptions.ContentDecodingError, "truncated"),
    )
    for kind, reason in kinds:
        if isinstance(error, kind):
            return reason
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return "dns"
    if isinstance(cause, urllib3.exceptions.NewConnectionError):
        return "connect"
    return "timeout" if isinstance(cause, urllib3.exceptions.ReadTimeoutError) else "reset"
