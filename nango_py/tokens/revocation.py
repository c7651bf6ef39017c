"""Revoking the tokens of a deleted connection at its provider, as far as the provider lets us.

By RFC 7009 at `revocation_url` or where an MCP server says, or by the provider's own request in `revocation`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.auth.base import mode_of
from nango_py.connections.owners import new_owner
from nango_py.errors import ConfigError, NangoError, TamperError
from nango_py.protocols.token_exchange import TokenResponse
from nango_py.protocols.token_responses import decode_body, is_error_body
from nango_py.tokens.token_requests import make_token_plan, token_context
from nango_py.transport.sendable import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nango_py.clock import Clock
    from nango_py.config.model import Integration
    from nango_py.connections.connection import Connection
    from nango_py.connections.store import ConnectionStore
    from nango_py.engine.interfaces import IntegrationView
    from nango_py.transport.response import Response
    from nango_py.transport.sync_transport import Transport

REQUEST_SECONDS = 10.0
"""The time for all requests together; the deletion of the connection waits for them."""

REFRESH_SECONDS = 5.0
"""How long to wait for a refresh in flight, so that the new tokens are revoked too."""

SUCCESS, CLIENT_ERRORS = range(200, 300), range(400, 500)


def is_declared(integration: Integration) -> bool:
    """Whether the blueprint has a revocation endpoint, or its MCP server may have one."""
    return _endpoint(integration) is not None


def block_refresh(store: ConnectionStore, integration: str, user_id: str, clock: Clock) -> None:
    """Wait a few seconds for a refresh in flight, and let no further one begin.

    Raises:
        ConnectionNotFound: there is no such connection.
    """
    owner, deadline = new_owner(), clock.monotonic() + REFRESH_SECONDS
    try:
        connection = store.get(integration, user_id)
    except TamperError:
        return  # it can be deleted but not refreshed
    # Only the owner of the lease refreshes; the lease is deleted with the connection.
    while not store.leases.acquire(connection, owner, REQUEST_SECONDS) and clock.monotonic() < deadline:
        clock.sleep(0.05)


def revoke(
    runtime: IntegrationView,
    connection: Connection,
    transport: Transport,
    clock: Clock,
    get_others: Callable[[], Iterable[Integration | None]],
) -> None:
    """Ask the provider to revoke the tokens of a deleted connection, and log the result. Nothing is raised.

    Args:
        runtime: the integration of the connection.
        connection: already deleted.
        transport: sends the requests.
        clock: the time.
        get_others: returns the integrations that the user is still connected to. If one is the same
            application at the same provider, nothing is revoked: many providers end the whole grant of a
            user with any of its tokens.
    """
    reason = "another connection of this user has the same grant"
    try:
        if all(other is None or not _have_same_grant(other, runtime.integration) for other in get_others()):
            reason = _request_revocation(runtime.integration, connection, transport, clock)
    except ConfigError:
        reason = "a setting of the revocation request is missing"
    except NangoError as error:
        reason = type(error).__name__
    runtime.report_token(connection, "not_revoked" if reason else "revoked", reason)


def _have_same_grant(one: Integration, other: Integration) -> bool:
    # Users who name the server themselves have one server in each integration.
    is_named_by_users = "${" in str.__str__(one.settings["auth"].get("resource_url") or "")
    return _application(one) == _application(other) and not is_named_by_users


def _application(integration: Integration) -> tuple[object, object]:
    return _endpoint(integration), integration.app_variables.get("oauth_client_id")


def _endpoint(integration: Integration) -> object:
    """The URL at which grants are revoked, or that of the MCP server that knows it; or None."""
    auth = integration.settings["auth"]
    own = (auth.get("revocation") or {}).get("url")
    return own or auth.get("revocation_url") or auth.get("resource_url")


def _request_revocation(
    integration: Integration, connection: Connection, transport: Transport, clock: Clock
) -> str:
    """Why the provider did not revoke the tokens, or ""."""
    context = token_context(integration, connection, clock.now())
    requests = mode_of(integration).revocation_requests(context)
    if not requests:
        return "there is no token, or no endpoint to revoke it"
    deadline, reason = clock.monotonic() + REQUEST_SECONDS, ""
    for request in requests:
        seconds = deadline - clock.monotonic()
        outcome = transport.send(make_token_plan(request, context), seconds) if seconds > 0 else None
        status = 0 if outcome is None or isinstance(outcome, Failure) else outcome.status_code
        # Revoking the refresh token ends the access token too, so the provider may no longer know that.
        is_gone_already = request is not requests[0] and not reason and status in CLIENT_ERRORS
        if (status not in SUCCESS and not is_gone_already) or _is_refusal(outcome):
            reason = reason or _describe(outcome)
    return reason


def _is_refusal(outcome: Response | Failure | None) -> bool:
    """Whether a response with a status of success says otherwise in its body, as Slack's do."""
    if outcome is None or isinstance(outcome, Failure) or outcome.status_code not in SUCCESS:
        return False
    body = decode_body(TokenResponse(outcome.status_code, outcome.headers, outcome.content))
    return isinstance(body, dict) and is_error_body(body)


def _describe(outcome: Response | Failure | None) -> str:
    if isinstance(outcome, Failure):
        return f"no response ({outcome.reason})"
    if outcome is None:
        return "no time was left"
    text = " and an error in the body" if outcome.status_code in SUCCESS else ""
    return f"the provider responded with {outcome.status_code}{text}"
