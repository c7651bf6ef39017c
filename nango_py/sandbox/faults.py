"""Faults to inject: by a seeded plan, or by a script with one entry for each request."""

from __future__ import annotations

import random
import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nango_py.sandbox.responses import SandboxResponse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KINDS = frozenset({"status", "delay", "timeout", "reset_before", "reset_after", "truncate", "drip"})
_TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: "status" answers `response`, or the API's own error of `status`;
            "delay" answers after `seconds`;
            "timeout" reads the request and never answers, until the client closes;
            "reset_before" resets the connection without reading or counting the request;
            "reset_after" reads and counts the request, then resets the connection;
            "truncate" sends half of the body and closes, under the Content-Length of the whole;
            "drip" sends the body `bytes_at_once` at a time, `seconds` apart.
        seconds: of "delay" and "drip".
        status: of "status"; a response of this status is made in the API's error shape.
        retry_after: seconds to put into Retry-After of a "status" answer, written in the sandbox's dialect;
            None for no such header.
    """

    kind: str
    seconds: float = 0.05
    status: int = 0
    retry_after: float | None = None
    response: SandboxResponse | None = None
    bytes_at_once: int = 16

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"unknown fault {self.kind!r}; known: {', '.join(sorted(KINDS))}, or an HTTP status"
            )

    @property
    def label(self) -> str:
        """What the ledger writes: the kind, or the status as text."""
        return (
            str(self.response.status if self.response else self.status)
            if self.kind == "status"
            else self.kind
        )


def as_fault(entry: Fault | SandboxResponse | str | int | None) -> Fault | None:
    """The fault that a script's entry means: a Fault, an Answer, a status, a kind, None or "ok".

    A 429 asks to wait one second; other statuses ask nothing.
    """
    if entry is None or entry == "ok":
        return None
    if isinstance(entry, Fault):
        return entry
    if isinstance(entry, SandboxResponse):
        return Fault("status", response=entry)
    if str(entry).isdecimal():
        status = int(entry)
        return Fault("status", status=status, retry_after=1.0 if status == _TOO_MANY else None)
    return Fault(str(entry))


class FaultPlan:
    """Which request meets which fault. Drawn by the number of arrival, so a seed gives one plan.

    Args:
        seed: of the random numbers; shown by repr, so that a failed test can be repeated.
        rates: fault -> share of the requests that meets it. A fault is a kind or a status: {"503": 0.1}.
        limit: after so many faults nothing goes wrong any more.
        delay_seconds: the range that "delay" draws from.
        retry_after: seconds that injected 429 responses ask to wait.
        endpoints: when given, only requests to these paths below the base path meet faults.
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
        if sum(rates.values()) > 1 + 1e-9 or any(rate < 0 for rate in rates.values()):
            raise ValueError("the rates of a fault plan are shares: each at least 0, together at most 1")
        self._lock = threading.Lock()
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 - a plan must be repeatable
        self._rates = tuple((as_fault(name), rate) for name, rate in rates.items())
        self._left = limit
        self._delay_seconds = delay_seconds
        self._retry_after = retry_after
        self._endpoints = frozenset(endpoint.strip("/") for endpoint in endpoints)
        self._script: deque[Fault | None] = deque()
        self._by_endpoint: dict[str, deque[Fault | None]] = {}

    @classmethod
    def script(
        cls,
        entries: Iterable[Fault | SandboxResponse | str | int | None] = (),
        by_path: Mapping[str, Iterable[Fault | SandboxResponse | str | int | None]] | None = None,
    ) -> FaultPlan:
        """A plan of explicit entries, one for each request in order of arrival; then nothing goes wrong.

        Args:
            entries: a Fault, an Answer to give instead, a kind, a status, or None for an ordinary answer.
            by_path: the same for single paths below the base path; such a request uses no other entry.
        """
        plan = cls(0, {})
        plan.add(*entries)
        for path, of_path in (by_path or {}).items():
            plan.add(*of_path, path=path)
        return plan

    def add(self, *entries: Fault | SandboxResponse | str | int | None, path: str | None = None) -> None:
        """Write more entries at the end of the script, also while the sandbox runs."""
        faults = [as_fault(entry) for entry in entries]
        with self._lock:
            place = self._script if path is None else self._by_endpoint.setdefault(path.strip("/"), deque())
            place.extend(faults)

    def next(self, endpoint: str) -> Fault | None:
        """The fault of the request that has just arrived, or None."""
        with self._lock:
            of_path = self._by_endpoint.get(endpoint.strip("/"))
            if of_path is not None:
                return of_path.popleft() if of_path else None
            if self._script:
                return self._script.popleft()
            return self._drawn(endpoint) if self._rates else None

    def _drawn(self, endpoint: str) -> Fault | None:
        draw, detail = self._random.random(), self._random.random()
        if self._left == 0 or (self._endpoints and endpoint.strip("/") not in self._endpoints):
            return None
        for fault, rate in self._rates:
            draw -= rate
            if fault is not None and draw < 0:
                self._left = None if self._left is None else self._left - 1
                return self._detailed(fault, detail)
        return None

    def _detailed(self, fault: Fault, detail: float) -> Fault:
        shortest, longest = self._delay_seconds
        values: dict[str, Any] = {}
        if fault.kind == "delay":
            values["seconds"] = shortest + (longest - shortest) * detail
        if fault.status == _TOO_MANY:
            values["retry_after"] = self._retry_after
        return replace(fault, **values) if values else fault

    def __repr__(self) -> str:
        rates = {fault.label: rate for fault, rate in self._rates if fault}
        return f"FaultPlan(seed={self._seed}, rates={rates})"
