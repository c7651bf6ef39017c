"""Rows that leave a store for an export, and connections that come into one from elsewhere."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from nango_py.connections import statements
from nango_py.connections.connection import thaw
from nango_py.connections.rows import Row
from nango_py.connections.validation import check_identity, to_json
from nango_py.database.base import DuplicateRowError
from nango_py.errors import ConnectionAlreadyExists, StorageError, TamperError
from nango_py.secret import reveal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nango_py.connections.store import ConnectionStore
    from nango_py.database.base import Run
    from nango_py.secret import Secret
    from nango_py.transfer.export_file import ExportedConnection

PAGE = 500  # rows in memory at once
BATCH = 100  # rows of one transaction; holds the write lock for some milliseconds
ATTEMPTS = 10

REFUSE, SKIP, REPLACE = "refuse", "skip", "replace"
ON_EXISTING = (REFUSE, SKIP, REPLACE)
"""What is done with a connection whose user has another one for that integration."""

IMPORTED, REPLACED, SKIPPED, UNCHANGED = "imported", "replaced", "skipped", "unchanged"
OUTCOMES = (IMPORTED, REPLACED, SKIPPED, UNCHANGED)


def iter_rows(
    store: ConnectionStore, integration: str = "", user_id: str = ""
) -> Iterator[tuple[Row, Secret, Secret]]:
    """Every row with the JSON texts of its credentials and settings, by integration and user; "" for all.

    What is registered or deleted meanwhile may be among them or not.

    Raises:
        TamperError: a row was altered.
    """
    wanted = {"integration": integration, "user_id": user_id, "most": PAGE}
    last = ("", "")
    while True:
        rows = store.read(statements.PAGE, {**wanted, "after_integration": last[0], "after_user": last[1]})
        for row in map(Row._make, rows):
            yield (row, *store.texts(row))
            last = (row.integration, row.user_id)
        if len(rows) < PAGE:
            return


def check_storable(moved: ExportedConnection) -> None:
    """Refuse names and values that cannot be stored.

    Raises:
        StorageError: it has one; the message says which.
    """
    check_identity(moved.integration, moved.user_id)
    _texts(moved)


def predict_outcome(store: ConnectionStore, moved: ExportedConnection, on_existing: str) -> str:
    """What `store_moved` would do with a connection now; "refuse" where it would raise."""
    rows = store.read(statements.ONE, {"integration": moved.integration, "user_id": moved.user_id})
    return _outcome(store, moved, rows, on_existing)


def store_connections(
    store: ConnectionStore, batch: Sequence[ExportedConnection], on_existing: str
) -> list[str]:
    """Store connections together, and say what became of each, in the words of OUTCOMES.

    Where the user has none, it comes with its dates, its status and, if that is free, its uuid. Where one
    is replaced, its uuid and date_created stay.

    Raises:
        ConnectionAlreadyExists: one is there and `on_existing` is "refuse"; nothing of the batch was stored.
        StorageError: nothing of the batch was stored.
    """

    def work(run: Run) -> list[str]:
        return [_store_one(store, run, moved, on_existing) for moved in batch]

    for _ in range(ATTEMPTS):
        # Registered by somebody else between our look and our write: then there is one to look at.
        with contextlib.suppress(DuplicateRowError):
            return store.write(work)
    raise StorageError("others registered the same connections again and again; none of these was stored")


def _store_one(store: ConnectionStore, run: Run, moved: ExportedConnection, on_existing: str) -> str:
    rows = run(statements.ONE_TO_CHANGE, {"integration": moved.integration, "user_id": moved.user_id})
    outcome = _outcome(store, moved, rows, on_existing)
    if outcome == REFUSE:
        raise ConnectionAlreadyExists(moved.integration, moved.user_id)
    if outcome == IMPORTED:
        row = _new_row(run, moved, store.microseconds())
        run(statements.CREATE, row.sealed(store.active_key, *_texts(moved))._asdict())
    elif outcome == REPLACED:
        row = Row._make(rows[0]).changed(moved.status, store.microseconds())
        run(statements.CHANGE, row.sealed(store.active_key, *_texts(moved))._asdict())
    return outcome


def _outcome(
    store: ConnectionStore, moved: ExportedConnection, rows: list[tuple[Any, ...]], on_existing: str
) -> str:
    if not rows:
        return IMPORTED
    if _is_same(store, moved, Row._make(rows[0])):
        return UNCHANGED
    return {SKIP: SKIPPED, REPLACE: REPLACED}.get(on_existing, REFUSE)


def _is_same(store: ConnectionStore, moved: ExportedConnection, row: Row) -> bool:
    """Whether a row holds this already: then an import that was stopped can simply be run again."""
    try:
        credentials, settings = store.texts(row)
    except TamperError:
        return False
    return bool(
        json.loads(credentials.reveal()) == thaw(reveal(moved.credentials))
        and json.loads(settings.reveal()) == thaw(moved.additional_config)
    )


def _new_row(run: Run, moved: ExportedConnection, now: int) -> Row:
    blank = Row.blank(moved.integration, moved.user_id, now)
    is_free = bool(moved.uuid) and not run(statements.TAKEN, {"uuid": moved.uuid})
    return blank._replace(
        uuid=moved.uuid if is_free else blank.uuid,
        # Above every number that an earlier row of this uuid can have had: what processes remember of that
        # row by uuid and generation must not pass for this one.
        generation=now,
        status=moved.status,
        created_at=moved.created_at or now,
        modified_at=moved.modified_at or now,
    )


def _texts(moved: ExportedConnection) -> tuple[Secret, Secret]:
    return to_json(moved.credentials, "credentials"), to_json(moved.additional_config, "additional_config")
