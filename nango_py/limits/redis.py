"""Budgets shared through Redis or Valkey: one script for each step, by the server's clock.

The only owner of `redis` (extra `redis`). All keys of a prefix lie in one slot of a cluster, because a call's
budgets are booked together.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from nango_py.clock import SYSTEM_CLOCK
from nango_py.errors import StorageError
from nango_py.limits.days import day_around, midnights
from nango_py.limits.model import GATE, CalendarDay, Granted, Refused, WindowView
from nango_py.limits.stored import limit_to_json, line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from nango_py.clock import Clock
    from nango_py.limits.model import Limit, Spend
    from nango_py.secret import Secret

ANSWER_SECONDS = 2.0
"""How long Redis may take to answer, or to accept a connection."""

MOST_CALLS = 2000
"""How many kinds of calls are kept described."""

KNOWN_DAYS = 4
"""How many days, from this machine's today on, Redis is told the midnights of: it knows no time zones. Which
of them it is, it tells by its own time. Later days are taken to have 24 hours."""

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
        self._machine = SYSTEM_CLOCK if clock is None else clock
        self._client = _client(url)
        self._generation = ""
        self._process = secrets.token_hex(8)
        self._numbers = itertools.count()
        self._calls: dict[tuple[Any, ...], tuple[tuple[Spend, ...], tuple[str, ...], str, float]] = {}
        self._script = self._client.register_script(Path(__file__).with_suffix(".lua").read_text())

    @property
    def generation(self) -> str:
        """Changes when Redis has lost what it knew; known since the last `acquire`."""
        return self._generation

    def acquire(
        self, spends: tuple[Spend, ...], gates: tuple[str, ...], patience: float
    ) -> Granted | Refused:
        """Book the earliest place."""
        # The process's number too: a fork copies the rest.
        name = f"{self._process}.{os.getpid():x}.{next(self._numbers):x}"
        said = f'"name":"{name}","patience":{min(max(patience, 0.0), 1e12)!r},'
        answer = self._run("acquire", spends, gates, said)
        self._generation = answer[3].decode()
        if answer[0] == b"refused":
            return Refused(float(answer[1]), answer[2].decode())
        return Granted(float(answer[1]), Ticket(name, int(answer[2]), spends, gates))

    def confirm(self, ticket: Ticket) -> float:
        """0.0 to send now, else seconds more to wait."""
        said = f'"name":"{ticket.name}","order":{ticket.order},'
        answer = self._run("confirm", ticket.spends, ticket.gates, said)
        return float(answer[0])

    def settle(self, ticket: Ticket) -> None:
        """The answer is here, or was lost."""
        if ticket.spends:
            self._run("settle", ticket.spends, (), f'"name":"{ticket.name}",')

    def release(self, ticket: Ticket) -> None:
        """Nothing was sent."""
        if ticket.spends:
            self._run("release", ticket.spends, (), f'"name":"{ticket.name}",')

    def count(self, spends: tuple[Spend, ...]) -> None:
        """Count what was sent without a booking."""
        if spends:
            self._run("count", spends, ())

    def close_gate(self, gates: tuple[str, ...], seconds: float) -> None:
        """Nobody passes for so long."""
        if gates and seconds > 0 and math.isfinite(seconds):
            names = tuple(f"{self._prefix} {gate}" for gate in gates)
            self._evaluate("close", names, f'{{"seconds":{seconds!r}}}')

    def view(self, keys: Collection[str]) -> tuple[WindowView, ...]:
        """How full the limits of these keys and gates are."""
        if not keys:
            return ()
        views: list[WindowView] = []
        names = tuple(f"{self._prefix} {key}" for key in keys)
        told_of_all = json.loads(self._evaluate("view", names, '{"view":true}'))
        for key, told in zip(keys, told_of_all, strict=True):
            gate = float(told["gate"])
            for label, most, used, resets_in in told["limits"]:
                views.append(WindowView(key, label, most, used, max(0.0, most - used), resets_in, gate))
            if gate > 0:
                views.append(WindowView(key, GATE, 0.0, 0.0, 0.0, gate, gate))
        return tuple(views)

    def keys(self, prefix: str) -> tuple[str, ...]:
        """The keys and gates that begin so."""
        begin = f"{self._prefix} "
        pattern = re.sub(r"([*?\[\]\\^-])", r"\\\1", begin + prefix)
        names = self._checked(lambda: list(self._client.scan_iter(match=f"{pattern}*", count=1000)))
        return tuple(sorted({name.decode().removeprefix(begin) for name in names}))

    def processes(self, name: str) -> int:
        """How many processes use this store, this one included.

        Args:
            name: this process's, the same at every call.
        """
        call = json.dumps({"name": name, "seconds": SEEN_WITHIN})
        return int(self._evaluate("beat", (f"{self._prefix}:processes",), call))

    def close(self) -> None:
        """Close the connections of this process."""
        self._client.close()

    def _run(self, act: str, spends: tuple[Spend, ...], gates: tuple[str, ...], said: str = "") -> Any:
        """The script's answer for a call; `said` is what changes from call to call, as JSON members."""
        place = (gates, *[(spend.key, spend.cost) for spend in spends])
        known = self._calls.get(place)
        if (
            known is None
            or not all(spend.limits is other.limits for spend, other in zip(spends, known[0], strict=True))
            or (known[3] < math.inf and known[3] <= self._machine.now())
        ):
            if len(self._calls) >= MOST_CALLS:
                self._calls.clear()
            known = self._calls[place] = (spends, *self._describe(spends, gates))
        return self._evaluate(act, known[1], f"{{{said}{known[2]}")

    def _describe(
        self, spends: tuple[Spend, ...], gates: tuple[str, ...]
    ) -> tuple[tuple[str, ...], str, float]:
        """The keys of a call, what stays the same of it as JSON without its opening brace, and until when."""
        until = math.inf

        def described(limit: Limit) -> list[Any]:
            nonlocal until
            if not isinstance(limit, CalendarDay):
                return limit_to_json(limit)
            now = self._machine.now()
            offset = 0.0 if self._clock is None else now - self._machine.monotonic()
            until = min(until, day_around(limit.time_zone, now)[1])
            moments = [moment - offset for moment in midnights(limit.time_zone, now, KNOWN_DAYS)]
            return ["day", limit.requests, moments, limit.label]

        keys = [spend.key for spend in spends]
        keys += [gate for gate in gates if gate not in keys]
        call = {
            "gates": [keys.index(gate) + 1 for gate in gates],
            "costs": [spend.cost for spend in spends],
            "limits": [[described(limit) for limit in spend.limits] for spend in spends],
            "line": line_of(spends),
            "generation": True,
        }
        names = (*(f"{self._prefix} {key}" for key in keys), f"{self._prefix}:generation")
        return names, json.dumps(call, separators=(",", ":"))[1:], until

    def _evaluate(self, act: str, keys: tuple[str, ...], call: str) -> Any:
        if self._clock is not None:
            call = f'{{"now":{self._clock.monotonic()!r},{call[1:]}' if call != "{}" else call
        return self._checked(lambda: self._script(keys=keys, args=(act, call)))

    @staticmethod
    def _checked(ask: Callable[[], Any]) -> Any:
        try:
            return ask()
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
