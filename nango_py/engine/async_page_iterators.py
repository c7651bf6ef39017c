"""The records of a list for `async for`, and pages that are requested before they are needed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from nango_py.engine.page_iterators import Reader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine

    from nango_py.engine.paging import PageWalk, ParsedPage


class AsyncRecords(Reader):
    """The records of a list for `async for`; `state` is where to go on after the last one."""

    def __init__(self, walk: PageWalk, pages: AsyncGenerator[ParsedPage, None]) -> None:
        super().__init__(walk)
        self._pages = pages
        self._generator = self._iterate(pages)

    async def batches(self) -> AsyncIterator[list[Any]]:
        """The records page by page, as lists; `state` is where to go on after the last list."""
        async with contextlib.aclosing(self._pages) as pages:
            async for page in pages:
                yield self.batch_of(page)

    async def _iterate(self, pages: AsyncGenerator[ParsedPage, None]) -> AsyncGenerator[Any, None]:
        async with contextlib.aclosing(pages):
            async for page in pages:
                for record in self.records_of(page):
                    yield record

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._generator

    async def __anext__(self) -> Any:
        return await anext(self._generator)

    async def aclose(self) -> None:
        """Read no more records; a page that is being requested in advance is cancelled."""
        await self._generator.aclose()


async def read_ahead_async(
    fetch: Callable[[], Coroutine[Any, Any, ParsedPage | None]], seen: Callable[[], object]
) -> AsyncGenerator[ParsedPage, None]:
    """The pages of a walk; each is requested by a task while the caller uses the one before."""
    page = await fetch()
    while page is not None:
        ahead = asyncio.create_task(fetch())
        ahead.add_done_callback(_drop_error)
        try:
            yield page
            page = await ahead
        finally:
            try:
                if not ahead.done():
                    ahead.cancel()
                    await asyncio.wait({ahead})  # raises only if the caller is cancelled
            finally:
                seen()


def _drop_error(ahead: asyncio.Task[ParsedPage | None]) -> None:
    """A caller that stops early does not see the error of a page in advance, and no warning either."""
    if not ahead.cancelled():
        ahead.exception()
