"""How much work loading a configuration takes, in Python calls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_CALLS = 30_000


def count_calls(folder: Path, ref: str) -> int:
    """The calls of one load in a new process, without those of import statements."""
    command = [sys.executable, "-m", "benchmarks.load", str(folder), ref]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return int(json.loads(done.stdout)["calls"])


def test_a_first_load_stays_within_its_bound_and_the_cache_saves_most_of_it(tmp_path: Path) -> None:
    """Three lines of YAML load in 33,000 calls; a second process needs a quarter with the cache."""
    first = count_calls(tmp_path, "klaviyo:v1")
    (tmp_path / ".nango").mkdir()
    count_calls(tmp_path, "klaviyo:v1")
    warm = count_calls(tmp_path, "klaviyo:v1")
    assert first <= MAX_CALLS
    assert 0 < warm < first / 4
