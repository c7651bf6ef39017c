"""Many connections at once: read for an export, and stored by an import."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from nango_py.connections import statements
from nango_py.connections.connection import thaw
from nango_py.connections.rows import Row
from nango_py.connections.sealed_database import ATTEMPTS
from nango_py.connections.validation import check_identity, to_json
from nango_py.database.base import DuplicateRowError
from nango_py.errors import ConnectionAlreadyExists, Position, StorageError, TamperError
from nango_py.record import field, record
from nango_py.secret import reveal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nango_py.connections.connection import PublicView
    from nango_py.connections.sealed_database import SealedDatabase
    from nango_py.database.base import Rows, Run
    from nango_py.json_types import Credentials, Settings
    from nango_py.secret import Secret

PAGE_SIZE = 500  # rows in memory at once
BATCH_SIZE = 100  # rows per transaction; holds the write lock for a few milliseconds

REFUSE, SKIP, REPLACE = "refuse", "skip", "replace"
ON_EXISTING = (REFUSE, SKIP, REPLACE)
"""What to do with a connection whose user already has a different one for that integration."""

IMPORTED, REPLACED, SKIPPED, UNCHANGED = "imported", "replaced", "skipped", "unchanged"
OUTCOMES = (IMPORTED, REPLACED, SKIPPED, UNCHANGED)


@record(eq=False)
class ExportedConnection:
    """A connection from elsewhere that is to be stored.

    Attributes:
        credentials: every text in it is a `Secret`.
        uuid: "" to generate one.
        created_at: microseconds since 1970; 0 for now.
        modified_at: as `created_at`.
        place: where it was read, for messages.
    """

    integration: str
    user_id: str
    credentials: Credentials
    additional_config: Settings = field(repr=False)
    status: str
    uuid: str
    created_at: int
    modified_at: int
    place: Position

    def to_json(self) -> tuple[Secret, Secret]:
        """The JSON texts of credentials and additional_config.

        Raises:
            StorageError: a value is not a JSON value.
        """
        return to_json(self.credentials, "credentials"), to_json(self.additional_config, "additional_config")


def iter_rows(
    database: SealedDatabase, integration: str = "", user_id: str = ""
) -> Iterator[tuple[Row, Secret, Secret]]:
    """Every row with the JSON texts of its credentials and settings, by integration and user; "" for all.

    May or may not include connections that are registered or deleted during the iteration.

    Raises:
        TamperError: a row was altered.
    """
    for row in _iter_pages(database, statements.ALL, integration, user_id, ("", "")):
        yield (row, *database.decrypt(row))


def iter_views(database: SealedDatabase, integration: str, after: tuple[str, str]) -> Iterator[PublicView]:
    """The public views of the connections after an integration and user, in that order.

    Raises:
        TamperError: a row was altered.
    """
    for row in _iter_pages(database, statements.WITHOUT_CREDENTIALS, integration, "", after):
        yield row.decrypt_public_view(database.key_of(row))


def _iter_pages(
    database: SealedDatabase, select: str, integration: str, user_id: str, after: tuple[str, str]
) -> Iterator[Row]:
    sql = select + (statements.PAGE_OF_INTEGRATION if integration else statements.PAGE)
    filters = {"integration": integration, "user_id": user_id, "limit": PAGE_SIZE}
    while True:
        rows = database.read(sql, {**filters, "after_integration": after[0], "after_user": after[1]})
        yield from map(Row._make, rows)
        if len(rows) < PAGE_SIZE:
            return
        last = Row._make(rows[-1])
        after = last.integration, last.user_id


def check_storable(connection: ExportedConnection) -> None:
    """Check that the names and values can be stored.

    Raises:
        StorageError: one of them cannot; the message says which.
    """
    check_identity(connection.integration, connection.user_id)
    connection.to_json()


def predict_outcome(database: SealedDatabase, connection: ExportedConnection, on_existing: str) -> str:
    """The outcome that `store_connections` would have now; "refuse" if it would raise."""
    identity = {"integration": connection.integration, "user_id": connection.user_id}
    return _outcome(database, connection, database.read(statements.ONE, identity), on_existing)


def store_connections(
    database: SealedDatabase, batch: Sequence[ExportedConnection], on_existing: str
) -> list[str]:
    """Store connections in one transaction and return the outcome of each, one of OUTCOMES.

    A new connection keeps its dates, its status and, unless taken, its uuid. A replaced one keeps the uuid
    and date_created that it has in the store.

    Raises:
        ConnectionAlreadyExists: there is one and `on_existing` is "refuse"; nothing of the batch was stored.
        StorageError: nothing of the batch was stored.
    """

    def work(run: Run) -> list[str]:
        return [_store(database, run, connection, on_existing) for connection in batch]

    for _ in range(ATTEMPTS):
        # Another process registered one between our SELECT and our INSERT: the next attempt will see it.
        with contextlib.suppress(DuplicateRowError):
            return database.write(work)
    raise StorageError("other processes kept registering the same connections; none of these was stored")


def _store(database: SealedDatabase, run: Run, connection: ExportedConnection, on_existing: str) -> str:
    identity = {"integration": connection.integration, "user_id": connection.user_id}
    rows = run(statements.ONE_FOR_UPDATE, identity)
    outcome = _outcome(database, connection, rows, on_existing)
    if outcome == REFUSE:
        raise ConnectionAlreadyExists(connection.integration, connection.user_id)
    now = database.microseconds()
    if outcome == IMPORTED:
        row = _new_row(run, connection, now)
        run(statements.INSERT, row.seal(database.active_key, *connection.to_json())._asdict())
    elif outcome == REPLACED:
        row = Row._make(rows[0]).next_generation(connection.status, now)
        run(statements.UPDATE, row.seal(database.active_key, *connection.to_json())._asdict())
    return outcome


def _outcome(database: SealedDatabase, connection: ExportedConnection, rows: Rows, on_existing: str) -> str:
    if not rows:
        return IMPORTED
    if _is_same(database, connection, Row._make(rows[0])):
        return UNCHANGED
    return {SKIP: SKIPPED, REPLACE: REPLACED}.get(on_existing, REFUSE)


def _is_same(database: SealedDatabase, connection: ExportedConnection, row: Row) -> bool:
    """Whether a row already has these values, so that an interrupted import can simply be run again."""
    try:
        credentials, settings = database.decrypt(row)
    except TamperError:
        return False
    return bool(
        json.loads(credentials.reveal()) == thaw(reveal(connection.credentials))
        and json.loads(settings.reveal()) == thaw(connection.additional_config)
    )


def _new_row(run: Run, connection: ExportedConnection, now: int) -> Row:
    row = Row.new(connection.integration, connection.user_id, now)
    is_free = bool(connection.uuid) and not run(statements.UUID_EXISTS, {"uuid": connection.uuid})
    return row._replace(
        uuid=connection.uuid if is_free else row.uuid,
        # Greater than the generation of any earlier row with this uuid: caches compare uuid and generation.
        generation=now,
        status=connection.status,
        created_at=connection.created_at or now,
        modified_at=connection.modified_at or now,
    )
