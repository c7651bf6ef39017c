"""Draws rate-limits.svg from a real run: eight threads under two windows, and one 429.

python docs/plots/plot_rate_limits.py [TARGET] [--reduced]
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from svg import BLUE, FAINT, GREEN, GRID, ORANGE, RED, Picture

from nango_py import Nango, Sandbox
from nango_py.sandbox import Fault, FaultPlan

THREADS = 8
SHORT, LONG = (10, 1.0), (20, 4.0)
"""The two windows: requests, seconds."""

ASKED_SECONDS = 1.5
TOO_MANY = 429
LEFT, PIXELS = 110, 68
"""The x of second 0, and the width of a second."""


def api() -> dict[str, Any]:
    """An integration without a file."""
    windows = [{"requests": requests, "per_seconds": seconds} for requests, seconds in (SHORT, LONG)]
    return {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {"base_url": "https://api.example.test/", "headers": {"X-Key": "${api_key}"}},
        "rate_limits": {"budgets": [{"key": "all", "otherwise": windows}]},
    }


def run(seconds: float, refused_at: float) -> list[tuple[float, int, int]]:
    """The time, thread and status of every request that the API received."""
    faults = FaultPlan.script()
    with (
        tempfile.TemporaryDirectory() as folder,
        Sandbox(api(), faults=faults, retry_after="decimals") as sandbox,
    ):
        with Nango(
            {"api": api()},
            overrides={"api": {"requests": {"base_url": sandbox.base_url}}},
            database_url=f"sqlite:///{folder}/nango.db",
        ) as nango:
            nango.register_connection("api", "user-1", {"api_key": "key_of_user_1"})
            executor = nango.executor("api", "user-1")
            started = time.monotonic()

            def call(number: int) -> None:
                while time.monotonic() < started + seconds:
                    executor.get("things", headers={"X-Thread": str(number)})

            threads = [threading.Thread(target=call, args=(number,)) for number in range(THREADS)]
            for thread in threads:
                thread.start()
            time.sleep(refused_at)
            faults.add(Fault("status", status=TOO_MANY, retry_after=ASKED_SECONDS))
            for thread in threads:
                thread.join()
        return [
            (record.at - started, int(record.headers["x-thread"]), record.status)
            for record in sandbox.ledger.received
        ]


def within(moments: list[float], seconds: float) -> list[tuple[float, int]]:
    """The number of moments in the last `seconds`, at each point where it changes."""
    steps = sorted([(moment, 1) for moment in moments] + [(moment + seconds, -1) for moment in moments])
    count, found = 0, [(0.0, 0)]
    for moment, change in steps:
        found += [(moment, count), (moment, count + change)]
        count += change
    return found


def draw(received: list[tuple[float, int, int]], seconds: int) -> Picture:
    """The two panels."""
    right = LEFT + PIXELS * seconds
    top, middle, bottom, scale = 50, 190, 400, 8.5
    picture = Picture(right + 110, 440, "Requests over time under two windows, and a closed gate")
    picture.text(LEFT, 24, "8 threads, limits 10 in 1 s and 20 in 4 s")
    for at, _, status in received:
        if status == TOO_MANY:
            picture.box(LEFT + at * PIXELS, top - 10, ASKED_SECONDS * PIXELS, bottom - top + 10, "#eaeef2")
            picture.text(LEFT + at * PIXELS + 6, top - 14, "429: gate closed for 1.5 s", RED)
    picture.seconds(LEFT, PIXELS, seconds, top, bottom)
    for number in range(THREADS):
        picture.text(LEFT - 12, top + 4 + number * 17, f"thread {number + 1}", FAINT, "end")
    for at, number, status in received:
        picture.dot(LEFT + at * PIXELS, top + number * 17, RED if status == TOO_MANY else GREEN)
    picture.line((LEFT, middle + 14), (right, middle + 14), GRID)
    for (limit, length), color in ((SHORT, BLUE), (LONG, ORANGE)):
        points = [(at, count) for at, count in within([at for at, _, _ in received], length) if at <= seconds]
        picture.line((LEFT, bottom - limit * scale), (right, bottom - limit * scale), color, dashes="4 4")
        picture.text(right + 8, bottom - limit * scale + 4, f"limit {limit} in {length:g} s", color)
        picture.path([(LEFT + at * PIXELS, bottom - count * scale) for at, count in points], color)
    for count in (0, 10, 20):
        picture.text(LEFT - 12, bottom - count * scale + 4, str(count), FAINT, "end")
    picture.text(LEFT - 12, middle + 30, "received", FAINT, "end")
    return picture


def main(target: Path, *, reduced: bool) -> None:
    """Make the calls and write the picture."""
    seconds, refused_at = (2, 0.4) if reduced else (11, 5.3)
    target.write_text(str(draw(run(seconds - 0.5, refused_at), seconds)))


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument != "--reduced"]
    main(
        Path(given[0]) if given else Path(__file__).with_name("rate-limits.svg"),
        reduced="--reduced" in sys.argv,
    )
