"""Opening a store: check the keys, then create or upgrade the schema; an error changes nothing."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from nango_py.connections import statements
from nango_py.errors import StorageError, TamperError

if TYPE_CHECKING:
    from nango_py.connections.cipher import Key
    from nango_py.connections.keys import KeyRing
    from nango_py.database.base import Database, Rows, Run

_PROOF = b"nango_py key proof"


def prepare(database: Database, keyring: KeyRing, now: int) -> None:
    """Prepare the database for this program and this key ring.

    An up-to-date database is only read. Otherwise the missing migrations run in one transaction under a lock,
    so that processes that start together agree.

    Args:
        database: not opened yet.
        keyring: its key file is created if it does not exist and no stored row needs one.
        now: microseconds since 1970.

    Raises:
        StorageError: rows are sealed with a key that is not on the ring, or the schema is of a newer
            nango_py. Not a byte of the database was changed.
    """
    with database.opening_lock():
        rows = database.read_existing(statements.VERSION)
        version = rows[0][0] if rows else 0
        has_jobs = version >= statements.FIRST_VERSION_WITH_JOBS
        keys_query = statements.KEYS if has_jobs else statements.KEYS_BEFORE_JOBS
        keys = database.read_existing(keys_query) if version else []
        _check_version(version)
        _check_keys(keys, keyring)
        keyring.create(is_persistent=database.is_persistent)
        if version < len(statements.MIGRATIONS) or keyring.active.id not in {row[0] for row in keys}:
            database.write(functools.partial(_upgrade, keyring, now, database.schema_lock))


def _upgrade(keyring: KeyRing, now: int, schema_lock: str, run: Run) -> None:
    if schema_lock:
        run(schema_lock)
    run(statements.CREATE_VERSIONS)
    version = run(statements.VERSION)[0][0]
    _check_version(version)
    for number, migration in enumerate(statements.MIGRATIONS[version:], start=version + 1):
        for statement in migration:
            run(statement)
        run(statements.ADD_VERSION, {"version": number, "now": now})
    # Check again inside the lock: another process may have been first.
    keys = run(statements.KEYS)
    _check_keys(keys, keyring)
    for key_id, _, _ in keys:
        if keyring.find(key_id) is None:
            # No row uses it, and we could not read rows that begin to.
            run(statements.DROP_KEY, {"key_id": key_id})
    register_key(run, keyring.active, now)


def register_key(run: Run, key: Key, now: int) -> None:
    """Accept rows that are sealed with the key; harmless when repeated."""
    run(statements.ADD_KEY, {"key_id": key.id, "proof": key.seal(_PROOF, _associated_data(key)), "now": now})


def _check_keys(keys: Rows, keyring: KeyRing) -> None:
    """Check that the ring can decrypt the stored rows.

    Raises:
        StorageError: rows are sealed with a key that is not on the ring.
        TamperError: a key's proof was altered.
    """
    if _missing_keys(keys, keyring):
        keyring.reload()  # another process may have created or replaced the key since the ring was loaded
    missing = _missing_keys(keys, keyring)
    if missing:
        present = f"it has {', '.join(keyring.ids)}" if keyring.ids else "it has none"
        raise StorageError(
            f"the connections are sealed with the key {', '.join(map(str, missing))}, which is not in "
            f"{keyring.source} ({present}); provide that key or restore the key file from a backup. "
            "Nothing was changed"
        )
    for key_id, proof, _ in keys:
        key = keyring.find(key_id)
        if key is not None and key.open(proof, _associated_data(key)) != _PROOF:
            raise TamperError(
                f"the proof of the key {key_id} in the database was altered. Nothing was changed"
            )


def _missing_keys(keys: Rows, keyring: KeyRing) -> list[str]:
    return [key_id for key_id, _, is_used in keys if is_used and keyring.find(key_id) is None]


def _check_version(version: int) -> None:
    supported = len(statements.MIGRATIONS)
    if version > supported:
        raise StorageError(
            f"the connection store has schema version {version}; this nango_py supports up to {supported}. "
            "Install a newer nango_py. Nothing was changed"
        )


def _associated_data(key: Key) -> bytes:
    return f"nango key proof 1\0{key.id}".encode()
