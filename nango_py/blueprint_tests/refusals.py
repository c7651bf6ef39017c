"""Tests that waits and refusals in the format of a blueprint's API are understood."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.blueprint_tests.examples import CLOSE_ENOUGH, DEADLINE_SECONDS, RETRIED, call_of
from nango_py.errors import NangoError
from nango_py.sandbox.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.blueprint_tests.bench import Bench
    from nango_py.json_types import Settings

WAIT_SECONDS = 7.0
SUCCESS = 200


def refusal_differences(bench: Bench) -> Iterator[str]:
    """What is wrong with the handling of a 429 that asks to wait, and of a temporary failure."""
    example = next((each for each in bench.examples if _is_success(each)), None)
    if example is None:
        return
    caller = bench.caller(bench.declared, example)
    method, path, options = call_of(example)
    bench.script.replies = [Fault("status", status=429, retry_after=WAIT_SECONDS)]
    try:
        caller.executor.request(method, path, deadline_seconds=DEADLINE_SECONDS, **options)
    except NangoError as error:
        yield f"a 429 that asks to wait {WAIT_SECONDS:g} s ends the call: {error}"
        return
    finally:
        bench.script.replies = []
    first = caller.executor.attempts[0]
    seconds = caller.limits.closed[0] if caller.limits.closed else 0.0
    if first.action in RETRIED and abs(seconds - WAIT_SECONDS) > CLOSE_ENOUGH:
        yield f"a 429 asks to wait {WAIT_SECONDS:g} s, but calls wait {seconds:g} s ({first.rule})"


def _is_success(example: Settings) -> bool:
    response: Settings = example.get("response") or {}
    return bool(response.get("status") == SUCCESS)
