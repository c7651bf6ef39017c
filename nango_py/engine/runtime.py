"""An integration ready to be called: its rules, compiled once and shared by all its connections."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from nango_py.auth.base import get_auth_mode
from nango_py.clock import SYSTEM_CLOCK
from nango_py.config.template.filters import TemplateProblem
from nango_py.engine.bound_settings import template_error
from nango_py.engine.events import KINDS, Event, Events
from nango_py.engine.log import get_logger, log_token
from nango_py.engine.outage import Outage
from nango_py.engine.retry import RetryPolicy
from nango_py.errors import ProviderError, printable
from nango_py.json_path import prepare_paths, search_json
from nango_py.limits.headers.header_reader import HeaderReader
from nango_py.limits.learning import Learning, find_limit
from nango_py.limits.rules import CONNECTION, TRIAL, CallFacts, RateLimits, endpoint_of
from nango_py.registry import PAGINATORS
from nango_py.secret import leaves, mask_secrets, reveal
from nango_py.transport.bounded_cache import BoundedCache
from nango_py.transport.sendable import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.clock import Clock
    from nango_py.config.model import Integration
    from nango_py.connections.connection import Connection
    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.engine.interfaces import TokenRefresher
    from nango_py.engine.plan import Plan
    from nango_py.engine.request_encoding import Pairs
    from nango_py.json_types import Settings
    from nango_py.limits.limit_types import LimitStore, Spend
    from nango_py.pagination.base import Paginator
    from nango_py.transport.response import Response


class IntegrationRuntime:
    """What all executors of one integration share. It holds no credential of a user.

    Attributes:
        integration: the configuration that this was compiled from.
        clock: the time.
        retries: when to retry.
        limits: what a call spends.
        outage: the retry budget and the circuit breaker of this integration in this process.
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
        *,
        is_trial: bool = False,
    ) -> None:
        settings = integration.settings
        self.integration = integration
        self.clock = clock
        self._retry_settings = settings.get("retries")
        self.retries = RetryPolicy.from_settings(self._retry_settings)
        self.outage = Outage(clock, self._retry_settings)
        self._outages: BoundedCache[Outage] = BoundedCache()
        self.events = Events() if events is None else events
        self.learning = Learning(clock) if learning is None else learning
        self.tokens = tokens
        self.limits = RateLimits.from_settings(settings.get("rate_limits"))
        self.limit_headers = (settings.get("rate_limits") or {}).get("headers")
        self._header_reader = HeaderReader(self.limit_headers)
        self._is_trial = is_trial
        self._vouching = _vouching_of(self.limits, integration)
        self._accepted: dict[str, bool] = {}
        self.logger = get_logger(integration.name, integration.log_level)
        self.end_of_life = describe_end_of_life(integration)
        self._error_paths = settings.get("errors") or {}
        self.paginator = _paginator_of(settings.get("pagination"))
        _import_what_calls_need(integration)

    def for_trial(self, tokens: TokenRefresher) -> IntegrationRuntime:
        """The same integration for credentials that are not stored.

        It has other tokens, a separate retry budget and circuit breaker, and its calls count apart, because
        the provider has not vouched for what a user typed.
        """
        return IntegrationRuntime(
            self.integration, self.clock, self.events, self.learning, tokens, is_trial=True
        )

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
        facts = CallFacts(plan.method, plan.endpoint, _by_name(plan.pairs))
        variables = plan.settings.variables()
        try:
            scope = self._scope(plan.settings)
            spends, gates = self.limits.spends_and_gates(facts, variables, scope)
        except TemplateProblem as error:
            problem = error
        else:
            if not self.limits.has_budgets:
                spends = self.learning.spends(scope, _endpoint(plan), ())
            return spends, gates
        raise template_error(plan.settings.connection, "rate_limits", problem)

    def seconds_to_hold(self, plan: Plan) -> float:
        """Seconds to wait for the first response of an API without configured limits; 0.0 after it."""
        if self.limits.has_budgets:
            return 0.0
        return self.learning.hold(self._scope(plan.settings))

    def learner(
        self,
        plan: Plan,
        spends: tuple[Spend, ...],
        outcome: Response | Failure,
        sent_at: float,
        *,
        is_refused: bool,
    ) -> Callable[[LimitStore], None] | None:
        """What a response says about limits, as a function that applies it to the limit store.

        None if it says nothing new. `sent_at` is when the call was sent, by the monotonic clock.
        """
        if isinstance(outcome, Failure):
            if not self.limits.has_budgets:
                self.learning.forget_first_call(self._scope(plan.settings))
            return None
        statuses = self._header_reader.read(outcome.raw.headers, self.clock.now())
        if not statuses and self.limits.has_budgets:
            return None
        scope = self._scope(plan.settings)
        return partial(
            self.learning.learn, scope=scope, endpoint=_endpoint(plan), spends=spends,
            statuses=statuses, refused=is_refused, sent_at=sent_at,
        )  # fmt: skip

    def gates_to_close(
        self,
        plan: Plan,
        spends: tuple[Spend, ...],
        gates: tuple[str, ...],
        outcome: Response | Failure,
        *,
        is_repeated: bool,
    ) -> tuple[str, ...]:
        """The gates that a refused call closes: of the budgets that the API can have meant.

        They are those whose limit the response reports as used up; otherwise that of the narrowest budget,
        and all of them if the same call is refused again.
        """
        scope = self._scope(plan.settings)
        is_other_scope = not all(gate.startswith(f"{scope} ") for gate in gates)
        if isinstance(outcome, Failure) or len(spends) < 2 or is_other_scope:  # noqa: PLR2004 - one has no choice
            return gates
        statuses = self._header_reader.read(outcome.raw.headers, self.clock.now())
        used_up = [status for status in statuses if status.remaining == 0]
        meant = tuple(spend.key for spend in spends if any(find_limit(spend.limits, one) for one in used_up))
        return meant or (gates if is_repeated else self.limits.narrowest(gates, scope))

    def record_acceptance(
        self, plan: Plan, outcome: Response | Failure
    ) -> tuple[tuple[Spend, ...], tuple[str, ...]] | None:
        """What a refused call spends and closes instead of what it booked; None if the booking is right.

        The API refused the credentials (401 or 403), so the call counts for its connection alone, and so do
        the next ones until one is accepted.
        """
        if isinstance(outcome, Failure) or not self.limits.is_shared or self._is_trial:
            return None
        uuid, was_accepted = plan.settings.connection.uuid, self._accepted.get(plan.settings.connection.uuid)
        if outcome.status_code in REFUSED:
            is_booked_apart = self._scope(plan.settings) == self._scope_apart(plan.settings)
            self._remember_acceptance(uuid, is_accepted=False)
            return None if is_booked_apart else self.spends_of(plan)
        if outcome.status_code in SUCCESSES and not was_accepted:
            self._remember_acceptance(uuid, is_accepted=True)
        return None

    def _remember_acceptance(self, uuid: str, *, is_accepted: bool) -> None:
        if len(self._accepted) >= MAX_CONNECTIONS:
            self._accepted.clear()
        self._accepted[uuid] = is_accepted

    def _scope(self, settings: BoundRequestSettings) -> str:
        """Whose quota the next call of a connection uses.

        That of several connections only if the provider vouched for what they share: it stands in a token
        response, or the API accepts the connection's requests, which contain it.
        """
        if self._is_trial:
            return self._scope_apart(settings)
        if self.limits.is_shared:
            accepted = self._accepted.get(settings.connection.uuid)
            needs_acceptance = self._vouching == API
            if self._vouching == UNVOUCHED or accepted is False or (needs_acceptance and not accepted):
                return self._scope_apart(settings)
        return self.limits.scope_of(settings.variables(), _host_of(settings))

    def _scope_apart(self, settings: BoundRequestSettings) -> str:
        counted = TRIAL if self._is_trial else CONNECTION
        return self.limits.scope_of(settings.variables(), _host_of(settings), counted)

    def scope_of(self, settings: BoundRequestSettings) -> str:
        """Whose quota a connection's calls use.

        Raises:
            ConfigError: `counted_per` cannot be rendered for this connection.
        """
        try:
            if self._vouching == UNVOUCHED:
                return self._scope_apart(settings)
            return self.limits.scope_of(settings.variables(), _host_of(settings))
        except TemplateProblem as error:
            problem = error
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
            body = response.json()
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
    paginator: Paginator = PAGINATORS.get(pagination["kind"]).from_settings(pagination)
    return paginator


def _import_what_calls_need(integration: Integration) -> None:
    """Import it now: an import within a call would fail if no file descriptor is free."""
    settings = integration.settings
    auth, retries = settings.get("auth") or {}, settings.get("retries") or {}
    for name in (*get_auth_mode(integration.auth_mode).modules(auth), "difflib"):
        import_module(name)
    paths = [value for name, value in auth.items() if name.endswith(("_path", "_response", "grant_ended"))]
    paths += [rule["when"].get("json") for rule in retries.get("rules") or ()]
    prepare_paths(leaves((settings.get("pagination"), settings.get("errors"), paths)))


GONE = 410
REFUSED, SUCCESSES = frozenset({401, 403}), range(200, 300)
PROVIDER, API, UNVOUCHED = "provider", "api", "unvouched"
MAX_CONNECTIONS = 20_000
"""Maximum number of connections of which it is remembered whether the API accepts them."""

VOUCHED = frozenset({"raw", "user_id", "integration"})
"""Names that a user cannot choose: the token response, and what the product itself says."""


def _vouching_of(limits: RateLimits, integration: Integration) -> str:
    """Who vouches for the values in `counted_per`: the provider, the API that is sent them, or nothing."""
    known = VOUCHED | reveal(integration.app_variables).keys()
    typed = [name for name in limits.scope_names if name.partition(".")[0] not in known]
    if not typed:
        return PROVIDER
    requests, auth = integration.requests, str(integration.settings.get("auth"))
    texts = (requests.base_url, *(text for _, text in (*requests.headers, *requests.params)))
    sent = {name for text in texts for name in text.names}
    return API if all(name in sent or name in auth for name in typed) else UNVOUCHED


def _host_of(settings: BoundRequestSettings) -> str:
    """The host that a user named, or ""."""
    return "" if settings.guard is None else settings.base_url


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


def _by_name(pairs: Pairs) -> dict[str, str | list[str]]:
    """Query parameters by name; a list if a name occurs more than once."""
    params: dict[str, str | list[str]] = {}
    for name, value in pairs:
        known = params.get(name)
        if known is None:
            params[name] = value
        else:
            params[name] = [*known, value] if isinstance(known, list) else [known, value]
    return params
