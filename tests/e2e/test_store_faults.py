"""A disk that is full or read-only: typed errors, old data readable, and no restart needed afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]

# A file size limit stands in for a small disk: the system refuses to write beyond it.
FULL = """
import resource, sys
from pathlib import Path
from nango_py.connections.keys import load_keyring
from nango_py.connections.store import open_store
from nango_py.errors import StorageError
folder = Path(sys.argv[1])
store = open_store(f"sqlite:///{folder}/nango.db", load_keyring({}, folder))
store.create("klaviyo", "user-1", {"api_key": "old"})
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
stored = 0
for size in (20_000, 2_000, 50):
    while True:
        try:
            store.create("klaviyo", f"filler-{stored}", {"api_key": "x" * size})
            stored += 1
        except StorageError as error:
            assert "disk" in str(error), error
            break
try:
    store.update_credentials("klaviyo", "user-1", {"api_key": "x" * 20_000})
except StorageError:
    pass
else:
    raise AssertionError("stored on a full disk")
try:
    store.keyring.reload()
    from nango_py.connections.keys import add_key
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
    add_key(folder)
except StorageError as error:
    assert "cannot write" in str(error), error
else:
    raise AssertionError("wrote a key file on a full disk")
assert load_keyring({}, folder).ids == store.keyring.ids
assert store.get("klaviyo", "user-1").credentials["api_key"].reveal() == "old"
assert len(store.for_integration("klaviyo")) == stored + 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert store.update_credentials("klaviyo", "user-1", {"api_key": "new"}).generation == 2
store.close()
with open_store(f"sqlite:///{folder}/nango.db", load_keyring({}, folder)) as store:
    assert store.get("klaviyo", "user-1").credentials["api_key"].reveal() == "new"
    assert store._database.read("PRAGMA integrity_check", {}) == [("ok",)]
"""

# Root ignores permissions, so the test switches to the user `nobody` first.
READ_ONLY = """
import os, sys, tempfile, threading
from pathlib import Path
from nango_py.connections.keys import load_keyring
from nango_py.connections.store import open_store
from nango_py.errors import StorageError
folder = Path(sys.argv[1])
if os.geteuid() == 0:
    # Modules that are imported later may not be readable for that user.
    with tempfile.TemporaryDirectory() as own:
        with open_store(f"sqlite:///{own}/nango.db", load_keyring({}, Path(own))) as store:
            store.create("klaviyo", "user-1", {"api_key": "a"})
    os.setgid(65534)
    os.setuid(65534)
url = f"sqlite:///{folder}/nango.db"
store = open_store(url, load_keyring({}, folder))
store.create("klaviyo", "user-1", {"api_key": "old"})
for path in folder.iterdir():
    path.chmod(0o400)
folder.chmod(0o500)
failures = []
def use():
    with open_store(url, load_keyring({}, folder)) as second:
        assert second.get("klaviyo", "user-1").credentials["api_key"].reveal() == "old"
        for call in (
            lambda: second.create("klaviyo", "user-2", {"api_key": "new"}),
            lambda: second.update_config("klaviyo", "user-1", {}),
            lambda: second.delete("klaviyo", "user-1"),
        ):
            try:
                call()
            except StorageError as error:
                failures.append(str(error))
thread = threading.Thread(target=use)
thread.start()
thread.join()
assert len(failures) == 3 and all("read-only" in text for text in failures), failures
folder.chmod(0o700)
for path in folder.iterdir():
    path.chmod(0o600)
assert store.get("klaviyo", "user-1").credentials["api_key"].reveal() == "old"
store.close()
"""


def run(script: str, folder: Path) -> None:
    """Run the script to its end, and show what it said where it failed."""
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """Writes fail with StorageError, reads go on, and with room again the same store writes."""
    run(FULL, tmp_path)


def test_a_read_only_disk_can_be_read() -> None:
    """What is stored is read through files that cannot be written; each write is refused by type."""
    folder = Path(tempfile.mkdtemp())
    try:
        if os.geteuid() == 0:
            os.chown(folder, 65534, 65534)
        run(READ_ONLY, folder)
    finally:
        shutil.rmtree(folder)
