"""Where keys come from: the environment, and the key file beside the database."""

from __future__ import annotations

import base64
import os
import re
import stat
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from nango_py.connections.keys import (
    KEY_FILE,
    KEYS_VARIABLE,
    add_key,
    drop_unused,
    generate_key,
    load_keyring,
)
from nango_py.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

KEY = base64.b64encode(bytes(range(32))).decode()


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_key_of_the_environment_is_active(tmp_path: Path) -> None:
    """Keys stand in the order given, spaces and the URL-safe alphabet are accepted, and no file is made."""
    url_safe = base64.urlsafe_b64encode(b"\xff" * 32).decode()
    ring = load_keyring({KEYS_VARIABLE: f" {KEY} ,\n{url_safe} , "}, tmp_path / "none")
    ring.create()
    assert len(ring.ids) == 2
    assert ring.active.id == ring.ids[0] == load_keyring({KEYS_VARIABLE: KEY}, tmp_path).ids[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has no key"),
        (" , ", "has no key"),
        (KEY[:-4], "key 1 has 30 bytes|key 1 is not base64"),
        (f"{KEY},c2hvcnQgc2VjcmV0", "key 2 has 12 bytes"),
        (f"{KEY},{'ä' * 44}", "key 2 is not base64"),
        (f"{KEY} {KEY}", "key 1 is not base64"),
        ("pk_secret!", "key 1 is not base64"),
    ],
    ids=["empty", "commas", "short", "second", "letters", "no comma", "text"],
)
def test_a_malformed_key_is_rejected_without_showing_it(tmp_path: Path, text: str, why: str) -> None:
    """The message counts keys and bytes; no part of a key is in it, its causes or our frames' locals."""
    with pytest.raises(StorageError, match=why) as caught:
        load_keyring({KEYS_VARIABLE: text}, tmp_path)
    assert caught.value.__context__ is None
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in shown.stack if frame.filename != __file__]
    assert ours
    text_of_frames = f"{shown} {[frame.locals for frame in ours]}"
    assert not [part for part in text.split(",") if part.strip() and part.strip() in text_of_frames]


def test_the_key_file_is_created_on_demand(tmp_path: Path) -> None:
    """Loading makes nothing; make() makes a 0600 file in a 0700 folder under any umask."""
    folder = tmp_path / "a" / ".nango"
    before = os.umask(0)
    try:
        ring = load_keyring({}, folder)
        assert ring.ids == ()
        assert not folder.exists()
        ring.create()
    finally:
        os.umask(before)
    assert mode(folder) == mode(folder.parent) == 0o700
    assert mode(folder / KEY_FILE) == 0o600
    assert load_keyring({}, folder).ids == ring.ids
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]


def test_concurrent_creators_share_one_key(tmp_path: Path) -> None:
    """Sixteen rings made at once from no file hold the same key."""
    rings = [load_keyring({}, tmp_path) for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda ring: ring.create(), rings))
    assert len({ring.ids for ring in rings}) == 1


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o666])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, bits: int) -> None:
    """The message says which command mends it."""
    load_keyring({}, tmp_path).create()
    path = tmp_path / KEY_FILE
    path.chmod(bits)
    with pytest.raises(StorageError, match=f"chmod 600 {re.escape(str(path))}"):
        load_keyring({}, tmp_path)


def test_a_damaged_key_file_is_refused_and_kept(tmp_path: Path) -> None:
    """A file that holds no key is an error, never a reason to make a new one."""
    path = tmp_path / KEY_FILE
    for text in (b"", b"# nothing\n", b"\xff\xfe\n"):
        path.write_bytes(text)
        path.chmod(0o600)
        with pytest.raises(StorageError, match="in base64"):
            load_keyring({}, tmp_path)
        assert path.read_bytes() == text


def test_a_new_key_becomes_active_and_the_old_one_stays(tmp_path: Path) -> None:
    """add_key puts a key first; drop_unused removes what no row uses, but never the active one."""
    ring = load_keyring({}, tmp_path)
    ring.create()
    (old,) = ring.ids
    middle = add_key(tmp_path)
    new = add_key(tmp_path)
    assert ring.ids == (old,)
    ring.reload()
    assert ring.ids == (new, middle, old)
    assert drop_unused(tmp_path, [old]) == (middle,)
    assert drop_unused(tmp_path, []) == (old,)
    assert load_keyring({}, tmp_path).ids == (new,)
    assert mode(tmp_path / KEY_FILE) == 0o600


def test_a_key_is_not_added_to_a_missing_file(tmp_path: Path) -> None:
    """Without a key file there is nothing to rotate; none is made by the way."""
    with pytest.raises(StorageError, match="cannot read the key file"):
        add_key(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "warns"),
    [(None, False), ("development", False), ("Test", False), ("production", True), ("staging\n", True)],
)
def test_a_key_file_outside_development_logs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str | None, *, warns: bool
) -> None:
    """One record where NANGO_ENV names no place of development, and none with keys in the environment."""
    environ = {} if place is None else {"NANGO_ENV": place}
    load_keyring(environ, tmp_path, warn=False)
    load_keyring({**environ, KEYS_VARIABLE: KEY}, tmp_path)
    assert caplog.records == []
    load_keyring(environ, tmp_path)
    assert [KEYS_VARIABLE in record.getMessage() for record in caplog.records] == [True] * warns


def test_a_ring_does_not_show_its_keys(tmp_path: Path) -> None:
    """The ring prints ids and source; a generated key is a Secret."""
    ring = load_keyring({KEYS_VARIABLE: KEY}, tmp_path)
    assert repr(ring) == f"KeyRing({ring.ids[0]}; from {KEYS_VARIABLE})"
    assert KEY not in repr(ring)
    assert str(generate_key()) == "***"
