"""Connections are listed a page at a time: in order, each once, with a bounded number of rows in memory."""

from __future__ import annotations

import json
import tracemalloc
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConnectionNotFound, TamperError, UnknownIntegration
from nango_py.connections import bulk
from nango_py.errors import Position
from tests.support.transfer_products import a_nango, an_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nango_py import Nango
    from tests.support.cli_product import Product

pytest_plugins = ("tests.support.cli_product",)

NAMES = ("crm", "mail", "shop")


@pytest.fixture
def nango(database_url: str) -> Iterator[Nango]:
    """A product with three integrations."""
    with a_nango(database_url, {name: an_entry("API_KEY") for name in NAMES}) as opened:
        yield opened


def fill(nango: Nango, integration: str, users: Iterable[str]) -> None:
    """Register connections, many in each transaction."""
    connections = [
        bulk.ExportedConnection(
            integration, user, {"api_key": "a"}, {"note": "x" * 200}, "active", "", 0, 0, Position("")
        )
        for user in users
    ]
    bulk.store_connections(nango.store, connections, bulk.REFUSE)


def identities(views: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    """Integration and user of each view."""
    return [(view["integration"], view["user_id"]) for view in views]


def count_rows(nango: Nango, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows that each later SELECT returns."""
    counts: list[int] = []
    read = nango.store.read

    def counting(sql: str, parameters: Any) -> Any:
        rows = read(sql, parameters)
        counts.append(len(rows))
        return rows

    monkeypatch.setattr(nango.store, "read", counting)
    return counts


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_pages_hold_every_connection_once(nango: Nango, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By integration and user, whatever the page size, without credentials."""
    monkeypatch.setattr(bulk, "PAGE_SIZE", size)
    for integration in NAMES:
        fill(nango, integration, ("b", "a", "B b", "ü/1", "0", "a" * 1024, "\U0001f600"))
    everything = identities(nango.iter_connections())
    assert sorted(everything) == sorted(
        identities(view for name in NAMES for view in nango.connections_for_integration(name))
    )
    assert [name for name, _ in everything] == sorted(name for name, _ in everything)
    mail = [identity for identity in everything if identity[0] == "mail"]
    assert identities(nango.iter_connections("mail")) == mail
    for number, identity in enumerate(everything):
        assert identities(nango.iter_connections(after=identity)) == everything[number + 1 :]
    for number, identity in enumerate(mail):
        assert identities(nango.iter_connections("mail", after=identity)) == mail[number + 1 :]
    view = next(nango.iter_connections("mail"))
    whole = nango.connection("mail", view["user_id"])
    del whole["refresh_expires_at"]  # it is among the credentials, which lists do not read
    assert view == whole
    assert "credentials" not in view


def test_no_statement_returns_more_than_a_page(nango: Nango, monkeypatch: pytest.MonkeyPatch) -> None:
    """One page is read when it is needed; the control is the whole list, which is one statement."""
    fill(nango, "mail", (f"{number:04}" for number in range(1300)))
    fill(nango, "shop", ("u",))
    counts = count_rows(nango, monkeypatch)
    assert len(list(nango.iter_connections("mail"))) == 1300
    assert counts == [500, 500, 300]
    counts.clear()
    assert len(list(islice(nango.iter_connections(), 501))) == 501
    assert counts == [500, 500]
    counts.clear()
    assert len(nango.connections_for_integration("mail")) == 1300
    assert counts == [1300]


def test_memory_does_not_grow_with_the_number_of_connections(tmp_path: Any) -> None:
    """The peak for 6,000 connections is that for 1,000; the control is the whole list."""
    with a_nango(
        f"sqlite:///{tmp_path}/.nango/nango.db", {name: an_entry("API_KEY") for name in NAMES}
    ) as nango:
        fill(nango, "crm", (f"{number:04}" for number in range(1000)))
        fill(nango, "mail", (f"{number:04}" for number in range(6000)))

        def peak(integration: str, *, as_list: bool = False) -> int:
            tracemalloc.start()
            try:
                if as_list:
                    assert nango.connections_for_integration(integration)
                for _ in nango.iter_connections(integration):
                    pass
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        peak("crm")  # what is loaded on first use
        few, many, whole = peak("crm"), peak("mail"), peak("mail", as_list=True)
    assert many < few * 1.2
    assert whole > few * 3


def test_changes_during_an_iteration(nango: Nango, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that stay are all returned, once; those that are deleted and registered again too."""
    monkeypatch.setattr(bulk, "PAGE_SIZE", 2)
    fill(nango, "mail", "abcdefgh")
    found = nango.iter_connections("mail")
    seen = [next(found)["user_id"] for _ in range(2)]
    nango.delete_connection("mail", "a")
    fill(nango, "mail", ["a", "A0", "i"])
    nango.delete_connection("mail", "d")
    seen += [view["user_id"] for view in found]
    assert [user for user in seen if user in "abcefgh"] == list("abcefgh")
    assert len(seen) == len(set(seen))
    assert "d" not in seen


def test_wrong_arguments_are_refused_at_once(nango: Nango) -> None:
    """Before the first connection is asked for, and an altered row during the iteration."""
    with pytest.raises(UnknownIntegration):
        nango.iter_connections("maill")
    with pytest.raises(ValueError, match="crm"):
        nango.iter_connections("mail", after=("crm", "a"))
    assert list(nango.iter_connections("mail", after=("mail", "a"))) == []
    fill(nango, "mail", "ab")
    nango.store.write(lambda run: run("UPDATE nango_connections SET status = 'x' WHERE user_id = 'b'"))
    found = nango.iter_connections("mail")
    assert next(found)["user_id"] == "a"
    with pytest.raises(TamperError):
        next(found)
    with pytest.raises(ConnectionNotFound):
        nango.connection("mail", "c")


def test_the_command_lists_page_by_page(product: Product) -> None:
    """--limit and --after give each connection once, in the order of the whole list."""
    with a_nango(f"sqlite:///{product.folder}/.nango/nango.db") as elsewhere:
        fill(elsewhere, "klaviyo", (f"user-{number:02}" for number in range(7)))
        fill(elsewhere, "close", ("user-03",))
    whole = identities(json.loads(product.run("connections", "list", "--json").out))
    assert whole == sorted(whole)
    assert len(whole) == 8
    paged: list[tuple[str, str]] = []
    while True:
        after = ("--after", "/".join(paged[-1])) if paged else ()
        page = identities(
            json.loads(product.run("connections", "list", "--json", "--limit", "3", *after).out)
        )
        if not page:
            break
        paged += page
    assert paged == whole
    of_user = ("connections", "list", "--user", "user-03", "--json", "--after", "close/user-03")
    assert identities(json.loads(product.run(*of_user).out)) == [("klaviyo", "user-03")]


@pytest.mark.parametrize(
    "words",
    [
        ("--after", "klaviyo"),
        ("--after", "close/u", "--integration", "klaviyo"),
        ("--limit", "0"),
        ("--limit", "x"),
    ],
)
def test_wrong_pages_are_wrong_usage(product: Product, words: tuple[str, ...]) -> None:
    """The exit code is 2 and the message names the option."""
    refused = product.run("connections", "list", *words)
    assert refused.code == 2
    assert words[0] in refused.err
    assert refused.out == ""


def test_a_long_list_is_printed_as_it_arrives(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks of lines are one aligned table, and one line of JSON."""
    monkeypatch.setattr("nango_py.cli.output.BLOCK_LINES", 3)
    with a_nango(f"sqlite:///{product.folder}/.nango/nango.db") as elsewhere:
        fill(elsewhere, "klaviyo", ("a", "b", "c" * 30, "d", "e"))
    lines = product.run("connections", "list").out.splitlines()
    assert [line.split()[1] for line in lines] == ["user", "a", "b", "c" * 30, "d", "e"]
    assert lines[4].index("active") == lines[3].index("active") > lines[1].index("active")
    text = product.run("connections", "list", "--json").out
    assert text == json.dumps(json.loads(text)) + "\n"
