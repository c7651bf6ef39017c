"""SIGTERM and token exchanges in flight: who is waited for, for how long, and who sends it again."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.tokens.shutdown import Shutdown
from tests.support.nango_at_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


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


class Steps:
    """Calls a function, and before the n-th line of a method of Shutdown another; n grows with each call."""

    def __init__(self, method: Any) -> None:
        self.code, self.step, self.is_over = method.__code__, 0, False

    def run(self, function: Callable[[], Any], other: Callable[[], object]) -> Any:
        """What the function returns."""
        self.step += 1
        left = itertools.count(self.step - 1, -1)

        def trace(frame: FrameType, event: str, _arg: object) -> Any:
            if frame.f_code is not self.code:
                return None
            if event == "line" and next(left) == 0:
                sys.settrace(None)
                other()
            return trace

        sys.settrace(trace)
        try:
            return function()
        finally:
            sys.settrace(None)
            self.is_over = next(left) >= 0


def test_an_exchange_may_end_at_any_line_of_the_handler(signals: list[int]) -> None:
    """The signal is delivered once, without the longest wait, and exchanges may begin again."""
    steps = Steps(Shutdown._handle)
    while not steps.is_over:
        shutdown = Shutdown()
        shutdown.install(3600)
        shutdown.begin()
        steps.run(lambda: shutdown._handle(signal.SIGTERM, None), shutdown.finish)  # noqa: B023
        if steps.is_over:
            shutdown.finish()
        wait_until(lambda: signals)
        assert signals.pop() == signal.SIGTERM
        assert signals == []
        assert shutdown.begin()
        shutdown.finish()  # the next one calls its handler
    assert steps.step > 8


def test_the_signal_may_arrive_at_any_line_of_a_beginning(signals: list[int]) -> None:
    """An exchange begins and is waited for, or is refused; the signal is delivered once, after the last."""
    steps = Steps(Shutdown.begin)
    while not steps.is_over:
        shutdown = Shutdown()
        shutdown.install(3600)
        shutdown.begin()
        begins = steps.run(shutdown.begin, lambda: shutdown._handle(signal.SIGTERM, None))  # noqa: B023
        for _ in range(1 + begins):
            assert signals == []
            shutdown.finish()
        if not steps.is_over:
            wait_until(lambda: signals)
            assert signals.pop() == signal.SIGTERM
        assert signals == []
        assert shutdown.begin()
        shutdown.finish()  # the next one calls its handler
    assert steps.step > 4


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
