"""Changing the encryption key of a store that is in use."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Protocol

from nango_py.connections import statements
from nango_py.connections.keys import add_key, drop_unused
from nango_py.connections.rows import Row
from nango_py.connections.schema import register_key
from nango_py.database.base import MissingReferenceError
from nango_py.errors import TamperError

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py.connections.cipher import Key
    from nango_py.connections.keys import KeyRing
    from nango_py.connections.store import ConnectionStore
    from nango_py.database.base import Database, Run

BATCH = 100  # rows; holds the write lock for some milliseconds
ROUNDS = 10  # how often rows that others sealed meanwhile with an older key are sought again


class Progress(Protocol):
    """Told how far a rotation is."""

    def __call__(self, done: int, total: int, /) -> None:
        """Rows done so far, and rows to do in all."""


def replace_key(store: ConnectionStore, folder: Path, progress: Progress | None = None) -> int:
    """Put a new key in the key file, seal every row with it, and remove the older keys.

    Safe to stop at any moment: run again, it first finishes what was begun and adds no further key.
    For keys from the environment, change `NANGO_ENCRYPTION_KEYS` and use `ConnectionStore.rotate` instead.

    Args:
        store: opened with the ring of that key file.
        folder: where the key file is.
        progress: see `ConnectionStore.rotate`.

    Returns:
        How many rows were changed.

    Raises:
        StorageError: the key file or the database failed; no row is lost.
        TamperError: some rows did not open; the older keys were kept.
    """
    store.keyring.reload()
    if len(store.keyring.ids) == 1:
        add_key(folder)
        store.keyring.reload()
    changed = store.rotate(progress)
    # A key that the database still knows may be used again at any time, with rows or without.
    drop_unused(folder, store.rows_by_key())
    store.keyring.reload()
    return changed


def rotate_rows(database: Database, keyring: KeyRing, now: int, progress: Progress | None) -> int:
    """Seal every row with the ring's active key; see `ConnectionStore.rotate`."""
    key = keyring.active
    database.write(lambda run: register_key(run, key, now))
    changed, unreadable = 0, 0
    for _ in range(ROUNDS):
        resealed, unreadable = _one_round(database, keyring, key, progress)
        changed += resealed
        if unreadable or _forget_older_keys(database, key):
            break
    if unreadable:
        raise TamperError(
            f"{unreadable} stored connections were altered and were left as they are; {changed} others were "
            "sealed with the active key. Delete them and have their users connect again"
        )
    return changed


def _one_round(database: Database, keyring: KeyRing, key: Key, progress: Progress | None) -> tuple[int, int]:
    """How many rows were sealed with the key, and how many did not open, in one walk over all rows."""
    total = int(database.read(statements.STALE_COUNT, {"key_id": key.id})[0][0])
    changed, unreadable, after = 0, 0, ""
    while True:
        found, resealed, after = database.write(functools.partial(_one_batch, keyring, key, after))
        changed += resealed
        unreadable += found - resealed
        if progress is not None and found:
            progress(changed, max(total, changed))
        if found < BATCH:
            return changed, unreadable


def _one_batch(keyring: KeyRing, key: Key, after: str, run: Run) -> tuple[int, int, str]:
    """How many rows were found and how many sealed, and the last one's uuid."""
    rows = [
        Row._make(row)
        for row in run(statements.STALE_TO_CHANGE, {"key_id": key.id, "after": after, "most": BATCH})
    ]
    resealed = 0
    for row in rows:
        older = keyring.find(row.key_id)
        texts = row.texts(older) if older is not None else None
        if texts is not None:
            run(statements.RESEAL, row.sealed(key, *texts)._asdict())
            resealed += 1
    return len(rows), resealed, rows[-1].uuid if rows else after


def _forget_older_keys(database: Database, key: Key) -> bool:
    """Whether no row can come to use another key any more."""
    try:
        database.write(lambda run: run(statements.DROP_UNUSED_KEYS, {"key_id": key.id}))
    except MissingReferenceError:
        return False  # a row came to use one while it was being dropped
    return [row[0] for row in database.read(statements.KEYS, {})] == [key.id]
