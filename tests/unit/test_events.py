"""Events: who listens is told, and nothing a listener does reaches a call."""

from __future__ import annotations

import logging
import threading
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.engine.events import KINDS, Event, Events

if TYPE_CHECKING:
    from collections.abc import Callable


def an_event(kind: str = "attempt") -> Event:
    """A record of that kind."""
    return Event(kind, 1.0, "shop", "user-1", "GET", "things")


@pytest.mark.parametrize("kind", KINDS)
def test_a_listener_hears_its_kind_only(kind: str) -> None:
    """One registration is for one kind of event."""
    events, heard = Events(), []
    events.on(kind, heard.append)
    for other in KINDS:
        events.emit(an_event(other))
    assert [event.kind for event in heard] == [kind]


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    """A typing error is found when it is made, not when nothing comes."""
    with pytest.raises(ValueError, match=r'"attempts".* "attempt"'):
        Events().on("attempts", print)


def test_listeners_hear_in_the_order_they_came() -> None:
    """Earlier registrations are told first."""
    events, heard = Events(), []
    for number in range(3):
        events.on("wait", lambda _, number=number: heard.append(number))
    events.emit(an_event("wait"))
    assert heard == [0, 1, 2]


def test_taken_off_it_hears_no_more() -> None:
    """off() may be called again without harm."""
    events, heard = Events(), []
    off = events.on("retry", heard.append)
    events.emit(an_event("retry"))
    off()
    off()
    events.emit(an_event("retry"))
    assert len(heard) == 1
    assert not events.has_listeners("retry")


def test_a_callback_registered_twice_is_taken_off_once() -> None:
    """Each registration has an end of its own."""
    events, heard = Events(), []
    first = events.on("gate", heard.append)
    events.on("gate", heard.append)
    first()
    first()
    events.emit(an_event("gate"))
    assert len(heard) == 1


def test_nobody_listens_at_first() -> None:
    """`wanted` is how the engine learns that no record is needed."""
    events = Events()
    assert not any(map(events.has_listeners, KINDS))
    events.on("wait", print)
    assert [kind for kind in KINDS if events.has_listeners(kind)] == ["wait"]


def test_what_a_callback_raises_is_logged_and_others_still_hear(caplog: pytest.LogCaptureFixture) -> None:
    """The call and the other listeners go on."""
    events, heard = Events(), []

    def broken(_: Event) -> None:
        raise LookupError("my own fault")

    events.on("attempt", broken)
    events.on("attempt", heard.append)
    with caplog.at_level(logging.WARNING, "nango_py.events"):
        events.emit(an_event())
    assert len(heard) == 1
    assert "a callback for 'attempt' raised" in caplog.text
    assert "my own fault" in caplog.text


def test_a_callback_may_take_itself_off_while_it_is_told() -> None:
    """The round that goes on is not disturbed."""
    events, heard = Events(), []
    ends: list[Callable[[], None]] = []

    def once(event: Event) -> None:
        heard.append(event)
        ends[0]()

    ends.append(events.on("attempt", once))
    events.on("attempt", heard.append)
    events.emit(an_event())
    events.emit(an_event())
    assert len(heard) == 3


def test_a_record_is_frozen() -> None:
    """A listener cannot change what the next one sees."""
    event: Any = an_event()
    with pytest.raises(FrozenInstanceError):
        event.reason = "something else"


def test_threads_lose_no_registration() -> None:
    """Registrations made at the same time are all kept, and all taken off."""
    events, heard, ends = Events(), [], []
    barrier = threading.Barrier(8)

    def register() -> None:
        barrier.wait()
        ends.extend([events.on("attempt", heard.append) for _ in range(200)])

    run_all(register, 8)
    events.emit(an_event())
    assert len(heard) == 1600
    run_all(lambda: [ends.pop()() for _ in range(200)], 8)
    assert not events.has_listeners("attempt")


def run_all(work: Callable[[], object], number: int) -> None:
    """The work in so many threads, to their end."""
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
