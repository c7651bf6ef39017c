"""What a program hears of its calls, over real sockets."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.engine.events import KINDS
from nango_py.errors import RateLimited, RequestFailed, TransportFailed
from nango_py.sandbox import Fault, FaultPlan
from tests.support.fake_clock import ManualClock
from tests.support.fault_server import READ, RESET, FaultServer, response
from tests.support.nango_at_server import KEY, WIDE, a_sandbox, calling

if TYPE_CHECKING:
    from nango_py import Event, Nango


def listening(nango: Nango) -> list[Event]:
    """The list of all events from now on."""
    heard: list[Event] = []
    for kind in KINDS:
        nango.on(kind, heard.append)
    return heard


def call(nango: Nango, name: str, method: str = "GET", path: str = "things", **options: Any) -> Any:
    """A call by the named executor."""
    if name == "sync":
        return nango.executor("shop", "user-1").request(method, path, **options)
    return asyncio.run(nango.async_executor("shop", "user-1").request(method, path, **options))


@pytest.mark.parametrize("name", ["sync", "async"])
def test_a_call_emits_each_step(name: str) -> None:
    """Limited, then down, then good: each step is emitted once, in order, with its seconds and rule."""
    plan = FaultPlan.script([Fault("status", status=429, retry_after=2), "503", None])
    clock = ManualClock()
    with a_sandbox(plan) as sandbox, calling(sandbox.base_url, clock=clock, rate_limits=WIDE) as nango:
        heard = listening(nango)
        assert call(nango, name, params={"a": "b"}).status_code == 200
        limited = ["attempt", "gate", "retry", "wait"]
        assert [event.kind for event in heard] == [*limited, "attempt", "retry", "wait", "attempt"]
        assert [event.seconds for event in heard[1:4]] == [2.0, 2.0, pytest.approx(2.0)]
        assert [event.attempt.status for event in heard if event.kind == "attempt"] == [429, 503, 200]
        assert heard[1].reason == heard[2].reason == "built-in: 429"
        assert heard[2].attempt is heard[0].attempt
        assert heard[5].seconds == heard[6].seconds
        assert {(one.integration, one.user_id, one.method, one.endpoint) for one in heard} == {
            ("shop", "user-1", "GET", "things")
        }
        assert heard[-1].at == clock.now()


@pytest.mark.parametrize("name", ["sync", "async"])
def test_giving_up_is_emitted_with_its_reason(name: str) -> None:
    """It is the last event of a call, whatever its error."""
    with FaultServer([READ, RESET]) as server, calling(server.url, clock=ManualClock()) as nango:
        heard = listening(nango)
        with pytest.raises(TransportFailed):
            call(nango, name, "POST")
        assert [event.kind for event in heard] == ["attempt", "giving_up"]
        assert "closed the connection" in heard[-1].reason


def test_a_limit_that_cannot_be_waited_out_is_emitted() -> None:
    """RateLimited before anything is sent is one event, without an attempt."""
    limits = {"budgets": [{"key": "all", "otherwise": ["1/day"]}]}
    with a_sandbox() as sandbox, calling(sandbox.base_url, rate_limits=limits) as nango:
        call(nango, "sync")
        heard = listening(nango)
        with pytest.raises(RateLimited):
            call(nango, "sync")
        assert [event.kind for event in heard] == ["giving_up"]
        assert "1/day" in heard[0].reason


@pytest.mark.parametrize("name", ["sync", "async"])
@pytest.mark.parametrize("place", ["headers", "params"])
def test_no_event_holds_a_secret(name: str, place: str) -> None:
    """It has neither the key nor an echo of it, and a listener cannot change it."""
    echo = response(json.dumps({"error": {"message": f"bad key {KEY}", "code": KEY}}).encode(), 500)
    again = response(KEY.encode(), 429, {"Retry-After": "1", "X-Echo": KEY})
    text = {"headers": "Key ${api_key}", "params": "${api_key}"}[place]
    requests = {"headers": {}, "params": {}, place: {"Authorization": text}}
    retries = {"max_attempts": 3}
    with (
        FaultServer([READ, again, READ, echo, READ, echo]) as server,
        calling(server.url, clock=ManualClock(), requests=requests, retries=retries) as nango,
    ):
        heard = listening(nango)
        with pytest.raises(RequestFailed):
            call(nango, name, path=f"things?token={KEY}", raise_for_error=True)
        assert len(heard) > 6
        for event in heard:
            assert KEY not in repr(event) + str(dataclasses.asdict(event))
            with pytest.raises(dataclasses.FrozenInstanceError):
                event.reason = KEY  # type: ignore[misc]


@pytest.mark.parametrize("name", ["sync", "async"])
def test_a_callback_that_raises_does_no_harm(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The call ends as without it, and a warning names the event."""

    def broken(event: Event) -> None:
        raise LookupError(event.kind)

    plan = FaultPlan.script([Fault("status", status=429, retry_after=2), "503", None])
    limits = {"budgets": [{"key": "all", "otherwise": ["3/minute"]}]}
    with (
        caplog.at_level(logging.WARNING, "nango_py.events"),
        a_sandbox(plan) as sandbox,
        calling(sandbox.base_url, clock=ManualClock(), rate_limits=limits) as nango,
    ):
        for kind in KINDS:
            nango.on(kind, broken)
        heard = listening(nango)
        assert call(nango, name).status_code == 200
        assert len(sandbox.ledger) == 3
        assert {event.kind for event in heard} == {"attempt", "gate", "retry", "wait"}
        for kind in ("attempt", "gate", "retry", "wait"):
            assert f"a callback for '{kind}' raised" in caplog.text


def test_a_removed_callback_is_not_called() -> None:
    """Removing works between two calls, and for one kind only."""
    with a_sandbox() as sandbox, calling(sandbox.base_url) as nango:
        first: list[Event] = []
        second: list[Event] = []
        off = nango.on("attempt", first.append)
        nango.on("attempt", second.append)
        call(nango, "sync")
        off()
        call(nango, "async")
        assert (len(first), len(second)) == (1, 2)


def test_an_unknown_event_is_refused() -> None:
    """A typo raises at once."""
    unknown = pytest.raises(ValueError, match='did you mean "giving_up"')
    with a_sandbox() as sandbox, calling(sandbox.base_url) as nango, unknown:
        nango.on("givingup", print)
