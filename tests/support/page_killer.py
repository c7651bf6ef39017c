"""A program that reads a list in processes that are killed, each going on where the last one was stopped.

    page_killer.py HOW KIND KILLS SEED FOLDER

HOW is `pages` or `records`, by what each process stores together with a state, or `careless` for a control
that stores the state before the records. KIND is a name of `BLOCKS`. A process is killed with SIGKILL at a
counted point: when its request arrives at the server, after records were written, or after a commit. The last
line of output is JSON: the number of kills, and the records that were stored.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from nango_py import Nango
from tests.support.recording_server import Received, RecordingServer, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

TOTAL, SIZE = 40, 3
BLOCKS: dict[str, dict[str, Any]] = {
    "cursor": {"kind": "cursor", "cursor": "next", "param": "after", "records": "items"},
    "next": {"next": {"from": "next", "to": {"body": "page.after"}, "more": "more"}, "records": "items"},
    "next_url": {"kind": "next_url", "next": "url", "records": "items"},
    "link_header": {"kind": "link_header", "records": "items"},
}


class Killer:
    """Serves the list, and starts processes that read it.

    Attributes:
        kills: how many processes were killed.
    """

    def __init__(self, how: str, kind: str, kills: int, seed: int, folder: Path) -> None:
        self.how, self.block = how, BLOCKS[kind]
        self.left, self.kills = kills, 0
        self.chance = random.Random(seed)
        self.folder = folder
        self.worker = self.at_request = self.at_point = 0

    def respond(self, received: Received) -> Reply:
        """One page; the process that asks for it may die now."""
        if self.at_request:
            self.at_request -= 1
            if not self.at_request:
                os.kill(self.worker, signal.SIGKILL)
        body = json.loads(received.body or b"{}").get("page", {})
        start = int(dict(parse_qsl(urlsplit(received.target).query)).get("after") or body.get("after") or 0)
        end = min(start + SIZE, TOTAL)
        more = end < TOTAL
        link = f"/things?after={end}" if more else None
        return Reply(
            {"items": list(range(start, end)), "next": end if more else None, "url": link, "more": more},
            headers=(("Link", f'<{link}>; rel="next"'),) if more else (),
        )

    def run(self) -> None:
        """Start processes until one of them has read the whole list."""
        with RecordingServer(self.respond) as server, self.open() as store:
            store.execute("CREATE TABLE records (number INTEGER)")
            store.execute("CREATE TABLE states (state TEXT)")
            store.commit()
            while True:
                self.at_request = self.at_point = 0
                if self.left:
                    self.left -= 1
                    by_server = self.how != "careless" and self.chance.random() < 0.5
                    setattr(self, "at_request" if by_server else "at_point", self.chance.randint(1, 6))
                self.worker = os.fork()
                if self.worker == 0:
                    self.live(server.url)
                _, status = os.waitpid(self.worker, 0)
                if os.WIFEXITED(status):
                    assert os.WEXITSTATUS(status) == 0, "a process failed by itself"
                    return
                self.kills += 1

    def open(self) -> sqlite3.Connection:
        """The database that the processes write."""
        return sqlite3.connect(self.folder / "records.db")

    def live(self, url: str) -> None:
        """What each process does; it does not return."""
        store = self.open()
        saved = store.execute("SELECT state FROM states ORDER BY rowid DESC").fetchone()
        entry = {
            "auth": {"auth_mode": "NONE"}, "requests": {"base_url": url}, "pagination": self.block,
            "retries": {"max_attempts": 1},
        }  # fmt: skip
        with Nango(integrations={"shop": entry}, database_url="sqlite:///:memory:") as nango:
            nango.register_connection("shop", "u1", {})
            executor = nango.executor("shop", "u1")
            options: dict[str, Any] = {"state": json.loads(saved[0]) if saved else None, "prefetch": 1}
            if self.how == "records":
                records = executor.paginate("things", **options)
                for record in records:
                    self.store(store, [record], lambda: records.state)
            else:
                for page in executor.pages("things", **options):
                    self.store(store, page.json()["items"], lambda page=page: page.state)
        os._exit(0)

    def store(self, store: sqlite3.Connection, numbers: list[int], state: Callable[[], Any]) -> None:
        """Store records and the state after them in one transaction, unless this is the control."""
        steps = [
            lambda: store.executemany("INSERT INTO records VALUES (?)", [(number,) for number in numbers]),
            lambda: store.execute("INSERT INTO states VALUES (?)", (json.dumps(state()),)),
        ]
        if self.how == "careless":
            steps.reverse()
        for step in steps:
            step()
            if self.how == "careless":
                store.commit()
            self.pass_point()
        store.commit()
        self.pass_point()

    def pass_point(self) -> None:
        """Die if this is the point."""
        if self.at_point:
            self.at_point -= 1
            if not self.at_point:
                os.kill(os.getpid(), signal.SIGKILL)


def main(how: str, kind: str, kills: str, seed: str, folder: str) -> None:
    """Run the program."""
    killer = Killer(how, kind, int(kills), int(seed), Path(folder))
    killer.run()
    with killer.open() as store:
        found = [number for (number,) in store.execute("SELECT number FROM records ORDER BY rowid")]
    sys.stdout.write(json.dumps({"kills": killer.kills, "records": found}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
