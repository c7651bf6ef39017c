"""A program that kills, stops or ends processes during a token refresh.

    python -m tests.support.token_killer DRILL RUNS DATABASE_URL

DRILL is `kill` (SIGKILL at six points, three kinds of rotation), `sigterm` (SIGTERM while the provider
responds), `careless` (the control: the same without the handler) or `stop` (SIGSTOP of the lease's owner, and
SIGCONT).

Each child is forked from a process that has neither threads nor an open store. The last line of output is
JSON with the counts.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn

from nango_py import CredentialsError, NangoError
from nango_py.connections.cache import ConnectionCache
from nango_py.connections.lease import Leases
from nango_py.connections.sealed_database import SealedDatabase
from nango_py.tokens.token_requests import TokenPlan
from nango_py.transport.sync_transport import Transport
from tests.support.nango_at_server import wait_until
from tests.support.oauth_product import a_nango, refresher_of, status_of
from tests.support.oauth_token_server import Provider

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py import Nango

POINTS = ("before send", "sent", "reply read", "before commit", "after commit", "before return")
ROTATIONS = ("none", "grace", "strict")
KEPT = {"before send", "after commit", "before return"}
"""The points at which a death loses no token, even under strict rotation."""

LEASE_SECONDS = 0.4


def die(*_: Any) -> NoReturn:
    """End as if the machine failed."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def die_at(point: str) -> None:
    """Make this process die at a point of its next refresh; the provider handles "sent"."""
    send, write, store_refreshed = Transport.send, SealedDatabase.write, Leases.store_refreshed
    is_refreshing: list[bool] = []

    def sending(self: Transport, plan: Any, seconds: float) -> Any:
        is_token = isinstance(plan, TokenPlan)
        if is_token and point == "before send":
            die()
        response = send(self, plan, seconds)
        if is_token and point == "reply read":
            die()
        return response

    def writing(self: SealedDatabase, work: Callable[[Any], Any]) -> Any:
        return write(
            self, (lambda run: die(work(run))) if is_refreshing and point == "before commit" else work
        )

    def storing(self: Leases, *given: Any) -> Any:
        is_refreshing.append(True)
        written = store_refreshed(self, *given)
        if point == "after commit":
            die()
        return written

    Transport.send = sending  # type: ignore[method-assign]
    SealedDatabase.write = writing  # type: ignore[method-assign]
    Leases.store_refreshed = storing  # type: ignore[method-assign]
    if point == "before return":
        ConnectionCache.put = die  # type: ignore[method-assign]


class Nursery:
    """The process that forks the children; it has no threads, which a fork would not copy."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url
        orders, self._orders = os.pipe()
        self._news, news = os.pipe()
        if os.fork() == 0:
            os.close(self._orders)
            os.close(self._news)
            try:
                self._serve(os.fdopen(orders), news)
            finally:
                os._exit(0)
        os.close(orders)
        os.close(news)
        self._lines = os.fdopen(self._news)
        self.pids: dict[str, int] = {}

    def start(self, url: str, user: str, job: str) -> None:
        """Start a child that calls for a user."""
        os.write(self._orders, (json.dumps([url, user, job]) + "\n").encode())
        self.pids[user] = int(self._lines.readline())

    def wait(self, user: str) -> int:
        """The status of a child that has ended, from os.waitpid."""
        os.write(self._orders, (json.dumps([self.pids[user]]) + "\n").encode())
        return int(self._lines.readline())

    def close(self) -> None:
        """End the process."""
        os.close(self._orders)
        os.wait()

    def _serve(self, orders: Any, news: int) -> None:
        for line in orders:
            order = json.loads(line)
            if len(order) == 1:
                told = os.waitpid(order[0], 0)[1]
            else:
                told = os.fork()
                if told == 0:
                    self._live(*order)
            os.write(news, f"{told}\n".encode())

    def _live(self, url: str, user: str, job: str) -> NoReturn:
        """A child: one call whose token has expired."""
        code = 3
        try:
            nango = a_nango(url, self.database_url)
            if job in POINTS:
                die_at(job)
            refresher_of(nango).tools.lease_seconds = LEASE_SECONDS
            if job in {"sigterm", "sigterm in a thread"}:
                nango.finish_renewals_on_sigterm()
            if job.endswith("in a thread"):
                thread = threading.Thread(target=call, args=(nango, user))
                thread.start()
                thread.join()
                code = 0
            else:
                code = 0 if call(nango, user) == "good" else 4
        finally:
            os._exit(code)


def call(nango: Nango, user: str) -> str:
    """The result of a call, in a word."""
    try:
        status = nango.executor("mail", user).get("things").status_code
    except CredentialsError:
        return "needs_reauth"
    except NangoError as error:
        return f"{type(error).__name__}: {error}"
    return "good" if status == 200 else f"status {status}"


class Drill:
    """Children, their provider, and a process that continues after their death."""

    def __init__(self, database_url: str) -> None:
        self.nursery = Nursery(database_url)
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._number = 0

    def user(self, nango: Nango, provider: Provider) -> str:
        """A new user whose token has expired."""
        self._number += 1
        user = f"user-{self._number}"
        nango.register_connection("mail", user, provider.grant(user, expired=True))
        return user

    def kill(self, runs: int) -> None:
        """Kill children, evenly over points and rotations."""
        for rotation in ROTATIONS:
            with Provider(rotation) as provider, a_nango(provider.url, self.nursery.database_url) as nango:
                for _ in range(-(-runs // (len(POINTS) * len(ROTATIONS)))):
                    self._kill_at_all_points(nango, provider, rotation)

    def _kill_at_all_points(self, nango: Nango, provider: Provider, rotation: str) -> None:
        users = {point: self.user(nango, provider) for point in POINTS}
        sent, seen = users["sent"], []

        def on_token(user: str) -> None:
            if user == sent and not seen:
                seen.append(user)
                wait_until(lambda: user in self.nursery.pids)
                os.kill(self.nursery.pids[user], signal.SIGKILL)

        provider.on_token = on_token
        for point, user in users.items():
            self.nursery.start(provider.url, user, point)
        for point, user in users.items():
            status = self.nursery.wait(user)
            if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
                self.faults.append(f"{rotation}, {point}: the child ended by itself with {status}")
        wait_until(lambda: provider.calls_of(sent))
        with ThreadPoolExecutor(len(POINTS)) as threads:
            ends = dict(zip(users, threads.map(lambda user: call(nango, user), users.values()), strict=True))
        for point, end in ends.items():
            self.counts[f"{rotation}, {point}: {end}"] += 1
            self._check(nango, provider, rotation, point, users[point], end)

    def _check(
        self, nango: Nango, provider: Provider, rotation: str, point: str, user: str, end: str
    ) -> None:
        may_be_lost = rotation == "strict" and point not in KEPT
        asked = provider.calls_of(user)
        if end != ("needs_reauth" if may_be_lost else "good"):
            self.faults.append(f"{rotation}, {point}: {end} after {asked}")
        if may_be_lost and status_of(nango, user) != "needs_reauth":
            self.faults.append(f"{rotation}, {point}: lost in silence")
        again = call(nango, user)
        if again != end or provider.calls_of(user) != asked or len(asked) > 2:
            self.faults.append(f"{rotation}, {point}: {again} on the next call, {provider.calls_of(user)}")

    def sigterm(self, runs: int, jobs: tuple[str, ...] = ("sigterm", "sigterm in a thread")) -> None:
        """End children by SIGTERM while the provider decides."""
        with Provider("strict") as provider, a_nango(provider.url, self.nursery.database_url) as nango:
            for run in range(runs):
                user = self.user(nango, provider)
                done: list[str] = []

                def on_token(user: str = user, done: list[str] = done) -> None:
                    if not done:
                        done.append(user)
                        wait_until(lambda: user in self.nursery.pids)
                        os.kill(self.nursery.pids[user], signal.SIGTERM)
                        time.sleep(0.01)  # so that a process that would end at once has ended

                provider.on_token = lambda _, on_token=on_token: on_token()  # type: ignore[misc]
                self.nursery.start(provider.url, user, jobs[run % len(jobs)])
                status = self.nursery.wait(user)
                ended = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM
                if not ended:
                    self.faults.append(f"the child ended with {status} and not by SIGTERM")
                wait_until(lambda user=user: provider.calls_of(user))  # type: ignore[misc]
                end = call(nango, user)
                self.counts[end] += 1
                if end == "good" and provider.calls_of(user) != ["granted"]:
                    self.faults.append(f"the token was not stored: {provider.calls_of(user)}")

    def careless(self, runs: int) -> None:
        """The control: SIGTERM with its default action."""
        self.sigterm(runs, ("default",))

    def stop(self, runs: int) -> None:
        """The owner is stopped until its lease expires, another process refreshes, the owner continues."""
        with Provider("grace") as provider, a_nango(provider.url, self.nursery.database_url) as nango:
            for _ in range(runs):
                user = self.user(nango, provider)
                stopped: list[str] = []

                def on_token(user: str, stopped: list[str] = stopped) -> None:
                    if not stopped:
                        stopped.append(user)
                        wait_until(lambda: user in self.nursery.pids)
                        os.kill(self.nursery.pids[user], signal.SIGSTOP)

                provider.on_token = on_token
                self.nursery.start(provider.url, user, "stop")
                wait_until(lambda user=user: provider.calls_of(user))  # type: ignore[misc]
                end = call(nango, user)
                newest = nango.store.get("mail", user)
                os.kill(self.nursery.pids[user], signal.SIGCONT)
                status = self.nursery.wait(user)
                found = nango.store.get("mail", user)
                self.counts[end] += 1
                if found.credentials != newest.credentials or found.generation != newest.generation:
                    self.faults.append("a late write replaced the newest token")
                if os.waitstatus_to_exitcode(status) != 0:
                    self.faults.append(f"the holder could not go on: {status}")
                if provider.calls_of(user) != ["granted", "granted"]:
                    self.faults.append(f"token calls: {provider.calls_of(user)}")


def main(job: str, runs: str, database_url: str) -> None:
    """Run a drill and report."""
    started = time.monotonic()
    drill = Drill(database_url)
    getattr(drill, job)(int(runs))
    drill.nursery.close()
    told = {"seconds": round(time.monotonic() - started, 1), "counts": drill.counts, "faults": drill.faults}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
