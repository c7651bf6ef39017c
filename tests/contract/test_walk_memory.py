"""Memory while a list of a thousand pages is read; with `--thorough`, of 20,000, and in bytes too."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from typing import Any

import pytest

from tests.support.made_values import FakeResponse
from tests.support.scripted_executors import Request, ScriptedApi, executors

PAGES = 20_000
FEWER = 1_400
"""Pages without `--thorough`: enough to see anything that is kept for each of them."""
WARM = 600
"""Pages after which everything that is kept is there."""
TRACED = 1_000
"""For these last pages allocations are traced; in the first 550, what is kept for loops is replaced."""
SETTLED = 550
MOST_BLOCKS = 700
"""Blocks of memory that may be added by the pages between; one for each page would be 800 at least."""
MOST_BYTES = 15_000
"""Bytes that may be added by the last 450 pages; a hash for each page would be 40,000."""


class ForgetfulApi(ScriptedApi):
    """An API that keeps no requests."""

    def respond(self, plan: Any) -> FakeResponse:
        """One page."""
        served: FakeResponse = self._serve(Request(plan, 0))
        return served


def serve(request: Request) -> FakeResponse:
    """One of 20,000 pages."""
    number = int(request.query.get("after", 0)) + 1
    following = number if number < PAGES else None
    return FakeResponse(body={"items": [{"id": number}], "next": following})


class Growth:
    """Measures by how much memory grows after the first pages."""

    def __init__(self, expected: int, kept: list[Any] | None = None, *, is_traced: bool = False) -> None:
        self.pages = self.blocks = self.bytes = 0
        self.expected = expected
        self.kept = kept
        self.is_traced = is_traced

    def note(self, record: Any) -> None:
        """Count a page with one record."""
        self.pages += 1
        if self.kept is not None:
            self.kept.append(dict(record))
        if self.pages in {WARM, self.expected - (TRACED if self.is_traced else 1)}:
            gc.collect()
            self.blocks = sys.getallocatedblocks() - self.blocks
        if self.is_traced:
            self._trace()

    def _trace(self) -> None:
        """Measure the bytes of the last pages; whatever is kept is a block as well."""
        traced = self.expected - TRACED
        if self.pages == traced:
            tracemalloc.start()
        if self.pages in {traced + SETTLED, self.expected - 1}:
            gc.collect()
            self.bytes = tracemalloc.get_traced_memory()[0] - self.bytes
        if self.pages == self.expected - 1:
            tracemalloc.stop()

    def is_bounded(self) -> bool:
        """Whether nothing was kept for each page."""
        assert self.pages == self.expected
        return self.blocks < MOST_BLOCKS and self.bytes < MOST_BYTES


BLOCK = {"kind": "cursor", "cursor": "next", "param": "after", "records": "items"}


@pytest.mark.parametrize("prefetch", [0, 1])
def test_memory_does_not_grow_with_the_number_of_pages(prefetch: int, pytestconfig: pytest.Config) -> None:
    """What is kept to find loops is bounded."""
    is_thorough = pytestconfig.getoption("--thorough")
    pages = PAGES if is_thorough else FEWER
    growth = Growth(pages, is_traced=is_thorough)
    executor, _ = executors(ForgetfulApi(serve), pagination=BLOCK)
    for record in executor.paginate("things", prefetch=prefetch, max_pages=pages):
        growth.note(record)
    assert growth.is_bounded(), vars(growth)


def test_memory_does_not_grow_in_asyncio() -> None:
    """The same for tasks."""
    growth = Growth(FEWER)
    _, executor = executors(ForgetfulApi(serve), pagination=BLOCK)

    async def walk() -> None:
        async for record in executor.paginate("things", max_pages=FEWER):
            growth.note(record)

    asyncio.run(walk())
    assert growth.is_bounded(), vars(growth)


def test_memory_that_grows_would_be_noticed(pytestconfig: pytest.Config) -> None:
    """The control: a caller that keeps the records."""
    is_thorough = pytestconfig.getoption("--thorough")
    pages = FEWER + TRACED if is_thorough else FEWER
    growth = Growth(pages, kept=[], is_traced=is_thorough)
    executor, _ = executors(ForgetfulApi(serve), pagination=BLOCK)
    for record in executor.paginate("things", max_pages=pages):
        growth.note(record)
    assert growth.blocks > MOST_BLOCKS
    assert growth.bytes > MOST_BYTES or not is_thorough
