"""Tokens under asyncio: one refresh for all tasks, finished even if its caller is cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import CredentialsError, Nango, NangoError, RequestFailed
from nango_py.secret import reveal
from tests.support.fake_clock import ManualClock
from tests.support.oauth_product import a_nango, status_of
from tests.support.oauth_token_server import Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that replaces refresh tokens at once."""
    with Provider("strict") as opened:
        yield opened


@pytest.fixture
def nango(provider: Provider, tmp_path: Path) -> Iterator[Nango]:
    """A product whose user's token has expired."""
    with a_nango(provider.url, f"sqlite:///{tmp_path}/.nango/nango.db") as product:
        product.register_connection("mail", "user-1", provider.grant("user-1", expired=True))
        yield product


def test_many_tasks_refresh_once(nango: Nango, provider: Provider) -> None:
    """One token call, and every task gets its response."""

    async def main() -> list[int]:
        async with nango:
            mail = nango.async_executor("mail", "user-1")
            responses = await asyncio.gather(*(mail.get("things") for _ in range(100)))
            return [response.status_code for response in responses]

    assert set(asyncio.run(main())) == {200}
    assert provider.calls_of("user-1") == ["granted"]
    assert provider.expired_sent == []


def test_a_cancelled_caller_does_not_stop_the_refresh(nango: Nango, provider: Provider) -> None:
    """The first caller gives up while the provider decides; the token is stored, and the others have it."""
    provider.gate.clear()

    async def main() -> list[int]:
        async with nango:
            mail = nango.async_executor("mail", "user-1")
            first = asyncio.create_task(mail.get("things"))
            others = [asyncio.create_task(mail.get("things")) for _ in range(5)]
            assert await asyncio.to_thread(provider.arrived.acquire, timeout=60)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            provider.gate.set()
            return [(await other).status_code for other in others]

    assert asyncio.run(main()) == [200] * 5
    assert provider.calls_of("user-1") == ["granted"]


def test_all_callers_gone_the_token_is_stored_all_the_same(nango: Nango, provider: Provider) -> None:
    """Closing the product waits for a refresh whose caller is cancelled."""
    provider.gate.clear()

    async def main() -> None:
        async with nango:
            only = asyncio.create_task(nango.async_executor("mail", "user-1").get("things"))
            assert await asyncio.to_thread(provider.arrived.acquire, timeout=60)
            only.cancel()
            with pytest.raises(asyncio.CancelledError):
                await only
            asyncio.get_running_loop().call_later(0.05, provider.gate.set)

    asyncio.run(main())
    stored = reveal(nango.store.get("mail", "user-1").credentials)
    assert provider.api(stored["access_token"]) == 200


def test_a_refresh_that_fails_after_its_caller_is_gone_is_not_reported(
    nango: Nango, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """Its caller was cancelled, the provider refuses: asyncio has nothing to complain about."""
    provider.gate.clear()
    provider.faults.append("invalid_grant")

    async def main() -> None:
        async with nango:
            only = asyncio.create_task(nango.async_executor("mail", "user-1").get("things"))
            assert await asyncio.to_thread(provider.arrived.acquire, timeout=60)
            only.cancel()
            await asyncio.wait([only])
            provider.gate.set()

    asyncio.run(main())
    assert status_of(nango) == "needs_reauth"
    assert not [record for record in caplog.records if record.name == "asyncio"]


def _forgotten(provider: Provider) -> dict[str, Any]:
    credentials = provider.grant("user-1")
    provider.forget(credentials["access_token"])
    return credentials


def _refused(provider: Provider, status: int) -> dict[str, Any]:
    provider.refuses.append(status)
    return provider.grant("user-1")


def _always(provider: Provider) -> dict[str, Any]:
    provider.always_refuses = True
    return provider.grant("user-1")


def _faulty(provider: Provider, *faults: Any) -> dict[str, Any]:
    provider.faults.extend(faults)
    return provider.grant("user-1", expired=True)


CORPUS: dict[str, Callable[[Provider], dict[str, Any]]] = {
    "young": lambda provider: provider.grant("user-1"),
    "ended": lambda provider: provider.grant("user-1", expired=True),
    "withdrawn": _forgotten,
    "refused once": lambda provider: _refused(provider, 401),
    "refused for ever": _always,
    "endpoint down": lambda provider: _faulty(provider, 503, 503),
    "html": lambda provider: _faulty(provider, "html"),
    "cut once": lambda provider: _faulty(provider, "cut"),
    "answer lost": lambda provider: _faulty(provider, "lost"),
    "wrong client": lambda provider: _faulty(provider, "invalid_client"),
    "grant gone": lambda provider: _faulty(provider, "invalid_grant"),
}


def outcome_of(nango: Nango, call: Callable[[], Any]) -> list[Any]:
    """What two calls come to, and what is stored afterwards."""
    found: list[Any] = []
    for _ in range(2):
        try:
            found.append(call().status_code)
        except RequestFailed as error:
            found.append((type(error).__name__, str(error), getattr(error, "reason", "")))
        except NangoError as error:
            found.append((type(error).__name__, str(error)))
    return [*found, status_of(nango), nango.store.get("mail", "user-1").generation]


@pytest.mark.parametrize("case", CORPUS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_both_executors_come_to_the_same(case: str, method: str) -> None:
    """Responses, errors, stored state and ledger are the same for both executors."""
    results = []
    for kind in ("sync", "async"):
        clock = ManualClock()
        with Provider("strict", now=clock.now) as provider, a_nango(provider.url, clock=clock) as nango:
            nango.register_connection("mail", "user-1", CORPUS[case](provider))
            if kind == "sync":
                mail = nango.executor("mail", "user-1")
                found = outcome_of(nango, lambda mail=mail: mail.request(method, "things"))  # type: ignore[misc]
            else:
                found = _outcome_async(nango, method)
            ledger = [status for _, status in provider.api_calls], provider.calls_of("user-1")
            results.append((found, ledger, provider.expired_sent))
    assert results[0] == results[1]
    assert results[0][2] == []


def _outcome_async(nango: Nango, method: str) -> list[Any]:
    with asyncio.Runner() as runner:
        mail = nango.async_executor("mail", "user-1")
        found = outcome_of(nango, lambda: runner.run(mail.request(method, "things")))
        runner.run(nango.services.async_transport.aclose())
        return found


def test_pages_and_downloads_refresh_too(provider: Provider, tmp_path: Path) -> None:
    """Every way to call goes through the same door."""
    paging = {"kind": "next_url", "next": "next", "records": "items"}

    async def main(nango: Nango) -> list[Any]:
        async with nango:
            mail = nango.async_executor("mail", "user-1")
            await mail.download("things", tmp_path / "things")
            return [item async for item in mail.paginate("things")]

    with a_nango(provider.url, pagination=paging) as nango:
        nango.register_connection("mail", "user-1", provider.grant("user-1", expired=True))
        assert asyncio.run(main(nango)) == list(range(8))
    assert provider.calls_of("user-1") == ["granted"]
    assert provider.expired_sent == []


def test_needs_reauth_reaches_every_task(nango: Nango, provider: Provider) -> None:
    """No task is left waiting: all callers get the typed error, after one token call."""
    provider.faults.append("invalid_grant")

    async def main() -> list[Any]:
        async with nango:
            mail = nango.async_executor("mail", "user-1")
            return await asyncio.gather(*(mail.get("things") for _ in range(50)), return_exceptions=True)

    assert {type(error) for error in asyncio.run(main())} == {CredentialsError}
    assert provider.calls_of("user-1") == ["invalid_grant"]
