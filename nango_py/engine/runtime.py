"""An integration made ready to be called: its rules compiled once, shared by all its connections."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from nango_py.clock import SYSTEM_CLOCK
from nango_py.config.template.filters import TemplateProblem
from nango_py.engine.commands import Learn
from nango_py.engine.events import KINDS, Event, Events
from nango_py.engine.log import get_logger, log_attempt, log_token
from nango_py.engine.outage import Outage
from nango_py.engine.retry import RetryPolicy
from nango_py.errors import ConfigError, Position, Problem, ProviderError, printable
from nango_py.limits.headers.header_reader import HeaderReader
from nango_py.limits.learning import Learning
from nango_py.limits.rules import CallFacts, RateLimits, endpoint_of
from nango_py.registry import PAGINATORS
from nango_py.secret import masked
from nango_py.transport.sendable import Failure

if TYPE_CHECKING:
    from nango_py.attempt import Attempt
    from nango_py.clock import Clock
    from nango_py.config.model import Integration
    from nango_py.connections.connection import Connection
    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.engine.plan import Plan
    from nango_py.engine.request_encoding import Pairs
    from nango_py.limits.limit_types import Spend
    from nango_py.pagination.base import Paginator
    from nango_py.tokens.renewal import TokenLife
    from nango_py.transport.pools import BoundedCache


class IntegrationRuntime:
    """What every executor of one integration shares. Knows no credential.

    Attributes:
        retries: when to try again.
        limits: what a call spends.
        outage: the retry budget and the circuit breaker of this integration in this process.
        events: who listens to what happens in calls.
        hint: a sentence on this API version's end of life, or "".
    """

    def __init__(
        self,
        integration: Integration,
        clock: Clock = SYSTEM_CLOCK,
        events: Events | None = None,
        learning: Learning | None = None,
        life: TokenLife | None = None,
    ) -> None:
        settings = integration.settings
        self.integration = integration
        self.retries = RetryPolicy.from_settings(settings.get("retries"))
        self._retry_settings = settings.get("retries")
        self.outage = Outage(clock, self._retry_settings)
        self.events = Events() if events is None else events
        self.learning = Learning(clock) if learning is None else learning
        self._clock = clock
        self._life = life
        self.limits = RateLimits.from_settings(settings.get("rate_limits"))
        self.limit_headers = (settings.get("rate_limits") or {}).get("headers")
        self._reader = HeaderReader(self.limit_headers)
        self.logger = get_logger(integration.name, integration.log_level)
        self.hint = end_of_life_hint(integration)
        self._errors = settings.get("errors") or {}

    @cached_property
    def paginator(self) -> Paginator | None:
        """How to find the next page, or None where the blueprint names no way; made when it is needed."""
        pagination = self.integration.settings.get("pagination")
        return PAGINATORS.get(pagination["kind"]).from_settings(pagination) if pagination else None

    @property
    def life(self) -> TokenLife:
        """The renewals of tokens; only a Nango's routes have them."""
        assert self._life is not None  # noqa: S101 - a Nango gives it
        return self._life

    def outage_of(self, stamp: BoundRequestSettings) -> Outage:
        """The retry budget and the circuit breaker of a connection's calls.

        A host that a user named has its own: when it fails, the others' do not.
        """
        if stamp.guard is None:
            return self.outage
        return self._outages.get(stamp.base_url, lambda: Outage(self._clock, self._retry_settings))

    @cached_property
    def _outages(self) -> BoundedCache[Outage]:
        from nango_py.transport.pools import BoundedCache

        return BoundedCache()

    def spend(self, plan: Plan) -> tuple[tuple[Spend, ...], tuple[str, ...]]:
        """The budgets that a plan spends from, and the gates it obeys; learned where none are written."""
        facts = CallFacts(plan.method, plan.endpoint, _by_name(plan.pairs))
        try:
            spends, gates = self.limits.admission(facts, plan.stamp.variables())
        except TemplateProblem as found:
            problem = found
        else:
            return (spends, gates) if self.limits.has_budgets else (self._learned(plan), gates)
        raise self._misfit(plan.stamp, problem)

    def hold(self, plan: Plan) -> float:
        """Seconds to wait for the first response of an API without written limits; 0.0 where it has come."""
        if self.limits.has_budgets:
            return 0.0
        return self.learning.hold(self.limits.scope_of(plan.stamp.variables()))

    def lesson(self, plan: Plan, spends: tuple[Spend, ...], response: Any, *, refused: bool) -> Learn | None:
        """What a response, or its failure to come, tells of limits; None where that is nothing new."""
        if isinstance(response, Failure):
            if not self.limits.has_budgets:
                self.learning.unanswered(self.limits.scope_of(plan.stamp.variables()))
            return None
        seen = self._reader.read(response.raw.headers, self._clock.now())
        if not seen and self.limits.has_budgets:
            return None
        scope = self.limits.scope_of(plan.stamp.variables())
        endpoint = f"{plan.method} {endpoint_of(plan.endpoint)}"
        return Learn(self.learning, (scope, endpoint, spends, seen), refused=refused)

    def scope(self, stamp: BoundRequestSettings) -> str:
        """Whose quota a connection's calls use.

        Raises:
            ConfigError: `counted_per` cannot be filled in for this connection.
        """
        try:
            return self.limits.scope_of(stamp.variables())
        except TemplateProblem as found:
            problem = found
        raise self._misfit(stamp, problem)

    def _misfit(self, stamp: BoundRequestSettings, problem: TemplateProblem) -> ConfigError:
        place = Position(f"{self.integration.name}/{printable(stamp.connection.user_id)}")
        what = f"rate_limits: {problem.what}"
        return ConfigError([Problem(place, problem.code, what, problem.expected, problem.help)])

    def _learned(self, plan: Plan) -> tuple[Spend, ...]:
        scope = self.limits.scope_of(plan.stamp.variables())
        return self.learning.spends(scope, f"{plan.method} {endpoint_of(plan.endpoint)}", ())

    def report(self, plan: Plan, attempt: Attempt) -> None:
        """Log an attempt."""
        log_attempt(self.logger, plan, attempt)

    def tell_of_token(self, connection: Connection, what: str, why: str = "") -> None:
        """Log what became of a connection's token; `needs_reauth` and `not_revoked` are events too."""
        log_token(self.logger, connection, what, why)
        if what in KINDS and self.events.wanted(what):
            names = connection.integration, connection.user_id, "", ""
            self.events.emit(Event(what, self._clock.now(), *names, reason=printable(why, 300)))

    def provider_error(self, response: Any, plan: Plan) -> ProviderError:
        """The error that a response means, read as the blueprint's `errors` say."""
        code, message = self.read_error(response, plan)
        name = f"{self.integration.name} {plan.method} /{plan.endpoint}"
        text = f"{name}: status {response.status_code}"
        text += f", {code}" if code else ""
        text += f": {message}" if message else ""
        return ProviderError(
            f"{text}; {self.hint}" if self.hint and response.status_code == GONE else text,
            status=response.status_code, code=code, provider_message=message,
            plan=plan, attempts=response.attempts, response=response,
        )  # fmt: skip

    def read_error(self, response: Any, plan: Plan) -> tuple[str, str]:
        """Code and message of a bad response as the blueprint's `errors` read them, masked; "" for none."""
        try:
            body = response.json()
        except ValueError:
            return "", ""
        import jmespath

        found = {}
        for key in ("code", "message"):
            path = self._errors.get(key)
            value = jmespath.search(path, body) if path else None
            # An API may echo what it was sent, the key included.
            found[key] = "" if value is None else masked(printable(str(value), 500), plan.stamp.secrets)
        return found["code"], found["message"]


GONE = 410


def end_of_life_hint(integration: Integration) -> str:
    """A sentence on the end of this API version's life, or "" while no end is known."""
    status = integration.status
    if status.retires_on:
        end = f"retires on {status.retires_on}"
    elif status.deprecated_on:
        end = f"is deprecated since {status.deprecated_on}"
    else:
        return ""
    target = f'; move to blueprint "{status.migrate_to}"' if status.migrate_to else ""
    return f'the API version of blueprint "{integration.blueprint}" {end}{target}'


def _by_name(pairs: Pairs) -> dict[str, Any]:
    """Query parameters by name, a list where a name stands more than once."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            known = found[name]
            found[name] = [*known, value] if isinstance(known, list) else [known, value]
        else:
            found[name] = value
    return found
