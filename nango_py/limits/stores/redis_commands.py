"""What redis.lua is told, as bytes: packed once for each kind of call; a call only adds what changes."""

from __future__ import annotations

import json
import math
from struct import Struct
from typing import TYPE_CHECKING, Any

from nango_py.limits.counting.calendar_days import LONGEST_DAY, day_around, midnights
from nango_py.limits.counting.meter import COUNTED_WITHIN, LEASE
from nango_py.limits.limit_types import Bucket, CalendarDay, Window
from nango_py.limits.stores.stored_meter import line_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nango_py.limits.limit_types import Limit, Spend

KNOWN_DAYS = 4
"""How many days, from this machine's today on, Redis is told the midnights of: it knows no time zones. Which
of them it is, it tells by its own time. Later days are taken to have 24 hours."""

SAID = Struct("<8sQd")
"""What changes from call to call: who asks, the number of the call, and a number that depends on the step."""

MOMENT = Struct("<d")
"""The time, where a test tells it."""

_LIMIT = Struct("<Bddd")
_WINDOW, _DAY, _BUCKET, _FLIGHT = range(4)


class Writer:
    """Makes commands.

    Args:
        script: the digest by which Redis knows the script.
        prefix: stands before every key.
        size: how many bytes the changing part has.
    """

    def __init__(self, script: str, prefix: str, size: int) -> None:
        self._script = script.encode()
        self._prefix = prefix
        self._size = size

    def head(self, step: str, keys: Iterable[str], given: Sequence[bytes] = (), *more: str) -> bytes:
        """A command up to the part that changes; that part and a line's end complete it.

        Args:
            step: what to do.
            keys: without the prefix.
            given: what else the step takes.
            more: further keys, which stand for the whole prefix.
        """
        names = [f"{self._prefix} {key}".encode() for key in keys]
        names += [f"{self._prefix}:{key}".encode() for key in more]
        parts = [b"EVALSHA", self._script, b"%d" % len(names), *names, step.encode(), *given]
        written = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        return b"*%d\r\n%s$%d\r\n" % (len(parts) + 1, written, self._size)


class Call:
    """One kind of call: what it spends, the gates it passes, and the head of each step.

    Attributes:
        spends, limits: what it was made for.
        until: the unix second from which it must be made anew, because a day has ended.
    """

    __slots__ = ("_gates", "_given", "_writer", "acquire", "limits", "settle", "spends", "until")

    def __init__(
        self, writer: Writer, spends: tuple[Spend, ...], gates: tuple[str, ...], now: float, offset: float
    ) -> None:
        self.spends = spends
        self.limits = [spend.limits for spend in spends]
        self.until = math.inf
        for spend in spends:
            for limit in spend.limits:
                if isinstance(limit, CalendarDay):
                    self.until = min(self.until, day_around(limit.time_zone, now)[1])
        keys = [spend.key for spend in spends]
        self._gates = [gate for gate in dict.fromkeys(gates) if gate not in keys]
        places = [*keys, *self._gates]
        plan = line_of(spends).encode() + b"".join(MOMENT.pack(spend.cost) for spend in spends)
        plan += bytes(places.index(gate) + 1 for gate in gates)
        self._given = (plan, *(pack_limits(spend.limits, now, offset) for spend in spends))
        self._writer = writer
        self.acquire = writer.head("acquire", places, self._given, "generation")
        self.settle = writer.head("settle", keys)

    @property
    def keys(self) -> list[str]:
        """Those of its budgets."""
        return [spend.key for spend in self.spends]

    @property
    def confirm(self) -> bytes:
        """The head of a step that is seldom taken."""
        return self._writer.head("confirm", [*self.keys, *self._gates], self._given)

    @property
    def release(self) -> bytes:
        """The head of a step that is seldom taken."""
        return self._writer.head("release", self.keys)

    @property
    def count(self) -> bytes:
        """The head of a step that is seldom taken."""
        return self._writer.head("count", self.keys, self._given)


def pack_limits(limits: tuple[Limit, ...], now: float, offset: float) -> bytes:
    """Limits as the script reads them: a head, one record for each, and as JSON what few steps look at.

    Args:
        limits: those of one budget.
        now: this moment in unix seconds.
        offset: what is added to the store's moments to make them unix seconds.
    """
    records, rest = [], []
    longest = refilled = 0.0
    patience = COUNTED_WITHIN
    for limit in limits:
        told: list[Any] = [limit.label]
        if isinstance(limit, Window):
            records.append(_LIMIT.pack(_WINDOW, limit.requests, limit.seconds, 0.0))
            longest = max(longest, limit.seconds)
        elif isinstance(limit, CalendarDay):
            moments = [moment - offset for moment in midnights(limit.time_zone, now, KNOWN_DAYS)]
            records.append(_LIMIT.pack(_DAY, limit.requests, moments[1], moments[2]))
            told.append(moments)
            longest = max(longest, LONGEST_DAY)
        elif isinstance(limit, Bucket):
            records.append(_LIMIT.pack(_BUCKET, limit.burst, limit.per_second, 0.0))
            refilled = max(refilled, limit.burst / limit.per_second)
        else:
            records.append(_LIMIT.pack(_FLIGHT, limit.most, 0.0, 0.0))
            patience = LEASE
        rest.append(told)
    # So many milliseconds after a call that went at once, nothing of it counts any more.
    lasts = math.ceil((patience + max(longest, refilled)) * 1000.0)
    head = _LIMIT.pack(len(limits), patience, longest, lasts)
    return b"".join((head, *records, json.dumps(rest, separators=(",", ":")).encode()))
