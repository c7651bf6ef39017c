"""Exports and imports of a product: what is checked, what is written, and what stays."""

from __future__ import annotations

import io
import os
import stat
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConfigError, ConnectionNotFound, ImportReport, Nango, StorageError, TamperError
from nango_py.connections import bulk, keys
from nango_py.connections.connection import NEEDS_CHOICE
from nango_py.secret import Secret, reveal
from tests.support.transfer_products import MODES, a_key, a_nango, an_entry, everything

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.fake_clock import ManualClock

KEY = a_key()
PLAIN_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
FENCED = {
    "type": "object",
    "required": ["region"],
    "properties": {"region": {"type": "string", "pattern": "^[a-z]+$"}},
    "additionalProperties": False,
}


@pytest.fixture
def old(clock: ManualClock) -> Iterator[Nango]:
    """The product that connections leave."""
    with a_nango("sqlite:///:memory:", clock=clock) as nango:
        nango.register_connection("api-key", "ada", {"api_key": "planted-1"}, {"list": ["x", 1, None]})
        clock.advance(10)
        nango.register_connection("basic", "bob", {"username": "b", "password": ""})
        nango.register_connection("api-key", "bob \u202e\n", {"api_key": "planted-2"})
        nango.update_connection_config("basic", "bob", {"a": {"b": 1}})
        yield nango


@pytest.fixture
def new(clock: ManualClock) -> Iterator[Nango]:
    """The product that they come to, a day later."""
    clock.advance(86_400)
    with a_nango("sqlite:///:memory:", clock=clock) as nango:
        yield nango


def exported(nango: Nango, **which: Any) -> io.BytesIO:
    """An export in memory."""
    file = io.BytesIO()
    nango.export_connections(file, KEY, **which)
    file.seek(0)
    return file


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    """How many were imported, replaced, skipped and unchanged."""
    return report.imported, report.replaced, report.skipped, report.unchanged


def test_an_empty_store_gets_everything(old: Nango, new: Nango, tmp_path: Path) -> None:
    """Credentials, settings, dates and uuid are those of the old place, and the names are odd ones too."""
    assert old.export_connections(tmp_path / "backup.nango", KEY) == 3
    report = new.import_connections(tmp_path / "backup.nango", KEY)
    assert counts(report) == (3, 0, 0, 0)
    assert report.ok
    assert report.total == 3
    assert everything(new) == everything(old)


def test_the_status_of_a_connection_is_imported(old: Nango, new: Nango) -> None:
    """A user who has to connect again has to do so in the new place."""
    connection = old.store.get("api-key", "ada")
    assert old.store.leases.acquire(connection, "me", 60)
    old.store.leases.mark_needs_reauth(connection, "me")
    new.import_connections(exported(old), KEY)
    assert new.store.get("api-key", "ada").status == "needs_reauth"
    assert new.store.get("basic", "bob").status == "active"


def test_an_open_choice_is_imported(old: Nango, new: Nango) -> None:
    """A user who has logged in and not chosen an account yet chooses it in the new place."""
    old.store.put("basic", "bob", {"username": "bob", "password": "p"}, {}, status=NEEDS_CHOICE)
    new.import_connections(exported(old), KEY)
    assert new.store.get("basic", "bob").status == "needs_choice"


@pytest.mark.parametrize(
    ("which", "users"),
    [
        ({"integration": "api-key"}, {"ada", "bob \u202e\n"}),
        ({"user_id": "bob"}, {"bob"}),
        ({"integration": "api-key", "user_id": "bob"}, set()),
        ({}, {"ada", "bob", "bob \u202e\n"}),
    ],
)
def test_a_part_can_be_exported(old: Nango, new: Nango, which: dict[str, str], users: set[str]) -> None:
    """By integration, by user, or by both."""
    new.import_connections(exported(old, **which), KEY)
    assert {user for _, user in everything(new)} == users


def test_an_integration_that_is_not_declared_is_not_exported(old: Nango, tmp_path: Path) -> None:
    """A typing error gives no empty backup."""
    with pytest.raises(Exception, match='unknown integration "api-kye"; did you mean "api-key"'):
        old.export_connections(tmp_path / "backup", KEY, integration="api-kye")
    assert not list(tmp_path.iterdir())


def test_the_same_import_again_changes_nothing(old: Nango, new: Nango) -> None:
    """Connections with the same values are left alone, even if others would be refused."""
    new.import_connections(exported(old), KEY)
    before = everything(new)
    assert counts(new.import_connections(exported(old), KEY)) == (0, 0, 0, 3)
    assert counts(new.import_connections(exported(old), KEY, on_existing="replace")) == (0, 0, 0, 3)
    assert everything(new) == before


def test_an_existing_connection_stops_the_import(old: Nango, new: Nango) -> None:
    """It is named, and not one of the others is stored."""
    new.register_connection("basic", "bob", {"username": "other", "password": "planted-3"})
    with pytest.raises(ConfigError, match="basic/bob already has a connection") as caught:
        new.import_connections(exported(old), KEY)
    assert "planted" not in str(caught.value)
    assert len(everything(new)) == 1
    assert reveal(new.store.get("basic", "bob").credentials)["username"] == "other"


def test_skipping_leaves_the_other_connection(old: Nango, new: Nango) -> None:
    """Users without one are imported."""
    new.register_connection("basic", "bob", {"username": "other", "password": "planted-3"})
    assert counts(new.import_connections(exported(old), KEY, on_existing="skip")) == (2, 0, 1, 0)
    assert reveal(new.store.get("basic", "bob").credentials)["username"] == "other"


def test_replacing_keeps_uuid_and_date_created(old: Nango, new: Nango) -> None:
    """Its uuid and date_created stay, the rest changes, and a refresh in flight cannot overwrite it."""
    new.register_connection("basic", "bob", {"username": "other", "password": "planted-3"})
    before = new.store.get("basic", "bob")
    assert new.store.leases.acquire(before, "me", 60)
    assert counts(new.import_connections(exported(old), KEY, on_existing="replace")) == (2, 1, 0, 0)
    after = new.store.get("basic", "bob")
    assert (after.uuid, after.date_created) == (before.uuid, before.date_created)
    assert reveal(after.credentials) == {"username": "b", "password": ""}
    assert after.additional_config == {"a": {"b": 1}}
    assert after.generation == before.generation + 1
    assert new.store.leases.store_refreshed(before, "me", {"username": "late", "password": "x"}) is None


def test_a_connection_that_was_altered_is_another_one(old: Nango, new: Nango) -> None:
    """A row that does not open can be replaced by its backup."""
    new.import_connections(exported(old), KEY)
    new.store.write(lambda run: run("UPDATE nango_connections SET status = 'x' WHERE user_id = 'ada'"))
    with pytest.raises(TamperError):
        new.store.get("api-key", "ada")
    assert counts(new.import_connections(exported(old), KEY, on_existing="replace")) == (0, 1, 0, 2)
    assert reveal(new.store.get("api-key", "ada").credentials) == {"api_key": "planted-1"}


def test_a_dry_run_writes_nothing_and_reports_everything(old: Nango, new: Nango) -> None:
    """Its report has the counts and the problems, and does not raise."""
    new.register_connection("basic", "bob", {"username": "other", "password": "planted-3"})
    report = new.import_connections(exported(old), KEY, dry_run=True)
    assert counts(report) == (2, 0, 0, 0)
    assert [(each.integration, each.user_id) for each in report.problems] == [("basic", "bob")]
    assert not report.ok
    assert counts(new.import_connections(exported(old), KEY, dry_run=True, on_existing="replace")) == (
        2,
        1,
        0,
        0,
    )
    assert len(everything(new)) == 1


def test_all_problems_are_reported_at_once(old: Nango) -> None:
    """Unknown integrations with how many connections they have, other modes, other settings."""
    integrations = {
        "basic": an_entry("BASIC", connection_config=FENCED),
        "apikey": an_entry("API_KEY"),
    }
    with a_nango("sqlite:///:memory:", integrations) as new:
        with pytest.raises(ConfigError) as caught:
            new.import_connections(exported(old), KEY)
        message = str(caught.value)
        assert 'unknown integration "api-key"; did you mean "apikey"?; used by 2 connections' in message
        assert "basic/bob: additional_config.region is missing" in message
        assert "basic/bob: additional_config.a is unknown" in message
        assert "planted" not in message
        assert everything(new) == {}
    with a_nango("sqlite:///:memory:", {**MODES, "api-key": an_entry("BASIC")}) as new:
        report = new.import_connections(exported(old), KEY, dry_run=True)
        assert {each.user_id for each in report.problems} == {"ada", "bob \u202e\n"}
        assert report.imported == 1
        assert 'unknown credential "api_key"' in str(report.problems[0].problem)


def test_a_damaged_file_imports_nothing(old: Nango, new: Nango) -> None:
    """Not even the connections that stand before the damage."""
    content = bytearray(exported(old).getvalue())
    content[-10] ^= 1
    for on_existing in ("refuse", "skip", "replace"):
        with pytest.raises(TamperError):
            new.import_connections(io.BytesIO(content), KEY, on_existing=on_existing)
    assert everything(new) == {}


def test_a_restored_connection_cannot_be_taken_for_an_earlier_one(old: Nango, clock: ManualClock) -> None:
    """What processes remember by uuid and generation of a deleted row is not current after an import."""
    backup = exported(old)
    remembered = [old.store.get("api-key", "ada")]
    for number in range(3):
        old.update_connection_credentials("api-key", "ada", {"api_key": f"later-{number}"})
        remembered.append(old.store.get("api-key", "ada"))
    old.delete_connection("api-key", "ada")
    clock.advance(1)
    old.import_connections(backup, KEY)
    for number in range(3):
        assert not any(map(old.store.is_current, remembered))
        assert old.store.get("api-key", "ada").uuid == remembered[0].uuid
        old.update_connection_credentials("api-key", "ada", {"api_key": f"again-{number}"})


def test_a_uuid_in_use_is_not_used_twice(old: Nango, new: Nango) -> None:
    """Two users who share a uuid by some accident both get in; the second one under a new one."""
    new.import_connections(exported(old), KEY)
    taken = new.connection("api-key", "ada")["uuid"]
    new.store.write(lambda run: run("DELETE FROM nango_connections WHERE user_id = 'ada'"))
    new.store.write(
        lambda run: run("UPDATE nango_connections SET uuid = :uuid WHERE user_id = 'bob'", {"uuid": taken})
    )
    new.import_connections(exported(old, user_id="ada"), KEY)
    assert new.connection("api-key", "ada")["uuid"] != taken


def test_calls_see_what_was_imported(old: Nango, clock: ManualClock) -> None:
    """An executor that was in use reads the replaced credentials at its next call."""
    backup = exported(old)
    old.update_connection_credentials("api-key", "ada", {"api_key": "later"})
    executor = old.executor("api-key", "ada")
    executor.plan("GET", "x")
    old.import_connections(backup, KEY, on_existing="replace")
    with pytest.raises(ConnectionNotFound):
        old.executor("api-key", "nobody").plan("GET", "x")
    assert reveal(old.services.cache.source("api-key", "ada")().credentials) == {"api_key": "planted-1"}
    assert clock.now() > 0


def test_the_file_is_for_its_owner_only(old: Nango, tmp_path: Path) -> None:
    """0600 under any umask, and nothing else is left in the folder."""
    before = os.umask(0)
    try:
        old.export_connections(tmp_path / "backup", KEY)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]


def test_an_older_export_is_replaced_as_a_whole_or_not_at_all(old: Nango, tmp_path: Path) -> None:
    """An altered row stops the export, and an older file stays."""
    path = tmp_path / "backup"
    old.export_connections(path, KEY)
    old.export_connections(path, Secret(KEY))
    whole = path.read_bytes()
    old.store.write(lambda run: run("UPDATE nango_connections SET status = 'x' WHERE user_id = 'bob'"))
    with pytest.raises(TamperError, match='user "bob" for integration "basic"'):
        old.export_connections(path, KEY)
    assert path.read_bytes() == whole
    assert [each.name for each in tmp_path.iterdir()] == ["backup"]


def test_no_other_file_is_replaced(old: Nango, tmp_path: Path) -> None:
    """A typing error does not cost integrations.yaml."""
    path = tmp_path / "integrations.yaml"
    path.write_text("integrations:\n")
    with pytest.raises(StorageError, match="already exists and is not an export"):
        old.export_connections(path, KEY)
    assert path.read_text() == "integrations:\n"
    for wrong in (tmp_path, tmp_path / "nowhere" / "backup"):
        with pytest.raises(StorageError, match=f"cannot write {wrong}"):
            old.export_connections(wrong, KEY)


def test_a_missing_file_is_reported(new: Nango, tmp_path: Path) -> None:
    """With the system's reason."""
    with pytest.raises(StorageError, match=r"cannot read .*backup: No such file"):
        new.import_connections(tmp_path / "backup", KEY)


def test_a_pipe_is_read_like_a_file(old: Nango, new: Nango) -> None:
    """A pipe, which cannot be read twice, is copied to a temporary file, still sealed."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            old.export_connections(file, KEY)

    with os.fdopen(reading, "rb") as file:
        writer = threading.Thread(target=write)
        writer.start()
        assert new.import_connections(file, KEY).imported == 3
        writer.join()


WRONG_KEYS = {
    "empty": "",
    "too short": "c2hvcnQgcGxhbnRlZA==",
    "not base64": "planted key",
    "two": f"{PLAIN_KEY}\n{PLAIN_KEY}",
}


@pytest.mark.parametrize("key", WRONG_KEYS.values(), ids=WRONG_KEYS)
def test_a_wrong_key_is_not_repeated(old: Nango, tmp_path: Path, key: str) -> None:
    """It is said what is wrong with it, and no file is made."""
    with pytest.raises(StorageError, match="the given key") as caught:
        old.export_connections(tmp_path / "backup", key)
    assert not key or key[:8] not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_key_of_the_database_is_not_needed(old: Nango, clock: ManualClock) -> None:
    """An export can be imported into a store with another key."""
    with a_nango("sqlite:///:memory:", clock=clock, encryption_keys=a_key()) as new:
        assert new.import_connections(exported(old), KEY).imported == 3
        assert everything(new) == everything(old)


def test_an_unknown_option_value_is_rejected(new: Nango) -> None:
    """on_existing is one of three."""
    with pytest.raises(ValueError, match="on_existing must be one of refuse, skip, replace"):
        new.import_connections(io.BytesIO(), KEY, on_existing="overwrite")


def test_a_key_file_is_new_and_private(tmp_path: Path) -> None:
    """`nango keys generate` neither replaces a file nor shows a key."""
    path = tmp_path / "export.key"
    key_id = keys.write_new_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keys.parse_one_key(keys.read_private_text(path), "it").id == key_id
    with pytest.raises(StorageError, match="already exists"):
        keys.write_new_key(path)


def test_connections_registered_during_an_export_appear_once(clock: ManualClock) -> None:
    """Rows are read page by page by their identity, so deleting and registering again doubles nothing."""
    users = [f"u{number:04}" for number in range(2 * bulk.PAGE_SIZE + 7)]
    with a_nango("sqlite:///:memory:", clock=clock) as nango:
        for user in users:
            nango.register_connection("api-key", user, {"api_key": "x"})
        met = []
        for row, *_ in bulk.iter_rows(nango.store):
            met.append(row.user_id)
            nango.delete_connection("api-key", row.user_id)
            nango.register_connection("api-key", row.user_id, {"api_key": "y"})
        assert met == users


def test_dates_of_the_original_store_are_kept(old: Nango, new: Nango, clock: ManualClock) -> None:
    """Also of what was imported a second time, from the second place."""
    new.import_connections(exported(old), KEY)
    view = new.connection("api-key", "ada")
    assert view["date_created"] < datetime.fromtimestamp(clock.now(), UTC)
    with a_nango("sqlite:///:memory:", clock=clock) as third:
        third.import_connections(exported(new), KEY)
        assert third.connection("api-key", "ada") == view


class SecondReading(io.BytesIO):
    """A file, and what happens between the check of it and the import."""

    def __init__(self, content: bytes, happens: Callable[[SecondReading], object]) -> None:
        super().__init__(content)
        self._happens = happens
        self._readings = 0

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Count the readings, which begin at the beginning."""
        self._readings += 1
        if self._readings == 2:
            self._happens(self)
        return super().seek(offset, whence)


def test_a_connection_registered_during_an_import_is_not_replaced(old: Nango, new: Nango) -> None:
    """The import says so and stops; again, with a choice, it does the rest."""

    def connect(_: SecondReading) -> None:
        new.register_connection("basic", "bob", {"username": "other", "password": "planted-3"})

    content = exported(old).getvalue()
    with pytest.raises(StorageError, match=r"basic/bob .*during the import; 0 connections"):
        new.import_connections(SecondReading(content, connect), KEY)
    assert reveal(new.store.get("basic", "bob").credentials)["username"] == "other"
    assert counts(new.import_connections(io.BytesIO(content), KEY, on_existing="skip")) == (2, 0, 1, 0)


def test_a_file_damaged_during_an_import_is_noticed(old: Nango, new: Nango) -> None:
    """Each line is proven again when it is stored."""

    def damage(file: SecondReading) -> None:
        file.getbuffer()[-10] ^= 1

    with pytest.raises(TamperError):
        new.import_connections(SecondReading(exported(old).getvalue(), damage), KEY)


def test_a_file_replaced_during_an_import_is_checked_again(old: Nango, new: Nango) -> None:
    """An invalid connection is not stored, even if the first reading did not see it."""
    first = exported(old).getvalue()
    with a_nango("sqlite:///:memory:", {"gone": an_entry("API_KEY")}) as other:
        other.register_connection("gone", "eve", {"api_key": "planted"})
        second = exported(other).getvalue()

    def exchange(file: SecondReading) -> None:
        file.truncate(0)
        io.BytesIO.seek(file, 0)
        file.write(second)

    with pytest.raises(StorageError, match="changed during the import; 0 connections"):
        new.import_connections(SecondReading(first, exchange), KEY)
    assert everything(new) == {}
