"""An integration ready to be called: its rules, compiled once and shared by all its connections."""

from __future__ import annotations

from copy import copy
from functools import lru_cache, partial
from importlib import import_module
from typing import TYPE_CHECKING

from nango_py.auth.base import mode_of
from nango_py.clock import SYSTEM_CLOCK
from nango_py.config.endpoints import DEFAULT
from nango_py.config.pagination_merge import overlay_pagination
from nango_py.config.template.filters import TemplateProblem
from nango_py.engine.bound_settings import config_of, template_error
from nango_py.engine.call_arguments import facts_of
from nango_py.engine.events import KINDS, Event, Events
from nango_py.engine.log import get_logger, log_token
from nango_py.engine.outage import Outage
from nango_py.engine.place import Closing, Recount
from nango_py.engine.quotas import SUCCESSES, Quotas
from nango_py.engine.request_body import resolve_body
from nango_py.engine.response_body import read_body
from nango_py.engine.retry import UNAUTHORIZED, RetryPolicy
from nango_py.errors import ConfigError, Position, Problem, ProviderError, printable
from nango_py.json_path import prepare, search_json
from nango_py.limits.headers.declared import DeclaredLimits
from nango_py.limits.headers.header_reader import HeaderReader
from nango_py.limits.learning import Learning, limit_of
from nango_py.limits.rules import RateLimits, endpoint_of
from nango_py.registry import GENERAL_KIND, PAGINATORS
from nango_py.secret import leaves, mask_secrets
from nango_py.transport.bounded_cache import BoundedCache
from nango_py.transport.sendable import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.clock import Clock
    from nango_py.config.endpoints import EndpointSettings
    from nango_py.config.model import Integration
    from nango_py.connections.connection import Connection
    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.engine.call_arguments import Call
    from nango_py.engine.deprecation import DeprecationNotices
    from nango_py.engine.graphql import GraphQLList
    from nango_py.engine.interfaces import TokenRefresher
    from nango_py.engine.place import Place
    from nango_py.engine.plan import Plan
    from nango_py.engine.retry import Facts
    from nango_py.json_types import JsonValue, Settings
    from nango_py.limits.headers.dialects import LimitStatus
    from nango_py.limits.limit_types import LimitStore, Spend
    from nango_py.pagination.base import Paginator
    from nango_py.transport.response import Response


class IntegrationRuntime:
    """What all executors of one integration share. It holds no credential of a user.

    Attributes:
        integration: the configuration that this was compiled from.
        clock: the time.
        retries: when to retry.
        has_rule_for: whether one of their rules could apply to responses with a status.
        limits: what a call spends.
        quotas: whose quotas connections use.
        outage: the retry budget and the circuit breaker of this integration in this process.
        download_outage: the same for its `download_hosts`.
        events: the listeners to what happens in calls.
        tokens: how to refresh tokens, or None.
        end_of_life: a sentence about the end of this API version's life, or "".
        paginator: how to find the next page, or None if the blueprint does not say.
    """

    def __init__(
        self,
        integration: Integration,
        clock: Clock = SYSTEM_CLOCK,
        events: Events | None = None,
        learning: Learning | None = None,
        tokens: TokenRefresher | None = None,
    ) -> None:
        settings = integration.settings
        self.integration = integration
        self._retry_settings = settings.get("retries")
        self.events = Events() if events is None else events
        self.limits = RateLimits.from_settings(settings.get("rate_limits"))
        self.retries = RetryPolicy.from_settings(self._retry_settings, self.limits.refusals)
        # Programs see few statuses.
        self.has_rule_for = lru_cache(maxsize=64)(self.retries.has_rule_for)
        self._declared = DeclaredLimits(settings.get("rate_limits"))
        self.logger = get_logger(integration.name, integration.log_level)
        self.end_of_life = describe_end_of_life(integration)
        self._error_paths = settings.get("errors") or {}
        self.paginator = _paginator_of(settings.get("pagination"))
        _import_what_calls_need(integration)
        self.begin(clock, learning, tokens)

    def begin(
        self,
        clock: Clock,
        learning: Learning | None,
        tokens: TokenRefresher | None,
        *,
        is_trial: bool = False,
    ) -> None:
        """Make what changes with calls; the rest can be shared."""
        self.clock = clock
        self.outage = Outage(clock, self._retry_settings)
        self.download_outage = Outage(clock, self._retry_settings)
        self._outages: BoundedCache[Outage] = BoundedCache()
        self.learning = Learning(clock) if learning is None else learning
        self.tokens = tokens
        self._header_reader = HeaderReader(self._declared)
        self.quotas = Quotas(self.limits, self.integration, is_trial=is_trial)
        self._notices: DeprecationNotices | None = None

    def fresh_copy(self, clock: Clock) -> IntegrationRuntime:
        """The same integration without tokens, and without knowledge of earlier calls."""
        other = copy(self)
        other.begin(clock, None, None)
        return other

    def for_trial(self, tokens: TokenRefresher) -> IntegrationRuntime:
        """The same integration for credentials that are not stored.

        It has other tokens, a separate retry budget and circuit breaker, and its calls count apart, because
        the provider has not vouched for what a user typed.
        """
        other = copy(self)
        other.begin(self.clock, self.learning, tokens, is_trial=True)
        return other

    def settings_for(self, call: Call, connection: Connection) -> EndpointSettings:
        """What the blueprint says of the endpoint of a call."""
        endpoints = self.integration.requests.endpoints
        if not endpoints:
            return DEFAULT
        return endpoints.settings_for(facts_of(call, config_of(self.integration, connection)))

    def with_body(self, call: Call, connection: Connection) -> Call:
        """The call with `body` as `json` or `data`, as its endpoint takes it."""
        if call.body is None:
            return call
        own = self.settings_for(call, connection)
        return resolve_body(call, own.body_format or self.integration.requests.body_format)

    def paginator_for(
        self,
        call: Call,
        connection: Connection,
        given: Settings | None,
        of_graphql: GraphQLList | None = None,
    ) -> Paginator:
        """How to find the next page of a list.

        Args:
            call: the request for it.
            connection: whose list it is.
            given: settings for this call, merged over those of the blueprint.
            of_graphql: which list of a GraphQL API it is; None for other calls.

        Raises:
            ConfigError: the blueprint has no pagination, or the settings are wrong.
        """
        block = self.integration.settings.get("pagination") or {}
        paginator, own = self.paginator, self.settings_for(call, connection).pagination
        if own is not None:
            block = overlay_pagination(block, own)
        if of_graphql is not None:
            block = of_graphql.pagination(block)
        if given is not None:
            from nango_py.config.pagination_call import merge_pagination

            block = merge_pagination(block, given)
        if own is not None or given is not None or of_graphql is not None:
            paginator = _paginator_of(block)
        if paginator is None:
            help_ = "add pagination: {...} to the blueprint or the entry, or pass pagination={...}"
            place = Position(self.integration.name)
            raise ConfigError([Problem(place, "E501", "the blueprint has no pagination", help=help_)])
        return paginator

    def outage_for(self, settings: BoundRequestSettings) -> Outage:
        """The retry budget and the circuit breaker of a connection's calls.

        A host that a user named has its own, so that its failures do not affect the others.
        """
        if settings.guard is None:
            return self.outage
        return self._outages.get(settings.base_url, lambda: Outage(self.clock, self._retry_settings))

    def spends_of(self, plan: Plan) -> tuple[tuple[Spend, ...], tuple[str, ...]]:
        """The budgets that a plan spends from, learned if none are configured, and the gates it obeys.

        Raises:
            ConfigError: the key of a budget cannot be rendered for this connection.
        """
        settings = plan.settings
        try:
            if not self.quotas.is_newcomer(settings):
                return self._spends_in(plan, self.quotas.scopes(settings))
            apart = self._spends_in(plan, self.quotas.own_scopes(settings))
            shared = self._spends_in(plan, self.quotas.scopes_once_accepted(settings))
            new = self._spends_in(plan, self.quotas.scopes(settings)) if self.limits.has_budgets else apart
        except TemplateProblem as error:
            problem = error
        else:
            return new[0], (*shared[1], *(gate for gate in apart[1] if gate not in shared[1]))
        raise template_error(settings.connection, "rate_limits", problem)

    def mark_of(self, settings: BoundRequestSettings) -> Spend:
        """See `Quotas.mark`.

        Raises:
            ConfigError: `counted_per` cannot be rendered for this connection.
        """
        try:
            return self.quotas.mark(settings)
        except TemplateProblem as error:
            problem = error
        raise template_error(settings.connection, "rate_limits", problem)

    def _spends_in(self, plan: Plan, scopes: tuple[str, ...]) -> tuple[tuple[Spend, ...], tuple[str, ...]]:
        spends, gates = self.limits.spends_and_gates(plan.facts(), plan.settings.variables(), scopes)
        if self.limits.has_budgets:
            return self.learning.with_rates(spends), gates
        return self.learning.spends(scopes[0], _endpoint(plan), ()), gates

    def _blank_spends(self, plan: Plan) -> tuple[Spend, ...]:
        """The spends of a call whose limits only responses state."""
        if not self.limits.has_learned_budgets:
            return ()
        scopes = self.quotas.scopes(plan.settings)
        spends, _ = self.limits.spends_and_gates(plan.facts(), plan.settings.variables(), scopes)
        return tuple(spend for spend in spends if not spend.limits)

    def seconds_to_hold(self, plan: Plan) -> float:
        """Seconds to wait for the first response of an API whose limits it has to state; 0.0 after it."""
        if not self._learns_limits:
            return 0.0
        return self.learning.hold(self.quotas.learning_scope(plan.settings))

    @property
    def _learns_limits(self) -> bool:
        return self.limits.has_learned_budgets or not self.limits.has_budgets

    def learner(
        self,
        plan: Plan,
        spends: tuple[Spend, ...],
        outcome: Response | Failure,
        body: Callable[[], JsonValue],
        sent_at: float,
        *,
        is_refused: bool,
    ) -> Callable[[LimitStore], None] | None:
        """What a response says about limits, as a function that applies it to the limit store.

        None if it says nothing new. `body` returns its JSON, and `sent_at` is when the call was sent, by the
        monotonic clock.
        """
        if isinstance(outcome, Failure):
            if self._learns_limits:
                self.learning.forget_first_call(self.quotas.learning_scope(plan.settings))
            return None
        if self.limits.has_learned_budgets:
            self.learning.end_hold(self.quotas.learning_scope(plan.settings))
        statuses = self._statuses_of(outcome, body)
        if self._header_reader.has_seen_end or outcome.status_code == GONE:
            self._report_end(plan, outcome)
        if not statuses and self.limits.has_budgets:
            return None
        blank = self._blank_spends(plan)
        if blank:
            keys = tuple(spend.key for spend in blank)
            written = (spend for spend in spends if not spend.key.startswith(keys))
            spends = (*written, *self.learning.learn_stated(blank, statuses))
        return partial(
            self.learning.learn, scope=self.quotas.learning_scope(plan.settings), endpoint=_endpoint(plan),
            spends=spends, statuses=statuses, refused=is_refused, sent_at=sent_at,
        )  # fmt: skip

    def _statuses_of(self, response: Response, body: Callable[[], JsonValue]) -> tuple[LimitStatus, ...]:
        """The limits in the headers of a response, and in its body if the blueprint says where."""
        now = self.clock.now()
        statuses = self._header_reader.read(response.raw.headers, now)
        return (*statuses, *self._declared.read_body(body(), now)) if self._declared.has_body else statuses

    def requested_wait(
        self, response: Response, text: Callable[[], str], body: Callable[[], JsonValue]
    ) -> float | None:
        """The seconds that a refusal asks to wait, or None.

        Args:
            response: the refusal.
            text: returns its body.
            body: returns its JSON.
        """
        if self._declared.has_body:
            wait = self._declared.read_wait(body(), self.clock.now())
            if wait is not None:
                return wait
        return self._header_reader.wait(response.headers, text(), self.clock.now())

    def _report_end(self, plan: Plan, response: Response) -> None:
        """Report what a response says about the end of its endpoint."""
        if self._notices is None:
            from nango_py.engine.deprecation import DeprecationNotices

            self._notices = DeprecationNotices(self.events, self.logger)
        self._notices.report(plan, response, self.clock.now())

    def gates_to_close(
        self, place: Place, outcome: Response | Failure, facts: Facts, refusals: int
    ) -> Closing:
        """The gates that a refused call closes: of the budgets that the API can have meant.

        They are those that `refusals` of the blueprint name; otherwise those whose limit the response reports
        as used up; otherwise that of the narrowest budget, and of the next wider one each time the call is
        refused again.

        Args:
            place: of the call.
            outcome: the refusal.
            facts: the same, for conditions.
            refusals: number of refusals of this call, this one included.
        """
        gates = place.gates
        meant = self._named_gates(gates, facts)
        if not meant and not isinstance(outcome, Failure) and len(gates) > 1:
            statuses = self._statuses_of(outcome, facts.json)
            used_up = [status for status in statuses if status.remaining == 0]
            # The counter of a learned limit has the name of its gate, and the limit.
            meant = tuple(
                gate
                for gate in gates
                for spend in place.spends
                if spend.key.startswith(gate) and any(limit_of(spend, one) for one in used_up)
            )
        meant = meant or self.limits.narrowest(gates, refusals)
        return Closing(meant, self.limits.names_of(meant))

    def _named_gates(self, gates: tuple[str, ...], facts: Facts) -> tuple[str, ...]:
        for refusal in self.limits.refusals:
            if refusal.when.holds(facts):
                return self.limits.keys_named(gates, refusal.closes)
        return ()

    def recount(
        self, plan: Plan, place: Place, outcome: Response | Failure, facts: Callable[[], Facts]
    ) -> Recount | None:
        """What a response changes about the booking of its call; None if it stays as it is.

        A call that the API refuses (401 or 403) counts for its connection alone, and so do the next ones. The
        first call that it accepts counts in the shared quota too. `facts` are those of the outcome.
        """
        if isinstance(outcome, Failure):
            return None
        status = outcome.status_code
        if place.is_newcomer and status in SUCCESSES and self.has_rule_for(status):
            status = self._status_meant(facts(), status)
        is_accepted = self.quotas.record(plan.settings, status)
        if is_accepted is False:
            spends, gates = self._spends_in(plan, self.quotas.own_scopes(plan.settings))
            if spends == place.spends and not place.is_newcomer:
                return None
            return Recount(spends, gates, spends, keeps_place=False)
        if not place.is_newcomer:
            return None
        if is_accepted:
            spends, gates = self._spends_in(plan, self.quotas.scopes_once_accepted(plan.settings))
            counted = tuple(spend for spend in spends if spend not in place.spends)
            return Recount(spends, gates, (*counted, self.mark_of(plan.settings)))
        return Recount(*self._spends_in(plan, self.quotas.own_scopes(plan.settings)))

    def _status_meant(self, facts: Facts, status: int) -> int:
        """The status that a response of a new connection stands for: some APIs refuse with 200."""
        rule = self.retries.rule_for(facts)
        if rule is not None and rule.do == "refresh":
            return UNAUTHORIZED
        is_good = rule.do in {"ignore", "success"} if rule is not None else not self.retries.is_refusal(facts)
        return status if is_good else 0

    def scopes_of(self, settings: BoundRequestSettings) -> tuple[str, ...]:
        """The scopes in which a connection's calls may be counted.

        Raises:
            ConfigError: `counted_per` cannot be rendered for this connection.
        """
        quotas = self.quotas
        try:
            found = (
                *quotas.scopes_once_accepted(settings),
                *quotas.scopes(settings),
                *quotas.own_scopes(settings),
            )
        except TemplateProblem as error:
            problem = error
        else:
            return tuple(dict.fromkeys(found))
        raise template_error(settings.connection, "rate_limits", problem)

    def report_token(self, connection: Connection, what: str, why: str = "") -> None:
        """Log what happened to a connection's token; `needs_reauth` and `not_revoked` are events too."""
        log_token(self.logger, connection, what, why)
        if what in KINDS and self.events.has_listeners(what):
            names = connection.integration, connection.user_id, "", ""
            self.events.emit(Event(what, self.clock.now(), *names, reason=printable(why, 300)))

    def provider_error(self, response: Response, plan: Plan) -> ProviderError:
        """The error that a response stands for, read as the blueprint's `errors` say."""
        code, message = self.read_error(response, plan)
        text = (
            f"{self.integration.name} {plan.method} /{plan.masked_endpoint()}: status {response.status_code}"
        )
        text += f", {code}" if code else ""
        text += f": {message}" if message else ""
        if self.end_of_life and response.status_code == GONE:
            text = f"{text}; {self.end_of_life}"
        return ProviderError(
            text, status=response.status_code, code=code, provider_message=message,
            plan=plan, attempts=response.attempts, response=response,
            call_id=response.attempts[-1].call_id if response.attempts else "",
        )  # fmt: skip

    def read_error(self, response: Response, plan: Plan) -> tuple[str, str]:
        """Code and message of an error response as the blueprint's `errors` read them, masked; or ""."""
        try:
            body = read_body(response)
        except ValueError:
            return "", ""
        texts = []
        for key in ("code", "message"):
            path = self._error_paths.get(key)
            value = search_json(path, body) if path else None
            # An API may echo what it was sent, the key included.
            texts.append(
                "" if value is None else mask_secrets(printable(str(value), 500), plan.settings.secrets)
            )
        return texts[0], texts[1]


def _paginator_of(pagination: Settings | None) -> Paginator | None:
    if not pagination:
        return None
    paginator: Paginator = PAGINATORS.get(pagination.get("kind", GENERAL_KIND)).from_settings(pagination)
    return paginator


def _import_what_calls_need(integration: Integration) -> None:
    """Import it now: an import within a call would fail if no file descriptor is free."""
    settings = integration.settings
    needed = mode_of(integration).modules(settings.get("auth") or {})
    for name in (*needed, "difflib", "nango_py.engine.deprecation"):
        import_module(name)
    prepare(leaves(tuple(settings.get(block) for block in WITH_PATHS)))


WITH_PATHS = ("auth", "pagination", "errors", "rate_limits", "retries", "endpoints")
"""Blocks with JMESPaths that calls evaluate."""


GONE = 410


def describe_end_of_life(integration: Integration) -> str:
    """A sentence about the end of this API version's life, or "" if no end is known."""
    status = integration.status
    if status.retires_on:
        end = f"retires on {status.retires_on}"
    elif status.deprecated_on:
        end = f"has been deprecated since {status.deprecated_on}"
    else:
        return ""
    target = f'; move to blueprint "{status.migrate_to}"' if status.migrate_to else ""
    return f'the API version of blueprint "{integration.blueprint}" {end}{target}'


def _endpoint(plan: Plan) -> str:
    return f"{plan.method} {endpoint_of(plan.endpoint)}"
