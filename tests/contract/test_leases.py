"""Leases: one owner at a time, and no late write, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from nango_py.connections.keys import generate_key, load_keyring
from nango_py.connections.store import ConnectionStore, open_store
from nango_py.errors import ConnectionNotFound, TamperError
from nango_py.secret import reveal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.connections.connection import Connection
    from tests.support.fake_clock import ManualClock

OLD = {"access_token": "access_old_1", "refresh_token": "refresh_old_1"}
NEW = {"access_token": "access_new_2", "refresh_token": "refresh_new_2"}


@pytest.fixture
def store(database_url: str, clock: ManualClock) -> Iterator[ConnectionStore]:
    """An empty store."""
    ring = load_keyring({"NANGO_ENCRYPTION_KEYS": generate_key().reveal()}, None)  # type: ignore[arg-type]
    with open_store(database_url, ring, clock) as opened:
        yield opened


@pytest.fixture
def connection(store: ConnectionStore) -> Connection:
    """A connection whose token is refreshed."""
    return store.create("slack", "u1", OLD, {"region": "eu"})


def test_only_one_owner_gets_the_lease(store: ConnectionStore, connection: Connection) -> None:
    """Sixteen threads acquire at once, and one succeeds."""
    gate = threading.Barrier(16)

    def ask(number: int) -> bool:
        gate.wait()
        return store.leases.acquire(connection, f"owner-{number}", 60)

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(ask, range(16))) == 1


def test_a_lease_can_be_extended_released_and_acquired_again(
    store: ConnectionStore, connection: Connection
) -> None:
    """The owner may take it twice; others get it only once it is given back."""
    assert store.leases.acquire(connection, "a", 60)
    assert store.leases.acquire(connection, "a", 60)
    assert not store.leases.acquire(connection, "b", 60)
    store.leases.release(connection, "b")
    assert not store.leases.acquire(connection, "b", 60)
    store.leases.release(connection, "a")
    assert store.leases.acquire(connection, "b", 60)


def test_refreshed_credentials_are_durable_and_nothing_else_changes(
    store: ConnectionStore, connection: Connection
) -> None:
    """New credentials, the next generation, the same settings and dates of birth."""
    assert store.leases.acquire(connection, "a", 60)
    renewed = store.leases.store_refreshed(connection, "a", NEW)
    assert renewed is not None
    found = store.get("slack", "u1")
    assert reveal(found.credentials) == reveal(renewed.credentials) == NEW
    assert (found.generation, found.status) == (2, "active")
    assert (found.uuid, found.date_created) == (connection.uuid, connection.date_created)
    assert dict(found.additional_config) == {"region": "eu"}


def test_a_late_owner_writes_nothing(store: ConnectionStore, connection: Connection) -> None:
    """An owner that lost the lease is rejected, whether or not the new owner has written."""
    assert store.leases.acquire(connection, "late", 60)
    expire(store, connection)
    assert store.leases.acquire(connection, "next", 60)
    assert store.leases.store_refreshed(connection, "late", OLD) is None
    assert store.leases.store_refreshed(connection, "next", NEW) is not None
    assert store.leases.store_refreshed(connection, "late", OLD) is None
    assert store.leases.mark_needs_reauth(connection, "late") is None
    assert reveal(store.get("slack", "u1").credentials) == NEW


def test_without_the_lease_a_late_write_would_win(store: ConnectionStore, connection: Connection) -> None:
    """The control: an ordinary update by the late owner does replace the newer token."""
    assert store.leases.acquire(connection, "late", 60)
    expire(store, connection)
    assert store.leases.acquire(connection, "next", 60)
    store.leases.store_refreshed(connection, "next", NEW)
    store.update_credentials("slack", "u1", OLD)
    assert reveal(store.get("slack", "u1").credentials) == OLD


def test_a_deleted_connection_stays_deleted(store: ConnectionStore, connection: Connection) -> None:
    """A refresh that finishes after the deletion restores nothing, and its lease is deleted."""
    assert store.leases.acquire(connection, "a", 60)
    store.delete("slack", "u1")
    assert store.leases.store_refreshed(connection, "a", NEW) is None
    assert not store.leases.acquire(connection, "a", 60)
    with pytest.raises(ConnectionNotFound):
        store.get("slack", "u1")


def test_a_change_during_the_refresh_wins(store: ConnectionStore, connection: Connection) -> None:
    """Credentials that were registered during the refresh are kept."""
    assert store.leases.acquire(connection, "a", 60)
    store.update_credentials("slack", "u1", {"access_token": "by_hand_1"})
    assert store.leases.store_refreshed(connection, "a", NEW) is None
    assert reveal(store.get("slack", "u1").credentials) == {"access_token": "by_hand_1"}


def test_needs_reauth_stays_until_new_credentials_are_stored(
    store: ConnectionStore, connection: Connection
) -> None:
    """The connection is `needs_reauth` with its old credentials, and active again once they are replaced."""
    assert store.leases.acquire(connection, "a", 60)
    refused = store.leases.mark_needs_reauth(connection, "a")
    assert refused is not None
    assert store.get("slack", "u1").status == refused.status == "needs_reauth"
    assert reveal(store.get("slack", "u1").credentials) == OLD
    assert store.update_credentials("slack", "u1", NEW).status == "active"


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_clock_that_is_set_ends_no_lease(
    store: ConnectionStore, connection: Connection, clock: ManualClock, jump: float
) -> None:
    """Nor does it make one longer: a second owner would use a refresh token that is valid once."""
    assert store.leases.acquire(connection, "a", 60)
    clock.set_now(clock.now() + jump)
    assert not store.leases.acquire(connection, "b", 60)
    expire(store, connection)
    assert store.leases.acquire(connection, "b", 60)


def test_a_lease_from_before_the_machine_was_started_is_ignored(
    store: ConnectionStore, connection: Connection, clock: ManualClock
) -> None:
    """A lease that ends later than the longest lease allows is ignored."""
    if store.is_shared:
        return  # the server's clock is not ours to set
    clock.advance(3600)
    assert store.leases.acquire(connection, "a", 60)
    clock.start_machine_again()
    assert store.leases.acquire(connection, "b", 60)


def test_a_refreshed_row_is_bound_to_its_place(store: ConnectionStore, connection: Connection) -> None:
    """A refreshed row is sealed like any other: an altered generation is rejected."""
    assert store.leases.acquire(connection, "a", 60)
    store.leases.store_refreshed(connection, "a", NEW)
    store.write(lambda run: run("UPDATE nango_connections SET generation = 1"))
    with pytest.raises(TamperError):
        store.get("slack", "u1")


def expire(store: ConnectionStore, connection: Connection) -> None:
    """Let the lease end now, as if its owner had slept too long."""
    text = "UPDATE nango_leases SET ends_at = 0 WHERE uuid = :uuid"
    store.write(lambda run: run(text, {"uuid": connection.uuid}))
