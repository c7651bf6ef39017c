"""Budgets shared through Redis or Valkey: one script for each step, by the server's clock.

The only owner of `redis` (extra `redis`). All keys of a prefix lie in one slot of a cluster, because a call's
budgets are booked together.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import re
import secrets
from operator import is_not
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from nango_py.clock import SYSTEM_CLOCK
from nango_py.errors import StorageError
from nango_py.limits.limit_types import GATE, Granted, Refused, WindowView
from nango_py.limits.stores.redis_commands import MOMENT, SAID, Call, Writer

if TYPE_CHECKING:
    from collections.abc import Collection

    from nango_py.clock import Clock
    from nango_py.limits.limit_types import Spend
    from nango_py.secret import Secret

RESPONSE_SECONDS = 2.0
"""How long Redis may take to answer, or to accept a connection."""

MOST_CALLS = 2000
"""How many kinds of calls are kept described."""

SEEN_WITHIN = 30.0
"""A process that was not seen for so many seconds is gone."""

LAYOUT = "2"
"""Stands in every key, so that no version reads what another has written in another way."""


NOBODY, NOTHING = bytes(16), bytes(8)
"""A name and a number where a step takes none."""


class Ticket:
    """A booking in Redis."""

    __slots__ = ("call", "name", "order")

    def __init__(self, name: bytes, order: float, call: Call) -> None:
        self.name = name
        self.order = order
        self.call = call


class RedisLimits:
    """A LimitStore in Redis 6.2 or newer, or Valkey; see `LimitStore` for what each method does.

    Args:
        url: `redis://...`, `rediss://...` or `unix://...`.
        prefix: stands before every key; braces keep the keys together in a cluster.
        clock: counts instead of the server's, for tests.

    Every method raises StorageError when Redis does not answer; no password is shown.
    """

    SCRIPT = Path(__file__).with_suffix(".lua")

    def __init__(self, url: Secret, prefix: str = "{nango}", clock: Clock | None = None) -> None:
        self._prefix = f"{prefix}{LAYOUT}"
        self._clock = clock
        self._machine = SYSTEM_CLOCK if clock is None else clock
        self._client = _client(url)
        self._script = self.SCRIPT.read_text()
        digest: str = self._client.register_script(self._script).sha
        self._writer = Writer(digest, self._prefix, SAID.size + (0 if clock is None else MOMENT.size))
        self._generation = b""
        self._numbers = itertools.count()
        self._calls: dict[tuple[Any, ...], Call] = {}
        self._idle: list[Any] = []
        self._begin()

    @property
    def generation(self) -> str:
        """Changes when Redis has lost what it knew; known since the last `acquire`."""
        return self._generation.hex()

    def acquire(
        self, spends: tuple[Spend, ...], gates: tuple[str, ...], patience: float
    ) -> Granted | Refused:
        """Book the earliest place."""
        call = self._call(spends, gates)
        if self._process_id != os.getpid():
            self._begin()
        said = SAID.pack(self._process, next(self._numbers), min(max(patience, 0.0), 1e12))
        response = self._ask(call.acquire, said)
        if type(response) is bytes:
            self._generation = response[8:]
            return Granted(0.0, Ticket(said[:16], MOMENT.unpack_from(response)[0], call))
        self._generation = response[3]
        if response[0] == b"refused":
            return Refused(float(response[1]), response[2].decode())
        return Granted(float(response[1]), Ticket(said[:16], float(response[2]), call))

    def confirm(self, ticket: Ticket) -> float:
        """0.0 to send now, else seconds more to wait."""
        response = self._ask(ticket.call.confirm, ticket.name + MOMENT.pack(ticket.order))
        return float(response[0])

    def settle(self, ticket: Ticket) -> None:
        """The response is here, or was lost."""
        if ticket.call.spends:
            self._ask(ticket.call.settle, ticket.name + NOTHING)

    def release(self, ticket: Ticket) -> None:
        """Nothing was sent."""
        if ticket.call.spends:
            self._ask(ticket.call.release, ticket.name + NOTHING)

    def count(self, spends: tuple[Spend, ...]) -> None:
        """Count what was sent without a booking."""
        if spends:
            self._ask(self._call(spends, ()).count, NOBODY + NOTHING)

    def close_gate(self, gates: tuple[str, ...], seconds: float) -> None:
        """Nobody passes for so long."""
        if gates and seconds > 0 and math.isfinite(seconds):
            self._ask(self._writer.head("close", gates), NOBODY + MOMENT.pack(seconds))

    def view(self, keys: Collection[str]) -> tuple[WindowView, ...]:
        """How full the limits of these keys and gates are."""
        if not keys:
            return ()
        views: list[WindowView] = []
        told_of_all = json.loads(self._ask(self._writer.head("view", keys), NOBODY + NOTHING))
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
        try:
            names = list(self._client.scan_iter(match=f"{pattern}*", count=1000))
        except redis.RedisError as error:
            reason = type(error).__name__
        else:
            return tuple(sorted({name.decode().removeprefix(begin) for name in names}))
        raise _failed(reason)

    def processes(self, name: str) -> int:
        """How many processes use this store, this one included.

        Args:
            name: this process's, the same at every call.
        """
        short = hashlib.sha256(name.encode()).digest()[:16]
        return int(
            self._ask(self._writer.head("beat", (), (), "processes"), short + MOMENT.pack(SEEN_WITHIN))
        )

    def close(self) -> None:
        """Close the connections of this process."""
        self._idle = []
        self._client.close()

    def _call(self, spends: tuple[Spend, ...], gates: tuple[str, ...]) -> Call:
        """The kind of call, described once."""
        place = (gates, *[(spend.key, spend.cost) for spend in spends])
        call = self._calls.get(place)
        # Hashing the limits would take longer than everything else here.
        if (
            call is None
            or any(map(is_not, [spend.limits for spend in spends], call.limits))
            or (call.until < math.inf and call.until <= self._machine.now())
        ):
            if len(self._calls) >= MOST_CALLS:
                self._calls.clear()
            now = self._machine.now()
            offset = 0.0 if self._clock is None else now - self._machine.monotonic()
            call = self._calls[place] = Call(self._writer, spends, gates, now, offset)
        return call

    def _begin(self) -> None:
        """Be a process of its own."""
        self._idle = []
        self._process = secrets.token_bytes(8)
        self._process_id = os.getpid()

    def _ask(self, head: bytes, said: bytes) -> Any:
        """The script's answer, over a connection that is kept.

        The client's `execute_command` would pack each command anew and look at the socket before it sends,
        which takes longer than all that is done here.
        """
        # A fork copies names and connections.
        if self._process_id != os.getpid():
            self._begin()
        if self._clock is not None:
            said += MOMENT.pack(self._clock.monotonic())
        try:
            return self._exchange(b"%b%b\r\n" % (head, said))
        except redis.RedisError as error:
            reason = type(error).__name__
        raise _failed(reason)

    def _exchange(self, command: bytes) -> Any:
        idle, pool = self._idle, self._client.connection_pool
        try:
            connection = idle.pop()
        except IndexError:
            connection = pool.get_connection()
        try:
            try:
                connection.send_packed_command((command,))
                response = connection.read_response(disable_decoding=True)
            except (NoScriptError, redis.ConnectionError, redis.TimeoutError):
                # The server was started anew, or has closed a connection that was idle for long.
                connection.send_command("SCRIPT", "LOAD", self._script)
                connection.read_response()
                connection.send_packed_command((command,))
                response = connection.read_response(disable_decoding=True)
        except redis.ResponseError:
            idle.append(connection)
            raise
        except BaseException:
            # A response that nobody has read must not be taken for that to the next question.
            connection.disconnect()
            pool.release(connection)
            raise
        idle.append(connection)
        return response


def _failed(reason: str) -> StorageError:
    """Only the kind of the failure: its text may hold a URL."""
    return StorageError(f"the rate limit store in Redis failed: {reason}")


def _client(url: Secret) -> redis.Redis:
    try:
        return redis.Redis.from_url(
            url.reveal(),
            # Nothing is pushed by the server, so each response belongs to the last question.
            protocol=2,
            socket_timeout=RESPONSE_SECONDS,
            socket_connect_timeout=RESPONSE_SECONDS,
            # Once more, for a connection that the server closed while it was idle.
            retry=Retry(NoBackoff(), 1),
        )
    except ValueError:
        pass
    raise StorageError("rate_limit_store cannot be read; expected redis://[user:password@]host:6379/0")
