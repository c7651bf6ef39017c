"""How often one connect session may ask for something that costs: a bucket for each, in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nango_py.clock import Clock

MOST_SESSIONS = 10_000
"""More are not remembered: the one that was quiet for longest begins anew."""


class Throttle:
    """Up to `most` at once, and as many in each minute. Safe to share between threads."""

    def __init__(self, clock: Clock, most: int) -> None:
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, session_id: str) -> float:
        """0.0 and one is spent, or the seconds until one may be."""
        now, per_second = self._clock.monotonic(), self._most / 60
        with self._lock:
            spent, at = self._spent.pop(session_id, (0.0, now))
            spent = max(spent - (now - at) * per_second, 0.0)
            is_over = spent + 1 > self._most
            self._spent[session_id] = (spent if is_over else spent + 1, now)
            if len(self._spent) > MOST_SESSIONS:
                self._spent.popitem(last=False)
            return (spent + 1 - self._most) / per_second if is_over else 0.0

    def __len__(self) -> int:
        return len(self._spent)
