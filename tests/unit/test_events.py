"""Events: listeners are called, and nothing a listener does affects a call."""

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
    """An event of that kind."""
    return Event(kind, 1.0, "shop", "user-1", "GET", "things")


@pytest.mark.parametrize("kind", KINDS)
def test_a_listener_gets_only_its_kind(kind: str) -> None:
    """A registration is for one kind of event."""
    events, heard = Events(), []
    events.on(kind, heard.append)
    for other in KINDS:
        events.emit(an_event(other))
    assert [event.kind for event in heard] == [kind]


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    """A typo raises at once."""
    with pytest.raises(ValueError, match=r'"attempts".* "attempt"'):
        Events().on("attempts", print)


def test_listeners_are_called_in_order_of_registration() -> None:
    """The first registration is called first."""
    events, heard = Events(), []
    for number in range(3):
        events.on("wait", lambda _, number=number: heard.append(number))
    events.emit(an_event("wait"))
    assert heard == [0, 1, 2]


def test_a_removed_listener_is_not_called() -> None:
    """Removing it again does nothing."""
    events, heard = Events(), []
    off = events.on("retry", heard.append)
    events.emit(an_event("retry"))
    off()
    off()
    events.emit(an_event("retry"))
    assert len(heard) == 1
    assert not events.has_listeners("retry")


def test_a_callback_registered_twice_can_be_removed_once() -> None:
    """Each registration is removed separately."""
    events, heard = Events(), []
    first = events.on("gate", heard.append)
    events.on("gate", heard.append)
    first()
    first()
    events.emit(an_event("gate"))
    assert len(heard) == 1


def test_there_are_no_listeners_at_first() -> None:
    """has_listeners() lets the engine skip the event."""
    events = Events()
    assert not any(map(events.has_listeners, KINDS))
    events.on("wait", print)
    assert [kind for kind in KINDS if events.has_listeners(kind)] == ["wait"]


def test_an_exception_in_a_callback_is_logged_and_the_others_are_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The call goes on."""
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


def test_a_callback_may_remove_itself() -> None:
    """The other callbacks of the same event are still called."""
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


def test_an_event_is_frozen() -> None:
    """A listener cannot change what the next one gets."""
    event: Any = an_event()
    with pytest.raises(FrozenInstanceError):
        event.reason = "something else"


def test_no_registration_of_a_thread_is_lost() -> None:
    """Concurrent registrations are all kept, and all removed."""
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
    """Run the work in this number of threads and wait for all."""
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
