"""Whether an outcome is retried, and when. Pure: nothing here waits or sends.

What never reached the API is retried with any method. What it may have received is retried only if a second
request does no harm (RFC 9110 section 9.2.2, or an idempotency key). A wait that the API asks for is kept to
the second, but is never shorter than our own backoff, which has full jitter. docs/retries.md has the table.
"""

from __future__ import annotations

import itertools
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING

from nango_py.config.request_match import RequestFacts, RequestMatch
from nango_py.config.response_match import ResponseMatch, describe_when
from nango_py.record import record, replaced

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from nango_py.json_types import JsonValue, Settings
    from nango_py.limits.rules import Refusal


def _load_backoff(name: str) -> ModuleType:
    """A module of the library without its decorators, which import asyncio: a fifth of a start."""
    package = find_spec("backoff")
    spec = PathFinder.find_spec(name, None if package is None else package.submodule_search_locations)
    if spec is None or spec.loader is None:
        return import_module("backoff")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_expo = _load_backoff("_wait_gen").expo
_full_jitter = _load_backoff("_jitter").full_jitter

DEFAULT_MAX_ATTEMPTS = 5
DEFAULT_DEADLINE_SECONDS = 120.0

# 408 and 425 ask for a retry; 501, 505 and the like would be the same every time.
RETRIED_STATUSES = frozenset({408, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 530})
# Those of them that mean an outage of the API.
OUTAGE_STATUSES = RETRIED_STATUSES - {408, 425}
RATE_LIMITED = 429
UNAVAILABLE = 503
UNAUTHORIZED = 401
# The API never received these requests, whatever their method.
UNSENT_RETRIED = frozenset({"dns", "connect"})
SENT_RETRIED = frozenset({"timeout", "reset", "truncated", "protocol"})


@record
class Facts:
    """What rules may look at: the outcome of one attempt.

    Attributes:
        status: the HTTP status, or 0 if there was no response.
        reason: a Failure's reason, or "".
        header: the value of a header by name, or None.
        text: the body as text, read only if a rule asks.
        json: the body as JSON, or None if it is not JSON.
        requested_wait: seconds that the response asks to wait (Retry-After, reset headers, body), or None.
        safe: whether the request may be sent again after the API may have received it.
        sent: whether the API may have received the request.
        replayable: whether the body can be sent again.
        refreshable: whether the credential can be refreshed, and was not yet in this call.
        request: what rules for some requests look at.
    """

    method: str
    endpoint: str
    status: int = 0
    reason: str = ""
    header: Callable[[str], str | None] = lambda _: None
    text: Callable[[], str] = lambda: ""
    json: Callable[[], JsonValue] = lambda: None
    requested_wait: Callable[[], float | None] = lambda: None
    safe: bool = False
    sent: bool = True
    replayable: bool = True
    refreshable: bool = False
    request: Callable[[], RequestFacts] = lambda: RequestFacts("", "")


@record
class Verdict:
    """What to do after an attempt.

    Attributes:
        action: `return` (a good response, or one that the caller handles), `retry` (after `seconds`),
            `wait` (the API limits calls: after `seconds`; others under the same keys: `gate_seconds`),
            `refresh` or `fail` (as `return`, but an error for raise_for_error).
        rule: the rule that decided, in words for explain().
        seconds: the wait before the next attempt.
        gate_seconds: how long no call under the same keys may be sent; 0 if no gate is closed.
        limited: whether this `fail` is a rate limit that the call may not wait out.
        is_late: whether this `fail` would have been another attempt, but for the deadline.
    """

    action: str
    rule: str
    seconds: float = 0.0
    gate_seconds: float = 0.0
    limited: bool = False
    is_late: bool = False


@record
class Backoff:
    """Our own waits: full jitter over `base * 2**n`, at least `floor` and at most `cap` seconds.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    base: float = 0.5
    cap: float = 20.0
    floor: float = 0.0

    def seconds(self, failures: int) -> float:
        """The wait after this number of failed attempts (1 for the first)."""
        waits = _expo(base=2, factor=self.base, max_value=self.cap)
        next(waits)  # the library's generators start with an empty value
        ceiling = next(itertools.islice(waits, failures - 1, None))
        return max(self.floor, float(_full_jitter(ceiling)))


@record
class Rule:
    """One entry of `retries.rules`.

    Attributes:
        allow_duplicates: whether `retry` may repeat what is not safe to repeat.
        match: the requests that it is for; None for all.
    """

    name: str
    when: ResponseMatch
    do: str
    allow_duplicates: bool = False
    max_attempts: int | None = None
    backoff: Backoff | None = None
    match: RequestMatch | None = None

    def applies(self, facts: Facts) -> bool:
        """Whether the rule is for this request and its outcome."""
        return self.when.holds(facts) and (self.match is None or self.match.fits(facts.request()))


@record
class RetryPolicy:
    """The `retries:` block of a blueprint, with its defaults."""

    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    deadline_seconds: float = DEFAULT_DEADLINE_SECONDS
    rules: tuple[Rule, ...] = ()
    backoff: Backoff = Backoff()
    refusals: tuple[Refusal, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings | None, refusals: tuple[Refusal, ...] = ()) -> RetryPolicy:
        """The policy of a checked `retries:` block; the default policy for None.

        Args:
            settings: the block.
            refusals: the responses that `rate_limits.refusals` describes; they are waited out.
        """
        if not settings:
            return cls(refusals=refusals)
        allow_duplicates = settings.get("allow_duplicate_posts", False)
        return cls(
            max_attempts=settings.get("max_attempts", DEFAULT_MAX_ATTEMPTS),
            deadline_seconds=float(settings.get("deadline_seconds", DEFAULT_DEADLINE_SECONDS)),
            rules=tuple(
                _parse_rule(number, entry, allow_duplicates=allow_duplicates)
                for number, entry in enumerate(settings.get("rules", ()), start=1)
            ),
            backoff=_parse_backoff(settings.get("backoff")) or Backoff(),
            refusals=refusals,
        )

    def has_rule_for(self, status: int) -> bool:
        """Whether a rule of the blueprint could apply to responses with this status."""
        conditions = [rule.when for rule in self.rules] + [one.when for one in self.refusals]
        return any(when.may_hold_for(status) for when in conditions)

    def decide(self, facts: Facts, attempt: int) -> Verdict:
        """What to do after attempt number `attempt` (1 for the first)."""
        rule = self.rule_for(facts)
        if rule is not None:
            return self._apply(rule, facts, attempt)
        for refusal in self.refusals:
            if refusal.when.holds(facts):
                return self._retry("wait", f"refusal: {refusal.text}", facts, attempt)
        return self._apply_defaults(facts, attempt)

    def rule_for(self, facts: Facts) -> Rule | None:
        """The first of the blueprint's rules that applies to an outcome."""
        return next((rule for rule in self.rules if rule.applies(facts)), None)

    def is_refusal(self, facts: Facts) -> bool:
        """Whether `rate_limits.refusals` describes the outcome."""
        return any(refusal.when.holds(facts) for refusal in self.refusals)

    def at_most(self, attempts: int) -> RetryPolicy:
        """The same policy with at most this number of attempts, also for its rules."""
        rules = tuple(
            rule
            if rule.max_attempts is None
            else replaced(rule, max_attempts=min(rule.max_attempts, attempts))
            for rule in self.rules
        )
        return replaced(self, max_attempts=min(self.max_attempts, attempts), rules=rules)

    def _apply(self, rule: Rule, facts: Facts, attempt: int) -> Verdict:
        if rule.do in {"ignore", "success"}:
            return Verdict("return", rule.name)
        if rule.do == "fail":
            return Verdict("fail", rule.name)
        if rule.do == "refresh":
            return Verdict("refresh" if facts.refreshable else "fail", rule.name)
        if rule.do == "retry" and facts.sent and not facts.safe and not rule.allow_duplicates:
            return Verdict("fail", f"{rule.name}, not repeatable")
        # A rule with "wait" is its author's word that the API refused the request and did nothing.
        limit = self.max_attempts if rule.max_attempts is None else rule.max_attempts
        return self._retry(rule.do, rule.name, facts, attempt, limit, rule.backoff or self.backoff)

    def _apply_defaults(self, facts: Facts, attempt: int) -> Verdict:
        status, reason = facts.status, facts.reason
        name = f"built-in: {status or reason}"
        if reason:
            may = reason in UNSENT_RETRIED or (reason in SENT_RETRIED and (facts.safe or not facts.sent))
            return self._retry("retry", name, facts, attempt) if may else Verdict("fail", name)
        if status == RATE_LIMITED:
            return self._retry("wait", name, facts, attempt)
        if status == UNAVAILABLE and facts.requested_wait() is not None:
            if facts.safe:
                return self._retry("wait", name, facts, attempt)
            return Verdict("fail", f"{name}, not repeatable", gate_seconds=facts.requested_wait() or 0.0)
        if status in RETRIED_STATUSES:
            if facts.safe:
                return self._retry("retry", name, facts, attempt)
            return Verdict("fail", f"{name}, not repeatable")
        if status == UNAUTHORIZED and facts.refreshable:
            return Verdict("refresh", name)
        return Verdict("fail" if status >= 400 else "return", name)  # noqa: PLR2004 - RFC 9110 section 15

    def _retry(
        self,
        action: str,
        name: str,
        facts: Facts,
        attempt: int,
        limit: int = 0,
        backoff: Backoff | None = None,
    ) -> Verdict:
        """Retry or wait, unless this was the last attempt or the body cannot be sent again."""
        is_limited = action == "wait"
        requested = facts.requested_wait() if is_limited else None
        own = (backoff or self.backoff).seconds(attempt)
        # A wait of 0 is a rounded one: five attempts within a second would not help.
        seconds = own if requested is None else max(own, requested)
        gate = (requested or own) if is_limited else 0.0
        if attempt >= (limit or self.max_attempts):
            name = f"{name}, attempt {attempt} was the last"
        elif not facts.replayable:
            name = f"{name}, the body cannot be sent again"
        else:
            return Verdict(action, name, seconds, gate)
        return Verdict("fail", name, gate_seconds=gate, limited=is_limited)


def _parse_rule(number: int, entry: Settings, *, allow_duplicates: bool) -> Rule:
    return Rule(
        name=f"rule {number}: {describe_when({**entry.get('match', {}), **entry['when']})} -> {entry['do']}",
        when=ResponseMatch.from_settings(entry["when"]),
        do=entry["do"],
        allow_duplicates=entry.get("allow_duplicate_posts", allow_duplicates),
        max_attempts=entry.get("max_attempts"),
        backoff=_parse_backoff(entry.get("backoff")),
        match=RequestMatch.from_settings(entry["match"]) if "match" in entry else None,
    )


def _parse_backoff(settings: Settings | None) -> Backoff | None:
    if settings is None:
        return None
    keys = {"base": "base_seconds", "cap": "max_seconds", "floor": "min_seconds"}
    return Backoff(**{name: float(settings[key]) for name, key in keys.items() if key in settings})
