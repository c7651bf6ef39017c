"""A program that starts workers on a connection store and kills them.

    store_killer.py JOB KILLS SEED URL FOLDER

Each worker is forked before the store is opened, and kills itself with SIGKILL at a counted point: at a
statement, before or after a commit, at the change of a file, now and then while it still opens the store.
After each kill the store is opened again and every row is read. The last line of output is JSON: the number
of kills, of those before the worker was ready, of changes that workers reported as stored, and every fault.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nango_py.connections import rotation
from nango_py.connections.keys import add_key, drop_unused, load_keyring
from nango_py.connections.rotation import replace_key
from nango_py.connections.store import open_store
from nango_py.errors import NangoError
from nango_py.secret import reveal
from tests.support.kill_points import die_at_point

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.connections.store import ConnectionStore

USERS = 40
LAST_POINT = {"register": 40, "update": 60, "rotate": 250, "rotate_carelessly": 250}
"""For each job the last point at which a worker dies: after several changes or rotations."""
OPENING_POINTS = 3
"""Points that a worker passes, about, while it opens an existing store."""


class Killer:
    """Starts workers for one job and checks the store after each death.

    Attributes:
        known: for each user the number that was last reported as stored.
        faults: what should not be, in words.
    """

    def __init__(self, job: str, url: str, folder: Path, seed: int) -> None:
        self.work: Callable[[ConnectionStore, Callable[[str, int], None]], None] = getattr(self, job)
        self.job = job
        self.url = url
        self.folder = folder
        self.chance = random.Random(seed)
        self.known: dict[str, int] = {}
        self.faults: list[str] = []
        self.early = 0
        self.reported = 0

    def open(self) -> ConnectionStore:
        """The store, with the key file."""
        return open_store(self.url, load_keyring({}, self.folder))

    def register(self, store: ConnectionStore, report: Callable[[str, int], None]) -> None:
        """Register one user after another."""
        for number in range(len(store.for_integration("klaviyo")), 1_000_000):
            store.create("klaviyo", f"user-{number}", *values(f"user-{number}", 1))
            report(f"user-{number}", 1)

    def update(self, store: ConnectionStore, report: Callable[[str, int], None]) -> None:
        """Change settings and then credentials of one user after another, each to the number it lacks."""
        for turn in range(1_000_000):
            user = f"user-{turn % USERS}"
            number = self.number_of(store, user)
            store.update_config("klaviyo", user, values(user, number)[1])
            store.update_credentials("klaviyo", user, values(user, number + 1)[0])
            report(user, number + 1)

    def rotate(self, store: ConnectionStore, report: Callable[[str, int], None]) -> None:
        """Replace the key again and again."""
        while True:
            replace_key(store, self.folder)
            report("user-0", 1)

    def rotate_carelessly(self, store: ConnectionStore, report: Callable[[str, int], None]) -> None:
        """Control: a program that forgets the old key before it reseals the rows."""
        while True:
            add_key(self.folder)
            store.keyring.reload()
            drop_unused(self.folder, ())
            store.rotate()
            report("user-0", 1)

    def prepare(self) -> None:
        """The users that are changed."""
        if self.job == "register":
            return
        with self.open() as store:
            for number in range(USERS):
                store.create("klaviyo", f"user-{number}", *values(f"user-{number}", 1))
                self.known[f"user-{number}"] = 1

    def kill_one(self) -> None:
        """Start a worker that dies, and check what it leaves behind."""
        last = OPENING_POINTS if self.chance.random() < 0.2 else LAST_POINT[self.job]
        point = self.chance.randint(1, last)
        reading, writing = os.pipe()
        worker = os.fork()
        if worker == 0:
            self.live(writing, point)
        os.close(writing)
        reports = b""
        while part := os.read(reading, 1 << 16):
            reports += part
        os.close(reading)
        _, status = os.waitpid(worker, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            self.faults.append(f"a worker ended by itself with {status}")
        self.early += not reports
        self.check(reports.decode())

    def live(self, writing: int, point: int) -> None:
        """Work until the point at which this process dies."""

        def report(user: str, number: int) -> None:
            os.write(writing, f"{user} {number}\n".encode())

        try:
            die_at_point(point, self.folder)
            store = self.open()
            os.write(writing, b"ready\n")
            self.work(store, report)
        finally:
            os._exit(3)

    def check(self, reports: str) -> None:
        """Every row is there, opens, and is the old one or the new one."""
        for line in reports.splitlines():
            user, _, number = line.partition(" ")
            if number:
                self.known[user] = int(number)
                self.reported += 1
        try:
            store = self.open()
        except NangoError as error:
            self.faults.append(f"the store does not open: {error}")
            return
        with store:
            found = {view["user_id"] for view in store.for_integration("klaviyo")}
            if missing := self.known.keys() - found:
                self.faults.append(f"lost: {sorted(missing)}")
            if self.job == "register" and len(found - self.known.keys()) > 1:
                self.faults.append(f"never reported: {sorted(found - self.known.keys())}")
            for user in found:
                self.check_one(store, user)
            self.known.update({user: self.number_of(store, user) for user in found})

    def check_one(self, store: ConnectionStore, user: str) -> None:
        """One row: whole, and not older than what was reported."""
        try:
            connection = store.get("klaviyo", user)
        except NangoError as error:
            self.faults.append(f"{user}: {error}")
            return
        credentials = reveal(connection.credentials)
        number = credentials["number"]
        if credentials != values(user, number)[0]:
            self.faults.append(f"{user}: mixed credentials {credentials}")
        if dict(connection.additional_config) not in [values(user, n)[1] for n in (number, number - 1)]:
            self.faults.append(f"{user}: settings {connection.additional_config} beside {number}")
        if number - self.known.get(user, number) not in {0, 1}:
            self.faults.append(f"{user}: {number} was found, {self.known[user]} reported")

    def number_of(self, store: ConnectionStore, user: str) -> int:
        """The number that is stored for a user."""
        return int(reveal(store.get("klaviyo", user).credentials)["number"])

    def finish(self) -> None:
        """What was begun can be brought to its end."""
        with self.open() as store:
            replace_key(store, self.folder)
            keys = store.rows_by_key()
            if len(keys) != 1 or list(keys) != list(load_keyring({}, self.folder).ids):
                self.faults.append(f"keys left: {keys}")
        self.check("")


def values(user: str, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Credentials and settings whose parts belong together."""
    return {"api_key": f"{user}-{number}", "number": number, "again": [number] * 50}, {"number": number}


def main(job: str, kills: str, seed: str, url: str, folder: str) -> None:
    """Kill this number of workers and report."""
    rotation.BATCH = 7  # more moments between two commits
    killer = Killer(job, url, Path(folder), int(seed))
    killer.prepare()
    for _ in range(int(kills)):
        if not killer.faults:
            killer.kill_one()
    if not killer.faults:
        killer.finish()
    told = {"kills": int(kills), "early": killer.early, "reported": killer.reported, "faults": killer.faults}
    sys.stdout.write(json.dumps({**told, "rows": len(killer.known)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
