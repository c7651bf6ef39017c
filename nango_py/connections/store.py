"""The connection store: register, read, change and list connections, sealed at rest."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self, TypeVar

from nango_py.clock import SYSTEM_CLOCK
from nango_py.connections import statements
from nango_py.connections.connection import ACTIVE
from nango_py.connections.lease import Leases
from nango_py.connections.pending import Pending
from nango_py.connections.rotation import rotate_rows
from nango_py.connections.rows import Row
from nango_py.connections.schema import prepare
from nango_py.connections.validation import check_identity, to_json
from nango_py.database.base import (
    DuplicateRowError,
    MissingReferenceError,
    open_database,
    sqlite_folder,
)
from nango_py.errors import ConnectionAlreadyExists, ConnectionNotFound, StorageError
from nango_py.secret import Secret, conceal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.clock import Clock
    from nango_py.connections.cipher import Key
    from nango_py.connections.connection import Connection
    from nango_py.connections.keys import KeyRing
    from nango_py.connections.rotation import Progress
    from nango_py.database.base import Database, Run

__all__ = ["ConnectionStore", "open_store", "sqlite_folder"]

Result = TypeVar("Result")

KEY_CHOICES = 10


def open_store(url: str | Secret, keyring: KeyRing, clock: Clock = SYSTEM_CLOCK) -> ConnectionStore:
    """The store behind a URL, made when it does not exist.

    Args:
        url: `sqlite:///relative/path.db`, `sqlite:////absolute/path.db`, `sqlite:///:memory:` or
            `postgresql://user@host/database` (extra `postgres`).
        keyring: see `nango_py.connections.keys.load_keyring`.
        clock: where dates come from.

    Raises:
        StorageError: the database cannot be reached or made, or what it holds is sealed with another
            key; in that case not a byte of it was changed.
    """
    location = url if isinstance(url, Secret) else Secret(url)
    del url  # its password would show in a traceback with locals
    database = open_database(location)
    try:
        prepare(database, keyring, _microseconds(clock))
        return ConnectionStore(database, keyring, clock)
    except BaseException:
        database.close()
        raise


class ConnectionStore:
    """Connections by (integration, user_id). Safe to share between threads, and usable after fork.

    Every method raises StorageError when the database fails, and for names that cannot be stored (not
    text, empty, longer than 1024 bytes, or with a NUL).
    """

    def __init__(self, database: Database, keyring: KeyRing, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.keyring = keyring
        self._key = keyring.active

    def create(
        self,
        integration: str,
        user_id: str,
        credentials: Mapping[str, Any],
        additional_config: Mapping[str, Any] | None = None,
    ) -> Connection:
        """Store a new connection and return it.

        Args:
            integration: the name in integrations.yaml.
            user_id: any text of up to 1024 bytes.
            credentials: what JSON can say; texts may be wrapped in `Secret`.
            additional_config: settings of this user that templates may use; what JSON can say.

        Raises:
            ConnectionAlreadyExists: it is stored already, and was left as it is.
            StorageError: a value is not of JSON; the message names its place.
        """
        credentials = conceal(credentials)  # from here on, a traceback with locals shows stars
        check_identity(integration, user_id)
        blank = Row.blank(integration, user_id, _microseconds(self._clock))
        texts = to_json(credentials, "credentials"), to_json(additional_config or {}, "additional_config")
        try:
            self.write(lambda run: run(statements.CREATE, blank.sealed(self._key, *texts)._asdict()))
        except DuplicateRowError:
            pass
        else:
            return blank.connection(texts[0].reveal(), texts[1].reveal())
        raise ConnectionAlreadyExists(integration, user_id)

    def put(
        self,
        integration: str,
        user_id: str,
        credentials: Mapping[str, Any],
        additional_config: Mapping[str, Any] | None = None,
    ) -> Connection:
        """Store a connection in the place of the one that this user has, if any; arguments as in `create`.

        uuid and date_created stay; all else is replaced, also where the stored row was altered. A renewal
        that runs meanwhile writes nothing afterwards. Of several at once the last one counts.
        """
        credentials = conceal(credentials)
        check_identity(integration, user_id)
        blank = Row.blank(integration, user_id, _microseconds(self._clock))
        texts = to_json(credentials, "credentials"), to_json(additional_config or {}, "additional_config")

        def work(run: Run) -> Connection:
            rows = run(statements.ONE_TO_CHANGE, {"integration": integration, "user_id": user_id})
            row = Row._make(rows[0]).changed(ACTIVE, blank.modified_at) if rows else blank
            run(statements.CHANGE if rows else statements.CREATE, row.sealed(self._key, *texts)._asdict())
            return row.connection(texts[0].reveal(), texts[1].reveal())

        for _ in range(KEY_CHOICES):
            # Registered by somebody else between our look and our write: then there is one to replace.
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
        rows = self._database.read(statements.ONE, {"integration": integration, "user_id": user_id})
        if not rows:
            raise ConnectionNotFound(integration, user_id)
        row = Row._make(rows[0])
        return row.opened(self._key_of(row))

    def generation(self, integration: str, user_id: str) -> int | None:
        """The generation of the stored connection, or None where there is none.

        For noticing changes cheaply: nothing is decrypted, so nothing is proven either.
        """
        check_identity(integration, user_id)
        rows = self._database.read(statements.GENERATION, {"integration": integration, "user_id": user_id})
        return int(rows[0][0]) if rows else None

    def is_current(self, connection: Connection) -> bool:
        """Whether a connection that was read is still stored as it was; nothing is decrypted."""
        identity = {"integration": connection.integration, "user_id": connection.user_id}
        rows = self._database.read(statements.GENERATION, identity)
        # One that was deleted and registered again counts from 1 anew, under another uuid.
        return bool(rows) and tuple(rows[0]) == (connection.generation, connection.uuid)

    def version(self) -> int | None:
        """While it stays the same, every connection is stored as it was; None if that is not known."""
        return self._database.version()

    def update_credentials(
        self, integration: str, user_id: str, credentials: Mapping[str, Any]
    ) -> Connection:
        """Replace the credentials, make the connection `active` again, and return it.

        Raises:
            ConnectionNotFound: there is none.
            TamperError: the stored row was altered; it was left as it is.
        """
        credentials = conceal(credentials)
        check_identity(integration, user_id)
        return self._change(integration, user_id, credentials=to_json(credentials, "credentials"))

    def update_config(
        self, integration: str, user_id: str, additional_config: Mapping[str, Any]
    ) -> Connection:
        """Replace additional_config as a whole, and return the connection.

        Raises:
            ConnectionNotFound: there is none.
            TamperError: the stored row was altered; it was left as it is.
        """
        check_identity(integration, user_id)
        settings = to_json(additional_config, "additional_config")
        return self._change(integration, user_id, additional_config=settings)

    def _change(self, integration: str, user_id: str, **new: Secret) -> Connection:
        def work(run: Run) -> Connection:
            rows = run(statements.ONE_TO_CHANGE, {"integration": integration, "user_id": user_id})
            if not rows:
                raise ConnectionNotFound(integration, user_id)
            old = Row._make(rows[0])
            stored = self.texts(old)
            status = ACTIVE if "credentials" in new else old.status
            row = old.changed(status, _microseconds(self._clock))
            texts = new.get("credentials", stored[0]), new.get("additional_config", stored[1])
            run(statements.CHANGE, row.sealed(self._key, *texts)._asdict())
            return row.connection(texts[0].reveal(), texts[1].reveal())

        return self.write(work)

    def delete(self, integration: str, user_id: str) -> Connection | None:
        """Delete the connection, and return it as it was at that moment; None where it cannot be read.

        Raises:
            ConnectionNotFound: there is none.
        """
        check_identity(integration, user_id)
        identity = {"integration": integration, "user_id": user_id}
        rows = self._database.write(lambda run: run(statements.DELETE, identity))
        if not rows:
            raise ConnectionNotFound(integration, user_id)
        row = Row._make(rows[0])
        # Altered, or sealed with a key that is gone: it is deleted all the same.
        with contextlib.suppress(StorageError):
            return row.opened(self._key_of(row))
        return None

    def for_user(self, user_id: str) -> list[dict[str, Any]]:
        """The public views of a user's connections, oldest first; TamperError where a row was altered."""
        check_identity("any", user_id)
        return self._views(statements.FOR_USER, {"user_id": user_id})

    def for_integration(self, integration: str) -> list[dict[str, Any]]:
        """The public views of an integration's connections, oldest first; errors as in `for_user`."""
        check_identity(integration, "any")
        return self._views(statements.FOR_INTEGRATION, {"integration": integration})

    def _views(self, text: str, parameters: dict[str, str]) -> list[dict[str, Any]]:
        rows = map(Row._make, self._database.read(text, parameters))
        return [row.public(self._key_of(row)) for row in rows]

    def rotate(self, progress: Progress | None = None) -> int:
        """Seal every row with the active key of the ring, while others read and write.

        Safe to stop at any moment and to run again. Keys that no row uses any more are forgotten by the
        database, so that nothing can be sealed with them again.

        Args:
            progress: called with (rows done, rows to do) after each batch.

        Returns:
            How many rows were changed.

        Raises:
            TamperError: some rows did not open. They were left as they are, and all others changed.
        """
        self._key = self.keyring.active
        return rotate_rows(self._database, self.keyring, _microseconds(self._clock), progress)

    def rows_by_key(self) -> dict[str, int]:
        """How many rows each key seals, by key id; 0 for one that is known and not used."""
        return {key_id: int(count) for key_id, count in self._database.read(statements.ROWS_BY_KEY, {})}

    @property
    def leases(self) -> Leases:
        """Who may renew which connection's token."""
        return Leases(self)

    @property
    def pending(self) -> Pending:
        """The logins under way, and how the last ones ended."""
        return Pending(self)

    @property
    def active_key(self) -> Key:
        """The key that new values are sealed with; for the other modules of this room."""
        return self._key

    def current_key(self) -> Key:
        """The same for what is no connection, after a look whether the database still takes it."""
        if self._key.id not in {row[0] for row in self._database.read(statements.KEYS, {})}:
            self._choose_key()
        return self._key

    def microseconds(self) -> int:
        """Now, as rows hold it."""
        return _microseconds(self._clock)

    @property
    def is_shared(self) -> bool:
        """Whether other machines may use the database."""
        return self._database.is_server

    def close(self) -> None:
        """Close the database connections of this process. Harmless when repeated."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, text: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Rows of one SELECT; for the other modules of this room."""
        return self._database.read(text, parameters)

    def texts(self, row: Row) -> tuple[Secret, Secret]:
        """The JSON texts of a row's credentials and settings; for the other modules of this room."""
        found = row.texts(self._key_of(row))
        if found is None:
            raise row.tampered()
        return found

    def write(self, work: Callable[[Run], Result]) -> Result:
        """What `work` returns, after its statements were made durable together; see Database.write."""
        for _ in range(KEY_CHOICES):
            with contextlib.suppress(MissingReferenceError):
                return self._database.write(work)
            self._choose_key()  # ours was dropped since we chose it: another process rotated
        raise StorageError("the encryption key changed again and again; nothing was stored")

    def _key_of(self, row: Row) -> Key:
        key = self.keyring.find(row.key_id)
        if key is None:
            # Another process may have made a new key active.
            self.keyring.reload()
            key = self.keyring.find(row.key_id)
            if key is None:
                raise row.tampered()
            self._choose_key()
        return key

    def _choose_key(self) -> None:
        self.keyring.reload()
        known = {row[0] for row in self._database.read(statements.KEYS, {})}
        chosen = next((key for key in self.keyring if key.id in known), None)
        if chosen is None:
            source = self.keyring.source
            raise StorageError(f"the database no longer takes the keys of {source}; start with the new key")
        self._key = chosen


def _microseconds(clock: Clock) -> int:
    return int(clock.now() * 1_000_000)
