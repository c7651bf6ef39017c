"""One authenticated GET with its JSON: what it costs the client's process."""

from __future__ import annotations

from benchmarks import server
from benchmarks.measure import cpu_rounds, medians, ratios
from benchmarks.peers import PARAMS, installed
from benchmarks.report import Goal, Table
from benchmarks.subject import USER, prepared

OURS = "nango_py"
THREADS = 8


def run(*, quick: bool) -> list[Table]:
    """One thread, then eight."""
    rounds, calls = (3, 48) if quick else (25, 240)
    table = Table(
        "One authenticated GET and its JSON: client CPU",
        ("client", "us (1 thread)", "by requests", "us (8 threads)", "by requests, 8 threads"),
    )
    with server.running() as base, prepared(base) as nango:
        clients, notes = installed(base)
        executor = nango.executor("bench", USER)
        clients[OURS] = lambda: executor.get("v1/metrics", params=PARAMS).json()
        alone = cpu_rounds(clients, rounds, calls)
        crowd = cpu_rounds(clients, rounds, calls, THREADS)
    by_requests, by_requests_crowd = ratios(alone, "requests.Session"), ratios(crowd, "requests.Session")
    times, crowd_times = medians(alone), medians(crowd)
    for name in sorted(clients, key=lambda name: by_requests[name]):
        table.add(
            name, times[name] * 1e6, by_requests[name], crowd_times[name] * 1e6, by_requests_crowd[name]
        )
    table.notes = [
        "nango_py with authentication, two windows, retry rules, a deadline, and INFO records disabled.",
        *notes,
    ]
    by_urllib3, by_urllib3_crowd = (ratios(found, "urllib3 PoolManager")[OURS] for found in (alone, crowd))
    table.goals = [
        Goal("CPU by requests.Session", by_requests[OURS], 0.35),
        Goal("CPU by requests.Session, 8 threads", by_requests_crowd[OURS], 0.42),
        Goal("CPU by a bare urllib3 pool", by_urllib3, 1.10),
        Goal("CPU by a bare urllib3 pool, 8 threads", by_urllib3_crowd, 1.10),
    ]
    return [table]
