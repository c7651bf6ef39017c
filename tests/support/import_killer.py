"""A program that starts imports and kills them.

    import_killer.py JOB KILLS SEED URL FOLDER

The store has the connections of one export. Each worker imports another one over them and dies by SIGKILL
at a counted point; then every connection is read, and the same import is run to its end. The last line of
output is JSON: how many kills came, how many in the middle of the writing, and every fault.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nango_py import Nango
from nango_py.connections.keys import generate_key
from nango_py.errors import NangoError
from nango_py.secret import reveal
from nango_py.transfer import importing
from tests.support.kill_points import count_points, die_at_point
from tests.support.transfer_products import an_entry

if TYPE_CHECKING:
    from collections.abc import Callable

USERS = 150
KEY = generate_key()


def values(user: str, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Credentials and settings whose parts belong together."""
    return {"api_key": f"{user}-{number}"}, {"number": number, "again": [number] * 20}


class ImportKiller:
    """Kills imports and checks what they left."""

    def __init__(self, job: str, url: str, folder: Path, seed: int) -> None:
        self.work: Callable[[Nango, Path], object] = getattr(self, job)
        self.url = url
        self.folder = folder
        self.chance = random.Random(seed)
        self.faults: list[str] = []
        self.in_the_middle = 0
        self.points = 0

    def open(self) -> Nango:
        """A product with the store."""
        entry = {"shop": an_entry("API_KEY")}
        return Nango(entry, database_url=self.url, encryption_keys=generate_key_of(self.folder), environ={})

    def export(self, number: int) -> Path:
        """The export whose connections all have this number."""
        path = self.folder / f"export-{number}"
        if path.exists():
            return path
        with Nango({"shop": an_entry("API_KEY")}, database_url="sqlite:///:memory:", environ={}) as other:
            for each in range(USERS):
                user = f"user-{each:04}"
                other.register_connection("shop", user, *values(user, number))
            other.export_connections(path, KEY)
        return path

    def prepare(self) -> None:
        """Store half of the connections, and count the points of an import."""
        with self.open() as nango:
            for each in range(0, USERS, 2):
                user = f"user-{each:04}"
                nango.register_connection("shop", user, *values(user, 0))
        source = self.export(1)
        self.points = count_points(lambda: self.work(self.open(), source), self.folder)

    def kill_one(self, number: int) -> None:
        """Import the export of this number, die, look, and import it to the end."""
        source = self.export(number)
        point = self.chance.randint(1, self.points)
        worker = os.fork()
        if worker == 0:
            self.live(source, point)
        _, status = os.waitpid(worker, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            self.faults.append(f"a worker ended by itself with {status} before point {point}")
        try:
            self.check(number)
        except NangoError as error:
            self.faults.append(str(error))

    def live(self, source: Path, point: int) -> None:
        """Import until the point at which this process dies."""
        try:
            die_at_point(point, self.folder)
            self.work(self.open(), source)
        finally:
            os._exit(0)

    def whole(self, nango: Nango, source: Path) -> None:
        """The import."""
        nango.import_connections(source, KEY, on_existing="replace")

    def carelessly(self, nango: Nango, source: Path) -> None:
        """The control: what a program would do that writes settings and credentials one after the other."""
        number = int(source.name.rpartition("-")[2])
        for each in range(USERS):
            user = f"user-{each:04}"
            credentials, settings = values(user, number)
            nango.update_connection_config("shop", user, settings)
            nango.update_connection_credentials("shop", user, credentials)

    def check(self, number: int) -> None:
        """Each connection is the old one or the new one, whole; the second import makes all new."""
        with self.open() as nango:
            found = [
                self.number_of(nango, view["user_id"]) for view in nango.connections_for_integration("shop")
            ]
            if not set(found) <= {number - 1, number}:
                self.faults.append(f"found {set(found)} while {number} was imported")
            self.in_the_middle += len(set(found)) > 1
            report = nango.import_connections(source := self.export(number), KEY, on_existing="replace")
            if report.unchanged != found.count(number):
                self.faults.append(f"{report.unchanged} were said to be new, {found.count(number)} were")
            if {self.number_of(nango, f"user-{each:04}") for each in range(USERS)} != {number}:
                self.faults.append(f"{source.name} was not imported to its end")

    def number_of(self, nango: Nango, user: str) -> int:
        """The number of a connection whose parts belong together."""
        connection = nango.store.get("shop", user)
        number = int(connection.additional_config["number"])
        if (reveal(connection.credentials), dict(connection.additional_config)) != (
            values(user, number)[0],
            {"number": number, "again": (number,) * 20},
        ):
            self.faults.append(f"{user} is mixed: {connection.additional_config}")
        return number


def generate_key_of(folder: Path) -> str:
    """The key of the database, the same for every worker."""
    path = folder / "store.key"
    if not path.exists():
        path.write_text(generate_key().reveal())
    return path.read_text()


def main(job: str, kills: str, seed: str, url: str, folder: str) -> None:
    """Kill this number of imports and report."""
    importing.BATCH_SIZE = 7  # more moments between two commits
    killer = ImportKiller(job, url, Path(folder), int(seed))
    killer.prepare()
    for number in range(2, 2 + int(kills)):
        if not killer.faults:
            killer.kill_one(number)
    told = {"kills": int(kills), "in_the_middle": killer.in_the_middle, "faults": killer.faults}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
