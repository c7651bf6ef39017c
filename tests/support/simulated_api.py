"""A simulated world for limiters: callers that arrive, wait, send and get responses, and an API that counts.

The counting here shares no code with the limiters: it looks at the moments at which requests were counted,
and at nothing else.
"""

from __future__ import annotations

import heapq
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nango_py.limits.limit_types import Bucket, Granted, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nango_py.limits.limit_types import Limit, LimitStore, Spend


def let_pass(seconds: float) -> None:
    """Let real time pass, for stores that count by a server's clock."""
    threading.Event().wait(seconds)


class LimitClock:
    """A clock that moves only when a test moves it."""

    def __init__(self, start: float = 1000.0) -> None:
        self.moment = start

    def now(self) -> float:
        """The moment as unix seconds."""
        return self.moment + 1_700_000_000

    def monotonic(self) -> float:
        """The moment."""
        return self.moment

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.moment += seconds


@dataclass(frozen=True)
class Arrival:
    """A caller that comes `after` seconds after the one before it.

    Attributes:
        travels: seconds from sending to the API's counting.
        responds_after: seconds from the counting to the response.
        late: seconds by which the caller oversleeps each of its waits.
    """

    after: float
    spends: tuple[Spend, ...]
    travels: float = 0.0
    responds_after: float = 0.0
    late: float = 0.0


@dataclass
class Sent:
    """One request: when its caller came, when it was sent and when the API counted it."""

    number: int
    arrival: Arrival
    came: float
    sent: float

    @property
    def counted(self) -> float:
        """The moment the API counted it."""
        return self.sent + self.arrival.travels


@dataclass
class World:
    """Plays arrivals against a store on a clock that it moves itself."""

    store: LimitStore
    clock: LimitClock
    sent: list[Sent] = field(default_factory=list)
    confirms: int = 0
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0

    def play(self, arrivals: Sequence[Arrival]) -> list[Sent]:
        """Run until every caller has its response; the requests in the order of sending."""
        moment = self.clock.moment
        for number, arrival in enumerate(arrivals):
            moment += arrival.after
            self._at(moment, self._comes, number, arrival, moment)
        while self._events:
            moment, _, act = heapq.heappop(self._events)
            self.clock.moment = max(self.clock.moment, moment)
            act()
        return self.sent

    def _at(self, moment: float, act: Callable[..., None], *args: Any) -> None:
        self._count += 1
        heapq.heappush(self._events, (moment, self._count, lambda: act(*args)))

    def _comes(self, number: int, arrival: Arrival, came: float) -> None:
        grant = self.store.acquire(arrival.spends, (), 1e9)
        assert isinstance(grant, Granted)
        self._waits(number, arrival, came, grant.ticket, grant.wait)

    def _waits(self, number: int, arrival: Arrival, came: float, ticket: Any, wait: float) -> None:
        if wait > 0:
            self._at(self.clock.moment + wait + arrival.late, self._asks, number, arrival, came, ticket)
            return
        now = self.clock.moment
        self.sent.append(Sent(number, arrival, came, now))
        self._at(now + arrival.travels + arrival.responds_after, self.store.settle, ticket)

    def _asks(self, number: int, arrival: Arrival, came: float, ticket: Any) -> None:
        self.confirms += 1
        self._waits(number, arrival, came, ticket, self.store.confirm(ticket))


def overfull(limit: Limit, counted: Sequence[tuple[float, int]]) -> str:
    """Why this history of (moment, cost) breaks a limit at some alignment, or ""; by trying every start."""
    moments = sorted(counted)
    for first, (begin, _) in enumerate(moments):
        total = 0
        for moment, cost in moments[first:]:
            total += cost
            if isinstance(limit, Window):
                if moment - begin >= limit.seconds - 1e-7:
                    break
                if total > limit.requests:
                    return f"{limit.label}: {total} within {moment - begin:.9f} s from {begin!r}"
            elif total > limit.burst + limit.per_second * (moment - begin) + 1e-6:
                return f"{limit.label}: {total} within {moment - begin:.9f} s from {begin!r}"
    return ""


def broken_limits(sent: Sequence[Sent]) -> list[str]:
    """Every limit that the requests broke, by key."""
    history: dict[str, list[tuple[float, int]]] = {}
    limits: dict[str, tuple[Limit, ...]] = {}
    for request in sent:
        for spend in request.arrival.spends:
            history.setdefault(spend.key, []).append((request.counted, spend.cost))
            limits[spend.key] = spend.limits
    return [why for key, of in limits.items() for limit in of if (why := overfull(limit, history[key]))]


def window(requests: int, seconds: float) -> Window:
    """A window with a label."""
    return Window(requests, seconds, f"{requests}/{seconds:g}s")


def bucket(burst: float, per_second: float) -> Bucket:
    """A token bucket with a label."""
    return Bucket(burst, per_second, f"burst {burst:g}, {per_second:g}/second")
