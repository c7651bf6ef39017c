"""The place of an attempt in the limits, which ends once, whatever interrupts the call."""

from __future__ import annotations

import contextvars
import math
import os
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from nango_py.header_values import parse_first_number
from nango_py.json_path import search_json
from nango_py.limits.limit_types import Granted, InFlight, capacity
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.json_types import JsonValue
    from nango_py.limits.limit_types import LimitStore, Refused, Spend

P = ParamSpec("P")
R = TypeVar("R")


@record
class Closing:
    """The gates that a refusal closes.

    Attributes:
        budgets: the names of their budgets; empty if the gates are those of whole quotas.
    """

    gates: tuple[str, ...]
    budgets: tuple[str, ...]


@record
class Recount:
    """What a call spends and obeys instead of what it booked.

    Attributes:
        spends: the budgets that the response is about.
        gates: the gates that the response may close.
        counted: what is counted now in addition.
        keeps_place: whether what was booked stays counted.
    """

    spends: tuple[Spend, ...]
    gates: tuple[str, ...]
    counted: tuple[Spend, ...] = ()
    keeps_place: bool = True


class Place:
    """A booking of one attempt.

    Attributes:
        spends: the budgets that it takes from.
        gates: the gates that it obeys.
        is_sent: whether the request may have reached the API.
        costs: what the call has used of each budget, if the response says so.
        is_newcomer: whether it is booked with other connections that the API has not accepted yet.
    """

    __slots__ = ("_grant", "_limits", "costs", "gates", "is_newcomer", "is_sent", "spends")

    def __init__(
        self,
        limits: LimitStore,
        spends: tuple[Spend, ...],
        gates: tuple[str, ...],
        *,
        is_newcomer: bool = False,
    ) -> None:
        self._limits = limits
        self._grant: Granted | Refused | None = None
        self.spends = spends
        self.gates = gates
        self.is_sent = False
        self.costs: tuple[int, ...] | None = None
        self.is_newcomer = is_newcomer

    @property
    def cap(self) -> str:
        """The label of the cap on calls in flight, or "". Such a place is lost if it is not given back."""
        limits = (limit for spend in self.spends for limit in spend.limits)
        return next((limit.label for limit in limits if isinstance(limit, InFlight)), "")

    def acquire(self, patience: float) -> Granted | Refused:
        """Book the place; see `LimitStore.acquire`."""
        # Kept before anything else is called: a signal handler that raises must not lose it.
        self._grant = self._limits.acquire(self.spends, self.gates, patience)
        return self._grant

    def confirm(self) -> float:
        """Check the booking after its wait; see `LimitStore.confirm`."""
        assert isinstance(self._grant, Granted)  # noqa: S101 - the caller has waited for it
        return self._limits.confirm(self._grant.ticket)

    def end(self) -> None:
        """Settle the booking if the request may have reached the API, else release it; once."""
        grant = self._grant
        if isinstance(grant, Granted):
            if not self.is_sent:
                self._limits.release(grant.ticket)
            elif self.costs is None:
                self._limits.settle(grant.ticket)
            else:
                self._limits.settle(grant.ticket, self.costs)
        self._grant = None


def settled_costs(
    spends: tuple[Spend, ...], headers: Callable[[], Mapping[str, str]], body: Callable[[], JsonValue]
) -> tuple[int, ...] | None:
    """What a call has used of each budget; None if no budget asks, or the response does not say.

    Args:
        spends: of the call.
        headers: returns those of the response.
        body: returns the JSON of the response.
    """
    if not any(spend.settle or spend.settle_header for spend in spends):
        return None
    found = body() if any(spend.settle for spend in spends) else None
    return tuple(_settled_cost(spend, headers(), found) for spend in spends)


def _settled_cost(spend: Spend, headers: Mapping[str, str], body: JsonValue) -> int:
    value = search_json(spend.settle, body) if spend.settle else None
    if spend.settle_header:
        value = parse_first_number(headers.get(spend.settle_header))
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return spend.cost
    # A wrong number must not use up more than there is.
    return min(max(0, math.ceil(value)), int(min(map(capacity, spend.limits))))


class _Job:
    """A function to run in another thread, and what came of it."""

    __slots__ = ("done", "error", "function", "result")

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()

    def run(self) -> None:
        try:
            self.result = self.function()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            self.error = error
        self.done.release()


class _Worker:
    """A thread of this process that runs jobs in order."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self.pid = os.getpid()
        self._thread = threading.Thread(target=self._work, name="nango-places", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while True:
            self.jobs.get().run()


_workers: list[_Worker] = []


def run_whole(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function that an exception from a signal handler must not stop in the middle.

    Python runs signal handlers in the main thread, between any two instructions. There the function runs in
    another thread: what interrupts the wait for it does not interrupt the function, and functions that are
    called later run after it.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*args, **kwargs)
    context = contextvars.copy_context()
    job = _Job(lambda: context.run(function, *args, **kwargs))
    worker = _workers[-1] if _workers else None
    if worker is None or worker.pid != os.getpid():
        try:
            worker = _Worker()
        except RuntimeError:  # the interpreter ends, and starts no thread
            return function(*args, **kwargs)
        _workers[:] = [worker]
    worker.jobs.put(job)
    job.done.acquire()
    if job.error is not None:
        raise job.error
    result: R = job.result
    return result
