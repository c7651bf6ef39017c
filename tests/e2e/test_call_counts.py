"""How much work a call and a page take once everything is loaded, in Python calls: a clock would vary."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from typing import TYPE_CHECKING

from tests.support.sandbox_product import SHOP, a_product

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    import pytest

    from nango_py import Nango

MAX_OF_GET = 312
MAX_OF_ASYNC_GET = 377
MAX_OF_PAGE = 355
LIMITS = {"budgets": [{"key": "${method} ${endpoint}", "otherwise": ["100000/second", "5000000/minute"]}]}
PAGING = {"kind": "next_url", "next": "links.next", "records": "data"}


@contextlib.contextmanager
def counted(counts: list[int]) -> Iterator[None]:
    """Adds the Python calls that are made in this thread."""
    calls = 0

    def note(_frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call"

    earlier = sys.getprofile()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(earlier)
    counts.append(calls)


def count_calls(function: Callable[[], object]) -> int:
    """The Python calls that a function makes in this thread; the fewest of three times."""
    counts: list[int] = []
    for _ in range(3):
        with counted(counts):
            function()
    return min(counts)


def test_the_work_of_a_call_and_of_a_page_is_bounded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A GET with its JSON and one more page of a walk each take few Python calls."""
    caplog.set_level(logging.WARNING, "nango_py")
    with a_product(tmp_path, {**SHOP, "rate_limits": LIMITS, "pagination": PAGING}, pages={"things": 12}) as (
        nango,
        _,
    ):
        shop = nango.executor("shop", "u0")
        get = count_calls(lambda: shop.get("things").json())
        two, twelve = (
            count_calls(lambda: list(shop.paginate("things", max_pages=pages)))  # noqa: B023
            for pages in (2, 12)
        )
    assert 100 < get <= MAX_OF_GET
    assert 100 < (twelve - two) / 10 <= MAX_OF_PAGE


def test_the_work_of_an_async_call_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An async GET with its JSON takes few Python calls, those of the event loop included."""
    caplog.set_level(logging.WARNING, "nango_py")
    counts: list[int] = []

    async def call_five_times(nango: Nango) -> None:
        shop = nango.async_executor("shop", "u0")
        for _ in range(5):
            with counted(counts):
                (await shop.get("things")).json()
        await nango.aclose()

    with a_product(tmp_path, {**SHOP, "rate_limits": LIMITS}) as (nango, _):
        asyncio.run(call_five_times(nango))
    assert 100 < min(counts) <= MAX_OF_ASYNC_GET
