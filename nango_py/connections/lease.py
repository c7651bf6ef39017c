"""The right to refresh a connection's token: one owner at a time across all processes and machines.

A lease is a row with an owner and an end. An owner whose lease has ended, say because its process was
suspended, has lost it: its late write is rejected, so an old token never replaces a newer one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.connections.connection import ACTIVE, NEEDS_CHOICE, NEEDS_REAUTH
from nango_py.connections.owners import has_died
from nango_py.connections.rows import Row, to_microseconds
from nango_py.connections.validation import to_json
from nango_py.secret import conceal

if TYPE_CHECKING:
    from nango_py.connections.connection import Connection
    from nango_py.connections.sealed_database import SealedDatabase
    from nango_py.database.base import Run
    from nango_py.json_types import Credentials, Settings

LONGEST_SECONDS = 600.0
"""The longest lease. One that seems longer was acquired before the machine was started."""

ACQUIRE = """
INSERT INTO nango_leases (uuid, owner, ends_at)
SELECT uuid, :owner, :server_now + :length FROM nango_connections WHERE uuid = :uuid
ON CONFLICT (uuid) DO UPDATE SET owner = excluded.owner, ends_at = excluded.ends_at
WHERE nango_leases.owner = excluded.owner OR nango_leases.ends_at <= :server_now
  OR nango_leases.ends_at > :server_now + :longest
RETURNING owner
"""
OWNER = "SELECT owner FROM nango_leases WHERE uuid = :uuid"
RELEASE = "DELETE FROM nango_leases WHERE uuid = :uuid AND owner = :owner"
UPDATE_WITH_LEASE = """
UPDATE nango_connections
SET generation = :generation, status = :status, key_id = :key_id, credentials = :credentials,
  additional_config = :additional_config, modified_at = :modified_at
WHERE uuid = :uuid AND generation = :old_generation
  AND EXISTS (SELECT 1 FROM nango_leases WHERE nango_leases.uuid = :uuid AND nango_leases.owner = :owner)
RETURNING generation
"""


class Leases:
    """The leases of a store. Safe to share between threads."""

    def __init__(self, database: SealedDatabase) -> None:
        self._database = database

    def acquire(self, connection: Connection, owner: str, seconds: float) -> bool:
        """Acquire or extend the lease; False if another owner has it or the connection was deleted.

        The lease of a process that died on this machine is taken over at once.
        """
        parameters = {
            "uuid": connection.uuid,
            "owner": owner,
            "server_now": self._database.lease_time(),
            "length": int(min(seconds, LONGEST_SECONDS) * 1_000_000),
            "longest": int(LONGEST_SECONDS * 1_000_000),
        }

        def work(run: Run) -> bool:
            if run(ACQUIRE, parameters):
                return True
            rows = run(OWNER, {"uuid": connection.uuid})
            if not rows or not has_died(rows[0][0]):
                return False
            run(RELEASE, {"uuid": connection.uuid, "owner": rows[0][0]})
            return bool(run(ACQUIRE, parameters))

        return self._database.write(work)

    def release(self, connection: Connection, owner: str) -> None:
        """End the lease, if it is still the owner's."""
        parameters = {"uuid": connection.uuid, "owner": owner}
        self._database.write(lambda run: run(RELEASE, parameters))

    def store_refreshed(
        self,
        connection: Connection,
        owner: str,
        credentials: Credentials,
        additional_config: Settings | None = None,
    ) -> Connection | None:
        """Store refreshed credentials, release the lease, and return the connection.

        It is active then, unless an account has to be chosen first.

        Returns None, and writes nothing, if the lease was lost, or if the connection was changed or deleted
        since it was read: a late write never replaces a newer token, nor restores a deleted connection.
        """
        status = NEEDS_CHOICE if connection.status == NEEDS_CHOICE else ACTIVE
        return self._update(connection, owner, conceal(credentials), status, additional_config)

    def mark_needs_reauth(self, connection: Connection, owner: str) -> Connection | None:
        """Set the status to `needs_reauth` and release the lease; None as in `store_refreshed`."""
        return self._update(connection, owner, connection.credentials, NEEDS_REAUTH)

    def _update(
        self,
        old: Connection,
        owner: str,
        credentials: Credentials,
        status: str,
        config: Settings | None = None,
    ) -> Connection | None:
        config = old.additional_config if config is None else config
        texts = to_json(credentials, "credentials"), to_json(config, "additional_config")
        # The real time, even if the clock was set back: the lifetime of a token counts from it.
        created, modified = to_microseconds(old.date_created), self._database.microseconds()
        row = Row(
            old.uuid, old.integration, old.user_id, old.generation + 1, status, "", b"", b"",
            created, modified,
        )  # fmt: skip

        def work(run: Run) -> Connection | None:
            sealed = row.seal(self._database.active_key, *texts)._asdict()
            if not run(UPDATE_WITH_LEASE, {**sealed, "old_generation": old.generation, "owner": owner}):
                return None
            run(RELEASE, {"uuid": old.uuid, "owner": owner})
            return row.to_connection(*texts)

        return self._database.write(work)
