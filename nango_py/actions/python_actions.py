"""Runs actions that are Python functions, within their deadline, and reports what they raise, masked."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import traceback
import typing
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any

from nango_py.actions.definition import PYTHON, ActionInfo, InputCheck
from nango_py.actions.python_types import (
    UnsupportedTypeError,
    UnusableResultError,
    from_json,
    schema_of,
    to_json,
)
from nango_py.config.actions.compiled import defaults_of
from nango_py.errors import ActionInputError, ConfigError, Position, Problem
from nango_py.secret import mask_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.actions.execution import Execution
    from nango_py.actions.registering import Registration
    from nango_py.json_types import JsonObject, JsonValue

GRACE_SECONDS = 1.0
"""How long a cancelled coroutine may take to end."""


class RunnablePython:
    """An action that is a function.

    Attributes:
        info: what is known of it.
        function: the function; it takes a context and `arguments`.
        is_async: whether it is a coroutine function.

    Raises:
        ConfigError: its annotations have no JSON Schema (E706).
    """

    __slots__ = ("_check", "_input_type", "_takes_input", "function", "info", "is_async")

    def __init__(self, integration: str, registration: Registration) -> None:
        function = registration.function
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function)
        place = f"{function.__module__}.{function.__qualname__}"
        input_type, output_type, self._takes_input = _types_of(function, place)
        self._input_type = input_type
        input_schema = _schema(input_type, place, "input")
        if input_schema.get("type") != "object":
            if input_schema:
                what = "the input of an action is an object"
                raise ConfigError([Problem(Position(place), "E706", what, "expected a class or a dict")])
            input_schema = {"type": "object"}
        output = _schema(output_type, place, "return") if output_type is not inspect.Signature.empty else {}
        self._check = InputCheck(input_schema, defaults_of(input_schema))
        changes = registration.changes
        self.info = ActionInfo(
            integration=integration,
            name=registration.name,
            title=registration.title or registration.name,
            description=registration.description or inspect.getdoc(function) or "",
            changes=("anything",) if changes is None else changes,
            input_schema=input_schema,
            output_schema=output or None,
            kind=PYTHON,
            place=place,
        )

    def check_input(self, given: Mapping[str, JsonValue] | None) -> JsonObject:
        """A copy of the input with defaults, so that the function cannot change the caller's.

        Raises:
            ActionInputError: it does not fit the types.
        """
        checked = self._check.check(self.info.integration, self.info.name, given)
        try:
            copy = to_json(checked)
        except UnusableResultError as error:
            what = str(error).replace("the result", "the input")
        else:
            assert isinstance(copy, dict)  # noqa: S101 - a copy of a dict
            return copy
        raise self._input_error(what)

    def _input_error(self, what: str) -> ActionInputError:
        problem = Problem(Position("input"), "E201", what)
        return ActionInputError(self.info.integration, self.info.name, [problem])

    def arguments(self, given: JsonObject) -> tuple[Any, ...]:
        """The arguments after the context.

        Raises:
            ActionInputError: the type of the input refuses it.
        """
        if not self._takes_input:
            return ()
        what = ""
        try:
            return (from_json(self._input_type, given),)
        except (TypeError, ValueError) as error:  # a pydantic model, or __post_init__
            what = f"{type(error).__name__}: the type of the input refuses it"
        raise self._input_error(what)


def _types_of(function: Callable[..., Any], place: str) -> tuple[Any, Any, bool]:
    """The types of input and result, and whether the function takes an input."""
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters:
        what = "an action takes a context and an input"
        raise ConfigError([Problem(Position(place), "E706", what, "", "write def run(context, input)")])
    names = [parameters[1].name] if len(parameters) > 1 else []
    try:
        hints = _hints_of(function, (*names, "return"))
    except Exception as error:  # noqa: BLE001 - annotations are the module's own code
        what = f"its annotations cannot be read: {type(error).__name__}: {error}"
        problem = Problem(Position(place), "E706", what, "", "import the types outside of TYPE_CHECKING")
        raise ConfigError([problem]) from None
    given = hints.get(names[0], dict) if names else dict
    return given, hints.get("return", inspect.Signature.empty), bool(names)


def _hints_of(function: Callable[..., Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The annotations of some parameters; others, such as that of the context, need not be importable."""
    written = {name: value for name, value in function.__annotations__.items() if name in names}
    holder = type("Annotated", (), {"__annotations__": written})
    found: dict[str, Any] = typing.get_type_hints(
        holder, getattr(inspect.unwrap(function), "__globals__", {}), include_extras=True
    )
    return found


def _schema(annotation: Any, place: str, what: str) -> JsonObject:
    if annotation is None or annotation is type(None):
        return {"type": "null"}
    try:
        return schema_of(annotation)
    except UnsupportedTypeError as error:
        text = f"{what}: {error}"
    help_ = "use a dataclass, a TypedDict, a pydantic model or plain types"
    raise ConfigError([Problem(Position(place), "E706", text, "", help_)])


class Worker:
    """Runs a function in a daemon thread, which can be left behind when the time is over."""

    __slots__ = ("_execution", "_future")

    def __init__(self, function: Callable[[], Any], execution: Execution) -> None:
        self._execution = execution
        self._future: Future[Any] = Future()
        context = contextvars.copy_context()
        name = f"nango-action-{execution.execution_id}"
        threading.Thread(target=lambda: context.run(self._run, function), name=name, daemon=True).start()

    def _run(self, function: Callable[[], Any]) -> None:
        try:
            value = function()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._future.set_exception(error)
        else:
            self._future.set_result(value)

    def wait(self) -> Any:
        """The value of the function.

        Raises:
            DeadlineExceeded: it has not ended in time.
        """
        wait((self._future,), self._execution.seconds_left())
        return self._result()

    async def wait_async(self) -> Any:
        """The same without blocking the event loop."""
        await asyncio.wait({asyncio.wrap_future(self._future)}, timeout=self._execution.seconds_left())
        return self._result()

    def _result(self) -> Any:
        if not self._future.done():
            raise self._execution.out_of_time()
        return self._future.result()


async def wait_for_task(task: asyncio.Task[Any], execution: Execution) -> Any:
    """The result of a task, which is cancelled when the time is over, or with the caller.

    Raises:
        DeadlineExceeded: it has not ended in time.
    """
    try:
        done, _ = await asyncio.wait({task}, timeout=execution.seconds_left())
    except BaseException:
        execution.is_over = True
        task.cancel()
        await asyncio.wait({task}, timeout=GRACE_SECONDS)
        raise
    if not done:
        execution.is_over = True
        task.cancel()
        await asyncio.wait({task}, timeout=GRACE_SECONDS)
        _ = task.done() and not task.cancelled() and task.exception()  # has been looked at
        raise execution.out_of_time()
    return task.result()


def describe_error(error: BaseException, secrets: tuple[str, ...]) -> tuple[str, str]:
    """The message of an exception and its traceback, masked."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception that cannot be printed
        text = "(its message cannot be read)"
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=-20))
    # Masked before it is cut, so that no half of a secret stays.
    message = mask_secrets(text[:LONGEST_READ], secrets)
    shown = message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]}..."
    return shown, mask_secrets(trace[-LONGEST_READ:], secrets)[-LONGEST_TRACE:]


LONGEST_READ = 100_000
LONGEST_MESSAGE = 1000
LONGEST_TRACE = 20_000
