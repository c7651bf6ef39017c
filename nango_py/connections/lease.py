"""Who may renew a connection's token: one owner at a time, over all processes and machines.

A lease is a row with an owner and an end. Whoever lets it end, say because the process was stopped for a
while, has lost it: what it writes later is refused, so an old token never replaces a newer one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.connections.connection import ACTIVE, NEEDS_REAUTH
from nango_py.connections.rows import Row, to_microseconds
from nango_py.connections.validation import to_json
from nango_py.secret import conceal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.connections.connection import Connection
    from nango_py.connections.store import ConnectionStore
    from nango_py.database.base import Run

LONGEST_SECONDS = 600.0
"""No lease is longer, so one that seems to be was taken before the clock was set back."""

TAKE = """
INSERT INTO nango_leases (uuid, owner, ends_at)
SELECT uuid, :owner, :now + :length FROM nango_connections WHERE uuid = :uuid
ON CONFLICT (uuid) DO UPDATE SET owner = excluded.owner, ends_at = excluded.ends_at
WHERE nango_leases.owner = excluded.owner OR nango_leases.ends_at <= :now
  OR nango_leases.ends_at > :now + :longest
RETURNING owner
"""
# A server's own time, so that machines need not agree.
TAKE_BY_SERVER_TIME = TAKE.replace(":now", "cast(extract(epoch from clock_timestamp()) * 1000000 AS bigint)")
GIVE_BACK = "DELETE FROM nango_leases WHERE uuid = :uuid AND owner = :owner"
WRITE = """
UPDATE nango_connections
SET generation = :generation, status = :status, key_id = :key_id, credentials = :credentials,
  additional_config = :additional_config, modified_at = :modified_at
WHERE uuid = :uuid AND generation = :seen
  AND EXISTS (SELECT 1 FROM nango_leases WHERE nango_leases.uuid = :uuid AND nango_leases.owner = :owner)
RETURNING generation
"""


class Leases:
    """The leases of a store. Safe to share between threads."""

    def __init__(self, store: ConnectionStore) -> None:
        self._store = store

    def take(self, connection: Connection, owner: str, seconds: float) -> bool:
        """Whether the lease is the owner's now, for so many seconds; it can be taken again to prolong it.

        There is no lease on a connection that was deleted.
        """
        parameters = {
            "uuid": connection.uuid,
            "owner": owner,
            "now": self._store.microseconds(),
            "length": int(min(seconds, LONGEST_SECONDS) * 1_000_000),
            "longest": int(LONGEST_SECONDS * 1_000_000),
        }
        text = TAKE_BY_SERVER_TIME if self._store.is_shared else TAKE
        return bool(self._store.write(lambda run: run(text, parameters)))

    def give_back(self, connection: Connection, owner: str) -> None:
        """End the lease, if it is still the owner's."""
        parameters = {"uuid": connection.uuid, "owner": owner}
        self._store.write(lambda run: run(GIVE_BACK, parameters))

    def store_renewed(
        self, connection: Connection, owner: str, credentials: Mapping[str, Any]
    ) -> Connection | None:
        """The connection with new credentials, durable and active, or None where the lease was lost.

        The lease ends with it.

        Nothing is written where the connection was changed or deleted since it was read, or where another
        owner has the lease: a late write never replaces a newer token, nor brings back what was deleted.
        """
        return self._write(connection, owner, conceal(credentials), ACTIVE)

    def refuse(self, connection: Connection, owner: str) -> Connection | None:
        """The connection marked `needs_reauth`, or None where the lease was lost; the lease ends with it."""
        return self._write(connection, owner, connection.credentials, NEEDS_REAUTH)

    def _write(self, seen: Connection, owner: str, credentials: Any, status: str) -> Connection | None:
        secret, settings = (
            to_json(credentials, "credentials"),
            to_json(seen.additional_config, "additional_config"),
        )
        # The honest time, also where the clock was set back: a token's life is counted from it.
        created, modified = to_microseconds(seen.date_created), self._store.microseconds()
        blank = Row(
            seen.uuid, seen.integration, seen.user_id, seen.generation + 1, status, "", b"", b"",
            created, modified,
        )  # fmt: skip

        def work(run: Run) -> Connection | None:
            row = blank.sealed(self._store.active_key, secret, settings)
            if not run(WRITE, {**row._asdict(), "seen": seen.generation, "owner": owner}):
                return None
            run(GIVE_BACK, {"uuid": seen.uuid, "owner": owner})
            return row.connection(secret.reveal(), settings.reveal())

        return self._store.write(work)
