"""Hostile responses of providers in a login: typed errors, and no secret in anything that is shown."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.connect.login import Logins
from nango_py.errors import ConnectFailed, NangoError
from tests.support.fake_clock import ManualClock
from tests.support.login_product import COOKIE, KINDS, a_product, callback_of, pending_rows, rows, stored
from tests.support.oauth1_login_provider import LoginProvider1
from tests.support.oauth2_login_provider import LoginProvider, consent
from tests.support.planted_secrets import CORE, Collector, everything_of, listening, shown, traces
from tests.support.provider_grants import CLIENT_SECRET
from tests.support.provider_server import ProviderResponse, query_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
