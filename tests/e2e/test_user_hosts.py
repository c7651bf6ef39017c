"""Hosts that users name, on real sockets: nothing is sent where it may not go, by no trick of a name."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import multiprocessing
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConfigError, InvalidRequest, Nango, TransportFailed
from nango_py.engine.plan import follow_redirect
from nango_py.transport import sockets
from nango_py.transport.addresses import check_addresses
from nango_py.transport.async_transport import AsyncTransport
from nango_py.transport.lookups import MAX_CONCURRENT, Lookups
from nango_py.transport.sendable import Failure
from nango_py.transport.sockets import Connector
from nango_py.transport.sync_transport import Transport
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
from tests.support.nango_at_server import QUICK, WIDE, wait_until
from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nango_py.engine.plan import Plan
    from nango_py.transport.response import Response

    Outcomes = list[Response | Failure]
    Send = Callable[..., Outcomes]

LOOPBACK = ("127.0.0.0/8",)
NAME = "git.example.test"
KEY = "pk_live_planted_0123456789"


def send_sync(plans: Iterable[Plan], look_up: Any, ca_bundle: Any = None) -> Outcomes:
    """What becomes of plans that are sent one after another by the sync transport."""
    with contextlib.closing(Transport(ca_bundle, look_up)) as transport:
        return [transport.send(plan, 3.0) for plan in plans]


def send_async(plans: Iterable[Plan], look_up: Any, ca_bundle: Any = None) -> Outcomes:
    """The same by the async one."""

    async def whole() -> Outcomes:
        transport = AsyncTransport(ca_bundle, look_up)
        try:
            return [await transport.send(plan, 3.0) for plan in plans]
        finally:
            await transport.aclose()

    return asyncio.run(whole())


WATCHED = pytest.mark.enable_socket
"""For tests that watch connections themselves, and let none out of this machine."""

SENDS = pytest.mark.parametrize("send", [send_sync, send_async])


def told(outcomes: Outcomes) -> list[str]:
    """The reasons of failures, "response" for answers."""
    return [outcome.reason if isinstance(outcome, Failure) else "response" for outcome in outcomes]


def by_name(addresses: Iterable[str]) -> tuple[list[str], Any]:
    """A name for each address, and the look-up that knows them."""
    known = {f"h{number}.example.test": address for number, address in enumerate(addresses)}
    return list(known), lambda host, port: addresses_of(known[host])(host, port)


# --- the corpus


def test_the_corpus_is_as_large_as_promised() -> None:
    """At least 80 hosts and addresses that lead astray, and 50 that people use."""
    assert len(NO_HOSTS) + len(NOT_PUBLIC) >= 80
    assert len(set(REAL_HOSTS)) >= 50


def test_no_spelling_of_a_host_leads_astray() -> None:
    """What is no plain host name is refused before there is a request."""
    with no_network() as connected:
        for host in NO_HOSTS:
            with pytest.raises((ConfigError, InvalidRequest)):
                a_plan_to(host)
    assert connected == []


@SENDS
def test_no_name_leads_to_a_network_that_is_not_public(send: Send) -> None:
    """Whatever a name resolves to: no socket is opened but to the internet."""
    names, look_up = by_name(NOT_PUBLIC)
    with no_network() as connected:
        outcomes = send([a_plan_to(name) for name in names], look_up)
    assert connected == []
    assert told(outcomes) == ["blocked"] * len(NOT_PUBLIC)
    assert not any(outcome.sent for outcome in outcomes if isinstance(outcome, Failure))


@WATCHED
@SENDS
def test_the_corpus_would_see_a_connection(send: Send) -> None:
    """The control: with no guard the same names are connected to, each of them."""
    addresses = [address for address in NOT_PUBLIC if "%" not in address and address not in {"::", "::1"}]
    names, look_up = by_name(addresses)
    with no_network() as connected:
        if send is send_async:  # names of files are the system's to resolve there
            outcomes = send([a_plan_to(name, networks=("0.0.0.0/0", "::/0")) for name in names], look_up)
        else:
            outcomes = send([a_plan_to(name, guarded=False) for name in names], look_up)
    assert set(connected) == set(map(plain, addresses))
    assert "blocked" not in told(outcomes)


@WATCHED
@SENDS
def test_no_real_host_is_blocked(send: Send) -> None:
    """Every host that people use is connected to, at the address that it has."""
    public = [ON_THE_INTERNET[number % len(ON_THE_INTERNET)] for number in range(len(REAL_HOSTS))]
    known = {host.partition(":")[0]: address for host, address in zip(REAL_HOSTS, public, strict=True)}
    with no_network() as connected:
        outcomes = send(
            [a_plan_to(host) for host in REAL_HOSTS],
            lambda host, port: addresses_of(known[host])(host, port),
        )
    assert told(outcomes) == ["connect"] * len(REAL_HOSTS)
    assert connected == list(map(plain, known.values()))


@SENDS
def test_one_private_address_blocks_a_name(send: Send) -> None:
    """A name with a public address beside a private one is not called at all."""
    with no_network() as connected:
        assert told(send([a_plan_to(NAME)], addresses_of(PUBLIC, "10.0.0.1"))) == ["blocked"]
    assert connected == []


# --- the response that changes


class Unpinned(Connector):
    """A way as one would write it without care: it checks, and lets the connection look up once more."""

    def open_socket(self, connection: Any) -> socket.socket:
        """A socket to wherever the second look-up leads."""
        found = self.lookups.resolve(connection.host, connection.port, 1.0)
        check_addresses([address[0] for *_, address in found], self.networks or ())
        return Connector(self.lookups).open_socket(connection)


@WATCHED
@SENDS
def test_a_name_that_changes_its_address_is_not_followed(send: Send) -> None:
    """Public when it is checked, 127.0.0.1 ever after: the connection goes to what was checked."""
    with FaultServer([READ, response(b"victim")]) as victim, no_network() as connected:
        look_up = flipping(PUBLIC, "127.0.0.1")
        outcomes = send([a_plan_to(f"{NAME}:{victim.port}", scheme="http")], look_up)
        assert victim.requests == []
    assert told(outcomes) == ["connect"]
    assert connected == [PUBLIC]
    assert look_up.asked == [NAME]


@WATCHED
@SENDS
def test_nor_between_two_calls(send: Send) -> None:
    """The second call's connection is checked as the first one's was."""
    with no_network() as connected:
        outcomes = send([a_plan_to(NAME), a_plan_to(NAME)], flipping(PUBLIC, "127.0.0.1"))
    assert told(outcomes) == ["connect", "blocked"]
    assert connected == [PUBLIC]


def test_the_change_would_be_seen_without_the_pin() -> None:
    """The control: checking a name and connecting to the name reaches the victim."""
    with FaultServer([READ, response(b"victim")]) as victim:
        connection: Any = sockets.Connection(NAME, victim.port)
        connection.timeout = 1.0
        connection.connector = Unpinned(Lookups(flipping(PUBLIC, "127.0.0.1")), ())
        connection.request("GET", "/")
        victim.wait_for_requests(1)
        connection.close()


# --- what is allowed


@SENDS
def test_a_network_that_is_listed_is_called(send: Send) -> None:
    """With the networks of integrations.yaml a private host is called like any other."""
    with FaultServer([READ, response(b"{}")]) as server:
        plan = a_plan_to(f"{NAME}:{server.port}", networks=LOOPBACK, scheme="http")
        assert told(send([plan], addresses_of("127.0.0.1"))) == ["response"]
        (request,) = server.wait_for_requests(1)
    assert f"Host: {NAME}:{server.port}".encode() in request


@SENDS
def test_a_connection_of_one_integration_is_not_anothers(send: Send) -> None:
    """An idle connection that a listed network allowed is not used where it is not listed."""
    with FaultServer([READ, response(b"{}"), READ, response(b"{}")]) as server:
        host = f"{NAME}:{server.port}"
        plans = [
            a_plan_to(host, networks=LOOPBACK, scheme="http"),
            a_plan_to(host, scheme="http"),
            a_plan_to(host, networks=LOOPBACK, scheme="http"),
        ]
        outcomes = send(plans, addresses_of("127.0.0.1"))
    assert told(outcomes) == ["response", "blocked", "response"]


@SENDS
def test_the_certificate_is_for_the_name(send: Send) -> None:
    """The connection goes to an address, and TLS still asks for the name and checks it."""
    with FaultServer([READ, response(b"{}")], tls=Tls((NAME,))) as server:
        plan = a_plan_to(f"{NAME}:{server.port}", networks=LOOPBACK)
        assert told(send([plan], addresses_of("127.0.0.1"), str(server.certificate))) == ["response"]
    with FaultServer([READ, response(b"{}")], tls=Tls(("other.example.test", "127.0.0.1"))) as server:
        plan = a_plan_to(f"{NAME}:{server.port}", networks=LOOPBACK)
        assert told(send([plan], addresses_of("127.0.0.1"), str(server.certificate))) == ["tls"]
        assert server.requests == []


@WATCHED
@SENDS
def test_the_next_address_is_tried(send: Send) -> None:
    """A name with two addresses is reached by the second when nobody listens at the first."""
    with FaultServer([READ, response(b"{}")]) as server:
        plan = a_plan_to(f"{NAME}:{server.port}", networks=LOOPBACK, scheme="http")
        assert told(send([plan], addresses_of("127.0.0.9", "127.0.0.1"))) == ["response"]


def test_a_redirect_leaves_the_host_for_nowhere() -> None:
    """Only the host that the user named is followed, on its own scheme and port."""
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
    """It names integration, user and host and what to do; no address, no second attempt, nothing sent."""
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


def test_the_async_executor_says_the_same() -> None:
    """One sentence for both."""

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


def test_a_listed_network_opens_the_host() -> None:
    """integrations.yaml lists loopback, and the call goes through."""
    both = ("127.0.0.0/8", "::1/128")
    with FaultServer([READ, response(b'{"id": 7}')]) as server, product(git=entry(BASE, both)) as nango:
        nango.register_connection("git", "user-1", {"api_key": KEY}, {"host": f"localhost:{server.port}"})
        assert nango.executor("git", "user-1").get("projects").json() == {"id": 7}


def test_a_host_of_the_file_is_not_looked_at() -> None:
    """Whoever writes integrations.yaml may name any host; the field alone changes nothing."""
    with FaultServer([READ, response(b"{}")]) as server, product(git=entry(f"{server.url}/api/")) as nango:
        nango.register_connection("git", "user-1", {"api_key": KEY}, {"host": "gitlab.com"})
        assert nango.executor("git", "user-1").get("projects").ok


OWN = {"client_id": "id", "client_secret": "planted-secret"}


def test_token_requests_go_by_the_same_rules() -> None:
    """A token endpoint that the user named is not asked on a private network, and gets no secret there."""
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
    """The control: with the network listed the same product gets its token, and calls with it."""
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
    """Each host that a user named has a circuit breaker of its own."""
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


# --- look-ups end


def test_a_look_up_that_hangs_ends_with_the_connect_timeout() -> None:
    """The system knows no timeout for it; the call does. The host was never reached."""
    release = threading.Event()

    def hanging(_host: str, _port: int) -> list[Any]:
        release.wait(60)
        return []

    with contextlib.closing(Transport(None, hanging)) as transport:
        started = time.monotonic()
        outcome = transport.send(a_plan_to("api.example.test", guarded=False), 0.3)
        took = time.monotonic() - started
        release.set()
    assert told([outcome]) == ["dns"]
    assert not outcome.sent  # type: ignore[union-attr]  # a failure, as the line above says
    assert took < HANG_SECONDS


def test_a_loop_is_not_held_up_by_a_look_up() -> None:
    """The same in asyncio."""
    release = threading.Event()

    async def whole() -> tuple[str, float]:
        transport = AsyncTransport(None, lambda *_: release.wait(60) and [])
        started = time.monotonic()
        outcome = await transport.send(a_plan_to(NAME), 0.3)
        took = time.monotonic() - started
        release.set()
        await transport.aclose()
        return outcome.reason, took

    reason, took = asyncio.run(whole())
    assert (reason, took < HANG_SECONDS) == ("connect", True)


def test_hosts_of_users_that_hang_hold_up_no_others() -> None:
    """However many names of users never resolve, a host of the files is looked up."""
    release = threading.Event()

    def look_up(host: str, port: int) -> list[Any]:
        if host != "api.example.test":
            release.wait(60)
        return addresses_of("127.0.0.1")(host, port)

    with (
        FaultServer([READ, response(b"{}")]) as server,
        contextlib.closing(Transport(None, look_up)) as transport,
    ):
        for number in range(MAX_CONCURRENT + 1):
            failed = transport.send(a_plan_to(f"h{number}.example.test"), 0.001)
            assert told([failed]) == ["dns"]
        plan = a_plan_to(f"api.example.test:{server.port}", scheme="http", guarded=False)
        assert told([transport.send(plan, 3.0)]) == ["response"]
        release.set()
    wait_until(lambda: "nango-dns" not in {thread.name for thread in threading.enumerate()})


def test_a_loop_keeps_its_threads() -> None:
    """Names that hang take none of the threads that asyncio has for other work."""
    release = threading.Event()

    async def whole() -> str:
        transport = AsyncTransport(None, lambda *_: release.wait(60) and [])
        before = set(threading.enumerate())
        plans = [a_plan_to(f"h{number}.example.test") for number in range(50)]
        waiting = [asyncio.create_task(transport.send(plan, 5.0)) for plan in plans]
        await asyncio.sleep(0)
        threads = {thread.name for thread in set(threading.enumerate()) - before}
        said = await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 2)
        release.set()
        await asyncio.gather(*waiting)
        await transport.aclose()
        assert not any(name.startswith("asyncio_") for name in threads)
        return said

    assert asyncio.run(whole()) == "free"


def test_questions_of_one_name_are_one() -> None:
    """Sixteen callers at once ask the system once, and all get the response."""
    release, asked = threading.Event(), []

    def look_up(host: str, port: int) -> list[Any]:
        asked.append(host)
        release.wait(60)
        return addresses_of(PUBLIC)(host, port)

    lookups, found = Lookups(look_up), []
    callers = [
        threading.Thread(target=lambda: found.append(lookups.resolve("a.example", 443, 20.0)))
        for _ in range(16)
    ]
    for caller in callers:
        caller.start()
    wait_until(lambda: asked)
    release.set()
    for caller in callers:
        caller.join()
    assert len(found) == 16
    assert len(asked) < 16
    assert all(response[0][4] == (PUBLIC, 443) for response in found)


def test_look_ups_that_hang_do_not_pile_up() -> None:
    """Beyond a number of names at once a look-up is refused and takes no thread."""
    release = threading.Event()
    lookups = Lookups(lambda *_: release.wait(60) and [])
    try:
        for number in range(MAX_CONCURRENT):
            with pytest.raises(socket.gaierror):
                lookups.resolve(f"h{number}.example", 443, 0.0)
        threads = threading.active_count()
        with pytest.raises(socket.gaierror, match="too many"):
            lookups.resolve("one.more.example", 443, 5.0)
        assert threading.active_count() == threads
    finally:
        release.set()
    wait_until(lambda: not lookups._running)


def test_a_forked_child_asks_anew() -> None:
    """A question of the parent's thread is never answered in its child, which asks its own."""
    release = threading.Event()
    parent = os.getpid()

    def look_up(host: str, port: int) -> list[Any]:
        if os.getpid() == parent:
            release.wait(60)
        return addresses_of(PUBLIC)(host, port)

    lookups = Lookups(look_up)
    with pytest.raises(socket.gaierror):
        lookups.resolve("a.example", 443, 0.0)
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(
        target=lambda: theirs.send(lookups.resolve("a.example", 443, 5.0)[0][4][0])
    )
    child.start()
    assert ours.poll(10)
    assert ours.recv() == PUBLIC
    child.join()
    release.set()


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_NONAME, "x"), UnicodeError("x"), OSError("x")])
def test_a_look_up_that_fails_is_a_failure_of_dns(error: Exception) -> None:
    """However the system says that a name has no address."""

    def failing(_host: str, _port: int) -> list[Any]:
        raise error

    for send in (send_sync, send_async):
        assert told(send([a_plan_to(NAME)], failing)) == ["dns"]


def test_a_user_is_told_why_a_host_cannot_be_tested() -> None:
    """The sentence that a connect page shows speaks of the host, and not of the API being away."""
    settings = entry(BASE, verification={"method": "GET", "path": "user"})
    with product(git=settings) as nango, no_network() as connected:
        found = nango.verify_credentials("git", "user-1", {"api_key": KEY}, {"host": "localhost:9"})
    assert connected == []
    assert (found.outcome, found.ok) == ("unavailable", False)
    assert "its host is not of the public internet" in found.message
