"""Where keys and connections are: who owns the folder, how the key file is called, how large rows are."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango, StorageError
from nango_py.connections import validation
from nango_py.connections.keys import find_key_file, generate_key, load_keyring
from nango_py.database import private_files
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PRODUCTION = {"NANGO_ENV": "production"}


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the path belong to another user."""
    if os.geteuid() == 0:
        os.chown(path, 4242, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4242)


def open_to_others(folder: Path, _: pytest.MonkeyPatch) -> Path:
    """Others may write."""
    folder.chmod(0o777)
    return folder


def open_to_group(folder: Path, _: pytest.MonkeyPatch) -> Path:
    """The group may write."""
    folder.chmod(0o770)
    return folder


def strange_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another user's folder."""
    give_away(folder, monkeypatch)
    return folder


def link_to_strange_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A link of ours to another user's folder."""
    give_away(folder, monkeypatch)
    link = folder.with_name("link")
    link.symlink_to(folder)
    return link


def strange_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another user's key file in our folder."""
    give_away(folder / "nango.key", monkeypatch)
    return folder


def linked_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A link of ours to another user's key file."""
    (folder / "nango.key").rename(folder.parent / "theirs.key")
    give_away(folder.parent / "theirs.key", monkeypatch)
    (folder / "nango.key").symlink_to(folder.parent / "theirs.key")
    return folder


DANGERS = [open_to_others, open_to_group, strange_folder, link_to_strange_folder, strange_key, linked_key]


@pytest.mark.parametrize("danger", DANGERS)
def test_dangerous_place_is_refused_in_production(
    tmp_path: Path,
    danger: Callable[[Path, pytest.MonkeyPatch], Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In development it is a warning that says so."""
    folder = tmp_path / "own"
    folder.mkdir(0o700)
    load_keyring({}, folder).create()
    place = danger(folder, monkeypatch)
    with pytest.raises(StorageError, match=r"another user|other users"):
        load_keyring(PRODUCTION, place, warn=False)
    private_files._reported.clear()
    with caplog.at_level(logging.WARNING, "nango_py.keys"):
        assert load_keyring({}, place).ids
    assert "in production this is an error" in caplog.text


def test_new_key_is_not_put_into_a_dangerous_folder(tmp_path: Path) -> None:
    """The folder is checked before the key is written."""
    tmp_path.chmod(0o777)
    with pytest.raises(StorageError, match="chmod go-w"):
        load_keyring(PRODUCTION, tmp_path, warn=False).create()
    assert list(tmp_path.iterdir()) == []


def test_own_place_is_fine(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Control: neither error nor warning, also behind a link of ours and in a folder like /tmp."""
    private_files._reported.clear()
    (tmp_path / "own").mkdir(0o700)
    (tmp_path / "link").symlink_to(tmp_path / "own")
    load_keyring(PRODUCTION, tmp_path / "link", warn=False).create()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    load_keyring(PRODUCTION, tmp_path / "shared", warn=False).create()
    assert caplog.records == []


def test_key_file_is_named_after_its_database(tmp_path: Path) -> None:
    """Two databases in a folder have two keys."""
    for name in ("shop.db", "nango.db", "plain"):
        with Nango({}, database_url=f"sqlite:///{tmp_path}/{name}", environ={}) as nango:
            assert nango.store.keyring.ids
    keys = {path.name: path.read_text() for path in tmp_path.glob("*.key")}
    assert sorted(keys) == ["nango.key", "plain.key", "shop.key"]
    assert len(set(keys.values())) == 3


def test_database_of_an_earlier_version_keeps_its_key(tmp_path: Path) -> None:
    """It was beside it as nango.key; a new database in that folder has its own."""
    (tmp_path / "shop.db").write_bytes(b"")
    (tmp_path / "nango.key").write_text(generate_key().reveal())
    assert find_key_file(tmp_path / "shop.db") == tmp_path / "nango.key"
    assert find_key_file(tmp_path / "new.db") == tmp_path / "new.key"


ENTRY: dict[str, Any] = {"auth": {"auth_mode": "API_KEY"}, "requests": {"base_url": "https://x.test/"}}


def open_nango() -> Nango:
    """A Nango in memory."""
    return Nango(
        {"shop": ENTRY}, database_url="sqlite:///:memory:", encryption_keys=ENCRYPTION_KEY, environ={}
    )


@pytest.mark.parametrize("field", ["credentials", "additional_config"])
def test_what_can_be_stored_can_be_exported_and_imported(field: str) -> None:
    """A row of the maximum size comes back; a larger one is refused when it is registered."""
    key = generate_key()
    size = validation.MAX_JSON_BYTES - 100
    values = {"credentials": {"api_key": "k" * 10}, "additional_config": {"note": "n"}}
    for length, fits in ((size, True), (size + 200, False)):
        name = "api_key" if field == "credentials" else "note"
        given = {**values, field: {name: "x" * length}}
        with open_nango() as nango, open_nango() as other:
            context = contextlib.nullcontext() if fits else pytest.raises(StorageError, match="maximum")
            with context:
                nango.register_connection("shop", "u", given["credentials"], given["additional_config"])
                file = io.BytesIO()
                assert nango.export_connections(file, key) == 1
                file.seek(0)
                assert other.import_connections(file, key).imported == 1


def test_row_of_an_earlier_version_that_is_too_large_is_not_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The export fails and names the connection, instead of being one that cannot be imported."""
    with open_nango() as nango:
        monkeypatch.setattr(validation, "check_size", lambda *_: None)
        nango.register_connection("shop", "u-1", {"api_key": "x" * (validation.MAX_JSON_BYTES + 1)})
        with pytest.raises(StorageError, match="shop/u-1 cannot be exported"):
            nango.export_connections(io.BytesIO(), generate_key())
