"""Credentials from a form: validated, tested at the API, and only then stored."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from nango_py.auth.base import mode_of
from nango_py.connect.failure import LOGIN_ERRORS, explain_failure
from nango_py.connect.form_values import CHECK_FIELDS, ENGLISH, FormValues, find_hidden_settings
from nango_py.connect.forms import NONE, OAUTH, make_form
from nango_py.connect.outcome import LoginOutcome, report_outcome, save_outcome
from nango_py.engine.verification import (
    ACCEPTED,
    MISSING_SCOPE,
    NOT_DECLARED,
    REFUSED,
    WRONG_SETTINGS,
    Verification,
)
from nango_py.errors import ConnectFailed, ConnectionNotFound, CredentialsError
from nango_py.secret import without_frames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.accounts import Accounts
    from nango_py.config.model import Integration
    from nango_py.connect.forms import Form
    from nango_py.connect.words import Words
    from nango_py.connections.connect_sessions import SessionClaims
    from nango_py.json_types import JsonObject

CONNECTED, NOT_CONNECTED = "connected", "not_connected"
_CREDENTIAL_ERROR = re.compile(r'credential "(\w+)" (.+)', re.DOTALL)


@without_frames
def submit(
    accounts: Accounts,
    claims: SessionClaims,
    integration: str,
    credentials: Mapping[str, object],
    additional_config: Mapping[str, object],
    attempt: str = "",
    words: Words = ENGLISH,
) -> JsonObject:
    """Store what a user entered if the API accepts it. An existing connection is replaced.

    Args:
        accounts: where the connection is stored.
        claims: the claims of the user's connect session.
        integration: one of the session's integrations.
        credentials: the credentials as they were typed.
        additional_config: the settings as they were typed.
        attempt: the page's own name for this attempt, for `Logins.find_outcome`.
        words: the language of messages about fields.

    Returns:
        `status` (connected), `verified` (whether the API was asked), and a `message`, which is often "".

    Raises:
        ConnectFailed: `not_allowed` or `unknown_integration`; `invalid_credentials` with a sentence for each
            invalid field; `refused`, `missing_scope`, `wrong_settings` or `unavailable` if the API said so.
            Nothing was stored.
    """
    declared = find_permitted(accounts, claims, integration)
    failure: ConnectFailed
    try:
        form = make_form(declared)
        if form.kind == OAUTH:
            title = declared.title or declared.name
            raise ConnectFailed("not_allowed", f"{title} is connected by logging in there, not by a form")
        values = FormValues(form, credentials, additional_config, words)
        if values.errors:
            raise ConnectFailed("invalid_credentials", words("check_fields"), fields=values.errors)
        return _verify_and_store(accounts, claims, declared, form, values, attempt)
    except LOGIN_ERRORS as error:
        failure = _explain(error, declared)
    report_outcome(accounts.services, integration, claims.user_id, failure.code, str(failure))
    raise failure


def disconnect(accounts: Accounts, claims: SessionClaims, integration: str) -> JsonObject:
    """Delete a user's connection, if there is one, and revoke its tokens if the blueprint says how.

    Raises:
        ConnectFailed: `not_allowed` or `unknown_integration`.
    """
    find_permitted(accounts, claims, integration)
    with suppress(ConnectionNotFound):
        accounts.delete(integration, claims.user_id)
    return {"status": NOT_CONNECTED}


def find_permitted(accounts: Accounts, claims: SessionClaims, integration: str) -> Integration:
    """The integration, if the session may connect it.

    Raises:
        ConnectFailed: `not_allowed` or `unknown_integration`.
    """
    if integration not in claims.integrations:
        raise ConnectFailed("not_allowed", "this link is not for that account; please ask for a new link")
    declared = accounts.services.configuration.integrations.get(integration)
    if declared is None:
        raise ConnectFailed("unknown_integration", "this account can no longer be connected")
    return declared


def _verify_and_store(
    accounts: Accounts,
    claims: SessionClaims,
    declared: Integration,
    form: Form,
    values: FormValues,
    attempt: str,
) -> JsonObject:
    config = {**values.additional_config, **find_hidden_settings(accounts, claims.user_id, declared, form)}
    verification = Verification(NOT_DECLARED)
    if form.kind != NONE:
        verification = accounts.verify(declared.name, claims.user_id, values.credentials, config)
    if not verification.ok:
        is_specific = verification.outcome in {REFUSED, MISSING_SCOPE, WRONG_SETTINGS}
        raise ConnectFailed(verification.outcome if is_specific else "unavailable", verification.message)
    accounts.register(declared.name, claims.user_id, values.credentials, config, replace=True)
    report_outcome(accounts.services, declared.name, claims.user_id)
    if attempt:
        outcome = LoginOutcome(True, declared.name, claims.user_id, claims.origin, attempt)  # noqa: FBT003 - ok
        save_outcome(accounts.services, claims.id, outcome)
    return {"status": CONNECTED, "verified": verification.outcome == ACCEPTED, "message": ""}


def _explain(error: Exception, declared: Integration) -> ConnectFailed:
    error = error.with_traceback(None)  # frames hold what was typed
    if isinstance(error, ConnectFailed):
        return error
    if isinstance(error, CredentialsError):
        return _explain_credentials_error(error, declared)
    failure = explain_failure(error, by_user=True)
    return ConnectFailed(failure.code, failure.message, fields=failure.fields)


def _explain_credentials_error(error: CredentialsError, declared: Integration) -> ConnectFailed:
    """The auth mode's error as one of a field. Its message quotes the field's name and no value."""
    match = _CREDENTIAL_ERROR.search(str(error))
    known = mode_of(declared).credentials_schema["properties"]
    if match is None or match[1] not in known:
        message = "These credentials are not valid. Please copy them again."
        return ConnectFailed("invalid_credentials", message)
    return ConnectFailed("invalid_credentials", CHECK_FIELDS, fields={match[1]: f"This {match[2]}."})
