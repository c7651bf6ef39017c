"""Four workers are killed at counted points: every job ends, and each keyed side effect happens once."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Sandbox
from tests.support.databases import fresh_postgres, fresh_redis
from tests.support.fork_server import run
from tests.support.job_killer import credentials, entry

if TYPE_CHECKING:
    from pathlib import Path


def drill(runner: str, mode: str, jobs: int, kills: int, folder: Path) -> tuple[dict[str, Any], Sandbox]:
    """What the killer reports, and the sandbox that its jobs called."""
    with ExitStack() as stack:
        api = Sandbox(entry("https://api.example.test/"), credentials=credentials(), strict=False)
        sandbox = stack.enter_context(api)
        url = f"sqlite:///{folder}/.nango/nango.db"
        if runner == "procrastinate":
            url = stack.enter_context(fresh_postgres())
        done = run(
            "tests.support.job_killer:main", runner, mode, str(jobs), str(kills), "20261130", url,
            stack.enter_context(fresh_redis()), sandbox.base_url, str(folder), env={}, timeout=350,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), sandbox


def orders(sandbox: Sandbox) -> Counter[int]:
    """How often the API carried each order out."""
    return Counter(json.loads(one.body)["n"] for one in posts(sandbox) if one.processed)


def posts(sandbox: Sandbox) -> list[Any]:
    """The orders that were sent."""
    return [one for one in sandbox.ledger.received if one.method == "POST"]


@pytest.mark.parametrize("runner", ["inline", "threads", "procrastinate"])
def test_no_kill_loses_or_repeats_a_job(runner: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Jobs are shared by processes that die: each is done, its order carried out once, within the limits."""
    jobs, kills = (1000, 40) if request.config.getoption("--thorough") else (60, 8)
    found, sandbox = drill(runner, "keyed", jobs, kills, tmp_path)
    assert found["statuses"] == {"done": jobs}
    assert kills / 2 < found["kills"] <= kills  # the last jobs may end before a worker dies
    assert found["highest"] > 1
    assert orders(sandbox) == Counter(range(jobs))
    assert sandbox.ledger.count(status=429) == 0
    assert len(posts(sandbox)) > jobs  # some orders were sent again, with the same key


def test_without_keys_orders_are_repeated(tmp_path: Path) -> None:
    """The control: with a new key in each attempt, jobs of workers that died are carried out twice."""
    found, sandbox = drill("threads", "careless", 40, 4, tmp_path)
    assert found["statuses"] == {"done": 40}
    assert max(orders(sandbox).values()) > 1
