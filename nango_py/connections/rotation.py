"""Rotation of the encryption key while the store is in use."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Protocol

from nango_py.connections import statements
from nango_py.connections.keys import add_key, drop_unused
from nango_py.connections.rows import Row
from nango_py.connections.schema import register_key
from nango_py.connections.sealed_columns import JOBS, SCHEDULES, Batch
from nango_py.errors import TamperError

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py.connections.cipher import Key
    from nango_py.connections.keys import KeyRing
    from nango_py.connections.sealed_database import SealedDatabase
    from nango_py.database.base import Run

BATCH = 100  # rows per transaction; holds the write lock for a few milliseconds
ROUNDS = 10  # passes over rows that other processes sealed with an older key during the rotation


class Progress(Protocol):
    """Called after each batch of a rotation."""

    def __call__(self, done: int, total: int, /) -> None:
        """Rows done so far, and rows to do in all."""


def replace_key(database: SealedDatabase, place: Path, progress: Progress | None = None) -> int:
    """Add a new key to the key file, seal every row with it, and remove the older keys.

    Safe to interrupt at any moment: the next run finishes the interrupted rotation and adds no further key.
    For keys from the environment, change `NANGO_ENCRYPTION_KEYS` and call `rotate` instead.

    Args:
        database: opened with the ring of that key file.
        place: where the key file is: the file, or the folder of `nango.key`.
        progress: see `rotate`.

    Returns:
        The number of rows that were changed.

    Raises:
        StorageError: the key file or the database failed; no row is lost.
        TamperError: some rows could not be decrypted; the older keys were kept.
    """
    keyring = database.keyring
    keyring.reload()
    if len(keyring.ids) == 1:
        add_key(place)
        keyring.reload()
    changed = rotate(database, progress)
    # A key that the database still accepts may be used again at any time, with rows or without.
    drop_unused(place, database.rows_by_key())
    keyring.reload()
    return changed


def rotate(database: SealedDatabase, progress: Progress | None = None) -> int:
    """Seal every row with the active key of the ring, while other processes read and write.

    Safe to interrupt at any moment and to run again. The database forgets keys without rows, so that nothing
    can be sealed with them again.

    Args:
        database: opened with the new ring.
        progress: called with (rows done, rows to do) after each batch.

    Returns:
        The number of rows that were changed.

    Raises:
        TamperError: some rows could not be decrypted. They were left unchanged; all others were changed.
    """
    key, now = database.use_active_key(), database.microseconds()
    database.write(lambda run: register_key(run, key, now))
    changed, unreadable = 0, 0
    for _ in range(ROUNDS):
        resealed, unreadable = _reseal_all(database, key, progress)
        changed += resealed
        if unreadable or _drop_older_keys(database, key):
            break
    if unreadable:
        raise TamperError(
            f"{unreadable} stored rows were altered and left unchanged; {changed} others were sealed "
            "with the active key. Delete the connections among them and have their users connect again"
        )
    return changed


def _reseal_all(database: SealedDatabase, key: Key, progress: Progress | None) -> tuple[int, int]:
    """The number of rows that were resealed, and of those that could not be decrypted, in one pass."""
    counts = (statements.STALE_COUNT, JOBS.stale_count, SCHEDULES.stale_count)
    total = sum(int(database.read(count, {"key_id": key.id})[0][0]) for count in counts)
    changed, unreadable = 0, 0
    for reseal in (_reseal_batch, JOBS.reseal_batch, SCHEDULES.reseal_batch):
        after = ""
        while True:
            work = functools.partial(reseal, database.keyring, key, after, BATCH)
            size, resealed, after = database.write(work)
            changed += resealed
            unreadable += size - resealed
            if progress is not None and size:
                progress(changed, max(total, changed))
            if size < BATCH:
                break
    return changed, unreadable


def _reseal_batch(keyring: KeyRing, key: Key, after: str, limit: int, run: Run) -> Batch:
    """Seal the next connections with the key."""
    parameters = {"key_id": key.id, "after": after, "limit": limit}
    rows = [Row._make(row) for row in run(statements.STALE_FOR_UPDATE, parameters)]
    resealed = 0
    for row in rows:
        older = keyring.find(row.key_id)
        texts = row.decrypt(older) if older is not None else None
        if texts is not None:
            run(statements.RESEAL, row.seal(key, *texts)._asdict())
            resealed += 1
    return Batch(len(rows), resealed, rows[-1].uuid if rows else after)


def _drop_older_keys(database: SealedDatabase, key: Key) -> bool:
    """Whether the database now accepts no other key."""
    database.write(lambda run: run(statements.DROP_UNUSED_KEYS, {"key_id": key.id}))
    return [row[0] for row in database.read(statements.KEYS, {})] == [key.id]
