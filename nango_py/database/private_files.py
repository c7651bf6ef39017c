"""Private folders and files: 0700 and 0600 under any umask, replaced as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING

from nango_py.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from nango_py.secret import Secret

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600
OTHERS = 0o077


def access_error(what: str, path: Path, error: OSError) -> StorageError:
    """The error for a file or folder that the system would not give us."""
    return StorageError(f"{what} {path}: {error.strerror or type(error).__name__}")


def make_private_folder(path: Path) -> None:
    """Make the folder and its missing parents, each 0700. One that exists is left as it is.

    Raises:
        StorageError: the system refused.
    """
    try:
        for folder in (*reversed(path.parents), path):
            if not folder.exists():
                folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    except OSError as error:
        raise access_error("cannot make the folder", path, error) from None


def make_private_file(path: Path) -> None:
    """Make an empty file, 0600. One that exists is not opened, only closed to other users.

    An SQLite database must never be opened and closed beside SQLite: that would drop the locks of
    this process on it.

    Raises:
        StorageError: the system refused.
    """
    try:
        if path.exists():
            close_to_others(path)
            return
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE)
        os.close(descriptor)
        path.chmod(PRIVATE_FILE)
    except OSError as error:
        raise access_error("cannot make the file", path, error) from None


def close_to_others(path: Path) -> None:
    """Take away what other users may do with a file, where it exists and is ours to change."""
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode & 0o777
        if mode & OTHERS:
            path.chmod(mode & ~OTHERS)


def replace_file(path: Path, text: Secret) -> None:
    """Write a 0600 file so that a reader, or a crash, finds the old text or the new one, whole.

    Raises:
        StorageError: the system refused; the old text stands.
    """
    with replacing_file(path) as file:
        file.write(text.reveal().encode())


@contextlib.contextmanager
def replacing_file(path: Path) -> Iterator[BinaryIO]:
    """A draft to write, 0600, which takes the file's place when the block ends well, and else is gone.

    Raises:
        StorageError: the system refused; the old file stands.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    failure = None
    try:
        with _new_private_file(draft) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        failure = access_error("cannot write", path, error)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    if failure is not None:
        raise failure


def _new_private_file(path: Path) -> BinaryIO:
    path.unlink(missing_ok=True)  # left by a killed process with our numbers
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE)
    path.chmod(PRIVATE_FILE)
    return os.fdopen(descriptor, "wb")


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_held = threading.local()


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Only one process and thread is inside at a time, for one folder; a thread may enter twice.

    The system lets go of the lock when its holder dies. It is taken on the folder itself, so no file is left.

    Raises:
        StorageError: the folder cannot be opened or its file system has no locks.
    """
    inside: set[str] = _held.__dict__.setdefault("folders", set())
    name = str(folder.resolve())
    if sys.platform == "win32" or name in inside:
        yield
        return
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise access_error("cannot open the folder", folder, error) from None
    try:
        _lock(descriptor, folder)
        inside.add(name)
        yield
    finally:
        inside.discard(name)
        # Said aloud, because a child that was forked meanwhile keeps the descriptor open.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        raise access_error("cannot lock the folder", folder, error) from None
