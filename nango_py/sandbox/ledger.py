"""The requests that a sandbox received."""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from nango_py.record import field, record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Protocol

    from nango_py.json_types import JsonValue

    class Request(Protocol):
        """A request as the server reads it."""

        method: str
        target: str
        headers: tuple[tuple[str, str], ...]
        body: bytes
        at: float


_FIRST_SERVER_ERROR = 500
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Idempotent methods (RFC 9110 section 9.2.2)."""


@record
class Received:
    """One request and its outcome.

    Attributes:
        number: 1 for the first request that was read completely.
        at: monotonic seconds of the sandbox's clock when the headers had arrived.
        path: as received, without the query.
        endpoint: the path below the blueprint's base path, without the leading slash.
        query: as received, without the question mark.
        headers: by lower-case name; repeated ones are joined with ", ".
        user: the owner of the credential; None if unknown or if the sandbox has no users.
        status: the status of the response; 0 if no response was sent.
        fault: the injected fault, or "".
        processed: whether a real API would have carried the request out: not with 401, 429, 503 with
            Retry-After, other 3xx and 4xx, or a repeated idempotency key.
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

    @classmethod
    def of(
        cls,
        request: Request,
        number: int,
        endpoint: str,
        *,
        status: int,
        processed: bool,
        user: str | None = None,
        fault: str = "",
    ) -> Received:
        """The record of a request as it was received."""
        path, _, query = request.target.partition("?")
        return cls(
            number=number,
            at=request.at,
            method=request.method,
            path=path,
            endpoint=endpoint,
            query=query,
            headers=join_repeated(request.headers),
            body=request.body,
            user=user,
            status=status,
            fault=fault,
            processed=processed,
        )

    @property
    def params(self) -> dict[str, str]:
        """The parsed query; the last value of repeated names."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    def json(self) -> JsonValue:
        """The body parsed as JSON."""
        value: JsonValue = json.loads(self.body)
        return value


class Ledger:
    """The requests of a sandbox, in order. Thread-safe.

    Args:
        idempotency_header: the header with the idempotency key of a call.
        keep: maximum number of records in memory; the oldest are dropped.
    """

    def __init__(self, idempotency_header: str = "Idempotency-Key", keep: int = 200_000) -> None:
        self._idempotency_header = idempotency_header.lower()
        self._records: deque[Received] = deque(maxlen=keep)
        self._changed = threading.Condition()
        self._total = 0
        self._faults: Counter[str] = Counter()

    def add(self, request: Received) -> None:
        """Record a request."""
        with self._changed:
            self._records.append(request)
            self._total += 1
            self._changed.notify_all()

    def record_fault(self, kind: str) -> None:
        """Count an injected fault, also of a request that is not read."""
        with self._changed:
            self._faults[kind] += 1
            self._changed.notify_all()

    @property
    def received(self) -> tuple[Received, ...]:
        """All records in memory."""
        with self._changed:
            return tuple(self._records)

    @property
    def faults(self) -> Counter[str]:
        """The number of injected faults by kind, including `reset_before`."""
        with self._changed:
            return Counter(self._faults)

    def __len__(self) -> int:
        """The total number of requests, including dropped records."""
        with self._changed:
            return self._total

    def count(self, *, method: str = "", path: str | None = None, **equal: object) -> int:
        """The number of matching records.

        Args:
            method: only this method.
            path: only this path, complete or below the base path, with or without slashes at its ends.
            equal: values of other fields of Received, such as status=429 or user="u1".
        """
        wanted = None if path is None else path.strip("/")
        return sum(
            (not method or request.method == method.upper())
            and (wanted is None or wanted in {request.path.strip("/"), request.endpoint.strip("/")})
            and all(getattr(request, name) == value for name, value in equal.items())
            for request in self.received
        )

    def duplicates(self, header: str = "") -> list[tuple[Received, ...]]:
        """Groups of requests that were processed more than once.

        Args:
            header: a header whose value identifies a call. By default, calls that are not idempotent (POST,
                PATCH) are identified by their idempotency key, or else by path, query and body.
        """
        groups: dict[tuple[object, ...], list[Received]] = {}
        for request in self.received:
            identity = self._identity(request, header.lower())
            if request.processed and identity is not None:
                groups.setdefault((request.user, *identity), []).append(request)
        return [tuple(group) for group in groups.values() if len(group) > 1]

    def _identity(self, request: Received, header: str) -> tuple[str | bytes, ...] | None:
        if header:
            return (request.headers[header],) if header in request.headers else None
        if request.method in _IDEMPOTENT:
            return None
        if self._idempotency_header in request.headers:
            return ("key", request.headers[self._idempotency_header])
        return (request.method, request.path, request.query, request.body)

    def wait_for(self, number: int, timeout_seconds: float = 10.0) -> tuple[Received, ...]:
        """Wait until the sandbox has received `number` requests, and return the records.

        Raises:
            TimeoutError: fewer requests were received in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._total >= number, timeout_seconds):
                raise TimeoutError(f"{self._total} of {number} requests received in {timeout_seconds} s")
        return self.received

    def wait_for_fault(self, kind: str, number: int = 1, timeout_seconds: float = 10.0) -> None:
        """Wait until a fault was injected `number` times.

        Raises:
            TimeoutError: it was injected less often in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._faults[kind] >= number, timeout_seconds):
                raise TimeoutError(f"{self._faults[kind]} of {number} {kind} in {timeout_seconds} s")


def join_repeated(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers or parameters by name; repeated ones are joined with ", "."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def is_processed(status: int, *, has_retry_after: bool) -> bool:
    """Whether an API with this response has carried the request out; status 0 is a lost response."""
    return status in range(300) or (status >= _FIRST_SERVER_ERROR and not has_retry_after)
