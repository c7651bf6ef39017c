"""The command: `python -m benchmarks [name ...] [--quick] [--json FILE]`."""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import machine

if TYPE_CHECKING:
    from benchmarks.report import Table

NAMES = ("cpu", "pages", "cold", "limiter", "connections", "rate_use")


def main(arguments: list[str]) -> int:
    """Run the benchmarks that are named, all of them by default, and print their tables."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"some of: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it runs, not how fast")
    parser.add_argument("--json", type=Path, help="write the tables to this file too")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    date = dt.datetime.now(dt.UTC).date().isoformat()
    command = " ".join(["python -m benchmarks", *arguments])
    print(f"Measured {date} on {machine()}, by `{command}`\n", flush=True)
    tables: list[Table] = []
    for name in options.names or NAMES:
        for table in importlib.import_module(f"benchmarks.{name}").run(quick=options.quick):
            print(table.markdown(), flush=True)
            tables.append(table)
    if options.json:
        found = {"date": date, "machine": machine(), "command": command, "tables": list(map(asdict, tables))}
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
