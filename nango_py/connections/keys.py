"""Where encryption keys come from: the environment, or a private file beside the database.

`NANGO_ENCRYPTION_KEYS` holds base64 texts of 32 random bytes, divided by commas; the first one seals, all of
them open. Without it the key file `nango.key` is used, one key a line, made when the first store is opened.
`NANGO_ENV` says where the program runs: anything but `development` or `test` makes the use of a key file a
reason to warn, because a disk that holds both the key and the database protects neither.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
from typing import TYPE_CHECKING

from nango_py.connections.cipher import KEY_BYTES, Key
from nango_py.database.private_files import (
    OTHERS,
    access_error,
    lock_folder,
    make_private_folder,
    replace_file,
)
from nango_py.errors import StorageError
from nango_py.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

KEYS_VARIABLE = "NANGO_ENCRYPTION_KEYS"
PLACE_VARIABLE = "NANGO_ENV"
KEY_FILE = "nango.key"
PLACES_FOR_KEY_FILES = ("", "dev", "development", "test", "testing")

_FILE_HEAD = (
    "# nango_py: encryption keys, the first one is active. Keep a copy: without it connections are lost.\n"
)

logger = logging.getLogger("nango_py.keys")


class KeyRing:
    """The keys of one process, the active one first. Safe to share between threads.

    Attributes:
        source: where they come from, for messages: `NANGO_ENCRYPTION_KEYS` or the path of the key file.
    """

    def __init__(self, keys: Iterable[Key], source: str, folder: Path | None = None) -> None:
        # Replaced as a whole, never changed, so that readers need no lock.
        self._keys = {key.id: key for key in keys}
        self._folder = folder
        self.source = source

    @classmethod
    def throwaway(cls) -> KeyRing:
        """A ring with one fresh key that dies with the process; for stores in memory."""
        return cls([Key(os.urandom(KEY_BYTES))], "this process")

    @property
    def active(self) -> Key:
        """The key that seals new values.

        Raises:
            StorageError: the key file was not made yet.
        """
        for key in self._keys.values():
            return key
        raise StorageError(f"there is no encryption key yet in {self.source}")

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, the active one first; empty while the key file is still to be made."""
        return tuple(self._keys)

    def find(self, key_id: str) -> Key | None:
        """The key of that id, if it is on the ring."""
        return self._keys.get(key_id)

    def find_anew(self, key_id: str) -> Key | None:
        """The same, after another look at the key file for one that another process has made.

        Raises:
            StorageError: the file is unreadable or wrong.
        """
        if key_id not in self._keys:
            self.reload()
        return self.find(key_id)

    def reload(self) -> None:
        """Read the key file again, if there is one: another process may have made or changed it.

        Raises:
            StorageError: the file is unreadable or wrong.
        """
        if self._folder is not None and _has_file(self._folder):
            with lock_folder(self._folder):
                self._keys = {key.id: key for key in _read_file(self._folder)}

    def make(self, *, lasting: bool = True) -> None:
        """Make the key file if there is none; processes that race end up with the same key.

        Args:
            lasting: False for a database that dies with this process, whose key need not outlive it.

        Raises:
            StorageError: the file cannot be written.
        """
        if self._folder is None or self._keys:
            return
        if not lasting:
            self._keys = {key.id: key for key in KeyRing.throwaway()}
            self._folder = None
            return
        make_private_folder(self._folder)
        with lock_folder(self._folder):
            if not _has_file(self._folder):
                _write_file(self._folder, [generate_key()])
                logger.info("made an encryption key in %s; keep a copy of it", self.source)
            self._keys = {key.id: key for key in _read_file(self._folder)}

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys.values())

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys) or 'no key yet'}; from {self.source})"


def load_keyring(environ: Mapping[str, str], folder: Path, warn: bool = True) -> KeyRing:  # noqa: FBT001, FBT002
    """The key ring of this process. Nothing is written: a missing key file is made by `KeyRing.make`.

    Args:
        environ: the environment variables.
        folder: where the key file is, or will be.
        warn: whether to log the use of a key file where `NANGO_ENV` names no place of development.

    Raises:
        StorageError: a key is malformed, or the key file can be read by other users. No key is shown.
    """
    given = Secret(environ[KEYS_VARIABLE]) if KEYS_VARIABLE in environ else None
    place = environ.get(PLACE_VARIABLE, "").strip()
    del environ  # it would show the keys in a traceback with locals
    if given is not None:
        return KeyRing(_parse(given, ",", KEYS_VARIABLE), KEYS_VARIABLE)
    path = folder / KEY_FILE
    if warn and place.lower() not in PLACES_FOR_KEY_FILES:
        logger.warning(
            "%s is %s, but the encryption key is the file %s; set %s from your secret store",
            *(PLACE_VARIABLE, ascii(place), path, KEYS_VARIABLE),
        )
    return KeyRing(_read_file(folder) if _has_file(folder) else (), str(path), folder)


def join_keys(keys: Iterable[str] | str | None) -> Secret | None:
    """Keys given in Python as the environment would hold them."""
    if keys is None:
        return None
    return Secret(keys if isinstance(keys, str) else ",".join(keys))


def with_keys(environ: Mapping[str, str], given: Secret | None) -> dict[str, str]:
    """The environment, with the keys that were given in place of its own."""
    return {**environ, **({} if given is None else {KEYS_VARIABLE: given.reveal()})}


def key_text(environ: Mapping[str, str], folder: Path) -> Secret | None:
    """The text that holds the keys, not read as keys; None while there is none that is private."""
    if KEYS_VARIABLE in environ:
        return Secret(environ[KEYS_VARIABLE]) if environ[KEYS_VARIABLE].strip() else None
    try:
        return _read_text(folder) if _has_file(folder) else None
    except StorageError:
        return None


def parse_one_key(text: Secret, source: str) -> Key:
    """The one key that a text holds; lines that begin with # are skipped.

    Args:
        text: base64 of 32 bytes.
        source: where it comes from, for messages.

    Raises:
        StorageError: it is malformed, or there is not exactly one. No key is shown.
    """
    keys = _parse(text, "\n", source)
    if len(keys) > 1:
        raise StorageError(f"{source} holds {len(keys)} keys; expected one")
    return keys[0]


def generate_key() -> Secret:
    """A new key as base64 text, fit for the environment variable and the key file."""
    return Secret(base64.b64encode(os.urandom(KEY_BYTES)).decode())


def write_new_key(path: Path) -> str:
    """Write a new key into a new file, for its owner only, and return the key's id.

    Raises:
        StorageError: something is there already, or the file cannot be written.
    """
    if path.exists() or path.is_symlink():
        raise StorageError(f"{path} is there already; it was left as it is")
    key = generate_key()
    replace_file(path, Secret(f"{key.reveal()}\n"))
    return parse_one_key(key, str(path)).id


def add_key(folder: Path) -> str:
    """Put a new key first in the key file, and so make it the active one.

    Rows under the older keys stay readable. Processes that run already take the new key when they
    meet the first row under it.

    Returns:
        The id of the new key.

    Raises:
        StorageError: there is no key file, or it cannot be written; the old file stands.
    """
    with lock_folder(folder):
        lines = _lines(_read_text(folder), "\n")
        _read_file(folder)
        _write_file(folder, [generate_key(), *lines])
        return _read_file(folder)[0].id


def drop_unused(folder: Path, used_ids: Iterable[str]) -> tuple[str, ...]:
    """Remove from the key file every key but the active one that no row uses.

    Args:
        folder: where the key file is.
        used_ids: the ids that `ConnectionStore.rows_by_key` names.

    Returns:
        The ids of the removed keys.

    Raises:
        StorageError: the file cannot be read or written; the old file stands.
    """
    used = set(used_ids)
    with lock_folder(folder):
        lines = _lines(_read_text(folder), "\n")
        keys = _read_file(folder)
        kept = [place for place, key in enumerate(keys) if place == 0 or key.id in used]
        if len(kept) < len(keys):
            _write_file(folder, [lines[place] for place in kept])
        return tuple(key.id for place, key in enumerate(keys) if place not in kept)


def _has_file(folder: Path) -> bool:
    path = folder / KEY_FILE
    try:
        return path.exists()
    except OSError as error:  # a folder that is closed to us
        raise access_error("cannot look for the key file", path, error) from None


def _read_file(folder: Path) -> tuple[Key, ...]:
    return _parse(_read_text(folder), "\n", str(folder / KEY_FILE))


def _read_text(folder: Path) -> Secret:
    return private_text(folder / KEY_FILE)


def private_text(path: Path) -> Secret:
    """What a key file holds.

    Raises:
        StorageError: it cannot be read, or others than its owner can read it.
    """
    try:
        mode = path.stat().st_mode
        text = Secret(path.read_text(encoding="ascii", errors="replace"))
    except OSError as error:
        raise access_error("cannot read the key file", path, error) from None
    if os.name == "posix" and mode & OTHERS:
        raise StorageError(f"other users can read the key file {path}; run: chmod 600 {path}")
    return text


def _write_file(folder: Path, keys: list[Secret]) -> None:
    lines = "".join(f"{key.reveal()}\n" for key in keys)
    replace_file(folder / KEY_FILE, Secret(_FILE_HEAD + lines))


def _lines(text: Secret, divider: str) -> list[Secret]:
    parts = (part.strip() for part in text.reveal().split(divider))
    return [Secret(part) for part in parts if part and not part.startswith("#")]


def _parse(text: Secret, divider: str, source: str) -> tuple[Key, ...]:
    keys = []
    for number, part in enumerate(_lines(text, divider), start=1):
        key = _decode(part)
        if isinstance(key, str):
            raise StorageError(f"{source}: key {number} {key}; expected base64 of {KEY_BYTES} random bytes")
        keys.append(key)
    if not keys:
        raise StorageError(f"{source} holds no key; expected base64 of {KEY_BYTES} random bytes")
    return tuple(keys)


def _decode(text: Secret) -> Key | str:
    """The key, or what is wrong with the text, in words that do not repeat it."""
    try:
        raw = base64.b64decode(text.reveal().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return "is not base64"
    return Key(raw) if len(raw) == KEY_BYTES else f"has {len(raw)} bytes"
