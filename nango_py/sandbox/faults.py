"""Injected faults: drawn at random with a seed, or scripted with one entry per request."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from nango_py.argument_types import check_number, check_type
from nango_py.record import record, replaced
from nango_py.sandbox.responses import SandboxResponse, check_status

KINDS = frozenset({"status", "delay", "timeout", "reset_before", "reset_after", "truncate", "drip"})
_TOO_MANY_REQUESTS = 429


@record
class Fault:
    """A fault of one request.

    Attributes:
        kind: "status": respond with `response`, or with an error of `status` in the API's format;
            "delay": respond after `seconds`;
            "timeout": read the request and never respond;
            "reset_before": reset the connection before the request is read or counted;
            "reset_after": read and count the request, then reset the connection;
            "truncate": send half of the body with the Content-Length of all of it, and close;
            "drip": send the body in chunks of `bytes_at_once`, `seconds` apart.
        seconds: for "delay" and "drip".
        status: for "status".
        retry_after: seconds for the Retry-After header of a "status"; None for no header.
    """

    kind: str
    seconds: float = 0.05
    status: int = 0
    retry_after: float | None = None
    response: SandboxResponse | None = None
    bytes_at_once: int = 16

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            known = ", ".join(sorted(KINDS))
            raise ValueError(f"unknown fault {self.kind!r}; use an HTTP status or one of: {known}")
        if self.kind == "status" and self.response is None:
            check_status(self.status)
        check_number("seconds", self.seconds)
        check_number("bytes_at_once", self.bytes_at_once, 1, is_whole=True)
        if self.retry_after is not None:
            check_number("retry_after", self.retry_after)

    @property
    def label(self) -> str:
        """The name in the ledger: the kind, or the status as text."""
        if self.kind != "status":
            return self.kind
        return str(self.response.status if self.response else self.status)


ScriptEntry: TypeAlias = "Fault | SandboxResponse | str | int | None"


def parse_fault(entry: ScriptEntry) -> Fault | None:
    """The fault of a Fault, a response, a status, a kind, None or "ok". A 429 asks to wait one second."""
    if entry is None or entry == "ok":
        return None
    if isinstance(entry, Fault):
        return entry
    if isinstance(entry, SandboxResponse):
        return Fault("status", response=entry)
    if str(entry).isdecimal():
        status = int(entry)
        return Fault("status", status=status, retry_after=1.0 if status == _TOO_MANY_REQUESTS else None)
    return Fault(str(entry))


class FaultPlan:
    """Chooses the fault of each request, in order of arrival. The same seed gives the same faults.

    Args:
        seed: seed of the random generator. It is part of the repr, so that a failed test can be repeated.
        rates: fault -> share of requests. A fault is a kind or a status: {"503": 0.1}.
        limit: maximum number of faults.
        delay_seconds: the range of "delay".
        retry_after: seconds in the Retry-After header of injected 429 responses.
        endpoints: inject faults only into requests to these paths below the base path.
    """

    def __init__(
        self,
        seed: int,
        rates: Mapping[str, float],
        *,
        limit: int | None = None,
        delay_seconds: tuple[float, float] = (0.005, 0.05),
        retry_after: float = 1.0,
        endpoints: Iterable[str] = (),
    ) -> None:
        check_type("rates", rates, Mapping, "fault -> share of requests")
        for name, rate in rates.items():
            check_number(f"the share of {name}", rate)
        if sum(rates.values()) > 1 + 1e-9:
            raise ValueError("the shares of a fault plan must be at most 1 together")
        check_number("limit", 0 if limit is None else limit, is_whole=True)
        check_number("retry_after", retry_after)
        shortest, longest = delay_seconds
        check_number("delay_seconds", shortest)
        check_number("delay_seconds", longest, shortest)
        check_type(
            "endpoints", None if isinstance(endpoints, str) else endpoints, Iterable, "a list of paths"
        )
        self._lock = threading.Lock()
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 - faults must be repeatable
        self._rates = tuple((parse_fault(name), rate) for name, rate in rates.items())
        self._left = limit
        self._delay_seconds = delay_seconds
        self._retry_after = retry_after
        self._endpoints = frozenset(endpoint.strip("/") for endpoint in endpoints)
        self._script: deque[Fault | None] = deque()
        self._by_endpoint: dict[str, deque[Fault | None]] = {}

    @classmethod
    def script(
        cls,
        entries: Iterable[ScriptEntry] = (),
        by_path: Mapping[str, Iterable[ScriptEntry]] | None = None,
    ) -> FaultPlan:
        """A plan with one entry per request, in order of arrival, and no faults afterwards.

        Args:
            entries: a Fault, a SandboxResponse to send instead, a kind, a status, or None for no fault.
            by_path: entries for single paths below the base path; these requests use no other entries.
                Logins and tokens have faults only here, as `_sandbox/token`, `_sandbox/refresh` and the like.
        """
        plan = cls(0, {})
        for name, given in (("entries", entries), *(by_path or {}).items()):
            check_type(name, None if isinstance(given, str) else given, Iterable, "a list of faults")
        plan.add(*entries)
        for path, entries_of_path in (by_path or {}).items():
            plan.add(*entries_of_path, path=path)
        return plan

    def add(self, *entries: ScriptEntry, path: str | None = None) -> None:
        """Append entries to the script, also while the sandbox runs."""
        faults = [parse_fault(entry) for entry in entries]
        with self._lock:
            script = self._script if path is None else self._by_endpoint.setdefault(path.strip("/"), deque())
            script.extend(faults)

    def next(self, endpoint: str) -> Fault | None:
        """The fault of the next request."""
        with self._lock:
            script = self._by_endpoint.get(endpoint.strip("/"))
            if script is not None:
                return script.popleft() if script else None
            if self._script:
                return self._script.popleft()
            return self._draw(endpoint) if self._rates else None

    def next_at(self, path: str) -> Fault | None:
        """The fault of the next request to a path that only entries for this path concern."""
        with self._lock:
            script = self._by_endpoint.get(path)
            return script.popleft() if script else None

    def _draw(self, endpoint: str) -> Fault | None:
        number, detail = self._random.random(), self._random.random()
        if self._left == 0 or (self._endpoints and endpoint.strip("/") not in self._endpoints):
            return None
        for fault, rate in self._rates:
            number -= rate
            if fault is not None and number < 0:
                self._left = None if self._left is None else self._left - 1
                return self._add_details(fault, detail)
        return None

    def _add_details(self, fault: Fault, detail: float) -> Fault:
        if fault.kind == "delay":
            shortest, longest = self._delay_seconds
            return replaced(fault, seconds=shortest + (longest - shortest) * detail)
        if fault.status == _TOO_MANY_REQUESTS:
            return replaced(fault, retry_after=self._retry_after)
        return fault

    def __repr__(self) -> str:
        rates = {fault.label: rate for fault, rate in self._rates if fault}
        return f"FaultPlan(seed={self._seed}, rates={rates})"
