"""SIGKILL while connections are registered, changed and resealed: nothing is lost or stored partially."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.databases import fresh_postgres
from tests.support.fork_server import run

if TYPE_CHECKING:
    from pathlib import Path


def kill(job: str, kills: int, url: str, folder: Path) -> dict[str, Any]:
    """What the killer found."""
    done = run("tests.support.store_killer:main", job, str(kills), "20261122", url, str(folder), env={})
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("job", ["register", "update", "rotate"])
def test_no_kill_loses_a_row_in_sqlite(tmp_path: Path, job: str, request: pytest.FixtureRequest) -> None:
    """Every row is the old one or the new one, and a rotation can be finished."""
    kills, folder = 80 if request.config.getoption("--thorough") else 24, tmp_path / ".nango"
    found = kill(job, kills, f"sqlite:///{folder}/nango.db", folder)
    assert found["faults"] == []
    assert found["kills"] == kills
    assert found["reported"] > 0
    assert 0 < found["early"] < kills / 2


@pytest.mark.parametrize("job", ["register", "update", "rotate"])
def test_no_kill_loses_a_row_in_postgresql(tmp_path: Path, job: str) -> None:
    """The same against PostgreSQL, whose server outlives the worker."""
    with fresh_postgres() as url:
        found = kill(job, 12, url, tmp_path)
    assert found["faults"] == []
    assert found["reported"] > 0


def test_a_careless_rotation_is_caught(tmp_path: Path) -> None:
    """The control: a rotation that forgets the old key first loses rows, and the killer notices."""
    folder = tmp_path / ".nango"
    found = kill("rotate_carelessly", 80, f"sqlite:///{folder}/nango.db", folder)
    assert "the store does not open" in found["faults"][0]
