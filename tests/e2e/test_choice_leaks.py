"""Secrets around choices after a login, other devices and revocation: none is shown, logged or raised."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.connect.login import Logins
from tests.support.connect_product import Product, Visitor, connect_server, records_of_the_product
from tests.support.device_provider import DeviceProvider
from tests.support.fake_clock import ManualClock
from tests.support.login_accounts import AccountsProvider
from tests.support.login_product import COOKIE, a_product, callback_of, log_in
from tests.support.oauth2_login_provider import consent
from tests.support.planted_secrets import CORE, Collector, secret, shown, traces
from tests.support.provider_grants import CLIENT_SECRET
from tests.support.provider_server import ProviderResponse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TICKET = re.compile(r'name="state" value="([^"]+)"')

# What the provider returns where accounts were expected: all of it may be secret.
HOSTILE: dict[str, Any] = {
    "a failure": ProviderResponse(500, {"error": secret(3)}),
    "no accounts": {secret(4): secret(5)},
    "a value of the wrong type": [{"id": {"x": secret(6)}, "name": "n", "url": "u"}],
    "a value that the form refuses": [{"id": secret(7), "name": "n", "url": "u"}],
    "no JSON": ProviderResponse(200, f"<p>{secret(8)}</p>"),
    "a redirect": ProviderResponse(302, "", {"Location": f"https://evil.example.test/{secret(9)}"}),
    "a token of its own": [{"id": "site-1", "name": "n", "url": "u", "token": secret(10)}],
}


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Every logger of the product's own threads, at DEBUG."""
    with records_of_the_product() as handler:
        yield handler


def choose(visitor: Visitor, page: str, value: str) -> tuple[str, str]:
    """Submit the form of a page; what the server said, and the ticket."""
    found = TICKET.search(page)
    assert found is not None
    data = {"state": found[1], "value": value}
    sent = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
    response = visitor.ask("POST", "/oauth/choice", data=data, headers=sent)
    return response.text + str(response.headers), found[1]


def choices(product: Product, provider: AccountsProvider) -> tuple[list[str], list[str]]:
    """Everything that was shown on the way to an account, and tokens that must not be logged."""
    visitor, token = product.visitor(), product.session()
    texts, hidden = [], [token]
    for value in (secret(1), "site-1"):
        page = visitor.callback(consent(visitor.login_url(token, "site")))
        said, ticket = choose(visitor, page.text, value)
        texts += [page.text, said]
        hidden.append(ticket)
    for accounts in HOSTILE.values():
        provider.accounts = accounts
        page = visitor.callback(consent(visitor.login_url(token, "site")))
        texts += [page.text, str(page.headers)]
    texts.append(visitor.ask("GET", "/connect/session", token).text)
    return texts, hidden


def test_no_secret_of_a_choice_is_shown(tmp_path: Path, collector: Collector) -> None:
    """Pages and logs hold no token, no wrong value and nothing of a hostile response; logs no ticket."""
    with (
        AccountsProvider(prefix=CORE) as provider,
        connect_server(tmp_path, integrations={"site": provider.entry_with()}) as product,
    ):
        texts, hidden = choices(product, provider)
        view = shown(product.nango.connection("site", "user-1"))
    lines = "\n".join(collector.lines)
    assert "connect" in lines
    assert [leak for text in (*texts, view, lines) for leak in traces(text)] == []
    middle = [token[len(token) // 4 : len(token) // 4 + 24] for token in hidden]
    assert [part for part in middle if part in lines] == []
    assert CLIENT_SECRET not in lines + "".join(texts)


@pytest.mark.parametrize("name", sorted(set(HOSTILE) - {"a token of its own"}))
def test_outcomes_hold_no_secret(name: str, collector: Collector) -> None:
    """The outcome of a login without a page shows no token and nothing of the response."""
    with (
        AccountsProvider(HOSTILE[name], prefix=CORE) as provider,
        a_product(provider.entry_with()) as nango,
    ):
        outcome = log_in(nango)
    assert not outcome.ok
    assert traces(repr(outcome) + shown(outcome) + "\n".join(collector.lines)) == []


def test_no_secret_of_a_device_login_is_shown(collector: Collector) -> None:
    """The device code stays out of representations, errors and logs; also what the provider repeats of it."""
    codes = {
        "device_code": secret(1),
        "user_code": "WDJB-MJHT",
        "verification_uri": "https://example.test/device",
        "expires_in": 60,
    }
    answers = [
        {"error": "access_denied"},
        {"error": "bad", "error_description": f"no {secret(1)}"},
        {"error": secret(1)},
    ]
    with (
        DeviceProvider(codes=codes, prefix=CORE) as provider,
        a_product(provider.entry(), clock=ManualClock()) as nango,
    ):
        for answer in answers:
            provider.decisions.append(ProviderResponse(400, answer))
            begun = nango.logins.begin_device("mail", "user-1")
            outcome = begun.wait()
            assert not outcome.ok
            assert traces(repr(outcome) + shown(outcome) + repr(begun)) == []
    assert traces("\n".join(collector.lines)) == []


@pytest.mark.parametrize("where", ["error", "error_description"])
def test_no_code_or_verifier_is_shown(where: str, collector: Collector) -> None:
    """What a provider repeats of the exchange is masked, in its error code as well."""
    with AccountsProvider(prefix=CORE) as provider, a_product(provider.entry()) as nango:
        begun = callback_of(nango)
        code = begun["code"]
        provider.token_faults.append(
            ProviderResponse(400, {"error": "bad", where: f"x {code}"[2 * (where == "error") :]})
        )
        outcome = Logins(nango.accounts).finish(begun, COOKIE)
        verifier = provider.token_calls[0][2]["code_verifier"]
    assert not outcome.ok
    said = repr(outcome) + shown(outcome) + "\n".join(collector.lines)
    assert code not in said
    assert verifier not in said
    assert "exchange_failed" in said


def test_no_secret_of_a_revocation_is_shown(collector: Collector) -> None:
    """A request of the integration's own, with the token in its path and body, that the API refuses."""
    with AccountsProvider(prefix=CORE) as provider:
        auth = {
            "revocation": {
                "method": "DELETE",
                "url": f"{provider.url}/nowhere/${{access_token}}",
                "body": {"token": "${access_token}"},
            }
        }
        with a_product(provider.entry(auth)) as nango:
            assert log_in(nango).ok
            nango.delete_connection("mail", "user-1")
    lines = "\n".join(collector.lines)
    assert "revo" in lines.lower()
    assert traces(lines) == []
