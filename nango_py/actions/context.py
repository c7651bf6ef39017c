"""The context that a Python action is called with: calls for one connection, a log, and a memory."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nango_py.engine.async_executor import AsyncExecutor
from nango_py.engine.executor import Executor
from nango_py.errors import DeadlineExceeded
from nango_py.secret import mask_rare
from nango_py.transport.response import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self, Unpack

    from nango_py.actions.execution import Execution
    from nango_py.attempt import CallRecord
    from nango_py.connections.connection import Connection
    from nango_py.engine.async_page_iterators import AsyncRecords
    from nango_py.engine.base_executor import BaseExecutor
    from nango_py.engine.call_arguments import RequestOptions
    from nango_py.engine.page_iterators import Records
    from nango_py.engine.paging_options import GraphQLCallOptions, GraphQLOptions, PagingOptions
    from nango_py.json_types import JsonObject, JsonValue

Result = TypeVar("Result")


def _note_call(execution: Execution, record: CallRecord) -> None:
    """Note a call that begins.

    Raises:
        DeadlineExceeded: the action has ended, so that its code may make no more calls.
    """
    if execution.is_over:
        raise DeadlineExceeded("the action has ended; it may make no more calls")
    execution.call_ids.append(record.call_id)


class WatchedExecutor(Executor):
    """An executor whose calls belong to an execution."""

    __slots__ = ("_execution",)

    def watch(self, execution: Execution) -> Self:
        """The same, once the execution is known."""
        self._execution = execution
        return self

    def _state(self) -> dict[str, object]:
        return {**super()._state(), "_execution": self._execution}

    def _remember(self, call: CallRecord) -> None:
        _note_call(self._execution, call)
        super()._remember(call)


class WatchedAsyncExecutor(AsyncExecutor):
    """The same for asyncio."""

    _execution: Execution

    def watch(self, execution: Execution) -> Self:
        """The same, once the execution is known."""
        self._execution = execution
        return self

    def _state(self) -> dict[str, object]:
        return {**super()._state(), "_execution": self._execution}

    def _remember(self, call: CallRecord) -> None:
        _note_call(self._execution, call)
        super()._remember(call)


class ActionLog(logging.LoggerAdapter[logging.Logger]):
    """A logger whose records name the execution; secrets of the connection are masked in them.

    Args:
        execution: whose records they are.
        logger: the logger of the integration.
        secrets: returns the texts to mask.
    """

    def __init__(
        self, execution: Execution, logger: logging.Logger, secrets: Callable[[], tuple[str, ...]]
    ) -> None:
        fields = {
            "integration": execution.integration,
            "user_id": execution.user_id,
            "action": execution.action,
            "execution": execution.execution_id,
        }
        super().__init__(logger, {"nango": fields})
        self._prefix = " ".join(map(str, fields.values()))
        self._secrets = secrets

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a message, masked."""
        if not self.isEnabledFor(level):
            return
        text = _text_of(msg, args)
        exception = kwargs.pop("exc_info", None)
        if exception:
            error = exception if isinstance(exception, BaseException) else sys.exception()
            text += "\n" + "".join(traceback.format_exception(error)) if error is not None else ""
        kwargs.setdefault("stacklevel", 2)
        self.logger.log(
            level,
            "%s: %s",
            self._prefix,
            mask_rare(text, self._secrets()),
            extra=dict(self.extra or {}),
            **kwargs,
        )


def _text_of(msg: object, args: tuple[object, ...]) -> str:
    """The message as `logging` makes it; one whose arguments do not fit is logged without them."""
    try:
        return logging.LogRecord("", 0, "", 0, msg, args, None).getMessage()
    except Exception:  # noqa: BLE001 - a log must not end an action
        return f"{type(msg).__name__} whose arguments do not fit"


class _Context(Generic[Result]):
    """The common part of both kinds of context.

    Attributes:
        executor: the executor of the connection, for what the context has no method for.
        integration: the integration that was called.
        action: the name of the action.
        user_id: the user of the connection.
        execution_id: the id of this execution, as in its log records and events.
        log: a logger whose records name the execution.
    """

    def __init__(
        self,
        executor: BaseExecutor[Result],
        execution: Execution,
        read_connection: Callable[[], Connection],
        logger: logging.Logger,
        secrets: Callable[[], tuple[str, ...]],
    ) -> None:
        self.executor = executor
        self.integration = execution.integration
        self.action = execution.action
        self.user_id = execution.user_id
        self.execution_id = execution.execution_id
        self.log = ActionLog(execution, logger, secrets)
        self._execution = execution
        self._read_connection = read_connection

    @property
    def connection(self) -> Connection:
        """The connection as it is stored now; each text of its credentials is a `Secret`."""
        return self._read_connection()

    @property
    def saved(self) -> JsonValue:
        """The value of the last checkpoint, of this attempt or an earlier one; None before the first."""
        return self._execution.memory.saved

    @property
    def idempotency_key(self) -> str:
        """A key that is the same on every attempt of a job, for requests; else the id of the execution."""
        return self._execution.memory.idempotency_key or self._execution.execution_id

    @property
    def seconds_left(self) -> float:
        """The seconds until the action's deadline.

        Raises:
            DeadlineExceeded: the deadline has passed.
        """
        return self._execution.seconds_left()

    def checkpoint(self, value: JsonValue) -> None:
        """Remember a JSON value: if a job tries the action again, `saved` has it."""
        from nango_py.actions.python_types import to_json

        self._execution.memory.checkpoint(to_json(value, "the checkpoint"))

    def request(self, method: str, path: str, **options: Unpack[RequestOptions]) -> Result:
        """Make a call; an error response is raised, unless `raise_for_error=False`."""
        return self.executor.request(
            method, path, **{"raise_for_error": True, **self._limit_options(options)}
        )

    def get(self, path: str, **options: Unpack[RequestOptions]) -> Result:
        """GET a path; see `request`."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Unpack[RequestOptions]) -> Result:
        """POST to a path; see `request`."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Unpack[RequestOptions]) -> Result:
        """PUT to a path; see `request`."""
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Unpack[RequestOptions]) -> Result:
        """PATCH a path; see `request`."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Unpack[RequestOptions]) -> Result:
        """DELETE a path; see `request`."""
        return self.request("DELETE", path, **options)

    def _limit_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a call that ends before the action has to."""
        left, given = self._execution.seconds_left(), options.get("deadline_seconds")
        if given is None and not self._execution.has_deadline:
            return dict(options)
        return {**options, "deadline_seconds": left if given is None else min(given, left)}


class ActionContext(_Context[Response]):
    """The context of a Python action: calls of its connection, a log, and a memory.

    The calls take the arguments of `Executor` and end before the action's deadline.
    """

    executor: WatchedExecutor

    def paginate(self, path: str, **options: Unpack[PagingOptions]) -> Records:
        """The records of all pages, one by one; see `Executor.paginate`."""
        return self.executor.paginate(path, **self._limit_options(options))

    def graphql(
        self, query: str, variables: Mapping[str, Any] | None = None, **options: Unpack[GraphQLCallOptions]
    ) -> JsonObject:
        """Send a GraphQL request and return its data, as `Executor.graphql` does."""
        return self.executor.graphql(query, variables, **self._limit_options(options))

    def paginate_graphql(
        self, query: str, variables: Mapping[str, Any] | None = None, **options: Unpack[GraphQLOptions]
    ) -> Records:
        """The records of a GraphQL connection; see `Executor.paginate_graphql`."""
        return self.executor.paginate_graphql(query, variables, **self._limit_options(options))


class AsyncActionContext(_Context[Coroutine[Any, Any, Response]]):
    """The same for an action that is an async function; await the calls."""

    executor: WatchedAsyncExecutor

    def paginate(self, path: str, **options: Unpack[PagingOptions]) -> AsyncRecords:
        """The records of all pages, one by one; see `AsyncExecutor.paginate`."""
        return self.executor.paginate(path, **self._limit_options(options))

    def graphql(
        self, query: str, variables: Mapping[str, Any] | None = None, **options: Unpack[GraphQLCallOptions]
    ) -> Coroutine[Any, Any, JsonObject]:
        """Send a GraphQL request and return its data, as `Executor.graphql` does."""
        return self.executor.graphql(query, variables, **self._limit_options(options))

    def paginate_graphql(
        self, query: str, variables: Mapping[str, Any] | None = None, **options: Unpack[GraphQLOptions]
    ) -> AsyncRecords:
        """The records of a GraphQL connection; see `Executor.paginate_graphql`."""
        return self.executor.paginate_graphql(query, variables, **self._limit_options(options))
