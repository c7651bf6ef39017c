"""Which outcome is tried again, and when."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from nango_py.config.request_match import RequestFacts
from nango_py.engine.retry import Backoff, Facts, RetryPolicy, Verdict

# One row for each outcome; the columns are GET, HEAD, PUT, DELETE, POST, PATCH and POST with an
# idempotency key. r: retry after our backoff; w: retry after the requested wait; .: a response; x: a failure.
TABLE = """
200         . . . . . . .
204         . . . . . . .
302         . . . . . . .
400         x x x x x x x
401         x x x x x x x
403         x x x x x x x
404         x x x x x x x
408         r r r r x x r
409         x x x x x x x
410         x x x x x x x
422         x x x x x x x
425         r r r r x x r
429         w w w w w w w
500         r r r r x x r
501         x x x x x x x
502         r r r r x x r
503         r r r r x x r
503+wait    w w w w x x w
504         r r r r x x r
505         x x x x x x x
521         r r r r x x r
529         r r r r x x r
dns         r r r r r r r
connect     r r r r r r r
timeout     r r r r x x r
timeout-unsent r r r r r r r
reset       r r r r x x r
reset-unsent   r r r r r r r
truncated   r r r r x x r
protocol    r r r r x x r
tls         x x x x x x x
too_large   x x x x x x x
"""
COLUMNS = ("GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "POST+key")
UNSAFE = {"POST", "PATCH"}
CELLS = [
    (row.split()[0], column, cell)
    for row in TABLE.strip().splitlines()
    for column, cell in zip(COLUMNS, row.split()[1:], strict=True)
]
ACTIONS = {"r": "retry", "w": "wait", ".": "return", "x": "fail"}


def facts_of(outcome: str, column: str = "GET", **more: Any) -> Facts:
    """The facts of an outcome in the notation of the table."""
    name, _, wait = outcome.partition("+")
    name, _, unsent = name.partition("-")
    details: dict[str, Any] = {"status": int(name)} if name.isdigit() else {"reason": name}
    if wait or name == "429":
        details["requested_wait"] = lambda: 7.0
    return Facts(
        column.partition("+")[0], "things", safe=column not in UNSAFE, sent=not unsent, **{**details, **more}
    )


@pytest.mark.parametrize(("outcome", "column", "cell"), CELLS)
def test_each_outcome_of_each_method_is_judged_as_the_table_says(
    outcome: str, column: str, cell: str
) -> None:
    """What may have been executed is not repeated, and what cannot help is not retried."""
    verdict = RetryPolicy().decide(facts_of(outcome, column), 1)
    assert verdict.action == ACTIONS[cell]
    if cell == "w":
        assert verdict.seconds == 7.0
        assert verdict.gate_seconds == 7.0


def test_the_table_is_large_enough_to_mean_something() -> None:
    """The matrix has at least sixty cells."""
    assert len(CELLS) >= 60


def test_a_refused_503_of_an_unsafe_method_still_closes_the_gate() -> None:
    """A POST is not retried, but all other calls keep the wait that its response asked for."""
    verdict = RetryPolicy().decide(facts_of("503+wait", "POST"), 1)
    assert (verdict.action, verdict.gate_seconds, verdict.limited) == ("fail", 7.0, False)


def test_the_last_attempt_fails_with_a_reason() -> None:
    """After max_attempts the verdict is final; after a last 429 it is a rate limit."""
    policy = RetryPolicy(max_attempts=3)
    last = policy.decide(facts_of("500"), 3)
    assert (last.action, last.limited) == ("fail", False)
    assert "attempt 3 was the last" in last.rule
    limited = policy.decide(facts_of("429"), 3)
    assert (limited.action, limited.limited, limited.gate_seconds) == ("fail", True, 7.0)


@pytest.mark.parametrize("outcome", ["500", "reset"])
def test_a_consumed_body_is_not_sent_again(outcome: str) -> None:
    """A consumed stream ends the call, and the rule says why."""
    verdict = RetryPolicy().decide(facts_of(outcome, replayable=False), 1)
    assert verdict.action == "fail"
    assert "the body cannot be sent again" in verdict.rule


def test_a_429_to_a_consumed_body_is_a_rate_limit() -> None:
    """It cannot be waited out, so it is RateLimited and not a response."""
    verdict = RetryPolicy().decide(facts_of("429", "POST", replayable=False), 1)
    assert (verdict.action, verdict.limited, verdict.gate_seconds) == ("fail", True, 7.0)


def test_a_refreshable_401_asks_for_a_refresh() -> None:
    """A credential that can be refreshed is refreshed before the call fails."""
    assert RetryPolicy().decide(facts_of("401", refreshable=True), 1).action == "refresh"
    assert RetryPolicy().decide(facts_of("401"), 1).action == "fail"


def judged(rule: dict[str, Any], facts: Facts, attempt: int = 1, **settings: Any) -> Verdict:
    """The verdict of a policy with one rule."""
    return RetryPolicy.from_settings({"rules": [rule], **settings}).decide(facts, attempt)


RULE_CASES = [
    ({"status": 418}, facts_of("418"), True),
    ({"status": 418}, facts_of("417"), False),
    ({"status": [418, 419]}, facts_of("419"), True),
    ({"status": "4xx"}, facts_of("451"), True),
    ({"status": "5xx"}, facts_of("451"), False),
    ({"status": "5xx"}, facts_of("reset"), False),
    ({"method": "post"}, facts_of("400", "POST"), True),
    ({"method": ["PUT", "PATCH"]}, facts_of("400", "POST"), False),
    ({"method": "POST"}, facts_of("reset", "POST"), False),
    ({"path": "things"}, facts_of("400"), True),
    ({"path": "{any}"}, facts_of("400"), True),
    ({"path": "lists/{id}"}, facts_of("400"), False),
    ({"header": "X-Busy"}, facts_of("400", header={"X-Busy": "1"}.get), True),
    ({"header": {"X-Busy": "yes"}}, facts_of("400", header={"X-Busy": "yes"}.get), True),
    ({"header": {"X-Busy": "yes"}}, facts_of("400", header={"X-Busy": "no"}.get), False),
    ({"header": "X-Busy"}, facts_of("400"), False),
    ({"body_contains": "later"}, facts_of("400", text=lambda: "try later"), True),
    ({"body_contains": "later"}, facts_of("400", text=lambda: "never"), False),
    ({"json": {"path": "ok", "equals": False}}, facts_of("200", json=lambda: {"ok": False}), True),
    ({"json": {"path": "ok", "equals": False}}, facts_of("200", json=lambda: {"ok": True}), False),
    ({"json": {"path": "error.code", "equals": "busy"}}, facts_of("200", json=lambda: None), False),
    ({"error": "timeout"}, facts_of("timeout", "POST"), True),
    ({"error": ["reset", "truncated"]}, facts_of("truncated"), True),
    ({"error": "timeout"}, facts_of("reset"), False),
    ({"status": 500, "method": "POST"}, facts_of("500", "POST"), True),
    ({"status": 500, "method": "POST"}, facts_of("500"), False),
]


@pytest.mark.parametrize(("when", "facts", "holds"), RULE_CASES)
def test_a_rule_applies_if_all_its_conditions_hold(
    when: dict[str, Any], facts: Facts, *, holds: bool
) -> None:
    """Each condition key selects what docs/retries.md says, and several must hold together."""
    verdict = judged({"when": when, "do": "ignore"}, facts)
    assert verdict.rule.startswith("rule 1: ") is holds


@pytest.mark.parametrize(
    ("do", "action"),
    [
        ("retry", "retry"),
        ("wait", "wait"),
        ("fail", "fail"),
        ("ignore", "return"),
        ("success", "return"),
        ("refresh", "fail"),
    ],
)
def test_each_word_of_a_rule_does_what_it_says(do: str, action: str) -> None:
    """`do` decides, and the verdict names the rule."""
    verdict = judged({"when": {"status": 501}, "do": do}, facts_of("501"))
    assert verdict.action == action
    assert verdict.rule == f"rule 1: status 501 -> {do}"


def test_a_rule_repeats_an_unsafe_method_only_when_it_says_so() -> None:
    """`do: retry` is for safe methods, unless the blueprint says that a duplicate does no harm."""
    rule = {"when": {"status": 500}, "do": "retry"}
    assert judged(rule, facts_of("500", "POST")).action == "fail"
    assert judged(rule, facts_of("500", "POST+key")).action == "retry"
    assert judged(rule, facts_of("500", "PUT")).action == "retry"
    assert judged({**rule, "allow_duplicate_posts": True}, facts_of("500", "POST")).action == "retry"


def test_a_rule_can_ask_for_a_refresh() -> None:
    """An API may refuse an expired token with 403."""
    rule = {"when": {"status": 403}, "do": "refresh"}
    assert judged(rule, facts_of("403", refreshable=True)).action == "refresh"


def test_the_first_rule_that_fits_decides() -> None:
    """Rules are checked in order, before the built-in ones."""
    policy = RetryPolicy.from_settings(
        {"rules": [{"when": {"status": 503}, "do": "fail"}, {"when": {"status": "5xx"}, "do": "ignore"}]}
    )
    assert policy.decide(facts_of("503"), 1).action == "fail"
    assert policy.decide(facts_of("502"), 1).action == "return"
    assert policy.decide(facts_of("408"), 1).action == "retry"


def test_a_rule_has_its_own_attempts_and_backoff() -> None:
    """`max_attempts` and `backoff` of a rule replace the policy's."""
    rule = {
        "when": {"status": 500},
        "do": "retry",
        "max_attempts": 2,
        "backoff": {"base_seconds": 0.001, "max_seconds": 0.001},
    }
    assert judged(rule, facts_of("500"), 1).seconds <= 0.001
    assert judged(rule, facts_of("500"), 2).action == "fail"
    assert judged(rule, facts_of("502"), 2).action == "retry"


def test_a_wait_without_a_requested_time_uses_the_backoff() -> None:
    """A 429 without a time is waited out too, by all calls under its key."""
    verdict = RetryPolicy().decide(Facts("GET", "things", status=429), 3)
    assert 0 <= verdict.seconds <= 2.0
    assert verdict.gate_seconds == verdict.seconds


def test_the_settings_replace_the_defaults() -> None:
    """Every key of `retries:` reaches the policy."""
    policy = RetryPolicy.from_settings(
        {
            "max_attempts": 7,
            "deadline_seconds": 9,
            "idempotency_header": "Idempotency-Key",
            "backoff": {"base_seconds": 2, "max_seconds": 3, "min_seconds": 1},
        }
    )
    assert policy.max_attempts == 7
    assert policy.deadline_seconds == 9.0
    assert policy.backoff == Backoff(2.0, 3.0, 1.0)
    assert RetryPolicy.from_settings(None) == RetryPolicy()


def distance_from_uniform(values: list[float], top: float) -> float:
    """The Kolmogorov-Smirnov distance between the values and a uniform distribution on [0, top]."""
    ordered = sorted(value / top for value in values)
    count = len(ordered)
    return max(max((index + 1) / count - value, value - index / count) for index, value in enumerate(ordered))


@pytest.mark.parametrize(("failures", "ceiling"), [(1, 0.5), (3, 2.0), (9, 20.0)])
def test_backoff_has_full_jitter(failures: int, ceiling: float) -> None:
    """Ten thousand waits are uniform between 0 and the ceiling (KS test at 0.1 percent)."""
    random.seed(20261122)
    waits = [Backoff().seconds(failures) for _ in range(10_000)]
    assert distance_from_uniform(waits, ceiling) < 1.95 / math.sqrt(10_000)


@pytest.mark.parametrize("failures", [1, 2, 3, 50])
def test_a_backoff_has_a_floor(failures: int) -> None:
    """GitHub asks for at least a minute: no draw is shorter, whatever the jitter is."""
    backoff = RetryPolicy.from_settings({"backoff": {"min_seconds": 60, "base_seconds": 1}}).backoff
    assert all(backoff.seconds(failures) == 60.0 for _ in range(100))
    wide = Backoff(60.0, 300.0, 60.0)
    assert all(60.0 <= wide.seconds(failures) <= 300.0 for _ in range(100))


@pytest.mark.parametrize("told", [0.0, 0.001, 1.0])
@pytest.mark.parametrize("outcome", ["429", "503"])
def test_a_wait_that_the_api_names_is_at_least_the_backoff(told: float, outcome: str) -> None:
    """`Retry-After: 0` and a moment in the past do not use up the attempts at once; others wait as asked."""
    policy = RetryPolicy(backoff=Backoff(4.0, 20.0, 2.0))
    verdict = policy.decide(facts_of(outcome, requested_wait=lambda: told), 1)
    assert verdict.action == "wait"
    assert 2.0 <= verdict.seconds <= 4.0
    assert verdict.gate_seconds == (told or verdict.seconds)
    longer = policy.decide(facts_of(outcome, requested_wait=lambda: 7.5), 1)
    assert longer.seconds == longer.gate_seconds == 7.5


def test_the_uniformity_test_would_see_half_jitter() -> None:
    """Control: waits with half of the ceiling fixed fail the test."""
    source = random.Random(1)
    assert distance_from_uniform([0.25 + source.random() / 4 for _ in range(10_000)], 0.5) > 0.1


@pytest.mark.parametrize("failures", [1, 2, 6, 7, 50, 1000])
def test_backoff_never_exceeds_its_cap(failures: int) -> None:
    """Twenty seconds is the longest backoff, after any number of failures."""
    assert all(0 <= Backoff().seconds(failures) <= 20.0 for _ in range(200))


def test_a_rule_may_be_for_some_requests() -> None:
    """`match` chooses by method, path, parameters, body and settings; others keep the defaults."""
    match = {"method": "POST", "path": "graphql", "body": {"operation": "read"}, "config": {"plan": "pro"}}
    rule = {"match": match, "when": {"status": 500}, "do": "retry", "allow_duplicate_posts": True}
    policy = RetryPolicy.from_settings({"rules": [rule]})

    def action(body: Any, plan: str = "pro", path: str = "graphql", status: int = 500) -> str:
        request = RequestFacts("POST", path, {}, body, {"plan": plan})
        return policy.decide(Facts("POST", path, status=status, request=lambda: request), 1).action

    assert action({"operation": "read"}) == "retry"
    assert [
        action({"operation": "write"}),
        action({"operation": "read"}, plan="free"),
        action({"operation": "read"}, path="other"),
        action({"operation": "read"}, status=502),
    ] == ["fail"] * 4
    assert policy.rules[0].name.startswith("rule 1: method POST path graphql")
