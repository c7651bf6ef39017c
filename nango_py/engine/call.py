"""One call, from booking its place in the budgets to the last response.

Everything that waits or sends goes through `CallIO`. What happens next is decided here and in
`nango_py.engine.retry`.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, ParamSpec, TypeGuard, TypeVar

from nango_py.attempt import Attempt, CallRecord
from nango_py.config.urls.paths import quote_bytes
from nango_py.engine.bound_settings import bind_settings
from nango_py.engine.events import Event
from nango_py.engine.log import log_attempt, log_call
from nango_py.engine.patience import current_patience
from nango_py.engine.place import Place, settled_costs
from nango_py.engine.plan import answer_challenge, follow_redirect, sign, with_credentials_of
from nango_py.engine.response_body import read_body
from nango_py.engine.retry import OUTAGE_STATUSES, Facts, Verdict
from nango_py.errors import DeadlineExceeded, RateLimited, RequestFailed, TransportFailed
from nango_py.limits.counting.meter import POLL_SECONDS
from nango_py.limits.limit_types import GATE, LONGEST_GATE, MAX_WAITING, QUEUE, Granted, Refused
from nango_py.record import replaced
from nango_py.transport.sendable import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.engine.interfaces import CallIO
    from nango_py.engine.place import Closing
    from nango_py.engine.plan import Plan
    from nango_py.engine.retry import RetryPolicy
    from nango_py.engine.runtime import IntegrationRuntime
    from nango_py.json_types import JsonValue
    from nango_py.transport.response import Response

    Outcome = Response | Failure

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
FIRST_ERROR = 300
REFUSALS = frozenset({401, 403})
FINAL = frozenset({"return", "fail", "refresh"})
NOT_THE_API = frozenset({"too_large", "blocked", "proxy"})
"""Failures that say nothing about the health of the API."""
WHOLE_QUOTA = "the whole quota"
"""What a refusal closes if its call has no budget."""

GOOD_RESPONSE = Verdict("return", "built-in: good response")

Error = TypeVar("Error", bound=RequestFailed)
P = ParamSpec("P")
R = TypeVar("R")


class ApiCall:
    """One call under one configuration: the runtime it is given decides until it ends.

    Args:
        plan: the request.
        runtime: the integration's rules, limits and events.
        io: how to send and wait.
        record: of the call; a new one by default.
        policy: the retry policy, if it is not the integration's; it has the same rules.
        deadline_seconds: the time for everything, waits included; the policy's by default.
        returns_limited: return a final 429 (for sessions) instead of raising RateLimited.
        follows_redirects: False leaves them to the caller.

    Attributes:
        plan: the request of the last or next attempt.
        record: the call's id, its attempts, and how it ended.
        attempts: those so far.
    """

    __slots__ = (
        "_clock", "_deadline", "_follows_redirects", "_has_refreshed", "_io", "_outage", "_place", "_policy",
        "_returns_limited", "_seconds", "_sent_at", "_waited", "attempts", "plan", "record", "runtime",
    )  # fmt: skip

    def __init__(
        self,
        plan: Plan,
        runtime: IntegrationRuntime,
        io: CallIO,
        record: CallRecord | None = None,
        *,
        policy: RetryPolicy | None = None,
        deadline_seconds: float | None = None,
        returns_limited: bool = False,
        follows_redirects: bool = True,
    ) -> None:
        self.plan = plan
        self.record = CallRecord() if record is None else record
        self.attempts = self.record.attempts
        self.runtime = runtime
        self._io = io
        self._policy = policy or runtime.retries
        self._clock = runtime.clock
        seconds = self._policy.deadline_seconds if deadline_seconds is None else deadline_seconds
        self._deadline = self._clock.monotonic() + seconds
        self._returns_limited = returns_limited
        self._follows_redirects = follows_redirects
        self._outage = runtime.download_outage if plan.is_download else runtime.outage_for(plan.settings)
        self._has_refreshed = False
        self._waited = self._seconds = self._sent_at = 0.0
        self._place = Place(io.limits, (), ())

    async def run(self) -> Response:
        """Make the call and return the last response.

        Raises:
            RateLimited: a limit cannot be waited out within the deadline; nothing more was sent.
            TransportFailed: there was no response, and retrying was not allowed or did not help.
            DeadlineExceeded: the time for the whole call is over.
        """
        started = self._clock.monotonic()
        try:
            response = await self._run()
        except GeneratorExit:
            raise  # the event loop has ended: nothing can be awaited
        except BaseException as error:
            await self._end_place()
            self._report_end(started, error)
            raise
        self._report_end(started, response)
        return response

    async def _run(self) -> Response:
        self._pass_circuit_breaker()
        redirects = 0
        while True:
            await self._acquire()
            outcome = await self._send()
            redirected = self._redirected_plan(outcome)
            if redirected is not None:
                redirects += 1
                self._follow_redirect(outcome, redirected, redirects)
                continue
            verdict = self._within_deadline(self._judge(outcome, len(self.attempts) + 1 - redirects))
            closing = self._find_closing(outcome, verdict)
            self._record(outcome, verdict, closing)
            await self._learn(outcome, verdict, closing)
            if verdict.action == "refresh" and await self._refresh(outcome):
                continue
            if verdict.action in FINAL:
                await self._end_connection(outcome)
                return self._result(outcome, verdict)
            self._emit("retry", verdict.seconds, verdict.rule, self.attempts[-1])
            if self._is_open(outcome):
                await self._io.discard(outcome)
            if verdict.seconds > verdict.gate_seconds or not self.plan.is_counted:
                # What the gate holds back is not waited for here: it holds this call like all others.
                await self._wait(verdict.seconds, verdict.rule)

    def _pass_circuit_breaker(self) -> None:
        pause = self._outage.breaker.wait()
        if pause > 0:
            text = f"the circuit breaker is open; the next attempt is allowed in {pause:.1f} s"
            raise self._error(TransportFailed, text, reason="circuit")
        self._outage.budget.count_call()

    async def _acquire(self) -> None:
        """Book a place in every budget and wait for it."""
        if self._clock.monotonic() >= self._deadline:
            raise self._error(DeadlineExceeded, "the deadline passed before the request could be sent")
        if not self.plan.is_counted:
            self._place = Place(self._io.limits, (), ())
            return
        # The first response that others wait for may be that of this very call, after its redirect.
        is_redirected = bool(self.attempts) and self.attempts[-1].action == "redirect"
        while not is_redirected and (seconds := self.runtime.seconds_to_hold(self.plan)) > 0:
            if self._clock.monotonic() + seconds >= self._deadline:
                break
            await self._wait(seconds, "the API's first response")
        is_newcomer = await self._is_newcomer()
        spends, gates = self.runtime.spends_of(self.plan)
        self._place = place = Place(self._io.limits, spends, gates, is_newcomer=is_newcomer)
        patience, ends = current_patience(), self._deadline
        if patience is not None:
            ends = min(ends, self._clock.monotonic() + patience.seconds)
        grant = await self._book(place, ends, is_behind=patience is not None and patience.is_behind)
        if isinstance(grant, Refused):
            raise self._refusal_error(grant.wait, grant.window, ends)
        wait = grant.wait
        while wait > 0:
            if self._clock.monotonic() + wait > ends:
                raise self._refusal_error(wait, "", ends)
            await self._wait(wait, "a limit or a closed gate")
            wait = await self._ask(place.confirm)

    async def _is_newcomer(self) -> bool:
        """Whether the API has yet to accept the connection, as far as this process and the store know."""
        quotas, settings, limits = self.runtime.quotas, self.plan.settings, self._io.limits
        if not quotas.is_newcomer(settings):
            return False
        views = await self._io.ask_limits(limits.view, (self.runtime.mark_of(settings).key,))
        if any(view.used for view in views):
            quotas.recall(settings)
            return False
        return True

    async def _book(self, place: Place, ends: float, *, is_behind: bool) -> Granted | Refused:
        """Book a place before `ends`; a call behind others takes one only when it is free."""
        if not is_behind:
            return await self._ask(place.acquire, ends - self._clock.monotonic())
        while True:
            grant = await self._ask(place.acquire, 0.0)
            if isinstance(grant, Granted) or self._clock.monotonic() + grant.wait > ends:
                return grant
            await self._wait(grant.wait, "a limit, behind the calls of other lanes")

    async def _ask(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Ask the limit store; a place is neither taken nor given back by halves."""
        return await self._io.ask_whole(function, *args, **kwargs)

    async def _end_place(self) -> None:
        await self._ask(self._place.end)

    async def _send(self) -> Outcome:
        started = self._sent_at = self._clock.monotonic()
        seconds = min(self.plan.total_seconds, self._deadline - started)
        if seconds <= 0:
            raise self._error(DeadlineExceeded, "the deadline passed before the request could be sent")
        request = sign(self.plan, self._clock.now())
        self._place.is_sent = True  # the API may have counted an interrupted request
        outcome = await self._io.send(request, seconds)
        recount = (
            self.runtime.recount(self.plan, self._place, outcome, lambda: self._facts(outcome))
            if self.plan.is_counted
            else None
        )
        was_sent = not isinstance(outcome, Failure) or outcome.sent
        self._place.is_sent = was_sent and (recount is None or recount.keeps_place)
        if self.runtime.limits.are_settled:
            self._place.costs = settled_costs(
                self._place.spends,
                lambda: {} if isinstance(outcome, Failure) else outcome.headers,
                lambda: self._json(outcome),
            )
        await self._end_place()
        if recount is not None:
            self._place = Place(self._io.limits, recount.spends, recount.gates)
            if recount.counted:
                await self._io.ask_limits(self._io.limits.count, recount.counted)
        self._seconds = self._clock.monotonic() - started
        return outcome

    def _find_closing(self, outcome: Outcome, verdict: Verdict) -> Closing | None:
        """The gates that a refused call closes."""
        if not verdict.gate_seconds > 0 or not self.plan.is_counted:
            return None
        refusals = 1 + sum(one.action == "wait" for one in self.attempts)
        return self.runtime.gates_to_close(self._place, outcome, self._facts(outcome), refusals)

    async def _learn(self, outcome: Outcome, verdict: Verdict, closing: Closing | None) -> None:
        """Take in what a response says about limits, and stop calls under the same keys for as long."""
        if not self.plan.is_counted:
            return
        learn = self.runtime.learner(
            self.plan, self._place.spends, outcome, lambda: self._json(outcome), self._sent_at,
            is_refused=closing is not None,
        )  # fmt: skip
        if learn is not None:
            await self._io.ask_limits(learn, self._io.limits)
        if closing is not None:
            seconds = min(verdict.gate_seconds, LONGEST_GATE)
            self._emit("gate", seconds, verdict.rule, self.attempts[-1])
            await self._io.ask_limits(self._io.limits.close_gate, closing.gates, seconds)

    def _within_deadline(self, verdict: Verdict) -> Verdict:
        """The verdict, or the one that ends the call if the next attempt would be after the deadline."""
        patience = current_patience()
        if patience is not None and verdict.action == "wait" and verdict.seconds > patience.seconds:
            rule = f"{verdict.rule}, but a job does not wait {verdict.seconds:.3f} s in a worker"
            return replaced(verdict, action="fail", rule=rule, limited=True)
        if verdict.action in FINAL or self._clock.monotonic() + verdict.seconds < self._deadline:
            return verdict
        rule = f"{verdict.rule}, but the {verdict.action} of {verdict.seconds:.3f} s ends after the deadline"
        return replaced(verdict, action="fail", rule=rule, limited=verdict.action == "wait", is_late=True)

    async def _wait(self, seconds: float, reason: str) -> None:
        self._waited += seconds
        self._emit("wait", seconds, reason)
        await self._io.wait(seconds)

    async def _refresh(self, outcome: Outcome) -> bool:
        """Replace refused credentials, or answer the response's challenge; at most once in a call."""
        self._has_refreshed = True
        plan, tokens = self.plan, self.runtime.tokens
        if isinstance(outcome, Failure):
            return False
        challenged = answer_challenge(plan, outcome.headers)
        if challenged is not None:
            self.plan = challenged
            return True
        if tokens is None or not tokens.can_refresh(plan.settings):
            return False
        current = plan.settings.connection
        connection = await tokens.refresh(self.runtime, current, self._deadline, self._io, is_refused=True)
        if connection is None or connection is current:
            return False
        self.plan = with_credentials_of(
            plan, bind_settings(self.runtime.integration, connection, self._clock)
        )
        return True

    async def _end_connection(self, outcome: Outcome) -> None:
        """After a refusal: raise if the token has expired and nothing can refresh it."""
        tokens, settings = self.runtime.tokens, self.plan.settings
        if isinstance(outcome, Failure) or outcome.status_code not in REFUSALS or tokens is None:
            return
        if self.plan.is_download:  # it is not the token that is refused
            return
        if tokens.has_ended(settings):
            await tokens.refresh(self.runtime, settings.connection, self._deadline, self._io, is_refused=True)

    def _can_refresh(self) -> bool:
        plan, tokens = self.plan, self.runtime.tokens
        if self._has_refreshed or not plan.replayable or plan.is_download:
            return False
        return plan.settings.mode.answers_challenges or (
            tokens is not None and tokens.can_refresh(plan.settings)
        )

    def _judge(self, outcome: Outcome, attempt: int) -> Verdict:
        """The policy's verdict. Most responses are good ones that no rule mentions."""
        breaker = self._outage.breaker
        if not isinstance(outcome, Failure):
            status = outcome.status_code
            breaker.record_failure() if status in OUTAGE_STATUSES else breaker.record_success()
            if 200 <= status < 300 and not self.runtime.has_rule_for(status):  # noqa: PLR2004 - RFC 9110 section 15
                return GOOD_RESPONSE
        elif outcome.reason not in NOT_THE_API:
            breaker.record_failure()
        verdict = self._policy.decide(self._facts(outcome), attempt)
        if verdict.action == "retry" and breaker.is_open:
            return Verdict("fail", f"{verdict.rule}, but the circuit breaker is open")
        if verdict.action == "retry" and not self._outage.budget.take():
            return Verdict("fail", f"{verdict.rule}, but this integration's retry budget is spent")
        return verdict

    def _facts(self, outcome: Outcome) -> Facts:
        plan = self.plan
        if isinstance(outcome, Failure):
            return Facts(
                plan.method, plan.endpoint, reason=outcome.reason, safe=plan.safe_to_repeat,
                sent=outcome.sent, replayable=plan.replayable or not outcome.sent, request=plan.facts,
            )  # fmt: skip
        return Facts(
            plan.method, plan.endpoint, status=outcome.status_code, header=outcome.headers.get,
            text=lambda: self._text(outcome),
            json=lambda: self._json(outcome),
            requested_wait=lambda: self.runtime.requested_wait(
                outcome, lambda: self._text(outcome), lambda: self._json(outcome)
            ),
            safe=plan.safe_to_repeat, replayable=plan.replayable, refreshable=self._can_refresh(),
            request=plan.facts,
        )  # fmt: skip

    def _text(self, response: Response) -> str:
        return "" if self._is_open(response) else response.text

    def _json(self, outcome: Outcome) -> JsonValue:
        return None if isinstance(outcome, Failure) or self._is_open(outcome) else read_json(outcome)

    def _is_open(self, outcome: Outcome) -> TypeGuard[Response]:
        """Whether the body is still on the socket: a good response to a call with stream=True."""
        return self.plan.stream and not isinstance(outcome, Failure) and outcome.status_code < FIRST_ERROR

    def _redirected_plan(self, outcome: Outcome) -> Plan | None:
        if isinstance(outcome, Failure) or outcome.status_code not in REDIRECTS:
            return None
        if not self._follows_redirects:
            return None
        location = outcome.headers.get("Location")
        if not location:
            return None
        return follow_redirect(self.plan, quote_bytes(location), outcome.status_code)

    def _follow_redirect(self, outcome: Outcome, redirected: Plan, number: int) -> None:
        if number > MAX_REDIRECTS:
            self._record(outcome, Verdict("fail", "too many redirects"))
            raise self._error(TransportFailed, "too many redirects", outcome, reason="redirects")
        self._record(outcome, Verdict("redirect", f"redirect {number} of at most {MAX_REDIRECTS}"))
        if redirected.is_download:
            self._outage = self.runtime.download_outage
        self.plan = redirected

    def _record(self, outcome: Outcome, verdict: Verdict, closing: Closing | None = None) -> None:
        status, reason, received = 0, "", 0
        if isinstance(outcome, Failure):
            reason = outcome.reason
        else:
            status = outcome.status_code
            received = 0 if self._is_open(outcome) else len(outcome.content)
        attempt = Attempt(
            len(self.attempts) + 1, status, reason, self._seconds, self._waited, received, verdict.rule,
            verdict.action, 0.0 if verdict.action in FINAL else verdict.seconds, self.plan.masked_endpoint(),
            self.record.call_id, "" if closing is None else ", ".join(closing.budgets) or WHOLE_QUOTA,
        )  # fmt: skip
        self._waited = 0.0
        self.attempts.append(attempt)
        log_attempt(self.runtime.logger, self.plan, attempt)
        self._emit("attempt", self._seconds, verdict.rule, attempt)

    def _emit(self, kind: str, seconds: float, reason: str, attempt: Attempt | None = None) -> None:
        events, plan = self.runtime.events, self.plan
        if not events.has_listeners(kind):
            return
        connection = plan.settings.connection
        events.emit(
            Event(
                kind, self._clock.now(), connection.integration, connection.user_id, plan.method,
                plan.masked_endpoint(), seconds, reason, attempt, self.record.call_id,
            )
        )  # fmt: skip

    def _result(self, outcome: Outcome, verdict: Verdict) -> Response:
        """The response, or the error if there is none."""
        if isinstance(outcome, Failure):
            if verdict.is_late:
                raise self._error(DeadlineExceeded, f"no time is left to retry; last: {outcome.text}")
            if self._clock.monotonic() >= self._deadline:
                raise self._error(DeadlineExceeded, f"the deadline has passed; last: {outcome.text}")
            raise self._error(TransportFailed, f"{outcome.text} ({verdict.rule})", reason=outcome.reason)
        if verdict.limited and not self._returns_limited:
            wait, status = verdict.gate_seconds, f"status {outcome.status_code}"
            raise self._limit_error(
                f"{status} ({verdict.rule}); retry in {wait:.3f} s", wait, status, outcome
            )
        return outcome

    def _refusal_error(self, wait: float, window: str, ends: float) -> RateLimited:
        """The error for a call that the limits do not let through before `ends`; one cause for each."""
        cap = self._place.cap
        left = max(0.0, ends - self._clock.monotonic())
        later = f"allows the next call in {wait:.3f} s, and this one may wait {left:.3f} s at most"
        if cap and window in {cap, ""} and wait <= POLL_SECONDS:
            return self._limit_error(f"{cap}, and none of them ended before the deadline", wait, cap)
        if wait == inf:
            return self._limit_error(f"{window} never allows a call of this cost", wait, window)
        if window == QUEUE:
            full = f"{MAX_WAITING} calls, the most that may, wait for the same limit already"
            return self._limit_error(f"{full}; it {later}", wait, window)
        if window == GATE:
            return self._limit_error(f"the pause that the API asked for {later}", wait, window)
        return self._limit_error(f"{window or 'a limit that closed during the wait'} {later}", wait, window)

    def _limit_error(
        self, text: str, wait: float, window: str, response: Response | None = None
    ) -> RateLimited:
        retry_at = self._clock.now() + wait
        return self._error(RateLimited, text, response, retry_at=retry_at, window=window)

    def _error(self, kind: type[Error], text: str, response: Outcome | None = None, **details: Any) -> Error:
        plan = self.plan
        self._emit("giving_up", 0.0, text)
        place = f"{plan.settings.connection.integration} {plan.method} /{plan.masked_endpoint()}"
        return kind(
            f"{place}: {text}", plan=plan, attempts=tuple(self.attempts), response=response,
            call_id=self.record.call_id, **details,
        )  # fmt: skip

    def _report_end(self, started: float, result: Response | BaseException) -> None:
        plan, seconds = self.plan, self._clock.monotonic() - started
        connection = plan.settings.connection
        identity = connection.integration, connection.user_id
        log_call(
            self.runtime.logger, identity, plan.method, plan.masked_endpoint, self.record, seconds, result
        )


def read_json(response: Response) -> JsonValue:
    """The body as JSON or XML, or None if it is neither."""
    try:
        return read_body(response)
    except ValueError:
        return None
