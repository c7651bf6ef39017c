"""The benchmarks run; how fast anything is, no test asserts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ROWS = {
    "cpu": {"nango_py", "requests.Session", "urllib3 PoolManager"},
    "tasks": {"nango_py async", "aiohttp"},
    "actions": {"executor.get", "trigger_action"},
    "pages": {"nango_py", "requests loop", "urllib3 loop"},
    "limiter": {"memory", "SQLite"},
    "connect": {"whole logins"},
    "jobs": {"threads, SQLite", "Procrastinate, PostgreSQL", "lane background"},
    "load": {"`klaviyo:v1`", "first load", "`nango blueprints list`"},
}


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as people do."""
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_quick_benchmarks_print_their_tables_and_goals(tmp_path: Path) -> None:
    """The Markdown says date, machine and command; the tables have a row for each client that is here."""
    found = benchmark(*ROWS, "--quick", "--json", str(tmp_path / "found.json"))
    assert found.returncode == 0, found.stderr
    assert f"by `python -m benchmarks {' '.join(ROWS)} --quick" in found.stdout.splitlines()[0]
    written: dict[str, Any] = json.loads((tmp_path / "found.json").read_text())
    rows = {row[0] for table in written["tables"] for row in table["rows"]}
    assert {name: expected - rows for name, expected in ROWS.items() if expected - rows} == {}
    for table in written["tables"]:
        assert all(len(row) == len(table["columns"]) for row in table["rows"])
        assert table["goals"]
        assert f"### {table['title']}" in found.stdout


def test_clients_of_another_environment_stand_in_the_same_table() -> None:
    """Rows that are here already are not taken from there; a note says what was."""
    found = benchmark("pages", "--quick", "--beside", sys.executable)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("| nango_py |") == 1
    assert "From a separate environment, with requests measured there: nothing." in found.stdout


def test_an_unknown_benchmark_is_named_with_those_that_exist() -> None:
    """A typing mistake ends with the list of names and nothing measured."""
    found = benchmark("cups")
    assert found.returncode == 2
    assert "no benchmark is called cups; there are cpu, tasks, actions, pages" in found.stderr
