"""Logins that end if nothing uses them: their tokens are refreshed in time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from nango_py.connections.connection import NEEDS_REAUTH
from nango_py.errors import ConnectionNotFound, CredentialsError, NangoError
from nango_py.record import record
from nango_py.tokens.schedule import refresh_token_end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.accounts import Accounts
    from nango_py.connections.connection import Connection

DAY_SECONDS = 86_400.0
REFRESHED, FAILED = "refreshed", "failed"


@record
class KeptAlive:
    """What became of a connection whose login was about to end.

    Attributes:
        outcome: `refreshed`; `needs_reauth` if the provider refused; `failed` if it may work later.
        message: why it failed, or "".
    """

    integration: str
    user_id: str
    outcome: str
    message: str = ""


def keep_alive(accounts: Accounts, integration: str | None, days: float) -> Iterator[KeptAlive]:
    """See `Logins.keep_alive`."""
    services = accounts.services
    for view in accounts.iterate(integration, None):
        declared = services.configuration.integrations.get(view["integration"])
        if declared is None or view["status"] == NEEDS_REAUTH:
            continue
        with suppress(ConnectionNotFound):  # it was deleted in the meantime
            connection = services.store.get(view["integration"], view["user_id"])
            end = refresh_token_end(declared, connection)
            if end is not None and end - services.clock.now() < days * DAY_SECONDS:
                yield _refresh(accounts, connection)


def _refresh(accounts: Accounts, connection: Connection) -> KeptAlive:
    outcome, message = REFRESHED, ""
    try:
        if accounts.services.refresh(connection) is connection:
            outcome, message = FAILED, "the token cannot be refreshed at present"
    except CredentialsError as error:
        outcome, message = NEEDS_REAUTH, str(error)
    except ConnectionNotFound:
        raise
    except NangoError as error:
        outcome, message = FAILED, str(error)
    return KeptAlive(connection.integration, connection.user_id, outcome, message)
