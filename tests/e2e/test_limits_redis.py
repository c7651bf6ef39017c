"""Only the store in Redis: its script computes what memory computes; its connections stay in step."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from nango_py.database.opening import open_database
from nango_py.errors import StorageError
from nango_py.limits.counting import queue
from nango_py.limits.limit_types import CalendarPeriod, Granted, InFlight, Refused, Spend
from nango_py.limits.stores.memory import MemoryLimits
from nango_py.limits.stores.redis_store import RedisLimits
from nango_py.limits.stores.sql_store import SqlLimits
from nango_py.secret import Secret
from tests.support.databases import fresh_redis
from tests.support.simulated_api import Arrival, LimitClock, World, broken_limits, bucket, window
from tests.support.sockets import closed_port
from tests.support.stoppable_servers import Interrupted, interrupting, own_redis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nango_py.limits.limit_types import LimitStore

LONG = 30.0
SPENDS = (Spend("k", (window(3, LONG),)),)
LOOKS_BACK = "return module.log.ended_after(meter.log, first) + meter.in_flight_cost + waiting"

kinds = st.sampled_from(
    [
        (window(3, 1.0),),
        (window(3, 0.5), window(5, 4.0)),
        (window(40, 2.0), window(60, 9.0)),
        (bucket(3.0, 2.0),),
        (bucket(5.0, 1.5), window(4, 2.0)),
        (CalendarPeriod(30, "UTC", "30/day"), window(5, 1.0)),
    ]
)


@st.composite
def histories(draw: st.DrawFn) -> list[Arrival]:
    """Crowds and single callers, some of whose responses take longer than a place is held."""
    first, second = draw(kinds), draw(kinds)
    caps = draw(st.sampled_from([(), (), (Spend("cap", (InFlight(2, "2 in flight"),)),)]))
    seconds = st.sampled_from([0.0, 0.0, 0.01, 0.2, 1.1, 12.0]) | st.floats(0.0, 3.0)
    arrivals = []
    for _ in range(draw(st.integers(1, 50))):
        costs = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 3)]))
        spends = (Spend("first", first, costs[0]), Spend("second", second, costs[1]))
        chosen = draw(st.sampled_from([spends[:1], spends[:1], spends, spends[1:]]))
        late = draw(st.sampled_from([0.0, 0.0, 0.3, 6.0]))
        arrivals.append(Arrival(draw(seconds), (*chosen, *caps), draw(seconds), draw(seconds), late))
    return arrivals


def _play(store: LimitStore, clock: LimitClock, arrivals: list[Arrival]) -> tuple[list[object], list[object]]:
    """When each request is sent, and what the views are in the end."""
    sent = [(request.number, request.sent) for request in World(store, clock).play(arrivals)]
    views = [
        (view.key, view.window, round(view.used, 6), round(view.left, 6), round(view.resets_in, 6))
        for view in store.view(["first", "second", "cap"])
        if view.used
    ]
    return [*sent], [*views]


@pytest.fixture(scope="module")
def small_pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The script with pages of three waiting bookings, which the other stores have too."""
    script = tmp_path_factory.mktemp("script") / "small.lua"
    text = RedisLimits.SCRIPT.read_text()
    assert text.count("PAGE_SIZE = 10000, 64") == 1
    script.write_text(text.replace("PAGE_SIZE = 10000, 64", "PAGE_SIZE = 10000, 3"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "PAGE_SIZE", 3)
        yield script


@given(arrivals=histories())
def test_the_script_computes_what_memory_computes(small_pages: Path, arrivals: list[Arrival]) -> None:
    """Every request is sent at the very moment at which the store in memory sends it; views are equal."""

    class Small(RedisLimits):
        SCRIPT = small_pages

    clock, other_clock = LimitClock(), LimitClock()
    expected = _play(MemoryLimits(clock), clock, arrivals)
    with fresh_redis() as url, closing(Small(Secret(url), clock=other_clock)) as store:
        assert _play(store, other_clock, arrivals) == expected


@settings(max_examples=5)
@given(arrivals=histories())
@pytest.mark.usefixtures("small_pages")
def test_rows_of_a_database_say_what_memory_says(arrivals: list[Arrival]) -> None:
    """The same holds for a store whose queues are read in parts."""
    clock, other_clock = LimitClock(), LimitClock()
    expected = _play(MemoryLimits(clock), clock, arrivals)
    database = open_database(Secret("sqlite:///:memory:"))
    with closing(SqlLimits(database, other_clock, is_server=False)) as store:
        assert _play(store, other_clock, arrivals) == expected


def test_a_script_that_counts_nothing_is_found_out(tmp_path: Path) -> None:
    """Negative control: a script that does not look back overfills a window, and the check sees it."""
    crowd = [Arrival(0.0, (Spend("k", (window(2, 1.0),)),)) for _ in range(5)]
    clock = LimitClock()
    text = RedisLimits.SCRIPT.read_text()
    assert text.count(LOOKS_BACK) == 1

    class Forgetful(RedisLimits):
        SCRIPT = tmp_path / "forgetful.lua"

    Forgetful.SCRIPT.write_text(text.replace(LOOKS_BACK, "return 0"))
    with fresh_redis() as url, closing(Forgetful(Secret(url), clock=clock)) as store:
        assert broken_limits(World(store, clock).play(crowd)) != []


def _granted(store: RedisLimits, spends: tuple[Spend, ...] = SPENDS) -> Granted:
    response = store.acquire(spends, ("g",), 0.0)
    assert isinstance(response, Granted)
    return response


def test_calls_go_on_after_the_server_closed_idle_connections_or_forgot_the_script() -> None:
    """Neither costs a place, nor a failed call."""
    with own_redis() as server, closing(RedisLimits(Secret(server.url))) as store:
        other = redis.Redis.from_url(server.url)
        store.settle(_granted(store).ticket)
        other.client_kill_filter(_type="normal", skipme=True)
        store.settle(_granted(store).ticket)
        other.script_flush()
        store.settle(_granted(store).ticket)
        assert isinstance(store.acquire(SPENDS, ("g",), 0.0), Refused)
        other.close()


def test_a_booking_whose_reply_was_lost_is_not_made_twice() -> None:
    """A step that is repeated under the same name takes no second place."""
    with fresh_redis() as url, closing(RedisLimits(Secret(url))) as store:
        store.settle(_granted(store).ticket)
        call = store._call(SPENDS, ("g",))
        for _ in range(2):
            reply = store._run("acquire", call.acquire_keys, b"sixteen bytes ok", 0.0, call.arguments)
            assert reply[0] == b"granted"
        assert store.view(["k"])[0].used == 2


def test_entries_outside_every_window_are_dropped() -> None:
    """A budget in steady use keeps a short log, and stays exact."""
    clock = LimitClock()
    spends = (Spend("k", (window(50, 1.0),)),)
    with fresh_redis() as url, closing(RedisLimits(Secret(url), clock=clock)) as store:
        for _ in range(6):
            flying = [_granted(store, spends) for _ in range(50)]
            clock.moment += 0.25
            assert isinstance(store.acquire(spends, (), 0.0), Refused)
            for grant in flying:
                store.settle(grant.ticket)
            clock.moment += 0.999
            assert isinstance(store.acquire(spends, (), 0.0), Refused)
            clock.moment += 0.002
            assert store.view(["k"])[0].used == 0
        with closing(redis.Redis.from_url(url)) as client:
            (key,) = client.keys("* k")
            assert client.hstrlen(key, "log") < 16 * 150


def test_only_entries_outside_every_window_are_dropped() -> None:
    """Of two bursts only the one that has passed is forgotten, to the last request."""
    clock = LimitClock()
    spends = (Spend("k", (window(50, 1.0),)),)
    with fresh_redis() as url, closing(RedisLimits(Secret(url), clock=clock)) as store:
        for count in (32, 10):
            for grant in [_granted(store, spends) for _ in range(count)]:
                store.settle(grant.ticket)
            clock.moment += 0.7
        for grant in [_granted(store, spends) for _ in range(40)]:
            store.settle(grant.ticket)
        assert isinstance(store.acquire(spends, (), 0.0), Refused)


def test_counts_are_kept_as_long_as_they_matter_and_not_for_ever() -> None:
    """A key expires once its longest window has passed since a request without a response."""
    with (
        fresh_redis() as url,
        closing(RedisLimits(Secret(url))) as store,
        closing(redis.Redis.from_url(url)) as client,
    ):
        for _ in range(3):
            grant = _granted(store)
            (key,) = client.keys("* k")
            assert 1000 * LONG < client.pttl(key) <= 1000 * (LONG + 20)
            store.settle(grant.ticket)
            assert 1000 * LONG < client.pttl(key) <= 1000 * (LONG + 20)


def test_a_reply_that_was_not_awaited_is_not_taken_for_the_next() -> None:
    """A caller that is interrupted while Redis is busy leaves no reply behind for the next caller."""
    with own_redis() as server, closing(RedisLimits(Secret(server.url))) as store:
        other = redis.Redis.from_url(server.url)
        store.settle(_granted(store).ticket)
        other.client_pause(400, all=True)
        with pytest.raises(Interrupted), interrupting(0.1):
            store.acquire(SPENDS, ("g",), 0.0)
        # The reply to the booking is not a list of views.
        assert store.view(["k"])[0].limit == 3
        other.close()


def test_a_failed_step_does_not_spoil_its_connection() -> None:
    """An error reply is a StorageError, and the next reply belongs to the next call."""
    with fresh_redis() as url, closing(RedisLimits(Secret(url))) as store:
        other = redis.Redis.from_url(url)
        store.settle(_granted(store).ticket)
        (key,) = other.keys("* k")
        other.delete(key)
        other.lpush(key, "not a hash")
        with pytest.raises(StorageError, match="failed: ResponseError"):
            store.view(["k"])
        other.delete(key)
        assert _granted(store).wait == 0.0
        other.close()


def test_a_connection_to_a_server_that_became_a_replica_is_not_kept() -> None:
    """After a failover the address leads to the new primary; only a new connection gets there."""
    with (
        own_redis() as server,
        closing(RedisLimits(Secret(server.url))) as store,
        closing(redis.Redis.from_url(server.url)) as other,
    ):
        store.settle(_granted(store).ticket)
        store.processes("this")
        before = {each["id"] for each in other.client_list()}
        other.replicaof("127.0.0.1", closed_port())
        for use in (lambda: store.acquire(SPENDS, (), 0.0), lambda: store.processes("this")):
            with pytest.raises(StorageError, match="ReadOnlyError"):
                use()
        assert {each["id"] for each in other.client_list()} & before == {str(other.client_id())}
        other.replicaof("NO", "ONE")
        assert (_granted(store).wait, store.processes("this")) == (0.0, 1)
