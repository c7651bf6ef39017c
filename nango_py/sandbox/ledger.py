"""What a sandbox really received: the witness that tests ask."""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Mapping

_SERVER_ERROR = 500
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods that may be repeated by their definition (RFC 9110 section 9.2.2)."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came in, and what became of it.

    Attributes:
        number: counts from 1 over the sandbox's life, in the order in which requests had been read whole.
        at: the sandbox clock's monotonic seconds when the request's head had arrived.
        path: as on the wire, without the query.
        endpoint: the path below the blueprint's base path, without the leading slash.
        query: as on the wire, without the question mark.
        headers: by lower-case name; repeated ones are joined with ", ".
        user: whose credential it carried; None when unknown or when no users were named.
        status: what was answered; 0 when no response was sent.
        fault: the injected fault, or "".
        processed: whether an API that did this would have carried the request out. Refusals
            (401, 429, 503 with Retry-After, other 3xx and 4xx) and repeated idempotency keys were not.
    """

    number: int
    at: float
    method: str
    path: str
    endpoint: str
    query: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    user: str | None
    status: int
    fault: str
    processed: bool

    @property
    def params(self) -> dict[str, str]:
        """The query parsed; of a repeated name the last value."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    def json(self) -> Any:
        """The body parsed as JSON."""
        return json.loads(self.body)


class Ledger:
    """Every request that a sandbox received, in order; safe to read from any thread.

    Args:
        idempotency_header: the header that tells one call from another.
        keep: how many records are held; older ones leave, so that a sandbox may run for days.
    """

    def __init__(self, idempotency_header: str = "Idempotency-Key", keep: int = 200_000) -> None:
        self._idempotency_header = idempotency_header.lower()
        self._records: deque[Received] = deque(maxlen=keep)
        self._changed = threading.Condition()
        self._total = 0
        self._faults: Counter[str] = Counter()

    def add(self, record: Received) -> None:
        """Write one request down."""
        with self._changed:
            self._records.append(record)
            self._total += 1
            self._changed.notify_all()

    def note_fault(self, kind: str) -> None:
        """Count an injected fault; those that left a request unread are seen only here."""
        with self._changed:
            self._faults[kind] += 1
            self._changed.notify_all()

    @property
    def received(self) -> tuple[Received, ...]:
        """The records so far."""
        with self._changed:
            return tuple(self._records)

    @property
    def faults(self) -> Counter[str]:
        """How often each fault was injected, `reset_before` included."""
        with self._changed:
            return Counter(self._faults)

    def __len__(self) -> int:
        """How many requests were received over the sandbox's life."""
        with self._changed:
            return self._total

    def count(self, *, method: str = "", path: str | None = None, **equal: Any) -> int:
        """How many kept records match.

        Args:
            method: only this method.
            path: only this path, as on the wire or below the base path; slashes at the ends do not matter.
            equal: other fields of Received and the value each must have, such as status=429 or user="u1".
        """
        wanted = None if path is None else path.strip("/")
        return sum(
            (not method or record.method == method.upper())
            and (wanted is None or wanted in {record.path.strip("/"), record.endpoint.strip("/")})
            and all(getattr(record, name) == value for name, value in equal.items())
            for record in self.received
        )

    def duplicates(self, header: str = "") -> list[tuple[Received, ...]]:
        """Requests that were carried out more than once: each entry holds the copies of one.

        Args:
            header: the name of the header that tells one call from another. Without it calls that may not be
                repeated (POST, PATCH) are told apart by their idempotency key, else by path, query and body.
        """
        groups: dict[tuple[Any, ...], list[Received]] = {}
        for record in self.received:
            identity = self._identity(record, header.lower())
            if record.processed and identity is not None:
                groups.setdefault((record.user, *identity), []).append(record)
        return [tuple(group) for group in groups.values() if len(group) > 1]

    def _identity(self, record: Received, header: str) -> tuple[Any, ...] | None:
        if header:
            return (record.headers[header],) if header in record.headers else None
        if record.method in _REPEATABLE:
            return None
        if self._idempotency_header in record.headers:
            return ("key", record.headers[self._idempotency_header])
        return (record.method, record.path, record.query, record.body)

    def wait_for(self, number: int, timeout_seconds: float = 10.0) -> tuple[Received, ...]:
        """The records, once the sandbox has received `number` requests.

        Raises:
            TimeoutError: they did not come in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._total >= number, timeout_seconds):
                raise TimeoutError(f"{self._total} of {number} requests came within {timeout_seconds} s")
        return self.received

    def wait_for_fault(self, kind: str, number: int = 1, timeout_seconds: float = 10.0) -> None:
        """Return once a fault was injected `number` times.

        Raises:
            TimeoutError: it was not injected in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._faults[kind] >= number, timeout_seconds):
                raise TimeoutError(f"{self._faults[kind]} of {number} {kind} within {timeout_seconds} s")


def is_processed(status: int, *, refused_for_now: bool) -> bool:
    """Whether an API that answers so has carried the request out; 0 stands for a response that was lost.

    Args:
        status: what was answered.
        refused_for_now: whether the response carried Retry-After.
    """
    return status in range(300) or (status >= _SERVER_ERROR and not refused_for_now)
