"""Calls through a proxy: a tunnel that the proxy cannot read, and a login that only the proxy sees."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

import pytest

from nango_py.secret import Secret
from nango_py.transport.sendable import Failure
from tests.support.both_transports import SENDS
from tests.support.fault_server import READ, FaultServer, Tls, response
from tests.support.made_values import KEY, a_plan, an_integration, bound_settings
from tests.support.nango_at_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.engine.plan import Plan
    from tests.support.both_transports import Outcomes, Send

NAME = "api.example.test"
PASSWORD = "planted-proxy-password"


class TunnelProxy:
    """A proxy on 127.0.0.1 that connects every tunnel to one port of this machine.

    Attributes:
        heads: the requests that it received.
        seen: all bytes that went through its tunnels towards the server.
    """

    def __init__(self, target: int, status: str = "200 Connection established") -> None:
        self.heads: list[bytes] = []
        self.seen = b""
        self._target = target
        self._status = status
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(self, *_error: object) -> None:
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in (self._listener, *self._open):
            one.close()

    def url(self, login: str = "") -> str:
        """The address of the proxy, with a login."""
        return f"http://{login}{'@' if login else ''}127.0.0.1:{self.port}"

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                piece = client.recv(1)
                if not piece:
                    return
                head += piece
            self.heads.append(head)
            client.sendall(f"HTTP/1.1 {self._status}\r\nX-Proxy: test\r\n\r\n".encode())
            if not self._status.startswith("200"):
                client.shutdown(socket.SHUT_RDWR)
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._open.append(server)
            self._start(self._pump, server, client)
            self._pump(client, server)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if target.getpeername()[1] == self._target:
                    self.seen += piece
                target.sendall(piece)
            target.shutdown(socket.SHUT_RDWR)


def a_plan_by(proxy: str, port: int = 443, *, host: str = NAME, scheme: str = "https", **call: Any) -> Plan:
    """The plan of a call through a proxy."""
    integration = an_integration(
        f"{scheme}://{host}:{port}/api/",
        connect_seconds=2.0,
        read_seconds=2.0,
        total_seconds=3.0,
        proxy=Secret(proxy),
    )
    return a_plan(settings=bound_settings(integration), **call)


def results(outcomes: Outcomes) -> list[tuple[str, bool]]:
    """The reasons of failures, or "response", and whether anything was sent."""
    return [(one.reason, one.sent) if isinstance(one, Failure) else ("response", True) for one in outcomes]


@SENDS
def test_a_call_goes_through_a_tunnel(send: Send) -> None:
    """The proxy receives host, port and its login, the API receives the call; neither sees more."""
    script = [READ, response(b"{}"), READ, response(b"{}")]
    with FaultServer(script, tls=Tls((NAME,))) as server, TunnelProxy(server.port) as proxy:
        plan = a_plan_by(proxy.url(f"us%40er:{PASSWORD}"), server.port)
        assert results(send([plan, plan], ca_bundle=str(server.certificate))) == [("response", True)] * 2
        requests = server.wait_for_requests(2)
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT {NAME}:{server.port} HTTP/1.".encode())
    assert b"Proxy-Authorization: Basic dXNAZXI6cGxhbnRlZC1wcm94eS1wYXNzd29yZA==\r\n" in head
    assert KEY.encode() not in head + proxy.seen
    assert f"Host: {NAME}:{server.port}".encode() in requests[0]
    assert b"proxy" not in requests[0].lower()


@SENDS
def test_a_refused_login_is_final_and_nothing_was_sent(send: Send) -> None:
    """407 and 403 have the reason proxy, and the API receives nothing."""
    for status in ("407 Proxy Authentication Required", "403 Forbidden"):
        with TunnelProxy(1, status) as proxy:
            plan = a_plan_by(proxy.url(f"user:{PASSWORD}"), method="POST", json={})
            outcomes = send([plan])
        assert results(outcomes) == [("proxy", False)]
        assert PASSWORD not in repr(outcomes)


@SENDS
def test_an_error_of_the_proxy_is_a_failed_connection(send: Send) -> None:
    """502 may be temporary, and the API received nothing, so any method may be retried."""
    with TunnelProxy(1, "502 Bad Gateway") as proxy:
        assert results(send([a_plan_by(proxy.url(), method="POST", json={})])) == [("connect", False)]


@SENDS
def test_the_certificate_of_the_api_is_checked(send: Send) -> None:
    """A proxy that connects to another server is detected by the certificate's name."""
    with FaultServer([READ], tls=Tls(("other.example.test",))) as server, TunnelProxy(server.port) as proxy:
        outcomes = send([a_plan_by(proxy.url(), server.port)], ca_bundle=str(server.certificate))
    assert results(outcomes) == [("tls", False)]
    assert server.requests == []


@SENDS
def test_connections_of_different_proxy_logins_are_not_shared(send: Send) -> None:
    """Two logins open two tunnels to the same origin."""
    scripts = [[READ, response(b"{}")], [READ, response(b"{}")]]
    with FaultServer(*scripts, tls=Tls((NAME,))) as server, TunnelProxy(server.port) as proxy:
        plans = [a_plan_by(proxy.url(login), server.port) for login in ("a:b", "c:d")]
        assert results(send(plans, ca_bundle=str(server.certificate))) == [("response", True)] * 2
    assert len(proxy.heads) == 2


@SENDS
@pytest.mark.parametrize(("host", "scheme"), [("localhost", "https"), ("127.0.0.1", "http")])
def test_this_machine_and_plain_http_are_called_directly(send: Send, host: str, scheme: str) -> None:
    """Plain http would be readable for the proxy, and this machine is not reachable through it."""
    tls = Tls() if scheme == "https" else None
    with FaultServer([READ, response(b"{}")], tls=tls) as server, TunnelProxy(server.port) as proxy:
        plan = a_plan_by(proxy.url(), server.port, host=host, scheme=scheme)
        certificate = str(server.certificate) if tls else None
        assert results(send([plan], ca_bundle=certificate)) == [("response", True)]
    assert proxy.heads == []


@SENDS
def test_the_login_is_not_logged(send: Send, caplog: pytest.LogCaptureFixture) -> None:
    """The password is masked, raw and encoded, in the log records of libraries."""
    caplog.set_level(logging.DEBUG)
    with FaultServer([READ, response(b"{}")], tls=Tls((NAME,))) as server, TunnelProxy(server.port) as proxy:
        plan = a_plan_by(proxy.url(f"user:{PASSWORD}"), server.port)
        assert results(send([plan], ca_bundle=str(server.certificate))) == [("response", True)]
        wait_until(lambda: proxy.heads)
    assert PASSWORD not in caplog.text
    assert "dXNlcjpwbGFudGVk" not in caplog.text
