"""Connections of every auth mode, and products to move them between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py import Nango
from nango_py.connections.keys import generate_key
from nango_py.registry import AUTH_MODES
from nango_py.secret import reveal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.connections.connection import Connection

URL = "https://api.example.test/v1/"
APP = {"oauth_client_id": "app-id", "oauth_client_secret": "app-secret"}
TOKEN_URL = "https://api.example.test/token"

_AUTH: dict[str, dict[str, Any]] = {
    "OAUTH1": {"token_url": TOKEN_URL},
    "OAUTH2": {"authorization_url": "https://api.example.test/authorize", "token_url": TOKEN_URL},
    "OAUTH2_CC": {"token_url": TOKEN_URL},
    "OAUTH2_JWT": {
        "token_url": TOKEN_URL,
        "assertion": {"signing_key": "${private_key}", "algorithm": "RS256"},
    },
    "OAUTH2_SAML": {"token_url": TOKEN_URL},
    "TWO_STEP": {"token_url": TOKEN_URL, "token_response": {"token": "token"}},
    "JWT": {"jwt": {"signing_key": "${private_key}", "algorithm": "HS256"}},
    "SIGNATURE": {"signature": {"headers": {"X-Sign": ["signature"]}, "parts": ["method"]}},
    "AWS_SIGV4": {"region": "eu-west-1", "service": "s3"},
    "TOKEN_EXCHANGE": {
        "token_url": TOKEN_URL,
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    },
    "MCP_OAUTH2": {"resource_url": URL},
}
_NEEDS_APP = {"OAUTH1", "OAUTH2"}


def an_entry(mode: str, **more: Any) -> dict[str, Any]:
    """An integration of an auth mode, as integrations.yaml would declare it."""
    app = APP if mode in _NEEDS_APP else {}
    return {"auth": {"auth_mode": mode, **_AUTH.get(mode, {})}, "requests": {"base_url": URL}, **app, **more}


MODES: dict[str, dict[str, Any]] = {
    name.lower().replace("_", "-"): an_entry(name)
    for name in AUTH_MODES.names()
    if AUTH_MODES.get(name).__module__.startswith("nango_py.")
}
"""One integration for each auth mode."""


def example_of(integration: str, number: int) -> dict[str, Any]:
    """Separate credentials for a user of one of MODES."""
    mode = AUTH_MODES.get(MODES[integration]["auth"]["auth_mode"])
    return {
        name: f"{value}{number}\n" if str(value).startswith("-----") else f"{value}_{number}"
        for name, value in mode.example_credentials.items()
    }


def a_key() -> str:
    """A key for an export."""
    return generate_key().reveal()


def a_nango(database_url: str, integrations: Mapping[str, Any] = MODES, **options: Any) -> Nango:
    """A product with a database; its key file lies beside it, or in the memory of this process."""
    given = {"encryption_keys": a_key()} if database_url.startswith("postgresql") else {}
    return Nango(dict(integrations), database_url=database_url, environ={}, **{**given, **options})


def everything(nango: Nango) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Every connection with all that an export carries."""
    found = {}
    for integration in nango.configuration.integrations:
        for view in nango.connections_for_integration(integration):
            found[integration, view["user_id"]] = carried(nango.store.get(integration, view["user_id"]))
    return found


def carried(connection: Connection) -> tuple[Any, ...]:
    """What an export carries of a connection."""
    return (
        connection.uuid,
        connection.status,
        connection.date_created,
        connection.last_modified,
        reveal(connection.credentials),
        dict(connection.additional_config),
    )
