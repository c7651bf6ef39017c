"""Whether credentials work: the blueprint's `verification` call, and what its response says to their user."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from nango_py.auth.base import get_auth_mode
from nango_py.config.template.compiler import compile_template
from nango_py.config.template.filters import TemplateProblem
from nango_py.config.template.headers import render_header
from nango_py.config.urls.paths import render_path
from nango_py.connections.connection import thaw
from nango_py.engine.plan import Call, make_plan
from nango_py.engine.retry import RATE_LIMITED, RETRIED_STATUSES, Facts, When, parse_when
from nango_py.errors import (
    ConfigError,
    CredentialsError,
    DeadlineExceeded,
    Position,
    Problem,
    RateLimited,
    TransportFailed,
    printable,
)
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.engine.plan import Plan
    from nango_py.engine.runtime import IntegrationRuntime

SECONDS = 15.0
"""The time for a verification, waits included: somebody sits before a form."""

ATTEMPTS = 2

ACCEPTED, REFUSED, MISSING_SCOPE = "accepted", "refused", "missing_scope"
UNAVAILABLE, NOT_DECLARED = "unavailable", "not_declared"

NO_VERDICT = (CredentialsError, DeadlineExceeded, RateLimited, TransportFailed)
"""What a verification may end in beside a response."""

TELL_NOTHING = RETRIED_STATUSES | {RATE_LIMITED, 405, 410}
"""Answers that are about the moment, or the call: 405 and 410 say that there is no such call any more."""

LONGEST_DETAIL = 160
FIRST_ERROR, FIRST_SERVER_ERROR = 400, 500


@record
class Verification:
    """Whether credentials work, as far as their API says.

    Attributes:
        outcome: `accepted`; `refused` (they are wrong); `missing_scope` (they are right, and lack a
            permission); `unavailable` (nothing is known, for the API could not be asked); `not_declared`
            (the blueprint names no call that would tell).
        status: the HTTP status of the last response, None where there was none.
        message: a sentence for the user whose credentials they are. It holds no credential.
    """

    outcome: str
    status: int | None = None
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the credentials: `accepted` or `not_declared`."""
        return self.outcome in {ACCEPTED, NOT_DECLARED}


class Check:
    """The verification of one integration.

    Args:
        route: its blueprint's `verification` and `retries` decide.
    """

    def __init__(self, route: IntegrationRuntime) -> None:
        integration = route.integration
        self._route = route
        self._declared: Mapping[str, Any] | None = integration.settings.get("verification")
        self._title = printable(integration.title or integration.name)
        words = integration.settings.get("credentials") or {}
        self._what = _name_of(get_auth_mode(integration.auth_mode).credentials_schema, words)
        self.policy = route.retries.at_most(ATTEMPTS)

    def undeclared(self) -> Verification | None:
        """The verdict where the blueprint names no call; None where it does."""
        if self._declared is not None:
            return None
        text = f"The blueprint of {self._title} names no call that would test {self._what}."
        return Verification(NOT_DECLARED, None, text)

    def plan(self, settings: BoundRequestSettings) -> Plan:
        """The call, for one connection.

        Raises:
            ConfigError: a setting of the connection does not fit its templates.
            InvalidRequest: its path leaves the API.
        """
        declared, variables = self._declared or {}, settings.variables()
        found: dict[str, Any] = {"params": {}, "headers": {}}
        path = _rendered(
            settings, "path", partial(render_path, compile_template(declared["path"]), variables)
        )
        for block, place in (("params", _text), ("headers", _header)):
            for name, text in (declared.get(block) or {}).items():
                render = partial(place, name, compile_template(text), variables)
                found[block][name] = _rendered(settings, f"{block}.{name}", render)
        call = Call(declared.get("method", "GET"), path, json=thaw(declared.get("json")), **found)
        return make_plan(call, settings, self.policy.idempotency_header)

    def judge(self, response: Any, plan: Plan) -> Verification:
        """The verdict of a response."""
        facts = Facts(
            plan.method, plan.endpoint, status=response.status_code, header=response.headers.get,
            text=lambda: response.text, json=partial(_json, response),
        )  # fmt: skip
        outcome = self._outcome(facts)
        detail = "" if outcome == ACCEPTED else self._route.read_error(response, plan)[1]
        detail = detail if len(detail) <= LONGEST_DETAIL else f"{detail[:LONGEST_DETAIL]}..."
        if any(secret in detail for secret in plan.settings.secrets):  # too short to be masked
            detail = ""
        why = f'{facts.status}: "{detail}"' if detail else str(facts.status)
        return Verification(outcome, facts.status, self._sentence(outcome, why))

    def failed(self, error: Exception) -> Verification:
        """The verdict where there was no response that says something of the credentials."""
        if isinstance(error, CredentialsError):
            return Verification(REFUSED, None, f"{error}.")
        response = getattr(error, "response", None)
        status = None if response is None else response.status_code
        if isinstance(error, RateLimited):
            why = f"{status}, it is asked too often" if status else "it is asked too often"
        elif isinstance(error, TransportFailed):
            why = WHY.get(error.reason, error.reason or "no response")
        else:
            why = "no response in time"
        return Verification(UNAVAILABLE, status, self._sentence(UNAVAILABLE, why))

    def unfit(self, error: ConfigError) -> Verification | None:
        """The verdict where the credentials cannot even be sent; None where something else is wrong."""
        if all(problem.code != "E312" for problem in error.problems):
            return None
        text = (
            f"{self._title} cannot take {self._what}: a line break or another character in it cannot be sent."
        )
        return Verification(REFUSED, None, text)

    def refused_token(self, word: str, status: int, *, by_user: bool) -> Verification:
        """The verdict where no first token is given; `by_user` says that the user may mend it."""
        why = word or str(status)
        if by_user:
            return Verification(REFUSED, status or None, self._sentence(REFUSED, why))
        text = f"{self._title} refuses the settings of this application itself ({why}); tell its makers."
        return Verification(UNAVAILABLE, status or None, text)

    def no_token(self, status: int) -> Verification:
        """The verdict where no first token is to be had at present."""
        why = str(status) if status else "no response"
        return Verification(UNAVAILABLE, status or None, self._sentence(UNAVAILABLE, why))

    def _outcome(self, facts: Facts) -> str:
        """The blueprint's own words count more than its retry rules, and these more than the defaults."""
        declared, rule = self._declared or {}, self.policy.rule_for(facts)
        if _holds(declared.get("refuses", ()), facts):
            return REFUSED
        if _holds(declared.get("lacks_scope", ()), facts):
            return MISSING_SCOPE
        if rule is not None and rule.do in {"fail", "refresh"} and facts.status < FIRST_ERROR:
            return REFUSED  # an error in the clothes of a good response, such as Slack's ok: false
        if rule is not None and rule.do in {"wait", "retry"}:
            return UNAVAILABLE
        if _holds(declared.get("accepts", ("2xx",)), facts):
            return ACCEPTED
        if "lacks_scope" not in declared and facts.status == FORBIDDEN:
            return MISSING_SCOPE
        return UNAVAILABLE if facts.status in TELL_NOTHING or facts.status >= FIRST_SERVER_ERROR else REFUSED

    def _sentence(self, outcome: str, why: str) -> str:
        title, what = self._title, self._what
        return {
            ACCEPTED: f"{title} accepted {what}.",
            REFUSED: f"{title} did not accept {what} ({why}).",
            MISSING_SCOPE: f"{title} knows {what}, but it lacks a permission ({why}).",
            UNAVAILABLE: f"{title} could not be asked about {what} ({why}). Try again later.",
        }[outcome]


FORBIDDEN = 403
WHY = {"blocked": "its host is not of the public internet"}
"""Failures whose word would tell a user nothing."""


def _holds(conditions: Any, facts: Facts) -> bool:
    return any(_when(condition).holds(facts) for condition in conditions)


def _when(condition: Any) -> When:
    return parse_when(condition) if hasattr(condition, "items") else When(statuses=(str(condition),))


def _name_of(schema: Mapping[str, Any], words: Mapping[str, Any]) -> str:
    """What credentials are called: "this API key" where that is all there is."""
    typed = [name for name in schema.get("required", ()) if "value" not in words.get(name, {})]
    if len(typed) != 1:
        return "these credentials"
    (name,) = typed
    title = str(words.get(name, {}).get("title") or schema["properties"][name].get("title") or name)
    return f"this {title if title[:2].isupper() else title[:1].lower() + title[1:]}"


def _text(_: str, template: Any, variables: Mapping[str, Any]) -> str:
    return str(template.render(variables))


def _header(name: str, template: Any, variables: Mapping[str, Any]) -> str:
    return render_header(template, variables, name)


def _rendered(settings: BoundRequestSettings, where: str, render: Callable[[], str]) -> str:
    """Render, or say which setting of which connection does not fit; no frame keeps a credential."""
    try:
        return render()
    except TemplateProblem as found:
        problem = found
    place = Position(f"{settings.connection.integration}/{printable(settings.connection.user_id)}")
    what = f"verification.{where}: {problem.what}"
    raise ConfigError([Problem(place, problem.code, what, problem.expected, problem.help)])


def _json(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
