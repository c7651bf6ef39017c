"""Walks over lists by either executor."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.scripted_executors import ScriptedApi, executors

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.scripted_executors import Request

both = pytest.mark.parametrize("kind", ["sync", "async"])
CURSOR = {
    "kind": "cursor", "cursor": "next", "param": "after", "records": "items",
    "size": {"param": "limit", "value": 3, "max": 50},
}  # fmt: skip


def numbered(total: int = 10, **claims: Any) -> Callable[[Request], Any]:
    """A list of numbers; the cursor is the number before the page."""

    def serve(request: Request) -> Any:
        start = int(request.query.get("after", 0))
        size = int(request.query.get("limit", 2))
        end = min(start + size, total)
        return {"items": list(range(start, end)), "next": end if end < total else None, **claims}

    return serve


def read(executor: Any, of: str, stop_after: int | None = None, **options: Any) -> tuple[list[Any], Any]:
    """The records (or pages) of a list of an executor of either kind, and the last state."""

    async def walk() -> tuple[list[Any], Any]:
        found = getattr(executor, of)("things", **options)
        items: list[Any] = []
        state = None
        async for item in found:
            items.append(item)
            state = item.state if of == "pages" else found.state
            if len(items) == stop_after:
                break
        state = found.state if of == "paginate" else state
        await found.aclose()
        return items, state

    if type(executor).__name__ == "AsyncExecutor":
        return asyncio.run(walk())
    found = getattr(executor, of)("things", **options)
    items: list[Any] = []
    state = None
    for item in found:
        items.append(item)
        state = item.state if of == "pages" else found.state
        if len(items) == stop_after:
            break
    return items, found.state if of == "paginate" else state


def an_executor(kind: str, serve: Callable[[Request], Any], **settings: Any) -> tuple[Any, ScriptedApi]:
    """An executor of one kind, and its API."""
    api = ScriptedApi(serve)
    return executors(api, **{"pagination": CURSOR, **settings})[kind == "async"], api
