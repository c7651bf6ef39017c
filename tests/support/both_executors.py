"""Calls by the sync and by the async executor of a small product, so that both are tested as one."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Make = Callable[[Any], Any]
    """What to do with an executor: a call, whose result is a value or a coroutine."""


@contextmanager
def open_product(entry: Mapping[str, Any], **connection: Any) -> Iterator[Nango]:
    """A Nango with one integration `shop` and, with `credentials`, a connection of user `u`."""
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/connections.db"  # the async executor closes its Nango after each call
        with Nango({"shop": entry}, database_url=url, encryption_keys=ENCRYPTION_KEY, environ={}) as nango:
            if "credentials" in connection:
                nango.register_connection("shop", "u", **connection)
            yield nango


def make_sync(nango: Nango, make: Make) -> Any:
    """The result of a call by the sync executor."""
    return make(nango.executor("shop", "u"))


def make_async(nango: Nango, make: Make) -> Any:
    """The result of a call by the async executor."""

    async def work() -> Any:
        try:
            return await make(nango.async_executor("shop", "u"))
        finally:
            await nango.aclose()

    return asyncio.run(work())


EXECUTORS = pytest.mark.parametrize("run", [make_sync, make_async])
