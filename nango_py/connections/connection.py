"""A connection: one user's credentials and settings for one integration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nango_py.record import record

if TYPE_CHECKING:
    from datetime import datetime

ACTIVE = "active"
NEEDS_REAUTH = "needs_reauth"


@record(eq=False)
class Connection:
    """One user's account at one API, as it was stored when it was read.

    Attributes:
        uuid: its name for ever; a connection that is deleted and registered again gets another.
        integration: the name in integrations.yaml.
        user_id: the caller's own name for the user.
        credentials: read-only; every text in it is a `Secret`.
        additional_config: read-only, plain values.
        date_created: in UTC.
        last_modified: in UTC, when credentials or settings last changed.
        generation: grows by one with every change; 1 when registered, and more when imported than any earlier
            connection of this uuid can have had.
        status: `active`, or `needs_reauth` when the provider refused the credentials for good.
    """

    uuid: str
    integration: str
    user_id: str
    credentials: Mapping[str, Any]
    additional_config: Mapping[str, Any]
    date_created: datetime
    last_modified: datetime
    generation: int
    status: str

    def public(self) -> dict[str, Any]:
        """What may be shown: all but the credentials, as new plain values; dates are datetimes."""
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


def public_view(*, additional_config: Any, **fields: Any) -> dict[str, Any]:
    """The public fields of a connection, with the settings as mappings and lists of the caller's own."""
    return {**fields, "additional_config": thaw(additional_config)}


def thaw(value: Any) -> Any:
    """The value with read-only mappings and tuples turned into dicts and lists."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(item) for item in value]
    return value
