"""The attempts of a call as text."""

from __future__ import annotations

from nango_py.attempt import Attempt
from nango_py.engine.log import explain


def test_each_attempt_is_a_line() -> None:
    """It has outcome, duration, waits, the decision and the rule."""
    attempts = [
        Attempt(1, reason="reset", seconds=0.5, action="retry", rule="built-in: reset", wait=0.25),
        Attempt(2, status=429, seconds=0.1, waited=0.25, action="wait", rule="built-in: 429", wait=7.0),
        Attempt(3, status=200, seconds=0.0123, waited=7.0, action="return", rule="built-in: 200"),
    ]
    assert explain(attempts).splitlines() == [
        "attempt 1: reset after 0.500 s -> retry in 0.250 s (built-in: reset)",
        "attempt 2: 429 after 0.100 s, waited 0.250 s before -> wait in 7.000 s (built-in: 429)",
        "attempt 3: 200 after 0.012 s, waited 7.000 s before -> return (built-in: 200)",
    ]


def test_nothing_sent_is_said_too() -> None:
    """A call that a limit stopped has no attempts."""
    assert explain(()) == "nothing was sent"
