"""Whether credentials work: the blueprint's `verification` call, and what its response means for the user."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from nango_py.auth.base import mode_of
from nango_py.config.response_match import ResponseMatch
from nango_py.config.template.compiler import compile_template
from nango_py.config.template.headers import render_header
from nango_py.config.urls.paths import render_path
from nango_py.connections.connection import thaw
from nango_py.engine.call import read_json
from nango_py.engine.call_arguments import Call
from nango_py.engine.plan import make_plan
from nango_py.engine.retry import RATE_LIMITED, RETRIED_STATUSES, Facts
from nango_py.errors import (
    ConfigError,
    CredentialsError,
    DeadlineExceeded,
    RateLimited,
    RequestFailed,
    TransportFailed,
    printable,
)
from nango_py.record import record
from nango_py.secret import leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nango_py.config.model import Integration
    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.engine.plan import Plan
    from nango_py.engine.runtime import IntegrationRuntime
    from nango_py.json_types import Schema, Settings
    from nango_py.transport.response import Response

SECONDS = 15.0
"""The time for a verification, waits included: a user waits for it in front of a form."""

ATTEMPTS = 2

ACCEPTED, REFUSED, MISSING_SCOPE = "accepted", "refused", "missing_scope"
WRONG_SETTINGS, UNAVAILABLE, NOT_DECLARED = "wrong_settings", "unavailable", "not_declared"

NO_VERDICT = (CredentialsError, DeadlineExceeded, RateLimited, TransportFailed)
"""The errors of a verification that got no response to judge."""

INCONCLUSIVE = RETRIED_STATUSES | {RATE_LIMITED, 405, 410}
"""Statuses that say nothing about the credentials: 405 and 410 mean that the call no longer exists."""

NOT_THERE = frozenset({301, 302, 303, 307, 308, 404})
"""Final statuses that mean that the URL is wrong, if users decide about a part of it."""

_FIELD = re.compile(r"\badditional_config\.(\w+)")
_AWS_PLACE = re.compile(
    r"region '[^']*' is wrong|to a (?:valid|correct) region|NoSuchBucket|PermanentRedirect"
)

MAX_DETAIL = 160
BAD_REQUEST = 400
FORBIDDEN, FIRST_ERROR, FIRST_SERVER_ERROR = 403, 400, 500

REASONS = {"blocked": "its host is not on the public internet"}
"""Failures whose reason would mean nothing to a user."""


@record
class Verification:
    """Whether credentials work, according to their API.

    Attributes:
        outcome: `accepted`; `refused` (they are wrong); `missing_scope` (they are right, but lack a
            permission); `wrong_settings` (the region, subdomain or other setting in the URL is wrong, and
            they could not be tested); `unavailable` (the API could not be reached or gave no clear
            response); `not_declared` (the blueprint has no verification call).
        status: the HTTP status of the last response, None if there was none.
        message: a sentence for the user whose credentials they are. It holds no credential.
    """

    outcome: str
    status: int | None = None
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with the credentials: `accepted` or `not_declared`."""
        return self.outcome in {ACCEPTED, NOT_DECLARED}


class Check:
    """The verification of one integration, by its blueprint's `verification` and `retries`.

    Attributes:
        method: of the call.
        path: of the call, as the blueprint writes it.
        policy: when to retry.
    """

    def __init__(self, runtime: IntegrationRuntime) -> None:
        integration = runtime.integration
        self._runtime = runtime
        self._declared: Settings | None = integration.settings.get("verification")
        self._title = printable(integration.title or integration.name)
        texts = integration.settings.get("credentials") or {}
        self._what = _credentials_name(mode_of(integration).credentials_schema, texts, self._title)
        self._fields = _setting_fields(integration)
        declared = self._declared or {}
        self.method, self.path = str(declared.get("method", "GET")), str(declared.get("path", ""))
        self.policy = runtime.retries.at_most(ATTEMPTS)

    def judge_missing_call(self) -> Verification | None:
        """The verdict if the blueprint has no verification call, else None."""
        if self._declared is not None:
            return None
        text = f"The blueprint of {self._title} has no call to verify {self._what}."
        return Verification(NOT_DECLARED, None, text)

    def plan(self, settings: BoundRequestSettings) -> Plan:
        """The verification call of one connection.

        Raises:
            ConfigError: a setting of the connection does not fit its templates.
            InvalidRequest: its path leaves the API.
        """
        declared, variables = self._declared or {}, settings.call_variables(self.method, self.path)

        def render(place: str, renderer: Callable[[], str]) -> str:
            return settings.render(f"verification.{place}", renderer)

        path = compile_template(declared["path"])
        params = {
            name: render(f"params.{name}", partial(compile_template(text).render, variables))
            for name, text in (declared.get("params") or {}).items()
        }
        headers = {
            name: render(f"headers.{name}", partial(render_header, compile_template(text), variables, name))
            for name, text in (declared.get("headers") or {}).items()
        }
        call = Call(
            self.method,
            render("path", partial(render_path, path, variables)),
            params,
            headers,
            thaw(declared.get("json")),
        )
        return make_plan(call, settings)

    def judge(self, response: Response, plan: Plan) -> Verification:
        """The verdict on a response."""
        facts = Facts(
            plan.method, plan.endpoint, status=response.status_code, header=response.headers.get,
            text=lambda: response.text, json=partial(read_json, response),
        )  # fmt: skip
        outcome = self._outcome(facts)
        detail = "" if outcome == ACCEPTED else self._runtime.read_error(response, plan)[1]
        detail = detail if len(detail) <= MAX_DETAIL else f"{detail[:MAX_DETAIL]}..."
        if any(secret in detail for secret in plan.settings.secrets):  # too short to be masked
            detail = ""
        why = f'{facts.status}: "{detail}"' if detail else str(facts.status)
        return Verification(outcome, facts.status, self._sentence(outcome, why))

    def judge_failure(self, error: Exception) -> Verification:
        """The verdict if there was no response to judge."""
        if isinstance(error, CredentialsError):
            return Verification(REFUSED, None, f"{error}.")
        response = error.response if isinstance(error, RequestFailed) else None
        status = None if response is None else response.status_code
        if isinstance(error, RateLimited):
            why = f"{status}, too many requests" if status else "too many requests"
        elif isinstance(error, TransportFailed) and error.reason == "dns" and self._fields:
            return Verification(
                WRONG_SETTINGS, None, self._sentence(WRONG_SETTINGS, "its host does not exist")
            )
        elif isinstance(error, TransportFailed):
            why = REASONS.get(error.reason, error.reason or "no response")
        else:
            why = "no response in time"
        return Verification(UNAVAILABLE, status, self._sentence(UNAVAILABLE, why))

    def judge_unfit_values(self, error: ConfigError) -> Verification | None:
        """The verdict if the credentials cannot be sent; None if the error has another cause."""
        if all(problem.code != "E312" for problem in error.problems):
            return None
        text = f"{self._title} cannot accept {self._what}: it has a line break or another invalid character."
        return Verification(REFUSED, None, text)

    def judge_refused_token(self, word: str, status: int, *, by_user: bool) -> Verification:
        """The verdict if the provider refuses a first token; `by_user` if the user can correct it."""
        why = word or str(status)
        if by_user:
            return Verification(REFUSED, status or None, self._sentence(REFUSED, why))
        text = f"{self._title} refuses the settings of this application itself ({why}); tell its developers."
        return Verification(UNAVAILABLE, status or None, text)

    def judge_missing_token(self, status: int) -> Verification:
        """The verdict if the provider cannot issue a first token at present."""
        why = str(status) if status else "no response"
        return Verification(UNAVAILABLE, status or None, self._sentence(UNAVAILABLE, why))

    def _outcome(self, facts: Facts) -> str:
        """The outcome by the blueprint's `verification`, then its retry rules, then the defaults."""
        declared, rule = self._declared or {}, self.policy.rule_for(facts)
        if _any_holds(declared.get("wrong_settings", ()), facts):
            return WRONG_SETTINGS
        if _any_holds(declared.get("refuses", ()), facts):
            return REFUSED
        if _any_holds(declared.get("lacks_scope", ()), facts):
            return MISSING_SCOPE
        if rule is not None and rule.do in {"fail", "refresh"} and facts.status < FIRST_ERROR:
            return REFUSED  # an error with a status of success, such as Slack's ok: false
        if rule is not None and rule.do in {"wait", "retry"}:
            return UNAVAILABLE
        if _any_holds(declared.get("accepts", ("2xx",)), facts):
            return ACCEPTED
        if self._fields and _is_about_settings(facts, self._fields):
            return WRONG_SETTINGS
        if "lacks_scope" not in declared and facts.status == FORBIDDEN:
            return MISSING_SCOPE
        return UNAVAILABLE if facts.status in INCONCLUSIVE or facts.status >= FIRST_SERVER_ERROR else REFUSED

    def _sentence(self, outcome: str, why: str) -> str:
        title, what = self._title, self._what
        return {
            ACCEPTED: f"{title} accepted {what}.",
            REFUSED: f"{title} did not accept {what} ({why}).",
            MISSING_SCOPE: f"{title} recognized {what}, but it lacks a permission ({why}).",
            WRONG_SETTINGS: f"{title} could not be reached with these settings ({why}). "
            f"Check {' and '.join(self._fields.values()) or 'them'}.",
            UNAVAILABLE: f"{title} could not verify {what} ({why}). Try again later.",
        }[outcome]


def _setting_fields(integration: Integration) -> dict[str, str]:
    """The fields of additional_config that decide where requests go, and their titles."""
    settings = integration.settings
    texts = leaves([settings["requests"].get("base_url"), settings["auth"], settings.get("verification")])
    names = {name for text in texts for name in _FIELD.findall(text)}
    declared = (settings.get("connection_config") or {}).get("properties") or {}
    return {name: str((declared.get(name) or {}).get("title") or name) for name in sorted(names)}


def _is_about_settings(facts: Facts, fields: Iterable[str]) -> bool:
    """Whether an error is about the URL or the region of a request instead of its credentials."""
    if facts.status in NOT_THERE or _AWS_PLACE.search(facts.text()):
        return True
    words = "|".join(re.sub(r"[_-]", "[ _-]?", re.escape(name)) for name in fields)
    return facts.status == BAD_REQUEST and bool(re.search(rf"\b(?:{words})\b", facts.text(), re.IGNORECASE))


def _any_holds(conditions: Iterable[Settings | str | int], facts: Facts) -> bool:
    return any(_parse_condition(condition).holds(facts) for condition in conditions)


def _parse_condition(condition: Settings | str | int) -> ResponseMatch:
    if isinstance(condition, str | int):
        return ResponseMatch(statuses=(str(condition),))
    return ResponseMatch.from_settings(condition)


def _credentials_name(schema: Schema, texts: Settings, brand: str) -> str:
    """What to call the credentials: "this API key" if that is all the user enters."""
    entered = [name for name in schema.get("required", ()) if "value" not in texts.get(name, {})]
    if len(entered) != 1:
        return "these credentials"
    (name,) = entered
    title = str(texts.get(name, {}).get("title") or schema["properties"][name].get("title") or name)
    first = title.partition(" ")[0]
    is_name = title[:2].isupper() or first.lower() in brand.lower().split()
    return f"this {title if is_name else title[:1].lower() + title[1:]}"
