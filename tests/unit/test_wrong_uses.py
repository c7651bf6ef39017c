"""Uses that cannot work say what to do instead."""

from __future__ import annotations

import pickle
from importlib.metadata import requires
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def nango() -> Iterator[Nango]:
    """A Nango in memory with one connection."""
    entry = {"auth": {"auth_mode": "API_KEY"}, "requests": {"base_url": "https://x.test/"}}
    with Nango(
        {"shop": entry}, database_url="sqlite:///:memory:", encryption_keys=ENCRYPTION_KEY, environ={}
    ) as nango:
        nango.register_connection("shop", "u", {"api_key": "key_test_1234"})
        yield nango


def test_pickling_says_what_to_do(nango: Nango) -> None:
    """A task queue gets names, and not executors."""
    for part, says in (
        (nango, "open one in each process"), (nango.executor("shop", "u"), "nango.executor"),
        (nango.async_executor("shop", "u"), "nango.executor"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=says):
            pickle.dumps(part)


USES: list[Callable[[Nango, Any], object]] = [
    lambda nango, user: nango.executor("shop", user),
    lambda nango, user: nango.register_connection("shop", user, {"api_key": "k"}),
    lambda nango, user: nango.verify_credentials("shop", user, {"api_key": "k"}),
    lambda nango, user: nango.connection("shop", user),
    lambda nango, user: nango.connections_for_user(user),
    lambda nango, user: nango.delete_connection("shop", user),
    lambda nango, user: nango.connect_session(user),
]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("user", [7, None, b"u", 1.5])
def test_user_id_that_is_not_text_is_a_type_error(
    nango: Nango, use: Callable[[Nango, Any], object], user: object
) -> None:
    """The message shows how to convert it."""
    with pytest.raises(TypeError, match=r"expected text: str\(user\.id\)"):
        use(nango, user)


def test_time_zones_come_with_the_package() -> None:
    """Slim images have no time zone data."""
    assert "tzdata" in (requires("nango-py") or [])
