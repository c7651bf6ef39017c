"""Deleting a connection: it is deleted at once, and its tokens are revoked as far as possible."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConnectionNotFound, Nango
from nango_py.clock import SYSTEM_CLOCK
from nango_py.database.opening import open_database
from nango_py.secret import Secret
from nango_py.tokens import revocation
from tests.support.fake_clock import ManualClock
from tests.support.oauth_product import a_nango, mail
from tests.support.oauth_token_server import Provider
from tests.support.planted_secrets import Collector, secret, shown, traces
from tests.support.provider_grants import CLIENT_ID, CLIENT_SECRET
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py import Event


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that replaces refresh tokens at once."""
    with Provider("strict") as opened:
        yield opened


def product(provider: Provider, url: str = "sqlite:///:memory:", **auth: Any) -> Nango:
    """A product that knows the revocation endpoint of its provider."""
    return a_nango(provider.url, url, auth={"revocation_url": f"{provider.url}/revoke", **auth})


def connect(nango: Nango, provider: Provider, **options: Any) -> dict[str, Any]:
    """Connect user-1; the credentials."""
    credentials = provider.grant("user-1", **options)
    nango.register_connection("mail", "user-1", credentials)
    return credentials


def revocation_events(nango: Nango) -> list[Event]:
    """The events of providers that did not withdraw."""
    events: list[Event] = []
    nango.on("not_revoked", events.append)
    return events


def assert_gone(nango: Nango) -> None:
    """Nothing is stored of user-1."""
    with pytest.raises(ConnectionNotFound):
        nango.connection("mail", "user-1")


@pytest.mark.parametrize("client_auth", ["header", "body"])
def test_the_tokens_are_revoked(client_auth: str, database_url: str) -> None:
    """Refresh token first, then the access token, with the client's own id; the grant is dead afterwards."""
    with (
        Provider(client_auth=client_auth) as provider,
        product(provider, database_url, authorization_method=client_auth) as nango,
    ):
        events = revocation_events(nango)
        credentials = connect(nango, provider)
        assert nango.executor("mail", "user-1").get("things").status_code == 200
        nango.delete_connection("mail", "user-1")
        assert_gone(nango)
        assert provider.revocations == [("refresh_token", 200), ("access_token", 400)]
        assert provider.api(credentials["access_token"]) == 401
        assert events == []  # that the access token is unknown by now is as it should be


def test_it_can_be_left_valid(provider: Provider) -> None:
    """revoke=False sends nothing, and the token stays valid."""
    with product(provider) as nango:
        credentials = connect(nango, provider)
        nango.delete_connection("mail", "user-1", revoke=False)
        assert_gone(nango)
        assert provider.revocations == []
        assert provider.api(credentials["access_token"]) == 200


def test_without_a_declared_place_nothing_is_sent(provider: Provider) -> None:
    """The control: a blueprint that names no revocation_url has its connections deleted, and that is all."""
    with a_nango(provider.url) as nango:
        events = revocation_events(nango)
        connect(nango, provider)
        nango.delete_connection("mail", "user-1")
        assert_gone(nango)
    assert (provider.revocations, events) == ([], [])


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ([503], "the provider responded with 503"),
        ([400], "the provider responded with 400"),
        ([200, 500], "the provider responded with 500"),
        ([302], "the provider responded with 302"),
        (["lost"], "no response (reset)"),
    ],
)
def test_a_provider_that_fails_is_an_event_and_not_an_error(
    provider: Provider, faults: list[Any], reason: str
) -> None:
    """The connection is deleted nevertheless; the event has the reason and no token."""
    provider.revocation_faults.extend(faults)
    with product(provider) as nango:
        events = revocation_events(nango)
        connect(nango, provider)
        nango.delete_connection("mail", "user-1")
        assert_gone(nango)
    assert [(event.integration, event.user_id, event.reason) for event in events] == [
        ("mail", "user-1", reason)
    ]


def test_a_provider_that_hangs_does_not_block_the_deletion(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is deleted before the provider is asked, and the wait is bounded."""
    monkeypatch.setattr(revocation, "REQUEST_SECONDS", 0.5)
    provider.revocation_faults.append("hang")
    arrived = threading.Event()
    with product(provider) as nango:
        events = revocation_events(nango)
        connect(nango, provider)
        transport = nango.services.transport
        send = transport.send

        def watched(*arguments: Any) -> Any:
            assert_gone(nango)  # already, when the first request is sent
            arrived.set()
            return send(*arguments)

        monkeypatch.setattr(transport, "send", watched)
        nango.delete_connection("mail", "user-1")
        assert_gone(nango)
    assert arrived.is_set()
    assert [event.reason for event in events] == ["no response (timeout)"]


def test_a_provider_that_refuses_connections() -> None:
    """A provider that no longer exists does not prevent the deletion."""
    with Provider() as provider:
        credentials = provider.grant("user-1")
    with product(provider) as nango:
        events = revocation_events(nango)
        nango.register_connection("mail", "user-1", credentials)
        nango.delete_connection("mail", "user-1")
        assert_gone(nango)
    assert [event.reason for event in events] == ["no response (connect)"]


def test_an_integration_that_is_declared_no_longer(provider: Provider, database_url: str) -> None:
    """Its connections can be deleted; there is no endpoint to send a revocation to."""
    with product(provider, database_url) as nango:
        connect(nango, provider)
    settings = {"other": mail(provider.url)}
    with Nango(settings, database_url=database_url, encryption_keys=ENCRYPTION_KEY, environ={}) as nango:
        nango.delete_connection("mail", "user-1")
        assert_gone(nango)
        with pytest.raises(ConnectionNotFound):
            nango.delete_connection("mail", "user-1")
    assert provider.revocations == []


def test_an_altered_row_is_deleted_without_a_word(provider: Provider, database_url: str) -> None:
    """What cannot be read cannot be withdrawn, and is deleted all the same."""
    with product(provider, database_url) as nango:
        connect(nango, provider)
        database = open_database(Secret(database_url))
        database.write(lambda run: run("UPDATE nango_connections SET credentials = :c", {"c": b"no"}))
        database.close()
        nango.services.cache.clear()
        nango.delete_connection("mail", "user-1")
        assert_gone(nango)
    assert provider.revocations == []


def test_another_connection_of_the_same_application_stays_valid(provider: Provider) -> None:
    """Providers may end the whole grant with one token, so it is revoked with the last connection only."""
    place = {"revocation_url": f"{provider.url}/revoke"}
    settings = {
        "mail": mail(provider.url, place),
        "calendar": mail(provider.url, place),
        "foreign": {**mail(provider.url, place), "oauth_client_id": "another-client"},
    }
    with Nango(
        settings, database_url="sqlite:///:memory:", encryption_keys=ENCRYPTION_KEY, environ={}
    ) as nango:
        events = revocation_events(nango)
        credentials = provider.grant("user-1")
        for name in settings:
            nango.register_connection(name, "user-1", credentials)
        nango.register_connection("calendar", "user-2", provider.grant("user-2"))
        nango.delete_connection("mail", "user-1")
        assert provider.revocations == []
        assert [event.reason for event in events] == ["another connection of this user has the same grant"]
        assert nango.executor("calendar", "user-1").get("things").status_code == 200
        nango.delete_connection("calendar", "user-1")
        # Neither another user's connection nor another application's is in the way.
        assert provider.revocations[0] == ("refresh_token", 200)
        assert len(events) == 1


def test_an_altered_row_beside_it_is_no_error(provider: Provider, database_url: str) -> None:
    """Whether the other one has the same grant is unknown then; nothing is revoked, and the event says so."""
    place = {"revocation_url": f"{provider.url}/revoke"}
    settings = {"mail": mail(provider.url, place), "calendar": mail(provider.url, place)}
    with Nango(settings, database_url=database_url, encryption_keys=ENCRYPTION_KEY, environ={}) as nango:
        events = revocation_events(nango)
        for name in settings:
            nango.register_connection(name, "user-1", provider.grant("user-1"))
        database = open_database(Secret(database_url))
        change = "UPDATE nango_connections SET additional_config = :c WHERE integration = 'calendar'"
        database.write(lambda run: run(change, {"c": b"no"}))
        database.close()
        nango.delete_connection("mail", "user-1")
        assert_gone(nango)
    assert [event.reason for event in events] == ["TamperError"]


def test_what_is_not_there_is_not_found(provider: Provider) -> None:
    """Deleting twice is an error, and the tokens are revoked once."""
    with product(provider) as nango:
        connect(nango, provider)
        nango.delete_connection("mail", "user-1")
        with pytest.raises(ConnectionNotFound, match="user-1"):
            nango.delete_connection("mail", "user-1")
    assert len(provider.revocations) == 2


class Opening:
    """The machine's clock, for whom each wait opens the provider's gate."""

    def __init__(self, provider: Provider) -> None:
        self.now, self.monotonic = SYSTEM_CLOCK.now, SYSTEM_CLOCK.monotonic
        self.waits = 0
        self._provider = provider

    def sleep(self, seconds: float) -> None:
        """Wait, after the gate is open."""
        self.waits += 1
        self._provider.gate.set()
        SYSTEM_CLOCK.sleep(seconds)


def test_a_refresh_in_flight_is_waited_for(provider: Provider, database_url: str) -> None:
    """The new tokens of another process are revoked, because the old ones are no longer valid."""
    clock, place = Opening(provider), {"revocation_url": f"{provider.url}/revoke"}
    with (
        product(provider, database_url) as nango,
        a_nango(provider.url, database_url, clock=clock, auth=place) as other,
    ):
        old = connect(nango, provider, expired=True)
        provider.gate.clear()
        with ThreadPoolExecutor(1) as thread:
            response = thread.submit(nango.executor("mail", "user-1").get, "things")
            assert provider.arrived.acquire(timeout=60)
            other.delete_connection("mail", "user-1")
            # The call's own token is withdrawn before it is used, or the connection is gone.
            ended = response.exception(20) or response.result()
        assert isinstance(ended, ConnectionNotFound) or ended.status_code in {200, 401}
        assert_gone(nango)
        assert_gone(other)
    assert clock.waits > 0
    assert provider.calls_of("user-1")[0] == "granted"
    assert provider.revocations[0] == ("refresh_token", 200)
    client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    assert provider.withdraw({"token": old["refresh_token"], **client}, "") == 400


def test_a_refresh_that_hangs_is_not_waited_for_long(provider: Provider) -> None:
    """After a few seconds the connection is deleted, and the refresh does not restore it."""
    clock = ManualClock()
    with a_nango(provider.url, clock=clock, auth={"revocation_url": f"{provider.url}/revoke"}) as nango:
        provider.now = clock.now
        connect(nango, provider, expired=True)
        provider.gate.clear()
        with ThreadPoolExecutor(1) as thread:
            response = thread.submit(nango.executor("mail", "user-1").get, "things")
            assert provider.arrived.acquire(timeout=60)
            nango.delete_connection("mail", "user-1")  # the clock of this test does not really wait
            assert_gone(nango)
            provider.gate.set()
            with pytest.raises(ConnectionNotFound):
                response.result(20)
        assert_gone(nango)
        assert nango.connections_for_user("user-1") == []


def test_no_log_and_no_event_holds_a_token() -> None:
    """A response that repeats the token is neither logged nor part of an event."""
    collector = Collector()
    root = logging.getLogger()
    level = root.level
    root.addHandler(collector)
    root.setLevel(logging.DEBUG)
    try:
        with Provider(prefix=secret(7)) as provider, product(provider) as nango:
            events = revocation_events(nango)
            provider.revocation_faults.extend([500, "lost"])
            connect(nango, provider)
            nango.delete_connection("mail", "user-1")
    finally:
        root.removeHandler(collector)
        root.setLevel(level)
    assert events
    assert any("not_revoked" in line for line in collector.lines)
    assert traces("\n".join(collector.lines) + shown(events)) == []
