"""What is Redis's own: its short way is the long way, and its connections are never out of step."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from nango_py.errors import StorageError
from nango_py.limits.limit_types import CalendarDay, Granted, InFlight, Refused, Spend
from nango_py.limits.stores.redis_commands import SAID
from nango_py.limits.stores.redis_store import RedisLimits
from nango_py.secret import Secret
from tests.support.databases import fresh_redis
from tests.support.simulated_api import Arrival, LimitClock, World, broken_limits, bucket, window
from tests.support.stoppable_servers import Interrupted, interrupting, own_redis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG = 30.0
SPENDS = (Spend("k", (window(3, LONG),)),)
TEXT = RedisLimits.SCRIPT.read_text()
SHORT_WAYS = ("local answer = go_at_once()", "if count_at_once() then return end")
LONG_WAY = "-- The long way"
LOOKS_BACK = "return index <= n_log / 8 and read('<d', text, log + 8 * index - 7) <= moment"

kinds = st.sampled_from(
    [
        (window(3, 1.0),),
        (window(3, 0.5), window(5, 4.0)),
        (window(40, 2.0), window(60, 9.0)),
        (bucket(3.0, 2.0),),
        (bucket(5.0, 1.5), window(4, 2.0)),
        (CalendarDay(30, "UTC", "30/day"), window(5, 1.0)),
    ]
)


@st.composite
def histories(draw: st.DrawFn) -> list[Arrival]:
    """Crowds and lone callers, some of whose answers take longer than a place is held."""
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


@contextmanager
def with_script(url: str, clock: LimitClock | None, path: Path, text: str) -> Iterator[RedisLimits]:
    """A store that runs another script."""
    path.write_text(text)

    class Another(RedisLimits):
        SCRIPT = path

    with closing(Another(Secret(url), clock=clock)) as store:
        yield store


def without(*lines: str) -> str:
    """The script without these lines."""
    text = TEXT
    for line in lines:
        assert text.count(line) == 1, line
        text = text.replace(line, "local answer")
    return text


@given(arrivals=histories())
def test_the_short_way_answers_as_the_long_way_does(
    arrivals: list[Arrival], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every call is sent at the moment at which the whole arithmetic would send it; views are the same."""
    short, long = LimitClock(), LimitClock()
    slow = tmp_path_factory.getbasetemp() / "long.lua"
    keys = ["first", "second", "cap"]
    with fresh_redis() as url:
        with closing(RedisLimits(Secret(url), clock=short)) as store:
            sent = World(store, short).play(arrivals)
            views = [view for view in store.view(keys) if view.used]
        redis.Redis.from_url(url).flushdb()
        with with_script(url, long, slow, without(*SHORT_WAYS)) as store:
            expected = World(store, long).play(arrivals)
            expected_views = [view for view in store.view(keys) if view.used]
    assert [(one.number, one.sent) for one in sent] == [(one.number, one.sent) for one in expected]
    assert views == expected_views


@pytest.mark.parametrize(
    "spends",
    [
        (Spend("w", (window(9, LONG), window(99, 300.0))),),
        (Spend("b", (bucket(9.0, 1.0),)),),
        (Spend("d", (CalendarDay(9, "UTC", "9/day"),)),),
        (Spend("a", (window(9, LONG),)), Spend("c", (InFlight(9, "9 in flight"),))),
        (Spend("costly", (window(99, LONG), bucket(99.0, 1.0)), 3),),
    ],
    ids=["windows", "bucket", "day", "two budgets", "cost"],
)
def test_a_call_that_has_room_takes_the_short_way(spends: tuple[Spend, ...], tmp_path: Path) -> None:
    """Once a budget is known, booking and settling need no more than the first lines of the script."""
    head, _ = TEXT.split(LONG_WAY)
    only_short = f"{head} return redis.error_reply('the long way')"
    with fresh_redis() as url, closing(RedisLimits(Secret(url))) as store:
        store.settle(_granted(store, spends).ticket)
        with with_script(url, None, tmp_path / "short.lua", only_short) as short:
            for _ in range(2):
                short.settle(_granted(short, spends).ticket)
            store.close_gate((spends[0].key,), 10.0)
            with pytest.raises(StorageError):
                short.acquire(spends, (), 0.0)


def test_a_short_way_that_forgets_to_look_back_is_found_out(tmp_path: Path) -> None:
    """Negative control: a script that counts nothing overfills a window, and the check sees it."""
    crowd = [Arrival(0.0, (Spend("k", (window(2, 1.0),)),)) for _ in range(5)]
    clock = LimitClock()
    text = TEXT.replace(LOOKS_BACK, "return true")
    assert text != TEXT
    with fresh_redis() as url, with_script(url, clock, tmp_path / "forgets.lua", text) as store:
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


def test_a_booking_whose_answer_was_lost_is_not_made_twice() -> None:
    """Asking once more under the same name takes no second place."""
    with fresh_redis() as url, closing(RedisLimits(Secret(url))) as store:
        store.settle(_granted(store).ticket)
        head, said = store._call(SPENDS, ("g",)).acquire, SAID.pack(b"one name", 7, 0.0)
        assert isinstance(store._ask(head, said), bytes)
        assert store._ask(head, said)[0] == b"granted"
        assert store.view(["k"])[0].used == 2


def test_what_no_window_sees_any_more_is_thrown_away_and_nothing_else() -> None:
    """A budget in steady use keeps a short text, and stays exact."""
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
            assert client.strlen(key) < 8 * 150


def test_what_is_thrown_away_ends_where_a_window_begins() -> None:
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
    """A key ends by itself when its longest window has passed since a request that was never answered."""
    with (
        fresh_redis() as url,
        closing(RedisLimits(Secret(url))) as store,
        closing(redis.Redis.from_url(url)) as client,
    ):
        for _ in range(3):
            grant = _granted(store)
            (key,) = client.keys("* k")
            assert 1000 * LONG < client.pttl(key) <= 1000 * (LONG + 10)
            store.settle(grant.ticket)
            assert 1000 * LONG < client.pttl(key) <= 1000 * (LONG + 10)


def test_an_answer_that_was_not_awaited_is_not_taken_for_the_next() -> None:
    """Who was interrupted while Redis thought about it leaves no response behind for somebody else."""
    with own_redis() as server, closing(RedisLimits(Secret(server.url))) as store:
        other = redis.Redis.from_url(server.url)
        store.settle(_granted(store).ticket)
        other.client_pause(400, all=True)
        with pytest.raises(Interrupted), interrupting(0.1):
            store.acquire(SPENDS, ("g",), 0.0)
        # A response to the booking would be no list of views.
        assert store.view(["k"])[0].limit == 3
        other.close()


def test_a_failed_step_does_not_spoil_its_connection() -> None:
    """An error that the server answers is one of the store, and the next response is that of the next call."""
    with fresh_redis() as url, closing(RedisLimits(Secret(url))) as store:
        other = redis.Redis.from_url(url)
        store.settle(_granted(store).ticket)
        (key,) = other.keys("* k")
        other.delete(key)
        other.lpush(key, "not a text")
        with pytest.raises(StorageError, match="failed: ResponseError"):
            store.view(["k"])
        other.delete(key)
        assert _granted(store).wait == 0.0
        other.close()
