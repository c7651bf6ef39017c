"""Processes that share budgets: together they keep to a limit, and all are served."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.limit_stores import place_of
from tests.support.simulated_api import overfull, window

ROOT = Path(__file__).resolve().parents[2]
WORKER = """
import json, sys, threading, time
from nango_py.limits.limit_types import Spend, Window
from tests.support.limit_stores import store_at
from tests.support.simulated_api import let_pass

kind, url = sys.argv[1:]
spends = (Spend("k", (Window(10, 0.5, "10/0.5s"),)),)
store = store_at(kind, url)
store.view(["k"])
print("ready", flush=True)
sys.stdin.readline()
sent = []

def work():
    for _ in range(6):
        grant = store.acquire(spends, ("g",), 60.0)
        wait = grant.wait
        while wait:
            let_pass(wait)
            wait = store.confirm(grant.ticket)
        sent.append(time.monotonic())
        store.settle(grant.ticket)

threads = [threading.Thread(target=work) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(json.dumps(sent))
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "redis"])
def test_processes_share_a_window_exactly(kind: str, tmp_path: Path) -> None:
    """Four processes with two threads each are all served, and together never overfill a window."""
    with place_of(kind, tmp_path) as url:
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", WORKER, kind, url],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            )
            for _ in range(4)
        ]  # fmt: skip
        try:
            for worker in workers:
                assert worker.stdout is not None
                assert worker.stdout.readline() == "ready\n"
            for worker in workers:
                assert worker.stdin is not None
                worker.stdin.write("go\n")
                worker.stdin.flush()
            sent = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
    together = [(moment, 1) for moments in sent for moment in moments]
    assert overfull(window(10, 0.5), together) == ""
    assert [len(moments) for moments in sent] == [2 * 6] * 4
