"""A process with sixteen callers that all use the token of a user read from standard input.

Its arguments are DATABASE_URL PROVIDER_URL careful|careless. Each line of input is a user; each line of
output is JSON, one text for each caller: the token that the API received, or the name of an error. `careless`
disables the leases, as the control.

    python -m tests.support.token_processes rounds 100

runs the whole proof that many times, on SQLite and on PostgreSQL, and prints the counts.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nango_py import NangoError
from nango_py.connections.lease import Leases
from tests.support.fork_server import start
from tests.support.oauth_product import a_nango
from tests.support.oauth_token_server import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py import Nango

ROOT = Path(__file__).resolve().parents[2]
CALLERS = 16
PROCESSES = 4


def work(database_url: str, provider_url: str, care: str) -> None:
    """Call for each user on standard input, with all callers at once."""
    if care == "careless":
        take = Leases.acquire

        def everybody(*given: Any) -> bool:
            take(*given)
            return True

        Leases.acquire = everybody  # type: ignore[method-assign]
    together = threading.Barrier(CALLERS)
    with a_nango(provider_url, database_url) as nango, ThreadPoolExecutor(CALLERS) as threads:

        def call(user: str) -> str:
            together.wait()
            try:
                return str(nango.executor("mail", user).get("things", deadline_seconds=60).json()["token"])
            except NangoError as error:
                return type(error).__name__

        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for line in sys.stdin:
            seen = list(threads.map(call, [line.strip()] * CALLERS))
            sys.stdout.write(json.dumps(seen) + "\n")
            sys.stdout.flush()


class Workers:
    """Four of these processes."""

    def __init__(self, database_url: str, provider_url: str, care: str = "careful") -> None:
        target = "tests.support.token_processes:work"
        self._processes = [start(target, database_url, provider_url, care) for _ in range(PROCESSES)]

    def __enter__(self) -> Self:
        for process in self._processes:
            assert process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.communicate()
            process.__exit__()

    def call(self, user: str) -> list[str]:
        """The results of all 64 callers."""
        for process in self._processes:
            process.stdin.write(f"{user}\n")
        return [seen for process in self._processes for seen in json.loads(process.stdout.readline())]


def rounds(
    database_url: str, provider: Provider, nango: Nango, number: int, care: str = "careful"
) -> Iterator[tuple[int, Counter[str]]]:
    """The number of token requests of each round, and the counts of the callers' results."""
    users = [f"round-{index}" for index in range(number)]
    for user in users:
        nango.register_connection("mail", user, provider.grant(user, expired=True))
    with Workers(database_url, provider.url, care) as workers:
        for user in users:
            seen = Counter(workers.call(user))
            yield len(provider.calls_of(user)), seen


def main(number: int) -> None:
    """Run the whole proof repeatedly."""
    from tests.support.databases import fresh_postgres

    with tempfile.TemporaryDirectory() as folder, fresh_postgres() as postgres:
        for url in (f"sqlite:///{folder}/nango.db", postgres):
            with Provider("strict") as provider, a_nango(provider.url, url) as nango:
                started = time.monotonic()
                found = list(rounds(url, provider, nango, number))
                good = sum(calls == 1 and list(seen.values()) == [64] for calls, seen in found)
                seconds = time.monotonic() - started
            sys.stdout.write(
                f"{url.partition(':')[0]}: {good} of {number} rounds had 1 token call and 64 equal tokens, "
                f"{seconds:.1f} s\n"
            )


if __name__ == "__main__":
    main(int(sys.argv[2]))
