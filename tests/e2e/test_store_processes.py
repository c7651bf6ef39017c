"""Several processes on one store, and processes that fork while it is open."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from nango_py.connections.keys import load_keyring
from nango_py.connections.store import open_store
from nango_py.secret import reveal
from tests.support import fork_server

if TYPE_CHECKING:
    from tests.support.fake_clock import ManualClock

ROOT = Path(__file__).parents[2]

FORK = """
import os, sys, threading
from pathlib import Path
from nango_py.connections.keys import load_keyring
from nango_py.connections.store import open_store
url, folder = sys.argv[1:]
store = open_store(url, load_keyring({}, Path(folder)))
store.create("klaviyo", "user-1", {"api_key": "a"})
other = threading.Thread(target=store.get, args=("klaviyo", "user-1"))
other.start()
other.join()
children = []
for number in range(4):
    child = os.fork()
    if child == 0:
        for turn in range(25):
            store.update_config("klaviyo", "user-1", {"child": number})
        sys.exit(0 if store.get("klaviyo", "user-1").status == "active" else 1)
    children.append(child)
for turn in range(25):
    store.update_config("klaviyo", "user-1", {"parent": turn})
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
assert codes == [0] * 4, codes
assert store.generation("klaviyo", "user-1") == 126, store.generation("klaviyo", "user-1")
store.close()
"""

# The child leaves as a program does, with its inherited store never used nor closed.
IDLE_CHILD = """
import os, sys
from pathlib import Path
from nango_py.connections.keys import load_keyring
from nango_py.connections.store import open_store
url, folder = sys.argv[1:]
store = open_store(url, load_keyring({}, Path(folder)))
store.create("klaviyo", "user-1", {"api_key": "a"})
child = os.fork()
if child == 0:
    del store
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
for turn in range(10):
    store.update_config("klaviyo", "user-1", {"turn": turn})
assert store.generation("klaviyo", "user-1") == 11
"""


def start(script: str, url: str, folder: Path) -> subprocess.Popen[str]:
    """A separate process that runs the script."""
    return subprocess.Popen(
        # Newer Pythons warn of fork beside threads, which is what is tested here.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, url, str(folder)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def run(script: str, url: str, folder: Path) -> None:
    """Run the script to its end; it ends well and writes nothing on stderr."""
    process = start(script, url, folder)
    _, said = process.communicate(timeout=100)
    assert (process.returncode, said) == (0, "")


def test_no_update_is_lost_between_processes(database_url: str, clock: ManualClock, tmp_path: Path) -> None:
    """Four processes change one connection a hundred times each: 400 generations."""
    folder = tmp_path / ".nango"
    with open_store(database_url, load_keyring({}, folder), clock) as store:
        store.create("klaviyo", "user-1", {"api_key": "a"})
        with ExitStack() as stack:
            writer = "tests.support.store_writer:write"
            processes = [
                stack.enter_context(fork_server.start(writer, database_url, str(folder))) for _ in range(4)
            ]
            for process in processes:
                assert process.stdout.readline() == "ready\n"
            for process in processes:
                process.stdin.close()
            assert [(process.wait(), process.errors()) for process in processes] == [(0, "")] * 4
        assert store.generation("klaviyo", "user-1") == 401
        assert reveal(store.get("klaviyo", "user-1").credentials) == {"api_key": "a"}


def test_a_store_works_after_fork(database_url: str, tmp_path: Path) -> None:
    """A parent and four children use a store that was opened before the fork, all at once."""
    run(FORK, database_url, tmp_path / ".nango")


def test_a_child_that_does_nothing_harms_nothing(database_url: str, tmp_path: Path) -> None:
    """A child that inherits the store and ends leaves the parent's connections and locks alone."""
    run(IDLE_CHILD, database_url, tmp_path / ".nango")
