"""The types of rate limiting: limits, what a call spends, and the protocol of every limit store.

Waits are seconds from now. The clock belongs to the store: a machine's monotonic clock in memory, the
server's clock in a shared store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Collection


@record
class Window:
    """At most `requests` in any `seconds`, whenever the API's own window begins.

    Attributes:
        label: as the blueprint writes it, such as "10/second".
    """

    requests: int
    seconds: float
    label: str


@record
class CalendarPeriod:
    """At most `requests` in each hour, day, week or month of a time zone's calendar.

    Attributes:
        time_zone: "UTC" or an IANA name such as "America/New_York".
        label: for messages, such as "1000/day America/New_York".
        period: `hour`, `day`, `week` (from Monday on) or `month`.
    """

    requests: int
    time_zone: str
    label: str
    period: str = "day"


@record
class Bucket:
    """A token bucket: `burst` requests at once when full, refilled at `per_second`.

    Attributes:
        label: for messages, such as "burst 10, 2.5/second".
    """

    burst: float
    per_second: float
    label: str


@record
class InFlight:
    """At most `most` requests in flight at once. It is the only limit of its Spend.

    Attributes:
        label: for messages, such as "5 in flight".
    """

    most: int
    label: str


Limit: TypeAlias = Window | CalendarPeriod | Bucket | InFlight


def capacity(limit: Limit) -> float:
    """The highest cost that a limit can ever allow at once."""
    if isinstance(limit, Window | CalendarPeriod):
        return limit.requests
    return limit.burst if isinstance(limit, Bucket) else limit.most


@record
class Spend:
    """What one call takes from one budget: `cost` under `key`, within every one of `limits`.

    Attributes:
        settle: a JMESPath to what the call has cost, in its response; "" if the cost is known.
        settle_header: the response header that says it, or "".
    """

    key: str
    limits: tuple[Limit, ...]
    cost: int = 1
    settle: str = ""
    settle_header: str = ""


@record
class LimitReport:
    """What a response says of one limit.

    Attributes:
        label: of the limit.
        remaining: the cost that the API would still allow.
        resets_in: seconds until it allows the whole limit again; None if the response does not say.
        age: seconds since the response's own call was sent.
    """

    label: str
    remaining: float
    resets_in: float | None
    age: float


@record
class Granted:
    """A place is booked.

    Attributes:
        wait: seconds until it may be used. At 0.0 send now, otherwise wait and then `confirm`.
        ticket: identifies the booking in the store's other methods; its type is the store's own.
    """

    wait: float
    ticket: Any


@record
class Refused:
    """The next free place is further away than the caller can wait; nothing was booked.

    Attributes:
        wait: seconds until that place; infinite for a cost that can never fit.
        window: the label of the limit that is full, GATE or QUEUE.
    """

    wait: float
    window: str


MAX_WAITING = 10_000
"""Maximum number of calls that wait for one budget; stores/redis_store.lua has the same."""

QUEUE = "queue"
"""The `window` of a refusal because MAX_WAITING calls wait already."""

GATE = "Retry-After"
"""The `window` of a refusal by a closed gate, and the label of the gate in a view."""


LONGEST_GATE = 86_400.0
"""Seconds for which a gate is closed at most. A wrong header must not stop a product for a year. If the API
means a longer wait, the first call after a day is refused again, and the gate is closed for another day."""


@record
class WindowView:
    """How full one limit of one key is now.

    Attributes:
        window: the limit's label, or GATE.
        limit: its capacity; 0 for a gate.
        used: the cost that counts now: of recent responses, in flight, and due to be sent.
        left: the cost that may be sent now.
        resets_in: seconds until nothing of it is used; for a gate, until it opens.
        gate: seconds until the key's gate opens; 0 if it is open.
    """

    key: str
    window: str
    limit: float
    used: float
    left: float
    resets_in: float
    gate: float = 0.0


class LimitStore(Protocol):
    """Where the state of limits is kept: in memory, in a SQL database or in Redis.

    A caller acquires a booking, waits as long as it says and confirms it until the wait is 0.0, sends its
    request, and settles the booking when the response has arrived. Every ticket must end in `settle` or
    `release`. Methods may be called from any thread. Stores outside the process raise StorageError when they
    fail; FailoverLimits catches it.
    """

    def acquire(
        self, spends: tuple[Spend, ...], gates: tuple[str, ...], max_wait: float
    ) -> Granted | Refused:
        """Book the earliest place that every limit of every budget allows, in all budgets or in none.

        Calls with the same keys are served in order of arrival. A call never waits behind one that is held up
        by a budget that it does not use.

        Args:
            spends: the budgets; may be empty.
            gates: nothing is sent while one of them is closed.
            max_wait: the longest acceptable wait in seconds.

        Returns:
            Granted with the wait and a ticket, or Refused if the wait would exceed `max_wait`.
        """

    def confirm(self, ticket: Any) -> float:
        """Check a booking after its wait: 0.0 to send now, otherwise seconds until the next `confirm`."""

    def settle(self, ticket: Any, costs: tuple[int, ...] | None = None) -> None:
        """The response arrived or was lost: from now on the request counts until its windows have passed.

        Args:
            ticket: of the booking.
            costs: what the call has cost in each budget, if that is not what was booked.
        """

    def release(self, ticket: Any) -> None:
        """Give the place back, because nothing was sent. Has no effect after `settle`."""

    def count(self, spends: tuple[Spend, ...]) -> None:
        """Count requests that were sent now without a booking, here or by another user of the same quota."""

    def correct(self, spend: Spend, report: LimitReport) -> None:
        """Correct what is used of a limit by what a response says.

        What others used counts until the reset that the response names. What the API no longer counts stops
        counting here.

        Args:
            spend: the response's own call, which was settled before.
            report: what the response says.
        """

    def close_gate(self, gates: tuple[str, ...], seconds: float) -> None:
        """Close gates for a number of seconds. A gate that is closed for longer stays closed for longer."""

    def view(self, keys: Collection[str]) -> tuple[WindowView, ...]:
        """How full the limits of these keys and gates are. Unknown keys are left out."""

    def keys(self, prefix: str) -> tuple[str, ...]:
        """All known keys and gates that start with the prefix, sorted."""
