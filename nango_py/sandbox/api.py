"""The API that is imitated: what it says to each request, written down in the ledger. No sockets here."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from nango_py.sandbox.answers import Answer, Answers
from nango_py.sandbox.counting import Counting
from nango_py.sandbox.credentials import Credentials, Visitor, path_of
from nango_py.sandbox.dialect import Dialect, RetryAfter
from nango_py.sandbox.ledger import Ledger, Received, is_processed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nango_py.clock import Clock
    from nango_py.sandbox.budgets import Manner
    from nango_py.sandbox.faults import Fault, FaultPlan
    from nango_py.sandbox.wire import Request

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
        self._answers = Answers(settings, pages)
        self._dialect = Dialect(rate_limits.get("headers"), retry_after, clock)
        self._faults = faults
        self._clock = clock
        self._retired = retired
        self._idempotency_header = idempotency_header.lower()
        self._first_answers: dict[tuple[str, str], Answer] = {}
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

    def answer_to(self, request: Request, fault: Fault | None) -> Answer | None:
        """The answer, written down in the ledger; None when it is never to be sent."""
        number = next(self._numbers)
        path, _, query = request.target.partition("?")
        params = parse_qsl(query, keep_blank_values=True)
        match = self._base.fullmatch(path)
        endpoint = (match["endpoint"] or "") if match else path.lstrip("/")
        visitor = None
        if match is not None:
            in_path = tuple(map(unquote, match.groups()[:-1]))
            visitor = self.credentials.visitor(request.headers, params, in_path)
            answer = self._decided(request, visitor, endpoint, _merged(params), number, fault)
        else:
            answer = self._answers.error(404, "not_found", f"Nothing is served outside {self.base_path}")
        answer, is_repeated = self._first_answer(request, visitor, answer)
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
                status=0 if fault is not None and fault.kind in _LOST else answer.status,
                fault=fault.label if fault else "",
                processed=not is_repeated and _is_processed(answer),
            )
        )
        if fault is not None and fault.kind == "timeout":
            return None
        return answer.with_headers({"Sandbox-Number": str(number)})

    def _decided(
        self,
        request: Request,
        visitor: Visitor | None,
        endpoint: str,
        params: Mapping[str, str],
        number: int,
        fault: Fault | None,
    ) -> Answer:
        if self._retired:
            return self._answers.refusal(410, "gone", "This API has been retired.")
        if visitor is None:
            return self._answers.refusal(
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
        answer = self._answers.to(request.method, endpoint, params, number, self.origin + self.base_path)
        return answer.with_headers(self._dialect.numbers(verdict))

    def _injected(self, fault: Fault | None) -> Answer | None:
        if fault is None or fault.kind != "status":
            return None
        if fault.answer is not None:
            return fault.answer
        if fault.status == _TOO_MANY:
            return self._throttled(fault.retry_after)
        answer = self._answers.error(
            fault.status, "injected", f"The sandbox was asked to answer {fault.status}."
        )
        return (
            answer
            if fault.retry_after is None
            else answer.with_headers(self._dialect.retry_after(fault.retry_after))
        )

    def _throttled(self, wait_seconds: float | None) -> Answer:
        if wait_seconds is None:
            return self._answers.error(_TOO_MANY, "throttled", "Request was throttled.")
        answer = self._answers.error(_TOO_MANY, "throttled", self._dialect.sentence(wait_seconds))
        return answer.with_headers(self._dialect.retry_after(wait_seconds))

    def _first_answer(self, request: Request, visitor: Visitor | None, answer: Answer) -> tuple[Answer, bool]:
        """The answer that this idempotency key got first, and whether there was one."""
        key = request.header(self._idempotency_header) if self._idempotency_header else None
        if key is None or visitor is None or not _is_processed(answer):
            return answer, False
        place = (visitor.account, key)
        if place in self._first_answers:
            return self._first_answers[place], True
        if len(self._first_answers) >= _REMEMBERED_KEYS:
            self._first_answers.pop(next(iter(self._first_answers)))
        self._first_answers[place] = answer
        return answer, False


def _is_processed(answer: Answer) -> bool:
    names = (name.lower() for name, _ in answer.headers)
    return is_processed(answer.status, refused_for_now="retry-after" in names)


def _merged(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for name, value in pairs:
        merged[name] = f"{merged[name]}, {value}" if name in merged else value
    return merged


def _has_retired(settings: Mapping[str, Any], now: float) -> bool:
    retires_on = (settings.get("status") or {}).get("retires_on")
    return bool(retires_on) and date.fromisoformat(str(retires_on)) < datetime.fromtimestamp(now, UTC).date()
