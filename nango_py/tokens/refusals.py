"""Credentials that are refused for good: how that is seen and said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.connections.connection import NEEDS_REAUTH
from nango_py.errors import CredentialsError, printable

if TYPE_CHECKING:
    from nango_py.connections.connection import Connection


def is_newer(current: Connection, seen: Connection) -> bool:
    """Whether somebody has changed the credentials since, and not the settings only.

    Raises:
        CredentialsError: the provider has refused them for good meanwhile.
    """
    check_usable(current)
    return current.uuid != seen.uuid or current.credentials != seen.credentials


def client_refused(connection: Connection, why: str) -> CredentialsError:
    """The error for an application whose own settings are refused; its users can do nothing about it."""
    name = connection.integration
    text = f"{name}: the provider refuses the application's own settings: {why}"
    return CredentialsError(text, integration=name, user_id=connection.user_id)


def needs_reauth(connection: Connection, why: str = "") -> CredentialsError:
    """The error for a connection whose user must connect again."""
    who = f"{connection.integration}/{printable(connection.user_id)}"
    text = f"{who}: the provider no longer accepts these credentials{f' ({why})' if why else ''}"
    return CredentialsError(
        f"{text}; the user must connect again",
        integration=connection.integration,
        user_id=connection.user_id,
    )


def check_usable(connection: Connection) -> None:
    """Raise CredentialsError where a final refusal is known already."""
    if connection.status == NEEDS_REAUTH:
        raise needs_reauth(connection)
