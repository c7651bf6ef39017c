"""Executors of both kinds over an API that is a function: no socket, no file, no waiting."""

# ruff: noqa: D102 - the protocols say what their methods do
from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from nango_py.engine.async_executor import AsyncExecutor
from nango_py.engine.executor import Executor
from nango_py.engine.runtime import IntegrationRuntime
from nango_py.limits.stores.memory import MemoryLimits
from tests.support.fake_clock import ManualClock
from tests.support.made_values import FakeResponse, a_connection, an_integration

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.engine.plan import Plan

    Serve = Callable[["Request"], Any]

MOST_REQUESTS = 200


class Request:
    """What the API receives: the query as a dict, and the JSON body."""

    def __init__(self, plan: Plan, number: int) -> None:
        self.plan = plan
        self.number = number
        self.query = dict(parse_qsl(urlsplit(plan.url).query, keep_blank_values=True))
        self.body: Any = json.loads(plan.body) if isinstance(plan.body, bytes) and plan.body else None


class ScriptedApi:
    """An API whose responses a function makes: a body, or a FakeResponse.

    Attributes:
        requests: what it received, in order.
    """

    def __init__(self, serve: Serve) -> None:
        self.requests: list[Request] = []
        self._serve = serve

    def respond(self, plan: Plan) -> FakeResponse:
        request = Request(plan, len(self.requests) + 1)
        self.requests.append(request)
        assert len(self.requests) <= MOST_REQUESTS, "the walk does not end"
        served = self._serve(request)
        return served if isinstance(served, FakeResponse) else FakeResponse(body=served)

    def send(self, plan: Plan, _seconds: float) -> FakeResponse:
        return self.respond(plan)


class AsyncScriptedApi:
    """The same API for asyncio."""

    def __init__(self, api: ScriptedApi) -> None:
        self._api = api

    async def send(self, plan: Plan, seconds: float) -> FakeResponse:
        await asyncio.sleep(0)
        return self._api.send(plan, seconds)


class StoredConnection:
    """A connection source that never changes."""

    def __init__(self) -> None:
        self._connection = a_connection()
        self.identity = (self._connection.integration, self._connection.user_id)

    def __call__(self) -> Any:
        return self._connection

    get_cached = __call__


def executors(api: ScriptedApi, **settings: Any) -> tuple[Any, Any]:
    """A sync and an async executor of one API; `settings` are those of a blueprint."""
    clock: Any = ManualClock()
    runtime = IntegrationRuntime(an_integration(**settings), clock)
    first: Any = api
    second: Any = AsyncScriptedApi(api)
    limits = MemoryLimits(clock)
    return (
        Executor(lambda: runtime, StoredConnection(), first, limits, clock),
        AsyncExecutor(lambda: runtime, StoredConnection(), second, limits, clock),
    )


def collect(
    kind: str, api: ScriptedApi, path: str = "things", *, of: str = "paginate", **options: Any
) -> list[Any]:
    """The records (or pages) of a walk by the executor of one kind; `settings` holds the blueprint's."""
    settings = options.pop("settings")
    by_thread, by_task = executors(api, **settings)
    records: list[Any] = options.pop("into", [])
    if kind == "sync":
        records.extend(getattr(by_thread, of)(path, **options))
        return records

    async def walk() -> None:
        async for record in getattr(by_task, of)(path, **options):
            records.append(record)  # noqa: PERF401 - what came before an error counts

    asyncio.run(walk())
    return records
