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


@record
class Failure:
    """A sending that brought no usable answer.

    Attributes:
        reason: `dns`, `connect`, `tls`, `timeout`, `reset`, `truncated`, `too_large`, `protocol`
            `proxy` (it lets no connection through) or `blocked` (a host that a user named leads to a network
            that is not allowed).
        sent: whether the API may have seen the request.
        text: one line for people; holds no part of the URL's query and no header.
    """

    reason: str
    sent: bool
    text: str


@record
class Attempt:
    """One sending of a plan, as it is logged, explained and kept on errors.

    Attributes:
        number: 1 for the first.
        status: the HTTP status, or 0 where there was no response.
        reason: the Failure's reason, or "".
        seconds: from sending to the last byte.
        waited: seconds waited before it, for budgets, gates and backoff together.
        received: bytes of the decoded body.
        rule: the retry rule that judged it.
        action: what was decided: `return`, `retry`, `wait`, `redirect`, `refresh` or `fail`.
        wait: seconds that the decision asks to wait before the next attempt.
    """

    number: int
    status: int = 0
    reason: str = ""
    seconds: float = 0.0
    waited: float = 0.0
    received: int = 0
    rule: str = ""
    action: str = ""
    wait: float = 0.0
    endpoint: str = ""
