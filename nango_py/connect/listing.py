"""The data of the connect page: the integrations of a session, and whether each is connected."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nango_py.config.images import read_image
from nango_py.connect.forms import ADDITIONAL_CONFIG, make_form
from nango_py.connect.outcome import LOGGER
from nango_py.connect.submit import CONNECTED, NOT_CONNECTED
from nango_py.connections.connection import ACTIVE, NEEDS_REAUTH, thaw
from nango_py.errors import ConnectionNotFound, TamperError, printable
from nango_py.json_path import search_json
from nango_py.secret import reveal

if TYPE_CHECKING:
    from nango_py.accounts import Accounts
    from nango_py.config.model import Integration
    from nango_py.connections.connect_sessions import SessionClaims
    from nango_py.json_types import JsonObject, JsonValue, Settings

MAX_ACCOUNT_LENGTH = 100
_SECRET = re.compile(r"token|secret|passw|key|code|assertion|signature|cookie", re.IGNORECASE)


def list_integrations(accounts: Accounts, claims: SessionClaims) -> JsonObject:
    """The page's data. No credential is in it.

    Returns:
        `product_name`, `brand` (`logo` as a data: URL, `color`, `support_url`), `return_url`, `user_label`,
        `expires_at` (ISO 8601), `origins` (the pages that may receive results) and `integrations`, in the
        session's order, without those that are no longer declared.
    """
    configuration = accounts.services.configuration
    config = configuration.config
    connections = _find_connections(accounts, claims)
    declared = (configuration.integrations.get(name) for name in dict.fromkeys(claims.integrations))
    return {
        "product_name": config.product_name,
        "brand": {
            "logo": read_image(config.product_logo),
            "color": config.product_color,
            "support_url": config.support_url,
        },
        "return_url": claims.return_url,
        "user_label": claims.user_label,
        "expires_at": datetime.fromtimestamp(claims.ends_at, UTC).isoformat(),
        "origins": [claims.origin] if claims.origin else list(config.connect_origins),
        "integrations": [
            _describe(integration, connections.get(integration.name))
            | {"account": _find_account(accounts, integration, connections.get(integration.name))}
            for integration in declared
            if integration is not None
        ],
    }


def _find_connections(accounts: Accounts, claims: SessionClaims) -> dict[str, Settings]:
    """The user's connections by integration. One that cannot be decrypted must be made again."""
    with suppress(TamperError):
        return {view["integration"]: view for view in accounts.list_for_user(claims.user_id)}
    connections: dict[str, Settings] = {}
    for name in claims.integrations:
        with suppress(ConnectionNotFound):
            try:
                connections[name] = accounts.get(name, claims.user_id)
            except TamperError as error:
                LOGGER.error("%s", error)
                connections[name] = {"status": NEEDS_REAUTH, "additional_config": {}, "date_created": None}
    return connections


def _describe(integration: Integration, connection: Settings | None) -> JsonObject:
    form, settings = make_form(integration), integration.settings
    config = {} if connection is None else connection["additional_config"]
    created = None if connection is None else connection["date_created"]
    status = NOT_CONNECTED
    if connection is not None:
        # A user who did not choose an account logs in again, and chooses.
        status = CONNECTED if connection["status"] == ACTIVE else NEEDS_REAUTH
    return {
        "name": integration.name,
        "title": integration.title or integration.name,
        "kind": form.kind,
        "docs_url": _to_text(settings.get("docs_url")),
        "help": _to_text((settings.get("connection_config") or {}).get("description")),
        "categories": [_to_text(category) for category in settings.get("categories", ())],
        "status": status,
        "connected_at": None if created is None else created.isoformat(),
        "logo": read_image(_to_text(settings.get("logo"))),
        "scopes": [
            {"name": scope, "text": _to_text((settings.get("scopes") or {}).get(scope))}
            for scope in map(_to_text, integration.oauth_scopes)
        ],
        "fields": [
            field.to_json(config.get(field.name) if field.group == ADDITIONAL_CONFIG else None)
            for field in form.fields
        ],
    }


def _find_account(accounts: Accounts, integration: Integration, view: Settings | None) -> str:
    """The name of the connected account, by the blueprint's `account`; "" if it is unknown.

    What looks like a credential is not shown, whatever the blueprint names.
    """
    path = _to_text(integration.settings.get("account"))
    if not path or view is None:
        return ""
    try:
        connection = accounts.services.store.get(integration.name, view["user_id"])
    except (ConnectionNotFound, TamperError, KeyError):
        return ""
    credentials = reveal(connection.credentials)
    secrets = [text for name, text in credentials.items() if name != "raw" and isinstance(text, str) and text]
    values = {
        "raw": _without_secrets(credentials.get("raw")),
        "additional_config": thaw(connection.additional_config),
    }
    name = search_json(path, values)
    if isinstance(name, bool) or not isinstance(name, str | int):
        return ""
    text = printable(str(name), MAX_ACCOUNT_LENGTH)
    return "" if any(secret in str(name) for secret in secrets) else text


def _without_secrets(value: JsonValue) -> JsonValue:
    """The value without what a token response calls a token, a secret, a key or a code."""
    if isinstance(value, dict):
        return {key: _without_secrets(item) for key, item in value.items() if not _SECRET.search(key)}
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value


def _to_text(value: object) -> str:
    return str.__str__(value) if isinstance(value, str) else ""
