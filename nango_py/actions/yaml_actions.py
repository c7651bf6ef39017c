"""Runs the actions of YAML files. The steps are coroutines, the same for threads and asyncio."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from nango_py.actions.definition import InputCheck, OutputCheck, yaml_info
from nango_py.config.template.filters import Absent, TemplateProblem
from nango_py.engine.bound_settings import config_of
from nango_py.engine.call import read_json
from nango_py.engine.log import get_logger
from nango_py.engine.page_iterators import Reader
from nango_py.engine.response_body import read_body
from nango_py.engine.retry import Facts
from nango_py.errors import (
    ActionInputError,
    InvalidRequest,
    Position,
    Problem,
    ProviderError,
    RequestFailed,
)
from nango_py.json_path import search_json
from nango_py.json_types import as_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.actions.execution import Execution
    from nango_py.actions.parallel import Parallel
    from nango_py.config.actions.compiled import Result, Step, YamlAction
    from nango_py.config.actions.requests import ActionRequest
    from nango_py.config.model import Integration
    from nango_py.connections.connection import Connection
    from nango_py.engine.base_executor import BaseExecutor
    from nango_py.json_types import JsonObject, JsonValue
    from nango_py.transport.response import Response

MAX_ITEMS = 10_000
"""The most items of one `for_each`."""

REDIRECTS = range(300, 400)
"""Statuses of responses that lead elsewhere, or say that nothing has changed: none of them is a result."""


class Caller:
    """An executor, and what it belongs to."""

    __slots__ = ("executor", "parallel", "read_connection")

    def __init__(
        self,
        executor: BaseExecutor[Any],
        read_connection: Callable[[], Connection],
        parallel: Parallel,
    ) -> None:
        self.executor = executor
        self.read_connection = read_connection
        self.parallel = parallel


class RunnableYaml:
    """An action of a YAML file, ready to run for any connection of an integration.

    Attributes:
        info: its description.
        input: checks inputs.
        output: checks results.
        logger: the logger of the integration.
    """

    __slots__ = ("_action", "_integration", "info", "input", "logger", "output")

    def __init__(self, integration: Integration, action: YamlAction) -> None:
        self._action = action
        self._integration = integration
        self.info = yaml_info(integration.name, action)
        self.input = InputCheck(self.info)
        self.output = OutputCheck(self.info.output_schema)
        self.logger = get_logger(integration.name, integration.log_level)

    async def run(self, given: JsonObject, execution: Execution, caller: Caller) -> JsonValue:
        """Run the action with a checked input.

        Raises:
            ActionInputError: a value of the input cannot be sent.
            NangoError: a call failed.
        """
        run = _Run(self._action, given, execution, caller, self._integration)
        try:
            result = await run.result()
        except TemplateProblem as error:
            problem = error
        else:
            places = self.output.misfits(result)
            if places:
                execution.report_unexpected(places)
            return result
        if execution.call_ids:
            raise InvalidRequest(f"[{problem.code}] {problem.what}")
        place = Problem(Position("input"), problem.code, problem.what, problem.expected, problem.help)
        raise ActionInputError(execution.integration, execution.action, [place])


class _Run:
    """One run of an action."""

    __slots__ = ("_action", "_caller", "_execution", "_given", "_steps", "_variables")

    def __init__(
        self,
        action: YamlAction,
        given: JsonObject,
        execution: Execution,
        caller: Caller,
        integration: Integration,
    ) -> None:
        self._action = action
        self._execution = execution
        self._caller = caller
        self._given = given
        self._steps: JsonObject = {}
        self._variables: dict[str, object] = {"input": given, "steps": self._steps}
        if action.roots:
            self._add_variables(action.roots, integration)

    def _add_variables(self, roots: frozenset[str], integration: Integration) -> None:
        execution, caller = self._execution, self._caller
        values: dict[str, Callable[[], object]] = {
            "additional_config": lambda: config_of(integration, caller.read_connection()),
            "user_id": lambda: execution.user_id,
            "integration": lambda: execution.integration,
            "now": lambda: int(execution.clock.now()),
            "uuid": lambda: str(uuid4()),
        }
        self._variables.update({root: values[root]() for root in roots})

    async def result(self) -> JsonValue:
        """The result of the action."""
        action = self._action
        if action.is_single:
            return await self._call(action.steps[0], self._variables, "")
        saved = as_object(self._execution.memory.saved)
        self._steps.update(as_object(saved.get("steps")))
        value: JsonValue = None
        for step in action.steps:
            if step.name in self._steps:
                value = self._steps[step.name]
                continue
            if step.items:
                value = await self._for_each(step, as_object(saved.get("items")))
            elif not step.when or _is_true(search_json(step.when, self._facts(None))):
                value = await self._call(step, self._variables, step.name)
            else:
                continue
            self._steps[step.name] = value
            if self._execution.memory.is_kept:
                self._execution.memory.note({"steps": {**self._steps}})
        if action.result is None:
            return value
        return _select(action.result, {"input": self._given, "steps": self._steps})

    def _facts(self, item: JsonValue) -> JsonObject:
        return {"input": self._given, "steps": self._steps, "item": item}

    async def _for_each(self, step: Step, saved: JsonObject) -> list[JsonValue]:
        """The value of a step for each item of its list; an attempt before this one may have made some."""
        found = search_json(step.items, {"input": self._given, "steps": self._steps})
        items = found if isinstance(found, list) else []
        if len(items) > MAX_ITEMS:
            raise InvalidRequest(f"step {step.name} has {len(items)} items; at most {MAX_ITEMS} are allowed")
        if step.when:
            items = [item for item in items if _is_true(search_json(step.when, self._facts(item)))]
        done = {str(key): value for key, value in saved.items()}

        async def make(number: int) -> None:
            if str(number) not in done:
                variables = {**self._variables, "item": items[number]}
                done[str(number)] = await self._call(step, variables, f"{step.name}.{number}")

        memory = self._execution.memory
        # A job notes after each batch what is done, in one thread, so that no note overwrites a newer one.
        size = step.concurrency if memory.is_kept else max(len(items), 1)
        for start in range(0, len(items), size):
            batch = range(start, min(start + size, len(items)))
            try:
                await self._caller.parallel.map(make, batch, step.concurrency)
            finally:
                if memory.is_kept:
                    memory.note({"steps": {**self._steps}, "items": {**done}})
        return [done[str(number)] for number in range(len(items))]

    async def _call(self, step: Step, variables: Mapping[str, Any], place: str) -> JsonValue:
        """The value of one request."""
        request, execution = step.request, self._execution
        if step.values:
            variables = {**variables, "values": self._values_of(step, variables.get("item"))}
        executor = self._caller.executor
        if request.base:
            executor = executor.at(request.base)
        path = request.path(variables)
        options = self._options(request, variables)
        if execution.memory.idempotency_key:
            key = _key_of(execution, place)
            options.update(_key_option(executor, request.method, path, options, key))
        failure: ProviderError
        try:
            value = await self._value(request, executor, path, options, variables)
        except ProviderError as error:
            execution.call_ids.append(error.call_id)
            failure = error
        except RequestFailed as error:
            if error.call_id:
                execution.call_ids.append(error.call_id)
            raise
        else:
            return value if step.result is None else _select(step.result, value)
        return _expected_result(step, failure, path)

    def _values_of(self, step: Step, item: JsonValue) -> JsonObject:
        facts = self._facts(item)
        found = {name: search_json(path, facts) for name, path in step.values}
        return {name: value for name, value in found.items() if value is not None}

    def _options(self, request: ActionRequest, variables: Mapping[str, object]) -> dict[str, Any]:
        """The options of the call, which ends before the action has to."""
        options, execution = request.make_options(variables), self._execution
        if execution.has_deadline:
            options["deadline_seconds"] = execution.seconds_left()
        elif not self._action.is_single:
            execution.seconds_left()  # no call begins after the end
        return options

    async def _value(
        self,
        request: ActionRequest,
        executor: BaseExecutor[Any],
        path: str,
        options: dict[str, Any],
        variables: Mapping[str, object],
    ) -> JsonValue:
        """What the API returns: the JSON of its response, the records of all pages, or GraphQL data."""
        if request.paging is not None:
            options |= request.paging.options
            limit = request.paging.max_records(variables)
            options["max_records"] = MAX_ITEMS if isinstance(limit, Absent) else limit
            if request.query:
                walk = executor.start_graphql_walk(request.query, request.variables(variables), options)
            else:
                walk = executor.start_walk(path, {"method": request.method, **options})
            reader, records = Reader(walk), []
            while (page := await executor.next_page(walk)) is not None:
                self._execution.call_ids.append(walk.last_call.call_id)
                records += reader.batch_of(page)
            return records
        if request.query:
            return await executor.graphql_steps(request.query, request.variables(variables), None, options)
        seconds = options.pop("deadline_seconds", None)
        response = await executor.request_steps(
            request.method, path, options, raise_for_error=True, deadline_seconds=seconds
        )
        call_id = response.attempts[-1].call_id
        if response.status_code in REDIRECTS:
            what = f"{request.method} /{path}: status {response.status_code}, which has no result"
            raise ProviderError(
                what,
                status=response.status_code,
                attempts=response.attempts,
                response=response,
                call_id=call_id,
            )
        self._execution.call_ids.append(call_id)
        return read_value(response)


def read_value(response: Response) -> JsonValue:
    """The value of a body: of JSON or XML, its text if it is neither, and None if it is empty."""
    try:
        value: JsonValue = response.json()
    except ValueError:
        pass
    else:
        return value
    try:
        return read_body(response)
    except ValueError:
        return str(response.text) if response.content else None


def _select(result: Result, value: JsonValue) -> JsonValue:
    """The part of a value that a `result:` names."""
    if isinstance(result, dict):
        return {name: search_json(path, value) for name, path in result.items()}
    return value if result is None else search_json(result, value)


def _expected_result(step: Step, failure: ProviderError, path: str) -> JsonValue:
    """The result of an expected error.

    Raises:
        ProviderError: it is not one of the step's outcomes.
    """
    response = failure.response
    for outcome in step.outcomes:
        facts = Facts(
            step.request.method,
            path,
            response.status_code,
            header=response.headers.get,
            text=lambda: str(response.text),
            json=lambda: read_json(response),
        )
        if outcome.when.holds(facts):
            return None if outcome.result is None else _select(outcome.result, read_value(response))
    raise failure


def _is_true(value: JsonValue) -> bool:
    """Whether JMESPath takes a value as true: 0 is true, what is empty is not."""
    return value is not None and value is not False and value not in ("", [], {})


def _key_of(execution: Execution, place: str) -> str:
    """The idempotency key of one request of a job, the same on every attempt.

    Another user or action has another one, because several connections may belong to one account of the API,
    which would respond to the second with the result of the first.
    """
    job_key = execution.memory.idempotency_key
    parts = [execution.integration, execution.user_id, execution.action, job_key, place]
    return str(UUID(bytes=hashlib.sha256(json.dumps(parts).encode()).digest()[:16], version=4))


def _key_option(
    executor: BaseExecutor[Any], method: str, path: str, options: Mapping[str, Any], key: str
) -> dict[str, str]:
    """The option with the key, if the API takes one here and the action gives none."""
    if options.get("idempotency_key"):
        return {}
    named = {name: value for name, value in options.items() if name != "deadline_seconds"}
    try:
        executor.plan(method, path, **named, idempotency_key=key)
    except InvalidRequest:
        return {}
    return {"idempotency_key": key}
