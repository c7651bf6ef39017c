"""Which servers are trusted, and that the environment configures nothing."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from nango_py.transport.response import Response
from nango_py.transport.sync_transport import Transport
from tests.support.both_transports import failure_of, plan_for
from tests.support.fault_server import (
    CLOSE,
    READ,
    FaultServer,
    Tls,
    response,
)
from tests.support.made_values import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def transport() -> Iterator[Transport]:
    """A transport that is closed afterwards."""
    made = Transport()
    yield made
    made.close()


BAD_TLS = [Tls(), Tls(names=("other.example.test",)), Tls(is_expired=True)]


@pytest.mark.parametrize("tls", BAD_TLS, ids=["self-signed", "wrong host", "expired"])
def test_an_untrusted_certificate_stops_before_anything_is_sent(transport: Transport, tls: Tls) -> None:
    """The reason is tls, and the server sees no request."""
    with FaultServer([READ, response(b"caught")], tls=tls) as server:
        failure = failure_of(transport, plan_for(server.url))
        assert server.requests == []
    assert (failure.reason, failure.sent) == ("tls", False)
    assert "CERTIFICATE_VERIFY_FAILED" in failure.text


def test_a_trusted_certificate_is_accepted_and_its_name_is_checked() -> None:
    """The control: with ca_bundle the same server is trusted, unless the name or the time is wrong."""
    for tls, works in ((BAD_TLS[0], True), (BAD_TLS[1], False), (BAD_TLS[2], False)):
        with FaultServer([READ, response(b"ok")], tls=tls) as server:
            transport = Transport(str(server.certificate))
            outcome = transport.send(plan_for(server.url), 5.0)
            transport.close()
            assert isinstance(outcome, Response) is works
            assert works or outcome.reason == "tls"


def test_old_tls_versions_are_refused(transport: Transport) -> None:
    """TLS 1.2 is the oldest version that is accepted."""
    context = transport._contexts.get(None)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


def test_plain_http_on_a_tls_port_is_a_tls_failure(transport: Transport) -> None:
    """A server that does not speak TLS gets no request."""
    with FaultServer([b"HTTP/1.1 400 Bad Request\r\n\r\n", CLOSE]) as server:
        failure = failure_of(transport, plan_for(server.url.replace("http:", "https:")))
    assert not failure.sent
    assert failure.reason in {"tls", "connect"}


def test_netrc_is_not_read(transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The credential of the plan is the one that is sent."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login planted password planted-password\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with FaultServer([READ, response(b"ok")]) as server:
        transport.send(plan_for(server.url), 5.0)
        (request,) = server.wait_for_requests(1)
    assert f"Authorization: Key {KEY}".encode() in request
    assert b"Basic" not in request


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"])
def test_proxies_of_the_environment_are_not_used(
    transport: Transport, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment variable does not decide which server sees the credential."""
    for other in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(other, raising=False)
    with (
        FaultServer([READ, response(b"proxied")]) as proxy,
        FaultServer([READ, response(b"direct")]) as server,
    ):
        monkeypatch.setenv(name, proxy.url)
        result = transport.send(plan_for(server.url), 5.0)
        assert isinstance(result, Response)
        assert result.text == "direct"
        assert proxy.connections == 0


def test_certificates_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """REQUESTS_CA_BUNDLE and similar variables add no trust."""
    with FaultServer([READ, response(b"caught")], tls=Tls()) as server:
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, str(server.certificate))
        transport = Transport()
        assert failure_of(transport, plan_for(server.url)).reason == "tls"
