"""Processes that share budgets: together they keep to a limit, and all are served."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.fork_server import start
from tests.support.limit_stores import place_of
from tests.support.simulated_api import overfull, window

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "redis"])
def test_processes_share_a_window_exactly(kind: str, tmp_path: Path) -> None:
    """Four processes with two threads each are all served, and together never overfill a window."""
    with place_of(kind, tmp_path) as url, ExitStack() as stack:
        workers = [stack.enter_context(start("tests.support.limit_worker:work", kind, url)) for _ in range(4)]
        for worker in workers:
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            worker.stdin.write("go\n")
        sent = [json.loads(worker.communicate()[0]) for worker in workers]
    together = [(moment, 1) for moments in sent for moment in moments]
    assert overfull(window(10, 0.5), together) == ""
    assert [len(moments) for moments in sent] == [2 * 6] * 4
