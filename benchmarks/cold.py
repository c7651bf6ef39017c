"""A new process: what importing costs, when the first response is there, and how much memory it took."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def run(*, quick: bool) -> list[Table]:
    """Import, and first response with store and decryption, each in processes of its own."""
    rounds = 2 if quick else 15
    with server.running() as base, tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), base, {"budgets": [{"key": "${endpoint}", "otherwise": WIDE}]})
        with Nango(path) as nango:
            nango.register_connection("bench", USER, {"api_key": KEY})
        programs = {name: codes for name, codes in PROGRAMS.items() if _runs(codes[0])}
        arguments = [base, str(path)]
        imports: dict[str, list[float]] = {name: [] for name in programs}
        responses: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(rounds):
            for name, (importing, answering) in programs.items():
                imports[name].append(_seconds(importing, arguments))
                responses[name].append(_seconds(answering, arguments))
        memory = {name: _resident(codes[1], arguments) for name, codes in programs.items()}
    return [_table(imports, responses, memory)]


def _table(
    imports: dict[str, list[float]], responses: dict[str, list[float]], memory: dict[str, float]
) -> Table:
    table = Table(
        "A new process",
        ("client", "import, ms", "spawn to first response, ms", "by requests", "resident, MB"),
    )
    alone = statistics.median(imports["python alone"])
    importing = {name: statistics.median(times) - alone for name, times in imports.items()}
    first = {name: statistics.median(times) for name, times in responses.items()}
    for name in imports:
        table.add(
            name, importing[name] * 1e3, first[name] * 1e3, first[name] / first["requests"], memory[name]
        )
    table.notes = ["Import is beside the start of Python alone; spawning reads no file for the first time."]
    table.goals = [
        Goal("import by `import requests`", importing["nango_py"] / importing["requests"], 0.3),
        Goal("spawn to first response by requests", first["nango_py"] / first["requests"], 2.0),
        Goal("resident memory, MB", memory["nango_py"], 45),
    ]
    return table


def _seconds(code: str, arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    return time.perf_counter() - started


def _resident(code: str, arguments: list[str]) -> float:
    """The most memory that the program held, in MB, or 0 where the system does not tell."""
    if not Path("/proc/self/status").exists():
        return 0.0
    command = [sys.executable, "-c", code + RESIDENT, *arguments]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024


def _runs(code: str) -> bool:
    return (
        subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.DEVNULL).returncode == 0
    )
