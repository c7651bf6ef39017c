"""Where the user chooses the account after a login: login window, terminal, local page, or not at all."""

from __future__ import annotations

import html
import json
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
import requests
from click.testing import CliRunner

from nango_py import CredentialsError, Nango
from nango_py.cli.root import nango as cli
from nango_py.connect.local_browser import log_in
from tests.support.connect_product import Visitor, connect_server, notice_of
from tests.support.login_accounts import AccountsProvider
from tests.support.login_product import a_product
from tests.support.login_product import log_in as login_of_user_1
from tests.support.oauth2_login_provider import consent
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.connect_product import Product


@pytest.fixture
def product(tmp_path: Path) -> Iterator[tuple[Product, AccountsProvider]]:
    """A product whose integration `site` has two accounts behind each login."""
    with (
        AccountsProvider() as provider,
        connect_server(tmp_path, integrations={"site": provider.entry_with(title="Sites")}) as running,
    ):
        yield running, provider


def callback(visitor: Visitor, token: str, **fields: Any) -> requests.Response:
    """The page after the provider's login page."""
    return visitor.callback(consent(visitor.login_url(token, "site", **fields)))


def ticket_in(page: str) -> str:
    """The hidden field of the form."""
    found = re.search(r'name="state" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def choose(visitor: Visitor, page: str, value: str, **headers: str) -> requests.Response:
    """Submit the form of the login window."""
    data = {"state": ticket_in(page), "value": value}
    sent = {"Origin": "null", "Sec-Fetch-Site": "same-origin", **headers}
    return visitor.ask("POST", "/oauth/choice", data=data, headers=sent)


def test_the_login_window_asks(product: tuple[Product, AccountsProvider]) -> None:
    """The page lists the accounts as text; the form ends the login, and the opener learns it."""
    running, _ = product
    visitor, token = running.visitor(), running.session()
    page = callback(visitor, token, attempt="a1")
    assert page.status_code == 200
    assert 'value="site-2">Bolt &lt;b&gt;&amp;&lt;/b&gt;</option>' in page.text
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]
    notice = notice_of(page.text)
    assert (notice.kind, notice.message) == ("choice", None)
    assert visitor.ask("GET", "/connect/attempts/a1", token).json() == {"done": False}
    end = notice_of(choose(visitor, page.text, "site-2").text)
    assert end.kind == "ok"
    assert end.message is not None
    assert (end.message["integration"], end.message["attempt"]) == ("site", "a1")
    assert visitor.ask("GET", "/connect/attempts/a1", token).json()["ok"] is True
    assert running.nango.connection("site", "user-1")["additional_config"]["cloud_id"] == "site-2"


def test_only_the_same_browser_may_choose(product: tuple[Product, AccountsProvider]) -> None:
    """Without the cookie of the login, and from other sites, the form is refused."""
    running, _ = product
    visitor = running.visitor()
    page = callback(visitor, running.session()).text
    foreign = choose(
        visitor, page, "site-1", Origin="https://evil.example.test", **{"Sec-Fetch-Site": "cross-site"}
    )
    assert foreign.status_code == 403
    other = choose(running.visitor(), page, "site-1")
    assert (other.status_code, notice_of(other.text).kind) == (400, "failed")
    assert running.nango.connection("site", "user-1")["status"] == "needs_choice"


@pytest.mark.parametrize("data", [{"state": "x", "value": "y", "more": "z"}, {"value": "y"}])
def test_malformed_choices_are_refused(
    product: tuple[Product, AccountsProvider], data: dict[str, str]
) -> None:
    """An unknown ticket or field is a 400, and nothing is stored."""
    running, _ = product
    headers = {"Sec-Fetch-Site": "same-origin"}
    response = running.visitor().ask("POST", "/oauth/choice", data=data, headers=headers)
    assert response.status_code == 400
    assert running.nango.connections_for_integration("site") == []


def test_an_unfinished_choice_is_to_be_connected_again(product: tuple[Product, AccountsProvider]) -> None:
    """The connect page offers the account again, with what was chosen before as the default."""
    running, _ = product
    visitor, token = running.visitor(), running.session()
    callback(visitor, token)
    listed = visitor.ask("GET", "/connect/session", token).json()["integrations"]
    assert {each["name"]: each["status"] for each in listed}["site"] == "needs_reauth"


def test_a_session_may_choose_in_advance(product: tuple[Product, AccountsProvider]) -> None:
    """`connect_session(choices=...)`: no page asks. A wrong name or type is refused at once."""
    running, _ = product
    token = running.session(choices={"site": {"cloud_id": "site-2"}})
    assert running.visitor().login(token, "site").kind == "ok"
    assert running.nango.connection("site", "user-1")["additional_config"]["cloud_id"] == "site-2"
    with pytest.raises(ValueError, match="cloud_id"):
        running.session(choices={"site": {"cloud": "site-2"}})
    with pytest.raises(ValueError, match="none"):
        running.session(choices={"shop": {"cloud_id": "site-2"}})
    with pytest.raises(TypeError):
        running.session(choices={"site": {"cloud_id": 2}})


def loopback(**options: Any) -> tuple[Any, AccountsProvider, list[str]]:
    """Log in with a browser on this machine that submits the form of the page, if there is one."""
    pages: list[str] = []

    def browse(url: str) -> None:
        back = consent(url)
        page = requests.get(back, timeout=30).text
        pages.append(page)
        if "<form>" in page:
            form = {"state": html.unescape(ticket_in(page)), "value": "site-2"}
            pages.append(requests.get(back.partition("?")[0], params=form, timeout=30).text)

    with AccountsProvider() as provider, a_product(provider.entry_with()) as nango:
        threads: list[threading.Thread] = []

        def show(url: str) -> None:
            threads.append(threading.Thread(target=browse, args=(url,)))
            threads[0].start()

        redirect_url = "http://127.0.0.1:0/oauth/callback"
        outcome = log_in(nango.accounts, "mail", "user-1", show=show, redirect_url=redirect_url, **options)
        threads[0].join()
        config = nango.connection("mail", "user-1")["additional_config"]
    return (outcome, config["cloud_id"]), provider, pages


def test_the_page_on_this_machine_asks() -> None:
    """Without a program that asks, the browser shows a form, with the labels as text."""
    (outcome, chosen), _, pages = loopback()
    assert (outcome.ok, chosen, len(pages)) == (True, "site-2", 2)
    assert "Bolt &lt;b&gt;&amp;&lt;/b&gt;</option>" in pages[0]


def test_the_program_on_this_machine_asks() -> None:
    """With `ask`, the program gets the choice, and the browser shows no form."""
    (outcome, chosen), _, pages = loopback(ask=lambda choice: choice.candidates[0].value)
    assert (outcome.ok, chosen, len(pages)) == (True, "site-1", 1)


def test_a_script_chooses_in_advance() -> None:
    """With `choices` the user is not asked."""
    (outcome, chosen), _, pages = loopback(choices={"cloud_id": "site-2"})
    assert (outcome.ok, chosen, len(pages)) == (True, "site-2", 1)


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A project folder whose connection of user-1 has two accounts to choose from."""
    with AccountsProvider() as provider:
        declared = {"integrations": {"mail": provider.entry_with()}}
        (tmp_path / "integrations.yaml").write_text(json.dumps(declared))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("NANGO_ENCRYPTION_KEYS", ENCRYPTION_KEY)
        with Nango("integrations.yaml") as nango:
            login_of_user_1(nango)
        yield


def status() -> tuple[str, str]:
    """Status and account of the stored connection."""
    with Nango("integrations.yaml") as nango:
        view = nango.connection("mail", "user-1")
        return view["status"], view["additional_config"].get("cloud_id", "")


@pytest.mark.usefixtures("terminal")
def test_a_terminal_asks() -> None:
    """`nango connections choose` lists the accounts by number, and again after a wrong number."""
    result = CliRunner().invoke(cli, ["connections", "choose", "mail", "user-1"], input="7\n2\n")
    assert result.exit_code == 0, result.output
    assert "   1  Acme\n   2  Bolt <b>&</b>\n" in result.stderr
    assert status() == ("active", "site-2")


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("name", "value", "code"),
    [("cloud_id", "site-1", 0), ("cloud_id", "site-9", 1), ("cloud", "site-1", 2)],
)
def test_an_option_chooses(name: str, value: str, code: int) -> None:
    """An account that is not available is 1, an unknown choice 2; neither changes the connection."""
    words = ["connections", "choose", "mail", "user-1", "--choice", name, value]
    assert CliRunner().invoke(cli, words).exit_code == code
    assert status() == (("active", "site-1") if code == 0 else ("needs_choice", ""))


@pytest.mark.usefixtures("terminal")
def test_a_call_says_what_to_choose() -> None:
    """The error names the choice, and the list shows the status."""
    result = CliRunner().invoke(cli, ["connections", "list", "--status", "needs_choice"])
    assert "user-1" in result.stdout
    with Nango("integrations.yaml") as nango, pytest.raises(CredentialsError, match="cloud_id"):
        nango.async_executor("mail", "user-1")
