"""Interleaved rounds: each client in turn, again and again, so that a busy moment falls on all alike."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Clients = Mapping[str, Callable[[], object]]


def cpu_rounds(
    clients: Clients, rounds: int, calls: int, threads: int = 1, *, warm_up: int = 80
) -> dict[str, list[float]]:
    """The CPU seconds of this process for one call of each client, round by round.

    A round makes `calls` calls of each client, over all threads together; `warm_up` calls are made before.
    """
    for call in clients.values():
        _run(call, warm_up, threads)
    found: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(rounds):
        for name, call in clients.items():
            gc.collect()
            started = time.process_time()
            _run(call, calls, threads)
            found[name].append((time.process_time() - started) / calls)
    return found


def medians(found: Mapping[str, list[float]]) -> dict[str, float]:
    """The median of each list."""
    return {name: statistics.median(values) for name, values in found.items()}


def ratios(found: Mapping[str, list[float]], other: str) -> dict[str, float]:
    """The median over rounds of each client's time by that of another in the same round."""
    base = found[other]
    return {
        name: statistics.median(value / one for value, one in zip(values, base, strict=True))
        for name, values in found.items()
    }


def _run(call: Callable[[], object], calls: int, threads: int) -> None:
    if threads == 1:
        for _ in range(calls):
            call()
        return
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(calls // threads):
                call()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]
