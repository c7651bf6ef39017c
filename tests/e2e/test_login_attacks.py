"""What a callback may not do: come twice, from elsewhere, from another server, or with a hostile response."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.connect.login import Logins
from nango_py.errors import ConnectFailed
from nango_py.protocols import oauth1_protocol
from tests.support.fake_clock import ManualClock
from tests.support.fork_server import start
from tests.support.login_processes import flood
from tests.support.login_product import COOKIE, KINDS, a_product, callback_of, log_in, pending_rows, rows
from tests.support.oauth1_login_provider import LoginProvider1
from tests.support.oauth2_login_provider import LoginProvider, consent
from tests.support.provider_server import ProviderResponse, query_of

if TYPE_CHECKING:
    from nango_py import Nango


ROOT = Path(__file__).parents[2]


def refused(nango: Nango, callback: dict[str, str], browser: str = COOKIE) -> str:
    """The code with which a callback is turned away."""
    with pytest.raises(ConnectFailed) as caught:
        Logins(nango.accounts).finish(callback, browser)
    assert caught.value.status == 400
    return caught.value.code


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_state_is_refused(kind: Any) -> None:
    """Forged, changed, missing or huge states: 400, nothing exchanged, nothing stored."""
    with kind() as provider, a_product(provider.entry()) as nango:
        callback = callback_of(nango)
        state = callback["state"]
        for forged in ("A" * 43, state[:-1] + "_", state.swapcase(), "", "\0", "\ud800", "x" * 100_000):
            assert refused(nango, {**callback, "state": forged}) == "state_invalid"
        without = {name: value for name, value in callback.items() if name != "state"}
        assert refused(nango, without) == "state_invalid"
        assert refused(nango, {"error": "access_denied"}) == "state_invalid"
        assert refused(nango, {}) == "state_invalid"
        assert provider.exchanges() == []
        assert rows(nango) == []
        assert Logins(nango.accounts).finish(callback, COOKIE).ok


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("browser", ["", "another-browser", COOKIE + " "])
def test_another_browser_cannot_finish_a_login(kind: Any, browser: str) -> None:
    """Someone who is sent the callback of another's login gets nothing, and uses it up."""
    with kind() as provider, a_product(provider.entry()) as nango:
        callback = callback_of(nango)
        assert refused(nango, callback, browser) == "state_invalid"
        assert refused(nango, callback) == "state_invalid"
        assert provider.exchanges() == []
        assert rows(nango) == []


def test_a_login_expires_after_ten_minutes() -> None:
    """It expires no sooner and no later."""
    clock = ManualClock()
    with LoginProvider(now=clock.now) as provider, a_product(provider.entry(), clock=clock) as nango:
        early, late = callback_of(nango), callback_of(nango)
        clock.advance(599)
        assert (
            Logins(nango.accounts).finish(early, COOKIE).code == "exchange_failed"
        )  # the provider's code is older
        clock.advance(2)
        assert refused(nango, late) == "state_invalid"
        assert len(provider.exchanges()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_callback_is_valid_once(kind: Any) -> None:
    """Whatever the first outcome was, and whatever the second callback says."""
    with kind() as provider, a_product(provider.entry()) as nango:
        callback = callback_of(nango)
        assert Logins(nango.accounts).finish(callback, COOKIE).ok
        assert refused(nango, callback) == "state_invalid"
        denied = callback_of(nango, "deny")
        assert not Logins(nango.accounts).finish(denied, COOKIE).ok
        assert refused(nango, {**denied, "code": "code"}) == "state_invalid"
        assert provider.exchanges() == ["granted"]


@pytest.mark.parametrize("kind", KINDS)
def test_64_identical_callbacks_cause_one_exchange(kind: Any, database_url: str) -> None:
    """One of 64 threads connects, the others learn that the login has ended."""
    with kind() as provider, a_product(provider.entry(), database_url) as nango:
        callback, start = callback_of(nango), threading.Barrier(64)

        def bring(_: int) -> str:
            start.wait()
            try:
                return "connected" if Logins(nango.accounts).finish(callback, COOKIE).ok else "failed"
            except ConnectFailed as error:
                return error.code

        with ThreadPoolExecutor(64) as threads:
            endings = sorted(threads.map(bring, range(64)))
        assert endings == ["connected"] + ["state_invalid"] * 63
        assert provider.exchanges() == ["granted"]
        assert len(rows(nango)) == 1


def in_two_processes(provider: LoginProvider, database_url: str, care: str) -> list[str]:
    """How 2 x 32 threads with one callback end."""
    with a_product(provider.entry(), database_url) as nango:
        callback = callback_of(nango)
    job = json.dumps({"entry": provider.entry(), "callback": callback, "threads": 32})
    finish = "tests.support.login_processes:finish"
    with start(finish, database_url, care) as first, start(finish, database_url, care) as second:
        workers = (first, second)
        for worker in workers:
            worker.stdin.write(job + "\n")
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            worker.stdin.write("go\n")
        endings = [ending for worker in workers for ending in json.loads(worker.communicate()[0])]
    assert [worker.returncode for worker in workers] == [0, 0]
    return sorted(endings)


def test_two_processes_exchange_a_callback_once(database_url: str) -> None:
    """The database decides, so it holds for any number of processes and machines."""
    with LoginProvider() as provider:
        endings = in_two_processes(provider, database_url, "finish")
        assert endings == ["connected"] + ["state_invalid"] * 63
        assert provider.exchanges() == ["granted"]


def test_without_taking_the_state_there_are_more_exchanges(tmp_path: Path) -> None:
    """The control: if a state is only looked up, the same 64 callbacks cause many exchanges."""
    with LoginProvider() as provider:
        in_two_processes(provider, f"sqlite:///{tmp_path}/nango.db", "careless")
        assert len(provider.exchanges()) > 1


@pytest.mark.parametrize("decision", ["allow", "deny"])
def test_a_response_of_another_issuer_is_refused(decision: str) -> None:
    """A wrong iss causes no token request, whatever else the callback says (RFC 9207)."""
    with LoginProvider(issuer="wrong") as provider, a_product(provider.entry()) as nango:
        outcome = log_in(nango, decision)
        assert (outcome.ok, outcome.code) == (False, "wrong_issuer")
        assert provider.token_calls == []
        assert rows(nango) == []


@pytest.mark.parametrize("change", ["/", "", " ", "?"])
def test_iss_is_compared_exactly(change: str) -> None:
    """A trailing slash makes another issuer; without a declared issuer nothing is compared."""
    with LoginProvider() as provider:
        for auth, code in (({}, "wrong_issuer"), ({"issuer": None}, "")):
            with a_product(provider.entry(auth)) as nango:
                callback = callback_of(nango)
                callback["iss"] += change or "x"
                assert Logins(nango.accounts).finish(callback, COOKIE).code == code


def test_a_missing_iss_is_refused_if_required() -> None:
    """By default older servers may omit it."""
    with LoginProvider(issuer="none") as provider:
        for requires, code in ((False, ""), (True, "wrong_issuer")):
            auth = {"issuer": provider.url, "requires_issuer": requires}
            with a_product(provider.entry(auth)) as nango:
                assert log_in(nango).code == code
    assert provider.exchanges() == ["granted"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_callback_may_have_a_path_per_integration(kind: Any) -> None:
    """With `callback_per_integration` the redirect URI names it, and other paths are refused."""
    with kind() as provider, a_product(provider.entry({"callback_per_integration": True})) as nango:
        logins = Logins(nango.accounts)
        uri = logins.redirect_uri(nango.configuration.integrations["mail"])
        assert uri == "http://localhost:3003/oauth/callback/mail"
        for path, code in (("", "wrong_issuer"), ("other", "wrong_issuer"), ("mail", "")):
            url = logins.begin("mail", "user-1", browser=COOKIE)
            back = consent(url)
            assert back.startswith(f"{uri}?")
            assert logins.finish(query_of(back), COOKIE, integration=path).code == code
        assert provider.exchanges() == ["granted"]
    with kind() as provider, a_product(provider.entry()) as nango:
        assert (
            Logins(nango.accounts).finish(callback_of(nango), COOKIE, integration="other").code
            == "wrong_issuer"
        )


def test_provider_messages_are_sanitized() -> None:
    """Markup, control characters and long texts become one short line; an invalid error name is dropped."""
    hostile = "</script><img src=x onerror=alert(1)>\r\nSet-Cookie: a=b\u202e" + "x" * 5000
    with LoginProvider() as provider, a_product(provider.entry()) as nango:
        provider.refusals.append({"error": hostile, "error_description": hostile})
        outcome = log_in(nango)
        assert outcome.code == "provider_error"
        assert len(outcome.message) < 400
        assert outcome.message.isprintable()
        provider.refusals.append({"error": "server_error", "error_description": "try later"})
        assert log_in(nango).code == "unavailable"
        provider.refusals.append({"nothing": "at all"})
        assert log_in(nango).code == "provider_error"
        assert provider.token_calls == []


def test_a_users_host_cannot_be_an_internal_address() -> None:
    """Token requests go to the public internet only; nothing is sent, and only the log says why."""
    host = "https://${additional_config.host}"
    entry = {
        "connection_config": {"type": "object", "properties": {"host": {"type": "string", "format": "host"}}},
        "oauth_client_id": "id",
        "oauth_client_secret": "secret",
        "requests": {"base_url": f"{host}/api/"},
    }
    urls = {"authorization_url": f"{host}/a", "token_url": f"{host}/t"}
    oauth2 = {**urls, "auth_mode": "OAUTH2", "authorization_method": "none"}
    oauth1 = {**urls, "auth_mode": "OAUTH1", "request_url": f"{host}/r"}
    inside = {"additional_config": {"host": "localhost"}}
    with a_product({**entry, "auth": oauth2}) as nango:
        state = query_of(Logins(nango.accounts).begin("mail", "user-1", **inside))["state"]
        outcome = Logins(nango.accounts).finish({"state": state, "code": "c"}, "")
        assert outcome.code == "invalid_credentials"
        assert "127" not in outcome.message
        for wrong in ("127.0.0.1", "user@localhost", "[::1]", "0x7f000001"):
            with pytest.raises(ConnectFailed) as caught:
                Logins(nango.accounts).begin("mail", "user-1", additional_config={"host": wrong})
            assert (caught.value.code, [*caught.value.fields]) == ("invalid_credentials", ["host"])
    with a_product({**entry, "auth": oauth1}) as nango:
        with pytest.raises(ConnectFailed) as caught:
            Logins(nango.accounts).begin("mail", "user-1", **inside)
        assert caught.value.code == "invalid_credentials"


def test_a_code_is_sent_twice_only_if_no_connection_was_made() -> None:
    """A server that hangs up after receiving the code ends the login."""
    with LoginProvider() as provider, a_product(provider.entry()) as nango:
        callback = callback_of(nango)
        provider.token_faults.append(
            ProviderResponse(200, b"", {"Content-Length": "100", "Connection": "close"})
        )
        outcome = Logins(nango.accounts).finish(callback, COOKIE)
        assert (outcome.code, len(provider.token_calls)) == ("unavailable", 1)
    with LoginProvider() as provider:
        entry = provider.entry({"token_url": "http://127.0.0.1:1/token"})
        clock = ManualClock()
        with a_product(entry, clock=clock) as nango:
            assert log_in(nango).code == "unavailable"
        assert len(clock.slept) == 1  # it was tried again after a moment


def test_oauth_1_checks_the_token_and_the_verifier() -> None:
    """The response to another login, or one without a confirmation, is not exchanged."""
    with LoginProvider1() as provider, a_product(provider.entry()) as nango:
        other = callback_of(nango)
        for change, code in (
            ({"oauth_token": other["oauth_token"]}, "state_invalid"),
            ({"oauth_token": ""}, "state_invalid"),
            ({"oauth_verifier": ""}, "provider_error"),
        ):
            callback = {**callback_of(nango), **change}
            assert Logins(nango.accounts).finish(callback, COOKIE).code == code
        assert provider.exchanges() == []
    with LoginProvider1(confirms=False) as provider, a_product(provider.entry()) as nango:
        with pytest.raises(ConnectFailed) as caught:
            callback_of(nango)
        assert caught.value.code == "exchange_failed"


def test_a_hundred_thousand_nonces_are_different() -> None:
    """They have 128 bits each; with 32, one would probably be repeated."""
    assert len({oauth1_protocol.nonce() for _ in range(100_000)}) == 100_000


def test_each_attempt_has_a_new_signature() -> None:
    """A request whose connection failed is sent again with another nonce and a newer timestamp."""
    seen: list[dict[str, str]] = []
    clock = ManualClock()

    class Refusing:
        """A network in which no host responds; it records what would have been sent."""

        def send(self, plan: Any, _: float) -> Any:
            from nango_py.transport.sendable import Failure

            header = plan.headers["authorization"][1].removeprefix("OAuth ")
            seen.append(dict(part.split("=", 1) for part in header.split(", ")))
            clock.advance(5)
            return Failure("connect", sent=False, text="no connection")

        def close(self) -> None:
            """Nothing is open."""

    with LoginProvider1() as provider, a_product(provider.entry(), clock=clock) as nango:
        nango.services._transport.current = Refusing()
        with pytest.raises(ConnectFailed):
            Logins(nango.accounts).begin("mail", "user-1")
    first, second = seen
    assert first["oauth_nonce"] != second["oauth_nonce"]
    assert first["oauth_timestamp"] != second["oauth_timestamp"]
    assert first["oauth_signature"] != second["oauth_signature"]


def test_a_flood_of_logins_is_bounded(database_url: str) -> None:
    """One session starts logins in a loop: 32 are kept, and memory stays flat."""
    told = flood(600, database_url)
    assert told["rows_60"] == told["rows_600"] == 32
    assert told["mb_600"] - told["mb_60"] < 2


def test_the_newest_logins_of_a_session_are_kept() -> None:
    """A user who clicks often can still finish; only the oldest logins are dropped."""
    with LoginProvider() as provider, a_product(provider.entry()) as nango:
        callbacks = [callback_of(nango, session_id="s1") for _ in range(34)]
        assert refused(nango, callbacks[0]) == "state_invalid"
        assert Logins(nango.accounts).finish(callbacks[-1], COOKIE).ok
        assert pending_rows(nango) == 31


def test_users_without_a_session_drop_no_login_of_each_other() -> None:
    """Logins that a program begins itself are limited for each user, not for all together."""
    with LoginProvider() as provider, a_product(provider.entry()) as nango:
        callback = callback_of(nango)
        for number in range(40):
            Logins(nango.accounts).begin("mail", f"other-{number}", browser=COOKIE)
        assert Logins(nango.accounts).finish(callback, COOKIE).ok
        for _ in range(34):
            Logins(nango.accounts).begin("mail", "user-1", browser=COOKIE)
        assert pending_rows(nango) == 40 + 32


@pytest.mark.parametrize("config", [{"x": "y" * 20_000}, {"x": float("nan")}, {1: 2}, {"x": {1, 2}}])
def test_settings_that_cannot_be_stored_are_refused(config: Any) -> None:
    """They are too long or not JSON."""
    with LoginProvider() as provider, a_product(provider.entry()) as nango:
        with pytest.raises(ConnectFailed) as caught:
            Logins(nango.accounts).begin("mail", "user-1", additional_config=config)
        assert caught.value.code in {"invalid_credentials", "unavailable"}
        assert pending_rows(nango) == 0
