"""A drill for the engines in examples/: their processes are killed, and each order is carried out once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nango_py import Nango, Sandbox
from tests.support.job_product import KEY, register_users, shop_entry

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
ORDERS, KILLS, HANG_SECONDS = 8, 2, 300.0
BUDGETS = [{"key": "all", "otherwise": [{"requests": 1, "per_seconds": 3}]}]
ORDER = {
    "changes": ["orders"],
    "input": {"type": "object", "properties": {"n": {"type": "integer"}}},
    "request": {"method": "POST", "path": "orders", "json": {"n": "${input.n}"}},
}


class Drill:
    """A product in a folder, the sandbox that it calls, and the processes of an engine."""

    def __init__(self, engine: str, folder: Path, sandbox: Sandbox, environment: dict[str, str]) -> None:
        self.engine, self.folder, self.sandbox = engine, folder, sandbox
        self.environment = {
            **os.environ,
            **environment,
            "PYTHONPATH": str(ROOT),
            "NANGO_ENCRYPTION_KEYS": KEY,
        }

    def start(self, orders: int) -> subprocess.Popen[bytes]:
        """Start a process of the engine."""
        program = str(ROOT / "tests/engines/engine_process.py")
        command = [sys.executable, program, self.engine, str(orders), str(self.folder)]
        return subprocess.Popen(command, cwd=self.folder, env=self.environment)

    def is_done(self) -> bool:
        """Whether the engine knows that every order is done."""
        return all((self.folder / f"done-{number}").exists() for number in range(ORDERS))

    def run_until_done(self, *, processes: int, orders: int) -> None:
        """Keep this number of processes running until every order is done."""
        ends, running = time.monotonic() + HANG_SECONDS, [self.start(orders) for _ in range(processes)]
        try:
            while not self.is_done():
                assert time.monotonic() < ends, sorted(path.name for path in self.folder.iterdir())
                threading.Event().wait(0.1)
                for number, process in enumerate(running):
                    code = process.poll()
                    if code is not None and not self.is_done():
                        assert code == -signal.SIGKILL
                        running[number] = self.start(orders)
        finally:
            for process in running:
                process.kill()
                process.wait()

    def check(self) -> None:
        """Each order was carried out once, although some were sent again and others put back."""
        received = self.sandbox.ledger.received
        carried_out = Counter(json.loads(one.body)["n"] for one in received if one.processed)
        assert carried_out == Counter(range(ORDERS))
        assert len(list(self.folder.glob("died-*"))) == KILLS
        assert len(received) > ORDERS
        assert list(self.folder.glob("put-back-*"))


@contextmanager
def drill(engine: str, folder: Path, **environment: str) -> Iterator[Drill]:
    """A drill in a folder with a unique name."""
    place = folder / f"nango_{uuid.uuid4().hex[:12]}"
    place.mkdir()
    rules: dict[str, Any] = {
        "retries": {"max_attempts": 1, "idempotency_header": "Idempotency-Key"},
        "rate_limits": {"budgets": BUDGETS},
    }
    with Sandbox(shop_entry(**rules), strict=False) as sandbox:
        shop: dict[str, Any] = shop_entry(sandbox.base_url, actions={"order": ORDER}, **rules)
        (place / "integrations.yaml").write_text(yaml.safe_dump({"integrations": {"shop": shop}}))
        with Nango(place / "integrations.yaml", environ={"NANGO_ENCRYPTION_KEYS": KEY}) as nango:
            register_users(nango, "ann")
        yield Drill(engine, place, sandbox, environment)
