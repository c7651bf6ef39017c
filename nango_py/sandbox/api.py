"""The API that is imitated: what it says to each request, written down in the ledger. No sockets here."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from nango_py.sandbox.credentials import Credentials, Visitor, path_of
from nango_py.sandbox.ledger import Ledger, Received, is_processed
from nango_py.sandbox.limit_headers import Dialect, RetryAfter
from nango_py.sandbox.request_counts import Counting
from nango_py.sandbox.responses import SandboxResponse, SandboxResponses

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nango_py.clock import Clock
    from nango_py.sandbox.budgets import Manner
    from nango_py.sandbox.faults import Fault, FaultPlan
    from nango_py.sandbox.http_socket import Request

_TOO_MANY = 429
_REMEMBERED_KEYS = 10_000
_LOST = frozenset({"timeout", "reset_after"})


class Api:
    """One blueprint come to life; `nango_py.sandbox.Sandbox` describes the arguments."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        credentials: Mapping[str, Mapping[str, Any]] | None,
        faults: FaultPlan | None,
        pages: Mapping[str, int] | None,
        counting: Manner,
        retry_after: RetryAfter,
        retired: bool,
        idempotency_header: str | None,
        clock: Clock,
    ) -> None:
        if retired and not _has_retired(settings, clock.now()):
            raise ValueError("retired=True needs a blueprint whose status.retires_on is past")
        rate_limits = settings.get("rate_limits") or {}
        if idempotency_header is None:
            idempotency_header = (settings.get("retries") or {}).get("idempotency_header") or ""
        self.ledger = Ledger(idempotency_header or "Idempotency-Key")
        self.counting = Counting(rate_limits, counting)
        self.credentials = Credentials(settings, credentials)
        self.base_path = path_of(settings["requests"]["base_url"])
        self.origin = ""
        self._base = self.credentials.base_pattern(self.base_path)
        self._responses = SandboxResponses(settings, pages)
        self._dialect = Dialect(rate_limits.get("headers"), retry_after, clock)
        self._faults = faults
        self._clock = clock
        self._retired = retired
        self._idempotency_header = idempotency_header.lower()
        self._first_responses: dict[tuple[str, str], SandboxResponse] = {}
        self._numbers = itertools.count(1)

    def fault_for(self, request: Request) -> Fault | None:
        """The fault that this request meets; asked when its head has arrived."""
        request.at = self._clock.monotonic()
        if self._faults is None:
            return None
        path = request.target.partition("?")[0]
        match = self._base.fullmatch(path)
        fault = self._faults.next((match["endpoint"] or "") if match else path)
        if fault is not None:
            self.ledger.note_fault(fault.label)
        return fault

    def answer_to(self, request: Request, fault: Fault | None) -> SandboxResponse | None:
        """The response, written down in the ledger; None when it is never to be sent."""
        number = next(self._numbers)
        path, _, query = request.target.partition("?")
        params = parse_qsl(query, keep_blank_values=True)
        match = self._base.fullmatch(path)
        endpoint = (match["endpoint"] or "") if match else path.lstrip("/")
        visitor = None
        if match is not None:
            in_path = tuple(map(unquote, match.groups()[:-1]))
            visitor = self.credentials.visitor(request.headers, params, in_path)
            response = self._decided(request, visitor, endpoint, _merged(params), number, fault)
        else:
            response = self._responses.error(404, "not_found", f"Nothing is served outside {self.base_path}")
        response, is_repeated = self._first_response(request, visitor, response)
        self.ledger.add(
            Received(
                number=number,
                at=request.at,
                method=request.method,
                path=path,
                endpoint=endpoint,
                query=query,
                headers=_merged(request.headers),
                body=request.body,
                user=visitor.user if visitor else None,
                status=0 if fault is not None and fault.kind in _LOST else response.status,
                fault=fault.label if fault else "",
                processed=not is_repeated and _is_processed(response),
            )
        )
        if fault is not None and fault.kind == "timeout":
            return None
        return response.with_headers({"Sandbox-Number": str(number)})

    def _decided(
        self,
        request: Request,
        visitor: Visitor | None,
        endpoint: str,
        params: Mapping[str, str],
        number: int,
        fault: Fault | None,
    ) -> SandboxResponse:
        if self._retired:
            return self._responses.refusal(410, "gone", "This API has been retired.")
        if visitor is None:
            return self._responses.refusal(
                401, "not_authenticated", "Credentials are missing, misplaced or wrong."
            )
        injected = self._injected(fault)
        verdict = self.counting.arrive(
            visitor.account,
            request.method,
            endpoint,
            params,
            request.at,
            spend=injected is None or injected.status != _TOO_MANY,
        )
        if injected is not None:
            return injected
        if verdict.wait_seconds > 0:
            return self._throttled(verdict.wait_seconds)
        response = self._responses.to(request.method, endpoint, params, number, self.origin + self.base_path)
        return response.with_headers(self._dialect.numbers(verdict))

    def _injected(self, fault: Fault | None) -> SandboxResponse | None:
        if fault is None or fault.kind != "status":
            return None
        if fault.response is not None:
            return fault.response
        if fault.status == _TOO_MANY:
            return self._throttled(fault.retry_after)
        response = self._responses.error(
            fault.status, "injected", f"The sandbox was asked to answer {fault.status}."
        )
        return (
            response
            if fault.retry_after is None
            else response.with_headers(self._dialect.retry_after(fault.retry_after))
        )

    def _throttled(self, wait_seconds: float | None) -> SandboxResponse:
        if wait_seconds is None:
            return self._responses.error(_TOO_MANY, "throttled", "Request was throttled.")
        response = self._responses.error(_TOO_MANY, "throttled", self._dialect.sentence(wait_seconds))
        return response.with_headers(self._dialect.retry_after(wait_seconds))

    def _first_response(
        self, request: Request, visitor: Visitor | None, response: SandboxResponse
    ) -> tuple[SandboxResponse, bool]:
        """The response that this idempotency key got first, and whether there was one."""
        key = request.header(self._idempotency_header) if self._idempotency_header else None
        if key is None or visitor is None or not _is_processed(response):
            return response, False
        place = (visitor.account, key)
        if place in self._first_responses:
            return self._first_responses[place], True
        if len(self._first_responses) >= _REMEMBERED_KEYS:
            self._first_responses.pop(next(iter(self._first_responses)))
        self._first_responses[place] = response
        return response, False


def _is_processed(response: SandboxResponse) -> bool:
    names = (name.lower() for name, _ in response.headers)
    return is_processed(response.status, refused_for_now="retry-after" in names)


def _merged(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for name, value in pairs:
        merged[name] = f"{merged[name]}, {value}" if name in merged else value
    return merged


def _has_retired(settings: Mapping[str, Any], now: float) -> bool:
    retires_on = (settings.get("status") or {}).get("retires_on")
    return bool(retires_on) and date.fromisoformat(str(retires_on)) < datetime.fromtimestamp(now, UTC).date()
