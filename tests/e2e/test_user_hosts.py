"""Hosts that users name, on real sockets: no trick of a name leads to a network that is not allowed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConfigError, InvalidRequest, Nango, TransportFailed
from nango_py.engine.plan import follow_redirect
from nango_py.transport import exchange
from nango_py.transport.addresses import check_addresses
from nango_py.transport.sendable import Failure
from tests.support.both_transports import SENDS, reasons
from tests.support.fault_server import READ, FaultServer, Tls, response
from tests.support.host_names import (
    NO_HOSTS,
    NOT_PUBLIC,
    ON_THE_INTERNET,
    PUBLIC,
    REAL_HOSTS,
    a_plan_to,
    addresses_of,
    flipping,
    no_network,
    plain,
)
from tests.support.nango_at_server import QUICK, WIDE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.support.both_transports import Send

LOOPBACK = ("127.0.0.0/8",)
NAME = "git.example.test"
KEY = "pk_live_planted_0123456789"


WATCHED = pytest.mark.enable_socket
"""For tests that record connections, and let none leave this machine."""


def by_name(addresses: Iterable[str]) -> tuple[list[str], Any]:
    """A name for each address, and a lookup that knows them."""
    known = {f"h{number}.example.test": address for number, address in enumerate(addresses)}
    return list(known), lambda host, port: addresses_of(known[host])(host, port)


# --- the corpus


def test_the_corpus_is_as_large_as_promised() -> None:
    """At least 80 hosts and addresses to refuse, and 50 that people use."""
    assert len(NO_HOSTS) + len(NOT_PUBLIC) >= 80
    assert len(set(REAL_HOSTS)) >= 50


def test_no_notation_of_a_host_is_a_way_around() -> None:
    """Anything but a plain host name is refused before there is a request."""
    with no_network() as connected:
        for host in NO_HOSTS:
            with pytest.raises((ConfigError, InvalidRequest)):
                a_plan_to(host)
    assert connected == []


@SENDS
def test_no_name_leads_to_a_network_that_is_not_public(send: Send) -> None:
    """Whatever a name resolves to, sockets are opened to the public internet only."""
    names, look_up = by_name(NOT_PUBLIC)
    with no_network() as connected:
        outcomes = send([a_plan_to(name) for name in names], look_up)
    assert connected == []
    assert reasons(outcomes) == ["blocked"] * len(NOT_PUBLIC)
    assert not any(outcome.sent for outcome in outcomes if isinstance(outcome, Failure))


@WATCHED
@SENDS
def test_the_corpus_would_see_a_connection(send: Send) -> None:
    """The control: without a guard all these names are connected to."""
    addresses = [address for address in NOT_PUBLIC if "%" not in address and address not in {"::", "::1"}]
    names, look_up = by_name(addresses)
    with no_network() as connected:
        outcomes = send([a_plan_to(name, guarded=False) for name in names], look_up)
    assert set(connected) == set(map(plain, addresses))
    assert "blocked" not in reasons(outcomes)


@WATCHED
@SENDS
def test_no_real_host_is_blocked(send: Send) -> None:
    """Every host that people use is connected to, at its address."""
    public = [ON_THE_INTERNET[number % len(ON_THE_INTERNET)] for number in range(len(REAL_HOSTS))]
    known = {host.partition(":")[0]: address for host, address in zip(REAL_HOSTS, public, strict=True)}
    with no_network() as connected:
        outcomes = send(
            [a_plan_to(host) for host in REAL_HOSTS],
            lambda host, port: addresses_of(known[host])(host, port),
        )
    assert reasons(outcomes) == ["connect"] * len(REAL_HOSTS)
    assert connected == list(map(plain, known.values()))


@SENDS
def test_one_private_address_blocks_a_name(send: Send) -> None:
    """A name with a public and a private address is not called."""
    with no_network() as connected:
        assert reasons(send([a_plan_to(NAME)], addresses_of(PUBLIC, "10.0.0.1"))) == ["blocked"]
    assert connected == []


# --- the lookup that changes its result


@WATCHED
@SENDS
def test_a_name_that_changes_its_address_is_not_followed(send: Send) -> None:
    """A public address when it is checked, 127.0.0.1 afterwards: the connection goes to the checked one."""
    with FaultServer([READ, response(b"victim")]) as victim, no_network() as connected:
        look_up = flipping(PUBLIC, "127.0.0.1")
        outcomes = send([a_plan_to(f"{NAME}:{victim.port}", scheme="http")], look_up)
        assert victim.requests == []
    assert reasons(outcomes) == ["connect"]
    assert connected == [PUBLIC]
    assert look_up.asked == [NAME]


@WATCHED
@SENDS
def test_nor_between_two_calls(send: Send) -> None:
    """The second connection is checked like the first."""
    with no_network() as connected:
        outcomes = send([a_plan_to(NAME), a_plan_to(NAME)], flipping(PUBLIC, "127.0.0.1"))
    assert reasons(outcomes) == ["connect", "blocked"]
    assert connected == [PUBLIC]


@SENDS
def test_the_change_would_be_seen_without_the_pin(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: checking a name and then connecting to the name reaches the victim."""
    look_up = flipping(PUBLIC, "127.0.0.1")

    def resolve_again(addresses: Iterable[str], networks: tuple[str, ...]) -> None:
        check_addresses(addresses, networks)
        found.extend(look_up(NAME, victim.port))

    found: list[Any] = []
    open_any = exchange._open_any
    monkeypatch.setattr(exchange, "check_addresses", resolve_again)
    monkeypatch.setattr(exchange, "_open_any", lambda network, _: open_any(network, found))
    with FaultServer([READ, response(b"victim")]) as victim:
        outcomes = send([a_plan_to(f"{NAME}:{victim.port}", scheme="http")], look_up)
        victim.wait_for_requests(1)
    assert reasons(outcomes) == ["response"]


# --- what is allowed


@SENDS
def test_a_network_that_is_listed_is_called(send: Send) -> None:
    """A private host in a network of integrations.yaml is called like any other."""
    with FaultServer([READ, response(b"{}")]) as server:
        plan = a_plan_to(f"{NAME}:{server.port}", networks=LOOPBACK, scheme="http")
        assert reasons(send([plan], addresses_of("127.0.0.1"))) == ["response"]
        (request,) = server.wait_for_requests(1)
    assert f"Host: {NAME}:{server.port}".encode() in request


@SENDS
def test_a_connection_of_one_integration_is_not_anothers(send: Send) -> None:
    """An idle connection to a listed network is not used by integrations that do not list it."""
    with FaultServer([READ, response(b"{}"), READ, response(b"{}")]) as server:
        host = f"{NAME}:{server.port}"
        plans = [
            a_plan_to(host, networks=LOOPBACK, scheme="http"),
            a_plan_to(host, scheme="http"),
            a_plan_to(host, networks=LOOPBACK, scheme="http"),
        ]
        outcomes = send(plans, addresses_of("127.0.0.1"))
    assert reasons(outcomes) == ["response", "blocked", "response"]


@SENDS
def test_the_certificate_is_for_the_name(send: Send) -> None:
    """The connection goes to an address, and TLS still sends and checks the name."""
    with FaultServer([READ, response(b"{}")], tls=Tls((NAME,))) as server:
        plan = a_plan_to(f"{NAME}:{server.port}", networks=LOOPBACK)
        assert reasons(send([plan], addresses_of("127.0.0.1"), str(server.certificate))) == ["response"]
    with FaultServer([READ, response(b"{}")], tls=Tls(("other.example.test", "127.0.0.1"))) as server:
        plan = a_plan_to(f"{NAME}:{server.port}", networks=LOOPBACK)
        assert reasons(send([plan], addresses_of("127.0.0.1"), str(server.certificate))) == ["tls"]
        assert server.requests == []


@WATCHED
@SENDS
def test_the_next_address_is_tried(send: Send) -> None:
    """If the first address of a name refuses connections, the second one is used."""
    with FaultServer([READ, response(b"{}")]) as server:
        plan = a_plan_to(f"{NAME}:{server.port}", networks=LOOPBACK, scheme="http")
        assert reasons(send([plan], addresses_of("127.0.0.9", "127.0.0.1"))) == ["response"]


def test_a_redirect_to_another_host_is_not_followed() -> None:
    """Only redirects to the same host, scheme and port are followed."""
    plan = a_plan_to("git.example.test:8443")
    assert follow_redirect(plan, "/api/other", 302) is not None
    for location in (
        "http://169.254.169.254/",
        "https://git.example.test/",
        "//127.0.0.1/",
        "https://[::1]/",
    ):
        assert follow_redirect(plan, location, 302) is None


# --- what a caller sees


def entry(base_url: str, networks: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """An integration whose users name the host."""
    return {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {
            "base_url": base_url,
            "headers": {"Authorization": "Key ${api_key}"},
            "allow_http": True,
            "allowed_networks": list(networks),
        },
        "connection_config": {"properties": {"host": {"type": "string", "format": "host"}}},
        "rate_limits": WIDE,
        "retries": {"backoff": QUICK},
        **more,
    }


@contextlib.contextmanager
def product(**integrations: Any) -> Iterator[Nango]:
    """A product with these integrations."""
    keys = base64.b64encode(b"k" * 32).decode()
    with Nango(integrations, database_url="sqlite:///:memory:", encryption_keys=keys, environ={}) as nango:
        yield nango


BASE = "http://${additional_config.host}/api/"


def test_a_private_host_is_one_clear_error() -> None:
    """It has integration, user, host and what to do, but no address; nothing is sent or retried."""
    with FaultServer([READ, response(b"{}")]) as server, product(git=entry(BASE)) as nango:
        nango.register_connection("git", "user-1", {"api_key": KEY}, {"host": f"localhost:{server.port}"})
        git = nango.executor("git", "user-1")
        with pytest.raises(TransportFailed) as caught:
            git.get("projects")
        assert server.requests == []
    error = caught.value
    assert (error.reason, len(error.attempts)) == ("blocked", 1)
    text = str(error)
    for part in ("[E318]", f"localhost:{server.port}", "git/user-1", "requests.allowed_networks"):
        assert part in text
    assert "127.0.0.1" not in text
    assert KEY not in text


def test_the_async_executor_raises_the_same_error() -> None:
    """Both executors have the same message."""

    async def call(nango: Nango) -> str:
        async with nango:
            with pytest.raises(TransportFailed) as caught:
                await nango.async_executor("git", "user-1").get("projects")
            return str(caught.value)

    with product(git=entry(BASE)) as nango:
        nango.register_connection("git", "user-1", {"api_key": KEY}, {"host": "localhost:9"})
        with no_network() as connected, pytest.raises(TransportFailed) as caught:
            nango.executor("git", "user-1").get("projects")
        said = asyncio.run(call(nango))
    assert said == str(caught.value)
    assert connected == []


def test_a_listed_network_allows_the_host() -> None:
    """If integrations.yaml lists loopback, the call succeeds."""
    both = ("127.0.0.0/8", "::1/128")
    with FaultServer([READ, response(b'{"id": 7}')]) as server, product(git=entry(BASE, both)) as nango:
        nango.register_connection("git", "user-1", {"api_key": KEY}, {"host": f"localhost:{server.port}"})
        assert nango.executor("git", "user-1").get("projects").json() == {"id": 7}


def test_a_configured_host_is_not_checked() -> None:
    """integrations.yaml may name any host; a host field alone changes nothing."""
    with FaultServer([READ, response(b"{}")]) as server, product(git=entry(f"{server.url}/api/")) as nango:
        nango.register_connection("git", "user-1", {"api_key": KEY}, {"host": "gitlab.com"})
        assert nango.executor("git", "user-1").get("projects").ok


OWN = {"client_id": "id", "client_secret": "planted-secret"}


def test_token_requests_obey_the_same_rules() -> None:
    """A token endpoint that the user named gets no request, and no secret, on a private network."""
    auth = {"auth_mode": "OAUTH2_CC", "token_url": "http://${additional_config.host}/token"}
    changed = {
        "auth": auth,
        "requests": {
            "base_url": "https://api.example.test/",
            "headers": {"Authorization": "Bearer ${access_token}"},
            "allow_http": True,
        },
    }
    with (
        FaultServer([READ, response(b'{"access_token": "t"}')]) as server,
        product(git=entry(BASE) | changed) as nango,
    ):
        nango.register_connection("git", "user-1", OWN, {"host": f"localhost:{server.port}"})
        with pytest.raises(TransportFailed):
            nango.executor("git", "user-1").get("projects")
        assert server.requests == []


def test_token_requests_reach_a_listed_network() -> None:
    """The control: if the network is listed, the same product gets its token and uses it."""
    auth = {"auth_mode": "OAUTH2_CC", "token_url": "http://${additional_config.host}/token"}
    scripts = [
        [READ, response(b'{"access_token": "token_1", "token_type": "Bearer"}')],
        [READ, response(b"{}")],
    ]
    settings = entry(BASE, ("127.0.0.0/8", "::1/128"))
    settings |= {"auth": auth}
    settings["requests"]["headers"] = {"Authorization": "Bearer ${access_token}"}
    with FaultServer(*scripts) as server, product(git=settings) as nango:
        nango.register_connection("git", "user-1", OWN, {"host": f"localhost:{server.port}"})
        assert nango.executor("git", "user-1").get("projects").ok
        assert b"POST /token" in server.wait_for_requests(2)[0]


def test_a_dead_host_does_not_open_the_breaker_of_others() -> None:
    """Each host that a user named has a separate circuit breaker."""
    with product(git=entry(BASE, LOOPBACK)) as nango:
        nango.register_connection("git", "user-1", {"api_key": KEY}, {"host": "localhost:9"})
        nango.register_connection("git", "user-2", {"api_key": KEY}, {"host": "localhost:10"})
        first, second = nango.executor("git", "user-1"), nango.executor("git", "user-2")
        runtime = first._get_runtime()
        plans = [executor.plan("GET", "projects") for executor in (first, second)]
        mine, other = (runtime.outage_for(plan.settings) for plan in plans)
        assert mine is not other
        assert mine is runtime.outage_for(plans[0].settings)
        assert runtime.outage not in {mine, other}


def test_a_user_sees_why_a_host_cannot_be_tested() -> None:
    """The message on the connect page is about the host, not about an unreachable API."""
    settings = entry(BASE, verification={"method": "GET", "path": "user"})
    with product(git=settings) as nango, no_network() as connected:
        found = nango.verify_credentials("git", "user-1", {"api_key": KEY}, {"host": "localhost:9"})
    assert connected == []
    assert (found.outcome, found.ok) == ("unavailable", False)
    assert "its host" in found.message
