"""Lists that are read by processes that are killed: each record is stored exactly once."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.connections.keys import generate_key
from tests.support.fork_server import run
from tests.support.page_killer import BLOCKS, TOTAL

if TYPE_CHECKING:
    from pathlib import Path


def read_list(folder: Path, how: str, kind: str, kills: int) -> dict[str, Any]:
    """What the program that kills readers reports."""
    environ = {**os.environ, "NANGO_ENCRYPTION_KEYS": generate_key().reveal()}
    done = run("tests.support.page_killer:main", how, kind, str(kills), "7", str(folder), env=environ)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(("how", "kind"), [*(("pages", kind) for kind in BLOCKS), ("records", "cursor")])
def test_each_record_is_stored_once_whenever_a_reader_is_killed(how: str, kind: str, tmp_path: Path) -> None:
    """Records and the state after them are committed together; the next process goes on from the state."""
    found = read_list(tmp_path, how, kind, 8)
    assert found["kills"] >= 4
    assert found["records"] == list(range(TOTAL))


def test_a_state_that_is_stored_before_the_records_loses_some(tmp_path: Path) -> None:
    """The control: the check notices a reader that does not commit both together."""
    found = read_list(tmp_path, "careless", "cursor", 8)
    assert found["kills"] >= 4
    assert sorted(set(found["records"])) != list(range(TOTAL))
