"""The requests after a login, and the choices that they lead to."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from nango_py.config.schema.additional_config import numbers_as_text
from nango_py.connect.failure import LOGIN_ERRORS, UNREACHABLE, LoginFailed, explain_failure
from nango_py.connect.oauth import LoginResult, check_final_config, check_partial_config, send_once
from nango_py.connections.connection import NEEDS_CHOICE, NEEDS_REAUTH, thaw
from nango_py.connections.rows import unstored_connection
from nango_py.errors import ConnectFailed, ConnectionNotFound, TamperError
from nango_py.protocols.after_login import (
    MAX_PAGES,
    MAX_VALUE_LENGTH,
    StepFailed,
    StepResponse,
    check_choices,
    choice_name,
    kept_names,
    next_request,
    step_request,
)
from nango_py.record import replaced
from nango_py.secret import reveal
from nango_py.tokens.token_requests import token_context

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.accounts import Accounts
    from nango_py.config.model import Integration
    from nango_py.connections.connection import Connection, PublicView
    from nango_py.json_types import Settings
    from nango_py.protocols.after_login import Choice
    from nango_py.protocols.token_exchange import TokenContext, TokenRequest
    from nango_py.services import Services

_ATTEMPTS = 3
"""How often an account is looked up if the connection changes in between."""


class ChoiceNeeded(Exception):
    """There are several candidates, and nothing says which one.

    Attributes:
        choice: what to choose from.
    """

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        super().__init__(choice.name)


def complete_settings(
    services: Services,
    integration: Integration,
    user_id: str,
    login: LoginResult,
    choices: Mapping[str, str],
    earlier: Settings,
) -> LoginResult:
    """A login, completed by the steps of `auth.after_login`; its additional_config is checked.

    Args:
        services: send the requests.
        integration: its blueprint has the steps, or none.
        user_id: the owner of the connection.
        login: what the login returned.
        choices: the value to choose by the name of the choice.
        earlier: the settings of the user's earlier connection, which suggest a default.

    Raises:
        ChoiceNeeded: a choice is missing.
        LoginFailed: a step has no usable response, or the chosen candidate is not available.
        ConfigError: the settings do not fit `connection_config`.
    """
    settings, credentials = dict(login.additional_config), dict(login.credentials)
    schema = integration.settings.get("connection_config")

    def context() -> TokenContext:
        now = services.clock.now()
        connection = unstored_connection(integration.name, user_id, credentials, settings, now)
        return token_context(integration, connection, now)

    for step in integration.settings["auth"].get("after_login") or ():
        name = choice_name(step)
        failure: LoginFailed
        try:
            found = _read_step(services, context, step)
            kept = found.select(choices.get(name))
            if kept is None:
                raise ChoiceNeeded(found.choice(str(earlier.get(name, ""))[:MAX_VALUE_LENGTH]))
        except StepFailed as error:
            failure = _explain(error)
        else:
            # Checked before the next step, whose request may go to a kept host.
            values = {**settings, **numbers_as_text(schema, kept.values)}
            settings = check_partial_config(integration, values, context().place)
            credentials |= kept.secrets
            continue
        raise failure
    config = check_final_config(integration, settings, context().place)
    return replaced(login, credentials=credentials, additional_config=config)


def _read_step(services: Services, context: Callable[[], TokenContext], step: Settings) -> StepResponse:
    """The candidates of a step, of at most MAX_PAGES responses.

    Raises:
        StepFailed: a response is not usable, or there is no candidate.
        LoginFailed: there was no response.
    """
    found, url = StepResponse(step), ""

    def make_request(context: TokenContext) -> TokenRequest:
        request = step_request(context, step)
        return next_request(request, url) if url else request

    for _ in range(MAX_PAGES):
        _, response = send_once(services, context, make_request)
        url = found.add(response)
        if not url:
            break
    found.check()
    return found


def find_choice(
    accounts: Accounts, integration: str, user_id: str, choices: Mapping[str, str]
) -> Choice | None:
    """See `Logins.find_choice`."""
    if accounts.get(integration, user_id)["status"] != NEEDS_CHOICE:
        return None
    try:
        _complete_stored(accounts, integration, user_id, choices)
    except ChoiceNeeded as needed:
        return needed.choice
    return None


def choose(accounts: Accounts, integration: str, user_id: str, choices: Mapping[str, str]) -> PublicView:
    """See `Logins.choose`."""
    declared = accounts.services.integration(integration)
    check_choices(declared.settings["auth"], choices)
    for _ in range(_ATTEMPTS):
        try:
            connection, login = _complete_stored(accounts, integration, user_id, choices)
        except ChoiceNeeded as needed:
            code, what = "needs_choice", f"{needed.choice.name} has to be chosen too"
            break
        stored = accounts.services.store.activate(connection, login.additional_config, login.credentials)
        if stored is not None:
            accounts.services.cache.forget(integration, user_id)
            return stored.public()
        code, what = "unavailable", "the connection was changed in the meantime; please try again"
    raise ConnectFailed(code, what)


def _complete_stored(
    accounts: Accounts, integration: str, user_id: str, choices: Mapping[str, str]
) -> tuple[Connection, LoginResult]:
    """A stored connection, and what its login is completed to, looked up again with its token."""
    services = accounts.services
    declared = services.integration(integration)
    connection = services.store.get(integration, user_id)
    if connection.status == NEEDS_REAUTH:
        message = "the provider has ended this login, so nothing can be chosen; the user has to log in again"
        raise ConnectFailed("invalid_credentials", message)
    failure: LoginFailed
    try:
        connection = services.refresh(connection, only_if_due=True)
        names = kept_names(declared.settings["auth"])
        config = {key: value for key, value in thaw(connection.additional_config).items() if key not in names}
        login = LoginResult(reveal(connection.credentials), config)
        return connection, complete_settings(services, declared, user_id, login, choices, {})
    except LOGIN_ERRORS as error:
        failure = explain_failure(error, by_user=False)
    raise ConnectFailed(failure.code, failure.message)


def find_view(accounts: Accounts, integration: str, user_id: str) -> PublicView:
    """The public view of a user's connection; an empty one if there is none, or if it was altered."""
    with suppress(ConnectionNotFound, TamperError):
        return accounts.get(integration, user_id)
    return {"status": "", "additional_config": {}}


def _explain(error: StepFailed) -> LoginFailed:
    if error.status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS} or error.status >= 500:  # noqa: PLR2004
        return LoginFailed("unavailable", UNREACHABLE, str(error))
    return LoginFailed("exchange_failed", str(error))
