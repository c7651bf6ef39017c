"""A process that changes one connection a hundred times, while others do the same."""

from __future__ import annotations

import sys
from pathlib import Path

from nango_py.connections.keys import load_keyring
from nango_py.connections.store import open_store


def write(url: str, folder: str) -> None:
    """Say that the store is open, and write as soon as standard input is closed."""
    with open_store(url, load_keyring({}, Path(folder))) as store:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()
        for turn in range(100):
            store.update_config("klaviyo", "user-1", {"turn": turn})
