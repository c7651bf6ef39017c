"""What is PostgreSQL's own: lost servers, refusals, and an extra that is not installed."""

from __future__ import annotations

import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg_pool
import pytest

from nango_py.connections.keys import KeyRing
from nango_py.connections.store import ConnectionStore, open_store
from nango_py.database import postgres
from nango_py.database.base import database_time
from nango_py.errors import StorageError
from tests.support.databases import connected
from tests.support.stoppable_servers import own_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fake_clock import ManualClock

ROOT = Path(__file__).parents[2]
PLANTED = "planted-database-password"

WITHOUT_PSYCOPG = """
import sys
sys.modules["psycopg"] = None
from nango_py.connections.keys import KeyRing
from nango_py.connections.store import open_store
from nango_py.errors import StorageError
try:
    open_store("postgresql://h/d", KeyRing.throwaway())
except StorageError as error:
    print(error, error.__context__)
"""


@pytest.fixture
def store(postgres_url: str, clock: ManualClock) -> Iterator[ConnectionStore]:
    """A store with one connection."""
    with open_store(postgres_url, KeyRing.throwaway(), clock) as opened:
        opened.create("klaviyo", "user-1", {"api_key": "a"})
        yield opened


def cut_off(postgres_url: str) -> None:
    """End the store's server connections, as a restart of the server does; other workers keep theirs."""
    schema = postgres_url.rpartition("%3D")[2]
    with connected(postgres_url) as server:
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [schema]
        )


@pytest.fixture
def named_url(postgres_url: str) -> str:
    """The URL, with connections that the server lists under the name of the schema."""
    return f"{postgres_url}&application_name={postgres_url.rpartition('%3D')[2]}"


def test_a_lost_server_is_found_again(named_url: str, postgres_url: str, clock: ManualClock) -> None:
    """After the server dropped every connection, the next read and the next write succeed."""
    with open_store(named_url, KeyRing.throwaway(), clock) as store:
        store.create("klaviyo", "user-1", {"api_key": "a"})
        for number in range(5):
            cut_off(postgres_url)
            assert store.get("klaviyo", "user-1").generation == number + 1
            cut_off(postgres_url)
            assert store.update_config("klaviyo", "user-1", {"n": number}).generation == number + 2


def test_a_connection_lost_in_the_middle_repeats_the_transaction(
    named_url: str, postgres_url: str, clock: ManualClock
) -> None:
    """A connection lost before COMMIT undid the work, so it is done again, twice at most."""
    with open_store(named_url, KeyRing.throwaway(), clock) as store:
        tries: list[int] = []

        def work(run: object) -> int:
            run("DELETE FROM nango_keys WHERE key_id = 'none'")  # type: ignore[operator]
            tries.append(1)
            if len(tries) < 2:
                cut_off(postgres_url)
            run("SELECT 1")  # type: ignore[operator]
            return len(tries)

        assert store._database.write(work) == 2
        tries.clear()

        def hopeless(run: object) -> None:
            tries.append(1)
            cut_off(postgres_url)
            run("SELECT 1")  # type: ignore[operator]

        with pytest.raises(StorageError, match="failed"):
            store._database.write(hopeless)
        assert 2 <= len(tries) <= 3  # a connection may end before the work begins again


def test_a_connection_lost_at_commit_is_not_repeated(
    named_url: str, postgres_url: str, clock: ManualClock
) -> None:
    """If the outcome of a COMMIT is unknown, the error says so, and the change is not repeated."""
    with open_store(named_url, KeyRing.throwaway(), clock) as store:
        tries: list[int] = []

        def work(run: object) -> None:
            run("SELECT 1")  # type: ignore[operator]
            tries.append(1)
            cut_off(postgres_url)

        with pytest.raises(StorageError, match="may or may not be stored") as caught:
            store._database.write(work)
        assert len(tries) == 1
        assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://postgres:{PLANTED}@127.0.0.1:1/test",
        f"postgresql://nobody:{PLANTED}@%zz/test",
        f"postgresql://nobody:{PLANTED}@127.0.0.1/test?unknown={PLANTED}",
        f"postgresql://nobody:a@{PLANTED}@127.0.0.1/test",
        f"postgresql://nobody:a/{PLANTED}@127.0.0.1/test",
    ],
    ids=["unreachable", "malformed", "unknown setting", "an at sign in it", "a slash in it"],
)
def test_a_refused_server_does_not_show_the_password(url: str, clock: ManualClock) -> None:
    """Neither the message nor our frames hold the password of the URL."""
    with pytest.raises(StorageError) as caught:
        open_store(url, KeyRing.throwaway(), clock)
    assert caught.value.__context__ is None
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame.locals for frame in shown.stack if frame.filename != __file__]
    assert PLANTED not in f"{caught.value!r} {caught.value} {ours}"


def test_a_pool_that_another_thread_closes_is_not_a_failure_of_the_server(
    postgres_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Nango.close()` in the middle of a call: the error names it."""
    store = open_store(postgres_url, KeyRing.throwaway(), clock)
    connection = psycopg_pool.ConnectionPool.connection

    def close_first(*arguments: Any, **named: Any) -> Any:
        store.close()
        return connection(*arguments, **named)

    monkeypatch.setattr(psycopg_pool.ConnectionPool, "connection", close_first)
    with pytest.raises(StorageError, match="Nango is closed"):
        store.get("klaviyo", "user-1")


def test_an_error_of_the_server_is_shown(postgres_url: str, clock: ManualClock) -> None:
    """The server's own sentence is in the message, so that the reader knows what to mend."""
    parts = urlsplit(postgres_url)
    missing = parts._replace(path="/no_such_database").geturl()
    with pytest.raises(StorageError, match="no_such_database"):
        open_store(missing, KeyRing.throwaway(), clock)


def test_a_server_that_refuses_connections_later_says_why(clock: ManualClock) -> None:
    """Its own sentence is in the error of an operation that found no connection in its time."""
    with own_database() as database, open_store(database.url, KeyRing.throwaway(), clock) as store:
        store.create("klaviyo", "user-1", {"api_key": "a"})
        database.refuse()
        with database_time(0.5), pytest.raises(StorageError, match="not currently accepting connections"):
            store.get("klaviyo", "user-1")
        database.accept()
        assert store.get("klaviyo", "user-1").generation == 1


def test_a_process_whose_connections_are_all_in_use_says_so(
    postgres_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is not to blame then."""
    monkeypatch.setattr(postgres, "POOL_SIZE", 1)
    with open_store(postgres_url, KeyRing.throwaway(), clock) as store:

        def work(_: object) -> None:
            with database_time(0.3):
                store.read("SELECT 1", {})

        with pytest.raises(StorageError, match="all 1 connections of this process are in use"):
            store.write(work)


def test_a_missing_extra_says_what_to_install() -> None:
    """Without psycopg the message is the command that installs it."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PSYCOPG],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=True,
    )
    assert done.stdout == "PostgreSQL needs psycopg; run: pip install 'nango-py[postgres]' None\n"


def test_the_scheme_postgres_is_accepted(
    store: ConnectionStore, postgres_url: str, clock: ManualClock
) -> None:
    """`postgres://`, as some hosts write it, is the same; the same key ring opens the same rows."""
    with open_store(postgres_url.replace("postgresql:", "postgres:"), store.keyring, clock) as other:
        assert other.get("klaviyo", "user-1").credentials["api_key"].reveal() == "a"
