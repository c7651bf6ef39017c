"""A connection: one user's credentials and settings for one integration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from nango_py.record import record

if TYPE_CHECKING:
    from datetime import datetime

    from nango_py.json_types import Credentials, Settings

PublicView: TypeAlias = dict[str, Any]
"""What may be shown of a connection; see `Connection.public`."""

ACTIVE = "active"
NEEDS_REAUTH = "needs_reauth"
NEEDS_CHOICE = "needs_choice"
STATUSES = (ACTIVE, NEEDS_REAUTH, NEEDS_CHOICE)
"""Every status of a connection."""


@record(eq=False)
class Connection:
    """One user's account at one API, as it was stored when it was read.

    Attributes:
        uuid: never changes; a connection that is deleted and registered again gets a new one.
        integration: the name in integrations.yaml.
        user_id: the caller's own id of the user.
        credentials: read-only; every text in it is a `Secret`.
        additional_config: read-only, plain values.
        date_created: in UTC.
        last_modified: in UTC, when credentials or settings last changed.
        generation: increases by one with every change; starts at 1, or, for an imported connection, above any
            earlier connection with this uuid.
        status: `active`; `needs_reauth` if the provider rejected the credentials permanently; `needs_choice`
            if the user has logged in and an account has to be chosen.
    """

    uuid: str
    integration: str
    user_id: str
    credentials: Credentials
    additional_config: Settings
    date_created: datetime
    last_modified: datetime
    generation: int
    status: str

    def public(self) -> PublicView:
        """Everything but the credentials, as new plain values; dates are datetimes."""
        return public_view(
            uuid=self.uuid,
            integration=self.integration,
            user_id=self.user_id,
            date_created=self.date_created,
            last_modified=self.last_modified,
            status=self.status,
            additional_config=self.additional_config,
        )

    def __repr__(self) -> str:
        return (
            f"Connection(integration={self.integration!r}, user_id={self.user_id!r}, uuid={self.uuid!r}, "
            f"generation={self.generation}, status={self.status!r})"
        )


def public_view(*, additional_config: Settings, **fields: object) -> PublicView:
    """The public fields of a connection, with a mutable copy of the settings."""
    return {**fields, "additional_config": thaw(additional_config)}


def thaw(value: Any) -> Any:
    """The value with read-only mappings and tuples converted to dicts and lists."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(item) for item in value]
    return value
