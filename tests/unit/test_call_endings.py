"""How a call ends: one record, one id, and one sentence for each cause."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.engine import executor as sync_executor
from nango_py.engine.call import ApiCall
from nango_py.engine.events import Events
from nango_py.engine.interfaces import run_sync
from nango_py.engine.log import explain
from nango_py.engine.runtime import IntegrationRuntime
from nango_py.errors import ProviderError, RateLimited, RequestFailed, TransportFailed
from nango_py.limits.limit_types import GATE, QUEUE, Granted, Refused
from nango_py.transport.sendable import Failure
from tests.support.fake_call_io import FakeCallIO
from tests.support.made_values import KEY, FakeResponse, a_plan, an_integration
from tests.support.scripted_executors import ScriptedApi, executors

if TYPE_CHECKING:
    from nango_py.engine.events import Event
    from nango_py.engine.plan import Plan

NAME = "nango_py.integrations.shop"
CAP = {"budgets": [{"key": "all", "max_in_flight": 1, "otherwise": ["1000/second"]}]}


class World(FakeCallIO):
    """Makes calls; `last` is the last one, `events` what it emitted."""

    def call(
        self, plan: Plan | None = None, *, settings: Any = None, limits: Any = None, **options: Any
    ) -> Any:
        """The response of a call."""
        self.events: list[Event] = []
        events = Events()
        for kind in ("attempt", "wait", "retry", "gate", "giving_up"):
            events.on(kind, self.events.append)
        integration = an_integration(retries=settings or {}, **({"rate_limits": limits} if limits else {}))
        self.last = ApiCall(
            plan or a_plan(), IntegrationRuntime(integration, self.clock, events), self, **options
        )
        return run_sync(self.last.run())

    @property
    def story(self) -> list[str]:
        """The lines of explain()."""
        return explain(
            self.last.attempts, f"call {self.last.record.call_id}: {self.last.record.ending}"
        ).splitlines()


LIMITED = FakeResponse(429, {"Retry-After": "7"})
LOST = Failure("reset", sent=True, text="api.example.test closed the connection")
ENDINGS: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    # what, the world, the call, level and word of the ending
    ("a good response", {}, {}, "INFO", "status 200"),
    ("a response for the caller", {"outcomes": [FakeResponse(404)]}, {}, "INFO", "status 404"),
    ("a retry that helped", {"outcomes": [FakeResponse(500), FakeResponse(200)]}, {}, "INFO", "status 200"),
    ("the last 500", {"outcomes": [FakeResponse(500)]}, {}, "ERROR", "status 500"),
    ("the last 429", {"outcomes": [LIMITED]}, {}, "ERROR", "RateLimited"),
    ("a 429 for a session", {"outcomes": [LIMITED]}, {"returns_limited": True}, "ERROR", "status 429"),
    ("no response", {"outcomes": [LOST]}, {}, "ERROR", "TransportFailed"),
    (
        "no time",
        {"outcomes": [LOST], "seconds": 50.0},
        {"deadline_seconds": 60.0},
        "ERROR",
        "DeadlineExceeded",
    ),
    ("no place", {"grants": [Refused(300.0, "9/minute")]}, {}, "ERROR", "RateLimited"),
]


@pytest.mark.parametrize(
    ("what", "made", "options", "level", "word"), ENDINGS, ids=[row[0] for row in ENDINGS]
)
def test_each_call_ends_with_one_record(
    what: str, made: Any, options: Any, level: str, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It says how, at a level that follows from it, and has the id that everything else of the call has."""
    world = World(**made)
    error: Any = None
    with caplog.at_level(logging.INFO, NAME):
        try:
            world.call(**options)
        except RequestFailed as caught:
            error = caught
    facts = [record.nango for record in caplog.records]  # type: ignore[attr-defined]
    call_id = world.last.record.call_id
    assert {fact["call"] for fact in facts} == {call_id}
    ending = caplog.records[-1]
    assert ["attempts" in fact for fact in facts] == [False] * len(world.last.attempts) + [True]
    assert (ending.levelname, word in ending.getMessage()) == (level, True), what
    assert f"call {call_id}" in ending.getMessage()
    assert {attempt.call_id for attempt in world.last.attempts} <= {call_id}
    assert {event.call_id for event in world.events} <= {call_id}
    assert error is None or error.call_id == call_id
    assert world.story[-1].startswith(f"call {call_id}: {word}")
    assert KEY not in caplog.text


def test_no_attempt_announces_a_retry_that_does_not_follow(caplog: pytest.LogCaptureFixture) -> None:
    """The last attempt says why it is the last, and none before it is logged at a higher level."""
    world = World([FakeResponse(429, {"Retry-After": "50"})])
    with caplog.at_level(logging.INFO, NAME), pytest.raises(RateLimited):
        world.call(deadline_seconds=120.0)
    assert [attempt.action for attempt in world.last.attempts] == ["wait", "wait", "fail"]
    assert "-> fail (" in world.story[-2]
    assert "after the deadline" in world.story[-2]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3 + ["ERROR"]


def test_calls_have_ids_of_their_own() -> None:
    """The same executor, another call, another id."""
    api = ScriptedApi(lambda _: [])
    executor, _ = executors(api)
    ids = {executor.get("things").attempts[0].call_id for _ in range(100)}
    assert len(ids) == 100


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_error_for_a_response_has_the_id_too(kind: str) -> None:
    """ProviderError carries the id of its attempts, and explain() ends with it."""
    by_thread, by_task = executors(ScriptedApi(lambda _: FakeResponse(403)))

    async def call() -> Any:
        with pytest.raises(ProviderError) as caught:
            await by_task.get("things", raise_for_error=True)
        return caught.value, by_task.explain()

    if kind == "async":
        error, story = asyncio.run(call())
    else:
        with pytest.raises(ProviderError) as caught:
            by_thread.get("things", raise_for_error=True)
        error, story = caught.value, by_thread.explain()
    assert error.call_id == error.attempts[0].call_id != ""
    assert story.splitlines()[-1].startswith(f"call {error.call_id}: status 403 after ")


CAUSES: list[tuple[str, dict[str, Any], dict[str, Any], list[str], list[str]]] = [
    # what, the world, the call, words of the sentence, words of other causes
    (
        "attempts",
        {"outcomes": [LIMITED]},
        {"settings": {"max_attempts": 2}},
        ["attempt 2 was the last"],
        ["at most", "deadline", "cannot be sent again"],
    ),
    (
        "body",
        {"outcomes": [LIMITED]},
        {"plan": "stream"},
        ["the body cannot be sent again"],
        ["at most", "deadline", "was the last"],
    ),
    (
        "deadline",
        {"outcomes": [FakeResponse(429, {"Retry-After": "500"})]},
        {},
        ["500.000 s", "after the deadline"],
        ["was the last", "cannot be sent again"],
    ),
    (
        "window",
        {"grants": [Refused(300.0, "9/minute")]},
        {},
        ["9/minute", "300.000 s", "120.000 s at most"],
        ["was the last", "in flight"],
    ),
    (
        "gate",
        {"grants": [Refused(300.0, GATE)]},
        {},
        ["the pause that the API asked for", "300.000 s"],
        ["was the last", "in flight"],
    ),
    (
        "queue",
        {"grants": [Refused(36.0, QUEUE)]},
        {"deadline_seconds": 120.0},
        ["10000 calls", "wait for the same limit", "36.000 s"],
        ["was the last", "in flight", "queue", "deadline"],
    ),
    (
        "cost",
        {"grants": [Refused(float("inf"), "9/minute")]},
        {},
        ["9/minute never allows"],
        ["inf s", "deadline"],
    ),
    (
        "cap",
        {"grants": [Refused(0.05, "1 in flight")]},
        {"limits": CAP},
        ["1 in flight, and none of them ended before the deadline"],
        ["at most", "was the last"],
    ),
    (
        "moved",
        {"grants": [Granted(1.0, "place")], "confirms": [500.0]},
        {},
        ["closed during the wait", "500.000 s"],
        ["was the last", "in flight"],
    ),
]


@pytest.mark.parametrize(
    ("what", "made", "options", "words", "others"), CAUSES, ids=[row[0] for row in CAUSES]
)
def test_a_rate_limit_names_its_own_cause(
    what: str, made: Any, options: Any, words: list[str], others: list[str]
) -> None:
    """Used up attempts, a consumed body, a full window and no place in flight are different errors."""
    options = dict(options)
    if options.get("plan") == "stream":
        options["plan"] = a_plan("PUT", data=iter([b"part"]))
    with pytest.raises(RateLimited) as caught:
        World(**made).call(**options)
    text = str(caught.value)
    assert all(word in text for word in words), what
    assert not [word for word in others if word in text]


def test_a_wait_of_zero_is_backed_off_by_the_call_alone() -> None:
    """`Retry-After: 0` five times takes the backoff's time; others are held no longer than the API says."""
    world = World(
        [FakeResponse(429, {"Retry-After": "1"}), FakeResponse(429, {"Retry-After": "0"}), FakeResponse(200)]
    )
    world.call(settings={"backoff": {"min_seconds": 3, "base_seconds": 3}})
    assert [attempt.wait >= 3.0 for attempt in world.last.attempts] == [True, True, False]
    assert world.values("close_gate")[0] == 1.0
    assert world.values("close_gate")[1] < 3.0
    assert sum(world.values("wait")) >= 6.0


def test_a_place_is_asked_for_as_a_whole() -> None:
    """No step of a place is done by halves; a failure before the request was written gives it back."""
    whole: list[str] = []

    class Whole(World):
        async def ask_whole(self, function: Any, *args: Any, **kwargs: Any) -> Any:
            whole.append(function.__name__)
            return function(*args, **kwargs)

    Whole().call(limits=CAP)
    assert whole == ["acquire", "end"]
    world = Whole([Failure("dns", sent=False, text="no such host")])
    with pytest.raises(TransportFailed):
        world.call(limits=CAP, settings={"max_attempts": 1})
    assert world.names == ["acquire", "send", "release"]


def test_a_sync_call_in_an_event_loop_warns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sync executor would block the loop; a separate thread is fine, and so is the async executor."""
    monkeypatch.setattr(sync_executor, "_has_warned", False)
    by_thread, by_task = executors(ScriptedApi(lambda _: []), pagination={"kind": "single"})

    async def fine() -> None:
        await by_task.get("things")
        await asyncio.to_thread(by_thread.get, "things")

    async def wrong() -> None:
        with pytest.warns(RuntimeWarning, match="async_executor"):
            by_thread.get("things")
        by_thread.get("things")
        assert list(by_thread.paginate("things")) == []

    asyncio.run(fine())
    by_thread.get("things")
    asyncio.run(wrong())


def test_a_notebook_may_make_sync_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells run in the event loop of their kernel, which has nothing else to do: there is no warning."""
    monkeypatch.setattr(sync_executor, "_has_warned", False)
    monkeypatch.setitem(sys.modules, "ipykernel", sync_executor)
    by_thread, _ = executors(ScriptedApi(lambda _: []), pagination={"kind": "single"})

    async def cell() -> None:
        by_thread.get("things")

    asyncio.run(cell())
    assert not sync_executor._has_warned
