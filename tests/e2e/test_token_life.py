"""Tokens over real sockets: refreshed before they expire and once on a 401, and every failure of that."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConnectionNotFound, CredentialsError, Nango, StorageError, TransportFailed
from nango_py.connections.lease import Leases
from nango_py.secret import reveal
from tests.support.oauth_product import a_nango, refresher_of, status_of
from tests.support.oauth_token_server import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fake_clock import ManualClock


@pytest.fixture
def provider(clock: ManualClock) -> Iterator[Provider]:
    """A provider with the test's clock that rotates refresh tokens."""
    with Provider("strict", now=clock.now) as opened:
        yield opened


@pytest.fixture
def nango(provider: Provider, clock: ManualClock) -> Iterator[Nango]:
    """A product without connections."""
    with a_nango(provider.url, clock=clock) as product:
        yield product


def register(nango: Nango, provider: Provider, **options: Any) -> dict[str, Any]:
    """Connect user-1; the credentials."""
    credentials = provider.grant("user-1", **options)
    nango.register_connection("mail", "user-1", credentials)
    return credentials


def stored(nango: Nango) -> dict[str, Any]:
    """The credentials as they are stored."""
    found: dict[str, Any] = reveal(nango.store.get("mail", "user-1").credentials)
    return found


def test_a_token_is_refreshed_before_it_expires(nango: Nango, provider: Provider, clock: ManualClock) -> None:
    """No expired token is sent, and no token is refreshed long before its expiry."""
    register(nango, provider)
    mail = nango.executor("mail", "user-1")
    for _ in range(200):
        assert mail.get("things").status_code == 200
        clock.advance(60)
    assert provider.expired_sent == []
    # 12,000 seconds in lifetimes of 3,600 seconds, less a margin of 300 to 600.
    assert provider.calls_of("user-1") == ["granted"] * 3
    assert {status for _, status in provider.api_calls} == {200}


@pytest.mark.parametrize("life", [10, 60])
def test_short_lifetimes_do_not_loop(nango: Nango, provider: Provider, clock: ManualClock, life: int) -> None:
    """A token of ten seconds is refreshed once, a second or two before it expires."""
    provider.life = life
    register(nango, provider)
    mail = nango.executor("mail", "user-1")
    for _ in range(100):
        mail.get("things")
        clock.advance(life / 20)
    assert provider.expired_sent == []
    assert 5 <= len(provider.token_calls) <= 7


@pytest.mark.parametrize("client_auth", ["header", "body"])
@pytest.mark.parametrize("responses", ["json", "form"])
def test_every_form_of_request_and_response(clock: ManualClock, client_auth: str, responses: str) -> None:
    """The client authenticates in header or body; the response is JSON or a form."""
    with (
        Provider(now=clock.now, client_auth=client_auth, responses=responses) as provider,
        a_nango(provider.url, clock=clock, auth={"authorization_method": client_auth}) as nango,
    ):
        register(nango, provider, expired=True)
        assert nango.executor("mail", "user-1").get("things").status_code == 200
        assert stored(nango)["expires_at"] == pytest.approx(clock.now() + 3600, abs=1)


def test_a_token_in_the_query_is_replaced_too(provider: Provider, clock: ManualClock) -> None:
    """The retried call has the new token in each place that the blueprint gives it."""
    places = {
        "base_url": f"{provider.url}/api/",
        "headers": {"Authorization": "Bearer ${access_token}"},
        "params": {"auth": "${access_token}"},
        "allow_http": True,
    }
    with a_nango(provider.url, clock=clock, requests=places) as nango:
        old = register(nango, provider)
        provider.forget(old["access_token"])
        response = nango.executor("mail", "user-1").get("things", params={"q": "1"})
    seen = response.json()
    assert seen["token"] == provider.api_calls[-1][0] != old["access_token"]
    assert seen["path"].count(seen["token"]) == 1
    assert old["access_token"] not in seen["path"]
    assert "q=1" in seen["path"]


def test_a_refused_token_is_refreshed_once_and_the_call_retried(nango: Nango, provider: Provider) -> None:
    """A 401 with a token that has not expired leads to one token request and one retry."""
    old = register(nango, provider)
    provider.forget(old["access_token"])
    assert nango.executor("mail", "user-1").get("things").status_code == 200
    assert [status for _, status in provider.api_calls] == [401, 200]
    assert provider.calls_of("user-1") == ["granted"]


def test_without_a_known_expiry_only_a_401_leads_to_a_refresh(
    nango: Nango, provider: Provider, clock: ManualClock
) -> None:
    """If the provider does not state the expiry, the token is used until the API refuses it."""
    provider.expiry = "none"
    register(nango, provider, expired=True)
    mail = nango.executor("mail", "user-1")
    mail.get("things")  # refreshed here, and from now on without an expiry
    clock.advance(3500)
    assert mail.get("things").status_code == 200
    clock.advance(200)
    assert mail.get("things").status_code == 200
    assert [status for _, status in provider.api_calls] == [200, 200, 401, 200]
    assert len(provider.token_calls) == 2


def test_a_permanent_401_is_returned(nango: Nango, provider: Provider) -> None:
    """After one refresh and one retry the 401 is returned; the next calls do not refresh again at once."""
    register(nango, provider)
    provider.always_refuses = True
    mail = nango.executor("mail", "user-1")
    assert mail.get("things").status_code == 401
    assert (len(provider.token_calls), len(provider.api_calls)) == (1, 2)
    for _ in range(5):
        assert mail.get("things").status_code == 401
    assert (len(provider.token_calls), len(provider.api_calls)) == (1, 7)
    assert status_of(nango) == "active"


def test_a_refused_post_is_retried_but_a_streamed_body_is_not(nango: Nango, provider: Provider) -> None:
    """The API refused the first request, so a retry is safe; an iterator cannot be sent again."""
    register(nango, provider)
    mail = nango.executor("mail", "user-1")
    provider.refuses.append(401)
    assert mail.post("things", json={"n": 1}).status_code == 200
    assert [status for _, status in provider.api_calls] == [401, 200]
    provider.refuses.append(401)
    assert mail.post("things", data=iter([b"a", b"b"])).status_code == 401
    assert len(provider.token_calls) == 1


def test_a_reply_without_a_refresh_token_keeps_the_old_one(nango: Nango, provider: Provider) -> None:
    """RFC 6749 section 6: the old refresh token stays valid."""
    provider.rotation, provider.repeats_refresh = "none", False
    old = register(nango, provider, expired=True)
    assert nango.executor("mail", "user-1").get("things").status_code == 200
    assert stored(nango)["refresh_token"] == old["refresh_token"]
    assert stored(nango)["access_token"] != old["access_token"]


@pytest.mark.parametrize("fault", [503, "html", "cut", 429])
def test_a_failing_endpoint_does_not_matter_while_the_old_token_is_valid(
    nango: Nango, provider: Provider, clock: ManualClock, fault: Any
) -> None:
    """With five failures and then a token, calls succeed, attempts back off, and the status stays active."""
    register(nango, provider)
    provider.faults.extend([fault] * (10 if fault == "cut" else 5))
    clock.advance(3600 - 290)
    mail = nango.executor("mail", "user-1")
    for _ in range(140):
        assert mail.get("things").status_code == 200
        assert status_of(nango) == "active"
        clock.advance(1)
    assert provider.calls_of("user-1").count("granted") == 1
    assert provider.calls_of("user-1").count(str(fault)) == (10 if fault == "cut" else 5)
    assert provider.expired_sent == []


def test_failures_back_off(nango: Nango, provider: Provider, clock: ManualClock) -> None:
    """The pause doubles up to fifteen seconds, so that callers notice soon that the endpoint works again."""
    register(nango, provider)
    provider.faults.extend([503] * 1000)
    clock.advance(3600 - 290)
    mail = nango.executor("mail", "user-1")
    asked = []
    for _ in range(280):
        before = len(provider.token_calls)
        mail.get("things")
        if len(provider.token_calls) > before:
            asked.append(clock.now())
        clock.advance(1)
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert pauses[0] <= 3
    assert 8 <= max(pauses) <= 16
    assert len(asked) <= 40


@pytest.mark.parametrize("faults", [[503], [(429, {}, {"Retry-After": "30"})], [503] * 4])
def test_a_refresh_is_repeated_within_the_deadline(
    nango: Nango, provider: Provider, clock: ManualClock, faults: list[Any]
) -> None:
    """503 and 429 prove that nothing was exchanged; the endpoint is asked again when it may be."""
    register(nango, provider, expired=True)
    provider.faults.extend(faults)
    started = clock.now()
    assert nango.executor("mail", "user-1").get("things", deadline_seconds=60).status_code == 200
    assert provider.calls_of("user-1")[-1] == "granted"
    assert len(provider.token_calls) == len(faults) + 1
    if faults != [503] * 4:
        assert clock.now() - started >= (1 if faults == [503] else 30)
    assert provider.expired_sent == []


def test_a_wait_beyond_the_deadline_is_not_begun(
    nango: Nango, provider: Provider, clock: ManualClock
) -> None:
    """The call fails at once, and so do the next ones until the endpoint may be asked again."""
    register(nango, provider, expired=True)
    provider.faults.append((429, {}, {"Retry-After": "90"}))
    mail, started = nango.executor("mail", "user-1"), clock.now()
    for _ in range(3):
        with pytest.raises(TransportFailed) as caught:
            mail.get("things", deadline_seconds=60)
        assert caught.value.reason == "token"
    assert provider.calls_of("user-1") == ["429"]
    assert clock.now() - started <= 1
    clock.advance(90)
    assert mail.get("things").status_code == 200


@pytest.mark.parametrize("fault", [500, "html"])
def test_a_refresh_that_may_have_been_done_is_not_repeated_in_the_call(
    nango: Nango, provider: Provider, clock: ManualClock, fault: Any
) -> None:
    """The refresh token may be used up: the call fails and does not send the old access token."""
    register(nango, provider, expired=True)
    provider.faults.append(fault)
    mail = nango.executor("mail", "user-1")
    with pytest.raises(TransportFailed) as caught:
        mail.get("things")
    assert caught.value.reason == "token"
    assert provider.calls_of("user-1") == [str(fault)]
    clock.advance(3)
    assert mail.get("things").status_code == 200
    assert provider.expired_sent == []


def test_a_success_resets_the_backoff(nango: Nango, provider: Provider, clock: ManualClock) -> None:
    """A lost response is requested once more at once; the next success resets the backoff."""
    provider.rotation = "grace"
    register(nango, provider, expired=True)
    provider.faults.append("lost")
    assert nango.executor("mail", "user-1").get("things").status_code == 200
    assert provider.calls_of("user-1") == ["lost", "granted"]
    assert status_of(nango) == "active"
    clock.advance(4000)
    assert nango.executor("mail", "user-1").get("things").status_code == 200


def test_a_lost_response_under_strict_rotation_needs_the_user(
    nango: Nango, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """The grant is lost: one event, one log record, a CredentialsError, and no further token requests."""
    heard: list[Any] = []
    nango.on("needs_reauth", heard.append)
    register(nango, provider, expired=True)
    provider.faults.append("lost")
    mail = nango.executor("mail", "user-1")
    for _ in range(4):
        with pytest.raises(CredentialsError, match="must connect again") as caught:
            mail.get("things")
        assert (caught.value.integration, caught.value.user_id) == ("mail", "user-1")
    assert provider.calls_of("user-1") == ["lost", "reused"]
    assert status_of(nango) == "needs_reauth"
    assert [(event.kind, event.integration, event.user_id, event.reason) for event in heard] == [
        ("needs_reauth", "mail", "user-1", "invalid_grant")
    ]
    assert [record.getMessage() for record in caplog.records if "needs_reauth" in record.getMessage()] == [
        "mail user-1 needs_reauth: invalid_grant"
    ]
    assert provider.api_calls == []


def test_new_credentials_make_it_active_again(nango: Nango, provider: Provider) -> None:
    """After the user has connected again, the same executor works."""
    old = register(nango, provider, expired=True)
    provider.revoke(old["refresh_token"])
    mail = nango.executor("mail", "user-1")
    with pytest.raises(CredentialsError):
        mail.get("things")
    nango.update_connection_credentials("mail", "user-1", provider.grant("user-1"))
    assert mail.get("things").status_code == 200


def test_a_rejected_application_does_not_end_the_connection(
    nango: Nango, provider: Provider, clock: ManualClock
) -> None:
    """A wrong client secret: a CredentialsError, an unchanged status, and few token requests."""
    register(nango, provider, expired=True)
    provider.faults.append("invalid_client")
    mail = nango.executor("mail", "user-1")
    for _ in range(3):
        with pytest.raises(CredentialsError, match="application"):
            mail.get("things")
    assert provider.calls_of("user-1") == ["invalid_client"]
    assert status_of(nango) == "active"
    clock.advance(2)
    assert mail.get("things").status_code == 200


def test_a_refusal_after_another_process_won_is_ignored(nango: Nango, provider: Provider) -> None:
    """After invalid_grant, a newer token that another process has stored is used."""
    register(nango, provider, expired=True)
    provider.faults.append("invalid_grant")
    provider.gate.clear()
    with ThreadPoolExecutor(1) as thread:
        response = thread.submit(nango.executor("mail", "user-1").get, "things")
        assert provider.arrived.acquire(timeout=60)
        nango.update_connection_credentials("mail", "user-1", provider.grant("user-1"))
        provider.gate.set()
        assert response.result(10).status_code == 200
    assert status_of(nango) == "active"


def test_a_store_that_fails_at_the_worst_moment(
    nango: Nango, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the database fails after the provider has responded, the write is retried, and no token is lost."""
    register(nango, provider, expired=True)
    failures = [StorageError("the disk is full"), StorageError("the disk is full")]
    store_renewed = Leases.store_refreshed

    def failing(self: Leases, *given: Any) -> Any:
        if failures:
            raise failures.pop()
        return store_renewed(self, *given)

    monkeypatch.setattr(Leases, "store_refreshed", failing)
    assert nango.executor("mail", "user-1").get("things").status_code == 200
    assert provider.calls_of("user-1") == ["granted"]


def test_no_token_is_requested_if_nothing_can_be_stored(
    nango: Nango, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acquiring the lease is a write too, so a full disk is detected before the provider is asked."""

    def full(*_: Any) -> bool:
        raise StorageError("the disk is full")

    register(nango, provider, expired=True)
    with monkeypatch.context() as patch:
        patch.setattr(Leases, "acquire", full)
        with pytest.raises(StorageError):
            nango.executor("mail", "user-1").get("things")
    assert provider.token_calls == []
    assert nango.executor("mail", "user-1").get("things").status_code == 200


def test_a_connection_deleted_during_its_refresh_stays_deleted(nango: Nango, provider: Provider) -> None:
    """The refresh in flight does not restore it."""
    register(nango, provider, expired=True)
    provider.gate.clear()
    with ThreadPoolExecutor(1) as thread:
        response = thread.submit(nango.executor("mail", "user-1").get, "things")
        assert provider.arrived.acquire(timeout=60)
        nango.delete_connection("mail", "user-1")
        provider.gate.set()
        with pytest.raises(ConnectionNotFound):
            response.result(10)
    with pytest.raises(ConnectionNotFound):
        nango.connection("mail", "user-1")
    assert nango.connections_for_user("user-1") == []


def test_a_login_during_the_refresh_wins(nango: Nango, provider: Provider) -> None:
    """If the user connects again while the old token is refreshed, the credentials of the login stay."""
    register(nango, provider, expired=True)
    provider.gate.clear()
    with ThreadPoolExecutor(1) as thread:
        response = thread.submit(nango.executor("mail", "user-1").get, "things")
        assert provider.arrived.acquire(timeout=60)
        before = nango.store.get("mail", "user-1")
        login = provider.grant("user-1")
        nango.register_connection("mail", "user-1", login, {"color": "blue"}, replace=True)
        provider.gate.set()
        assert response.result(10).status_code == 200
    after = nango.store.get("mail", "user-1")
    assert (after.uuid, after.generation) == (before.uuid, before.generation + 1)
    assert after.credentials["access_token"].reveal() == login["access_token"]
    assert nango.connection("mail", "user-1")["additional_config"] == {"color": "blue"}


def test_settings_changed_during_the_refresh_do_not_cost_the_token(nango: Nango, provider: Provider) -> None:
    """A change of additional_config during the token call leaves a connection that goes on."""
    register(nango, provider, expired=True)
    provider.gate.clear()
    with ThreadPoolExecutor(1) as thread:
        response = thread.submit(nango.executor("mail", "user-1").get, "things")
        assert provider.arrived.acquire(timeout=60)
        nango.update_connection_config("mail", "user-1", {"color": "blue"})
        provider.gate.set()
        assert response.result(10).status_code == 200
    assert nango.connection("mail", "user-1")["additional_config"] == {"color": "blue"}
    assert provider.calls_of("user-1") == ["granted"]


def test_no_caller_waits_for_a_refresh_while_the_old_token_is_valid(
    nango: Nango, provider: Provider, clock: ManualClock
) -> None:
    """One caller refreshes ahead of time; the others use the old token."""
    register(nango, provider)
    clock.advance(3600 - 290)
    provider.gate.clear()
    mail = nango.executor("mail", "user-1")
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(mail.get, "things")
        assert provider.arrived.acquire(timeout=60)
        for _ in range(10):
            assert mail.get("things").status_code == 200
        provider.gate.set()
        assert first.result(10).status_code == 200
    assert provider.calls_of("user-1") == ["granted"]


def test_a_long_walk_outlives_its_first_token(provider: Provider, clock: ManualClock) -> None:
    """Each page is requested with the token that is valid then."""
    paging = {"kind": "next_url", "next": "next", "records": "items"}
    with a_nango(provider.url, clock=clock, pagination=paging) as nango:
        register(nango, provider)
        seen = []
        for number in nango.executor("mail", "user-1").paginate("things"):
            seen.append(number)
            clock.advance(1500)
    assert seen == list(range(8))
    assert provider.expired_sent == []
    assert {status for _, status in provider.api_calls} == {200}
    assert 2 <= len(provider.token_calls) <= 3


def test_a_session_refreshes_too(nango: Nango, provider: Provider) -> None:
    """SDKs that use a session need not know about tokens."""
    register(nango, provider, expired=True)
    assert nango.session("mail", "user-1").get("things").status_code == 200


def test_many_threads_refresh_once(provider: Provider, tmp_path: Path) -> None:
    """Thirty-two threads with an expired token make one token request, and all succeed."""
    with a_nango(provider.url, f"sqlite:///{tmp_path}/nango.db") as nango:
        provider.now = nango.services.clock.now
        register(nango, provider, expired=True)
        start = threading.Barrier(32)

        def call(_: int) -> int:
            start.wait()
            return int(nango.executor("mail", "user-1").get("things").status_code)

        with ThreadPoolExecutor(32) as threads:
            assert set(threads.map(call, range(32))) == {200}
        assert provider.calls_of("user-1") == ["granted"]
        assert refresher_of(nango)._jobs == {}
