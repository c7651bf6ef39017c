"""What happened in a call, and which rule decided it, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nango_py.attempt import Attempt


def explain(attempts: Sequence[Attempt]) -> str:
    """One line for each attempt: what came, which rule judged it, and what followed.

    >>> from nango_py.attempt import Attempt
    >>> print(explain([Attempt(number=1, status=200, seconds=0.012, action="return", rule="built-in: 200")]))
    attempt 1: 200 after 0.012 s -> return (built-in: 200)
    """
    if not attempts:
        return "nothing was sent"
    return "\n".join(map(_line, attempts))


def _line(attempt: Attempt) -> str:
    waited = f", waited {attempt.waited:.3f} s before" if attempt.waited else ""
    then = f" in {attempt.wait:.3f} s" if attempt.wait else ""
    outcome = attempt.status or attempt.reason
    return (
        f"attempt {attempt.number}: {outcome} after {attempt.seconds:.3f} s{waited}"
        f" -> {attempt.action}{then} ({attempt.rule})"
    )
