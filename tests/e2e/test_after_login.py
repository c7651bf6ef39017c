"""After a login: the account is looked up with the new token, chosen if there are several, and kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConnectFailed, CredentialsError
from nango_py.protocols.after_login import MAX_CANDIDATES, MAX_LABEL_LENGTH, MAX_PAGES
from tests.support.fake_clock import ManualClock
from tests.support.login_accounts import SITES, AccountsProvider
from tests.support.login_product import COOKIE, a_product, log_in, pending_rows, rows, stored
from tests.support.oauth2_login_provider import LoginProvider
from tests.support.provider_server import ProviderRequest, ProviderResponse

if TYPE_CHECKING:
    from nango_py import Nango

ONE = SITES[:1]
KEPT = {"cloud_id": "site-1", "site": "https://acme.example.test"}


def config_of(nango: Nango) -> dict[str, Any]:
    """The additional_config of user-1."""
    found: dict[str, Any] = nango.connection("mail", "user-1")["additional_config"]
    return found


def test_the_only_account_is_taken(database_url: str) -> None:
    """Its values are stored, and calls go to it; the provider was asked once, with the new token."""
    with AccountsProvider(ONE) as provider, a_product(provider.entry_with(), database_url) as nango:
        assert log_in(nango).ok
        assert config_of(nango) == KEPT
        assert nango.executor("mail", "user-1").get("me").json()["path"] == "/api/site-1/me"
        assert [call[:2] for call in provider.account_calls] == [("GET", "/accounts")]
        assert pending_rows(nango) == 0


def test_of_several_accounts_the_user_chooses_one(database_url: str) -> None:
    """The outcome names the candidates; the choice ends the login, once and only in the same browser."""
    with AccountsProvider() as provider, a_product(provider.entry_with(), database_url) as nango:
        outcome = log_in(nango)
        assert (outcome.ok, outcome.code) == (False, "needs_choice")
        assert outcome.choice is not None
        found = [(candidate.value, candidate.label) for candidate in outcome.choice.candidates]
        assert (outcome.choice.name, outcome.choice.title) == ("cloud_id", "Site")
        assert found == [("site-1", "Acme"), ("site-2", "Bolt <b>&</b>")]
        with pytest.raises(ConnectFailed) as caught:
            nango.logins.finish_choice("x" * 43, "site-2", COOKIE)
        assert caught.value.code == "state_invalid"
        assert nango.logins.finish_choice(outcome.ticket, "site-2", COOKIE).ok
        assert config_of(nango)["cloud_id"] == "site-2"
        with pytest.raises(ConnectFailed):
            nango.logins.finish_choice(outcome.ticket, "site-1", COOKIE)
        assert provider.exchanges() == ["granted"]


def test_a_number_is_kept_as_the_text_that_is_declared() -> None:
    """APIs number their accounts; a field that is declared as text holds the digits."""
    site = {"id": 12345678, "name": "Acme", "url": 7.5}
    with AccountsProvider([site]) as provider:
        number = provider.step(keep={"cloud_id": "id", "number": "id"})
        with a_product(provider.entry_with(number)) as nango:
            assert log_in(nango).ok
            assert config_of(nango) == {"cloud_id": "12345678", "number": 12345678}


def pages_of(provider: AccountsProvider) -> dict[str, Any]:
    """An entry whose calls have the token of the chosen account."""
    provider.accounts = [
        {**site, "access_token": f"page_planted_{number}"} for number, site in enumerate(SITES)
    ]
    entry = provider.entry_with(provider.step(keep_secret={"page_token": "access_token"}))
    headers = {**entry["requests"]["headers"], "X-Page-Token": "${page_token}"}
    requests = {**entry["requests"], "headers": headers}
    return {**entry, "requests": requests}


@pytest.mark.parametrize("choices", [{"cloud_id": "site-2"}, None])
def test_a_token_of_the_account_is_kept_as_a_credential(
    choices: dict[str, str] | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It is encrypted, and not in additional_config; calls are sent with it, and never show it."""
    with AccountsProvider() as provider, a_product(pages_of(provider)) as nango:
        outcome = log_in(nango, choices=choices)
        if not choices:
            assert "page_token" not in stored(nango)
            assert "page_planted" not in repr(outcome)
            nango.logins.choose("mail", "user-1", {"cloud_id": "site-2"})
        assert stored(nango)["page_token"] == "page_planted_1"
        assert "page_planted" not in repr(nango.connection("mail", "user-1"))
        executor = nango.executor("mail", "user-1")
        assert executor.get("me").json()["page_token"] == "page_planted_1"
        assert "page_planted" not in str(executor.plan("GET", "me")) + executor.explain() + caplog.text


def test_a_refresh_keeps_the_token_of_the_account() -> None:
    """A new access token does not replace what was looked up with the first one."""
    clock = ManualClock()
    with (
        AccountsProvider(now=clock.now) as provider,
        a_product(pages_of(provider), clock=clock) as nango,
    ):
        log_in(nango, choices={"cloud_id": "site-1"})
        before = stored(nango)["access_token"]
        clock.advance(3700)
        assert nango.executor("mail", "user-1").get("me").status_code == 200
        assert stored(nango)["access_token"] != before
        assert stored(nango)["page_token"] == "page_planted_0"


@pytest.mark.parametrize("value", [None, "", 5, "a\nb", "x" * 70_000])
def test_an_unusable_token_of_the_account_fails_the_login(value: Any) -> None:
    """It is named and not shown, and nothing is stored."""
    with AccountsProvider() as provider:
        entry = pages_of(provider)
        provider.accounts = [{**SITES[0], "access_token": value}]
        with a_product(entry) as nango:
            outcome = log_in(nango)
            assert (outcome.ok, outcome.code) == (False, "exchange_failed")
            assert "page_token" in outcome.message
            assert rows(nango) == []


def test_accounts_of_all_pages_can_be_chosen() -> None:
    """The next page is at the URL that a response names, at the same host."""
    with AccountsProvider() as provider:
        provider.accounts = {"data": SITES[:1], "paging": {"next": f"{provider.url}/accounts?after=1"}}
        following = {"data": [SITES[1], SITES[0]], "paging": {}}
        step = provider.step(choose={"from": "data", "label": "name", "title": "Site"}, next="paging.next")
        provider.following = [following]
        with a_product(provider.entry_with(step)) as nango:
            outcome = log_in(nango)
            assert outcome.choice is not None
            assert [one.value for one in outcome.choice.candidates] == ["site-1", "site-2"]
            assert [call[1] for call in provider.account_calls] == ["/accounts", "/accounts?after=1"]


def test_pages_of_accounts_in_the_link_header() -> None:
    """A relation of the Link header works like a URL in the body."""
    with AccountsProvider() as provider:
        link = f'<{provider.url}/accounts?page=2>; rel="next"'
        provider.accounts = ProviderResponse(200, SITES[:1], {"Link": link})
        provider.following = [SITES[1:]]
        with a_product(provider.entry_with(provider.step(next={"link": "next"}))) as nango:
            outcome = log_in(nango)
            assert outcome.choice is not None
            assert len(outcome.choice.candidates) == 2


def test_the_pages_of_accounts_are_bounded() -> None:
    """A list without an end is read in ten requests."""
    with AccountsProvider() as provider:
        provider.accounts = {"data": SITES, "paging": {"next": "/accounts"}}
        step = provider.step(choose={"from": "data", "title": "Site"}, next="paging.next")
        with a_product(provider.entry_with(step)) as nango:
            assert log_in(nango).choice is not None
            assert len(provider.account_calls) == MAX_PAGES


@pytest.mark.parametrize("url", ["https://other.example.test/accounts", "//other.example.test/"])
def test_the_token_goes_to_no_other_host_for_more_accounts(url: str) -> None:
    """The login fails, and the host is not asked."""
    with AccountsProvider() as provider:
        provider.accounts = {"data": SITES, "paging": {"next": url}}
        step = provider.step(choose={"from": "data", "title": "Site"}, next="paging.next")
        with a_product(provider.entry_with(step)) as nango:
            outcome = log_in(nango)
            assert (outcome.ok, outcome.code) == (False, "exchange_failed")
            assert "another host" in outcome.message


def test_another_browser_cannot_choose() -> None:
    """The ticket alone is not enough, and is used up by the attempt."""
    with AccountsProvider() as provider, a_product(provider.entry_with()) as nango:
        ticket = log_in(nango).ticket
        for browser in ("cookie of somebody else", COOKIE):
            with pytest.raises(ConnectFailed) as caught:
                nango.logins.finish_choice(ticket, "site-1", browser)
            assert caught.value.code == "state_invalid"


def test_a_choice_in_advance_needs_no_user() -> None:
    """The program names the account; one that the login does not give access to fails the login."""
    with AccountsProvider() as provider, a_product(provider.entry_with()) as nango:
        assert log_in(nango, choices={"cloud_id": "site-2"}).ok
        assert config_of(nango)["cloud_id"] == "site-2"
        outcome = log_in(nango, choices={"cloud_id": "site-9"})
        assert (outcome.ok, outcome.code) == (False, "exchange_failed")
        assert config_of(nango)["cloud_id"] == "site-2"


def test_a_login_without_a_choice_is_kept_until_there_is_one() -> None:
    """The connection has the status needs_choice; calls say what to choose, and choosing makes it active."""
    with AccountsProvider() as provider, a_product(provider.entry_with()) as nango:
        log_in(nango)
        assert [row["status"] for row in rows(nango)] == ["needs_choice"]
        with pytest.raises(CredentialsError, match="cloud_id"):
            nango.executor("mail", "user-1")
        choice = nango.logins.find_choice("mail", "user-1")
        assert choice is not None
        assert [candidate.value for candidate in choice.candidates] == ["site-1", "site-2"]
        view = nango.logins.choose("mail", "user-1", {"cloud_id": "site-1"})
        assert (view["status"], view["additional_config"]) == ("active", KEPT)
        assert nango.logins.find_choice("mail", "user-1") is None
        assert nango.executor("mail", "user-1").get("me").status_code == 200


@pytest.mark.parametrize("rotation", ["none", "strict"])
def test_a_late_choice_refreshes_the_token(rotation: str) -> None:
    """An hour later the token is refreshed, the account is still to be chosen, and then it can be used."""
    clock = ManualClock()
    with (
        AccountsProvider(rotation=rotation, now=clock.now) as provider,
        a_product(provider.entry_with(), clock=clock) as nango,
    ):
        log_in(nango)
        clock.advance(3700)
        assert nango.logins.find_choice("mail", "user-1") is not None
        assert nango.connection("mail", "user-1")["status"] == "needs_choice"
        nango.logins.choose("mail", "user-1", {"cloud_id": "site-1"})
        assert nango.executor("mail", "user-1").get("me").status_code == 200
        assert [outcome for _, outcome, _ in provider.token_calls] == ["granted", "granted"]


def test_an_unfinished_choice_leaves_an_active_connection() -> None:
    """A user who logs in again and does not choose keeps what worked; the earlier account is suggested."""
    with AccountsProvider() as provider, a_product(provider.entry_with()) as nango:
        assert log_in(nango, choices={"cloud_id": "site-2"}).ok
        token = stored(nango)["access_token"]
        outcome = log_in(nango)
        assert outcome.choice is not None
        assert outcome.choice.default == "site-2"
        assert (stored(nango)["access_token"], rows(nango)[0]["status"]) == (token, "active")


def test_nothing_can_be_chosen_after_the_provider_has_ended_a_login() -> None:
    """The error says that the user has to log in again, and the provider is not asked."""
    with AccountsProvider() as provider, a_product(provider.entry_with()) as nango:
        log_in(nango)
        connection, leases = nango.store.get("mail", "user-1"), nango.store.leases
        assert leases.acquire(connection, "a test", 60)
        assert leases.mark_needs_reauth(connection, "a test") is not None
        asked = len(provider.account_calls)
        with pytest.raises(ConnectFailed) as caught:
            nango.logins.choose("mail", "user-1", {"cloud_id": "site-1"})
        assert (caught.value.code, len(provider.account_calls)) == ("invalid_credentials", asked)
        assert "log in again" in str(caught.value)


def test_accounts_are_looked_up_again_at_each_login() -> None:
    """What is kept of an account follows the provider."""
    with AccountsProvider(ONE) as provider, a_product(provider.entry_with()) as nango:
        log_in(nango)
        provider.accounts = [{**SITES[0], "url": "https://moved.example.test"}]
        log_in(nango)
        assert config_of(nango) == {"cloud_id": "site-1", "site": "https://moved.example.test"}


def test_steps_follow_each_other() -> None:
    """A later step may use what an earlier one kept; each choice is asked for by its own name."""
    with AccountsProvider() as provider:
        more = provider.step(
            url=f"{provider.url}/accounts/${{additional_config.cloud_id}}",
            params={"limit": "100"},
            keep={"board": "name"},
            choose={"from": "@", "title": "Board"},
        )
        with a_product(provider.entry_with(provider.step(), more)) as nango:
            outcome = log_in(nango)
            outcome = nango.logins.finish_choice(outcome.ticket, "site-1", COOKIE)
            assert outcome.choice is not None
            assert outcome.choice.name == "board"
            assert nango.logins.finish_choice(outcome.ticket, "Acme", COOKIE).ok
            assert config_of(nango) == {**KEPT, "board": "Acme"}
            assert provider.account_calls[-1][1] == "/accounts/site-1?limit=100"


def test_a_step_may_post_json_with_its_own_headers() -> None:
    """As APIs with GraphQL need it."""
    with AccountsProvider({"data": {"account": {"id": "site-1", "slug": "acme"}}}) as provider:
        step = {
            "method": "POST",
            "url": f"{provider.url}/accounts",
            "headers": {"Authorization": "Bearer ${access_token}", "X-Version": "2"},
            "json": {"query": "query { account { id slug } }"},
            "keep": {"cloud_id": "data.account.id", "slug": "data.account.slug"},
        }
        with a_product(provider.entry_with(step)) as nango:
            assert log_in(nango).ok
            assert config_of(nango) == {"cloud_id": "site-1", "slug": "acme"}
            method, _, body = provider.account_calls[0]
            assert (method, json.loads(body)) == ("POST", step["json"])


DEEP: Any = "x"
for _ in range(200):
    DEEP = [DEEP]

HOSTILE: dict[str, tuple[Any, str]] = {
    "no account": ([], "exchange_failed"),
    "no list": ({"error": "none"}, "exchange_failed"),
    "null": (None, "exchange_failed"),
    "no identity": ([{"name": "Acme"}], "exchange_failed"),
    "an identity that is a list": ([{"id": ["site-1"]}, {"id": {}}, {"id": True}], "exchange_failed"),
    "an identity that the blueprint refuses": ([{"id": "../../etc"}], "exchange_failed"),
    "a line break": ([{"id": "site-1", "url": "a\r\nX: y"}], "exchange_failed"),
    "a long value": ([{"id": "site-1", "url": "x" * 5000}], "exchange_failed"),
    "a long identity": ([{"id": "x" * 5000}], "exchange_failed"),
    "deep": (DEEP, "exchange_failed"),
    "huge": ([{"id": f"site-{number}", "name": "x" * 1000} for number in range(2000)], "exchange_failed"),
    "html": (ProviderResponse(200, "<html>", {"Content-Type": "text/html"}), "exchange_failed"),
    "a redirect": (ProviderResponse(302, "", {"Location": "https://evil.example.test/"}), "exchange_failed"),
    "forbidden": (ProviderResponse(403, {"error": "scope"}), "exchange_failed"),
    "down": (ProviderResponse(500, {}), "unavailable"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_responses_do_no_harm(kind: str) -> None:
    """Nothing is stored, and the outcome quotes nothing of the response."""
    body, code = HOSTILE[kind]
    accounts = ProviderResponse(200, "null") if body is None else body
    with AccountsProvider(accounts) as provider, a_product(provider.entry_with()) as nango:
        outcome = log_in(nango)
        assert (outcome.ok, outcome.code, outcome.choice) == (False, code, None)
        assert rows(nango) == []
        assert not {"evil", "etc", "xxxx", "X: y"} & set(outcome.message.split())


def test_thousands_of_accounts_are_bounded() -> None:
    """The first thousand can be shown, each with a short printable label; others can be chosen by value."""
    many = [{"id": f"site-{number}", "name": f"\u202e{number}" + "x" * 150} for number in range(4000)]
    with AccountsProvider(many) as provider, a_product(provider.entry_with()) as nango:
        outcome = log_in(nango)
        assert outcome.choice is not None
        assert len(outcome.choice.candidates) == MAX_CANDIDATES
        labels = [candidate.label for candidate in outcome.choice.candidates]
        assert max(map(len, labels)) <= MAX_LABEL_LENGTH + 10
        assert all(label.isprintable() for label in labels)
        assert nango.logins.finish_choice(outcome.ticket, "site-3999", COOKIE).ok


def test_a_host_from_a_response_is_a_host_of_the_user() -> None:
    """A private address that the provider names is not called, and neither is a host beyond the pattern."""
    field = {"type": "string", "format": "origin", "title": "Host", "pattern": r"^https://[a-z0-9.-]+$"}
    config = {"type": "object", "required": ["base"], "properties": {"base": field}}
    for base, ok in (
        ("https://10.0.0.1", False),
        ("https://user@evil.example.test", False),
        ("https://na3.example.test", True),
    ):
        with AccountsProvider({"base": base}) as provider:
            step = {"url": f"{provider.url}/accounts", "keep": {"base": "base"}}
            entry = provider.entry_with(step, connection_config=config)
            requests = {**entry["requests"], "base_url": "${additional_config.base}/v1/"}
            with a_product({**entry, "requests": requests}) as nango:
                assert log_in(nango).ok is ok


def test_a_step_is_not_sent_to_a_private_address() -> None:
    """A host that the user names is resolved and checked, as for calls."""
    field = {"type": "string", "format": "host", "title": "Host"}
    config = {"type": "object", "required": ["host"], "properties": {"host": field}}
    with AccountsProvider() as provider:
        step = {"url": "https://${additional_config.host}/accounts", "keep": {"cloud_id": "id"}}
        with a_product(provider.entry_with(step, connection_config=config)) as nango:
            outcome = log_in(nango, additional_config={"host": "localhost"})
            assert (outcome.ok, outcome.code) == (False, "invalid_credentials")


@pytest.mark.parametrize(("kept", "requests"), [("site/../1", 1), ("site-1", 2)])
def test_a_kept_value_is_checked_before_the_next_step(kept: str, requests: int) -> None:
    """No request with the token goes where `connection_config` does not allow; a valid value is a control."""
    with AccountsProvider([{"id": kept}]) as provider:
        first = {"url": f"{provider.url}/accounts", "keep": {"cloud_id": "[0].id"}}
        second = {
            "url": f"{provider.url}/accounts?id=${{additional_config.cloud_id}}",
            "keep": {"site": "[0].id"},
        }
        with a_product(provider.entry_with(first, second)) as nango:
            assert log_in(nango).ok is (requests == 2)
            assert len(provider.account_calls) == requests
            assert len(rows(nango)) == requests - 1


@pytest.mark.parametrize(("changes", "status"), [(0, "active"), (1, "active"), (9, "needs_choice")])
def test_a_choice_is_stored_with_the_token_that_it_was_looked_up_with(changes: int, status: str) -> None:
    """A connection that is replaced during the lookup is looked up again, a limited number of times."""
    with AccountsProvider() as provider, a_product(provider.entry_with()) as nango:
        log_in(nango)
        store, token = nango.services.store, stored(nango)["access_token"]
        seen: list[str] = []
        list_accounts = provider.list_accounts

        def replace_first(incoming: ProviderRequest) -> ProviderResponse:
            seen.append(store.get("mail", "user-1").credentials["scope"].reveal())
            if len(seen) <= changes:
                credentials = {**stored(nango), "scope": f"login {len(seen)}"}
                store.put("mail", "user-1", credentials, status="needs_choice")
            return list_accounts(incoming)

        provider.routes = {**provider.routes, "/accounts": "replace_first"}
        provider.replace_first = replace_first  # type: ignore[attr-defined]
        if status == "active":
            nango.logins.choose("mail", "user-1", {"cloud_id": "site-2"})
        else:
            with pytest.raises(ConnectFailed) as caught:
                nango.logins.choose("mail", "user-1", {"cloud_id": "site-2"})
            assert caught.value.code == "unavailable"
        assert len(seen) == min(changes + 1, 3)
        assert nango.connection("mail", "user-1")["status"] == status
        assert stored(nango)["access_token"] == token


def test_without_steps_nothing_is_looked_up() -> None:
    """The control: a login without `after_login` makes no further request."""
    with LoginProvider() as provider, a_product(provider.entry()) as nango:
        assert log_in(nango).ok
        assert provider.api_calls == []
