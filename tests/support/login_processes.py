"""A process in which many threads bring the same callback at once, and a process that begins logins.

`finish` reads a job, one line of JSON: the integration's entry, the callback's parameters and the number of
threads. It says `ready`, waits for a second line, and prints how each thread ended. `careless` lets a state
be used more than once: the control.

    python -m tests.support.login_processes flood 100000

begins as many logins of one session, and prints rows and memory before and after.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nango_py.connect.login import Logins
from nango_py.connections.pending import Pending
from nango_py.errors import ConnectFailed
from tests.support.login_product import COOKIE, a_product, pending_rows

ENTRY = {
    "auth": {
        "auth_mode": "OAUTH2",
        "authorization_url": "https://id.example.test/authorize",
        "token_url": "https://id.example.test/token",
    },
    "oauth_client_id": "id",
    "oauth_client_secret": "secret",
    "requests": {"base_url": "https://api.example.test/"},
}


def finish(database_url: str, care: str) -> None:
    """Bring one callback with all threads at once."""
    if care == "careless":
        Pending.take = Pending.peek  # type: ignore[method-assign]
    job = json.loads(sys.stdin.readline())
    start = threading.Barrier(job["threads"] + 1)
    with a_product(job["entry"], database_url) as nango, ThreadPoolExecutor(job["threads"]) as threads:

        def bring(_: int) -> str:
            start.wait()
            try:
                return "connected" if Logins(nango.accounts).finish(job["callback"], COOKIE).ok else "failed"
            except ConnectFailed as error:
                return error.code

        endings = [threads.submit(bring, number) for number in range(job["threads"])]
        nango.store.generation("mail", "user-1")
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        start.wait()
        sys.stdout.write(json.dumps([ending.result() for ending in endings]) + "\n")


def flood(count: int, database_url: str) -> dict[str, float]:
    """Begin this many logins of one session; rows and megabytes of memory after a tenth, and at the end."""
    measured: dict[str, float] = {}
    with a_product(ENTRY, database_url) as nango:
        logins, started = Logins(nango.accounts), time.monotonic()
        for number in range(count):
            logins.begin("mail", "user-1", session_id="s1", browser=COOKIE, attempt=f"a{number}")
            if number + 1 in {count // 10, count}:
                measured |= {f"rows_{number + 1}": pending_rows(nango), f"mb_{number + 1}": memory()}
        measured["begins_per_second"] = round(count / (time.monotonic() - started), 1)
    return measured


def memory() -> float:
    """The resident megabytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * 4096 / 1_000_000, 1)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        measured = flood(int(sys.argv[2]), f"sqlite:///{folder}/nango.db")
    sys.stdout.write(json.dumps(measured) + "\n")
