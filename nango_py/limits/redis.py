"""Budgets shared through Redis or Valkey: one script for each step, by the server's clock.

The only owner of `redis` (extra `redis`). All keys of a prefix lie in one slot of a cluster, because a call's
budgets are booked together.
"""

from __future__ import annotations

import json
import math
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from nango_py.errors import StorageError
from nango_py.limits.model import GATE, Granted, Refused, WindowView
from nango_py.limits.stored import limit_to_json, line_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from nango_py.clock import Clock
    from nango_py.limits.model import Spend
    from nango_py.secret import Secret

ANSWER_SECONDS = 2.0
"""How long Redis may take to answer, or to accept a connection."""

SEEN_WITHIN = 30.0
"""A process that was not seen for so many seconds is gone."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A booking in Redis."""

    name: str
    order: int
    spends: tuple[Spend, ...]
    gates: tuple[str, ...]


class RedisLimits:
    """A LimitStore in Redis 6.2 or newer, or Valkey; see `LimitStore` for what each method does.

    Args:
        url: `redis://...`, `rediss://...` or `unix://...`.
        prefix: stands before every key; braces keep the keys together in a cluster.
        clock: counts instead of the server's, for tests.

    Every method raises StorageError when Redis does not answer; no password is shown.
    """

    def __init__(self, url: Secret, prefix: str = "{nango}", clock: Clock | None = None) -> None:
        self._prefix = prefix
        self._clock = clock
        self._client = _client(url)
        self._generation = ""
        self._script = self._client.register_script(Path(__file__).with_suffix(".lua").read_text())

    def acquire(
        self, spends: tuple[Spend, ...], gates: tuple[str, ...], patience: float
    ) -> Granted | Refused:
        """Book the earliest place."""
        name = secrets.token_hex(8)
        answer = self._run("acquire", spends, gates, name=name, patience=min(patience, 1e12))
        self._generation = answer[3].decode()
        if answer[0] == b"refused":
            return Refused(float(answer[1]), answer[2].decode())
        return Granted(float(answer[1]), Ticket(name, int(answer[2]), spends, gates))

    def confirm(self, ticket: Ticket) -> float:
        """0.0 to send now, else seconds more to wait."""
        answer = self._run("confirm", ticket.spends, ticket.gates, name=ticket.name, order=ticket.order)
        return float(answer[0])

    def settle(self, ticket: Ticket) -> None:
        """The answer is here, or was lost."""
        if ticket.spends:
            self._run("settle", ticket.spends, (), name=ticket.name)

    def release(self, ticket: Ticket) -> None:
        """Nothing was sent."""
        if ticket.spends:
            self._run("release", ticket.spends, (), name=ticket.name)

    def count(self, spends: tuple[Spend, ...]) -> None:
        """Count what was sent without a booking."""
        if spends:
            self._run("count", spends, ())

    def close_gate(self, gates: tuple[str, ...], seconds: float) -> None:
        """Nobody passes for so long."""
        if gates and seconds > 0 and math.isfinite(seconds):
            self._evaluate("close", gates, {"seconds": seconds})

    def view(self, keys: Collection[str]) -> tuple[WindowView, ...]:
        """How full the limits of these keys and gates are."""
        if not keys:
            return ()
        views: list[WindowView] = []
        for key, told in zip(keys, json.loads(self._evaluate("view", tuple(keys), {})), strict=True):
            for label, most, used, resets_in in told["limits"]:
                views.append(WindowView(key, label, most, used, max(0.0, most - used), resets_in))
            if told["gate"] > 0:
                views.append(WindowView(key, GATE, 0.0, 0.0, 0.0, told["gate"]))
        return tuple(views)

    def processes(self, name: str) -> int:
        """How many processes use this store, this one included.

        Args:
            name: this process's, the same at every call.
        """
        return int(self._evaluate("beat", (" processes",), {"name": name, "seconds": SEEN_WITHIN}))

    def close(self) -> None:
        """Close the connections of this process."""
        self._client.close()

    def _run(self, act: str, spends: tuple[Spend, ...], gates: tuple[str, ...], **call: Any) -> Any:
        keys = [spend.key for spend in spends]
        keys += [gate for gate in gates if gate not in keys]
        call["gates"] = [keys.index(gate) + 1 for gate in gates]
        call["costs"] = [spend.cost for spend in spends]
        call["limits"] = [[limit_to_json(limit) for limit in spend.limits] for spend in spends]
        call["line"] = line_of(spends)
        if act == "acquire":
            keys.append(" generation")
            call["generation"] = True
        return self._evaluate(act, keys, call)

    def _evaluate(self, act: str, keys: Collection[str], call: dict[str, Any]) -> Any:
        if self._clock is not None:
            call["now"] = self._clock.monotonic()
        names = [f"{self._prefix} {key}" for key in keys]
        try:
            return self._script(keys=names, args=[act, json.dumps(call, separators=(",", ":"))])
        except redis.RedisError as error:
            # Its text may hold a URL.
            reason = type(error).__name__
        raise StorageError(f"the rate limit store in Redis failed: {reason}")


def _client(url: Secret) -> redis.Redis:
    try:
        return redis.Redis.from_url(
            url.reveal(),
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            # Once more, for a connection that the server closed while it was idle.
            retry=Retry(NoBackoff(), 1),
        )
    except ValueError:
        pass
    raise StorageError("rate_limit_store cannot be read; expected redis://[user:password@]host:6379/0")
