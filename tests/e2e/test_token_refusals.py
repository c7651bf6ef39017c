"""What providers say when they refuse a refresh, and what becomes of the connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nango_py import CredentialsError, Nango, TransportFailed
from tests.support.fake_clock import ManualClock
from tests.support.oauth_product import a_nango, status_of
from tests.support.oauth_token_server import Provider
from tests.support.token_refusals import REFUSALS

KINDS = ("sync", "async")


def call(nango: Nango, kind: str, user: str = "user-1", **options: Any) -> int:
    """The status of a call, by either executor."""
    if kind == "sync":
        return int(nango.executor("mail", user).get("things", **options).status_code)

    async def main() -> int:
        try:
            return int((await nango.async_executor("mail", user).get("things", **options)).status_code)
        finally:
            await nango.services.async_transport.aclose()

    return asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", REFUSALS)
def test_a_dead_grant_needs_the_user_and_a_refused_client_does_not(name: str, kind: str) -> None:
    """Each dead grant is `needs_reauth` with one event; a refused client leaves the connection active."""
    words, heard, clock = REFUSALS[name], [], ManualClock()
    with Provider(now=clock.now) as provider, a_nango(provider.url, clock=clock, auth=words.auth) as nango:
        nango.on("needs_reauth", heard.append)
        for number, refusal in enumerate((*words.client, *words.dead)):
            user, is_dead = f"user-{number}", number >= len(words.client)
            nango.register_connection("mail", user, provider.grant(user, expired=True))
            provider.faults.append(refusal)
            with pytest.raises(CredentialsError, match="connect again" if is_dead else "application"):
                call(nango, kind, user)
            assert status_of(nango, user) == ("needs_reauth" if is_dead else "active"), refusal
            assert [event.user_id for event in heard] == ([user] if is_dead else [])
            heard.clear()
            clock.advance(20)
        assert provider.api_calls == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name, words in REFUSALS.items() if words.later])
def test_what_may_work_later_is_no_refusal(name: str, kind: str) -> None:
    """Also with a status and a code that otherwise refuse the application."""
    words, clock = REFUSALS[name], ManualClock()
    with Provider(now=clock.now) as provider, a_nango(provider.url, clock=clock, auth=words.auth) as nango:
        for refusal in words.later:
            nango.register_connection("mail", "user-1", provider.grant("user-1", expired=True), replace=True)
            provider.faults.append(refusal)
            with pytest.raises(TransportFailed) as caught:
                call(nango, kind)
            assert caught.value.reason == "token"
            assert status_of(nango) == "active"
            clock.advance(20)
            assert call(nango, kind) == 200


@pytest.mark.parametrize("name", [name for name in REFUSALS if name not in {"without words", "declared"}])
def test_tokens_live_and_rotate_as_the_provider_wants(name: str) -> None:
    """Over three lives no expired token is sent, and each is refreshed once, not before that is allowed.

    A response that was lost costs the grant only where the provider replaces refresh tokens at once.
    """
    words, clock = REFUSALS[name], ManualClock()
    life = words.life or 7200
    with (
        Provider(
            words.rotation, life=life, grace_seconds=words.grace, now=clock.now,
            expiry="expires_in" if words.life else "none",
        ) as provider,
        a_nango(provider.url, clock=clock, auth=words.auth) as nango,
    ):  # fmt: skip
        credentials = provider.grant("user-1")
        if not words.life:
            del credentials["expires_at"]
        nango.register_connection("mail", "user-1", credentials)
        renewed: list[float] = []
        provider.on_token = lambda _: renewed.append(clock.now())
        began = clock.now()
        for _ in range(120):
            assert call(nango, "sync") == 200
            clock.advance(life / 40)
        early = words.auth.get("renew_before_seconds", min(600.0, life / 5)) if words.life else 0
        assert len(renewed) in {2, 3}
        assert renewed[0] - began >= life - early - 1
        assert provider.expired_sent == [] or not words.life
        provider.faults.append("lost")
        clock.advance(life * 2)
        if words.rotation == "strict":
            with pytest.raises(CredentialsError, match="connect again"):
                call(nango, "sync")
        else:
            assert call(nango, "sync") == 200
        assert status_of(nango) == ("needs_reauth" if words.rotation == "strict" else "active")


def test_refusals_without_words_in_a_row_are_the_applications() -> None:
    """A proxy that responds 401 to everything ends three connections at most."""
    clock = ManualClock()
    with Provider(now=clock.now) as provider, a_nango(provider.url, clock=clock) as nango:
        for number in range(10):
            user = f"user-{number}"
            nango.register_connection("mail", user, provider.grant(user, expired=True))
            provider.faults.append((401, b""))
            with pytest.raises(CredentialsError):
                call(nango, "sync", user)
            clock.advance(20)
        ended = [number for number in range(10) if status_of(nango, f"user-{number}") == "needs_reauth"]
        assert ended == [0, 1, 2]
        # Once a token was granted, the application is accepted, and a refusal is about the grant again.
        assert call(nango, "sync", "user-8") == 200
        provider.faults.append((401, b""))
        with pytest.raises(CredentialsError, match="connect again"):
            call(nango, "sync", "user-9")


def test_the_description_is_said_and_masked() -> None:
    """The reason is in both errors and in the event; a refresh token that the provider repeats is masked."""
    clock, heard = ManualClock(), []
    with Provider(now=clock.now) as provider, a_nango(provider.url, clock=clock) as nango:
        credentials = provider.grant("user-1", expired=True)
        token = credentials["refresh_token"]
        nango.register_connection("mail", "user-1", credentials)
        nango.on("needs_reauth", heard.append)
        text = f"Refresh token invalid: {token}. It expired on Monday."
        provider.faults.append((400, {"error": "invalid_grant", "error_description": text}))
        for _ in range(2):
            with pytest.raises(CredentialsError, match=r"\(invalid_grant: .*It expired on Monday") as caught:
                call(nango, "sync")
            assert token not in str(caught.value)
    assert heard[0].reason == "invalid_grant: Refresh token invalid: ***. It expired on Monday."
