"""SIGTERM and token exchanges in flight: who is waited for, for how long, and who sends it again."""

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
def signals() -> Iterator[list[int]]:
    """The signals that the program's own handler of SIGTERM receives."""
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    yield received
    signal.signal(signal.SIGTERM, before)


def test_without_exchanges_the_previous_handler_is_called_at_once(signals: list[int]) -> None:
    """SIGTERM does what it did before, and exchanges may begin afterwards."""
    shutdown = Shutdown()
    shutdown.install(30)
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals == [signal.SIGTERM]
    assert shutdown.begin()


def test_the_end_of_the_last_exchange_sends_the_signal_again(signals: list[int]) -> None:
    """The previous handler is called after all exchanges have ended, and until then none may begin."""
    shutdown = Shutdown()
    shutdown.install(30)
    assert shutdown.begin()
    assert shutdown.begin()
    os.kill(os.getpid(), signal.SIGTERM)
    assert not shutdown.begin()
    shutdown.finish()
    assert signals == []
    shutdown.finish()
    wait_until(lambda: signals)
    assert signals == [signal.SIGTERM]


def test_a_delivered_signal_is_not_sent_again_when_the_time_is_over(signals: list[int]) -> None:
    """A program whose handler lets it continue is not ended later by the time limit."""
    shutdown = Shutdown()
    shutdown.install(0.05)
    shutdown.begin()
    os.kill(os.getpid(), signal.SIGTERM)
    timer = shutdown._timer
    assert timer is not None
    shutdown.finish()
    wait_until(lambda: signals)
    timer.join(5)
    shutdown._stop_waiting()
    assert signals == [signal.SIGTERM]


def test_an_exchange_that_hangs_is_waited_for_until_the_time_is_over(signals: list[int]) -> None:
    """The signal is delivered although the exchange never ends."""
    shutdown = Shutdown()
    shutdown.install(0.05)
    shutdown.begin()
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals == []
    wait_until(lambda: signals)


def test_installing_twice_is_harmless(signals: list[int]) -> None:
    """The handler does not become its own predecessor."""
    shutdown = Shutdown()
    shutdown.install(30)
    shutdown.install(30)
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals == [signal.SIGTERM]


def test_an_ignored_signal_stays_ignored() -> None:
    """A program that ignores SIGTERM is not ended."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        shutdown = Shutdown()
        shutdown.install(30)
        os.kill(os.getpid(), signal.SIGTERM)
        assert shutdown.begin()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_only_the_main_thread_can_install_the_handler() -> None:
    """Any other thread gets a ValueError."""
    errors: list[Exception] = []

    def install() -> None:
        try:
            Shutdown().install(30)
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=install)
    thread.start()
    thread.join()
    assert len(errors) == 1
