"""A new process: what importing costs, when the first response is there, and how much memory it took."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks import server
from benchmarks.report import Goal, Table
from benchmarks.subject import KEY, USER, WIDE, write
from nango_py import Nango

RESIDENT = (
    "\nimport pathlib\nprint(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
)

NANGO = f"""\
import sys
from nango_py import Nango
with Nango(sys.argv[2]) as nango:
    assert nango.executor("bench", "{USER}").get("v1/metrics").json()["data"]
"""

REQUESTS = """\
import sys, requests
headers = {"Authorization": "Bearer key", "Accept": "application/json"}
assert requests.get(sys.argv[1] + "/api/v1/metrics", headers=headers).json()["data"]
"""

URLLIB3 = """\
import sys, json, urllib3
headers = {"Authorization": "Bearer key", "Accept": "application/json"}
assert json.loads(urllib3.request("GET", sys.argv[1] + "/api/v1/metrics", headers=headers).data)["data"]
"""

HTTPX = """\
import sys, httpx
headers = {"Authorization": "Bearer key", "Accept": "application/json"}
assert httpx.get(sys.argv[1] + "/api/v1/metrics", headers=headers).json()["data"]
"""

PROGRAMS = {
    "python alone": ("pass", "pass"),
    "urllib3": ("import urllib3", URLLIB3),
    "requests": ("import requests", REQUESTS),
    "nango_py": ("import nango_py", NANGO),
    "httpx": ("import httpx", HTTPX),
}


WARM, FIRST = "nango_py", "nango_py without its cache"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Without that variable, which makes every start of a checkout compile it. pip compiles what it installs."""


def run(*, quick: bool) -> list[Table]:
    """Import, and first response with store and decryption, each in new processes."""
    rounds = 2 if quick else 15
    with server.running() as base, tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), base, {"budgets": [{"key": "${endpoint}", "otherwise": WIDE}]})
        with Nango(path) as nango:
            nango.register_connection("bench", USER, {"api_key": KEY})
        programs = {name: codes for name, codes in PROGRAMS.items() if _runs(codes[0])}
        arguments = [base, str(path)]
        imports: dict[str, list[Cost]] = {name: [] for name in programs}
        responses: dict[str, list[Cost]] = {name: [] for name in [*programs, FIRST]}
        for _, code in programs.values():
            _cost(code, arguments)
        for _ in range(rounds):
            for name, (importing, answering) in programs.items():
                imports[name].append(_cost(importing, arguments))
                responses[name].append(_cost(answering, arguments))
            for checked in (Path(folder) / ".nango").glob("checked-*.json"):
                checked.unlink()
            responses[FIRST].append(_cost(NANGO, arguments))
        memory = {name: _resident(codes[1], arguments) for name, codes in programs.items()}
    return [_table(imports, responses, memory)]


class Cost(NamedTuple):
    """What one process took, in seconds."""

    wall: float
    cpu: float


def _table(
    imports: dict[str, list[Cost]], responses: dict[str, list[Cost]], memory: dict[str, float]
) -> Table:
    table = Table(
        "A new process",
        (
            "client",
            "import, ms",
            "spawn to first response, ms",
            "by requests",
            "CPU by requests",
            "resident, MB",
        ),
    )
    alone = statistics.median(cost.wall for cost in imports["python alone"])
    importing = {
        name: statistics.median(cost.wall for cost in costs) - alone for name, costs in imports.items()
    }
    first = {name: statistics.median(cost.wall for cost in costs) for name, costs in responses.items()}
    cpu = {name: statistics.median(cost.cpu for cost in costs) for name, costs in responses.items()}
    for name, seconds in first.items():
        by_requests = seconds / first["requests"], cpu[name] / cpu["requests"]
        shown = f"{importing[name] * 1e3:.3g}" if name in importing else ""
        table.add(name, shown, seconds * 1e3, *by_requests, memory.get(name, ""))
    table.notes = [
        "Import is beside the start of Python alone. Every file was read, and compiled, once before.",
        "On a machine with other work the CPU column is the steadier one.",
    ]
    table.goals = [
        Goal("import by `import requests`", importing[WARM] / importing["requests"], 0.3),
        Goal("spawn to first response by requests", first[WARM] / first["requests"], 2.0),
        Goal("the same without a cache", first[FIRST] / first["requests"], 3.5),
        Goal("resident memory, MB", memory[WARM], 45),
    ]
    return table


def _cost(code: str, arguments: list[str]) -> Cost:
    before, started = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, env=ENVIRONMENT)
    wall, after = time.perf_counter() - started, os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return Cost(wall, cpu)


def _resident(code: str, arguments: list[str]) -> float:
    """The most memory that the program held, in MB, or 0 where the system does not report it."""
    if not Path("/proc/self/status").exists():
        return 0.0
    command = [sys.executable, "-c", code + RESIDENT, *arguments]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024


def _runs(code: str) -> bool:
    return (
        subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.DEVNULL).returncode == 0
    )
