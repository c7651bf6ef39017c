"""An action of one request beside the same call by an executor: the CPU that it adds to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks import server
from benchmarks.measure import cpu_rounds, medians, ratios
from benchmarks.peers import PARAMS
from benchmarks.report import Goal, Table
from benchmarks.subject import USER, prepared

if TYPE_CHECKING:
    from collections.abc import Callable

CALL, ACTION = "executor.get", "trigger_action"
ACTIONS: dict[str, Any] = {
    "list-metrics": {
        "reads": True,
        "input": {
            "type": "object",
            "required": ["count"],
            "properties": {"count": {"type": "string"}, "filter": {"type": "string"}},
            "additionalProperties": False,
        },
        "request": {
            "method": "GET",
            "path": "v1/metrics",
            "params": {"count": "${input.count}", "filter": "${input.filter}"},
        },
    }
}
"""An action with an input, a parameter of it, and one that is left out."""

MAX_RATIO = 1.15


def run(*, quick: bool) -> list[Table]:
    """Both, in turn."""
    rounds, calls = (3, 50) if quick else (25, 250)
    with server.running() as base, prepared(base, actions=ACTIONS) as nango:
        executor = nango.executor("bench", USER)
        clients: dict[str, Callable[[], object]] = {
            CALL: lambda: executor.get("v1/metrics", params=PARAMS, raise_for_error=True).json(),
            ACTION: lambda: nango.trigger_action("bench", "list-metrics", USER, PARAMS),  # type: ignore[arg-type]
        }
        found = cpu_rounds(clients, rounds, calls)
    times, by_call = medians(found), ratios(found, CALL)
    table = Table("An action of one request: client CPU", ("client", "us", "by executor.get"))
    for name in clients:
        table.add(name, times[name] * 1e6, by_call[name])
    table.notes = ["The action checks its input and emits no event; its log records are disabled."]
    table.goals = [Goal("CPU by executor.get", by_call[ACTION], MAX_RATIO)]
    return [table]
