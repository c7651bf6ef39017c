"""Processes that use the same connections, known by a row that each writes now and then.

Short programs write none: whoever asks here waits until the program has run for a while.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from nango_py.connections.statements import FORGET_PROCESSES, OTHER_PROCESSES, SEE_PROCESS
from nango_py.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.clock import Clock
    from nango_py.connections.store import ConnectionStore
    from nango_py.database.base import Run

EVERY = 30.0
"""Seconds between two rows of a process for one integration."""

GONE_AFTER = 90.0
"""A process that was not seen for so many seconds is gone."""


class Processes:
    """Tells whether another process uses an integration's connections while this one does.

    Args:
        store: where the rows are.
        clock: the time.
    """

    def __init__(self, store: Callable[[], ConnectionStore], clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._name = secrets.token_hex(8)
        self._since = store().microseconds()
        self._due: dict[str, float] = {}

    def is_due(self, integration: str) -> bool:
        """Whether it is time to write and look again."""
        return self._clock.monotonic() >= self._due.get(integration, 0.0)

    def has_others(self, integration: str) -> bool:
        """Write this process's row; whether another was written by a living process since this one came.

        A process that ended before is no other, however recently. Without the database the response is no.
        """
        self._due[integration] = self._clock.monotonic() + EVERY
        store = self._store()
        now = store.microseconds()
        row = {"integration": integration, "name": f"{self._name}.{os.getpid():x}"}
        span = int(GONE_AFTER * 1_000_000)

        def work(run: Run) -> bool:
            run(SEE_PROCESS, {**row, "now": now})
            run(FORGET_PROCESSES, {"old": now - span, "future": now + span})
            return bool(run(OTHER_PROCESSES, {**row, "since": max(self._since, now - span)})[0][0])

        try:
            return store.write(work)
        except StorageError:
            return False  # a call must not fail for this
