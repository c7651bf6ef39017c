"""The recipes in examples/ for other engines; that for Airflow, which needs its own packages, is beside."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.databases import connected, postgres_url
from tests.support.engine_drill import HANG_SECONDS, ORDERS, ROOT, drill
from tests.support.example_apps import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def test_celery_runs_the_tasks_of_killed_workers_again(tmp_path: Path) -> None:
    """RabbitMQ delivers an unacknowledged task again, with the same id and so with the same keys."""
    with drill("celery", tmp_path) as celery:
        assert celery.start(ORDERS).wait(HANG_SECONDS) == 0
        celery.run_until_done(processes=4, orders=0)
        celery.check()


def test_dbos_finishes_the_workflows_of_a_killed_process(tmp_path: Path) -> None:
    """The next process finds them in PostgreSQL."""
    with ExitStack() as stack:
        name = f"nango_dbos_{uuid.uuid4().hex[:12]}"
        with connected(postgres_url()) as server:
            server.execute(f'CREATE DATABASE "{name}"')
        stack.callback(drop_database, name)
        url = postgres_url().rpartition("/")[0] + f"/{name}"
        dbos = stack.enter_context(drill("dbos", tmp_path, DBOS_DATABASE_URL=url))
        dbos.run_until_done(processes=1, orders=ORDERS)
        dbos.check()


def drop_database(name: str) -> None:
    """Drop a database, also if clients are connected."""
    with connected(postgres_url()) as server:
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_dagster_executes_a_killed_run_again(tmp_path: Path) -> None:
    """A re-execution has the same root run, and so the same keys."""
    with drill("dagster", tmp_path) as dagster:
        dagster.run_until_done(processes=1, orders=ORDERS)
        dagster.check()


def test_temporal_runs_the_activities_of_killed_workers_again(tmp_path: Path) -> None:
    """The server misses their heartbeats, and gives the activities to other workers with the same ids."""
    address = f"127.0.0.1:{free_port()}"
    command = [str(Path(sys.executable).with_name("temporal")), "server", "start-dev", "--headless"]
    command += ["--ip", "127.0.0.1", "--port", address.rpartition(":")[2], "--log-level", "error"]
    with (
        running(command, os.environ, address),
        drill("temporal", tmp_path, TEMPORAL_ADDRESS=address) as temporal,
    ):
        starter = temporal.start(ORDERS)
        temporal.run_until_done(processes=2, orders=0)
        assert starter.wait(HANG_SECONDS) == 0
        temporal.check()


def test_prefect_goes_on_with_the_flow_run_of_a_killed_process(tmp_path: Path) -> None:
    """A flow run that is retried has the same id, and so the same keys."""
    address = f"127.0.0.1:{free_port()}"
    settings = {
        "DO_NOT_TRACK": "1",
        "PREFECT_API_URL": f"http://{address}/api",
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--no-ui", "--host", "127.0.0.1"]
    command += ["--port", address.rpartition(":")[2]]
    with (
        running(command, {**os.environ, **settings}, address),
        drill("prefect", tmp_path, **settings) as prefect,
    ):
        prefect.run_until_done(processes=1, orders=ORDERS)
        prefect.check()


@contextmanager
def running(command: list[str], environment: Mapping[str, str], address: str) -> Iterator[None]:
    """A server that accepts connections at this address."""
    host, _, port = address.rpartition(":")
    ends = time.monotonic() + HANG_SECONDS
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        while True:
            with suppress(OSError), socket.create_connection((host, int(port)), timeout=1.0):
                break
            assert process.poll() is None
            assert time.monotonic() < ends
            threading.Event().wait(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_a_recipe_has_at_most_forty_lines(path: Path) -> None:
    """A recipe is short enough to be copied."""
    assert len(path.read_text().splitlines()) <= 40
