"""The first load of a small integrations.yaml, in Python calls, which are the same on every machine.

Two things are counted apart: import statements, which each process runs once whatever its files say, and
the search for entry points, which depends on what is installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Self

from benchmarks import load_many
from benchmarks.report import Goal, Table

if TYPE_CHECKING:
    from types import FrameType

INTEGRATION = "integrations:\n  klaviyo:\n    extends_blueprint: {ref}\n"
REFS = ("klaviyo:v1", "klaviyo:v0")
MAX_CALLS = 30_000
_IMPORT = "<frozen importlib._bootstrap>"
_SHOWN_FILES = 5


class CallCounter:
    """Counts the calls of a block by file.

    Attributes:
        calls: the other calls, by file.
        imported: calls of import statements and of the search for entry points.
        returns: how often control returned to a folder of nango_py that it had left before.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.imported = 0
        self.returns = 0
        self._importing: FrameType | None = None
        self._left: set[str] = set()
        self._last = ""

    def __enter__(self) -> Self:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if self._importing is not None:
            self.imported += event == "call"
            if event == "return" and frame is self._importing:
                self._importing = None
            return
        if event != "call":
            return
        code = frame.f_code
        is_import = code.co_filename == _IMPORT and code.co_name in {"_find_and_load", "_handle_fromlist"}
        if is_import or code.co_name == "_scan_packages":
            self._importing = frame
            self.imported += 1
            return
        file = _short(code.co_filename)
        self.calls[file] += 1
        folder = file.rpartition("/")[0]
        if file.startswith("nango_py/") and folder != self._last:
            self.returns += folder in self._left
            self._left.add(self._last)
            self._last = folder


def _short(path: str) -> str:
    for mark in ("/nango_py/", "/site-packages/"):
        if mark in path:
            return f"{mark.strip('/')}/".replace("site-packages/", "") + path.rpartition(mark)[2]
    return Path(path).name


def measure(folder: Path, ref: str) -> dict[str, object]:
    """The counts of one load in this process; call it in a new one."""
    from nango_py.config.cache.cache_folder import ConfigCache
    from nango_py.config.files import ConfigFiles
    from nango_py.secret import Secret

    path = folder / "integrations.yaml"
    path.write_text(INTEGRATION.format(ref=ref))
    with CallCounter() as counter:
        ConfigFiles(
            path, None, None, {}, reload=False, cache=lambda _: ConfigCache(folder / ".nango", Secret("k"))
        )
    return {
        "calls": sum(counter.calls.values()),
        "imported": counter.imported,
        "returns": counter.returns,
        "files": counter.calls.most_common(_SHOWN_FILES),
    }


def measure_in_process(folder: Path, ref: str) -> dict[str, object]:
    """The counts of one load in a new process."""
    command = [sys.executable, "-m", "benchmarks.load", str(folder), ref]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def run(*, quick: bool) -> list[Table]:
    """Each blueprint, or one, without a cache and with one."""
    table = Table(
        "The first load of three lines",
        (
            "blueprint",
            "cache",
            "calls",
            "calls of imports and package scan",
            "returns to a folder",
            "most calls",
        ),
    )
    for ref in REFS[:1] if quick else REFS:
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            for cache in ("none", "written", "warm"):
                found = measure_in_process(folder, ref)
                files = ", ".join(f"{file} {count}" for file, count in found["files"])  # type: ignore[attr-defined]
                cells = (found["calls"], found["imported"], found["returns"])
                table.add(f"`{ref}`", cache, *map(str, cells), files)
                if cache == "none":
                    calls = float(str(found["calls"]))
                    table.goals.append(Goal(f"calls of a first load of {ref}", calls, MAX_CALLS))
                (folder / ".nango").mkdir(exist_ok=True)
    table.notes = [
        "A call is an event of `sys.setprofile`. Imports and the search for entry points are counted apart.",
        "`written` saves the checked form, `warm` reads it.",
    ]
    return [table, *load_many.run(quick=quick)]


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2])))
