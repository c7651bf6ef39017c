"""Rows that someone else wrote: whatever is altered or moved is refused, and never used."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.connections.keys import KeyRing, generate_key, load_keyring
from nango_py.connections.rows import Row
from nango_py.connections.store import ConnectionStore, open_store
from nango_py.errors import ConnectionNotFound, StorageError, TamperError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fake_clock import ManualClock

TEXTS = ("uuid", "integration", "user_id", "status", "key_id")
NUMBERS = ("generation", "created_at", "modified_at")
SEALED = ("credentials", "additional_config")


@pytest.fixture
def keyring() -> KeyRing:
    """A ring of two keys, so that a key id can be changed for a known one."""
    keys = ",".join(generate_key().reveal() for _ in range(2))
    return load_keyring({"NANGO_ENCRYPTION_KEYS": keys}, None)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path, keyring: KeyRing, clock: ManualClock) -> Iterator[ConnectionStore]:
    """A store with two users of one integration."""
    with open_store(f"sqlite:///{tmp_path}/nango.db", keyring, clock) as opened:
        opened.create("klaviyo", "user-1", {"api_key": "one"}, {"list_id": "A"})
        opened.create("klaviyo", "user-2", {"api_key": "two"}, {"list_id": "B"})
        yield opened


@pytest.fixture
def intruder(tmp_path: Path, store: ConnectionStore) -> Iterator[sqlite3.Connection]:  # noqa: ARG001 - made first
    """Someone with write access to the database file and no key."""
    connection = sqlite3.connect(tmp_path / "nango.db", isolation_level=None)
    yield connection
    connection.close()


def stored(intruder: sqlite3.Connection, user_id: str) -> Row:
    """The row as it lies in the file."""
    rows = intruder.execute("SELECT * FROM nango_connections WHERE user_id = ?", [user_id])
    names = [column[0] for column in rows.description]
    return Row(**dict(zip(names, rows.fetchone(), strict=True)))


def put(intruder: sqlite3.Connection, row: Row, column: str, value: Any) -> None:
    """Write one column of the row that was stored as `row`, and let nothing else stop it."""
    new = "CAST(? AS TEXT)" if column in TEXTS and isinstance(value, bytes) else "?"
    place = intruder.execute("SELECT rowid FROM nango_connections ORDER BY rowid").fetchall()
    number = place[int(row.user_id[-1]) - 1][0]
    intruder.execute("PRAGMA foreign_keys = OFF")
    intruder.execute(f"UPDATE nango_connections SET {column} = {new} WHERE rowid = ?", [value, number])  # noqa: S608


def flips(value: bytes) -> Iterator[bytes]:
    """The value with each of its bits flipped once."""
    for place in range(len(value) * 8):
        flipped = bytearray(value)
        flipped[place // 8] ^= 1 << place % 8
        yield bytes(flipped)


def refused(store: ConnectionStore, user_id: str = "user-1") -> type[Exception]:
    """How the store refuses to read, list and change the connection."""
    kinds = set()
    for call in (
        lambda: store.get("klaviyo", user_id),
        lambda: store.update_credentials("klaviyo", user_id, {"api_key": "new"}),
        lambda: store.update_config("klaviyo", user_id, {}),
    ):
        with pytest.raises((TamperError, ConnectionNotFound)) as caught:
            call()
        assert caught.value.__context__ is None
        kinds.add(type(caught.value))
    assert len(kinds) == 1
    return kinds.pop()


def test_no_bit_of_a_sealed_field_can_be_flipped(
    store: ConnectionStore, intruder: sqlite3.Connection
) -> None:
    """Every bit of both sealed fields, format byte, nonce and tag included."""
    row = stored(intruder, "user-1")
    for column in SEALED:
        intact = getattr(row, column)
        for flipped in flips(intact):
            put(intruder, row, column, flipped)
            with pytest.raises(TamperError, match="user-1"):
                store.get("klaviyo", "user-1")
        assert refused(store) is TamperError
        put(intruder, row, column, intact)
    assert store.get("klaviyo", "user-1").additional_config == {"list_id": "A"}


def test_no_bit_of_a_number_can_be_flipped(store: ConnectionStore, intruder: sqlite3.Connection) -> None:
    """Generation and dates are bound to the sealed fields."""
    row = stored(intruder, "user-1")
    for column in NUMBERS:
        intact = getattr(row, column)
        for bit in range(63):
            put(intruder, row, column, intact ^ (1 << bit))
            with pytest.raises(TamperError):
                store.get("klaviyo", "user-1")
        put(intruder, row, column, intact)
    assert store.get("klaviyo", "user-1").generation == 1


def test_no_bit_of_a_text_can_be_flipped(store: ConnectionStore, intruder: sqlite3.Connection) -> None:
    """Names, status, uuid and key id: the row is rejected, or not found under its old name."""
    row = stored(intruder, "user-1")
    for column in TEXTS:
        intact = getattr(row, column).encode()
        for flipped in flips(intact):
            put(intruder, row, column, flipped)
            with pytest.raises((TamperError, ConnectionNotFound)):
                store.get("klaviyo", "user-1")
        put(intruder, row, column, intact)
    assert store.get("klaviyo", "user-1").user_id == "user-1"


@pytest.mark.parametrize("column", ["integration", "user_id"])
def test_a_renamed_row_is_refused_under_its_new_name(
    store: ConnectionStore, intruder: sqlite3.Connection, column: str
) -> None:
    """Who renames a row to another user or integration does not get its credentials under that name."""
    row = stored(intruder, "user-1")
    put(intruder, row, column, "other")
    renamed = row._replace(**{column: "other"})
    with pytest.raises(TamperError):
        store.get(renamed.integration, renamed.user_id)
    with pytest.raises(TamperError):
        store.for_user(renamed.user_id)
    with pytest.raises(TamperError):
        store.for_integration(renamed.integration)


def test_rows_cannot_be_swapped(store: ConnectionStore, intruder: sqlite3.Connection) -> None:
    """The sealed fields of another user do not open, one by one or together with every other column."""
    one, two = stored(intruder, "user-1"), stored(intruder, "user-2")
    for columns in (["credentials"], ["additional_config"], [*SEALED], [*SEALED, "generation", *NUMBERS[1:]]):
        for column in columns:
            put(intruder, one, column, getattr(two, column))
            put(intruder, two, column, getattr(one, column))
        assert refused(store, "user-1") is refused(store, "user-2") is TamperError
        for column in columns:
            put(intruder, one, column, getattr(one, column))
            put(intruder, two, column, getattr(two, column))
    assert store.get("klaviyo", "user-1").credentials["api_key"].reveal() == "one"


def test_fields_cannot_be_swapped(store: ConnectionStore, intruder: sqlite3.Connection) -> None:
    """Credentials cannot be decrypted as settings, which are shown, nor settings as credentials."""
    row = stored(intruder, "user-1")
    put(intruder, row, "additional_config", row.credentials)
    with pytest.raises(TamperError):
        store.for_user("user-1")
    assert refused(store) is TamperError
    put(intruder, row, "credentials", row.additional_config)
    assert refused(store) is TamperError


def test_an_older_value_cannot_be_put_back(store: ConnectionStore, intruder: sqlite3.Connection) -> None:
    """A field of an earlier generation does not open in a later one."""
    old = stored(intruder, "user-1")
    store.update_credentials("klaviyo", "user-1", {"api_key": "new"})
    put(intruder, old, "credentials", old.credentials)
    assert refused(store) is TamperError


def test_another_key_id_is_refused(
    store: ConnectionStore, intruder: sqlite3.Connection, keyring: KeyRing
) -> None:
    """A row that claims another key is refused, whether that key is known or not."""
    row = stored(intruder, "user-1")
    for key_id in (keyring.ids[1], "deadbeef", "", 7):
        put(intruder, row, "key_id", key_id)
        assert refused(store) is TamperError


def test_cells_of_another_type_are_refused(store: ConnectionStore, intruder: sqlite3.Connection) -> None:
    """SQLite keeps any type in any column; a number or text where bytes belong is an altered row."""
    row = stored(intruder, "user-1")
    for column in (*SEALED, *NUMBERS):
        for value in (7.5, "text", b"bytes", b""):
            put(intruder, row, column, value)
            assert refused(store) is TamperError
        put(intruder, row, column, getattr(row, column))


def test_an_altered_key_proof_is_refused_at_open(
    intruder: sqlite3.Connection, tmp_path: Path, keyring: KeyRing, clock: ManualClock
) -> None:
    """The proof by which a wrong key is known cannot be altered either."""
    intruder.execute("UPDATE nango_keys SET proof = zeroblob(50)")
    with pytest.raises(TamperError, match=keyring.ids[0]):
        open_store(f"sqlite:///{tmp_path}/nango.db", keyring, clock)


def test_a_whole_row_of_the_past_is_accepted(store: ConnectionStore, intruder: sqlite3.Connection) -> None:
    """The documented limit: who can restore every column of an old row restores the old connection."""
    old = stored(intruder, "user-1")
    store.update_credentials("klaviyo", "user-1", {"api_key": "new"})
    for column in (*SEALED, *NUMBERS):
        put(intruder, old, column, getattr(old, column))
    assert store.get("klaviyo", "user-1").credentials["api_key"].reveal() == "one"


def test_the_other_user_is_not_disturbed(store: ConnectionStore, intruder: sqlite3.Connection) -> None:
    """One altered row is refused alone; TamperError is a StorageError."""
    put(intruder, stored(intruder, "user-1"), "credentials", b"")
    assert store.get("klaviyo", "user-2").user_id == "user-2"
    with pytest.raises(StorageError):
        store.get("klaviyo", "user-1")
