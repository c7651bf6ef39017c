"""Deadlines, signals, cancelled tasks and ended event loops in the middle of a refresh: nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConfigError, DeadlineExceeded, Nango, NangoError, RequestFailed, TransportFailed
from nango_py.clock import SYSTEM_CLOCK
from nango_py.secret import reveal
from nango_py.tokens import endpoints, refresher
from tests.support.interruptions import Interrupted, interruption_at
from tests.support.oauth_product import a_nango, mail, refresher_of, status_of
from tests.support.oauth_token_server import Provider
from tests.support.sandbox_product import ENCRYPTION_KEY
from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fake_clock import ManualClock


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that replaces refresh tokens at once."""
    with Provider("strict") as opened:
        yield opened


@pytest.fixture
def nango(provider: Provider, tmp_path: Path) -> Iterator[Nango]:
    """A product whose user's token has expired."""
    with a_nango(provider.url, f"sqlite:///{tmp_path}/.nango/nango.db") as product:
        product.register_connection("mail", "user-1", provider.grant("user-1", expired=True))
        yield product
        provider.gate.set()
        refresher_of(product).wait_for_jobs()


def is_stored(nango: Nango, provider: Provider) -> bool:
    """Whether the stored token is the provider's newest, after the refresh in flight has ended."""
    provider.gate.set()
    refresher_of(nango).wait_for_jobs()
    token = reveal(nango.store.get("mail", "user-1").credentials)["access_token"]
    return provider.calls_of("user-1") == ["granted"] and provider.api(token) == 200


def call(nango: Nango, kind: str, **options: Any) -> int:
    """The status of a call, by either executor."""
    if kind == "sync":
        return int(nango.executor("mail", "user-1").get("things", **options).status_code)

    async def main() -> int:
        try:
            return int((await nango.async_executor("mail", "user-1").get("things", **options)).status_code)
        finally:
            await nango.services.async_transport.aclose()

    return asyncio.run(main())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_caller_leaves_at_its_deadline_and_the_refresh_goes_on(
    nango: Nango, provider: Provider, kind: str
) -> None:
    """The token endpoint is silent; the call ends at its deadline, and the token is stored all the same."""
    provider.gate.clear()
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        call(nango, kind, deadline_seconds=0.5)
    assert 0.4 <= time.monotonic() - started <= HANG_SECONDS / 2
    assert is_stored(nango, provider)
    assert call(nango, kind) == 200


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_valid_token_is_used_if_its_refresh_takes_too_long(provider: Provider, kind: str) -> None:
    """The call waits for half of its time, and goes on with the token that it has."""
    provider.life = 3600
    with a_nango(provider.url, auth={"renew_before_seconds": 1800}) as nango:
        nango.register_connection("mail", "user-1", provider.grant("user-1", life=1000))
        provider.gate.clear()
        assert call(nango, kind, deadline_seconds=2) == 200
        assert len(provider.api_calls) == 1
        assert is_stored(nango, provider)


EARLY = {"renew_before_seconds": 1800}


class Alarm(Exception):
    """Raised by a signal handler, like the soft time limit of a task queue."""


def test_an_exception_of_a_signal_handler_loses_nothing(nango: Nango, provider: Provider) -> None:
    """It is raised in the main thread while the provider decides; the new token is stored."""
    provider.gate.clear()
    seen: list[Any] = []

    def handle(*_: object) -> None:
        raise Alarm

    def interrupt() -> None:
        seen.append(provider.arrived.acquire(timeout=HANG_SECONDS))
        os.kill(os.getpid(), signal.SIGUSR1)

    earlier = signal.signal(signal.SIGUSR1, handle)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(Alarm):
            call(nango, "sync")
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, earlier)
    assert seen == [True]
    assert is_stored(nango, provider)


def test_an_exception_at_any_moment_stops_no_later_refresh(provider: Provider) -> None:
    """Neither is the connection left waiting for a refresh that never began, nor a place at the endpoint."""
    files = {refresher.__file__, endpoints.__file__}
    with a_nango(provider.url) as nango:
        tokens = refresher_of(nango)
        for step in itertools.count(1):
            user, was_interrupted = f"user-{step}", False
            nango.register_connection("mail", user, provider.grant(user, expired=True))
            executor = nango.executor("mail", user)
            try:
                with interruption_at(step, files):
                    executor.get("things")
            except Interrupted:
                was_interrupted = True
            assert executor.get("things", deadline_seconds=HANG_SECONDS / 2).status_code == 200, step
            tokens.wait_for_jobs()
            (endpoint,) = tokens._endpoints._endpoints._values.values()
            assert not endpoint._starts, step
            if not was_interrupted:
                break
    assert step > 30


def test_a_task_that_is_cancelled_loses_nothing(nango: Nango, provider: Provider) -> None:
    """`wait_for` gives up and its loop ends at once, while no task waits for the refresh."""
    provider.gate.clear()

    async def main() -> None:
        call = nango.async_executor("mail", "user-1").get("things")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call, 0.2)

    asyncio.run(main())
    assert is_stored(nango, provider)


def test_a_loop_that_ends_in_the_middle_loses_nothing(nango: Nango, provider: Provider) -> None:
    """A loop that is stopped and closed under a waiting task."""
    provider.gate.clear()
    loop = asyncio.new_event_loop()

    async def main() -> None:
        await nango.async_executor("mail", "user-1").get("things")

    async def stop() -> None:
        await asyncio.to_thread(provider.arrived.acquire, timeout=HANG_SECONDS)
        loop.stop()

    task = loop.create_task(main())
    stopping = loop.create_task(stop())
    loop.run_forever()
    loop.run_until_complete(loop.shutdown_default_executor())
    task.cancel()
    loop.run_until_complete(asyncio.wait([task, stopping]))
    loop.close()
    assert is_stored(nango, provider)


def test_a_token_that_expires_while_another_process_refreshes_it_is_waited_for(
    provider: Provider, clock: ManualClock
) -> None:
    """Another holds the lease and the token expires: the call waits until the newer one is stored."""
    provider.now = clock.now
    with a_nango(provider.url, clock=clock) as nango:
        nango.register_connection("mail", "user-1", provider.grant("user-1", life=100))
        connection = nango.store.get("mail", "user-1")
        clock.advance(99.99)
        assert nango.store.leases.acquire(connection, "another process", 30.0)
        newer = provider.grant("user-1")
        sleep = clock.sleep

        def store_newer(seconds: float) -> None:
            sleep(seconds)
            if clock.now() > connection.last_modified.timestamp() + 105:
                nango.store.leases.store_refreshed(connection, "another process", newer)

        clock.sleep = store_newer  # type: ignore[method-assign]
        lease = nango.store.leases.acquire

        def take_long(*given: Any) -> bool:
            clock.advance(0.02)
            return lease(*given)

        nango.store.leases.acquire = take_long  # type: ignore[method-assign]
        response = nango.executor("mail", "user-1").get("things", deadline_seconds=20)
        assert response.status_code == 200
        assert provider.calls_of("user-1") == []
        assert provider.expired_sent == []


@pytest.mark.parametrize("fault", [503, "hang", "invalid_client"])
def test_many_connections_share_one_breaker(provider: Provider, fault: Any) -> None:
    """200 connections whose token endpoint fails: few token calls, two at a time, and all calls end."""
    clock = SYSTEM_CLOCK
    provider.faults.extend([fault] * 10_000)
    with a_nango(provider.url, clock=clock) as nango:
        for number in range(200):
            nango.register_connection("mail", f"user-{number}", provider.grant("x", expired=True))
        refresher_of(nango).tools.request_seconds = 1.0
        started = time.monotonic()

        def call(number: int) -> str:
            try:
                nango.executor("mail", f"user-{number}").get("things", deadline_seconds=3)
            except (RequestFailed, NangoError) as error:
                return type(error).__name__
            return ""

        with ThreadPoolExecutor(16) as threads:
            ends = set(threads.map(call, range(200)))
        seconds = time.monotonic() - started
        refresher_of(nango).wait_for_jobs()
        assert ends <= {"TransportFailed", "CredentialsError", "DeadlineExceeded"}
        if fault != "hang":  # this server does not notice that a client has given up
            assert provider.most_in_flight <= 2
        assert len(provider.token_calls) <= 4 + 1.2 * seconds
        provider.faults.clear()
        assert {status_of(nango, f"user-{number}") for number in range(200)} == {"active"}


def test_the_time_of_token_requests_is_a_setting(provider: Provider) -> None:
    """`config.token_timeout_seconds`; a lease lasts ten seconds longer. Values out of range are refused."""
    integrations = {"mail": mail(provider.url)}
    for config, seconds in (({}, 20), ({"token_timeout_seconds": 1.5}, 1.5)):
        with Nango(
            {"integrations": integrations, "config": config},
            database_url="sqlite:///:memory:", encryption_keys=ENCRYPTION_KEY, environ={},
        ) as nango:  # fmt: skip
            tools = refresher_of(nango).tools
            assert (tools.request_seconds, tools.lease_seconds) == (seconds, seconds + 10)
            if config:
                nango.register_connection("mail", "user-1", provider.grant("user-1", expired=True))
                provider.faults.append("hang")
                with pytest.raises(TransportFailed):
                    call(nango, "sync")
    for wrong in (0, 301, "20"):
        config = {"token_timeout_seconds": wrong}
        with pytest.raises(ConfigError, match="token_timeout_seconds"):
            Nango({"integrations": integrations, "config": config}, environ={}).services.integration("mail")


LEAVES_EARLY = """
import sys
from nango_py import DeadlineExceeded
from tests.support.oauth_product import a_nango
nango = a_nango(sys.argv[1], sys.argv[2])
try:
    nango.executor("mail", "user-1").get("things", deadline_seconds=0.3)
except DeadlineExceeded:
    print("left", flush=True)
"""


def test_a_program_that_ends_waits_for_its_refresh(nango: Nango, provider: Provider, tmp_path: Path) -> None:
    """The call has ended, the program has nothing more to do, and the provider has yet to respond."""
    provider.gate.clear()
    arguments = [sys.executable, "-c", LEAVES_EARLY, provider.url, f"sqlite:///{tmp_path}/.nango/nango.db"]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "left\n"
        assert program.poll() is None
        provider.gate.set()
        assert program.wait(HANG_SECONDS) == 0
    assert is_stored(nango, provider)


def test_a_refresh_that_outlives_its_product_closes_what_it_opened(
    provider: Provider, tmp_path: Path
) -> None:
    """The product is closed while the provider decides: the token is stored, and nothing stays open."""
    with a_nango(provider.url, f"sqlite:///{tmp_path}/.nango/nango.db") as nango:
        nango.register_connection("mail", "user-1", provider.grant("user-1", expired=True))
        provider.gate.clear()
        with pytest.raises(DeadlineExceeded):
            call(nango, "sync", deadline_seconds=0.2)
    provider.gate.set()
    refresher_of(nango).wait_for_jobs()
    assert nango.services._store.current is None
    with a_nango(provider.url, f"sqlite:///{tmp_path}/.nango/nango.db") as again:
        assert is_stored(again, provider)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("is_expired", [True, False])
def test_the_deadline_is_one_for_refresh_and_call(clock: ManualClock, kind: str, *, is_expired: bool) -> None:
    """The refresh takes 1.9 s of two; what is left for the API's errors is 0.1 s."""
    with (
        Provider(now=clock.now) as provider,
        a_nango(provider.url, clock=clock, auth=EARLY, retries={"backoff": {"base_seconds": 0.9}}) as nango,
    ):
        life = -60 if is_expired else 1000
        nango.register_connection("mail", "user-1", provider.grant("user-1", life=life))
        provider.on_token = lambda _: clock.advance(1.9)
        provider.refuses.extend([503] * 20)
        started = clock.monotonic()
        with contextlib.suppress(RequestFailed):
            assert call(nango, kind, deadline_seconds=2) == 503
        assert clock.monotonic() - started <= 2
        assert provider.calls_of("user-1") == ["granted"]
        assert provider.api_calls != []
