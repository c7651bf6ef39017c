"""Limits shared through Redis or Valkey: every step is one run of redis_store.lua, by the server's clock.

The only module that imports `redis` (extra `redis`). All keys of a prefix are in one slot of a cluster,
because the budgets of a call are booked together.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import re
import secrets
from operator import is_not
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, ReadOnlyError
from redis.retry import Retry

from nango_py.clock import SYSTEM_CLOCK
from nango_py.errors import StorageError
from nango_py.limits.counting.calendar_periods import LENGTHS, boundaries, period_around
from nango_py.limits.counting.meter import Meter
from nango_py.limits.limit_types import (
    GATE,
    LONGEST_GATE,
    Bucket,
    CalendarPeriod,
    Granted,
    Refused,
    Window,
    WindowView,
)
from nango_py.limits.stores.stored_meter import MAX_CLOCK_STEP, digest_of_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from nango_py.clock import Clock
    from nango_py.json_types import JsonObject, JsonValue
    from nango_py.limits.limit_types import Limit, LimitReport, Spend
    from nango_py.secret import Secret

RESPONSE_SECONDS = 2.0
"""Timeout of a connection attempt and of a reply."""

MAX_CALLS = 2000
"""Maximum number of cached call layouts."""

PROCESS_TTL = 30.0
"""Seconds after its last heartbeat when a process no longer counts."""

KNOWN_PERIODS = 4
"""Number of calendar periods, from the current one on, whose boundaries Redis is sent: it knows no zones. It
picks the current period by its own clock, and takes later ones to have their usual length."""

_RULES = Struct("<Bddd")
_LIMIT = Struct("<Bddd")
_REPORT = Struct("<dddd")
_COST = Struct("<d")
_PLACE = Struct("<dd")

LAYOUT = "7"
"""Part of every key, so that no version reads what another wrote in another format."""


class Call:
    """The keys and the script's arguments for one kind of call.

    Attributes:
        limits: of each budget, to notice when they change.
        budget_keys: in Redis.
        all_keys: those of the budgets, then those of the gates.
        acquire_keys: the same and the key of the generation.
        arguments: what the script is sent about the budgets.
        expires_at: Unix seconds when the arguments are out of date, because a calendar period ends.
    """

    __slots__ = ("acquire_keys", "all_keys", "arguments", "budget_keys", "expires_at", "limits")

    def __init__(
        self, prefix: str, spends: tuple[Spend, ...], gates: tuple[str, ...], now: float, offset: float
    ) -> None:
        self.limits = [spend.limits for spend in spends]
        self.budget_keys = [f"{prefix} {spend.key}".encode() for spend in spends]
        self.all_keys = [*self.budget_keys, *[f"{prefix} {gate}".encode() for gate in gates]]
        self.acquire_keys = [*self.all_keys, f"{prefix}:generation".encode()]
        self.arguments = [digest_of_keys(spends).encode()]
        self.expires_at = math.inf
        for spend in spends:
            self.arguments += [b"%d" % spend.cost, pack_rules(spend.limits, now, offset)]
            for limit in spend.limits:
                if isinstance(limit, CalendarPeriod):
                    self.expires_at = min(
                        self.expires_at, period_around(limit.time_zone, now, limit.period)[1]
                    )


class Ticket:
    """A booking in Redis.

    Attributes:
        place: its name, time and order, with which the script finds it.
    """

    __slots__ = ("_name", "_order", "call", "place")

    def __init__(self, name: bytes, order: float, call: Call, time: float) -> None:
        self._name = name
        self._order = order
        self.call = call
        self.move(time)

    def move(self, time: float) -> None:
        """It waits until another time."""
        self.place = self._name + _PLACE.pack(time, self._order)


class RedisLimits:
    """A LimitStore in Redis 6.2 or newer, or Valkey.

    Every method raises StorageError if Redis is unreachable or fails; the error contains no password.

    Args:
        url: `redis://...`, `rediss://...` or `unix://...`.
        prefix: the start of every key; braces keep the keys together in a cluster.
        clock: used instead of the server's clock, for tests.
    """

    SCRIPT = Path(__file__).with_suffix(".lua")

    def __init__(self, url: Secret, prefix: str = "{nango}", clock: Clock | None = None) -> None:
        self._prefix = f"{prefix}{LAYOUT}"
        self._clock = clock
        self._local_clock = SYSTEM_CLOCK if clock is None else clock
        self._client = _connect(url)
        self._script = self.SCRIPT.read_text()
        self._digest: str = self._client.register_script(self._script).sha
        self._generation = b""
        self._numbers = itertools.count()
        self._calls: dict[tuple[object, ...], Call] = {}
        self._connections: list[Any] = []  # redis-py leaves the methods of connections untyped
        self._reset_process()

    @property
    def generation(self) -> str:
        """Changes when Redis has lost its data; updated by `acquire`."""
        return self._generation.hex()

    def acquire(
        self, spends: tuple[Spend, ...], gates: tuple[str, ...], max_wait: float
    ) -> Granted | Refused:
        call = self._call(spends, gates)
        if self._process_id != os.getpid():
            self._reset_process()
        name = self._process + next(self._numbers).to_bytes(8, "little")
        max_wait = min(max(max_wait, 0.0), 1e12)
        outcome, wait, detail, self._generation, *time = self._run(
            "acquire", call.acquire_keys, name, max_wait, call.arguments
        )
        if outcome == b"refused":
            return Refused(float(wait), detail.decode())
        return Granted(float(wait), Ticket(name, float(detail), call, float(time[0])))

    def confirm(self, ticket: Ticket) -> float:
        call = ticket.call
        wait, time = self._run("confirm", call.all_keys, ticket.place, arguments=call.arguments)
        ticket.move(float(time))
        return float(wait)

    def settle(self, ticket: Ticket, costs: tuple[int, ...] | None = None) -> None:
        if ticket.call.budget_keys:
            place = ticket.place
            if costs is not None:
                place += b"".join(_COST.pack(cost) for cost in costs)
            self._run("settle", ticket.call.budget_keys, place)

    def release(self, ticket: Ticket) -> None:
        if ticket.call.budget_keys:
            self._run("release", ticket.call.budget_keys, ticket.place)

    def count(self, spends: tuple[Spend, ...]) -> None:
        if spends:
            call = self._call(spends, ())
            self._run("count", call.budget_keys, arguments=call.arguments)

    def correct(self, spend: Spend, report: LimitReport) -> None:
        call = self._call((spend,), ())
        resets_in = -1.0 if report.resets_in is None else report.resets_in
        for place, limit in enumerate(spend.limits, start=1):
            if limit.label == report.label:
                packed = _REPORT.pack(place, report.remaining, resets_in, report.age)
                self._run("correct", call.budget_keys, packed, arguments=call.arguments)
                return

    def close_gate(self, gates: tuple[str, ...], seconds: float) -> None:
        if gates and seconds > 0 and math.isfinite(seconds):
            self._run("close", self._keys(gates), number=min(seconds, LONGEST_GATE))

    def view(self, keys: Collection[str]) -> tuple[WindowView, ...]:
        if not keys:
            return ()
        views: list[WindowView] = []
        states = json.loads(self._run("view", self._keys(keys)))
        for key, state in zip(keys, states, strict=True):
            gate = float(state["gate"])
            for label, limit, used, resets_in in state["limits"]:
                views.append(WindowView(key, label, limit, used, max(0.0, limit - used), resets_in, gate))
            if gate > 0:
                views.append(WindowView(key, GATE, 0.0, 0.0, 0.0, gate, gate))
        return tuple(views)

    def keys(self, prefix: str) -> tuple[str, ...]:
        start = f"{self._prefix} "
        pattern = re.sub(r"([*?\[\]\\^-])", r"\\\1", start + prefix)
        try:
            names = list(self._client.scan_iter(match=f"{pattern}*", count=1000))
        except redis.RedisError as error:
            reason = type(error).__name__
        else:
            return tuple(sorted({name.decode().removeprefix(start) for name in names}))
        raise _failure(reason)

    def processes(self, name: str) -> int:
        """Record a heartbeat; the number of processes that use this store, including this one.

        Args:
            name: of this process, the same in every call.
        """
        key = f"{self._prefix}:processes"
        try:
            now = self._server_time()
            with self._client.pipeline() as pipeline:
                pipeline.zadd(key, {name: now})
                pipeline.zremrangebyscore(key, "-inf", now - PROCESS_TTL)
                pipeline.zremrangebyscore(key, now + MAX_CLOCK_STEP, "+inf")
                pipeline.pexpire(key, math.ceil(PROCESS_TTL * 1000))
                pipeline.zcard(key)
                return int(pipeline.execute()[-1])
        except redis.RedisError as error:
            self._client.connection_pool.disconnect(inuse_connections=False)  # a replica stays one
            reason = type(error).__name__
        raise _failure(reason)

    def _server_time(self) -> float:
        if self._clock is not None:
            return self._clock.monotonic()
        seconds, microseconds = self._client.time()
        return float(seconds + microseconds / 1e6)

    def close(self) -> None:
        """Close the connections of this process."""
        self._connections = []
        self._client.close()

    def _call(self, spends: tuple[Spend, ...], gates: tuple[str, ...]) -> Call:
        """The cached layout of this kind of call."""
        cache_key = (gates, *[(spend.key, spend.cost) for spend in spends])
        call = self._calls.get(cache_key)
        # Hashing the limits would take longer than everything else here.
        if (
            call is None
            or any(map(is_not, [spend.limits for spend in spends], call.limits))
            or (call.expires_at < math.inf and call.expires_at <= self._local_clock.now())
        ):
            if len(self._calls) >= MAX_CALLS:
                self._calls.clear()
            now = self._local_clock.now()
            offset = 0.0 if self._clock is None else now - self._local_clock.monotonic()
            call = self._calls[cache_key] = Call(self._prefix, spends, gates, now, offset)
        return call

    def _reset_process(self) -> None:
        """Take a new name and new connections: a fork copies both."""
        self._connections = []
        self._process = secrets.token_bytes(8)
        self._process_id = os.getpid()

    def _run(
        self,
        step: str,
        keys: list[bytes],
        name: bytes = b"",
        number: float = 0.0,
        arguments: Sequence[bytes] = (),
    ) -> Any:
        """The script's reply to one of its `steps`.

        Args:
            step: its name.
            keys: in Redis.
            name: of the booking.
            number: what the step says.
            arguments: of `Call`.
        """
        if self._process_id != os.getpid():
            self._reset_process()
        now = "" if self._clock is None else repr(self._clock.monotonic())
        command: tuple[str | bytes | float, ...] = (
            "EVALSHA",
            self._digest,
            len(keys),
            *keys,
            step,
            name,
            number,
            now,
            *arguments,
        )
        try:
            return self._exchange(command)
        except redis.RedisError as error:
            reason = type(error).__name__
        raise _failure(reason)

    def _keys(self, keys: Collection[str]) -> list[bytes]:
        return [f"{self._prefix} {key}".encode() for key in keys]

    def _exchange(self, command: tuple[str | bytes | float, ...]) -> Any:
        # Taking a connection from redis-py's pool costs 7 us for each step (of 32 us for a PING): it locks
        # twice and polls the socket. So idle connections are kept here.
        try:
            connection = self._connections.pop()
        except IndexError:
            connection = self._client.connection_pool.get_connection()
        try:
            try:
                connection.send_command(*command)
                reply = connection.read_response(disable_decoding=True)
            except (NoScriptError, ReadOnlyError, redis.ConnectionError, redis.TimeoutError) as error:
                # The server restarted, closed a connection that was idle for long, or became a replica: then
                # its address leads to the new primary.
                if isinstance(error, ReadOnlyError):
                    connection.disconnect()
                connection.send_command("SCRIPT", "LOAD", self._script)
                connection.read_response()
                connection.send_command(*_repeat_of(command))
                reply = connection.read_response(disable_decoding=True)
        except redis.ResponseError as error:
            if isinstance(error, ReadOnlyError):
                connection.disconnect()
            self._connections.append(connection)
            raise
        except BaseException:
            # A reply that was not read must not be taken for the reply to the next command.
            connection.disconnect()
            self._client.connection_pool.release(connection)
            raise
        self._connections.append(connection)
        return reply


def _repeat_of(command: tuple[str | bytes | float, ...]) -> tuple[str | bytes | float, ...]:
    """The command once more, after its reply may have been lost."""
    place = 3 + int(command[2])
    step = "again" if command[place] == "acquire" else command[place]
    return (*command[:place], step, *command[place + 1 :])


def _failure(reason: str) -> StorageError:
    # Only the kind of the failure: its text may contain a URL.
    return StorageError(f"the rate limit store in Redis failed: {reason}")


def pack_rules(limits: tuple[Limit, ...], now: float, offset: float) -> bytes:
    """What the script knows of a budget: numbers that it reads for every call, then the rest as JSON."""
    meter = Meter()
    meter.set_limits(limits)
    parts = [_RULES.pack(len(limits), meter.longest, meter.max_cost, meter.in_flight_seconds)]
    details: list[JsonValue] = []
    for limit in limits:
        detail: JsonObject = {"label": limit.label}
        if isinstance(limit, Window):
            parts.append(_LIMIT.pack(1, limit.requests, limit.seconds, 0.0))
        elif isinstance(limit, CalendarPeriod):
            length = LENGTHS[limit.period]
            parts.append(_LIMIT.pack(2, limit.requests, length.longest, length.usual))
            known = boundaries(limit.time_zone, now, KNOWN_PERIODS, limit.period)
            detail["boundaries"] = [moment - offset for moment in known]
        elif isinstance(limit, Bucket):
            parts.append(_LIMIT.pack(3, limit.burst, 0.0, limit.per_second))
        else:
            parts.append(_LIMIT.pack(4, limit.most, 0.0, 0.0))
        details.append(detail)
    return b"".join((*parts, json.dumps(details, separators=(",", ":")).encode()))


def _connect(url: Secret) -> redis.Redis:
    with contextlib.suppress(ValueError, TypeError):
        client = redis.Redis.from_url(
            url.reveal(),
            # The server pushes nothing, so each reply belongs to the last command.
            protocol=2,
            socket_timeout=RESPONSE_SECONDS,
            socket_connect_timeout=RESPONSE_SECONDS,
            # Once more, for a connection that the server closed while it was idle.
            retry=Retry(NoBackoff(), 1),
        )
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # unknown parameters of the URL are a TypeError
        return client
    raise StorageError("invalid rate_limit_store; expected redis://[user:password@]host:6379/0")
