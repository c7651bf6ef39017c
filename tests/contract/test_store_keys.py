"""Encryption keys of the connection store: wrong ones, and rotation, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from nango_py.connections.keys import KEY_FILE, add_key, drop_unused, generate_key, load_keyring
from nango_py.connections.rotation import replace_key
from nango_py.connections.store import ConnectionStore, open_store
from nango_py.errors import (
    StorageError,
    TamperError,
)
from tests.support.connection_store import PLANTED, everything, ring

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_clock import ManualClock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the key file is."""
    return tmp_path / ".nango"


def test_a_wrong_key_is_refused_and_changes_nothing(database_url: str, clock: ManualClock) -> None:
    """Opening with another key names both key ids, and leaves every row as it was."""
    right, wrong = generate_key(), generate_key()
    with open_store(database_url, ring(right), clock) as store:
        store.create("klaviyo", "user-1", {"api_key": PLANTED})
    before = everything(database_url)
    for keys in ([wrong], [wrong, generate_key()]):
        with pytest.raises(StorageError, match=f"{ring(right).ids[0]}.*{ring(wrong).ids[0]}") as caught:
            open_store(database_url, ring(*keys), clock)
        assert wrong.reveal() not in str(caught.value)
    assert everything(database_url) == before
    with open_store(database_url, ring(wrong, right), clock) as store:
        assert store.get("klaviyo", "user-1").credentials["api_key"].reveal() == PLANTED


def test_a_missing_key_file_is_not_recreated(database_url: str, clock: ManualClock, folder: Path) -> None:
    """With rows in the database and the key file gone, opening is refused and no new key is made."""
    with open_store(database_url, load_keyring({}, folder), clock) as store:
        store.create("klaviyo", "user-1", {"api_key": PLANTED})
    saved = folder / KEY_FILE
    kept = saved.rename(folder / "copy")
    with pytest.raises(StorageError, match="restore the key file"):
        open_store(database_url, load_keyring({}, folder), clock)
    assert not saved.exists()
    kept.rename(saved)
    with open_store(database_url, load_keyring({}, folder), clock) as store:
        assert store.get("klaviyo", "user-1").user_id == "user-1"


def test_an_empty_store_accepts_another_key(database_url: str, clock: ManualClock) -> None:
    """An empty store loses nothing, so another key is not an error."""
    first = open_store(database_url, ring(generate_key()), clock)
    with open_store(database_url, ring(generate_key()), clock) as second:
        second.create("klaviyo", "user-1", {"api_key": "a"})
    with pytest.raises(StorageError, match="no longer accepts"):
        first.create("klaviyo", "user-2", {"api_key": "b"})
    first.close()


def test_rotation_reseals_every_row(database_url: str, clock: ManualClock) -> None:
    """The new key decrypts all rows, nothing else has changed, and progress was reported."""
    old, new = generate_key(), generate_key()
    with open_store(database_url, ring(old), clock) as store:
        before = [store.create("klaviyo", f"user-{n}", {"api_key": f"k{n}"}, {"n": n}) for n in range(230)]
    progress: list[tuple[int, int]] = []
    with open_store(database_url, ring(new, old), clock) as store:
        assert store.rotate(lambda done, total: progress.append((done, total))) == 230
        assert store.rotate() == 0
        assert store.rows_by_key() == {ring(new).ids[0]: 230}
    assert progress == [(100, 230), (200, 230), (230, 230)]
    with open_store(database_url, ring(new), clock) as store:
        for connection in before:
            found = store.get("klaviyo", connection.user_id)
            assert (found.public(), found.generation) == (connection.public(), 1)
            assert found.credentials == connection.credentials
    with pytest.raises(StorageError, match="sealed with the key"):
        open_store(database_url, ring(old), clock)


def test_the_database_never_sees_a_credential(database_url: str, clock: ManualClock, folder: Path) -> None:
    """Neither rows nor database files hold credentials or settings in the clear."""
    with open_store(database_url, ring(generate_key()), clock) as store:
        store.create("klaviyo", "user-1", {"api_key": PLANTED}, {"list_id": PLANTED})
        store.update_credentials("klaviyo", "user-1", {"api_key": PLANTED + "2"})
        assert PLANTED.encode() not in b"".join(
            value for row in everything(database_url) for value in row if isinstance(value, bytes)
        )
        files = [path.read_bytes() for path in folder.glob("*")]
    assert PLANTED.encode() not in b"".join(files)


def test_rotation_works_beside_readers_and_writers(
    database_url: str, clock: ManualClock, folder: Path
) -> None:
    """While a key is replaced, other stores with the old ring read and write without one failure."""
    stores = [open_store(database_url, load_keyring({}, folder), clock) for _ in range(3)]
    for number in range(120):
        stores[0].create("klaviyo", f"user-{number}", {"api_key": f"key-{number}"})
    over = threading.Event()

    def use(store: ConnectionStore) -> int:
        calls = 0
        while not over.is_set() or calls < 50:
            user = f"user-{calls % 120}"
            assert store.get("klaviyo", user).credentials["api_key"].reveal() == f"key-{calls % 120}"
            store.update_config("klaviyo", user, {"calls": calls})
            calls += 1
        return calls

    with ThreadPoolExecutor(2) as pool:
        users = [pool.submit(use, store) for store in stores[1:]]
        try:
            for _ in range(3):
                replace_key(stores[0], folder)
        finally:
            over.set()
        assert all(user.result() >= 50 for user in users)
    replace_key(stores[0], folder)
    assert len(stores[0].rows_by_key()) == 1
    for store in stores:
        assert len(store.for_integration("klaviyo")) == 120
        store.close()
    assert len(load_keyring({}, folder).ids) == 1


def test_a_running_process_switches_to_the_new_key(
    database_url: str, clock: ManualClock, folder: Path
) -> None:
    """A store that was opened before a rotation reads, writes and seals with the new key after it."""
    running = open_store(database_url, load_keyring({}, folder), clock)
    running.create("klaviyo", "user-1", {"api_key": "a"})
    with open_store(database_url, load_keyring({}, folder), clock) as other:
        old = other.keyring.ids[0]
        assert replace_key(other, folder) == 1
        assert other.keyring.ids != (old,)
    running.create("klaviyo", "user-2", {"api_key": "b"})
    assert running.get("klaviyo", "user-1").credentials["api_key"].reveal() == "a"
    assert running.rows_by_key() == {load_keyring({}, folder).ids[0]: 2}
    running.close()


def test_an_interrupted_rotation_is_finished_first(
    database_url: str, clock: ManualClock, folder: Path
) -> None:
    """With two keys in the file, replacing the key finishes what was begun and adds no third."""
    with open_store(database_url, load_keyring({}, folder), clock) as store:
        store.create("klaviyo", "user-1", {"api_key": "a"})
    begun = add_key(folder)
    with open_store(database_url, load_keyring({}, folder), clock) as store:
        assert replace_key(store, folder) == 1
        assert store.rows_by_key() == {begun: 1}
    assert load_keyring({}, folder).ids == (begun,)


def test_a_key_in_use_stays_in_the_file(database_url: str, clock: ManualClock, folder: Path) -> None:
    """drop_unused keeps every key that a row needs."""
    with open_store(database_url, load_keyring({}, folder), clock) as store:
        store.create("klaviyo", "user-1", {"api_key": "a"})
        (old,) = store.keyring.ids
        new = add_key(folder)
        assert drop_unused(folder, store.rows_by_key()) == ()
        assert load_keyring({}, folder).ids == (new, old)


def test_a_damaged_row_does_not_stop_a_rotation(database_url: str, clock: ManualClock) -> None:
    """Rows that cannot be decrypted stay unchanged; all others are resealed, and both keys stay accepted."""
    old, new = generate_key(), generate_key()
    with open_store(database_url, ring(old), clock) as store:
        for number in range(5):
            store.create("klaviyo", f"user-{number}", {"api_key": "a"})
    with open_store(database_url, ring(new, old), clock) as store:
        store._database.write(
            lambda run: run("UPDATE nango_connections SET generation = 9 WHERE user_id = 'user-3'")
        )
        with pytest.raises(TamperError, match=r"^1 .*altered.* 4 others"):
            store.rotate()
        assert sorted(store.rows_by_key().values()) == [1, 4]
        assert store.get("klaviyo", "user-2").user_id == "user-2"
