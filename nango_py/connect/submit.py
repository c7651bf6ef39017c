"""Credentials that a user typed: checked field by field, tried at the API, and only then stored."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nango_py.auth.base import get_auth_mode
from nango_py.connect.failure import ENDINGS, explain_failure
from nango_py.connect.form_values import FormValues
from nango_py.connect.forms import ADDITIONAL_CONFIG, NONE, OAUTH, form_of
from nango_py.connect.outcome import LoginOutcome, remember, report_outcome
from nango_py.engine.verification import ACCEPTED, MISSING_SCOPE, NOT_DECLARED, REFUSED, Verification
from nango_py.errors import ConnectFailed, ConnectionNotFound, CredentialsError, TamperError
from nango_py.secret import without_frames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.accounts import Accounts
    from nango_py.config.model import Integration
    from nango_py.connect.forms import Form
    from nango_py.connections.connect_sessions import SessionClaims

CONNECTED, NOT_CONNECTED = "connected", "not_connected"
_FIELD = re.compile(r'credential "(\w+)" (.+)', re.DOTALL)


@without_frames
def submit(
    accounts: Accounts,
    claims: SessionClaims,
    integration: str,
    credentials: Mapping[str, Any],
    additional_config: Mapping[str, Any],
    attempt: str = "",
) -> dict[str, Any]:
    """Store what a user typed, once the API has accepted it; a connection that is there is replaced.

    Args:
        accounts: whose connection store it is.
        claims: of the user's connect session.
        integration: one of the session's.
        credentials: the fields of its form, as they were typed.
        additional_config: the same for its settings.
        attempt: the page's own name for this try; `Logins.attempt` tells how it ended.

    Returns:
        `status` (connected), `verified` (whether the API was asked), and a `message`, which is often "".

    Raises:
        ConnectFailed: `not_allowed` or `unknown_integration`; `invalid_credentials` with a sentence for each
            wrong field; `refused`, `missing_scope` or `unavailable` as the API said. Nothing was stored.
    """
    declared = permitted(accounts, claims, integration)
    failed: ConnectFailed
    try:
        form = form_of(declared)
        if form.kind == OAUTH:
            what = f"{declared.title or declared.name} is connected by logging in there, not by a form"
            raise ConnectFailed("not_allowed", what)
        return _submitted(
            accounts, claims, declared, FormValues(form, credentials, additional_config), attempt
        )
    except ENDINGS as error:
        failed = _failure(error, declared)
    report_outcome(accounts.services, integration, claims.user_id, failed.code, str(failed))
    raise failed


def disconnect(accounts: Accounts, claims: SessionClaims, integration: str) -> dict[str, Any]:
    """Delete a user's connection, and tell the provider where the blueprint says how; it may be gone already.

    Raises:
        ConnectFailed: `not_allowed` or `unknown_integration`.
    """
    permitted(accounts, claims, integration)
    with suppress(ConnectionNotFound):
        accounts.delete(integration, claims.user_id)
    return {"status": NOT_CONNECTED}


def permitted(accounts: Accounts, claims: SessionClaims, integration: str) -> Integration:
    """The integration, if the session may connect it.

    Raises:
        ConnectFailed: `not_allowed` or `unknown_integration`.
    """
    if integration not in claims.integrations:
        raise ConnectFailed("not_allowed", "this link is not for that account; ask for another one")
    declared = accounts.services.configuration.integrations.get(integration)
    if declared is None:
        raise ConnectFailed("unknown_integration", "there is nothing of that name to connect any more")
    return declared


def _submitted(
    accounts: Accounts, claims: SessionClaims, declared: Integration, typed: FormValues, attempt: str
) -> dict[str, Any]:
    if typed.faults:
        raise ConnectFailed("invalid_credentials", "Please look at the marked fields.", fields=typed.faults)
    form = form_of(declared)
    config = {**typed.additional_config, **_unasked(accounts, claims, declared, form)}
    tried = Verification(NOT_DECLARED)
    if form.kind != NONE:
        tried = accounts.verify(declared.name, claims.user_id, typed.credentials, config)
    if not tried.ok:
        code = tried.outcome if tried.outcome in {REFUSED, MISSING_SCOPE} else "unavailable"
        raise ConnectFailed(code, tried.message)
    accounts.register(declared.name, claims.user_id, typed.credentials, config, replace=True)
    report_outcome(accounts.services, declared.name, claims.user_id)
    if attempt:
        outcome = LoginOutcome(True, declared.name, claims.user_id, claims.origin, attempt)  # noqa: FBT003 - ok
        remember(accounts.services, claims.id, outcome)
    return {"status": CONNECTED, "verified": tried.outcome == ACCEPTED, "message": ""}


def _unasked(accounts: Accounts, claims: SessionClaims, declared: Integration, form: Form) -> dict[str, Any]:
    """Settings that a connection has and the form does not ask for: the product put them there."""
    with suppress(ConnectionNotFound, TamperError):  # a row that does not open is replaced
        settings = accounts.get(declared.name, claims.user_id)["additional_config"]
        asked = form.named(ADDITIONAL_CONFIG)
        return {name: value for name, value in settings.items() if name not in asked}
    return {}


def _failure(error: Exception, declared: Integration) -> ConnectFailed:
    """What went wrong, for the user."""
    error = error.with_traceback(None)  # frames hold what was typed
    if isinstance(error, ConnectFailed):
        return error
    if isinstance(error, CredentialsError):
        return _ill_formed(error, declared)
    end = explain_failure(error, by_user=True)
    return ConnectFailed(end.code, end.message, fields=end.fields)


def _ill_formed(error: CredentialsError, declared: Integration) -> ConnectFailed:
    """What the auth mode says of a field: its messages name the field in quotes, and hold no value."""
    found = _FIELD.search(str(error))
    known = get_auth_mode(declared.auth_mode).credentials_schema["properties"]
    if found is None or found[1] not in known:
        return ConnectFailed("invalid_credentials", "These credentials cannot be used; copy them again.")
    fields = {found[1]: f"This {found[2]}."}
    return ConnectFailed("invalid_credentials", "Please look at the marked fields.", fields=fields)
