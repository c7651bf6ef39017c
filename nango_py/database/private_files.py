"""Private folders and files: modes 0700 and 0600 under any umask, replaced atomically.

The functions raise StorageError if the operating system refuses; an error leaves an existing file unchanged.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
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
GROUP_AND_OTHERS = 0o077
OTHERS_WRITE = 0o022
_reported: set[str] = set()


def access_error(what: str, path: Path, error: OSError) -> StorageError:
    """The error for a file or folder that the operating system does not let us use."""
    return StorageError(f"{what} {path}: {error.strerror or type(error).__name__}")


def make_private_folder(path: Path) -> None:
    """Create the folder and its missing parents, each with mode 0700. An existing folder keeps its mode."""
    try:
        for folder in (*reversed(path.parents), path):
            if not folder.exists():
                folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    except OSError as error:
        raise access_error("cannot create the folder", path, error) from None


def check_private_folder(path: Path, *, is_strict: bool) -> None:
    """Check that no other user can put files into a folder that holds keys and connections.

    Args:
        path: the folder, or a link to it.
        is_strict: whether a danger is an error; if not, it is a warning.

    Raises:
        StorageError: others can, or the folder belongs to another user.
    """
    if sys.platform == "win32":
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise access_error("cannot open the folder", path, error) from None
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    check_owner(found, f"the folder {path}", is_strict=is_strict)
    if found.st_mode & OTHERS_WRITE and not found.st_mode & stat.S_ISVTX:
        _report(f"other users can write to the folder {path}; run: chmod go-w {path}", is_strict=is_strict)


def check_owner(found: os.stat_result, what: str, *, is_strict: bool) -> None:
    """Check that an opened file or folder belongs to the current user or to root.

    Raises:
        StorageError: it belongs to another user, who can change it at any time.
    """
    if sys.platform != "win32" and found.st_uid not in {os.geteuid(), 0}:
        _report(f"{what} belongs to another user (uid {found.st_uid})", is_strict=is_strict)


def _report(text: str, *, is_strict: bool) -> None:
    if is_strict:
        raise StorageError(text)
    if text not in _reported:
        _reported.add(text)
        logging.getLogger("nango_py.keys").warning("%s; in production this is an error", text)


def make_private_file(path: Path) -> None:
    """Create an empty file with mode 0600. An existing file is not opened, only closed to other users.

    An SQLite database must never be opened and closed except by SQLite: that would drop this process's locks.
    """
    try:
        if path.exists():
            close_to_others(path)
            return
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE)
        os.close(descriptor)
        path.chmod(PRIVATE_FILE)
    except OSError as error:
        raise access_error("cannot create the file", path, error) from None


def check_is_file(path: Path) -> None:
    """Check that a path leads to a file or to nothing: a folder or a device is neither closed nor replaced.

    Raises:
        StorageError: it leads to something else.
    """
    try:
        mode = path.stat().st_mode
    except OSError:  # what uses the path reports it
        return
    if not stat.S_ISREG(mode):
        raise StorageError(f"{path} is not a regular file; name a file")


def close_to_others(path: Path) -> None:
    """Remove the permissions of group and others from a file, if it exists and belongs to us.

    Those of a folder or a device, such as /dev/null, are not ours to change.
    """
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) and mode & GROUP_AND_OTHERS:
            path.chmod(mode & 0o777 & ~GROUP_AND_OTHERS)


def replace_file(path: Path, text: Secret) -> None:
    """Write a file with mode 0600. Readers, even after a crash, see either the old or the new text."""
    with replacing_file(path) as file:
        file.write(text.reveal().encode())


@contextlib.contextmanager
def replacing_file(path: Path) -> Iterator[BinaryIO]:
    """A draft with mode 0600 that replaces the file if the block succeeds and is deleted otherwise."""
    check_is_file(path)
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
    path.unlink(missing_ok=True)  # left by a killed process with the same process and thread ids
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


_thread = threading.local()


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Exclusive lock on a folder, between threads and processes; reentrant within a thread.

    The operating system releases the lock if its holder dies. It locks the folder itself, so it leaves no
    file.
    """
    locked: set[str] = _thread.__dict__.setdefault("folders", set())
    name = str(folder.resolve())
    if sys.platform == "win32" or name in locked:
        yield
        return
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise access_error("cannot open the folder", folder, error) from None
    try:
        _lock(descriptor, folder)
        locked.add(name)
        yield
    finally:
        locked.discard(name)
        # Closing is not enough: a child forked inside the block keeps the descriptor open.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        raise access_error("cannot lock the folder", folder, error) from None
