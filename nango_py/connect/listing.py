"""What the connect page shows: the integrations of a session, and how far each is connected."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nango_py.connect.forms import ADDITIONAL_CONFIG, form_of
from nango_py.connect.outcome import LOGGER
from nango_py.connect.submit import CONNECTED, NOT_CONNECTED
from nango_py.connections.connection import NEEDS_REAUTH
from nango_py.errors import ConnectionNotFound, TamperError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.accounts import Accounts
    from nango_py.config.model import Integration
    from nango_py.connections.connect_sessions import SessionClaims


def list_integrations(accounts: Accounts, claims: SessionClaims) -> dict[str, Any]:
    """The page's data as JSON values; no credential is read for it.

    Returns:
        `product_name`, `user_label`, `expires_at` (ISO 8601), `origins` (the pages that may hear of it), and
        `integrations`, in the session's order, without those that are not declared any more.
    """
    configuration = accounts.services.configuration
    config = configuration.config
    held = _held(accounts, claims)
    declared = (configuration.integrations.get(name) for name in dict.fromkeys(claims.integrations))
    return {
        "product_name": config.product_name,
        "user_label": claims.user_label,
        "expires_at": datetime.fromtimestamp(claims.ends_at, UTC).isoformat(),
        "origins": [claims.origin] if claims.origin else list(config.connect_origins),
        "integrations": [_offer(found, held.get(found.name)) for found in declared if found is not None],
    }


def _held(accounts: Accounts, claims: SessionClaims) -> dict[str, Mapping[str, Any]]:
    """The user's connections by integration; one whose row does not open has to be made again."""
    with suppress(TamperError):
        return {view["integration"]: view for view in accounts.list_for_user(claims.user_id)}
    found: dict[str, Mapping[str, Any]] = {}
    for name in claims.integrations:
        with suppress(ConnectionNotFound):
            try:
                found[name] = accounts.get(name, claims.user_id)
            except TamperError as error:
                LOGGER.error("%s", error)
                found[name] = {"status": NEEDS_REAUTH, "additional_config": {}, "date_created": None}
    return found


def _offer(integration: Integration, held: Mapping[str, Any] | None) -> dict[str, Any]:
    form, settings = form_of(integration), integration.settings
    values = {} if held is None else held["additional_config"]
    since = None if held is None else held["date_created"]
    words = settings.get("connection_config") or {}
    return {
        "name": integration.name,
        "title": integration.title or integration.name,
        "kind": form.kind,
        "docs_url": _text(settings.get("docs_url")),
        "help": _text(words.get("description")),
        "categories": [_text(category) for category in settings.get("categories", ())],
        "status": _status(held),
        "connected_at": None if since is None else since.isoformat(),
        "scopes": [_text(scope) for scope in integration.oauth_scopes],
        "fields": [
            field.shown(values.get(field.name) if field.group == ADDITIONAL_CONFIG else None)
            for field in form.fields
        ],
    }


def _status(held: Mapping[str, Any] | None) -> str:
    if held is None:
        return NOT_CONNECTED
    return "needs_reauth" if held["status"] == NEEDS_REAUTH else CONNECTED


def _text(value: Any) -> str:
    return str.__str__(value) if isinstance(value, str) else ""
