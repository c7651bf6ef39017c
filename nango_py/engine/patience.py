"""How long the calls of a job wait for their quota, and behind whom.

A job does not sleep in a worker while a window is full: its call fails with `RateLimited`, and the job is
put back until `retry_at`. A job of the background lane also books no place in advance, so that a call that
arrives later takes the next free one.
"""

from __future__ import annotations

import contextlib
import contextvars
from typing import TYPE_CHECKING

from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Iterator


@record
class Patience:
    """What a call does if its quota is used up.

    Attributes:
        seconds: the longest wait for a place; a longer one raises `RateLimited`.
        is_behind: whether other calls overtake it: it takes free places, and books none in advance.
    """

    seconds: float
    is_behind: bool = False


_patience: contextvars.ContextVar[Patience | None] = contextvars.ContextVar("nango_patience", default=None)


def current_patience() -> Patience | None:
    """The patience of the calls of this thread or task; None if they wait until their deadline."""
    return _patience.get()


@contextlib.contextmanager
def with_patience(patience: Patience) -> Iterator[None]:
    """Give the calls inside this patience."""
    token = _patience.set(patience)
    try:
        yield
    finally:
        _patience.reset(token)
