"""Runs a Python action to its end or its deadline, and reports what it raises without secrets."""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nango_py.actions import python_actions
from nango_py.actions.context import (
    ActionContext,
    AsyncActionContext,
    WatchedAsyncExecutor,
    WatchedExecutor,
)
from nango_py.actions.python_actions import EscapedError, Worker, contain, describe_error, wait_for_task
from nango_py.actions.python_types import UnusableResultError, to_json
from nango_py.engine.bound_settings import bind_settings
from nango_py.errors import NangoError
from nango_py.secret import strip_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.actions.execution import Execution
    from nango_py.actions.python_actions import RunnablePython
    from nango_py.json_types import JsonObject, JsonValue
    from nango_py.services import Services

MAX_DEPTH = 8
"""How deep actions may run each other."""

_depth: contextvars.ContextVar[int] = contextvars.ContextVar("nango_action_depth", default=0)


def run_function(
    services: Services, action: RunnablePython, execution: Execution, given: JsonObject
) -> JsonValue:
    """Run a function in a thread and return its result as JSON.

    Raises:
        ActionFailed: the function raised, hangs, or returned what is not JSON.
    """
    arguments, setup = action.arguments(given), _Setup(services, execution)
    if action.is_async:
        async_context = setup.async_context()

        def call() -> Any:
            return asyncio.run(_run_task(action, async_context, arguments, execution))
    else:
        context = setup.context()

        def call() -> Any:
            return action.function(context, *arguments)

    execution.start()
    try:
        with _deeper(execution):
            worker = Worker(call, execution)
        grace_seconds = 2 * python_actions.GRACE_SECONDS if action.is_async else 0.0
        result = to_json(worker.wait(grace_seconds))
    except BaseException as error:  # noqa: BLE001 - raised again
        failure = setup.failure(error)
    else:
        execution.finish()
        return result
    raise failure


async def run_function_async(
    services: Services, action: RunnablePython, execution: Execution, given: JsonObject
) -> JsonValue:
    """The same without blocking the event loop; an async function is a task of it."""
    arguments, setup = action.arguments(given), _Setup(services, execution)
    context: Any = await asyncio.to_thread(setup.async_context if action.is_async else setup.context)
    execution.start()
    try:
        with _deeper(execution):
            if action.is_async:
                value = await _run_task(action, context, arguments, execution)
            else:
                value = await Worker(lambda: action.function(context, *arguments), execution).wait_async()
        result = to_json(value)
    except BaseException as error:  # noqa: BLE001 - raised again
        failure = setup.failure(error)
    else:
        execution.finish()
        return result
    raise failure


async def _run_task(
    action: RunnablePython, context: AsyncActionContext, arguments: tuple[Any, ...], execution: Execution
) -> Any:
    task = asyncio.ensure_future(contain(lambda: action.function(context, *arguments)))
    return await wait_for_task(task, execution)


@contextmanager
def _deeper(execution: Execution) -> Iterator[None]:
    """Count how deep actions run each other.

    Raises:
        ActionFailed: too deep.
    """
    depth = _depth.get()
    if depth >= MAX_DEPTH:
        raise execution.foreign_failure("RecursionError", f"actions run each other {MAX_DEPTH} times")
    token = _depth.set(depth + 1)
    try:
        yield
    finally:
        _depth.reset(token)


class _Setup:
    """Makes the context of an execution, and the error for what its function raises."""

    def __init__(self, services: Services, execution: Execution) -> None:
        self._services = services
        self._execution = execution
        self._sources = services.sources(execution.integration, execution.user_id)
        self._logger = services.runtime(execution.integration).logger

    def context(self) -> ActionContext:
        """The context of a sync function."""
        services = self._services
        executor = WatchedExecutor(*self._sources, services.transport, services.limits, services.clock)
        return ActionContext(executor.watch(self._execution), self._execution, *self._parts())

    def async_context(self) -> AsyncActionContext:
        """The context of an async function."""
        services = self._services
        sources = self._sources
        executor = WatchedAsyncExecutor(*sources, services.async_transport, services.limits, services.clock)
        return AsyncActionContext(executor.watch(self._execution), self._execution, *self._parts())

    def _parts(self) -> tuple[Any, ...]:
        return self._sources[1], self._logger, self._secrets

    def _secrets(self) -> tuple[str, ...]:
        """The texts of the connection that are never shown."""
        runtime, connection = self._sources[0](), self._sources[1]()
        return bind_settings(runtime.integration, connection, runtime.clock).secrets

    def failure(self, error: BaseException) -> BaseException:
        """Record the end of the execution, and return what is to be raised."""
        execution = self._execution
        if isinstance(error, NangoError) or not isinstance(error, Exception):
            return execution.record_error(error)
        if isinstance(error, UnusableResultError):
            failed = execution.foreign_failure(type(error).__name__, str(error))
        elif isinstance(error, EscapedError):
            failed = execution.foreign_failure(str(error), "")
        else:
            message, trace = describe_error(error, self._secrets())
            failed = execution.foreign_failure(type(error).__name__, message)
            self._logger.error("%s\n%s", failed, trace)
        strip_all(error)
        execution.finish(failed)
        return failed
