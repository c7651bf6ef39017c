"""Other processes that use the same connections; each one writes a heartbeat row every 30 seconds.

Short programs write none: the caller waits until the program has run for a while.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from nango_py.connections.statements import COUNT_OTHER_PROCESSES, DELETE_OLD_PROCESSES, WRITE_PROCESS
from nango_py.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.clock import Clock
    from nango_py.connections.store import ConnectionStore
    from nango_py.database.base import Run

HEARTBEAT_SECONDS = 30.0
"""Seconds between two heartbeats of a process for one integration."""

ALIVE_SECONDS = 90.0
"""Seconds after its last heartbeat during which a process counts as alive."""


class Processes:
    """Finds out whether another process uses an integration's connections at the same time."""

    def __init__(self, store: Callable[[], ConnectionStore], clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._name = secrets.token_hex(8)
        self._started_at = store().microseconds()
        self._next_heartbeat: dict[str, float] = {}

    def is_due(self, integration: str) -> bool:
        """Whether it is time for the next heartbeat."""
        return self._clock.monotonic() >= self._next_heartbeat.get(integration, 0.0)

    def has_others(self, integration: str) -> bool:
        """Write a heartbeat, and report whether another process wrote one since this process started.

        Processes that ended before do not count. False if the database is unreachable.
        """
        self._next_heartbeat[integration] = self._clock.monotonic() + HEARTBEAT_SECONDS
        store = self._store()
        now = store.microseconds()
        row = {"integration": integration, "name": f"{self._name}.{os.getpid():x}"}
        age = int(ALIVE_SECONDS * 1_000_000)

        def work(run: Run) -> bool:
            run(WRITE_PROCESS, {**row, "now": now})
            run(DELETE_OLD_PROCESSES, {"old": now - age, "future": now + age})
            return bool(run(COUNT_OTHER_PROCESSES, {**row, "since": max(self._started_at, now - age)})[0][0])

        try:
            return store.write(work)
        except StorageError:
            return False  # a call must not fail because of this
