"""The command: `python -m benchmarks [name ...] [--quick] [--json FILE] [--beside PYTHON]`.

A peer that cannot be installed beside the others needs a separate environment:

    python -m venv ../airbyte
    ../airbyte/bin/pip install -e '.[async,redis]' -r benchmarks/requirements-airbyte.txt
    python -m benchmarks cpu pages --beside ../airbyte/bin/python
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import machine

if TYPE_CHECKING:
    from benchmarks.report import Table

NAMES = (
    "cpu", "tasks", "actions", "pages", "cold", "limiter", "connections", "rate_use", "connect", "load",
    "jobs",
)  # fmt: skip
WITH_PEERS = ("cpu", "pages")


def main(arguments: list[str]) -> int:
    """Run the benchmarks that are named, all of them by default, and print their tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"some of: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it runs, not how fast")
    parser.add_argument("--json", type=Path, help="write the tables to this file too")
    parser.add_argument(
        "--beside", type=Path, metavar="PYTHON",
        help="add the clients that only this environment has, as a ratio to requests measured there",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    date = dt.datetime.now(dt.UTC).date().isoformat()
    command = " ".join(["python -m benchmarks", *arguments])
    print(f"Measured {date} on {machine()}, by `{command}`\n", flush=True)
    tables: list[Table] = []
    for name in options.names or NAMES:
        for table in importlib.import_module(f"benchmarks.{name}").run(quick=options.quick):
            if options.beside and name in WITH_PEERS:
                add_rows(table, options.beside, name, quick=options.quick)
            print(table.markdown(), flush=True)
            tables.append(table)
    if options.json:
        found = {"date": date, "machine": machine(), "command": command, "tables": list(map(asdict, tables))}
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def add_rows(table: Table, python: Path, name: str, *, quick: bool) -> None:
    """Add to a table the rows that another environment's has and it has not."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "found.json"
        command = [str(python), "-m", "benchmarks", name, "--json", str(written)]
        subprocess.run([*command, "--quick"] if quick else command, check=True, stdout=subprocess.DEVNULL)
        found = json.loads(written.read_text())
    here = {row[0] for row in table.rows}
    for other in found["tables"]:
        if other["title"] != table.title:
            continue
        added = [tuple(row) for row in other["rows"] if row[0] not in here]
        table.rows += added
        names = ", ".join(row[0] for row in added) or "nothing"
        table.notes.append(f"From a separate environment, with requests measured there: {names}.")
        table.notes += [f"There: {note}" for note in other["notes"] if note.startswith("Peers")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
