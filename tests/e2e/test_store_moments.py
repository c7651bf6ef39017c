"""The store at awkward moments: forks under load, locks of others, files that are replaced or deleted."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import shutil
import sqlite3
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psycopg
import pytest

from nango_py import Nango, NangoError, StorageError
from nango_py.database import base
from nango_py.database.base import FORK_GATE, ForkGate
from nango_py.database.opening import open_database
from nango_py.database.sqlite import _Holder
from nango_py.secret import Secret
from tests.support.fault_server import READ, FaultServer, response
from tests.support.forked import fork, is_free, wait_for_child
from tests.support.interruptions import Interrupted, interruption_at
from tests.support.sandbox_product import ENCRYPTION_KEY
from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nango_py.database.base import Database, Run


def open_counter(url: str, most_seconds: float | None = None) -> Database:
    """A database with one row that counts."""
    database = open_database(Secret(url), most_seconds)
    with database.opening_lock():
        database.write(lambda run: run("CREATE TABLE IF NOT EXISTS nango_moments (n BIGINT NOT NULL)"))
        database.write(lambda run: run("DELETE FROM nango_moments"))
        database.write(lambda run: run("INSERT INTO nango_moments VALUES (0)"))
    return database


def count(database: Database) -> int:
    """Add one in a transaction."""

    def work(run: Run) -> int:
        run("UPDATE nango_moments SET n = n + 1")
        return int(run("SELECT n FROM nango_moments")[0][0])

    return database.write(work)


@contextlib.contextmanager
def busy_threads(database: Database, number: int = 3) -> Iterator[None]:
    """Threads that write and read without a pause."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            count(database)
            database.read("SELECT n FROM nango_moments", {})
            database.version()

    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_fork_at_any_moment_leaves_the_child_a_working_store(tmp_path: Path) -> None:
    """Twenty children of a process whose threads are in transactions: each can write."""
    database = open_counter(f"sqlite:///{tmp_path}/n.db")
    with busy_threads(database):
        statuses = [wait_for_child(fork(lambda: count(database))) for _ in range(20)]
    assert statuses == [0] * 20
    database.close()


def test_fork_within_a_transaction_locks_the_child_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: without the gate, a child that was forked within a transaction cannot write."""
    monkeypatch.setattr("nango_py.database.sqlite.FORK_GATE", ForkGate())  # no fork closes this one
    database = open_counter(f"sqlite:///{tmp_path}/n.db", 0.5)
    is_inside, may_leave = threading.Event(), threading.Event()

    def hold(run: Run) -> None:
        run("UPDATE nango_moments SET n = n + 1")
        is_inside.set()
        may_leave.wait(HANG_SECONDS)

    thread = threading.Thread(target=lambda: database.write(hold))
    thread.start()
    is_inside.wait(HANG_SECONDS)

    def wait_and_count() -> None:
        os.read(reader, 1)  # until the parent's transaction has ended
        count(database)

    reader, writer = os.pipe()
    child = fork(wait_and_count)
    may_leave.set()
    thread.join()
    os.write(writer, b"x")
    assert wait_for_child(child) == 1
    database.close()
    os.close(reader)
    os.close(writer)


def test_fork_inside_an_own_transaction_does_not_wait_for_itself(tmp_path: Path) -> None:
    """A program that forks while it reads does not hang."""
    database = open_counter(f"sqlite:///{tmp_path}/n.db")
    assert database.write(lambda run: wait_for_child(fork(lambda: None))) == 0  # noqa: ARG005
    assert count(database) == 1
    database.close()


def test_a_fork_waits_until_a_connection_is_closed(tmp_path: Path) -> None:
    """SQLite holds mutexes of the process while it closes one; a child would wait for them forever."""
    is_closing, is_forking = threading.Event(), threading.Event()
    closed: list[bool] = []
    os.register_at_fork(before=is_forking.set)  # runs before the hook of the gate, which was there first

    class SlowConnection:
        def close(self) -> None:
            if not closed:
                is_closing.set()
                is_forking.wait(HANG_SECONDS)
                closed.append(True)

    database = open_counter(f"sqlite:///{tmp_path}/n.db")
    holder = _Holder(SlowConnection())  # type: ignore[arg-type]
    database._opened.add(holder)  # type: ignore[attr-defined]
    thread = threading.Thread(target=database.close)
    thread.start()
    is_closing.wait(HANG_SECONDS)

    def work() -> None:
        assert closed == [True]

    assert wait_for_child(fork(work)) == 0
    thread.join()


def fork_in_a_thread(work: Callable[[], object]) -> int:
    """The exit status of a child whose parent has other threads; the child loses what they alone held."""
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(wait_for_child(fork(work))))
    thread.start()
    thread.join()
    return statuses[0]


@pytest.fixture
def closing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The processes that closed a connection, by id."""
    gc.collect()  # what earlier tests have left
    closing, parent, close = list[int](), os.getpid(), _Holder.__del__

    def record(holder: _Holder) -> None:
        closing.append(os.getpid())
        if os.getpid() == parent:
            close(holder)

    monkeypatch.setattr(_Holder, "__del__", record)
    yield closing
    gc.collect()


def test_a_child_closes_no_connection_of_its_parent(tmp_path: Path, closing: list[int]) -> None:
    """The connections of the parent's other threads stay open in it, and so does garbage."""
    database, garbage = (open_counter(f"sqlite:///{tmp_path}/{name}.db") for name in "ab")
    garbage.itself = garbage  # type: ignore[attr-defined]
    del garbage

    def work() -> None:
        gc.collect()
        count(database)
        assert os.getpid() not in closing

    assert fork_in_a_thread(work) == 0
    gc.collect()
    assert os.getpid() in closing
    database.close()


def test_a_connection_that_is_not_kept_is_closed_in_a_child(
    tmp_path: Path, closing: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: the child closes what the gate does not keep."""
    monkeypatch.setattr(base.FORK_GATE, "keep_in_children", lambda _: None)
    database = open_counter(f"sqlite:///{tmp_path}/n.db")

    def work() -> None:
        assert os.getpid() in closing

    assert fork_in_a_thread(work) == 0
    database.close()


def test_a_collected_connection_waits_for_no_fork() -> None:
    """Its thread may hold a lock that the fork waits for; the connection is closed after the fork."""
    closed: list[int] = []

    class Connection:
        def close(self) -> None:
            closed.append(threading.get_ident())

    def collect() -> None:
        _Holder(Connection())  # type: ignore[arg-type]

    FORK_GATE.close()
    try:
        thread = threading.Thread(target=collect, daemon=True)
        thread.start()
        thread.join(HANG_SECONDS)
        assert not thread.is_alive()
        assert closed == []
    finally:
        FORK_GATE.open()
    assert closed == [threading.get_ident()]


def can_fork(gate: ForkGate) -> bool:
    """Whether another thread can fork now."""
    forker = threading.Thread(target=lambda: (gate.close(), gate.open()), daemon=True)
    forker.start()
    forker.join(HANG_SECONDS)
    return not forker.is_alive()


def test_the_garbage_collector_may_close_a_connection_at_any_moment() -> None:
    """A thread that is in an operation, begins one or forks does not wait for itself."""
    gate, closed = ForkGate(), list[str]()

    def collect(name: str) -> None:
        gate.close_collected(SimpleNamespace(close=lambda: closed.append(name)))

    with gate.lock(), gate._changing, gate.lock():
        collect("in an operation")
    gate.close()
    with gate.lock():
        collect("in a fork")
    other = threading.Thread(target=lambda: gate.lock().acquire())
    other.start()
    collect("while another thread waits for the fork")
    gate.open()
    other.join(HANG_SECONDS)
    assert (len(closed), other.is_alive()) == (3, False)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # within destructors
@pytest.mark.parametrize("act", ["write", "version", "open and close"])
def test_an_exception_at_any_moment_leaves_no_lock_behind(act: str, tmp_path: Path) -> None:
    """That of a signal handler: other connections can write afterwards, and other threads can fork."""
    url, step, moments = f"sqlite:///{tmp_path}/n.db", 0, [0]
    database, other = open_counter(url), open_counter(url, 1.0)
    acts: dict[str, Callable[[], object]] = {
        "write": lambda: count(database),
        "version": database.version,
        "open and close": lambda: open_database(Secret(url)).close(),
    }
    while step <= moments[0]:
        step += 1
        with contextlib.suppress(Interrupted), interruption_at(step) as moments:
            acts[act]()
        count(other)
        assert can_fork(FORK_GATE), step
    assert step > 10
    assert count(database) >= step
    for each in (database, other):
        each.close()


def test_an_exception_within_a_context_manager_in_python_would_leave_its_lock() -> None:
    """Control: Python may run a signal handler between a lock and the block that releases it."""
    gate = ForkGate()

    class Python:
        def __enter__(self) -> None:
            gate.lock().acquire()

        def __exit__(self, *_: object) -> None:
            gate.lock().release()

    def interrupted(step: int) -> bool:
        try:
            with interruption_at(step), Python():
                return False
        except Interrupted:
            return True

    def is_left() -> bool:
        found: list[bool] = []
        lock = gate.lock()
        thread = threading.Thread(target=lambda: found.append(is_free(lock)))
        thread.start()
        thread.join()
        return found == [False]

    assert any(is_left() for _ in itertools.takewhile(interrupted, itertools.count(1)))


REPLACERS: dict[str, Callable[[Path], object]] = {
    "deleted": lambda path: path.unlink(),
    "moved": lambda path: path.rename(path.with_name("elsewhere.db")),
    "a folder": lambda path: path.parent.rename(path.parent.with_name("gone")),
}


@pytest.mark.parametrize("how", REPLACERS)
def test_deleted_store_is_an_error_and_not_a_lost_write(tmp_path: Path, how: str) -> None:
    """What is written to a file that has no name any more would be gone."""
    path = tmp_path / "a" / "n.db"
    database = open_counter(f"sqlite:///{path}")
    REPLACERS[how](path)
    for act in (lambda: count(database), lambda: database.read("SELECT 1", {}), database.version):
        with pytest.raises(StorageError, match="deleted or moved"):
            act()
    database.close()


def test_replaced_store_is_opened_again(tmp_path: Path) -> None:
    """All threads write into the file that is there now, and its version is another one."""
    path = tmp_path / "n.db"
    database = open_counter(f"sqlite:///{path}")
    version = database.version()
    backup = tmp_path / "backup.db"
    with (
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(backup)) as copy,
    ):
        source.backup(copy)
    with contextlib.closing(sqlite3.connect(backup)) as copy, copy:
        copy.execute("UPDATE nango_moments SET n = 100")
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    backup.replace(path)
    assert database.version() != version
    found: list[int] = [count(database)]
    thread = threading.Thread(target=lambda: found.append(count(database)))
    thread.start()
    thread.join()
    assert found == [101, 102]
    with contextlib.closing(sqlite3.connect(path)) as copy:
        assert copy.execute("SELECT n FROM nango_moments").fetchone() == (102,)
    database.close()


def test_file_replaced_during_a_transaction_is_reported(tmp_path: Path) -> None:
    """The write may be lost, and the error says so."""
    path = tmp_path / "n.db"
    database = open_counter(f"sqlite:///{path}")

    def work(run: Run) -> None:
        run("UPDATE nango_moments SET n = n + 1")
        shutil.copy(path, tmp_path / "copy.db")
        (tmp_path / "copy.db").replace(path)

    with pytest.raises(StorageError, match="may be lost"):
        database.write(work)
    database.close()


@contextlib.contextmanager
def locked(url: str, table: str) -> Iterator[None]:
    """The database, locked by another program."""
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode = NORMAL")
            other.execute("BEGIN EXCLUSIVE")
            yield
            other.execute("ROLLBACK")
        return
    with psycopg.connect(url) as server:
        server.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
        server.rollback()


def test_lock_of_another_holds_an_operation_for_its_time_only(database_url: str) -> None:
    """The limit of the database, and the shorter time of a caller."""
    database = open_counter(database_url, 2.0)
    started = time.monotonic()
    with locked(database_url, "nango_moments"):
        with pytest.raises(StorageError):
            count(database)
        middle = time.monotonic()
        with base.database_time(0.3), pytest.raises(StorageError):
            count(database)
        ended = time.monotonic()
    assert 1.0 < middle - started < HANG_SECONDS / 2
    assert ended - middle < middle - started
    assert count(database) == 1
    database.close()


def test_short_lock_is_waited_for(database_url: str) -> None:
    """A caller with time left gets the row when the other is done."""
    database = open_counter(database_url)
    found: list[int] = []

    def wait() -> None:
        with base.database_time(HANG_SECONDS):
            found.append(count(database))

    thread = threading.Thread(target=wait)
    with locked(database_url, "nango_moments"):
        thread.start()
        thread.join(0.7)
        assert thread.is_alive()
    thread.join()
    assert found == [1]
    database.close()


def test_call_ends_in_time_while_its_store_is_locked(postgres_url: str) -> None:
    """A lock on the connections does not hold a call beyond its deadline."""
    with FaultServer([READ, response(b"{}")]) as server:
        entry = {"auth": {"auth_mode": "API_KEY"}, "requests": {"base_url": server.url}}
        nango = Nango({"shop": entry}, database_url=postgres_url, encryption_keys=ENCRYPTION_KEY, environ={})
        with nango:
            nango.register_connection("shop", "u", {"api_key": "key_test_1234"})
            executor = nango.executor("shop", "u")
            nango.services.cache.clear()
            executor._read_connection._entry = None
            started = time.monotonic()
            with locked(postgres_url, "nango_connections"), pytest.raises(NangoError):
                executor.get("x", deadline_seconds=1)
            assert time.monotonic() - started < HANG_SECONDS / 4
