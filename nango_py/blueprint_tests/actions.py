"""Tests the examples of a blueprint's actions: what they send, and what they make of the responses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nango_py.actions.execution import Execution
from nango_py.actions.parallel import InOrder
from nango_py.actions.yaml_actions import Caller, RunnableYaml
from nango_py.blueprint_tests.bench import USER, logger
from nango_py.blueprint_tests.examples import request_differences
from nango_py.config.actions.compiled import compile_action
from nango_py.config.values import as_tuple, plain
from nango_py.connections.connection import thaw
from nango_py.engine.events import Events
from nango_py.engine.interfaces import run_sync
from nango_py.errors import NangoError, ProviderError, printable
from nango_py.sandbox.responses import ApiResponses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.blueprint_tests.bench import Bench
    from nango_py.json_types import JsonValue, Settings
    from nango_py.sandbox import SandboxResponse
    from nango_py.transport.sendable import Sendable

SECONDS = 8640000.0
"""Longer than any wait that an API asks for; waits take no time."""

SHOWN = 300


def action_differences(bench: Bench, name: str, example: Settings) -> Iterator[str]:
    """What is different between an example of an action, its requests and its result."""
    action, problems = compile_action(bench.settings, name, bench.blueprint.origins)
    if action is None:
        yield from map(str, problems)
        return
    runnable = RunnableYaml(bench.declared, action)
    example = {**_known_user(bench), **example}
    caller = bench.caller(bench.declared, example)
    bench.script.replies = [_reply(bench, response) for response in example["responses"]]
    execution = Execution(bench.declared.name, name, USER, bench.clock, Events(), logger, SECONDS)
    connection = bench.connection(bench.declared, example)
    failure: NangoError | None = None
    result: JsonValue = None
    try:
        given = runnable.input.check(plain(example.get("input") or {}))
        result = run_sync(
            runnable.run(given, execution, Caller(caller.executor, lambda: connection, InOrder()))
        )
    except NangoError as error:
        failure = error
    left = len(bench.script.replies)
    bench.script.replies = []
    yield from _request_differences(example, caller.sender.sent)
    if left:
        yield f"{left} of {len(example['responses'])} responses were not asked for"
    yield from _result_differences(example, result, failure)


def _known_user(bench: Bench) -> Settings:
    """The credentials and settings of the blueprint's first example, which the sandbox knows."""
    first: Settings = next(iter(bench.examples), {})
    return {name: first[name] for name in ("credentials", "additional_config") if name in first}


def _reply(bench: Bench, response: Settings) -> SandboxResponse:
    return ApiResponses(bench.settings).of_example({"response": response})


def _result_differences(example: Settings, result: JsonValue, failure: NangoError | None) -> Iterator[str]:
    if "error" in example:
        expected = str(example["error"])
        if failure is None:
            yield f"the result is {_show(result)}; expected the error {printable(expected, SHOWN)}"
        elif not isinstance(failure, ProviderError) or expected not in {failure.code, str(failure.status)}:
            yield f"the error is {failure}; expected {printable(expected, SHOWN)}"
    elif failure is not None:
        yield f"the action failed: {failure}"
    elif "output" in example and result != thaw(example["output"]):
        yield f"the result is {_show(result)}; expected {_show(thaw(example['output']))}"


def _request_differences(example: Settings, sent: list[Sendable]) -> Iterator[str]:
    if example.get("sends") is None:
        return
    expected = as_tuple(example["sends"])
    if len(sent) != len(expected):
        yield f"{len(sent)} requests were sent; expected {len(expected)}"
    for number, (sends, request) in enumerate(zip(expected, sent, strict=False), start=1):
        for what in request_differences({"sends": sends}, request):
            yield f"request {number}: {what}" if len(expected) > 1 else what


def _show(value: JsonValue) -> str:
    return printable(json.dumps(value, ensure_ascii=False), SHOWN)
