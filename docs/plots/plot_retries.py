"""Draws retries.svg from a real run: which calls are retried, and when.

python docs/plots/plot_retries.py [TARGET] [--reduced]
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svg import FAINT, GREEN, GREY, INK, ORANGE, RED, Picture

from nango_py import Nango, RequestFailed, Sandbox
from nango_py.sandbox import Fault, FaultPlan

if TYPE_CHECKING:
    from nango_py import Event

LEFT, PIXELS, ROW = 300, 170, 44
"""The x of second 0, the width of a second and the height of a call."""

LABEL = 36
"""The width of an outcome's word."""

TOO_MANY = 429


@dataclass(slots=True)
class Lane:
    """One call and its attempts.

    Attributes:
        delay: seconds after which it begins.
        attempts: the beginning and end of each attempt in seconds, and its outcome.
    """

    words: str
    integration: str
    method: str
    path: str
    faults: tuple[Any, ...] = ()
    delay: float = 0.0
    attempts: list[tuple[float, float, str]] = field(default_factory=list)
    end: str = ""


def lanes(asked_seconds: float) -> list[Lane]:
    """The calls of the picture."""
    refused = Fault("status", status=TOO_MANY, retry_after=asked_seconds)
    return [
        Lane("GET, two 503s", "plain", "GET", "unavailable", (503, 503)),
        Lane("GET, no response within 0.5 s", "plain", "GET", "silent", ("timeout",)),
        Lane("GET, connection dropped", "plain", "GET", "dropped", ("reset_after",)),
        Lane("POST, connection dropped", "plain", "POST", "orders", ("reset_after",)),
        Lane("POST with an idempotency key, dropped", "keyed", "POST", "payments", ("reset_after",)),
        Lane(f"GET, 429 with Retry-After: {asked_seconds:g}", "plain", "GET", "busy", (refused,)),
        Lane("GET of the same endpoint", "plain", "GET", "busy", (), 0.3),
    ]


def api(**retries: Any) -> dict[str, Any]:
    """An integration without a file."""
    return {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {
            "base_url": "https://api.example.test/",
            "headers": {"X-Key": "${api_key}"},
            "timeout_seconds": {"connect": 2, "read": 0.5},
        },
        "rate_limits": {"budgets": [{"key": "${method} ${endpoint}", "otherwise": ["1000/second"]}]},
        "retries": {"backoff": {"base_seconds": 0.6, "max_seconds": 2}, **retries},
    }


def run(calls: list[Lane]) -> None:
    """Make each call in a thread, and record its attempts."""
    script = {lane.path: lane.faults for lane in calls if lane.faults}
    started = time.time()
    by_thread: dict[int, Lane] = {}

    def note(event: Event) -> None:
        lane, end = by_thread[threading.get_ident()], event.at - started
        outcome = "" if event.attempt is None else event.attempt.reason or str(event.attempt.status)
        lane.attempts.append((end - event.seconds, end, outcome))

    def call(nango: Nango, lane: Lane) -> None:
        by_thread[threading.get_ident()] = lane
        time.sleep(lane.delay)
        executor = nango.executor(lane.integration, "user-1")
        body = {"json": {"amount": 1}} if lane.method == "POST" else {}
        lane.end = "TransportFailed: the caller decides"
        with suppress(RequestFailed):
            lane.end = str(executor.request(lane.method, lane.path, **body).status_code)

    faults = FaultPlan.script(by_path=script)
    with (
        tempfile.TemporaryDirectory() as folder,
        Sandbox(api(), faults=faults, retry_after="decimals") as sandbox,
    ):
        to = {"requests": {"base_url": sandbox.base_url}}
        with Nango(
            {"plain": api(), "keyed": api(idempotency_header="Idempotency-Key")},
            overrides={"plain": to, "keyed": to},
            database_url=f"sqlite:///{folder}/nango.db",
        ) as nango:
            nango.on("attempt", note)
            for name in ("plain", "keyed"):
                nango.register_connection(name, "user-1", {"api_key": "key_of_user_1"})
            nango.executor("plain", "user-1").plan("GET", "things")  # the first use opens files and sockets
            started = time.time()
            threads = [threading.Thread(target=call, args=(nango, lane)) for lane in calls]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


def draw(calls: list[Lane]) -> Picture:
    """A line for each call, a bar for each attempt."""
    seconds = int(max(end for lane in calls for _, end, _ in lane.attempts)) + 1
    bottom = 50 + ROW * len(calls)
    title = "Calls over time: attempts, waits and outcomes"
    picture = Picture(LEFT + PIXELS * seconds + 120, bottom + 40, title)
    picture.text(LEFT, 20, "bar: one attempt; line: waiting", FAINT)
    picture.seconds(LEFT, PIXELS, seconds, 34, bottom)
    for number, lane in enumerate(calls):
        y = 62.0 + number * ROW
        picture.text(LEFT - 14, y + 4, lane.words, INK, "end")
        ends = [lane.delay, *(end for _, end, _ in lane.attempts)]
        for index, ((begin, end, outcome), before) in enumerate(zip(lane.attempts, ends, strict=False)):
            color = GREEN if outcome.startswith("2") else ORANGE if outcome == str(TOO_MANY) else RED
            picture.line((LEFT + before * PIXELS, y), (LEFT + begin * PIXELS, y), GREY)
            picture.box(LEFT + begin * PIXELS, y - 7, max(4.0, (end - begin) * PIXELS), 14, color)
            is_near = index > 0 and (begin - before) * PIXELS < LABEL
            picture.text(LEFT + begin * PIXELS, y + 19 if is_near else y - 11, outcome, color)
        if not lane.end.isdecimal():
            picture.text(LEFT + ends[-1] * PIXELS + 12, y + 4, lane.end, RED)
    return picture


def main(target: Path, *, reduced: bool) -> None:
    """Make the calls and write the picture."""
    calls = lanes(0.2 if reduced else 1.5)
    run(calls)
    target.write_text(str(draw(calls)))


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument != "--reduced"]
    main(
        Path(given[0]) if given else Path(__file__).with_name("retries.svg"), reduced="--reduced" in sys.argv
    )
