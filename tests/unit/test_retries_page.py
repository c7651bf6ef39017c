"""The table of docs/retries.md, checked against the engine with one call per cell."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from nango_py.engine.call import ApiCall
from nango_py.engine.interfaces import run_sync
from nango_py.engine.outage import BreakerSettings, CircuitBreaker
from nango_py.engine.retry import OUTAGE_STATUSES, RETRIED_STATUSES, SENT_RETRIED, UNSENT_RETRIED
from nango_py.engine.runtime import IntegrationRuntime
from nango_py.errors import DeadlineExceeded, RequestFailed, TransportFailed
from nango_py.transport.sendable import Failure
from tests.support.fake_call_io import FakeCallIO
from tests.support.fake_clock import ManualClock
from tests.support.made_values import FakeResponse, a_connection, a_plan, an_integration

PAGE = Path(__file__).resolve().parents[2] / "docs" / "retries.md"
KEYED = "Idempotency-Key"
RENEWABLE = "X-Renewable"
"""Marks a response to a call whose credential can be refreshed."""

NEVER_SENT = {"dns", "connect", "tls"}


def table() -> list[tuple[str, str, str]]:
    """Every cell: the row's head, the column's head, and what is promised."""
    lines = re.search(r"^\| outcome \|.*?\n\n", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert lines is not None
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].split("\n")[:-2]
    )
    return [(row[0], column, cell) for row in rows for column, cell in zip(head[1:], row[1:], strict=True)]


CELLS = table()


def outcomes(head: str) -> list[Any]:
    """The outcomes of a row's first attempt."""
    words = re.findall(r"`(\w+)`", head)
    if words:
        return [Failure(word, sent=word not in NEVER_SENT, text="it broke") for word in words]
    headers = {"Retry-After": "2"} if "with a wait" in head else {}
    headers |= {RENEWABLE: "yes"} if "refreshable" in head else {}
    return [FakeResponse(int(status), headers) for status in re.findall(r"\b\d{3}\b", head)]


def methods(head: str) -> list[tuple[str, bool]]:
    """The methods of a column, and whether their requests carry an idempotency key."""
    return [(method, "with an idempotency key" in head) for method in re.findall(r"[A-Z]{3,}", head)]


class Tokens:
    """A refresher that brings a new connection for a refused token."""

    def __init__(self) -> None:
        self.refreshed = 0

    def can_refresh(self, settings: Any) -> bool:
        """Always."""
        return True

    async def refresh(self, *_: Any, **__: Any) -> Any:
        """Another connection of the same user."""
        self.refreshed += 1
        return a_connection({"api_key": "pk_live_refreshed"})


class Api(FakeCallIO):
    """The first request brings one outcome, the next a good response; redirects never end."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome
        self.tokens = Tokens()
        reason = getattr(outcome, "reason", "")
        hops = [FakeResponse(307, {"Location": f"hop-{number}"}) for number in range(1, 10)]
        if reason == "deadline":  # the request takes longer than the whole call may
            super().__init__([Failure("timeout", sent=True, text="no response")], seconds=200.0)
        else:
            super().__init__(hops if reason == "redirects" else [outcome, FakeResponse(200)])

    def call(self, plan: Any) -> Any:
        """The response of a call, or its error."""
        tokens: Any = self.tokens if RENEWABLE in getattr(self.outcome, "headers", {}) else None
        runtime = IntegrationRuntime(an_integration(), self.clock, tokens=tokens)
        if getattr(self.outcome, "reason", "") == "circuit":
            runtime.outage.breaker = CircuitBreaker(self.clock, BreakerSettings(failures=1, seconds=0.0))
            runtime.outage.breaker.record_failure()
        try:
            return run_sync(ApiCall(plan, runtime, self).run())
        except RequestFailed as error:
            return error


def what_happens(outcome: Any, method: str, *, keyed: bool) -> str:
    """The text of the table for a call whose first attempt ends like this."""
    api = Api(outcome)
    end = api.call(a_plan(method, idempotency_header=KEYED if keyed else ""))
    if isinstance(end, RequestFailed):
        reason = outcome.reason
        assert isinstance(end, DeadlineExceeded if reason == "deadline" else TransportFailed)
        assert getattr(end, "reason", "deadline") == reason
        assert len(api.plans) == {"redirects": 6, "circuit": 0}.get(reason, 1)
        return "error"
    if len(api.plans) == 1:
        assert end is outcome
        return "response; others wait" if api.values("close_gate") else "response"
    assert (len(api.plans), end.status_code) == (2, 200)
    if api.tokens.refreshed:
        return "refresh once, then retry"
    return "wait, then retry" if api.values("close_gate") else "retry"


def test_the_table_has_all_its_cells() -> None:
    """Control: the table is found and read, eight rows with three columns."""
    assert len(CELLS) == 24
    assert len({column for _, column, _ in CELLS}) == 3


@pytest.mark.parametrize(("head", "column", "promised"), CELLS)
def test_a_cell_says_what_happens(head: str, column: str, promised: str) -> None:
    """For each outcome of the row and each method of the column, a call does what the cell says."""
    assert outcomes(head)
    assert methods(column)
    for outcome in outcomes(head):
        for method, keyed in methods(column):
            assert what_happens(outcome, method, keyed=keyed) == promised, (outcome, method)


def test_a_wrong_cell_is_noticed() -> None:
    """Control: the text for a GET does not hold for a POST."""
    assert what_happens(FakeResponse(503), "GET", keyed=False) == "retry"
    assert what_happens(FakeResponse(503), "POST", keyed=False) == "response"


def test_no_status_or_reason_of_the_code_is_left_out() -> None:
    """Everything that nango_py.engine.retry treats specially is in the table."""
    heads = " ".join(head for head, _, _ in CELLS)
    statuses = set(map(int, re.findall(r"\d{3}", heads)))
    reasons = set(re.findall(r"`(\w+)`", heads))
    assert not (RETRIED_STATUSES | OUTAGE_STATUSES) - statuses
    assert not (SENT_RETRIED | UNSENT_RETRIED) - reasons


def test_the_numbers_of_the_page_are_the_defaults() -> None:
    """Attempts, deadline, backoff, retry budget and breaker are as the page says."""
    text = " ".join(PAGE.read_text().split())
    route = IntegrationRuntime(an_integration(), ManualClock())
    policy, breaker = route.retries, BreakerSettings()
    assert f"at most {policy.max_attempts} attempts" in text
    assert f"at most {policy.deadline_seconds:.0f} seconds" in text
    assert re.search(
        rf"from 0 to {policy.backoff.base} \S 2\S+ seconds, at most {policy.backoff.cap:.0f} seconds", text
    )
    assert f"after {breaker.failures} failures in a row, over at least {breaker.seconds:.0f} seconds" in text
    assert f"After {breaker.pause_seconds:.0f} seconds one call is let through" in text
    assert breaker.longest_pause_seconds == 60
    assert "(`budget_share: 0.1`), but 60 are always allowed" in text
