"""The SQLite store as files: who may read them, what a refusal leaves, and what threads cost."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nango_py.connections.keys import KEY_FILE, KeyRing, load_keyring
from nango_py.connections.store import ConnectionStore, open_store
from nango_py.database.opening import open_database, sqlite_folder
from nango_py.errors import StorageError
from nango_py.secret import Secret
from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.database.base import Run
    from tests.support.fake_clock import ManualClock

ROOT = Path(__file__).parents[2]
PLANTED = "user-with-a-long-planted-name"

# Dies without closing, so that the last changes lie in the WAL.
DIE = """
import os, sys
from pathlib import Path
from nango_py.connections.keys import load_keyring
from nango_py.connections.store import open_store
folder = Path(sys.argv[1])
store = open_store(f"sqlite:///{folder}/nango.db", load_keyring({}, folder))
for number in range(5):
    store.create("klaviyo", f"user-{number}", {"api_key": "a"})
os._exit(0)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the store, not made yet."""
    return tmp_path / "deep" / ".nango"


@pytest.fixture
def url(folder: Path) -> str:
    """The URL of the store in that folder."""
    return f"sqlite:///{folder}/nango.db"


@pytest.fixture
def store(url: str, folder: Path, clock: ManualClock) -> Iterator[ConnectionStore]:
    """An empty store."""
    with open_store(url, load_keyring({}, folder), clock) as opened:
        yield opened


@pytest.fixture
def _open_umask() -> Iterator[None]:
    """A umask that takes nothing away."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """The permission bits of the files in a folder."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files that hold data; an empty WAL and the shared index of readers hold none."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}
    return {name: data for name, data in files.items() if data}


@pytest.mark.usefixtures("_open_umask")
def test_only_the_owner_may_read(store: ConnectionStore, folder: Path) -> None:
    """Folder 0700; database, WAL, index and key 0600, even under umask 000."""
    store.create("klaviyo", "user-1", {"api_key": "a"})
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert modes(folder) == dict.fromkeys(["nango.db", "nango.db-shm", "nango.db-wal", KEY_FILE], 0o600)


def test_a_database_that_others_can_read_is_closed_to_them(
    url: str, folder: Path, clock: ManualClock
) -> None:
    """A copy that came with 0644 is made private when it is opened; a folder of the user's is left alone."""
    open_store(url, load_keyring({}, folder), clock).close()
    (folder / "nango.db").chmod(0o644)
    folder.chmod(0o755)
    open_store(url, load_keyring({}, folder), clock).close()
    assert modes(folder)["nango.db"] == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_commits_survive_a_power_cut_and_deletes_leave_nothing(store: ConnectionStore) -> None:
    """WAL, synchronous FULL, secure_delete and foreign keys are on, in every thread."""

    def settings() -> list[str]:
        names = ("journal_mode", "synchronous", "secure_delete", "foreign_keys", "trusted_schema")
        return [str(store._database.read(f"PRAGMA {name}", {})[0][0]) for name in names]

    found: list[list[str]] = [settings()]
    thread = threading.Thread(target=lambda: found.append(settings()))
    thread.start()
    thread.join()
    assert found == [["wal", "2", "1", "1", "0"]] * 2


def test_a_deleted_connection_leaves_no_byte(url: str, folder: Path, clock: ManualClock) -> None:
    """After delete and close, not even the user's name is left in the files."""
    with open_store(url, load_keyring({}, folder), clock) as store:
        for number in range(50):
            store.create("klaviyo", f"{PLANTED}-{number}", {"api_key": "a" * 500})
        assert PLANTED.encode() in b"".join(contents(folder).values())
        for number in range(50):
            store.delete("klaviyo", f"{PLANTED}-{number}")
    assert PLANTED.encode() not in b"".join(contents(folder).values())


def test_a_refused_key_changes_no_byte(url: str, folder: Path, clock: ManualClock) -> None:
    """Database and WAL stay as a killed process left them, byte for byte, until the right key comes."""
    folder.mkdir(parents=True)
    subprocess.run([sys.executable, "-c", DIE, str(folder)], check=True, cwd=ROOT, timeout=60)
    before = contents(folder)
    assert len(before["nango.db-wal"]) > 0
    for _ in range(2):
        with pytest.raises(StorageError, match="not in this process"):
            open_store(url, KeyRing.throwaway(), clock)
        assert contents(folder) == before
    with open_store(url, load_keyring({}, folder), clock) as store:
        assert len(store.for_integration("klaviyo")) == 5


def test_opening_a_ready_store_writes_nothing(url: str, folder: Path, clock: ManualClock) -> None:
    """A store that is only opened and read stays as it was."""
    with open_store(url, load_keyring({}, folder), clock) as store:
        store.create("klaviyo", "user-1", {"api_key": "a"})
    before = contents(folder)
    with open_store(url, load_keyring({}, folder), clock) as store:
        store.get("klaviyo", "user-1")
    assert contents(folder) == before


def test_threads_that_end_leave_no_file_open(store: ConnectionStore) -> None:
    """A hundred threads that read and end cost no file descriptors."""
    store.create("klaviyo", "user-1", {"api_key": "a"})
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(100):
        thread = threading.Thread(target=store.get, args=("klaviyo", "user-1"))
        thread.start()
        thread.join()
    assert len(list(Path("/dev/fd").iterdir())) <= before + 2
    assert len(store._database._opened) <= 1  # type: ignore[attr-defined]


def test_close_closes_what_other_threads_opened(url: str, folder: Path, clock: ManualClock) -> None:
    """After close, all changes are checkpointed into the database file."""
    store = open_store(url, load_keyring({}, folder), clock)
    go_on = threading.Event()
    opened = threading.Event()

    def use() -> None:
        store.create("klaviyo", "user-1", {"api_key": "a"})
        opened.set()
        go_on.wait()

    thread = threading.Thread(target=use)
    thread.start()
    opened.wait()
    store.close()
    assert sorted(modes(folder)) == ["nango.db", KEY_FILE]
    go_on.set()
    thread.join()


def test_close_waits_for_the_transaction_of_another_thread(url: str) -> None:
    """It closes no connection in the middle of a statement; what was begun is stored."""
    database = open_database(Secret(url))
    began, goes_on = threading.Event(), threading.Event()
    ends: list[str] = []

    def work(run: Run) -> str:
        began.set()
        goes_on.wait(HANG_SECONDS)
        run("CREATE TABLE written (id INTEGER)")
        return "written"

    def close() -> None:
        database.close()
        ends.append("closed")

    with database.opening_lock():
        writer = threading.Thread(target=lambda: ends.append(database.write(work)))
        writer.start()
    assert began.wait(HANG_SECONDS)
    closer = threading.Thread(target=close)
    closer.start()
    closer.join(0.1)
    goes_on.set()
    for thread in (writer, closer):
        thread.join(HANG_SECONDS)
    assert ends == ["written", "closed"]
    with pytest.raises(StorageError):
        database.read("SELECT 1", {})
    again = open_database(Secret(url))
    assert again.read("SELECT * FROM written", {}) == []
    again.close()


def test_a_relative_path_stays_where_it_was_opened(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that starts after a chdir uses the same file."""
    monkeypatch.chdir(tmp_path)
    found = []
    with open_store("sqlite:///sub/nango.db", load_keyring({}, Path("sub").absolute()), clock) as store:
        store.create("klaviyo", "user-1", {"api_key": "a"})
        monkeypatch.chdir("/")
        thread = threading.Thread(target=lambda: found.append(store.get("klaviyo", "user-1")))
        thread.start()
        thread.join()
    assert found[0].user_id == "user-1"
    assert (tmp_path / "sub/nango.db").exists()


def test_a_store_in_memory_is_shared_by_threads(clock: ManualClock, tmp_path: Path) -> None:
    """`:memory:` is one database for all threads of the store, and makes no key file."""
    ring = load_keyring({}, tmp_path)
    with open_store("sqlite:///:memory:", ring, clock) as store:
        threads = [
            threading.Thread(target=store.create, args=("klaviyo", f"user-{n}", {"api_key": "a"}))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.for_integration("klaviyo")) == 8
    with open_store("sqlite:///:memory:", ring, clock) as other:
        assert other.for_integration("klaviyo") == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nango.db",
        "sqlite://nango.db",
        "sqlite:///",
        "sqlite:nango.db",
        "sqlite:///a.db?mode=ro",
        "mysql://h/d",
    ],
)
def test_other_urls_are_refused(url: str, clock: ManualClock) -> None:
    """The message shows the forms that are taken."""
    with pytest.raises(StorageError, match=r"expected sqlite:///relative/path\.db"):
        open_store(url, KeyRing.throwaway(), clock)


def test_the_folder_of_a_url() -> None:
    """The key file goes beside the database file; other databases have no folder."""
    assert sqlite_folder("sqlite:///.nango/nango.db") == Path(".nango")
    assert sqlite_folder("sqlite:////var/lib/app/n.db") == Path("/var/lib/app")
    assert sqlite_folder("sqlite:///:memory:") is sqlite_folder("postgresql://h/d") is None


def test_a_file_that_is_not_a_database_is_rejected(url: str, folder: Path, clock: ManualClock) -> None:
    """A file of something else is named and left as it is, and no key is made for it."""
    folder.mkdir(parents=True)
    (folder / "nango.db").write_bytes(b"not a database, but a long enough text to be taken for one" * 100)
    before = contents(folder)
    with pytest.raises(StorageError, match="not an SQLite database"):
        open_store(url, load_keyring({}, folder), clock)
    assert contents(folder) == before


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path, clock: ManualClock) -> None:
    """Where a file stands in the way, the message names the folder."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"folder .*file/\.nango"):
        open_store(f"sqlite:///{tmp_path}/file/.nango/nango.db", KeyRing.throwaway(), clock)
