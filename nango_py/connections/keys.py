"""Encryption keys: from the environment, or from a private file next to the database.

`NANGO_ENCRYPTION_KEYS` is a comma-separated list of 32 random bytes in base64; the first key encrypts, all of
them decrypt. Without the variable, a key file next to the database is used, with one key per line:
`nango.key` for `nango.db`. It is created when the first store is opened. If `NANGO_ENV` is set to anything
but `development` or `test`, using a key file logs a warning, because a disk that holds both the key and the
database protects neither. There, a folder that others may write, and a folder or key file of another user,
are errors; elsewhere they are warnings.

A `place` is the key file, or the folder of `nango.key`.

Every function raises StorageError if a key is malformed, or if the key file cannot be read or written, or can
be read by other users. No message shows a key, and an error leaves the key file unchanged.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
from typing import TYPE_CHECKING

from nango_py.connections.cipher import KEY_BYTES, Key
from nango_py.database.private_files import (
    GROUP_AND_OTHERS,
    access_error,
    check_owner,
    check_private_folder,
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
ENV_VARIABLE = "NANGO_ENV"
KEY_FILE = "nango.key"
LONGEST_FILE = 1 << 20
ENVS_FOR_KEY_FILES = ("", "dev", "development", "test", "testing")

_FILE_HEADER = (
    "# nango_py: encryption keys; the first one is active. Back this up: without it, connections are lost.\n"
)

logger = logging.getLogger("nango_py.keys")


class KeyRing:
    """The keys of one process, the active one first. Safe to share between threads.

    Attributes:
        source: where they come from, for messages: `NANGO_ENCRYPTION_KEYS` or the path of the key file.
    """

    def __init__(
        self, keys: Iterable[Key], source: str, file: Path | None = None, *, is_strict: bool = False
    ) -> None:
        # Replaced as a whole, never modified, so that readers need no lock.
        self._keys = {key.id: key for key in keys}
        self._file = file
        self._is_strict = is_strict
        self.source = source

    @classmethod
    def throwaway(cls) -> KeyRing:
        """A ring with one new key that is never stored; for stores in memory."""
        return cls([Key(os.urandom(KEY_BYTES))], "this process")

    @property
    def active(self) -> Key:
        """The key that seals new values."""
        for key in self._keys.values():
            return key
        raise StorageError(f"no encryption key in {self.source} yet; it is created when the store is opened")

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, the active one first; empty if the key file does not exist yet."""
        return tuple(self._keys)

    def find(self, key_id: str) -> Key | None:
        """The key with that id, or None."""
        return self._keys.get(key_id)

    def find_or_reload(self, key_id: str) -> Key | None:
        """The key with that id; reads the key file again if it is not on the ring."""
        if key_id not in self._keys:
            self.reload()
        return self.find(key_id)

    def reload(self) -> None:
        """Read the key file again, if there is one: another process may have created or changed it."""
        if self._file is not None and _has_file(self._file):
            with lock_folder(self._file.parent):
                self._keys = {key.id: key for key in _read_file(self._file, is_strict=self._is_strict)}

    def create(self, *, is_persistent: bool = True) -> None:
        """Create the key file if there is none; concurrent processes end up with the same key.

        Args:
            is_persistent: False for an in-memory database, whose key is not written to a file.
        """
        if self._file is None or self._keys:
            return
        if not is_persistent:
            self._keys = {key.id: key for key in KeyRing.throwaway()}
            self._file = None
            return
        make_private_folder(self._file.parent)
        check_private_folder(self._file.parent, is_strict=self._is_strict)
        with lock_folder(self._file.parent):
            if not _has_file(self._file):
                _write_file(self._file, [generate_key()])
                logger.info(
                    "created an encryption key in %s; back it up, and keep it out of version control",
                    self.source,
                )
            self._keys = {key.id: key for key in _read_file(self._file, is_strict=self._is_strict)}

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys.values())

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys) or 'no key yet'}; from {self.source})"


def find_key_file(database: Path) -> Path:
    """The key file of an SQLite database: `shop.key` for `shop.db`.

    A database that has used `nango.key` beside it, as all did in earlier versions, keeps it.
    """
    own, shared = database.with_name(f"{database.name.removesuffix('.db')}.key"), database.with_name(KEY_FILE)
    is_older = not _has_file(own) and _has_file(database) and _has_file(shared)
    return shared if is_older else own


def load_keyring(environ: Mapping[str, str], place: Path, warn: bool = True) -> KeyRing:  # noqa: FBT001, FBT002
    """The key ring of this process. Nothing is written: `KeyRing.create` creates a missing key file.

    Args:
        environ: the environment variables.
        place: where the key file is, or will be.
        warn: whether to log a warning if a key file is used and `NANGO_ENV` is not a development environment.
    """
    keys = Secret(environ[KEYS_VARIABLE]) if KEYS_VARIABLE in environ else None
    env = environ.get(ENV_VARIABLE, "").strip()
    del environ  # it would show the keys in a traceback with locals
    if keys is not None:
        return KeyRing(_parse(keys, ",", KEYS_VARIABLE), KEYS_VARIABLE)
    path = _file_at(place)
    is_strict = env.lower() not in ENVS_FOR_KEY_FILES
    if warn and is_strict:
        logger.warning(
            "%s is %s, but the encryption key is in the file %s; set %s from your secret store",
            *(ENV_VARIABLE, ascii(env), path, KEYS_VARIABLE),
        )
    keys_in_file = _read_file(path, is_strict=is_strict) if _has_file(path) else ()
    return KeyRing(keys_in_file, str(path), path, is_strict=is_strict)


def join_keys(keys: Iterable[str] | str | None) -> Secret | None:
    """Keys passed in Python, in the format of `NANGO_ENCRYPTION_KEYS`."""
    if keys is None:
        return None
    return Secret(keys if isinstance(keys, str) else ",".join(keys))


def with_keys(environ: Mapping[str, str], keys: Secret | None) -> dict[str, str]:
    """The environment, with its keys replaced by these unless they are None."""
    return {**environ, **({} if keys is None else {KEYS_VARIABLE: keys.reveal()})}


def key_text(environ: Mapping[str, str], place: Path) -> Secret | None:
    """The text with the keys, unparsed; None if there is none, or if other users can read it."""
    if KEYS_VARIABLE in environ:
        return Secret(environ[KEYS_VARIABLE]) if environ[KEYS_VARIABLE].strip() else None
    try:
        path = _file_at(place)
        return read_private_text(path) if _has_file(path) else None
    except StorageError:
        return None


def parse_one_key(text: Secret, source: str) -> Key:
    """The one key in a text; lines that start with # are skipped.

    Args:
        text: 32 bytes in base64.
        source: where it comes from, for messages.
    """
    keys = _parse(text, "\n", source)
    if len(keys) > 1:
        raise StorageError(f"{source} has {len(keys)} keys; expected one")
    return keys[0]


def generate_key() -> Secret:
    """A new key in base64, for the environment variable or the key file."""
    return Secret(base64.b64encode(os.urandom(KEY_BYTES)).decode())


def write_new_key(path: Path) -> str:
    """Write a new key to a new file with mode 0600, and return the key's id."""
    if path.exists() or path.is_symlink():
        raise StorageError(f"{path} already exists and was left unchanged; choose another name")
    key = generate_key()
    replace_file(path, Secret(f"{key.reveal()}\n"))
    return parse_one_key(key, str(path)).id


def add_key(place: Path) -> str:
    """Make a new key the first, and so the active one, of the key file, and return its id.

    Rows sealed with older keys stay readable. Running processes switch to the new key when they read the
    first row that is sealed with it.
    """
    file = _file_at(place)
    with lock_folder(file.parent):
        lines = _split(read_private_text(file), "\n")
        _read_file(file)
        _write_file(file, [generate_key(), *lines])
        return _read_file(file)[0].id


def drop_unused(place: Path, used_ids: Iterable[str]) -> tuple[str, ...]:
    """Remove all keys but the active one and the used ones from the key file; return the removed ids.

    Args:
        place: where the key file is.
        used_ids: the ids in `ConnectionStore.rows_by_key`.
    """
    used, file = set(used_ids), _file_at(place)
    with lock_folder(file.parent):
        lines = _split(read_private_text(file), "\n")
        keys = _read_file(file)
        kept = [index for index, key in enumerate(keys) if index == 0 or key.id in used]
        if len(kept) < len(keys):
            _write_file(file, [lines[index] for index in kept])
        return tuple(key.id for index, key in enumerate(keys) if index not in kept)


def _file_at(place: Path) -> Path:
    return place if place.suffix == ".key" else place / KEY_FILE


def _has_file(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # no permission to read the folder
        raise access_error("cannot access", path, error) from None


def _read_file(path: Path, *, is_strict: bool = False) -> tuple[Key, ...]:
    check_private_folder(path.parent, is_strict=is_strict)
    return _parse(read_private_text(path, is_strict=is_strict), "\n", str(path))


def read_private_text(path: Path, *, is_strict: bool = False) -> Secret:
    """The content of a key file."""
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            found = os.fstat(file.fileno())
            text = Secret(file.read(LONGEST_FILE))
    except OSError as error:
        raise access_error("cannot read the key file", path, error) from None
    if os.name == "posix" and found.st_mode & GROUP_AND_OTHERS:
        raise StorageError(f"other users can read the key file {path}; run: chmod 600 {path}")
    check_owner(found, f"the key file {path}", is_strict=is_strict)
    return text


def _write_file(path: Path, keys: list[Secret]) -> None:
    lines = "".join(f"{key.reveal()}\n" for key in keys)
    replace_file(path, Secret(_FILE_HEADER + lines))


def _split(text: Secret, separator: str) -> list[Secret]:
    parts = (part.strip() for part in text.reveal().split(separator))
    return [Secret(part) for part in parts if part and not part.startswith("#")]


def _parse(text: Secret, separator: str, source: str) -> tuple[Key, ...]:
    keys = []
    for number, part in enumerate(_split(text, separator), start=1):
        key = _decode(part)
        if isinstance(key, str):
            raise StorageError(f"{source}: key {number} {key}; expected {KEY_BYTES} random bytes in base64")
        keys.append(key)
    if not keys:
        raise StorageError(f"{source} has no key; expected {KEY_BYTES} random bytes in base64")
    return tuple(keys)


def _decode(text: Secret) -> Key | str:
    """The key, or what is wrong with the text, without repeating it."""
    try:
        raw = base64.b64decode(text.reveal().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return "is not base64"
    return Key(raw) if len(raw) == KEY_BYTES else f"has {len(raw)} bytes"
