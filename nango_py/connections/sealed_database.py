"""A database with sealed rows: what connections, leases, logins and key rotation share."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self

from nango_py.connections import statements
from nango_py.database.base import MissingReferenceError
from nango_py.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.clock import Clock
    from nango_py.connections.cipher import Key
    from nango_py.connections.keys import KeyRing
    from nango_py.connections.rows import Row
    from nango_py.database.base import Database, Parameters, Result, Rows, Run
    from nango_py.secret import Secret

ATTEMPTS = 10
"""How often a transaction is repeated when other processes keep changing the key or the same row."""


class SealedDatabase:
    """A database and the keys that seal its rows. Follows along when another process rotates the key.

    Safe to share between threads, and usable after fork. Every method raises StorageError when the database
    fails.
    """

    def __init__(self, database: Database, keyring: KeyRing, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.keyring = keyring
        self._key = keyring.active

    @property
    def active_key(self) -> Key:
        """The key that seals new rows."""
        return self._key

    @property
    def is_shared(self) -> bool:
        """Whether other machines may use the database."""
        return self._database.is_server

    @property
    def schema_lock(self) -> str:
        """The statement that keeps other processes from changing the schema until the transaction ends."""
        return self._database.schema_lock

    def microseconds(self) -> int:
        """The current time as rows store it."""
        return int(self._clock.now() * 1_000_000)

    def lease_time(self) -> int:
        """The time in microseconds by which the leases of one machine end: unlike a date, it is never set.

        Many machines use the server's clock instead.
        """
        return int(self._clock.monotonic() * 1_000_000)

    def version(self) -> int | None:
        """A number that changes with every change made elsewhere; None if there is no such number."""
        return self._database.version()

    def read(self, sql: str, parameters: Parameters) -> Rows:
        """Rows of one SELECT."""
        return self._database.read(sql, parameters)

    def write(self, work: Callable[[Run], Result]) -> Result:
        """Run `work` in one durable transaction and return its result; see `Database.write`."""
        return self._repeat(lambda: self._database.write(work))

    def write_with_server(self, work: Callable[[Run, Any], Result]) -> Result:
        """As `write`; `work` also gets the psycopg connection of the transaction.

        Raises:
            StorageError: the database is not PostgreSQL.
        """
        write: Callable[[Any], Result] | None = getattr(self._database, "write_with_server", None)
        if write is None:
            raise StorageError("this needs PostgreSQL; set config.database_url to postgresql://...")
        return self._repeat(lambda: write(work))

    def _repeat(self, write: Callable[[], Result]) -> Result:
        """The result of a transaction, which is repeated if the database has dropped the key of its rows."""
        for _ in range(ATTEMPTS):
            with contextlib.suppress(MissingReferenceError):
                return write()
            self._choose_key()  # another process rotated and dropped our key
        raise StorageError("other processes kept changing the encryption key; nothing was stored")

    def current_key(self) -> Key:
        """The active key, after checking that the database still accepts it. For values outside of rows."""
        if self._key.id not in self._accepted_key_ids():
            self._choose_key()
        return self._key

    def use_active_key(self) -> Key:
        """Seal new rows with the first key of the ring from now on."""
        self._key = self.keyring.active
        return self._key

    def key_of(self, row: Row) -> Key:
        """The key that a row is sealed with.

        Raises:
            TamperError: this process does not have it.
        """
        key = self.keyring.find(row.key_id)
        if key is None:
            key = self.keyring.find_or_reload(row.key_id)
            if key is None:
                raise row.tamper_error()
            self._choose_key()  # another process made that key active
        return key

    def decrypt(self, row: Row) -> tuple[Secret, Secret]:
        """The JSON texts of a row's credentials and additional_config.

        Raises:
            TamperError: the row was altered.
        """
        texts = row.decrypt(self.key_of(row))
        if texts is None:
            raise row.tamper_error()
        return texts

    def rows_by_key(self) -> dict[str, int]:
        """The number of rows that each key seals, by key id; 0 for an accepted key without rows."""
        return {key_id: int(count) for key_id, count in self.read(statements.ROWS_BY_KEY, {})}

    def close(self) -> None:
        """Close the database connections of this process. Harmless when repeated."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accepted_key_ids(self) -> set[str]:
        return {row[0] for row in self.read(statements.KEYS, {})}

    def _choose_key(self) -> None:
        self.keyring.reload()
        accepted = self._accepted_key_ids()
        key = next((key for key in self.keyring if key.id in accepted), None)
        if key is None:
            raise StorageError(
                f"the database no longer accepts the keys of {self.keyring.source}; restart with the new key"
            )
        self._key = key
