"""Tokens and client secrets in every outcome of a refresh: none of them is shown."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango, NangoError
from tests.support.fake_clock import ManualClock
from tests.support.oauth_product import a_nango
from tests.support.oauth_token_server import Provider
from tests.support.planted_secrets import (
    CORE,
    HALVES,
    Collector,
    everything_of,
    listening,
    secret,
    shown,
    traces,
)
from tests.support.provider_grants import CLIENT_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

FAULTS: list[Any] = [
    "", 503, 429, 404, "html", "cut", "lost", "invalid_grant", "invalid_client", "invalid_scope",
    *((200, {"access_token": secret(number, half), "refresh_token": secret(9, half), "id": secret(8, half)})
      for number, half in enumerate(HALVES)),
]  # fmt: skip
PLACES = {"header": {"client_auth": "header"}, "body": {"client_auth": "body"}}


def leaks(text: str) -> list[str]:
    """Traces of a token, or of the application's secret."""
    found = traces(text)
    return found + ([text[:200]] if CLIENT_SECRET in text else [])


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Every logger of the process, at DEBUG."""
    with listening(Collector()) as handler:
        yield handler


def events_of(nango: Nango) -> list[Any]:
    """The events that listeners receive."""
    heard: list[Any] = []
    for kind in ("attempt", "wait", "retry", "gate", "giving_up", "needs_reauth"):
        nango.on(kind, heard.append)
    return heard


async def _async(nango: Nango) -> Any:
    try:
        return await nango.async_executor("mail", "user-1").get("things", raise_for_error=True)
    finally:
        await nango.services.async_transport.aclose()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_nothing_is_shown(collector: Collector, kind: str, fault: Any, place: str) -> None:
    """Errors with their frames, logs at DEBUG, events, reprs and stories of calls."""
    clock = ManualClock()
    texts: list[str] = []
    with (
        Provider("strict", prefix=CORE, now=clock.now, **PLACES[place]) as provider,  # type: ignore[arg-type]
        a_nango(provider.url, clock=clock, auth={"authorization_method": place}) as nango,
    ):
        heard = events_of(nango)
        nango.register_connection("mail", "user-1", provider.grant("user-1", expired=True))
        provider.faults.extend([fault, fault] if fault else [])
        mail = nango.executor("mail", "user-1")
        for _ in range(2):
            try:
                response = mail.get("things") if kind == "sync" else asyncio.run(_async(nango))
                texts += [repr(response), response.url, repr(response.request)]
            except NangoError as error:
                texts.append(everything_of(error, __file__))
        texts += [repr(mail.attempts), mail.explain(), repr(nango.store.get("mail", "user-1"))]
        texts += [shown(event) for event in heard]
        life = nango.services.tokens
        texts += [repr(life), shown(vars(life)), shown(vars(life.schedule))]
        assert provider.token_calls
    texts += collector.lines
    assert [leak for text in texts for leak in leaks(text)] == []
    assert any("mail user-1" in line for line in collector.lines)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_bad_setting_shows_nothing(collector: Collector, kind: str) -> None:
    """A template that cannot be rendered during a refresh: its frames hold tokens, the error does not."""
    auth = {"token_params": {"extra": "${additional_config.missing}"}}
    with Provider("strict", prefix=CORE) as provider, a_nango(provider.url, auth=auth) as nango:
        nango.register_connection("mail", "user-1", provider.grant("user-1", expired=True))
        with pytest.raises(NangoError) as caught:
            nango.executor("mail", "user-1").get("things") if kind == "sync" else asyncio.run(_async(nango))
        assert leaks(everything_of(caught.value, __file__)) == []
        assert provider.token_calls == []
    assert [leak for line in collector.lines for leak in leaks(line)] == []


def test_a_planted_leak_is_found(collector: Collector) -> None:
    """The control: a log record, an error's frame and an event that do hold one."""
    token = f"{CORE}access_00001_planted{CORE}"
    logging.getLogger("nango_py.integrations.mail").warning("the token is %s", token)
    assert any(leaks(line) for line in collector.lines)

    def careless(credentials: dict[str, str]) -> None:
        raise NangoError(f"no new token, {len(credentials)} credential")

    with pytest.raises(NangoError) as caught:
        careless({"refresh_token": token})
    assert leaks(everything_of(caught.value, "another file"))
    assert leaks(f"client_secret={CLIENT_SECRET}")
