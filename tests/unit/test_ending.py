"""SIGTERM and exchanges under way: what is counted, who sends the signal again, and how long it waits."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from nango_py.tokens.shutdown import Shutdown
from tests.support.nango_at_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """What the program's own handler of SIGTERM was told."""
    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    yield told
    signal.signal(signal.SIGTERM, before)


def test_without_exchanges_the_signal_does_what_it_did(heard: list[int]) -> None:
    """The handler that was there is called at once."""
    ending = Shutdown()
    ending.install(30)
    os.kill(os.getpid(), signal.SIGTERM)
    assert heard == [signal.SIGTERM]
    assert ending.begin()


def test_the_last_exchange_sends_it_again(heard: list[int]) -> None:
    """Until all are finished nothing happens, and none begins."""
    ending = Shutdown()
    ending.install(30)
    assert ending.begin()
    assert ending.begin()
    os.kill(os.getpid(), signal.SIGTERM)
    assert not ending.begin()
    ending.finish()
    assert heard == []
    ending.finish()
    wait_until(lambda: heard)
    assert heard == [signal.SIGTERM]


def test_a_wish_that_was_granted_is_not_sent_again(heard: list[int]) -> None:
    """A program whose own handler goes on is not ended by the time limit of an exchange that is over."""
    ending = Shutdown()
    ending.install(0.05)
    ending.begin()
    os.kill(os.getpid(), signal.SIGTERM)
    timer = ending._timer
    assert timer is not None
    ending.finish()
    wait_until(lambda: heard)
    timer.join(5)
    ending._be_late()
    assert heard == [signal.SIGTERM]


def test_it_does_not_wait_for_ever(heard: list[int]) -> None:
    """An exchange that hangs holds the end up for the time that was given, and no longer."""
    ending = Shutdown()
    ending.install(0.05)
    ending.begin()
    os.kill(os.getpid(), signal.SIGTERM)
    assert heard == []
    wait_until(lambda: heard)


def test_installing_twice_does_no_harm(heard: list[int]) -> None:
    """The handler is not its own predecessor."""
    ending = Shutdown()
    ending.install(30)
    ending.install(30)
    os.kill(os.getpid(), signal.SIGTERM)
    assert heard == [signal.SIGTERM]


def test_a_signal_that_is_ignored_stays_so() -> None:
    """Waiting for exchanges gives an ignored signal no new meaning."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        ending = Shutdown()
        ending.install(30)
        os.kill(os.getpid(), signal.SIGTERM)
        assert ending.begin()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_only_the_main_thread_can_install_it() -> None:
    """Python lets no other thread, and the error says so."""
    failed: list[Exception] = []

    def install() -> None:
        try:
            Shutdown().install(30)
        except ValueError as error:
            failed.append(error)

    thread = threading.Thread(target=install)
    thread.start()
    thread.join()
    assert len(failed) == 1
