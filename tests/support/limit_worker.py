"""A process with two threads that share the budgets of a store with other processes."""

from __future__ import annotations

import json
import sys
import threading
import time

from nango_py.limits.limit_types import Granted, Spend
from tests.support.limit_stores import store_at
from tests.support.simulated_api import let_pass, window


def work(kind: str, url: str) -> None:
    """Make six requests in each of two threads, and print when they were sent."""
    spends = (Spend("k", (window(10, 0.5),)),)
    store = store_at(kind, url)
    store.view(["k"])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sent: list[float] = []

    def send() -> None:
        for _ in range(6):
            grant = store.acquire(spends, ("g",), 60.0)
            assert isinstance(grant, Granted)
            wait = grant.wait
            while wait:
                let_pass(wait)
                wait = store.confirm(grant.ticket)
            sent.append(time.monotonic())
            store.settle(grant.ticket)

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps(sent))
