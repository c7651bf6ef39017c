"""Logins on machines without a browser (RFC 8628), against a provider on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from nango_py import ConnectFailed, Nango
from nango_py.cli.root import nango as cli
from nango_py.clock import SYSTEM_CLOCK
from nango_py.protocols.device_flow import GRANT_TYPE
from tests.support.device_provider import CODES, DeviceProvider
from tests.support.fake_clock import ManualClock
from tests.support.login_accounts import AccountsProvider
from tests.support.login_product import a_product, rows, stored
from tests.support.provider_grants import CLIENT_ID, CLIENT_SECRET
from tests.support.provider_server import ProviderResponse
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nango_py.connect.device import DeviceLogin


@contextlib.contextmanager
def login(
    provider: DeviceProvider, clock: Any = SYSTEM_CLOCK, *, steps: bool = False
) -> Iterator[tuple[Nango, DeviceLogin]]:
    """A product, and a login that was begun."""
    with a_product(provider.entry_with() if steps else provider.entry(), clock=clock) as nango:
        yield nango, nango.logins.begin_device("mail", "user-1")


def test_a_user_logs_in_on_another_device() -> None:
    """The codes are shown, the client authenticates, and the connection is stored once the user agrees."""
    clock = ManualClock()
    with (
        DeviceProvider("authorization_pending", "authorization_pending", "granted", clock=clock) as provider,
        login(provider, clock) as (nango, begun),
    ):
        assert (begun.user_code, begun.verification_uri) == ("WDJB-MJHT", "https://example.test/device")
        assert (begun.verification_uri_complete, begun.expires_in) == (
            CODES["verification_uri_complete"],
            1800,
        )
        assert CODES["device_code"] not in repr(begun)
        started = clock.now()
        assert begun.wait().ok
        assert [moment - started for moment in provider.polls] == [5, 10, 15]
        assert stored(nango)["access_token"] == "device_token"
        assert nango.executor("mail", "user-1").get("me").status_code == 200
        (asked,) = provider.device_calls
        client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        assert asked == {"scope": "things.read things.write", **client}
        sent = {"grant_type": GRANT_TYPE, "device_code": CODES["device_code"], **client}
        assert provider.token_calls[0][2] == sent


def test_the_provider_sets_the_pace() -> None:
    """slow_down adds five seconds permanently; a provider that is down is polled half as often."""
    clock = ManualClock()
    decisions = ("slow_down", "authorization_pending", 503, 503, "granted")
    with DeviceProvider(*decisions, clock=clock) as provider, login(provider, clock) as (_, begun):
        started = clock.now()
        assert begun.wait().ok
        waits = [round(moment - started) for moment in provider.polls]
        assert waits[0] == 5
        assert waits[1] - waits[0] == 10
        assert waits[-1] - waits[-2] >= 20


ENDS = {
    "the user declines": (("authorization_pending", "access_denied"), "access_denied"),
    "the code expires at the provider": (("expired_token",), "state_invalid"),
    "the client is refused": (("invalid_client",), "exchange_failed"),
    "nobody enters the code": (("authorization_pending",) * 500, "state_invalid"),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_login_may_end_without_a_connection(name: str) -> None:
    """The outcome says why, and nothing is stored."""
    decisions, code = ENDS[name]
    clock = ManualClock()
    with DeviceProvider(*decisions, clock=clock) as provider, login(provider, clock) as (nango, begun):
        outcome = begun.wait()
        assert (outcome.ok, outcome.code) == (False, code)
        assert rows(nango) == []
        assert clock.now() - ManualClock().now() < 1900


HOSTILE: dict[str, Any] = {
    "no codes": {},
    "a script": {**CODES, "verification_uri": "javascript:alert(1)"},
    "plain http": {**CODES, "verification_uri": "http://example.test/device"},
    "a password in the address": {**CODES, "verification_uri": "https://a:b@example.test/"},
    "a long code": {**CODES, "user_code": "x" * 100},
    "control characters": {**CODES, "user_code": "A\x1b[2J"},
    "a code that is a list": {**CODES, "device_code": ["x"]},
    "HTML": ProviderResponse(200, "<html>"),
    "a redirect": ProviderResponse(302, "", {"Location": "https://evil.example.test/"}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_codes_are_not_shown(name: str) -> None:
    """The login does not start, and nothing of the response is quoted."""
    with (
        DeviceProvider(codes=HOSTILE[name]) as provider,
        pytest.raises(ConnectFailed) as caught,
        login(provider),
    ):
        pass
    assert caught.value.code == "exchange_failed"
    assert "evil" not in str(caught.value)


def test_odd_lives_and_intervals_are_bounded() -> None:
    """A page with the code that is unsafe is left out; the interval is at most a minute, the life an hour."""
    codes = {**CODES, "verification_uri_complete": "ftp://x", "interval": 10**9, "expires_in": "1e99"}
    clock = ManualClock()
    with (
        DeviceProvider("granted", codes=codes, clock=clock) as provider,
        login(provider, clock) as (_, begun),
    ):
        assert (begun.verification_uri_complete, begun.expires_in) == ("", 3600)
        started = clock.now()
        assert begun.wait().ok
        assert clock.now() - started == 60


def test_an_integration_without_the_endpoint_says_so() -> None:
    """The control: the error names the missing setting for developers only."""
    with (
        AccountsProvider() as provider,
        a_product(provider.entry()) as nango,
        pytest.raises(ConnectFailed) as caught,
    ):
        nango.logins.begin_device("mail", "user-1")
    assert caught.value.code == "not_allowed"


def test_several_accounts_are_chosen_from() -> None:
    """With `ask` the program chooses; without it the connection waits for a choice."""
    for ask, status in (lambda choice: choice.candidates[1].value, "active"), (None, "needs_choice"):
        clock = ManualClock()
        with DeviceProvider("granted", clock=clock) as provider:
            provider.accounts = [{"id": "site-1"}, {"id": "site-2"}]
            with login(provider, clock, steps=True) as (nango, begun):
                assert begun.wait(ask).ok is (status == "active")
                assert rows(nango)[0]["status"] == status


def test_a_task_waits_without_stopping_its_event_loop() -> None:
    """`await_outcome` is `wait` for asyncio, with choices; other tasks run at the same time."""
    clock = ManualClock()

    async def work(begun: DeviceLogin) -> tuple[Any, int]:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        outcome = await begun.await_outcome(lambda choice: choice.candidates[1].value)
        counting.cancel()
        return outcome, turns

    with DeviceProvider("authorization_pending", "slow_down", "granted", clock=clock) as provider:
        provider.accounts = [{"id": "site-1"}, {"id": "site-2"}]
        with login(provider, clock, steps=True) as (nango, begun):
            started = clock.now()
            outcome, turns = asyncio.run(work(begun))
            assert outcome.ok
            assert rows(nango)[0]["additional_config"]["cloud_id"] == "site-2"
            assert [moment - started for moment in provider.polls] == [5, 10, 20]
            assert turns > 3


def test_the_command_line_shows_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`nango connections connect --device` prints where to go and what to enter, and waits."""
    with DeviceProvider("granted", codes={**CODES, "interval": 0.01}) as provider:
        declared = {"integrations": {"mail": provider.entry()}}
        (tmp_path / "integrations.yaml").write_text(json.dumps(declared))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("NANGO_ENCRYPTION_KEYS", ENCRYPTION_KEY)
        result = CliRunner().invoke(cli, ["connections", "connect", "mail", "user-1", "--device"])
        assert (result.exit_code, result.stdout) == (0, "connected mail/user-1\n")
        assert "https://example.test/device" in result.stderr
        assert "WDJB-MJHT" in result.stderr
        assert CODES["device_code"] not in result.output
        with Nango("integrations.yaml") as nango:
            assert nango.connection("mail", "user-1")["status"] == "active"


def test_a_program_may_poll_itself() -> None:
    """`poll` asks once: None while the user has not decided. Two threads with two logins do not interfere."""
    with (
        DeviceProvider("authorization_pending", "granted") as provider,
        login(provider) as (nango, begun),
    ):
        assert begun.poll() is None
        done: list[Any] = []
        thread = threading.Thread(target=lambda: done.append(begun.poll()))
        thread.start()
        thread.join()
        assert done[0].ok
        assert rows(nango)[0]["user_id"] == "user-1"
