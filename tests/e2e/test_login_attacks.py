"""What a callback may not do: come twice, from elsewhere, from another server, or with a hostile answer."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.connect.login import Logins
from nango_py.errors import ConnectFailed, NangoError
from nango_py.protocols import oauth1_protocol
from tests.support.fake_clock import ManualClock
from tests.support.login_processes import flood
from tests.support.login_product import COOKIE, a_product, callback_of, log_in, pending_rows, rows, stored
from tests.support.oauth1_login_provider import LoginProvider1
from tests.support.oauth2_login_provider import LoginProvider, ProviderResponse, consent, query_of
from tests.support.oauth_token_server import CLIENT_SECRET
from tests.support.planted_secrets import CORE, Collector, everything_of, listening, shown, traces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py import Nango

ROOT = Path(__file__).parents[2]
KINDS = [LoginProvider, LoginProvider1]


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
    command = [sys.executable, "-m", "tests.support.login_processes", care, database_url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for worker in workers:
        worker.stdin.write(job + "\n")
        worker.stdin.flush()
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    endings = [ending for worker in workers for ending in json.loads(worker.communicate(timeout=60)[0])]
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


JSON = {"Content-Type": "application/json"}
DEEP = b"[" * 200 + b"]" * 200
HOSTILE: dict[str, tuple[ProviderResponse, str]] = {
    "a list": (ProviderResponse(200, [1], JSON), "exchange_failed"),
    "a text": (ProviderResponse(200, b'"token"', JSON), "exchange_failed"),
    "null": (ProviderResponse(200, b"null", JSON), "exchange_failed"),
    "html": (ProviderResponse(200, "<html>Sign in</html>", {"Content-Type": "text/html"}), "exchange_failed"),
    "html as json": (ProviderResponse(200, "<html>", JSON), "exchange_failed"),
    "nothing": (ProviderResponse(200, b"", JSON), "exchange_failed"),
    "ten megabytes": (
        ProviderResponse(200, b'{"access_token": "' + b"a" * 10_000_000 + b'"}', JSON), "exchange_failed",
    ),
    "no token": (ProviderResponse(200, {"token_type": "Bearer", "expires_in": 3600}), "exchange_failed"),
    "a token that is a list": (ProviderResponse(200, {"access_token": ["a"]}), "exchange_failed"),
    "a line break": (ProviderResponse(200, {"access_token": "a\r\nX-Evil: 1"}), "exchange_failed"),
    "a token of 100 kB": (ProviderResponse(200, {"access_token": "a" * 100_000}), "exchange_failed"),
    "deep": (ProviderResponse(200, b'{"access_token": "a", "x": ' + DEEP + b"}"), "exchange_failed"),
    "too deep": (ProviderResponse(200, b"[" * 100_000), "exchange_failed"),
    "a redirect": (ProviderResponse(302, "", {"Location": "http://127.0.0.1:1/"}), "exchange_failed"),
    "307": (ProviderResponse(307, "", {"Location": "http://127.0.0.1:1/"}), "exchange_failed"),
    "an error under 200": (ProviderResponse(200, {"error": "bad_verification_code"}), "exchange_failed"),
    "invalid_grant": (ProviderResponse(400, {"error": "invalid_grant"}), "exchange_failed"),
    "invalid_client": (ProviderResponse(401, {"error": "invalid_client"}), "exchange_failed"),
    "404": (ProviderResponse(404, "gone"), "exchange_failed"),
    "500": (ProviderResponse(500, "oops"), "unavailable"),
    "429": (ProviderResponse(429, "slow", {"Retry-After": "60"}), "unavailable"),
    "a proof-of-possession token": (
        ProviderResponse(200, {"access_token": "a", "token_type": "DPoP"}), "exchange_failed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_token_responses_have_typed_errors(name: str) -> None:
    """Nothing is stored or sent twice, and an earlier connection stays unchanged."""
    response, code = HOSTILE[name]
    with LoginProvider() as provider, a_product(provider.entry()) as nango:
        nango.register_connection("mail", "user-1", {"access_token": "old"})
        callback = callback_of(nango)
        provider.token_faults.append(response)
        outcome = Logins(nango.accounts).finish(callback, COOKIE)
        assert (outcome.ok, outcome.code) == (False, code)
        assert provider.exchanges() == ["fault"]
        assert stored(nango) == {"access_token": "old"}


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("3600", 3600),
        (3600, 3600),
        (1e99, 10 * 365 * 86_400),
        (-1, None),
        ("soon", None),
        (0, None),
        (True, None),
    ],
)
def test_odd_token_lifetimes_are_clamped(said: Any, seconds: float | None) -> None:
    """Text is read, ages become ten years, and a lifetime that is not in the future is unknown."""
    clock = ManualClock()
    with LoginProvider(now=clock.now) as provider, a_product(provider.entry(), clock=clock) as nango:
        callback = callback_of(nango)
        provider.token_faults.append(ProviderResponse(200, {"access_token": "a", "expires_in": said}))
        assert Logins(nango.accounts).finish(callback, COOKIE).ok
        expected = None if seconds is None else clock.now() + seconds
        assert stored(nango).get("expires_at") == expected


@pytest.mark.parametrize(
    "response",
    [
        ProviderResponse(200, "oauth_token=a"),
        ProviderResponse(200, "<html>"),
        ProviderResponse(200, b"a" * 2_000_000),
        ProviderResponse(200, "oauth_token=a&oauth_token_secret=b%0d%0ac"),
        ProviderResponse(401, "oauth_problem=token_rejected"),
        ProviderResponse(302, "", {"Location": "http://127.0.0.1:1/"}),
    ],
)
def test_hostile_oauth_1_responses(response: ProviderResponse) -> None:
    """The same for the older protocol."""
    with LoginProvider1() as provider, a_product(provider.entry()) as nango:
        callback = callback_of(nango)
        provider.token_faults.append(response)
        assert Logins(nango.accounts).finish(callback, COOKIE).code == "exchange_failed"
        assert rows(nango) == []


@pytest.mark.parametrize("value", ["", "a\r\nb", "\0", "\ud800", "\u2028", "x" * 8193])
@pytest.mark.parametrize(("kind", "name"), [(LoginProvider, "code"), (LoginProvider1, "oauth_verifier")])
def test_an_invalid_code_is_not_sent(kind: Any, name: str, value: str) -> None:
    """Empty, endless, or with characters that no code has (RFC 6749 appendix A.11)."""
    with kind() as provider, a_product(provider.entry()) as nango:
        outcome = Logins(nango.accounts).finish({**callback_of(nango), name: value}, COOKIE)
        assert (outcome.ok, outcome.code) == (False, "provider_error")
        assert provider.exchanges() == []


def test_odd_names_of_browsers_do_no_harm() -> None:
    """Half a surrogate pair as attempt, browser or parameter is a name like any other."""
    with LoginProvider() as provider, a_product(provider.entry()) as nango:
        logins, odd = Logins(nango.accounts), "\ud800\0"
        callback = query_of(consent(logins.begin("mail", "user-1", browser=odd, attempt=odd)))
        assert logins.find_outcome("", odd) is None
        assert logins.finish({**callback, odd: odd}, odd).ok
        found = logins.find_outcome("", odd)
        assert found is not None
        assert found.ok


def test_an_unreachable_store_is_reported() -> None:
    """The user may try again, since the state may be valid."""
    with LoginProvider() as provider, a_product(provider.entry()) as nango:
        callback = callback_of(nango)
        store = nango.store
        store.write(lambda run: run("ALTER TABLE nango_pending RENAME TO nango_elsewhere", {}))
        with pytest.raises(ConnectFailed) as caught:
            Logins(nango.accounts).finish(callback, COOKIE)
        assert (caught.value.code, caught.value.status) == ("unavailable", 503)
        store.write(lambda run: run("ALTER TABLE nango_elsewhere RENAME TO nango_pending", {}))
        assert Logins(nango.accounts).finish(callback, COOKIE).ok


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


def test_a_million_nonces_are_different() -> None:
    """They have 128 bits each."""
    assert len({oauth1_protocol.nonce() for _ in range(1_000_000)}) == 1_000_000


def test_each_attempt_has_a_new_signature() -> None:
    """A request whose connection failed is sent again with another nonce and a newer timestamp."""
    seen: list[dict[str, str]] = []
    clock = ManualClock()

    class Refusing:
        """A network in which nothing answers; it notes what would have been sent."""

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
    told = flood(2000, database_url)
    assert told["rows_200"] == told["rows_2000"] == 32
    assert told["mb_2000"] - told["mb_200"] < 5


def test_the_newest_logins_of_a_session_are_kept() -> None:
    """A user who clicks often can still finish; only the oldest logins are dropped."""
    with LoginProvider() as provider, a_product(provider.entry()) as nango:
        callbacks = [callback_of(nango, session_id="s1") for _ in range(34)]
        assert refused(nango, callbacks[0]) == "state_invalid"
        assert Logins(nango.accounts).finish(callbacks[-1], COOKIE).ok
        assert pending_rows(nango) == 31


@pytest.mark.parametrize("config", [{"x": "y" * 20_000}, {"x": float("nan")}, {1: 2}, {"x": {1, 2}}])
def test_settings_that_cannot_be_stored_are_refused(config: Any) -> None:
    """They are too long or not JSON."""
    with LoginProvider() as provider, a_product(provider.entry()) as nango:
        with pytest.raises(ConnectFailed) as caught:
            Logins(nango.accounts).begin("mail", "user-1", additional_config=config)
        assert caught.value.code in {"invalid_credentials", "unavailable"}
        assert pending_rows(nango) == 0


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Every logger of the process, at DEBUG."""
    with listening(Collector()) as handler:
        yield handler


def leaks(text: str) -> list[str]:
    """Traces of a planted token or code, or of the application's secret."""
    return traces(text) + ([text[:200]] if CLIENT_SECRET in text else [])


def quiet(lines: list[str]) -> list[str]:
    """What was written by anybody but the provider's own libraries, which see what they verify."""
    return [line for line in lines if "oauthlib" not in line and "authlib" not in line]


@pytest.mark.parametrize("ending", ["", "deny", *HOSTILE])
@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_of_a_login_is_shown(collector: Collector, kind: Any, ending: Any) -> None:
    """No code, verifier, state, token or secret is in a log, an outcome, an error, an event or a repr."""
    texts: list[str] = []
    planted = {"oauth_client_secret": CLIENT_SECRET}
    with kind(prefix=CORE) as provider, a_product({**provider.entry(), **planted}) as nango:
        heard: list[Any] = []
        for event in ("connected", "connect_failed"):
            nango.on(event, heard.append)
        logins = Logins(nango.accounts)
        url = logins.begin("mail", "user-1", browser=COOKIE, attempt="a1")
        ours = len(collector.lines)
        callback = query_of(consent(url, "deny" if ending == "deny" else "allow"))
        del collector.lines[ours:]  # the browser's own
        if ending in HOSTILE:
            provider.token_faults.append(HOSTILE[ending][0])
        outcome = logins.finish(callback, COOKIE)
        texts += [shown(outcome), shown(heard), repr(logins), shown(vars(logins))]
        try:
            logins.finish(callback, COOKIE)
        except NangoError as error:
            texts.append(everything_of(error, __file__))
        texts += [shown(logins.find_outcome("", "a1")), repr(rows(nango))]
        assert len(heard) == 1
        secrets = [callback["state"], COOKIE]
        secrets += [form.get("code_verifier", "") for _, _, form in getattr(provider, "token_calls", [])]
        texts += quiet(collector.lines)
        assert [leak for text in texts for leak in leaks(text)] == []
        assert [text for text in texts for secret in secrets if secret and secret in text] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_reader_cannot_finish_a_login(tmp_path: Path, kind: Any) -> None:
    """State, cookie, verifier and temporary secret are hashed or encrypted; the row itself is there."""
    with kind(prefix=CORE) as provider:
        with a_product(provider.entry(), f"sqlite:///{tmp_path}/nango.db") as nango:
            callback = callback_of(nango, attempt="a1")
            assert pending_rows(nango) == 1
            files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
            assert Logins(nango.accounts).finish(callback, COOKIE).ok
        secrets = [callback["state"], COOKIE]
        secrets += [form["code_verifier"] for _, _, form in getattr(provider, "token_calls", [])]
    assert b"nango_pending" in files
    assert leaks(files.decode("latin-1")) == []
    assert [secret for secret in secrets if secret.encode() in files] == []


def test_a_bad_template_reveals_nothing(collector: Collector) -> None:
    """An error deep inside the exchange has no frames, which held the code."""
    auth = {"token_params": {"extra": "${raw.missing}"}}
    with LoginProvider(prefix=CORE) as provider, a_product(provider.entry(auth)) as nango:
        callback = callback_of(nango)
        outcome = Logins(nango.accounts).finish(callback, COOKIE)
        assert outcome.code == "misconfigured"
        assert provider.token_calls == []
        assert leaks(shown(outcome)) == []
    assert [leak for line in quiet(collector.lines) for leak in leaks(line)] == []


def test_a_planted_leak_is_found(collector: Collector) -> None:
    """The control: a code in a log line, and one in the frames of an error."""
    logging.getLogger("nango_py.connect").info("the code is %s", f"{CORE}x{CORE}")
    assert any(leaks(line) for line in quiet(collector.lines))

    def careless(code: str) -> None:
        raise NangoError(f"no token for {len(code)} characters")

    with pytest.raises(NangoError) as caught:
        careless(f"{CORE}x{CORE}")
    assert leaks(everything_of(caught.value, "another file"))
