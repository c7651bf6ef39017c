"""What is under way for some minutes: once, sealed and bounded, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from nango_py.connections import pending
from nango_py.connections.keys import generate_key, load_keyring
from nango_py.connections.store import ConnectionStore, open_store
from nango_py.database.opening import open_database
from nango_py.errors import ConnectFailed
from nango_py.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fake_clock import ManualClock

VALUES = {"verifier": "verifier_planted_0001", "user_id": "user-1"}


@pytest.fixture
def store(database_url: str, clock: ManualClock) -> Iterator[ConnectionStore]:
    """An empty store."""
    ring = load_keyring({"NANGO_ENCRYPTION_KEYS": generate_key().reveal()}, None)  # type: ignore[arg-type]
    with open_store(database_url, ring, clock) as opened:
        yield opened


def test_pending_values_can_be_taken_once(store: ConnectionStore) -> None:
    """The first one to take gets the values, and the next one nothing."""
    store.pending.put("login", "state-1", "session-1", VALUES, 600)
    assert store.pending.peek("login", "state-1") == VALUES
    assert store.pending.take("login", "state-1") == VALUES
    assert store.pending.take("login", "state-1") is None
    assert store.pending.peek("login", "state-1") is None


def test_only_one_of_many_callers_takes_pending_values(store: ConnectionStore) -> None:
    """Of 64 callers at once one gets the values."""
    store.pending.put("login", "state-1", "session-1", VALUES, 600)
    gate = threading.Barrier(16)

    def take(_: int) -> bool:
        gate.wait()
        return any(store.pending.take("login", "state-1") is not None for _ in range(4))

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(take, range(16))) == 1


def test_another_kind_or_name_finds_nothing(store: ConnectionStore) -> None:
    """Kind and name together say which values."""
    store.pending.put("login", "state-1", "session-1", VALUES, 600)
    assert store.pending.take("attempt", "state-1") is None
    assert store.pending.take("login", "state-2") is None
    assert store.pending.peek("login", "state-1") == VALUES


def test_putting_again_replaces_the_values(store: ConnectionStore) -> None:
    """The last values of a name count."""
    store.pending.put("attempt", "one", "session-1", VALUES, 600)
    store.pending.put("attempt", "one", "session-1", {"done": True}, 600)
    assert store.pending.take("attempt", "one") == {"done": True}


def test_pending_values_expire(store: ConnectionStore, clock: ManualClock, database_url: str) -> None:
    """After its time nothing is found, and the next one to put removes what has ended."""
    store.pending.put("login", "old", "session-1", VALUES, 600)
    clock.advance(601)
    assert store.pending.peek("login", "old") is None
    store.pending.put("login", "new", "session-1", VALUES, 600)
    assert len(rows(database_url)) == 1


def test_the_values_of_one_session_are_limited(store: ConnectionStore, database_url: str) -> None:
    """A session that begins again and again keeps its newest logins, and others keep theirs."""
    store.pending.put("login", "other", "session-2", VALUES, 600)
    for number in range(3 * pending.MAX_PER_SESSION):
        store.pending.put("login", f"state-{number}", "session-1", VALUES, 600)
    assert len(rows(database_url)) <= pending.MAX_PER_SESSION + 1
    assert store.pending.peek("login", f"state-{3 * pending.MAX_PER_SESSION - 1}") == VALUES
    assert store.pending.peek("login", "other") == VALUES


def test_the_values_of_all_sessions_are_limited(
    store: ConnectionStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the limit, another login is rejected as busy, and accepted when others have expired."""
    monkeypatch.setattr(pending, "MAX_TOTAL", 5)
    for number in range(5):
        store.pending.put("login", f"state-{number}", f"session-{number}", VALUES, 600)
    with pytest.raises(ConnectFailed) as caught:
        store.pending.put("login", "one more", "session-9", VALUES, 600)
    assert (caught.value.code, caught.value.status) == ("busy", 503)
    clock.advance(601)
    store.pending.put("login", "one more", "session-9", VALUES, 600)


def test_the_database_shows_neither_names_nor_values(store: ConnectionStore, database_url: str) -> None:
    """Neither values nor names can be read from the rows; the control reads the session's id."""
    store.pending.put("login", "state_planted_0001", "session-1", VALUES, 600)
    text = repr(rows(database_url))
    assert "session-1" in text
    for secret in ("verifier_planted_0001", "state_planted_0001", "user-1"):
        assert secret not in text


def test_an_altered_row_is_not_accepted(store: ConnectionStore, database_url: str) -> None:
    """A row that was moved, given a longer life or another session is not used; the control opens."""
    for number, change in enumerate(
        ("ends_at = ends_at + 1", "session_id = 'session-9'", "sealed = :sealed", "")
    ):
        store.pending.put("login", "one", "session-1", VALUES, 600)
        store.pending.put("login", "two", "session-1", {"user_id": "attacker"}, 600)
        database = open_database(Secret(database_url))
        two = max(database.read("SELECT sealed FROM nango_pending ORDER BY length(sealed) LIMIT 1", {}))[0]
        if change:
            text = f"UPDATE nango_pending SET {change}"  # noqa: S608 - the changes are written above
            database.write(lambda run, text=text, two=two: run(text, {"sealed": two}))
        database.close()
        assert (store.pending.take("login", "one") == VALUES) == (number == 3)


def rows(database_url: str) -> list[tuple[object, ...]]:
    """All rows, as they lie in the database."""
    database = open_database(Secret(database_url))
    try:
        return database.read("SELECT * FROM nango_pending", {})
    finally:
        database.close()
