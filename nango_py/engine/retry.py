"""Which outcome is tried again, and when. Pure: nothing here waits or sends.

Retries go by blame and by safety. What never reached the API is tried again with any method; what it may
have seen, only where a second sending does no harm (RFC 9110 section 9.2.2, or an idempotency key). A wait
that the API asks for is kept to the second; our own backoff has full jitter. docs/retries.md has the table.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nango_py.config.urls.path_patterns import path_fits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_MAX_ATTEMPTS = 5
DEFAULT_DEADLINE_SECONDS = 120.0

# 408 and 425 say "again"; 501, 505 and their like would answer the same for ever.
RETRIED_STATUSES = frozenset({408, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 530})
# Those of them that speak of the API as a whole.
OUTAGE_STATUSES = RETRIED_STATUSES - {408, 425}
RATE_LIMITED = 429
UNAVAILABLE = 503
UNAUTHORIZED = 401
# The API never saw these, whatever the method was.
UNSENT_RETRIED = frozenset({"dns", "connect"})
SENT_RETRIED = frozenset({"timeout", "reset", "truncated", "protocol"})


@dataclass(frozen=True, slots=True)
class Facts:
    """What a rule may look at: one outcome of one attempt.

    Attributes:
        status: the HTTP status, or 0 where there was no response.
        reason: a Failure's reason, or "".
        header: value of a header by name, or None.
        text: the body as text, read when a rule asks.
        json: the body as JSON, or None where it is not JSON.
        requested_wait: seconds that the response asks to wait (Retry-After, reset headers, body), or None.
        safe: whether the request may be sent a second time once the API may have seen it.
        sent: whether the API may have seen the request.
        replayable: whether the body still exists to be sent again.
        refreshable: whether the credential can be renewed and was not yet, in this call.
    """

    method: str
    endpoint: str
    status: int = 0
    reason: str = ""
    header: Callable[[str], str | None] = lambda _: None
    text: Callable[[], str] = lambda: ""
    json: Callable[[], Any] = lambda: None
    requested_wait: Callable[[], float | None] = lambda: None
    safe: bool = False
    sent: bool = True
    replayable: bool = True
    refreshable: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with an outcome.

    Attributes:
        action: `return` (a good response, or one that is the caller's business), `retry` (after `seconds`),
            `wait` (the API limits us: after `seconds`, and so does everyone under the same key), `refresh`
            or `fail` (as `return`, but an error for raise_for_error).
        seconds: the wait before the next attempt.
        gate_seconds: how long nobody under this call's keys may send; 0 where no gate closes.
        limited: whether this `fail` is a rate limit that the call may not wait out.
        rule: the rule that decided, in words for explain().
    """

    action: str
    rule: str
    seconds: float = 0.0
    gate_seconds: float = 0.0
    limited: bool = False


@dataclass(frozen=True, slots=True)
class Backoff:
    """Our own waits: full jitter over `base * 2**n`, never above `cap` seconds.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    base: float = 0.5
    cap: float = 20.0

    def seconds(self, failures: int) -> float:
        """The wait after so many failed attempts (1 for the first)."""
        import backoff

        waits = backoff.expo(base=2, factor=self.base, max_value=self.cap)
        next(waits)  # both lines of the library start with an empty value
        ceiling = 0.0
        for _ in range(failures):
            ceiling = next(waits)
        return float(backoff.full_jitter(ceiling))


@dataclass(frozen=True, slots=True)
class When:
    """The conditions of a rule; all that are given must hold."""

    statuses: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    path: str = ""
    headers: tuple[tuple[str, str | None], ...] = ()
    body_contains: str = ""
    json_path: Any = None
    json_equals: Any = None
    errors: tuple[str, ...] = ()

    def may_hold_for(self, status: int) -> bool:
        """Whether a response with this status could be one that the rule speaks of."""
        if self.statuses:
            return any(_status_fits(pattern, status) for pattern in self.statuses)
        return not self.errors

    def holds(self, facts: Facts) -> bool:
        """Whether the outcome is one that the rule speaks of. Cheap conditions are looked at first."""
        return (
            (not self.statuses or any(_status_fits(status, facts.status) for status in self.statuses))
            and (not self.errors or facts.reason in self.errors)
            and bool(self.statuses or self.errors or facts.status)
            and (not self.methods or facts.method in self.methods)
            and (not self.path or path_fits(self.path, facts.endpoint))
            and all(_header_fits(facts.header(name), value) for name, value in self.headers)
            and (not self.body_contains or self.body_contains in facts.text())
            and (self.json_path is None or self.json_path.search(facts.json()) == self.json_equals)
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `retries.rules`.

    Attributes:
        allow_duplicates: whether `retry` may repeat what is not safe to repeat.
    """

    name: str
    when: When
    do: str
    allow_duplicates: bool = False
    max_attempts: int | None = None
    backoff: Backoff | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The `retries:` block of a blueprint, with its defaults."""

    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    deadline_seconds: float = DEFAULT_DEADLINE_SECONDS
    rules: tuple[Rule, ...] = ()
    backoff: Backoff = field(default_factory=Backoff)
    idempotency_header: str = ""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any] | None) -> RetryPolicy:
        """The policy that a checked `retries:` block means; None means the defaults."""
        if not settings:
            return cls()
        default = _backoff(settings.get("backoff")) or Backoff()
        return cls(
            max_attempts=settings.get("max_attempts", DEFAULT_MAX_ATTEMPTS),
            deadline_seconds=float(settings.get("deadline_seconds", DEFAULT_DEADLINE_SECONDS)),
            rules=tuple(
                _rule(number, entry, duplicates=settings.get("allow_duplicate_posts", False))
                for number, entry in enumerate(settings.get("rules", ()), start=1)
            ),
            backoff=default,
            idempotency_header=settings.get("idempotency_header", ""),
        )

    def has_rule_for(self, status: int) -> bool:
        """Whether a rule of the blueprint could speak of responses with this status."""
        return any(rule.when.may_hold_for(status) for rule in self.rules)

    def decide(self, facts: Facts, attempt: int) -> Verdict:
        """What to do after attempt number `attempt` (1 for the first) ended so."""
        rule = self.rule_for(facts)
        return self._built_in(facts, attempt) if rule is None else self._apply(rule, facts, attempt)

    def rule_for(self, facts: Facts) -> Rule | None:
        """The blueprint's rule that speaks of an outcome, if there is one; the first match wins."""
        return next((rule for rule in self.rules if rule.when.holds(facts)), None)

    def at_most(self, attempts: int) -> RetryPolicy:
        """The same policy for somebody who waits for the response: no rule may try more often."""
        rules = tuple(
            rule
            if rule.max_attempts is None
            else replace(rule, max_attempts=min(rule.max_attempts, attempts))
            for rule in self.rules
        )
        return replace(self, max_attempts=min(self.max_attempts, attempts), rules=rules)

    def _apply(self, rule: Rule, facts: Facts, attempt: int) -> Verdict:
        if rule.do in {"ignore", "success"}:
            return Verdict("return", rule.name)
        if rule.do == "fail":
            return Verdict("fail", rule.name)
        if rule.do == "refresh":
            return Verdict("refresh" if facts.refreshable else "fail", rule.name)
        if rule.do == "retry" and facts.sent and not facts.safe and not rule.allow_duplicates:
            return Verdict("fail", f"{rule.name}, not repeatable")
        # A rule that says "wait" is the author's word that the API refused and did nothing.
        limit = self.max_attempts if rule.max_attempts is None else rule.max_attempts
        return self._again(rule.do, rule.name, facts, attempt, limit, rule.backoff or self.backoff)

    def _built_in(self, facts: Facts, attempt: int) -> Verdict:
        status, reason = facts.status, facts.reason
        name = f"built-in: {status or reason}"
        if reason:
            may = reason in UNSENT_RETRIED or (reason in SENT_RETRIED and (facts.safe or not facts.sent))
            return self._again("retry", name, facts, attempt) if may else Verdict("fail", name)
        if status == RATE_LIMITED:
            return self._again("wait", name, facts, attempt)
        if status == UNAVAILABLE and facts.requested_wait() is not None:
            if facts.safe:
                return self._again("wait", name, facts, attempt)
            return Verdict("fail", f"{name}, not repeatable", gate_seconds=facts.requested_wait() or 0.0)
        if status in RETRIED_STATUSES:
            if facts.safe:
                return self._again("retry", name, facts, attempt)
            return Verdict("fail", f"{name}, not repeatable")
        if status == UNAUTHORIZED and facts.refreshable:
            return Verdict("refresh", name)
        return Verdict("fail" if status >= 400 else "return", name)  # noqa: PLR2004 - RFC 9110 section 15

    def _again(
        self,
        action: str,
        name: str,
        facts: Facts,
        attempt: int,
        limit: int = 0,
        backoff: Backoff | None = None,
    ) -> Verdict:
        """Once more, unless the attempts are used up or the body is gone."""
        told = facts.requested_wait() if action == "wait" else None
        seconds = (backoff or self.backoff).seconds(attempt) if told is None else told
        gate = seconds if action == "wait" else 0.0
        limited = action == "wait"
        if attempt >= (limit or self.max_attempts):
            return Verdict(
                "fail", f"{name}, attempt {attempt} was the last", gate_seconds=gate, limited=limited
            )
        if not facts.replayable:
            return Verdict(
                "fail", f"{name}, the body cannot be sent again", gate_seconds=gate, limited=limited
            )
        return Verdict(action, name, seconds, gate)


def _rule(number: int, entry: Mapping[str, Any], *, duplicates: bool) -> Rule:
    return Rule(
        name=f"rule {number}: {' '.join(map(str, _flat(entry['when'])))} -> {entry['do']}",
        when=when_of(entry["when"]),
        do=entry["do"],
        allow_duplicates=entry.get("allow_duplicate_posts", duplicates),
        max_attempts=entry.get("max_attempts"),
        backoff=_backoff(entry.get("backoff")),
    )


def when_of(settings: Mapping[str, Any]) -> When:
    """The conditions that a checked `when:` block means."""
    json_rule = settings.get("json")
    compiled = None
    if json_rule is not None:
        import jmespath

        compiled = jmespath.compile(json_rule["path"])
    header = settings.get("header", {})
    return When(
        statuses=tuple(map(str, _many(settings.get("status")))),
        methods=tuple(method.upper() for method in _many(settings.get("method"))),
        path=settings.get("path", ""),
        headers=tuple(({header: None} if isinstance(header, str) else header).items()),
        body_contains=settings.get("body_contains", ""),
        json_path=compiled,
        json_equals=json_rule["equals"] if json_rule else None,
        errors=_many(settings.get("error")),
    )


def _flat(when: Mapping[str, Any]) -> list[Any]:
    return [part for key, value in when.items() for part in (key, *_many(value))]


def _many(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _backoff(settings: Mapping[str, Any] | None) -> Backoff | None:
    if settings is None:
        return None
    return Backoff(float(settings.get("base_seconds", 0.5)), float(settings.get("max_seconds", 20.0)))


def _status_fits(pattern: str, status: int) -> bool:
    return pattern == str(status) or (pattern.endswith("xx") and pattern[:-2] == str(status // 100))


def _header_fits(value: str | None, wanted: str | None) -> bool:
    return value is not None and (wanted is None or value == wanted)
