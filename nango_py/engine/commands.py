"""What a running call asks of its executor, and what it is told in return.

The call generator (`engine.call`) yields these; an executor carries each out and sends the result back in.
Nothing here waits, opens a socket or knows whether the executor is sync or async.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.engine.plan import Plan
    from nango_py.limits.limit_types import LimitStore, Spend


@record
class Acquire:
    """Book a place in every budget. Answered with Granted or Refused."""

    spends: tuple[Spend, ...]
    gates: tuple[str, ...]
    patience: float

    def ask(self, store: LimitStore) -> Any:
        """The store's answer."""
        return store.acquire(self.spends, self.gates, self.patience)


@record
class Confirm:
    """After a wait: does the booking still stand? Answered with the seconds still to wait."""

    ticket: Any

    def ask(self, store: LimitStore) -> Any:
        """The store's answer."""
        return store.confirm(self.ticket)


@record
class Settle:
    """The response is here: the booking counts from now. Answered with None."""

    ticket: Any

    def ask(self, store: LimitStore) -> Any:
        """The store's answer."""
        return store.settle(self.ticket)


@record
class Release:
    """Nothing was sent: the booking goes back. Answered with None."""

    ticket: Any

    def ask(self, store: LimitStore) -> Any:
        """The store's answer."""
        return store.release(self.ticket)


@record
class CloseGate:
    """Nobody under these keys sends for so many seconds. Answered with None."""

    gates: tuple[str, ...]
    seconds: float

    def ask(self, store: LimitStore) -> Any:
        """The store's answer."""
        return store.close_gate(self.gates, self.seconds)


@record
class Wait:
    """Do nothing for so many seconds. Answered with None."""

    seconds: float


@record
class Send:
    """Send a plan once, within so many seconds. Answered with a response (a response) or a Failure."""

    plan: Plan
    seconds: float


@record
class Discard:
    """Close a response whose body nobody will read. Answered with None."""

    response: Any


@record
class Learn:
    """Take in what a response told of limits: `learning.answered(store, *told)`. Answered with None."""

    learning: Any
    told: tuple[Any, ...]
    refused: bool = False

    def ask(self, store: LimitStore) -> Any:
        """The store's answer."""
        return self.learning.answered(store, *self.told, refused=self.refused)


LIMIT_COMMANDS = (Acquire, Confirm, Settle, Release, CloseGate, Learn)
"""The commands that are a question to the limit store: `command.ask(store)`."""


@record
class Ask:
    """Ask the connection store: a blocking call of micro- to milliseconds. Answered with its result."""

    question: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


@record
class Refresh:
    """Get a connection with a newer token; answered with it, or with None where that is not possible now.

    An async executor finishes it also when the call that asked is cancelled.
    """

    steps: Any
