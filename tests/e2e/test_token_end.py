"""Tokens that expire and that nothing can refresh: what the API's refusal and a login say then."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import CredentialsError, Nango
from tests.support.login_product import a_product, log_in
from tests.support.oauth2_login_provider import LoginProvider
from tests.support.oauth_product import a_nango, status_of
from tests.support.oauth_token_server import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fake_clock import ManualClock

VERIFICATION = {"method": "GET", "path": "things"}


@pytest.fixture
def provider(clock: ManualClock) -> Iterator[Provider]:
    """A provider with the test's clock."""
    with Provider(now=clock.now) as opened:
        yield opened


@pytest.fixture
def nango(provider: Provider, clock: ManualClock) -> Iterator[Nango]:
    """A product whose user's token has expired, without a refresh token."""
    with a_nango(provider.url, clock=clock, verification=VERIFICATION) as product:
        credentials = provider.grant("user-1", expired=True)
        del credentials["refresh_token"]
        product.register_connection("mail", "user-1", credentials)
        yield product


def call(nango: Nango, kind: str, method: str = "GET", **options: Any) -> Any:
    """The response of a call, by either executor."""
    if kind == "sync":
        return nango.executor("mail", "user-1").request(method, "things", **options)

    async def main() -> Any:
        try:
            return await nango.async_executor("mail", "user-1").request(method, "things", **options)
        finally:
            await nango.services.async_transport.aclose()

    return asyncio.run(main())


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("status", [401, 403])
def test_an_expired_token_that_the_api_refuses_needs_the_user(
    nango: Nango, provider: Provider, kind: str, status: int
) -> None:
    """One API call, one event; the next call sends nothing."""
    heard: list[Any] = []
    nango.on("needs_reauth", heard.append)
    provider.refuses.append(status)
    for _ in range(2):
        with pytest.raises(CredentialsError, match=r"expired.*connect again"):
            call(nango, kind)
    assert status_of(nango) == "needs_reauth"
    assert [(event.user_id, event.reason) for event in heard] == [
        ("user-1", "its token has expired, and nothing can refresh it")
    ]
    assert [given for _, given in provider.api_calls] == [status]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_body_that_cannot_be_sent_again_makes_no_difference(
    nango: Nango, provider: Provider, kind: str
) -> None:
    """The end of the connection depends on the refusal, not on a repetition."""
    with pytest.raises(CredentialsError):
        call(nango, kind, "POST", data=iter([b"a", b"b"]))
    assert status_of(nango) == "needs_reauth"
    assert len(provider.api_calls) == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_the_api_accepts_or_a_valid_token_goes_on(
    nango: Nango, provider: Provider, clock: ManualClock, kind: str
) -> None:
    """Control: expiry alone ends nothing, and neither does a refusal of a token that is valid."""
    provider.refuses.append(200)
    assert call(nango, kind).status_code == 200
    credentials = provider.grant("user-1")
    del credentials["refresh_token"]
    nango.update_connection_credentials("mail", "user-1", credentials)
    for status in (401, 403):
        provider.refuses.append(status)
        assert call(nango, kind).status_code == status
    clock.advance(10)
    assert status_of(nango) == "active"


def test_verify_says_that_the_token_has_expired(nango: Nango, provider: Provider) -> None:
    """Not that a permission is missing; before it is stored too."""
    credentials = provider.grant("user-1", expired=True)
    del credentials["refresh_token"]
    provider.refuses.extend([403, 403])
    before = nango.verify_credentials("mail", "user-2", credentials)
    after = nango.executor("mail", "user-1").verify()
    for found in (before, after):
        assert found.outcome == "refused"
        assert "expired" in found.message
    assert status_of(nango) == "needs_reauth"


def test_a_login_warns_of_an_end_without_a_refresh_token(caplog: pytest.LogCaptureFixture) -> None:
    """The usual mistake with offline_access and access_type=offline; a login with one does not warn."""
    for auth, count in (({"refresh_token_path": "nothing.here"}, 1), ({}, 0)):
        caplog.clear()
        with (
            LoginProvider() as provider,
            a_product(provider.entry(auth)) as nango,
            caplog.at_level(logging.WARNING),
        ):
            assert log_in(nango).ok
        warnings = [
            record.getMessage() for record in caplog.records if "offline_access" in record.getMessage()
        ]
        assert len(warnings) == count
