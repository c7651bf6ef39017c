"""Withdrawing a deleted connection's tokens at its provider (RFC 7009): tried for a while, never required."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.auth.base import get_auth_mode
from nango_py.errors import ConfigError, NangoError, TamperError
from nango_py.tokens.token_requests import make_shield, make_token_plan, token_context
from nango_py.transport.sendable import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nango_py.clock import Clock
    from nango_py.config.model import Integration
    from nango_py.connections.connection import Connection
    from nango_py.connections.store import ConnectionStore
    from nango_py.engine.runtime import IntegrationRuntime
    from nango_py.transport.sync_transport import Transport

SECONDS = 10.0
"""The time for all requests together: whoever deletes a connection waits for them."""

PATIENCE_SECONDS = 5.0
"""How long a renewal that is under way is waited for, so that what it brings is withdrawn too."""

REVOKED, NOT_REVOKED = "revoked", "not_revoked"
OK, CLIENT_ERRORS = range(200, 300), range(400, 500)


def is_declared(integration: Integration) -> bool:
    """Whether the blueprint names a place where tokens are withdrawn."""
    return bool(integration.settings["auth"].get("revocation_url"))


def shares_grant(integration: Integration, others: Iterable[Integration | None]) -> bool:
    """Whether one of the other integrations is the same application at the same provider.

    Many providers end a user's whole grant to an application with any one of its tokens.
    """
    return any(other is not None and _application(other) == _application(integration) for other in others)


def _application(integration: Integration) -> tuple[Any, Any]:
    place = integration.settings["auth"].get("revocation_url")
    return place, integration.app_variables.get("oauth_client_id")


def settle(store: ConnectionStore, integration: str, user_id: str, clock: Clock) -> None:
    """Return when no renewal of the connection is under way, or after a few seconds, and let none begin.

    Raises:
        ConnectionNotFound: there is no such connection.
    """
    from uuid import uuid4

    owner, until = str(uuid4()), clock.monotonic() + PATIENCE_SECONDS
    try:
        connection = store.get(integration, user_id)
    except TamperError:
        return  # it is deleted all the same, and nobody can renew it
    # Who has the lease renews; it is gone with the connection that is deleted next.
    while not store.leases.acquire(connection, owner, SECONDS) and clock.monotonic() < until:
        clock.sleep(0.05)


def revoke(
    route: IntegrationRuntime,
    connection: Connection,
    transport: Transport,
    clock: Clock,
    others: Callable[[], Iterable[Integration | None]],
) -> None:
    """Ask the provider to withdraw the tokens of a connection that is deleted already.

    What comes of it is logged and told as an event; nothing is raised. Where the user has another connection
    of the same application (`others` gives what is connected), nothing is asked: it might end with this one.
    """
    why = "another connection of this user has the same grant"
    try:
        if not shares_grant(route.integration, others()):
            why = _asked(route.integration, connection, transport, clock)
    except ConfigError:
        why = "a setting that its revocation_url needs is missing"
    except NangoError as error:
        why = type(error).__name__
    route.report_token(connection, NOT_REVOKED if why else REVOKED, why)


def _asked(integration: Integration, connection: Connection, transport: Transport, clock: Clock) -> str:
    """Why the provider did not withdraw the tokens, in words; "" where it did."""
    context = token_context(integration, connection, clock.now())
    requests = get_auth_mode(integration.auth_mode).revocations(context)
    if not requests:
        return "the connection has no token"
    shield, ends, why = make_shield(context), clock.monotonic() + SECONDS, ""
    for request in requests:
        left = ends - clock.monotonic()
        outcome = transport.send(make_token_plan(request, shield), left) if left > 0 else None
        # With the refresh token the provider has forgotten the access token too, and may say so.
        is_known_gone = request is not requests[0] and not why and _status(outcome) in CLIENT_ERRORS
        if _status(outcome) not in OK and not is_known_gone:
            why = why or _words(outcome)
    return why


def _status(outcome: Any) -> int:
    return 0 if outcome is None or isinstance(outcome, Failure) else int(outcome.status_code)


def _words(outcome: Any) -> str:
    if isinstance(outcome, Failure):
        return f"no response ({outcome.reason})"
    return "no time was left" if outcome is None else f"the provider answered {outcome.status_code}"
