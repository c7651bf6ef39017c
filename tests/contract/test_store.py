"""The connection store: the same promises on SQLite and on PostgreSQL."""

from __future__ import annotations

import pickle
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.connections import statements
from nango_py.connections.keys import generate_key, load_keyring
from nango_py.connections.store import ConnectionStore, open_store
from nango_py.database.opening import open_database
from nango_py.errors import (
    ConnectionAlreadyExists,
    ConnectionNotFound,
    NangoError,
    StorageError,
    TamperError,
)
from nango_py.secret import Secret, reveal
from tests.support.connection_store import PLANTED, everything, ring

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fake_clock import ManualClock


@pytest.fixture
def store(database_url: str, clock: ManualClock) -> Iterator[ConnectionStore]:
    """An empty store."""
    with open_store(database_url, ring(generate_key()), clock) as opened:
        yield opened


def test_a_registered_connection_can_be_read(store: ConnectionStore) -> None:
    """Credentials come back as Secrets, settings as plain values, both exactly as given."""
    credentials = {
        "api_key": PLANTED,
        "nested": {"list": ["a", 1, 2.5, True, None]},
        "odd": "\U0001f600 é \0 \n",
    }
    settings = {"list_id": "X", "deep": [{"a": [1, 2**70, -0.5]}], "": "empty key", "text": "naïve ☃"}
    created = store.create("klaviyo", "user-1", credentials, settings)
    found = store.get("klaviyo", "user-1")
    assert isinstance(found.credentials["api_key"], Secret)
    assert reveal(found.credentials) == reveal(created.credentials) == credentials
    assert found.public()["additional_config"] == settings
    assert found.public()["status"] == "active"
    assert (found.generation, found.status, found.uuid) == (1, "active", created.uuid)
    assert found.date_created == found.last_modified == datetime.fromtimestamp(1_800_000_000, UTC)


def test_credentials_may_be_given_as_secrets(store: ConnectionStore) -> None:
    """A caller who wraps credentials in Secret stores the texts inside."""
    store.create("klaviyo", "user-1", {"api_key": Secret(PLANTED)})
    assert store.get("klaviyo", "user-1").credentials["api_key"].reveal() == PLANTED


def test_a_connection_shows_no_credential(store: ConnectionStore) -> None:
    """Neither repr, str nor the public view holds a credential, and pickle is refused."""
    connection = store.create("klaviyo", "user-1", {"api_key": PLANTED}, {"list_id": "X"})
    assert PLANTED not in f"{connection!r} {connection} {connection.credentials} {connection.public()}"
    with pytest.raises(TypeError):
        pickle.dumps(connection)


def test_a_connection_cannot_be_changed_in_place(store: ConnectionStore) -> None:
    """What a reader holds is frozen, so threads can share it."""
    connection = store.create("klaviyo", "user-1", {"api_key": PLANTED}, {"list_id": "X"})
    with pytest.raises(TypeError):
        connection.additional_config["list_id"] = "Y"  # type: ignore[index]
    with pytest.raises(TypeError):
        connection.credentials["api_key"] = "Y"  # type: ignore[index]


def test_registering_twice_fails(store: ConnectionStore) -> None:
    """The second registration fails and leaves the first as it was."""
    store.create("klaviyo", "user-1", {"api_key": PLANTED})
    with pytest.raises(ConnectionAlreadyExists, match="user-1") as caught:
        store.create("klaviyo", "user-1", {"api_key": "other"})
    assert caught.value.__context__ is None
    assert store.get("klaviyo", "user-1").credentials["api_key"].reveal() == PLANTED


def test_concurrent_registrations_store_one_connection(store: ConnectionStore) -> None:
    """Eight threads register one user: one succeeds, the others get ConnectionAlreadyExists."""
    together = threading.Barrier(8)

    def register(number: int) -> bool:
        together.wait()
        try:
            store.create("klaviyo", "user-1", {"api_key": f"key-{number}"})
        except ConnectionAlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(register, range(8))) == [False] * 7 + [True]


def test_the_same_user_may_have_several_integrations(store: ConnectionStore) -> None:
    """Identity is the pair of integration and user."""
    store.create("klaviyo", "user-1", {"api_key": "a"})
    store.create("close", "user-1", {"api_key": "b"})
    assert store.get("close", "user-1").credentials["api_key"].reveal() == "b"


def test_a_missing_connection_is_named(store: ConnectionStore) -> None:
    """Reading, changing and deleting what is not there names the integration and the user."""
    for call in (
        lambda: store.get("klaviyo", "nobody"),
        lambda: store.update_credentials("klaviyo", "nobody", {}),
        lambda: store.update_config("klaviyo", "nobody", {}),
        lambda: store.delete("klaviyo", "nobody"),
    ):
        with pytest.raises(ConnectionNotFound, match="nobody"):
            call()
    assert store.generation("klaviyo", "nobody") is None


def test_new_credentials_keep_the_rest(store: ConnectionStore, clock: ManualClock) -> None:
    """update_credentials changes credentials, generation and last_modified, and nothing else."""
    before = store.create("klaviyo", "user-1", {"api_key": "old"}, {"list_id": "X"})
    clock.advance(60)
    after = store.update_credentials("klaviyo", "user-1", {"api_key": "new"})
    assert reveal(store.get("klaviyo", "user-1").credentials) == {"api_key": "new"}
    assert (after.uuid, after.additional_config) == (before.uuid, {"list_id": "X"})
    assert (after.generation, store.generation("klaviyo", "user-1")) == (2, 2)
    assert (after.last_modified - before.last_modified).total_seconds() == 60
    assert after.date_created == before.date_created


def test_new_settings_keep_the_rest(store: ConnectionStore, clock: ManualClock) -> None:
    """update_config replaces the settings as a whole and keeps the credentials; time never runs back."""
    before = store.create("klaviyo", "user-1", {"api_key": "old"}, {"list_id": "X"})
    clock.set_now(0)
    after = store.update_config("klaviyo", "user-1", {"other": 1})
    assert store.get("klaviyo", "user-1").additional_config == {"other": 1}
    assert reveal(store.get("klaviyo", "user-1").credentials) == {"api_key": "old"}
    assert after.last_modified == before.last_modified


def test_put_creates_a_new_connection(store: ConnectionStore) -> None:
    """Without an existing connection, a new one is stored."""
    put = store.put("klaviyo", "user-1", {"api_key": PLANTED}, {"list_id": "X"})
    found = store.get("klaviyo", "user-1")
    assert reveal(found.credentials) == reveal(put.credentials) == {"api_key": PLANTED}
    assert (found.uuid, found.generation, found.status) == (put.uuid, 1, "active")


def test_put_keeps_only_uuid_and_date_created(store: ConnectionStore, clock: ManualClock) -> None:
    """What it is called and since when stays; all else is the new, and the connection is active again."""
    before = store.create("klaviyo", "user-1", {"api_key": "old", "raw": {"x": "y"}}, {"a": 1, "b": 2})
    assert store.leases.acquire(before, "a", 60)
    assert store.leases.mark_needs_reauth(before, "a") is not None
    clock.advance(60)
    store.put("klaviyo", "user-1", {"api_key": "new"}, {"a": 3})
    after = store.get("klaviyo", "user-1")
    assert reveal(after.credentials) == {"api_key": "new"}
    assert dict(after.additional_config) == {"a": 3}
    assert (after.uuid, after.date_created) == (before.uuid, before.date_created)
    assert (after.generation, after.status) == (before.generation + 2, "active")
    assert (after.last_modified - before.last_modified).total_seconds() == 60
    assert dict(store.put("klaviyo", "user-1", {"api_key": "new"}).additional_config) == {}


def test_a_refresh_in_flight_does_not_overwrite_put(store: ConnectionStore) -> None:
    """A late refresh of the old credentials is rejected, although it still has the lease."""
    before = store.create("klaviyo", "user-1", {"access_token": "old"})
    assert store.leases.acquire(before, "a", 60)
    store.put("klaviyo", "user-1", {"access_token": "by_login"})
    assert store.leases.store_refreshed(before, "a", {"access_token": "late"}) is None
    assert store.leases.mark_needs_reauth(before, "a") is None
    found = store.get("klaviyo", "user-1")
    assert (reveal(found.credentials), found.status) == ({"access_token": "by_login"}, "active")
    # The control: read again, the same owner may write.
    assert store.leases.store_refreshed(found, "a", {"access_token": "later"}) is not None


def test_put_replaces_a_damaged_row(database_url: str, clock: ManualClock) -> None:
    """A user whose row was altered connects again; nothing of the old row is needed for that."""
    with open_store(database_url, ring(generate_key()), clock) as store:
        before = store.create("klaviyo", "user-1", {"api_key": "old"})
        database = open_database(Secret(database_url))
        database.write(lambda run: run("UPDATE nango_connections SET credentials = :c", {"c": b"no"}))
        database.close()
        with pytest.raises(TamperError):
            store.update_credentials("klaviyo", "user-1", {"api_key": "new"})
        store.put("klaviyo", "user-1", {"api_key": "new"})
        found = store.get("klaviyo", "user-1")
        assert (found.uuid, reveal(found.credentials)) == (before.uuid, {"api_key": "new"})


def test_concurrent_puts_all_succeed(database_url: str, clock: ManualClock) -> None:
    """Eight threads with separate stores put one new user: one row, whose generation counts them all."""
    keys = ring(generate_key())
    together = threading.Barrier(8)
    open_store(database_url, keys, clock).close()

    def put(number: int) -> tuple[int, str]:
        with open_store(database_url, keys, clock) as store:
            together.wait(60)
            done = store.put("klaviyo", "user-1", {"api_key": f"key-{number}"}, {"number": number})
            return done.generation, done.uuid

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(put, range(8)))
    assert sorted(generation for generation, _ in done) == list(range(1, 9))
    assert len({uuid for _, uuid in done}) == 1
    with open_store(database_url, keys, clock) as store:
        found = store.get("klaviyo", "user-1")
        last = next(number for number, (generation, _) in enumerate(done) if generation == 8)
        assert (reveal(found.credentials), found.additional_config["number"]) == (
            {"api_key": f"key-{last}"},
            last,
        )


def test_a_deleted_connection_is_gone(store: ConnectionStore) -> None:
    """After delete the user can be registered again, as another connection."""
    first = store.create("klaviyo", "user-1", {"api_key": "a"})
    store.delete("klaviyo", "user-1")
    with pytest.raises(ConnectionNotFound):
        store.get("klaviyo", "user-1")
    assert store.create("klaviyo", "user-1", {"api_key": "b"}).uuid != first.uuid


def test_lists_show_public_views_in_order(store: ConnectionStore, clock: ManualClock) -> None:
    """Lists hold uuid, names, dates and settings, oldest first, and no credential."""
    for number, (integration, user) in enumerate([("b", "u"), ("a", "u"), ("a", "v")]):
        store.create(integration, user, {"api_key": PLANTED}, {"number": number})
        clock.advance(1)
    assert [view["integration"] for view in store.for_user("u")] == ["b", "a"]
    assert [view["user_id"] for view in store.for_integration("a")] == ["u", "v"]
    assert store.for_user("u")[1] == store.get("a", "u").public()
    assert PLANTED not in str(store.for_integration("a"))
    assert store.for_user("nobody") == store.for_integration("none") == []


@pytest.mark.parametrize(
    "user_id",
    [
        "'; DROP TABLE nango_connections; --",
        '" OR 1=1 --',
        "%s %(name)s {0} :user_id $1 ?",
        "\\'; --\\",
        "line\nbreak\ttab\r",
        "\u202eright to left",
        "é",
        "e\u0301",
        "👩\u200d👩\u200d👧 family",
        "x" * 1024,
        "é" * 512,
        " ",
        "../../etc/passwd",
    ],
    ids=lambda text: ascii(text)[:24],
)
def test_any_text_is_a_user(store: ConnectionStore, user_id: str) -> None:
    """User ids are kept literally, whatever they would mean to a database, a shell or a path."""
    store.create("klaviyo", user_id, {"api_key": user_id})
    store.create("klaviyo", "bystander", {"api_key": "b"})
    assert store.get("klaviyo", user_id).user_id == user_id
    assert [view["user_id"] for view in store.for_user(user_id)] == [user_id]
    store.delete("klaviyo", user_id)
    assert [view["user_id"] for view in store.for_integration("klaviyo")] == ["bystander"]


@pytest.mark.parametrize(
    ("user_id", "why"),
    [
        ("", "user_id is empty"),
        ("a\0b", "user_id .*NUL"),
        ("x" * 1025, "user_id .*too long"),
        ("é" * 513, "user_id .*too long"),
        ("\ud800", "user_id .*surrogate"),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_invalid_user_ids_are_rejected(store: ConnectionStore, user_id: Any, why: str) -> None:
    """Every method refuses a user id that some database would not keep, and says why."""
    for call in (
        lambda: store.create("klaviyo", user_id, {}),
        lambda: store.get("klaviyo", user_id),
        lambda: store.generation("klaviyo", user_id),
        lambda: store.update_credentials("klaviyo", user_id, {}),
        lambda: store.update_config("klaviyo", user_id, {}),
        lambda: store.delete("klaviyo", user_id),
        lambda: store.for_user(user_id),
    ):
        with pytest.raises(StorageError, match=why):
            call()


def looped() -> dict[str, Any]:
    """A mapping that contains itself."""
    value: dict[str, Any] = {}
    value["again"] = value
    return value


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (
            {"a": {"b": [1, Decimal(1)]}},
            r"additional_config.a.b\[1\] .*Decimal",
        ),
        ({"a": float("nan")}, "additional_config.a .*finite"),
        ({"a": {1: 2}}, "additional_config.a .*key .*int"),
        ({"a": b"bytes"}, "additional_config.a .*bytes"),
        ({"a": {1, 2}}, "additional_config.a .*set"),
        (looped(), "additional_config.*50"),
        (["list"], "additional_config .*mapping.*list"),
        ("text", "additional_config .*mapping.*str"),
    ],
    ids=["decimal", "nan", "key", "bytes", "set", "loop", "list", "text"],
)
def test_values_that_are_not_json_are_rejected(store: ConnectionStore, settings: Any, why: str) -> None:
    """The message names the place and the type, and nothing is stored or changed."""
    with pytest.raises(StorageError, match=why):
        store.create("klaviyo", "user-1", {"api_key": "a"}, settings)
    assert store.for_user("user-1") == []
    store.create("klaviyo", "user-1", {"api_key": "a"}, {"old": 1})
    with pytest.raises(StorageError, match=why):
        store.update_config("klaviyo", "user-1", settings)
    assert store.get("klaviyo", "user-1").additional_config == {"old": 1}


def test_a_refused_credential_is_not_repeated(store: ConnectionStore) -> None:
    """The message on credentials that cannot be stored holds the place and no value, its locals neither."""
    with pytest.raises(StorageError, match=r"credentials.token .*bytes") as caught:
        store.create("klaviyo", "user-1", {"api_key": PLANTED, "token": PLANTED.encode()})
    assert PLANTED not in str(caught.value)
    assert caught.value.__context__ is None


def test_no_traceback_holds_a_credential(store: ConnectionStore) -> None:
    """Whatever fails, the locals of our frames, as error trackers print them, show stars."""
    store.create("klaviyo", "user-1", {"api_key": PLANTED})
    store._database.write(lambda run: run("UPDATE nango_connections SET generation = 7"))
    for call in (
        lambda: store.create("klaviyo", "user-1", {"api_key": PLANTED}),
        lambda: store.create("klaviyo", "", {"api_key": PLANTED}),
        lambda: store.create("klaviyo", "user-2", {"api_key": PLANTED, "n": Decimal(1)}),
        lambda: store.update_credentials("klaviyo", "nobody", {"api_key": PLANTED}),
        lambda: store.update_credentials("klaviyo", "user-1", {"api_key": PLANTED}),
        lambda: store.get("klaviyo", "user-1"),
    ):
        with pytest.raises(NangoError) as caught:
            call()
        shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        ours = [frame.locals for frame in shown.stack if frame.filename != __file__]
        assert ours
        assert PLANTED not in f"{shown} {ours}"
        assert caught.value.__context__ is None


def test_a_newer_schema_is_refused(database_url: str, clock: ManualClock) -> None:
    """A database that a newer program made is not touched."""
    key = generate_key()
    with open_store(database_url, ring(key), clock) as store:
        store._database.write(lambda run: run(statements.ADD_VERSION, {"version": 99, "now": 0}))
    before = everything(database_url)
    with pytest.raises(StorageError, match="schema version 99"):
        open_store(database_url, ring(key), clock)
    assert everything(database_url) == before


def test_stores_that_start_together_agree(database_url: str, clock: ManualClock, tmp_path: Path) -> None:
    """Eight threads open the same new database with no key file: one schema, one key, no failure."""
    together = threading.Barrier(8)

    def start(number: int) -> ConnectionStore:
        together.wait()
        store = open_store(database_url, load_keyring({}, tmp_path / ".nango"), clock)
        store.create("klaviyo", f"user-{number}", {"api_key": "a"})
        return store

    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(start, range(8)))
    assert len({store.keyring.ids for store in stores}) == 1
    for store in stores:
        assert len(store.for_integration("klaviyo")) == 8
        store.close()


def test_a_closed_store_says_so(database_url: str, clock: ManualClock) -> None:
    """Calls after close fail with a sentence, and closing again is harmless."""
    store = open_store(database_url, ring(generate_key()), clock)
    store.close()
    store.close()
    with pytest.raises(StorageError, match="is closed"):
        store.get("klaviyo", "user-1")


def test_version_changes_with_changes_made_elsewhere(database_url: str, clock: ManualClock) -> None:
    """Another store's write changes the version; reading does not. PostgreSQL knows no such number."""
    keys = ring(generate_key())
    with open_store(database_url, keys, clock) as store, open_store(database_url, keys, clock) as other:
        store.create("klaviyo", "u1", {"api_key": PLANTED})
        before = store.version()
        assert store.version() == before
        store.get("klaviyo", "u1")
        assert store.version() == before
        other.update_credentials("klaviyo", "u1", {"api_key": "another_key_1"})
        assert (store.version() == before) == (before is None)
        between = store.version()
        store.update_credentials("klaviyo", "u1", {"api_key": PLANTED})
        assert (store.version() == between) == (before is None)
