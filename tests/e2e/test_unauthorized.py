"""A refused credential that cannot be refreshed is a response, and an error where errors are wanted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango, ProviderError, Sandbox
from tests.support.both_executors import EXECUTORS, open_product
from tests.support.recording_server import RecordingServer, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def nango(tmp_path: Path) -> Iterator[Nango]:
    """A product whose user has a key that the API does not know."""
    entry: dict[str, Any] = {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {"base_url": "https://api.example.test/", "headers": {"X-Key": "${api_key}"}},
        "pagination": {"kind": "single", "records": "items"},
    }
    with Sandbox(entry, credentials={"somebody": {"api_key": "key_of_somebody"}}) as api:
        entry["requests"]["base_url"] = api.base_url
        with Nango({"it": entry}, database_url=f"sqlite:///{tmp_path}/nango.db", environ={}) as product:
            product.register_connection("it", "user-1", {"api_key": "key_of_user_1"})
            yield product


def test_it_is_an_answer_unless_errors_are_wanted(nango: Nango) -> None:
    """The caller sees the 401, and raise_for_error makes it a ProviderError."""
    executor = nango.executor("it", "user-1")
    assert executor.get("things").status_code == 401
    with pytest.raises(ProviderError) as caught:
        executor.get("things", raise_for_error=True)
    assert caught.value.status == 401


def test_it_ends_a_walk_and_a_download(nango: Nango, tmp_path: Path) -> None:
    """A page or file that the API refuses is an error, never a page of records or a file."""
    executor = nango.executor("it", "user-1")
    with pytest.raises(ProviderError):
        list(executor.paginate("things"))
    with pytest.raises(ProviderError):
        executor.download("things", tmp_path / "things")
    assert not (tmp_path / "things").exists()


def test_the_same_holds_for_asyncio(nango: Nango) -> None:
    """Both executors end alike."""

    async def call() -> None:
        try:
            await nango.async_executor("it", "user-1").get("things", raise_for_error=True)
        finally:
            await nango.aclose()

    with pytest.raises(ProviderError):
        asyncio.run(call())


@EXECUTORS
@pytest.mark.parametrize("life", [{}, {"expires_in": 0}, {"expires_in": "0"}, {"expires_in": 3600}])
@pytest.mark.parametrize("status", [200, 401])
def test_the_same_token_again_ends_the_refresh(run: Any, life: dict[str, Any], status: int) -> None:
    """A token endpoint that grants the token it granted before is not asked again by the same call."""

    def respond(received: Any) -> Any:
        if received.target == "/token":
            return {"access_token": "token_test_same", **life}
        return Reply({}, status)

    with RecordingServer(respond) as api:
        entry = {
            "auth": {"auth_mode": "OAUTH2_CC", "token_url": f"{api.url}token"},
            "requests": {"base_url": api.url, "headers": {"Authorization": "Bearer ${access_token}"}},
        }
        credentials = {"client_id": "id_test_1234", "client_secret": "secret_test_1234"}
        with open_product(entry, credentials=credentials) as nango:
            for _ in range(2):
                assert run(nango, lambda shop: shop.get("things")).status_code == status
    targets = [one.target for one in api.received]
    assert targets.count("/things") == (2 if status == 200 else 3)
    assert targets.count("/token") <= 3
