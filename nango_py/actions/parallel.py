"""Several requests of one step at once: by threads, or by tasks of asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

Item = TypeVar("Item")
Made = TypeVar("Made")


class Parallel(Protocol):
    """Runs a coroutine for each item of a list."""

    async def map(
        self, function: Callable[[Item], Coroutine[object, None, Made]], items: Sequence[Item], limit: int
    ) -> list[Made]:
        """The results in the order of the items; at most `limit` run at once.

        After a failure no more are started, and the first one is raised when those in flight have ended.
        """


class InOrder:
    """One after the other."""

    async def map(
        self,
        function: Callable[[Item], Coroutine[object, None, Made]],
        items: Sequence[Item],
        limit: int,
    ) -> list[Made]:
        """The results in order."""
        return [await function(item) for item in items]


class ByThreads:
    """By threads, for coroutines that never suspend."""

    async def map(
        self, function: Callable[[Item], Coroutine[object, None, Made]], items: Sequence[Item], limit: int
    ) -> list[Made]:
        """The results in order."""
        if limit == 1 or len(items) <= 1:
            return [await function(item) for item in items]
        from concurrent.futures import FIRST_EXCEPTION, CancelledError, ThreadPoolExecutor, wait
        from contextvars import copy_context

        from nango_py.engine.interfaces import run_sync

        has_failed = False

        def run(item: Item) -> Made:
            nonlocal has_failed
            if has_failed:
                raise CancelledError
            try:
                return run_sync(function(item))
            except BaseException:
                has_failed = True
                raise

        with ThreadPoolExecutor(min(limit, len(items)), "nango-action") as pool:
            futures = [pool.submit(copy_context().run, run, item) for item in items]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
                if has_failed:
                    wait(futures)
                    errors = [future.exception() for future in futures]
                    raise next(each for each in errors if each and not isinstance(each, CancelledError))
                return [future.result() for future in futures]
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


class ByTasks:
    """By tasks of the running event loop."""

    async def map(
        self, function: Callable[[Item], Coroutine[object, None, Made]], items: Sequence[Item], limit: int
    ) -> list[Made]:
        """The results in order."""
        if limit == 1 or len(items) <= 1:
            return [await function(item) for item in items]
        import asyncio

        gate = asyncio.Semaphore(limit)
        has_failed = False

        async def run(item: Item) -> Made | None:
            nonlocal has_failed
            async with gate:
                if has_failed:
                    return None
                try:
                    return await function(item)
                except Exception:
                    has_failed = True
                    raise

        tasks = [asyncio.ensure_future(run(item)) for item in items]
        try:
            found = await asyncio.gather(*tasks, return_exceptions=True)
        except BaseException:
            for task in tasks:
                task.cancel()
            raise
        made: list[Made] = []
        for one in found:
            if isinstance(one, BaseException):
                raise one
            made.append(one)  # type: ignore[arg-type] # None only after a failure
        return made
