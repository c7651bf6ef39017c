"""Leases of processes that died: taken over at once on the same machine, left alone otherwise."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nango_py.connections.keys import generate_key, load_keyring
from nango_py.connections.owners import has_died, new_owner
from nango_py.connections.store import ConnectionStore, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fake_clock import ManualClock

NAME_OF_ANOTHER = """
import sys, time
from nango_py.connections.owners import new_owner
print(new_owner(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def store(database_url: str, clock: ManualClock) -> Iterator[ConnectionStore]:
    """An empty store."""
    ring = load_keyring({"NANGO_ENCRYPTION_KEYS": generate_key().reveal()}, None)  # type: ignore[arg-type]
    with open_store(database_url, ring, clock) as opened:
        yield opened


@pytest.fixture
def other() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process, and the name of its leases."""
    with subprocess.Popen(
        [sys.executable, "-c", NAME_OF_ANOTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


@pytest.mark.parametrize("is_waited_for", [True, False])
def test_the_lease_of_a_killed_process_is_taken_over_at_once(
    store: ConnectionStore, other: tuple[subprocess.Popen[str], str], *, is_waited_for: bool
) -> None:
    """Also while its parent has not waited for it; as long as it runs, its lease holds."""
    process, name = other
    connection = store.create("slack", "u1", {"access_token": "a"}, {})
    assert store.leases.acquire(connection, name, 60)
    assert not store.leases.acquire(connection, new_owner(), 60)
    os.kill(process.pid, signal.SIGKILL)
    if is_waited_for:
        process.wait()
    else:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert store.leases.acquire(connection, new_owner(), 60)
    assert store.leases.store_refreshed(connection, name, {"access_token": "late"}) is None


def test_other_machines_boots_and_containers_are_not_judged() -> None:
    """Their numbers of processes mean nothing here."""
    unique, machine, pid, start = new_owner().split(" ")
    boot, namespace = machine.split("/")
    assert not has_died(f"{unique} {machine} {pid} {start}")
    assert has_died(f"{unique} {machine} {pid} {int(start) - 1}")  # the number was used again
    for elsewhere in (f"{boot[::-1]}/{namespace}", f"{boot}/pid:[1]"):
        assert not has_died(f"{unique} {elsewhere} 999999999 {start}")
    assert has_died(f"{unique} {machine} 999999999 {start}")


@pytest.mark.parametrize("name", ["", "0123456789abcdef", "a b c", "a b c d e", "a b x d"])
def test_names_of_other_forms_are_not_judged(name: str) -> None:
    """Such as those of earlier versions."""
    assert not has_died(name)
