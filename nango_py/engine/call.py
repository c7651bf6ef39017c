"""One call from first booking to last response, as a generator that does no I/O.

It yields the commands of `engine.commands` and is sent their results. Everything that takes time or touches
a socket is the executor's; everything that decides is here and in `nango_py.engine.retry`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from nango_py.attempt import Attempt
from nango_py.engine.commands import (
    Acquire,
    CloseGate,
    Confirm,
    Discard,
    Refresh,
    Release,
    Send,
    Settle,
    Wait,
)
from nango_py.engine.events import Event
from nango_py.engine.plan import follow_redirect
from nango_py.engine.replan import answer_challenge, sign
from nango_py.engine.retry import OUTAGE_STATUSES, Facts, RetryPolicy, Verdict
from nango_py.errors import DeadlineExceeded, RateLimited, RequestFailed, TransportFailed
from nango_py.limits.headers.response_limits import requested_wait
from nango_py.limits.limit_types import Refused
from nango_py.transport.sendable import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from nango_py.clock import Clock
    from nango_py.engine.commands import Learn
    from nango_py.engine.events import Events
    from nango_py.engine.outage import Outage
    from nango_py.engine.plan import Plan
    from nango_py.limits.limit_types import Spend

    Steps = Generator[Any, Any, Any]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
FIRST_ERROR = 300
FINAL = frozenset({"return", "fail"})
NOT_THE_API = frozenset({"too_large", "blocked", "proxy"})
"""Failures that say nothing of the API's health."""
GOOD_RESPONSE = Verdict("return", "built-in: good response")


@dataclass(slots=True)
class Job:
    """Everything one call needs, and what happened to it so far.

    Attributes:
        lesson: what a response tells of limits.
        spend: the budgets that a plan spends from, and the gates it obeys.
        report: told of each attempt as it ends; writes the log record.
        outage: the integration's retry budget and circuit breaker.
        events: who listens to what happens.
        hold: seconds to wait for the first response of an API of which nothing is known.
        renewal: the steps to a newer connection than a refused plan's, or None.
        renewable: whether there is any way to a newer credential, or to a response to a challenge.
        restamp: the plan with a newer connection's credentials.
        returns_limited: whether a last 429 is a response (in a session) rather than RateLimited.
    """

    plan: Plan
    policy: RetryPolicy
    clock: Clock
    spend: Callable[[Plan], tuple[tuple[Spend, ...], tuple[str, ...]]]
    report: Callable[[Plan, Attempt], None]
    outage: Outage
    events: Events
    limit_headers: Mapping[str, Any] | None = None
    lesson: Callable[..., Learn | None] = lambda *_, **__: None
    deadline_seconds: float | None = None
    returns_limited: bool = False
    renewal: Callable[[Plan, float], Steps | None] = lambda *_: None
    restamp: Callable[[Plan, Any], Plan] = lambda plan, _: plan
    hold: Callable[[Plan], float] = lambda _: 0.0
    renewable: Callable[[Plan], bool] = lambda _: True
    refreshed: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    deadline: float = 0.0
    waited: float = 0.0
    seconds: float = 0.0
    spends: tuple[Spend, ...] = ()
    gates: tuple[str, ...] = ()


def run(job: Job) -> Steps:
    """The steps of a call; its return value is the response.

    Raises:
        RateLimited: a limit cannot be waited out within the deadline; nothing more was sent.
        TransportFailed: no response came, and trying again was not allowed or did not help.
        DeadlineExceeded: the time for the whole call is over.
    """
    _begin(job)
    hops = 0
    while True:
        ticket = yield from _admit(job)
        outcome = yield from _send(job, ticket)
        following = _redirection(job, outcome)
        if following is not None:
            hops += 1
            if hops > MAX_REDIRECTS:
                _record(job, outcome, Verdict("fail", "too many redirects"))
                raise _failed(TransportFailed, job, "too many redirects", outcome, reason="redirects")
            _record(job, outcome, Verdict("redirect", f"redirect {hops} of at most {MAX_REDIRECTS}"))
            job.plan = following
            continue
        verdict = _judge(job, outcome, len(job.attempts) + 1 - hops)
        _record(job, outcome, verdict)
        yield from _pass_on(job, outcome, verdict)
        if verdict.action == "refresh" and (yield from _refreshed(job, outcome)):
            continue
        if verdict.action in FINAL or verdict.action == "refresh":
            return _finish(job, outcome, verdict)
        if job.clock.monotonic() + verdict.seconds >= job.deadline:
            return _out_of_time(job, outcome, verdict)
        _tell(job, "retry", verdict.seconds, verdict.rule, job.attempts[-1])
        if _is_open(job, outcome):
            yield Discard(outcome)
        if verdict.action == "retry":
            # A `wait` needs none of its own: the gate it closed holds this call like every other.
            yield _wait(job, verdict.seconds, verdict.rule)


def _begin(job: Job) -> None:
    seconds = job.policy.deadline_seconds if job.deadline_seconds is None else job.deadline_seconds
    job.deadline = job.clock.monotonic() + seconds
    pause = job.outage.breaker.wait()
    if pause > 0:
        text = f"the API has failed for a while; the next call may try in {pause:.1f} s"
        raise _failed(TransportFailed, job, text, reason="circuit")
    job.outage.budget.call()


def _refreshed(job: Job, outcome: Any) -> Steps:
    """Whether the plan has a newer credential now, or a response to the challenge; at most once in a call."""
    job.refreshed = True
    challenged = answer_challenge(job.plan, outcome.headers)
    if challenged is not None:
        job.plan = challenged
        return True
    steps = job.renewal(job.plan, job.deadline)
    if steps is None:
        return False
    connection = yield Refresh(steps)
    if connection is None or connection is job.plan.stamp.connection:
        return False
    job.plan = job.restamp(job.plan, connection)
    return True


def _pass_on(job: Job, outcome: Any, verdict: Verdict) -> Steps:
    """Tell the limit store what everyone under this call's keys should know."""
    lesson = job.lesson(job.plan, job.spends, outcome, refused=verdict.gate_seconds > 0)
    if lesson is not None:
        yield lesson
    if verdict.gate_seconds > 0:
        _tell(job, "gate", verdict.gate_seconds, verdict.rule)
        yield CloseGate(job.gates, verdict.gate_seconds)


def _admit(job: Job) -> Steps:
    """Wait until every budget and gate lets this call through; the booking's ticket."""
    while (held := job.hold(job.plan)) > 0 and job.clock.monotonic() + held < job.deadline:
        yield _wait(job, held, "the API's first response")
    job.spends, job.gates = job.spend(job.plan)
    patience = job.deadline - job.clock.monotonic()
    grant = yield Acquire(job.spends, job.gates, patience)
    if isinstance(grant, Refused):
        raise _limited(job, grant.wait, grant.window)
    wait = grant.wait
    while wait > 0:
        if job.clock.monotonic() + wait > job.deadline:
            yield Release(grant.ticket)
            raise _limited(job, wait, "a limit that closed meanwhile")
        yield from _or_else(_wait(job, wait, "a limit or a closed gate"), Release(grant.ticket))
        wait = yield from _or_else(Confirm(grant.ticket), Release(grant.ticket))
    return grant.ticket


def _or_else(command: Wait | Confirm | Send, ending: Release | Settle) -> Steps:
    """Carry out a command; a booking ends also where that is interrupted."""
    try:
        result = yield command
    except GeneratorExit:
        raise  # nobody is there to carry anything out
    except BaseException:
        yield ending
        raise
    return result


def _send(job: Job, ticket: Any) -> Steps:
    """Send once; the outcome."""
    started = job.clock.monotonic()
    seconds = min(job.plan.total_seconds, job.deadline - started)
    if seconds <= 0:
        yield Release(ticket)
        raise _failed(DeadlineExceeded, job, "the deadline was over before the request could be sent")
    # Interrupted half way, the API may have counted it.
    outcome = yield from _or_else(Send(sign(job.plan, job.clock.now()), seconds), Settle(ticket))
    unsent = isinstance(outcome, Failure) and not outcome.sent
    yield Release(ticket) if unsent else Settle(ticket)
    job.seconds = job.clock.monotonic() - started
    return outcome


def _wait(job: Job, seconds: float, reason: str) -> Wait:
    job.waited += seconds
    _tell(job, "wait", seconds, reason)
    return Wait(seconds)


def _tell(job: Job, kind: str, seconds: float, reason: str, attempt: Attempt | None = None) -> None:
    """Tell who listens; a record is made only for them."""
    if not job.events.wanted(kind):
        return
    connection, plan = job.plan.stamp.connection, job.plan
    job.events.emit(
        Event(
            kind, job.clock.now(), connection.integration, connection.user_id, plan.method, plan.endpoint,
            seconds, reason, attempt,
        )
    )  # fmt: skip


def _record(job: Job, outcome: Any, verdict: Verdict) -> None:
    failed = isinstance(outcome, Failure)
    attempt = Attempt(
        len(job.attempts) + 1,
        0 if failed else outcome.status_code,
        outcome.reason if failed else "",
        job.seconds,
        job.waited,
        0 if failed or _is_open(job, outcome) else len(outcome.content),
        verdict.rule,
        verdict.action,
        verdict.seconds,
        job.plan.endpoint,
    )
    job.waited = 0.0
    job.attempts.append(attempt)
    job.report(job.plan, attempt)
    _tell(job, "attempt", job.seconds, verdict.rule, attempt)


def _judge(job: Job, outcome: Any, tried: int) -> Verdict:
    """The policy's verdict; most answers are good ones that no rule speaks of."""
    if not isinstance(outcome, Failure):
        status = outcome.status_code
        job.outage.breaker.failed() if status in OUTAGE_STATUSES else job.outage.breaker.succeeded()
        if 200 <= status < 300 and not job.policy.has_rule_for(status):  # noqa: PLR2004 - RFC 9110 section 15
            return GOOD_RESPONSE
    elif outcome.reason not in NOT_THE_API:
        job.outage.breaker.failed()
    verdict = job.policy.decide(_facts(job, outcome), tried)
    if verdict.action == "retry" and job.outage.breaker.is_open:
        return Verdict("fail", f"{verdict.rule}, but the API has failed for a while")
    if verdict.action == "retry" and not job.outage.budget.take():
        return Verdict("fail", f"{verdict.rule}, but this integration's retry budget is spent")
    return verdict


def _redirection(job: Job, outcome: Any) -> Plan | None:
    if isinstance(outcome, Failure) or outcome.status_code not in REDIRECTS:
        return None
    location = outcome.headers.get("Location")
    return follow_redirect(job.plan, location, outcome.status_code) if location else None


def _facts(job: Job, outcome: Any) -> Facts:
    plan = job.plan
    if isinstance(outcome, Failure):
        return Facts(
            plan.method, plan.endpoint, reason=outcome.reason, safe=plan.safe_to_repeat, sent=outcome.sent,
            replayable=plan.replayable or not outcome.sent,
        )  # fmt: skip
    return Facts(
        plan.method, plan.endpoint, status=outcome.status_code, header=outcome.headers.get,
        text=lambda: "" if _is_open(job, outcome) else outcome.text,
        json=lambda: None if _is_open(job, outcome) else _json(outcome),
        told_wait=lambda: _told_wait(job, outcome),
        safe=plan.safe_to_repeat, replayable=plan.replayable,
        refreshable=not job.refreshed and plan.replayable and job.renewable(plan),
    )  # fmt: skip


def _told_wait(job: Job, response: Any) -> float | None:
    text = "" if _is_open(job, response) else response.text
    return requested_wait(response.headers, text, job.clock.now(), job.limit_headers)


def _is_open(job: Job, outcome: Any) -> bool:
    """Whether the body is still on its socket: a good response's to a call with stream=True."""
    return job.plan.stream and not isinstance(outcome, Failure) and outcome.status_code < FIRST_ERROR


def _json(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _finish(job: Job, outcome: Any, verdict: Verdict) -> Any:
    """The response, or the error that stands for its absence."""
    if isinstance(outcome, Failure):
        if outcome.reason == "deadline" or job.clock.monotonic() >= job.deadline:
            raise _failed(DeadlineExceeded, job, f"the deadline is over; last: {outcome.text}")
        raise _failed(TransportFailed, job, f"{outcome.text} ({verdict.rule})", reason=outcome.reason)
    if verdict.limited and not job.returns_limited:
        raise _limited(job, verdict.gate_seconds, f"status {outcome.status_code}, {verdict.rule}", outcome)
    return outcome


def _out_of_time(job: Job, outcome: Any, verdict: Verdict) -> Any:
    """What a call ends in when its next attempt would lie beyond the deadline."""
    if isinstance(outcome, Failure):
        raise _failed(DeadlineExceeded, job, f"no time is left to try again; last: {outcome.text}")
    if verdict.action == "wait" and not job.returns_limited:
        raise _limited(job, verdict.seconds, f"status {outcome.status_code}", outcome)
    return outcome


def _limited(job: Job, wait: float, window: str, response: Any = None) -> RateLimited:
    retry_at = job.clock.now() + wait
    text = f"rate limited by {window}; allowed again in {wait:.3f} s, which is more than this call may wait"
    return _failed(RateLimited, job, text, response, retry_at=retry_at, window=window)


Failed = TypeVar("Failed", bound=RequestFailed)


def _failed(kind: type[Failed], job: Job, text: str, response: Any = None, **details: Any) -> Failed:
    plan = job.plan
    _tell(job, "giving_up", 0.0, text)
    where = f"{plan.stamp.connection.integration} {plan.method} /{plan.endpoint}"
    return kind(f"{where}: {text}", plan=plan, attempts=tuple(job.attempts), response=response, **details)
