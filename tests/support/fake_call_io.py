"""A limit store, an API and a clock for calls without sockets and waits."""

# ruff: noqa: D102 - CallIO and LimitStore say what their methods do
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.limits.limit_types import Granted
from tests.support.fake_clock import ManualClock
from tests.support.made_values import FakeResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from nango_py.engine.plan import Plan


class FakeCallIO:
    """The `CallIO` and the limit store of a call; it records what the call does.

    Args:
        outcomes: what requests bring, in order; the last one is repeated.
        grants: the results of acquire(), in order; then a place at once, or when the gate opens.
        confirms: the results of confirm(), in order; then 0.0.
        seconds: how long a request takes.
        before: called with the name of each step before it is done.

    Attributes:
        steps: name and argument of each step, in order.
    """

    def __init__(
        self,
        outcomes: Iterable[Any] = (FakeResponse(200),),
        *,
        grants: Iterable[Any] = (),
        confirms: Iterable[float] = (),
        seconds: float = 0.1,
        before: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.clock = ManualClock()
        self.limits: Any = self
        self.steps: list[tuple[str, Any]] = []
        self.gates: dict[tuple[str, ...], float] = {}
        self.before = before
        self._outcomes = list(outcomes)
        self._grants = list(grants)
        self._confirms = list(confirms)
        self._seconds = seconds

    @property
    def names(self) -> list[str]:
        """The names of the steps."""
        return [name for name, _ in self.steps]

    def values(self, *names: str) -> list[Any]:
        """The arguments of the steps of these names."""
        return [value for name, value in self.steps if name in names]

    @property
    def plans(self) -> list[Plan]:
        """The plans that were sent."""
        return [plan for plan, _ in self.values("send")]

    def _do(self, name: str, value: Any) -> None:
        self.steps.append((name, value))
        self.before(name)

    async def send(self, request: Any, seconds: float) -> Any:
        self._do("send", (request, seconds))
        self.clock.advance(self._seconds)
        return self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]

    async def wait(self, seconds: float) -> None:
        self._do("wait", seconds)
        self.clock.advance(seconds)

    async def ask_store(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    ask_limits = ask_store
    ask_whole = ask_store

    async def finish(self, steps: Coroutine[Any, Any, Any], tasks: set[Any]) -> Any:
        return await steps

    async def read(self, response: Any) -> None:
        self._do("read", response)

    async def discard(self, response: Any) -> None:
        self._do("discard", response)

    def acquire(self, spends: Any, gates: tuple[str, ...], patience: float) -> Any:
        self._do("acquire", patience)
        if self._grants:
            return self._grants.pop(0)
        return Granted(self.gates.pop(gates, 0.0), f"ticket {len(self.steps)}")

    def confirm(self, ticket: Any) -> float:
        self._do("confirm", ticket)
        return self._confirms.pop(0) if self._confirms else 0.0

    def settle(self, ticket: Any, costs: Any = None) -> None:
        self._do("settle", ticket)

    def release(self, ticket: Any) -> None:
        self._do("release", ticket)

    def close_gate(self, gates: tuple[str, ...], seconds: float) -> None:
        self._do("close_gate", seconds)
        self.gates[gates] = seconds

    def view(self, keys: Any) -> tuple[Any, ...]:
        return ()

    def count(self, spends: Any) -> None:
        self._do("count", spends)

    def correct(self, spend: Any, report: Any) -> None:
        self._do("correct", (spend, report))
