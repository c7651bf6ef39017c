"""Tests that a user can log in, by the blueprint's own rules, at the login pages of its sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from nango_py.blueprint_tests.bench import USER
from nango_py.connect.login import Logins
from nango_py.connect.login_kinds import uses_browser_login
from nango_py.connect.oauth import provider_fields
from nango_py.engine.verification import ACCEPTED, NOT_DECLARED
from nango_py.errors import NangoError
from nango_py.sandbox.made_up import make_config
from nango_py.testing import SandboxNango

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.blueprint_tests.bench import Bench
    from nango_py.connect.outcome import LoginOutcome

REFRESHES = frozenset({"token", "refresh", "login"})
"""The last request of a refresh; `login` opens a session."""
MOST_CHOICES = 5


def login_differences(bench: Bench) -> Iterator[str]:
    """What is wrong with a login in the browser; nothing for other kinds of credentials.

    The sandbox insists on the blueprint's client authentication, PKCE, body format and scopes. The user takes
    the first account of each choice. An expired token is refreshed, if the mode can do that.
    """
    blueprint = bench.blueprint
    if not uses_browser_login(bench.declared):
        return
    name = blueprint.name
    with SandboxNango(
        {name: bench.entry},
        blueprints=blueprint.source.parent,
        environ={},
        options={"strict": False},
        clock=bench.clock,
    ) as nango:
        try:
            outcome = _log_in(nango, name)
        except NangoError as error:
            yield f"a login cannot begin: {error}"
            return
        if not outcome.ok:
            yield f"a login ends with {outcome.code}: {outcome.message}"
            return
        executor, sandbox = nango.executor(name, USER), nango.sandboxes[name]
        found = executor.verify()
        if found.outcome not in {ACCEPTED, NOT_DECLARED}:
            yield f"the credentials of a login are not accepted: {found.outcome} {found.message}"
            return
        if bench.mode.name != "OAUTH2" or found.outcome == NOT_DECLARED:
            return
        sandbox.expire_tokens(USER)
        found = executor.verify()
        last = sandbox.login_ledger.received[-1].endpoint
        if found.outcome != ACCEPTED or last not in REFRESHES:
            yield f"an expired token is not refreshed: {found.outcome} {found.message}"


def _log_in(nango: SandboxNango, name: str) -> LoginOutcome:
    logins, sandbox = Logins(nango.accounts), nango.sandboxes[name]
    made = make_config(sandbox.settings)
    provided = provider_fields(nango.configuration.integrations[name])
    config: Any = {key: value for key, value in made.items() if key not in provided}
    url = logins.begin(name, USER, additional_config=config)
    callback = sandbox.log_in(url, USER)
    outcome = logins.finish(dict(parse_qsl(urlsplit(callback).query)), "")
    for _ in range(MOST_CHOICES):
        if outcome.choice is None:
            break
        outcome = logins.finish_choice(outcome.ticket, outcome.choice.candidates[0].value, "")
    return outcome
