"""Tests the examples of a blueprint: the request that is sent, and what the engine makes of the response."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nango_py.attempt import Attempt
from nango_py.connections.connection import thaw
from nango_py.engine.call import read_json
from nango_py.errors import NangoError, RequestFailed, printable
from nango_py.record import record
from nango_py.sandbox import SandboxResponse
from nango_py.sandbox.faults import Fault
from nango_py.sandbox.responses import ApiResponses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py.blueprint_tests.bench import Bench
    from nango_py.engine.plan import Plan
    from nango_py.json_types import Settings
    from nango_py.transport.response import Response
    from nango_py.transport.sendable import Sendable

FIRST_ERROR = 400
FAULTS = {"reset": "reset_after", "truncated": "truncate"}
RETRIED = frozenset({"retry", "wait"})
ERRORS = frozenset({"fail", "refresh", *RETRIED})
OUTCOMES = frozenset({"error", "retries", "wait_seconds", "closes"})
NOT_SECRET = frozenset({"scope", "token_type"})
DEADLINE_SECONDS = 100 * 86_400.0
"""Longer than any wait that an API asks for."""

CLOSE_ENOUGH = 0.5
"""Seconds; moments in headers have no fractions."""

SHOWN = 300


@record
class Handling:
    """What the engine did with the response of an example.

    Attributes:
        attempt: the attempt that received it.
        code: the error code that `errors` finds in it.
        message: the message that `errors` finds in it.
        seconds: how long it stops calls; 0 if it does not.
    """

    attempt: Attempt
    code: str
    message: str
    seconds: float = 0.0


def example_differences(bench: Bench, example: Settings) -> Iterator[str]:
    """What is different between an example, the request of its call, and the handling of its response."""
    try:
        plan = plan_example(bench, example)
    except NangoError as error:
        yield f"the call cannot be made: {error}"
        return
    yield from request_differences(example, plan)
    expects, response = example.get("expects") or {}, example.get("response")
    if "counts" in expects:
        yield from _count_differences(bench, example)
    if response is None:
        return
    if expects.keys() & OUTCOMES or response.get("status", 0) >= FIRST_ERROR:
        yield from handling_differences(bench, example)
    elif "status" in response and "next_page" not in expects:
        yield from response_differences(bench, example)


def plan_example(bench: Bench, example: Settings) -> Plan:
    """The request of an example's call to the real API.

    Raises:
        NangoError: the credentials or the call are invalid.
    """
    caller = bench.caller(bench.declared, example)
    method, path, options = call_of(example)
    return caller.executor.plan(method, path, **options)


def call_of(example: Settings) -> tuple[str, str, dict[str, Any]]:
    """Method, path and options of an example's call, as an executor takes them."""
    options = thaw(example["call"])
    method, path = options.pop("method", "GET"), options.pop("path")
    if "body" in options:
        options["data"] = options.pop("body").encode()
    return method, path, {name: value for name, value in options.items() if not name.startswith("x-")}


def request_differences(example: Settings, plan: Sendable) -> Iterator[str]:
    """The differences between a request and the `sends` of an example."""
    sends = example.get("sends") or {}
    headers = {name: value for name, (_, value) in plan.headers.items()}
    for name, found in (("method", plan.method), ("URL", plan.url)):
        expected = sends.get(name.lower())
        if expected is not None and found != expected:
            yield f"the {name} is {printable(found, SHOWN)}; expected {printable(expected, SHOWN)}"
    for name, expected in (sends.get("headers") or {}).items():
        value = headers.get(name.lower())
        if value != expected:
            found = "missing" if value is None else printable(value, SHOWN)
            yield f"the header {name} is {found}; expected {printable(expected, SHOWN)}"
    yield from _body_differences(sends, plan)
    declared = {name.lower() for name in sends.get("headers") or {}}
    secrets = _secrets_of(example)
    for name, value in headers.items():
        if name not in declared and any(secret in value for secret in secrets):
            yield f"the header {name} contains a credential; list it in sends"


def _body_differences(sends: Settings, plan: Sendable) -> Iterator[str]:
    body = plan.body if isinstance(plan.body, bytes) else b""
    if "json" in sends and _parse(body) != thaw(sends["json"]):
        yield f"the body is {_show(body)}; expected {_show(json.dumps(thaw(sends['json'])).encode())}"
    if "body" in sends and body != sends["body"].encode():
        yield f"the body is {_show(body)}; expected {_show(sends['body'].encode())}"


def _parse(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return body


def _show(body: bytes) -> str:
    return printable(body.decode("utf-8", "replace"), SHOWN) or "empty"


def _secrets_of(example: Settings) -> set[str]:
    credentials: Mapping[str, object] = example.get("credentials") or {}
    return {
        value
        for name, value in credentials.items()
        if isinstance(value, str) and value and name not in NOT_SECRET
    }


def response_differences(bench: Bench, example: Settings) -> Iterator[str]:
    """The differences between a response of the sandbox and the `response` of an example."""
    caller = bench.caller(bench.declared, example)
    method, path, options = call_of(example)
    try:
        response = caller.executor.request(method, path, deadline_seconds=DEADLINE_SECONDS, **options)
    except NangoError as error:
        yield f"the sandbox does not respond to the call: {error}"
        return
    expected = example["response"]
    if response.status_code != expected["status"]:
        status, text = response.status_code, _show(response.content)
        yield f"the sandbox responds with {status}: {text}; expected {expected['status']}"
    elif "json" in expected and method != "HEAD" and read_json(response) != thaw(expected["json"]):
        yield f"the sandbox responds with {_show(response.content)}, and not with the example"
    action = response.attempts[-1].action
    if action in ERRORS:
        rule = response.attempts[-1].rule
        yield f"the response counts as an error ({rule}); say so in expects, such as {{error: code}}"


def handling_differences(bench: Bench, example: Settings) -> Iterator[str]:
    """The differences between the `expects` of an example and what the engine does with its response."""
    expects, declared = example.get("expects") or {}, example["response"]
    handling = handle_response(bench, example)
    action = handling.attempt.action
    wanted = declared.get("status") or declared["error"]
    found = handling.attempt.status or handling.attempt.reason
    if found != wanted:
        yield f"the call received {found}; expected {wanted}"
        return
    yield from _error_differences(bench, example, handling)
    retries = expects.get("retries")
    if retries is not None and retries is not (action in RETRIED):
        what = "is retried" if action in RETRIED else "is not retried"
        yield f"the call {what} ({handling.attempt.rule}); expected retries: {str(retries).lower()}"
    wait = expects.get("wait_seconds")
    if wait is not None and abs(handling.seconds - wait) > CLOSE_ENOUGH:
        yield f"calls wait {handling.seconds:g} s ({handling.attempt.rule}); expected {wait:g} s"
    closes = expects.get("closes")
    names = [closes] if isinstance(closes, str) else sorted(closes or ())
    if names and handling.attempt.closed != ", ".join(names):
        yield f"calls of {handling.attempt.closed or 'no budget'} wait; expected {', '.join(names)}"


def _error_differences(bench: Bench, example: Settings, handling: Handling) -> Iterator[str]:
    """The differences between the expected error and the one that a caller gets."""
    declared, expected = example["response"], (example.get("expects") or {}).get("error")
    errors = bench.settings.get("errors") or {}
    is_error = declared.get("status", 0) >= FIRST_ERROR and bool(declared.get("json"))
    if is_error and errors and not (handling.code or handling.message):
        yield "errors finds neither a code nor a message in the response"
    elif is_error and errors.get("message") and not handling.message:
        yield f'errors.message "{printable(errors["message"], SHOWN)}" finds nothing in the response'
    if expected is None:
        return
    if handling.code != expected:
        found = printable(handling.code, SHOWN) or "not found"
        yield f"the error code is {found}; expected {printable(expected, SHOWN)}"
    if handling.attempt.action not in ERRORS:
        yield "the response counts as a success; a rule in retries.rules with do: fail makes it an error"


def handle_response(bench: Bench, example: Settings) -> Handling:
    """Make the call of an example against a sandbox that gives its response once, and then succeeds."""
    response = _scripted_response(bench, example)
    method, path, options = call_of(example)
    caller = bench.caller(bench.declared, example)
    bench.script.replies = [response, SandboxResponse.of({})]
    failure = ""
    try:
        caller.executor.request(method, path, deadline_seconds=DEADLINE_SECONDS, **options)
    except RequestFailed as error:
        failure = str(error)
    if not caller.executor.attempts:
        return Handling(Attempt(0, reason=f"nothing ({failure})"), "", "")
    code, message = _read_error(bench, example, response)
    bench.script.replies = []
    attempt = caller.executor.attempts[0]
    if not caller.limits.closed:
        return Handling(attempt, code, message)
    return Handling(attempt, code, message, caller.limits.closed[0])


def _scripted_response(bench: Bench, example: Settings) -> SandboxResponse | Fault:
    """The response of an example as the sandbox sends it."""
    error = example["response"].get("error")
    return Fault(FAULTS[error]) if error else ApiResponses(bench.settings).of_example(example)


def _read_error(bench: Bench, example: Settings, scripted: SandboxResponse | Fault) -> tuple[str, str]:
    """The code and the message that a caller gets who does not wait for another attempt."""
    caller = bench.caller(bench.declared, example)
    caller.runtime.retries = caller.runtime.retries.at_most(1)
    method, path, options = call_of(example)
    bench.script.replies = [scripted]
    response: Response | None
    try:
        response = caller.executor.request(method, path, **options)
    except RequestFailed as error:
        response = error.response
    if response is None:
        return "", ""
    return caller.runtime.read_error(response, caller.executor.plan(method, path, **options))


def _count_differences(bench: Bench, example: Settings) -> Iterator[str]:
    """The differences between `expects.counts` and the limits that a call counts against."""
    caller = bench.caller(bench.declared, example)
    method, path, options = call_of(example)
    plan = caller.executor.plan(method, path, **options)
    spends, _ = caller.runtime.spends_of(plan)
    found = [
        limit.label if spend.cost == 1 else f"{spend.cost:g} of {limit.label}"
        for spend in spends
        for limit in spend.limits
    ]
    expected = list(example["expects"]["counts"])
    if found != expected:
        yield f"the call counts against {', '.join(found) or 'no limit'}; expected {', '.join(expected)}"
