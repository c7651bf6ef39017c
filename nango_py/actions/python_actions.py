"""Runs actions that are Python functions, within their deadline, and reports what they raise, masked."""

from __future__ import annotations

import asyncio
import contextlib
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
from nango_py.engine.log import get_logger
from nango_py.errors import ConfigError, Position, Problem
from nango_py.secret import mask_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from nango_py.actions.execution import Execution
    from nango_py.actions.registering import Registration
    from nango_py.config.model import Integration
    from nango_py.json_types import JsonObject

GRACE_SECONDS = 1.0
"""How long a cancelled coroutine may take to end."""


class RunnablePython:
    """An action that is a function.

    Attributes:
        info: its description.
        input: checks inputs.
        logger: the logger of the integration.
        function: the function; it takes a context and `arguments`.
        is_async: whether it is a coroutine function.

    Raises:
        ConfigError: its annotations have no JSON Schema (E706).
    """

    __slots__ = ("_input_type", "_takes_input", "function", "info", "input", "is_async", "logger")

    def __init__(self, integration: Integration, registration: Registration) -> None:
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
        changes = registration.changes
        self.info = ActionInfo(
            integration=integration.name,
            name=registration.name,
            title=registration.title or registration.name,
            description=registration.description or inspect.getdoc(function) or "",
            changes=("anything",) if changes is None else changes,
            input_schema=input_schema,
            output_schema=output or None,
            kind=PYTHON,
            place=place,
        )
        self.input = InputCheck(self.info)
        self.logger = get_logger(integration.name, integration.log_level)

    def arguments(self, checked: JsonObject) -> tuple[Any, ...]:
        """The arguments after the context: a copy, so that the function cannot change the caller's input.

        Raises:
            ActionInputError: the type of the input refuses it.
        """
        what = ""
        try:
            copy = to_json(checked)
            return (from_json(self._input_type, copy),) if self._takes_input else ()
        except UnusableResultError as error:
            what = str(error).replace("the result", "the input")
        except (TypeError, ValueError) as error:  # a pydantic model, or __post_init__
            what = f"{type(error).__name__}: the type of the input refuses it"
        raise self.input.error(what)


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
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            self._future.set_exception(error)
        except BaseException as error:  # noqa: BLE001 - sys.exit() must not end the process
            self._future.set_exception(EscapedError(type(error).__name__))
        else:
            self._future.set_result(value)

    def wait(self, grace_seconds: float = 0.0) -> Any:
        """The value of the function.

        Args:
            grace_seconds: how long a function may take to end that watches the deadline.

        Raises:
            DeadlineExceeded: it has not ended in time.
        """
        wait((self._future,), self._execution.seconds_left() + grace_seconds)
        return self._result()

    async def wait_async(self) -> Any:
        """The same without blocking the event loop."""
        # A lone future of asyncio would log an exception that is not retrieved, unmasked.
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._future.add_done_callback(lambda _: _end(ended))
        await asyncio.wait({ended}, timeout=self._execution.seconds_left())
        return self._result()

    def _result(self) -> Any:
        if not self._future.done():
            raise self._execution.out_of_time()
        return self._future.result()


def _end(waiter: asyncio.Future[None]) -> None:
    """Wake the event loop that waits, if it still runs."""

    def end() -> None:
        if not waiter.done():
            waiter.set_result(None)

    with contextlib.suppress(RuntimeError):  # the loop is closed
        waiter.get_loop().call_soon_threadsafe(end)


class EscapedError(Exception):
    """An action raised SystemExit, KeyboardInterrupt or CancelledError, which would end more than itself."""


async def contain(function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """The result of an async function, whose SystemExit does not end the event loop.

    It is called here, so that a task that is cancelled before it starts leaves no coroutine behind.
    """
    name = ""
    try:
        return await function()
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:  # noqa: BLE001 - with any text
        name = type(error).__name__
    raise EscapedError(name)


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
    if task.cancelled():
        raise EscapedError("CancelledError")
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
    return shown, _shorten(mask_secrets(_shorten(trace, LONGEST_READ), secrets), LONGEST_TRACE)


LONGEST_READ = 200_000
LONGEST_MESSAGE = 1000
LONGEST_TRACE = 20_000


def _shorten(text: str, size: int) -> str:
    """The text without its middle, so that the first error of a chain and the last one stay."""
    return text if len(text) <= size else f"{text[: size // 2]}\n...\n{text[-size // 2 :]}"
