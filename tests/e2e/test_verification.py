"""Testing credentials over real sockets: what each response says to the user whose credentials they are."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConfigError, CredentialsError, Nango, UnknownIntegration, Verification
from nango_py.connections.lease import Leases
from nango_py.engine.verification import SECONDS
from tests.support.fake_clock import ManualClock
from tests.support.fault_server import CLOSE, HANG, READ, FaultServer, response
from tests.support.nango_at_server import KEY, QUICK, WIDE, calling, settings_of
from tests.support.oauth_product import a_nango
from tests.support.oauth_product import mail as mail_settings
from tests.support.oauth_token_server import Provider
from tests.support.planted_secrets import Collector, everything_of, secret, shown, traces
from tests.support.provider_grants import CLIENT_ID, CLIENT_SECRET
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHECK = {"method": "GET", "path": "me"}
NEW = {"api_key": "pk_new_planted_0123456789"}


def script_for(status: int, message: str = "") -> list[Any]:
    """A connection script with one response, in the shape of the API's errors."""
    body = json.dumps({"error": {"message": message, "code": "wrong"}} if message else {}).encode()
    return [READ, response(body, status, {"Content-Type": "application/json", "Connection": "close"}), CLOSE]


def verdict_of(
    *scripts: Any, verification: Mapping[str, Any] = CHECK, title: str = "Shop", **settings: Any
) -> Verification:
    """The result of `verify_credentials` for this response."""
    settings = {"retries": {"backoff": QUICK}, "rate_limits": WIDE, "title": title, **settings}
    with (
        FaultServer(*scripts) as server,
        calling(f"{server.url}v1/", verification=verification, **settings) as nango,
    ):
        return nango.verify_credentials("shop", "user-2", NEW)


def test_a_good_response_accepts() -> None:
    """2xx means that the credentials work, and the message says so."""
    found = verdict_of(script_for(200))
    assert found == Verification("accepted", 200, "Shop accepted this API key.")
    assert found.ok


@pytest.mark.parametrize(
    ("status", "outcome", "start"),
    [
        (401, "refused", 'Shop did not accept this API key (401: "Nope.")'),
        (403, "missing_scope", 'Shop recognized this API key, but it lacks a permission (403: "Nope.")'),
        (404, "refused", 'Shop did not accept this API key (404: "Nope.")'),
        (400, "refused", 'Shop did not accept this API key (400: "Nope.")'),
        (500, "unavailable", 'Shop could not verify this API key (500: "Nope."). Try again later'),
        (503, "unavailable", "Shop could not verify"),
        (501, "unavailable", "Shop could not verify"),
        (408, "unavailable", "Shop could not verify"),
        (410, "unavailable", "Shop could not verify"),
    ],
)
def test_each_status_has_its_outcome(status: int, outcome: str, start: str) -> None:
    """A wrong key, a missing permission and an unreachable API have different outcomes."""
    found = verdict_of(script_for(status, "Nope."))
    assert (found.outcome, found.status) == (outcome, status)
    assert found.message.startswith(start)
    assert not found.ok


def test_too_many_requests_say_nothing_about_the_key() -> None:
    """A 429 with a longer wait than the deadline is `unavailable` at once, with its status."""
    many = [READ, response(b"{}", 429, {"Retry-After": "60", "Connection": "close"}), CLOSE]
    found = verdict_of(many)
    assert (found.outcome, found.status) == ("unavailable", 429)
    assert "too many requests" in found.message


def test_without_a_connection_the_api_is_unavailable() -> None:
    """No server listens: `unavailable`, without a status."""
    with FaultServer([CLOSE]) as server:
        url = server.url
    with calling(f"{url}v1/", verification=CHECK, title="Shop", retries={"backoff": QUICK}) as nango:
        found = nango.verify_credentials("shop", "user-2", NEW)
    assert (found.outcome, found.status) == ("unavailable", None)
    assert found.message == "Shop could not verify this API key (connect). Try again later."


def test_a_silent_api_is_waited_for_only_a_few_seconds() -> None:
    """Two attempts within the deadline, not the blueprint's five."""
    clock = ManualClock()
    with (
        FaultServer([READ, HANG]) as server,
        calling(
            f"{server.url}v1/",
            clock=clock,
            verification=CHECK,
            retries={"max_attempts": 9, "backoff": QUICK},
            rate_limits=WIDE,
            requests={"timeout_seconds": {"connect": 1, "read": 0.2}},
        ) as nango,
    ):
        found = nango.verify_credentials("shop", "user-2", NEW)
        assert len(server.requests) == 2
    assert found.outcome == "unavailable"
    assert SECONDS == 15


def test_a_second_attempt_may_succeed() -> None:
    """A 503 is retried, as in a call."""
    assert verdict_of(script_for(503), script_for(200)).outcome == "accepted"
    assert verdict_of(script_for(503), script_for(401)).outcome == "refused"


def test_without_a_declared_call_nothing_is_sent() -> None:
    """`not_declared` accepts the credentials, and says why."""
    with FaultServer(script_for(401)) as server, calling(f"{server.url}v1/") as nango:
        found = nango.verify_credentials("shop", "user-2", NEW)
        assert nango.executor("shop", "user-1").verify() == found
        assert server.requests == []
    assert (found.outcome, found.status, found.ok) == ("not_declared", None, True)


@pytest.mark.parametrize(
    ("words", "status", "body", "outcome"),
    [
        ({"accepts": [404]}, 404, {}, "accepted"),
        ({"accepts": [204]}, 200, {}, "refused"),
        ({"accepts": ["2xx", 403]}, 403, {}, "accepted"),
        ({"refuses": [401, 403]}, 403, {}, "refused"),
        ({"refuses": [{"status": 403, "body_contains": "InvalidKey"}]}, 403, {"a": "InvalidKey"}, "refused"),
        ({"refuses": [{"status": 403, "body_contains": "InvalidKey"}]}, 403, {"a": "b"}, "missing_scope"),
        ({"lacks_scope": [{"json": {"path": "code", "equals": "s"}}]}, 200, {"code": "s"}, "missing_scope"),
        ({"lacks_scope": ["4xx"]}, 401, {}, "missing_scope"),
        ({"refuses": ["5xx"]}, 500, {}, "refused"),
    ],
)  # fmt: skip
def test_the_blueprint_takes_precedence(
    words: dict[str, Any], status: int, body: dict[str, Any], outcome: str
) -> None:
    """`accepts`, `refuses` and `lacks_scope` take precedence over the usual meaning of statuses."""
    script = [READ, response(json.dumps(body).encode(), status, {"Connection": "close"}), CLOSE]
    assert verdict_of(script, verification={**CHECK, **words}).outcome == outcome


def test_an_error_with_status_200_is_an_error() -> None:
    """If a retry rule fails a 200, as for Slack's `ok: false`, the credentials are refused."""
    rules = [
        {"when": {"status": 200, "json": {"path": "error", "equals": "ratelimited"}}, "do": "wait"},
        {"when": {"status": 200, "json": {"path": "ok", "equals": False}}, "do": "fail"},
    ]
    policy = {"rules": rules, "backoff": QUICK}

    def verdict(body: dict[str, Any]) -> str:
        script = [READ, response(json.dumps(body).encode(), 200, {"Connection": "close"}), CLOSE]
        return verdict_of(script, retries=policy).outcome

    assert verdict({"ok": False, "error": "invalid_auth"}) == "refused"
    assert verdict({"ok": True}) == "accepted"
    assert verdict({"ok": False, "error": "ratelimited"}) == "unavailable"


def test_the_call_is_made_as_it_is_written() -> None:
    """Method, parameters, headers, templates and body of the blueprint are sent, with the credential."""
    verification = {
        "method": "POST",
        "path": "shops/${additional_config.shop}/me",
        "params": {"user": "${user_id}"},
        "headers": {"X-Shop": "${additional_config.shop}"},
        "json": {"query": "{me}"},
    }
    with (
        FaultServer(script_for(200)) as server,
        calling(f"{server.url}v1/", verification=verification) as nango,
    ):
        assert nango.verify_credentials("shop", "user 2", NEW, {"shop": "a b"}).ok
        sent = server.requests[0].decode()
    assert sent.startswith("POST /v1/shops/a%20b/me?user=user+2 HTTP/1.1\r\n")
    assert "X-Shop: a b\r\n" in sent
    assert f"Authorization: Key {NEW['api_key']}\r\n" in sent
    assert sent.endswith('{"query": "{me}"}')


def test_credentials_that_cannot_be_sent_are_refused_without_a_call() -> None:
    """The message names a pasted line break, and nothing is sent."""
    with FaultServer(script_for(200)) as server, calling(f"{server.url}v1/", verification=CHECK) as nango:
        with pytest.raises(CredentialsError, match=r"api_key.*line break") as caught:
            nango.verify_credentials("shop", "user-2", {"api_key": "pk_1234567\r\nX: y"})
        assert server.requests == []
    assert "pk_1234567" not in str(caught.value)


def test_unknown_names_and_invalid_forms_are_errors() -> None:
    """Mistakes of the caller raise what register_connection raises."""
    schema = {"type": "object", "properties": {"region": {"type": "string", "pattern": "^[a-z]+$"}}}
    with calling("http://127.0.0.1:1/", verification=CHECK, connection_config=schema) as nango:
        with pytest.raises(UnknownIntegration, match="shop"):
            nango.verify_credentials("shoop", "user-2", NEW)
        with pytest.raises(CredentialsError, match='did you mean "api_key"'):
            nango.verify_credentials("shop", "user-2", {"api_kye": "x"})
        with pytest.raises(ConfigError, match="region"):
            nango.verify_credentials("shop", "user-2", NEW, {"region": "EU 1"})


def test_nothing_is_stored() -> None:
    """The store is not even opened for unstored credentials."""
    with FaultServer(script_for(200)) as server:
        nango = Nango(
            {"shop": settings_of(f"{server.url}v1/", verification=CHECK)},
            database_url="postgresql://nobody@127.0.0.1:1/none",
            encryption_keys=base64.b64encode(b"k" * 32).decode(),
            environ={},
        )
        with nango:
            assert nango.verify_credentials("shop", "user-2", NEW).ok


def test_a_stored_connection_is_tested_as_it_is() -> None:
    """`executor.verify()` uses the stored credentials, also with asyncio, and explain() works."""
    with (
        FaultServer(
            script_for(200), script_for(401, "Revoked."), script_for(200), script_for(403, "No.")
        ) as server,
        calling(f"{server.url}v1/", verification=CHECK, rate_limits=WIDE) as nango,
    ):
        executor = nango.executor("shop", "user-1")
        assert executor.verify().outcome == "accepted"
        assert executor.verify().outcome == "refused"
        assert "401" in executor.explain()

        async def both() -> list[str]:
            async with nango:
                mine = nango.async_executor("shop", "user-1")
                found = [(await mine.verify()).outcome, (await mine.verify()).outcome]
                assert "403" in mine.explain()
                return found

        assert asyncio.run(both()) == ["accepted", "missing_scope"]
        assert all(KEY.encode() in request for request in server.requests)


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that rotates refresh tokens at once."""
    with Provider("strict") as opened:
        yield opened


def mail(provider: Provider, **more: Any) -> Nango:
    """A product whose verification is a call of the provider's API."""
    return a_nango(provider.url, verification={"path": "things"}, title="Mail", **more)


def test_an_expired_stored_token_is_refreshed_and_stored(provider: Provider) -> None:
    """Verifying a stored connection refreshes as a call does: the new token is stored."""
    with mail(provider) as nango:
        nango.register_connection("mail", "user-1", provider.grant("user-1", expired=True))
        assert nango.executor("mail", "user-1").verify().outcome == "accepted"
        assert nango.store.get("mail", "user-1").generation == 2
        assert nango.executor("mail", "user-1").verify().outcome == "accepted"
    assert provider.calls_of("user-1") == ["granted"]


def test_a_revoked_grant_is_refused(provider: Provider) -> None:
    """The provider's refusal is a verdict, not an exception."""
    with mail(provider) as nango:
        credentials = provider.grant("user-1", expired=True)
        nango.register_connection("mail", "user-1", credentials)
        provider.revoke(credentials["refresh_token"])
        found = nango.executor("mail", "user-1").verify()
        assert (found.outcome, found.status) == ("refused", None)
        assert "must connect again" in found.message
        assert nango.executor("mail", "user-1").verify().outcome == "refused"  # known by now
    assert provider.calls_of("user-1") == ["invalid_grant"]


def test_an_unstored_token_is_never_refreshed(provider: Provider) -> None:
    """With strict rotation a refresh would invalidate the grant that is about to be stored."""
    with mail(provider) as nango:
        credentials = provider.grant("user-1", expired=True)
        assert nango.verify_credentials("mail", "user-1", credentials).outcome == "refused"
        assert provider.token_calls == []
        nango.register_connection("mail", "user-1", credentials)
        assert nango.executor("mail", "user-1").get("things").status_code == 200


def cc(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Nango:
    """A product with client credentials of the user's own; taking a lease would be an error."""

    def taken(*_: Any) -> bool:
        raise AssertionError("a lease was taken")

    monkeypatch.setattr(Leases, "acquire", taken)
    settings = mail_settings(provider.url, verification={"path": "things"}, title="Mail")
    settings["auth"] = {"auth_mode": "OAUTH2_CC", "token_url": f"{provider.url}/token"}
    settings["auth"]["authorization_method"] = "body"
    return Nango(
        {"mail": settings}, database_url="sqlite:///:memory:", encryption_keys=ENCRYPTION_KEY, environ={}
    )


def test_a_first_token_is_fetched_and_discarded(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """With client credentials the token call is part of the test; no lease is taken and nothing stored."""
    good = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    with cc(provider, monkeypatch) as nango:
        assert nango.verify_credentials("mail", "user-1", good).outcome == "accepted"
        found = nango.verify_credentials("mail", "user-1", {**good, "client_secret": "wrong_planted_secret"})
        assert (found.outcome, found.status) == ("refused", 401)
        assert found.message == "Mail did not accept these credentials (invalid_client)."
        provider.always_refuses = True
        refused = nango.verify_credentials("mail", "user-1", good)
        assert (refused.outcome, refused.status) == ("refused", 401)
        assert nango.connections_for_user("user-1") == []
    # The 401 of the API brought no second token.
    assert [outcome for _, outcome in provider.token_calls] == ["granted", "invalid_client", "granted"]


@pytest.mark.parametrize(("fault", "status"), [(503, 503), ("html", 200)])
def test_an_unreachable_token_endpoint_is_not_a_refusal(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, fault: Any, status: int
) -> None:
    """If no token can be fetched at present, the credentials are neither right nor wrong."""
    provider.faults.extend([fault] * 3)
    with cc(provider, monkeypatch) as nango:
        given = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        found = nango.verify_credentials("mail", "user-1", given)
    assert (found.outcome, found.status) == ("unavailable", status)


def test_the_applications_own_mistake_is_not_the_users(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the application's client id is refused, the user is not blamed."""
    with cc(provider, monkeypatch) as nango:
        provider.client_auth = "header"  # so that what the product sends in the body is refused
        found = nango.verify_credentials("mail", "user-1", {})
    assert found.outcome == "unavailable"
    assert "application itself" in found.message


def test_no_sentence_and_no_log_shows_a_credential() -> None:
    """A key that the API echoes in its error is shown neither to the user nor in logs, in any spelling."""
    key = secret(1)
    collector = Collector()
    logging.getLogger().addHandler(collector)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    echo = f"The key {key} ({base64.b64encode(key.encode()).decode()}) is invalid.\x1b[31m\n{'x' * 500}"
    short = "k3y"
    try:
        with (
            FaultServer(script_for(401, echo), script_for(401, f"{short} is invalid")) as server,
            calling(f"{server.url}v1/", verification=CHECK, rate_limits=WIDE) as nango,
        ):
            found = nango.verify_credentials("shop", "user-2", {"api_key": key})
            brief = nango.verify_credentials("shop", "user-2", {"api_key": short})
            with pytest.raises(CredentialsError) as caught:
                nango.verify_credentials("shop", "user-2", {"api_key": key, "key": key})
    finally:
        logging.getLogger().removeHandler(collector)
        logging.getLogger().setLevel(level)
    everything = everything_of(caught.value, __file__)
    assert found.outcome == "refused"
    assert "The key *** (***) is invalid.\\x1b[31m\\n" in found.message
    assert len(found.message) < 260
    assert short not in brief.message
    assert traces(found.message + shown(found) + everything) == []
    assert traces("\n".join(collector.lines)) == []
    # The control: the search finds what a careless sentence would show.
    assert traces(f"did not accept {key}") != []


def test_a_key_may_come_back_through_a_redirect_of_its_own_api_only() -> None:
    """As in every call, a redirect to another host is not followed, and is not an acceptance."""
    with FaultServer(script_for(200)) as elsewhere:
        away = [
            READ,
            response(b"", 302, {"Location": f"{elsewhere.url}v1/me", "Connection": "close"}),
            CLOSE,
        ]
        assert verdict_of(away).outcome == "refused"
        assert elsewhere.requests == []


PLACES = {
    "type": "object",
    "properties": {"region": {"type": "string", "title": "Region"}},
}


def place_verdict(
    *scripts: Any, template: str = "v1/${additional_config.region or 'eu'}/", **settings: Any
) -> Verification:
    """The result for an API whose URL has a setting of the user."""
    with (
        FaultServer(*scripts) as server,
        calling(
            f"{server.url}{template}", verification={**CHECK, **settings}, title="Shop",
            connection_config=PLACES, retries={"backoff": QUICK}, rate_limits=WIDE,
        ) as nango,
    ):  # fmt: skip
        return nango.verify_credentials("shop", "user-2", NEW, {"region": "eu-1"})


@pytest.mark.parametrize(
    ("status", "message", "outcome"),
    [
        (404, "Not found", "wrong_settings"),
        (301, "Moved", "wrong_settings"),
        (400, "Unknown region eu-1", "wrong_settings"),
        (400, "AuthorizationHeaderMalformed: the region 'eu-1' is wrong", "wrong_settings"),
        (403, "Credential should be scoped to a valid region.", "wrong_settings"),
        (403, "NoSuchBucket", "wrong_settings"),
        (401, "Wrong key for this region", "refused"),
        (403, "SignatureDoesNotMatch", "missing_scope"),
        (400, "The key is malformed", "refused"),
        (503, "region down", "unavailable"),
        (200, "", "accepted"),
    ],
)
def test_a_wrong_region_is_not_a_wrong_key(status: int, message: str, outcome: str) -> None:
    """Where the user decides about a part of the URL, an error about it names the setting, not the key."""
    found = place_verdict(script_for(status, message), script_for(status, message))
    assert (found.outcome, found.status) == (outcome, status)
    assert found.message.endswith("Check Region.") is (outcome == "wrong_settings")
    assert found.ok is (outcome == "accepted")


def test_a_blueprint_names_other_responses_about_settings() -> None:
    """They come first; and without a setting in the URL nothing is about one."""
    declared = {"wrong_settings": [{"status": 401, "body_contains": "tenant"}]}
    assert place_verdict(script_for(401, "no such tenant"), **declared).outcome == "wrong_settings"
    assert place_verdict(script_for(401, "no such key"), **declared).outcome == "refused"
    assert place_verdict(script_for(404, "Not found"), template="v1/").outcome == "refused"


def test_an_unknown_host_is_a_wrong_subdomain() -> None:
    """If the user named a part of it; otherwise the API cannot be reached."""
    for base_url, outcome in (
        ("https://${additional_config.region or 'eu'}.nango-test.invalid/", "wrong_settings"),
        ("https://nango-test.invalid/", "unavailable"),
    ):
        settings = {"connection_config": PLACES, "retries": {"backoff": QUICK}, "title": "Shop"}
        with calling(base_url, verification=CHECK, **settings) as nango:
            found = nango.verify_credentials("shop", "user-2", NEW, {"region": "eu-1"})
        assert found.outcome == outcome
