"""Exceptions that signal handlers raise, at every moment of a call in turn."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import FrameType


class Interrupted(BaseException):
    """What the signal handler of a test raises, as Celery's soft time limit does."""


@contextmanager
def interruption_at(step: int, files: Collection[str | None] = ()) -> Iterator[list[int]]:
    """Raise where Python may run a signal handler: when a function begins, and after a call of a C function.

    Yields the number of such moments in the block, in all files or in these.
    """
    moments = [0]

    def profile(frame: FrameType, event: str, _arg: object) -> None:
        if event in {"call", "c_return"} and (not files or frame.f_code.co_filename in files):
            moments[0] += 1
            if moments[0] == step:
                raise Interrupted

    sys.setprofile(profile)
    try:
        yield moments
    finally:
        sys.setprofile(None)
