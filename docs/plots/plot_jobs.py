"""Draws jobs.svg from a real run: which slot of a worker runs which job, while the quota is short.

python docs/plots/plot_jobs.py [TARGET] [--reduced]
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svg import BLUE, FAINT, GREEN, INK, ORANGE, Picture

from nango_py import Nango, RateLimited, Sandbox

if TYPE_CHECKING:
    from nango_py import HandlerContext

LEFT, PIXELS, ROW, SLOTS = 90, 90, 40, 4
"""The x of second 0, the width of a second, the height of a slot, and the slots of the worker."""

COLORS = {"background": BLUE, "interactive": GREEN}


@dataclass(frozen=True, slots=True)
class Bar:
    """An attempt of a job.

    Attributes:
        slot: the number of the thread that ran it.
        is_put_back: whether its quota was used up.
    """

    slot: int
    lane: str
    begin: float
    end: float
    is_put_back: bool


def api(window: float) -> dict[str, Any]:
    """An API that allows each user three calls in a window."""
    limit = {"requests": 3, "per_seconds": window}
    return {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {"base_url": "https://api.example.test/", "headers": {"X-Key": "${api_key}"}},
        "rate_limits": {"budgets": [{"key": "all", "otherwise": [limit]}]},
    }


def run(*, reduced: bool) -> list[Bar]:
    """Run a backfill for three users, and an interactive job now and then."""
    window, rounds = (1.2, 1) if reduced else (2.0, 2)
    bars: list[Bar] = []
    slots: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as folder, Sandbox(api(window), strict=False) as sandbox:
        files = {"integrations": {"api": api(window)}, "config": {"jobs": {"concurrency": SLOTS}}}
        options: dict[str, Any] = {"database_url": f"sqlite:///{folder}/nango.db", "environ": {}}
        with Nango(files, overrides={"api": sandbox.overrides}, **options) as nango:
            started = time.monotonic()

            def work(context: HandlerContext) -> None:
                slot = slots.setdefault(threading.get_ident(), len(slots))
                begin, is_put_back = time.monotonic() - started, False
                try:
                    nango.executor("api", context.user_id).get("things")
                    threading.Event().wait(0.15)  # what the handler does with the response
                except RateLimited:
                    is_put_back = True
                    raise
                finally:
                    bars.append(Bar(slot, context.lane, begin, time.monotonic() - started, is_put_back))

            nango.jobs.register("work", work)
            ids = []
            for user in ("u1", "u2", "u3"):
                nango.register_connection("api", user, {"api_key": f"key_of_{user}"})
                ids += [
                    nango.jobs.enqueue("work", integration="api", user_id=user, lane="background").id
                    for _ in range(3 * rounds)
                ]
            started = time.monotonic()
            nango.jobs.start()
            for _ in range(2 * rounds):
                threading.Event().wait(0.5)
                job = nango.jobs.enqueue("work", integration="api", user_id="u1", lane="interactive")
                ids.append(job.id)
            while not all(nango.jobs.get(each).is_ended for each in ids):
                threading.Event().wait(0.05)
            nango.jobs.stop()
    return bars


def draw(bars: list[Bar]) -> Picture:
    """A row for each slot, a bar for each attempt."""
    seconds = int(max(bar.end for bar in bars)) + 1
    bottom = 50 + ROW * SLOTS
    picture = Picture(LEFT + PIXELS * seconds + 40, bottom + 40, "Jobs in the slots of a worker over time")
    picture.seconds(LEFT, PIXELS, seconds, 34, bottom)
    for x, (words, color) in zip(
        (LEFT, LEFT + 150, LEFT + 300),
        (("background", BLUE), ("interactive", GREEN), ("put back for its quota", ORANGE)),
        strict=True,
    ):
        picture.box(x, 10, 12, 12, color)
        picture.text(x + 18, 20, words, FAINT)
    for slot in range(SLOTS):
        picture.text(LEFT - 14, 66.0 + slot * ROW, f"slot {slot + 1}", INK, "end")
    for bar in bars:
        y, x = 52.0 + bar.slot * ROW, LEFT + bar.begin * PIXELS
        color = ORANGE if bar.is_put_back else COLORS[bar.lane]
        picture.box(x, y, max(3.0, (bar.end - bar.begin) * PIXELS), 20, color)
    return picture


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument != "--reduced"]
    target = Path(given[0]) if given else Path(__file__).with_name("jobs.svg")
    target.write_text(str(draw(run(reduced="--reduced" in sys.argv))))
