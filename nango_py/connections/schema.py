"""Opening a store: the right key first, then the schema; a refusal changes nothing."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from nango_py.connections import statements
from nango_py.errors import StorageError, TamperError

if TYPE_CHECKING:
    from nango_py.connections.cipher import Key
    from nango_py.connections.keys import KeyRing
    from nango_py.database.base import Database, Run

KeyRow = tuple[Any, ...]  # id, proof, whether rows use it

_PROOF = b"nango_py key proof"


def prepare(database: Database, keyring: KeyRing, now: int) -> None:
    """Make the database ready for this program and this key ring.

    A database that is ready is only read. Otherwise the steps that are missing run in one transaction
    under a lock, so that processes that start together agree.

    Args:
        database: not opened yet.
        keyring: its key file is made if there is none and nothing stored needs one.
        now: microseconds since 1970.

    Raises:
        StorageError: rows are sealed with a key that is not on the ring, or the database was made by
            a newer program. Not a byte of the database was changed.
    """
    with database.opening():
        rows = database.existing(statements.VERSION)
        version = rows[0][0] if rows else 0
        known = database.existing(statements.KEYS) if version else []
        _check_version(version)
        check_keys(known, keyring)
        keyring.make(lasting=database.lasting)
        if version < len(statements.STEPS) or keyring.active.id not in {row[0] for row in known}:
            database.write(functools.partial(_upgrade, keyring, now, database.schema_lock))


def _upgrade(keyring: KeyRing, now: int, schema_lock: str, run: Run) -> None:
    if schema_lock:
        run(schema_lock)
    run(statements.CREATE_VERSIONS)
    version = run(statements.VERSION)[0][0]
    _check_version(version)
    for number, step in enumerate(statements.STEPS[version:], start=version + 1):
        step(run)
        run(statements.ADD_VERSION, {"version": number, "now": now})
    # Again, inside the lock: another process may have been first.
    known = run(statements.KEYS)
    check_keys(known, keyring)
    for key_id, _, _ in known:
        if keyring.find(key_id) is None:
            # Unused and not ours: nobody may begin to use it, for we could not read what it seals.
            run(statements.DROP_KEY, {"key_id": key_id})
    register_key(run, keyring.active, now)


def register_key(run: Run, key: Key, now: int) -> None:
    """Let rows be sealed with the key; harmless when repeated."""
    run(statements.ADD_KEY, {"key_id": key.id, "proof": key.seal(_PROOF, _place(key)), "now": now})


def check_keys(known: list[KeyRow], keyring: KeyRing) -> None:
    """Refuse a ring that cannot open what is stored.

    Raises:
        StorageError: rows are sealed with a key that is not on the ring.
        TamperError: a key's proof was altered.
    """
    if _missing(known, keyring):
        keyring.reload()  # another process may have made or replaced the key since the ring was loaded
    missing = _missing(known, keyring)
    if missing:
        held = f"it holds {', '.join(keyring.ids)}" if keyring.ids else "there is none"
        raise StorageError(
            f"the connections are sealed with the key {', '.join(map(str, missing))}, which is not in "
            f"{keyring.source} ({held}); give that key, "
            "or restore the key file from a copy. Nothing was changed"
        )
    for key_id, proof, _ in known:
        key = keyring.find(key_id)
        if key is not None and key.open(proof, _place(key)) != _PROOF:
            raise TamperError(
                f"the proof of the key {key_id} in the database was altered. Nothing was changed"
            )


def _missing(known: list[KeyRow], keyring: KeyRing) -> list[str]:
    return [key_id for key_id, _, used in known if used and keyring.find(key_id) is None]


def _check_version(version: int) -> None:
    if version > len(statements.STEPS):
        raise StorageError(
            f"the connection store has schema version {version}; this nango_py knows {len(statements.STEPS)}. "
            "Install a newer nango_py. Nothing was changed"
        )


def _place(key: Key) -> bytes:
    return f"nango key proof 1\0{key.id}".encode()
