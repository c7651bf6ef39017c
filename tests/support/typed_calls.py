"""Calls as callers write them, right and wrong; mypy checks this file, and nothing runs it.

mypy is strict about comments that ignore nothing: a wrong call that it accepted would be an error here.
"""

from __future__ import annotations

from typing import assert_type

from nango_py import AsyncExecutor, Executor, Nango, Response


def calls(nango: Nango) -> None:
    """The sync executor."""
    executor = nango.executor("klaviyo", "user-1")
    assert_type(executor, Executor)
    assert_type(executor.get("metrics", params={"page": 1}, timeout=5), Response)
    executor.post("events", json={"data": []}, idempotency_key="event-1", headers={"X-Part": "1"})
    executor.request("PUT", "events", raise_for_error=False, deadline_seconds=3.0)
    list(executor.paginate("metrics", params={"sort": "id"}))
    executor.get("metrics", parms={"page": 1})  # type: ignore[call-arg]
    executor.get("metrics", timeout="5")  # type: ignore[arg-type]
    executor.post("events", jsn={})  # type: ignore[call-arg]
    executor.request("PUT", "events", raise_for_errors=False)  # type: ignore[call-arg]
    executor.paginate("metrics", parms={})  # type: ignore[call-arg]
    executor.get(1)  # type: ignore[arg-type]
    nango.executor("klaviyo", 1)  # type: ignore[arg-type]
    nango.register_connection("klaviyo", "user-1", "pk_1")  # type: ignore[arg-type]


async def async_calls(nango: Nango) -> None:
    """The async executor."""
    executor = nango.async_executor("klaviyo", "user-1")
    assert_type(executor, AsyncExecutor)
    await executor.get("metrics", params={"page": 1}, timeout=(5, 30))
    await executor.post("events", json={"data": []}, idempotency_key="event-1")
    async for _ in executor.paginate("metrics"):
        break
    await executor.get("metrics", parms={"page": 1})  # type: ignore[call-arg]
    await executor.get("metrics", timeout="5")  # type: ignore[arg-type]
    executor.paginate("metrics", parms={})  # type: ignore[call-arg]
    executor.get("metrics").json()  # type: ignore[attr-defined]
