"""The words of pacing: what may be spent, what a store answers, and the interface every store has.

Waits are seconds from now. What "now" is stays inside a store: a machine's monotonic time in memory, the
server's time in a shared store.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, slots=True)
class Window:
    """At most `requests` in any `seconds`, whatever moment the API starts counting at.

    Attributes:
        label: as the blueprint writes it, such as "10/second".
    """

    requests: int
    seconds: float
    label: str


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """At most `requests` from midnight to midnight of a time zone.

    Attributes:
        time_zone: "UTC" or an IANA name such as "America/New_York".
        label: for messages, such as "1000/day America/New_York".
    """

    requests: int
    time_zone: str
    label: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: `burst` requests at once when full, refilled by `per_second`.

    Attributes:
        label: for messages, such as "burst 10, 2.5/second".
    """

    burst: float
    per_second: float
    label: str


@dataclass(frozen=True, slots=True)
class InFlight:
    """At most so many requests on their way at once. It stands alone in its Spend.

    Attributes:
        label: for messages, such as "5 in flight".
    """

    most: int
    label: str


Limit = Window | CalendarDay | Bucket | InFlight


def capacity(limit: Limit) -> float:
    """The most that a limit can ever let through at once."""
    if isinstance(limit, Window | CalendarDay):
        return limit.requests
    return limit.burst if isinstance(limit, Bucket) else limit.most


@dataclass(frozen=True, slots=True)
class Spend:
    """What one call takes from one budget: `cost` under `key`, within every one of `limits`."""

    key: str
    limits: tuple[Limit, ...]
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Granted:
    """A place is booked.

    Attributes:
        wait: seconds until it may be used; 0.0 means send now, anything else means wait, then `confirm`.
        ticket: what the other calls of the store take.
    """

    wait: float
    ticket: Any


@dataclass(frozen=True, slots=True)
class Refused:
    """The next free place lies beyond the caller's patience; nothing was booked.

    Attributes:
        wait: seconds until that place, infinite for a cost that can never fit.
        window: the label of the limit that is full, or GATE.
    """

    wait: float
    window: str


GATE = "Retry-After"
"""The `window` of a refusal, and the label in a view, of a gate that a response closed."""


@dataclass(frozen=True, slots=True)
class WindowView:
    """How full one limit of one key is now.

    Attributes:
        window: the limit's label, or GATE.
        limit: how many it allows; 0 for a gate.
        used: how many are counted now: answered within the window, on their way, or due.
        left: how many more may be sent at once.
        resets_in: seconds until nothing of it is used any more; of a gate, until it opens.
        gate: seconds until the key's gate opens; 0 where it is open.
    """

    key: str
    window: str
    limit: float
    used: float
    left: float
    resets_in: float
    gate: float = 0.0


class LimitStore(Protocol):
    """Where budgets are kept: one interface for memory, SQL and Redis.

    A caller acquires, waits as long as it is told, confirms until the response is 0.0, sends, and settles when
    the response is there. Every ticket must end in `settle` or `release`.
    """

    def acquire(
        self, spends: tuple[Spend, ...], gates: tuple[str, ...], patience: float
    ) -> Granted | Refused:
        """Book the earliest place that keeps every limit of every budget, all together or none.

        Calls with the same keys are served in the order in which they came. A call never waits behind one
        that is held up by a budget of its own.

        Args:
            spends: the budgets; may be empty.
            gates: nobody passes while one of them is closed.
            patience: the longest acceptable wait, in seconds.
        """

    def confirm(self, ticket: Any) -> float:
        """After a wait: 0.0 to send now, else seconds more to wait before asking again."""

    def settle(self, ticket: Any) -> None:
        """The response is here, or was lost: the place counts until its window has passed from now on."""

    def release(self, ticket: Any) -> None:
        """Nothing was sent: the place goes back. After `settle` it does nothing."""

    def count(self, spends: tuple[Spend, ...]) -> None:
        """Count what was sent without a booking, by this program or by another that has the same quota."""

    def close_gate(self, gates: tuple[str, ...], seconds: float) -> None:
        """Nobody passes these gates for so long. A gate closed for longer stays closed for longer."""

    def view(self, keys: Collection[str]) -> tuple[WindowView, ...]:
        """How full the limits of these keys and gates are; keys of which nothing is known are left out."""

    def keys(self, prefix: str) -> tuple[str, ...]:
        """The keys that begin so and of which something is known, sorted; `view` tells more."""
