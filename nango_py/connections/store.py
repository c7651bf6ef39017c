"""The connection store: register, read, change and list connections, sealed at rest."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from nango_py.clock import SYSTEM_CLOCK
from nango_py.connections import statements
from nango_py.connections.connection import ACTIVE
from nango_py.connections.lease import Leases
from nango_py.connections.pending import Pending
from nango_py.connections.rotation import rotate
from nango_py.connections.rows import Row
from nango_py.connections.schema import prepare
from nango_py.connections.sealed_database import ATTEMPTS, SealedDatabase
from nango_py.connections.validation import check_identity, to_json
from nango_py.database.base import DuplicateRowError
from nango_py.database.opening import open_database
from nango_py.errors import ConnectionAlreadyExists, ConnectionNotFound, StorageError
from nango_py.secret import Secret, conceal

if TYPE_CHECKING:
    from nango_py.clock import Clock
    from nango_py.connections.connection import Connection, PublicView
    from nango_py.connections.keys import KeyRing
    from nango_py.connections.rotation import Progress
    from nango_py.database.base import Rows, Run
    from nango_py.json_types import Credentials, Settings


def open_store(url: str | Secret, keyring: KeyRing, clock: Clock = SYSTEM_CLOCK) -> ConnectionStore:
    """The store behind a URL, created if it does not exist.

    Args:
        url: `sqlite:///relative/path.db`, `sqlite:////absolute/path.db`, `sqlite:///:memory:` or
            `postgresql://user@host/database` (extra `postgres`).
        keyring: see `nango_py.connections.keys.load_keyring`.
        clock: where dates come from.

    Raises:
        StorageError: the database cannot be reached or created, or its rows are sealed with another key; in
            that case not a byte of it was changed.
    """
    location = url if isinstance(url, Secret) else Secret(url)
    del url  # its password would show in a traceback with locals
    database = open_database(location)
    try:
        prepare(database, keyring, int(clock.now() * 1_000_000))
        return ConnectionStore(database, keyring, clock)
    except BaseException:
        database.close()
        raise


class ConnectionStore(SealedDatabase):
    """Connections by (integration, user_id). Safe to share between threads, and usable after fork.

    Every method raises StorageError when the database fails, and for names that cannot be stored (not
    text, empty, longer than 1024 bytes, or containing NUL).
    """

    def create(
        self,
        integration: str,
        user_id: str,
        credentials: Credentials,
        additional_config: Settings | None = None,
    ) -> Connection:
        """Store a new connection and return it.

        Args:
            integration: the name in integrations.yaml.
            user_id: any text of up to 1024 bytes.
            credentials: JSON values; texts may be wrapped in `Secret`.
            additional_config: settings of this user for templates; JSON values.

        Raises:
            ConnectionAlreadyExists: it is already stored, and was left unchanged.
            StorageError: a value is not a JSON value; the message names its place.
        """
        credentials = conceal(credentials)  # from here on, a traceback with locals shows stars
        check_identity(integration, user_id)
        row = Row.new(integration, user_id, self.microseconds())
        texts = to_json(credentials, "credentials"), to_json(additional_config or {}, "additional_config")
        try:
            self.write(lambda run: run(statements.INSERT, row.seal(self._key, *texts)._asdict()))
        except DuplicateRowError:
            pass
        else:
            return row.to_connection(*texts)
        raise ConnectionAlreadyExists(integration, user_id)

    def put(
        self,
        integration: str,
        user_id: str,
        credentials: Credentials,
        additional_config: Settings | None = None,
        *,
        status: str = ACTIVE,
    ) -> Connection:
        """Create a connection or replace the existing one; arguments as in `create`.

        Keeps uuid and date_created; everything else is replaced, even if the stored row was altered. A token
        refresh that is in flight does not overwrite it. With concurrent calls, the last one wins.
        """
        credentials = conceal(credentials)
        check_identity(integration, user_id)
        new = Row.new(integration, user_id, self.microseconds())._replace(status=status)
        texts = to_json(credentials, "credentials"), to_json(additional_config or {}, "additional_config")

        def work(run: Run) -> Connection:
            rows = run(statements.ONE_FOR_UPDATE, {"integration": integration, "user_id": user_id})
            row = Row._make(rows[0]).next_generation(status, new.modified_at) if rows else new
            run(statements.UPDATE if rows else statements.INSERT, row.seal(self._key, *texts)._asdict())
            return row.to_connection(*texts)

        for _ in range(ATTEMPTS):
            # Another process registered one between our SELECT and our INSERT: the next attempt replaces it.
            with contextlib.suppress(DuplicateRowError):
                return self.write(work)
        raise ConnectionAlreadyExists(integration, user_id)

    def get(self, integration: str, user_id: str) -> Connection:
        """The stored connection, decrypted.

        Raises:
            ConnectionNotFound: there is none.
            TamperError: the stored row was altered or moved; it is not used.
        """
        check_identity(integration, user_id)
        rows = self.read(statements.ONE, {"integration": integration, "user_id": user_id})
        if not rows:
            raise ConnectionNotFound(integration, user_id)
        row = Row._make(rows[0])
        return row.decrypt_connection(self.key_of(row))

    def generation(self, integration: str, user_id: str) -> int | None:
        """The generation of the stored connection, or None if there is none.

        A cheap way to notice changes: nothing is decrypted, so nothing is verified either.
        """
        check_identity(integration, user_id)
        rows = self.read(statements.GENERATION, {"integration": integration, "user_id": user_id})
        return int(rows[0][0]) if rows else None

    def is_current(self, connection: Connection) -> bool:
        """Whether a connection is still stored as it was when it was read; nothing is decrypted."""
        identity = {"integration": connection.integration, "user_id": connection.user_id}
        rows = self.read(statements.GENERATION, identity)
        # A connection that was deleted and registered again starts at generation 1, but has another uuid.
        return bool(rows) and tuple(rows[0]) == (connection.generation, connection.uuid)

    def update_credentials(self, integration: str, user_id: str, credentials: Credentials) -> Connection:
        """Replace the credentials, make the connection `active` again, and return it.

        Raises:
            ConnectionNotFound: there is none.
            TamperError: the stored row was altered; it was left unchanged.
        """
        credentials = conceal(credentials)
        check_identity(integration, user_id)
        return self._update(integration, user_id, credentials=to_json(credentials, "credentials"))

    def update_config(self, integration: str, user_id: str, additional_config: Settings) -> Connection:
        """Replace the whole additional_config, and return the connection.

        Raises:
            ConnectionNotFound: there is none.
            TamperError: the stored row was altered; it was left unchanged.
        """
        check_identity(integration, user_id)
        settings = to_json(additional_config, "additional_config")
        return self._update(integration, user_id, additional_config=settings)

    def activate(
        self, connection: Connection, additional_config: Settings, credentials: Credentials
    ) -> Connection | None:
        """Replace additional_config and credentials, make the connection `active`, and return it.

        Returns None, and writes nothing, if it was changed or deleted since it was read.

        Raises:
            TamperError: the stored row was altered; it was left unchanged.
        """
        new = {
            "additional_config": to_json(additional_config, "additional_config"),
            "credentials": to_json(conceal(credentials), "credentials"),
        }
        identity = {"integration": connection.integration, "user_id": connection.user_id}

        def work(run: Run) -> Connection | None:
            rows = run(statements.ONE_FOR_UPDATE, identity)
            old = Row._make(rows[0]) if rows else None
            if old is None or (old.generation, old.uuid) != (connection.generation, connection.uuid):
                return None
            return self._replace(run, old, ACTIVE, **new)

        return self.write(work)

    def _update(self, integration: str, user_id: str, **new: Secret) -> Connection:
        def work(run: Run) -> Connection:
            rows = run(statements.ONE_FOR_UPDATE, {"integration": integration, "user_id": user_id})
            if not rows:
                raise ConnectionNotFound(integration, user_id)
            old = Row._make(rows[0])
            return self._replace(run, old, ACTIVE if "credentials" in new else old.status, **new)

        return self.write(work)

    def _replace(self, run: Run, old: Row, status: str, **new: Secret) -> Connection:
        credentials, additional_config = self.decrypt(old)
        row = old.next_generation(status, self.microseconds())
        texts = new.get("credentials", credentials), new.get("additional_config", additional_config)
        run(statements.UPDATE, row.seal(self._key, *texts)._asdict())
        return row.to_connection(*texts)

    def delete(self, integration: str, user_id: str) -> Connection | None:
        """Delete the connection with its schedules, cancel its jobs, and return its last state.

        None if it could not be decrypted.

        Raises:
            ConnectionNotFound: there is none.
        """
        check_identity(integration, user_id)
        identity = {"integration": integration, "user_id": user_id}

        def work(run: Run) -> Rows:
            rows = run(statements.DELETE, identity)
            if rows:  # another connection of the user is not to run what was meant for this one
                run(statements.DELETE_SCHEDULES_OF, identity)
                run(statements.CANCEL_JOBS_OF, {**identity, "now": self.microseconds()})
            return rows

        rows = self.write(work)
        if not rows:
            raise ConnectionNotFound(integration, user_id)
        row = Row._make(rows[0])
        # A row that was altered, or whose key is lost, is deleted all the same.
        with contextlib.suppress(StorageError):
            return row.decrypt_connection(self.key_of(row))
        return None

    def for_user(self, user_id: str) -> list[PublicView]:
        """The public views of a user's connections, oldest first; TamperError if a row was altered."""
        check_identity("any", user_id)
        return self._public_views(statements.FOR_USER, {"user_id": user_id})

    def for_integration(self, integration: str) -> list[PublicView]:
        """The public views of an integration's connections, oldest first; errors as in `for_user`."""
        check_identity(integration, "any")
        return self._public_views(statements.FOR_INTEGRATION, {"integration": integration})

    def _public_views(self, sql: str, parameters: dict[str, str]) -> list[PublicView]:
        rows = map(Row._make, self.read(sql, parameters))
        return [row.decrypt_public_view(self.key_of(row)) for row in rows]

    def rotate(self, progress: Progress | None = None) -> int:
        """Seal every row with the active key of the ring; see `nango_py.connections.rotation.rotate`."""
        return rotate(self, progress)

    @property
    def leases(self) -> Leases:
        """The right to refresh a connection's token."""
        return Leases(self)

    @property
    def pending(self) -> Pending:
        """Logins in progress, and the outcomes of recent ones."""
        return Pending(self)
