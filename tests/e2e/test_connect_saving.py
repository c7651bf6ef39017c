"""Credentials that a user types: tried at the API over real sockets, and stored only when it accepts them."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConnectFailed, Sandbox
from nango_py.connect.listing import list_integrations
from nango_py.connect.outcome import find_outcome
from nango_py.connect.submit import disconnect, submit
from nango_py.sandbox import FaultPlan
from tests.support.fault_server import CLOSE, READ, FaultServer, response
from tests.support.nango_at_server import QUICK, WIDE
from tests.support.planted_secrets import Collector, everything_of, secret, traces
from tests.support.sandbox_product import a_nango

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nango_py import Nango, SessionClaims

RIGHT, WRONG = "sk_right_0123456789", "sk_wrong_0123456789"
SHOP: dict[str, Any] = {
    "title": "Shop",
    "auth": {"auth_mode": "API_KEY"},
    "requests": {
        "base_url": "https://api.shop.test/v1/",
        "headers": {"Authorization": "Key ${api_key}"},
        "allow_http": True,
    },
    "credentials": {"api_key": {"title": "Secret key", "pattern": "^sk_"}},
    "connection_config": {"properties": {"region": {"type": "string", "enum": ["eu", "us"]}}},
    "verification": {"method": "GET", "path": "me"},
    "errors": {"message": "error.message"},
    "retries": {"backoff": QUICK},
    "rate_limits": WIDE,
}

PLANTED = {
    "stored": f"sk_{secret(1)}",
    "refused": f"sk_{secret(2)}",
    "away": f"sk_{secret(3)}",
    "ill-formed": secret(4),
}
"""What is typed in the leak test, by how it ends."""


@pytest.fixture
def faults() -> FaultPlan:
    """What the API does instead of responding."""
    return FaultPlan.script()


@pytest.fixture
def nango(tmp_path: Path, faults: FaultPlan) -> Iterator[Nango]:
    """A product whose API knows one key."""
    known = {"anybody": {"api_key": RIGHT}, "planted": {"api_key": PLANTED["stored"]}}
    with Sandbox(SHOP, credentials=known, faults=faults) as api, a_nango(tmp_path, api.base_url, SHOP) as one:
        yield one


def claims_of(nango: Nango, *integrations: str, user: str = "u1") -> SessionClaims:
    """A session of a user."""
    session = nango.connect_session(user, integrations or None)
    return nango.read_session(session.token.reveal())


def refusal(nango: Nango, key: str, **more: Any) -> ConnectFailed:
    """How a submission fails."""
    with pytest.raises(ConnectFailed) as caught:
        submit(nango.accounts, claims_of(nango), "shop", {"api_key": key}, more)
    return caught.value


def rows(folder: Path) -> list[tuple[Any, ...]]:
    """All connections, byte by byte."""
    with contextlib.closing(sqlite3.connect(f"{folder}/nango.db")) as database:
        return database.execute("SELECT * FROM nango_connections").fetchall()


def test_a_valid_key_is_stored_and_an_invalid_one_is_not(nango: Nango, tmp_path: Path) -> None:
    """The invalid key leaves no row; the valid one connects, and the page shows it."""
    failed = refusal(nango, WRONG)
    assert (failed.code, failed.status) == ("refused", 422)
    assert str(failed).startswith("Shop did not accept this secret key (401")
    assert rows(tmp_path) == []
    claims = claims_of(nango)
    said = submit(nango.accounts, claims, "shop", {"api_key": f" {RIGHT}\n"}, {"region": "eu"}, "try-1")
    assert said == {"status": "connected", "verified": True, "message": ""}
    assert nango.store.get("shop", "u1").credentials["api_key"].reveal() == RIGHT
    (offer,) = list_integrations(nango.accounts, claims)["integrations"]
    assert (offer["status"], offer["fields"][1]["value"]) == ("connected", "eu")
    outcome = find_outcome(nango.services, claims.id, "try-1")
    assert outcome is not None
    assert outcome.ok


def test_a_refused_reconnect_changes_nothing(nango: Nango, tmp_path: Path) -> None:
    """The existing connection stays the same to the byte until new credentials are accepted."""
    nango.register_connection("shop", "u1", {"api_key": RIGHT}, {"region": "eu", "plan": "gold"})
    before, uuid = rows(tmp_path), nango.connection("shop", "u1")["uuid"]
    refusal(nango, WRONG)
    refusal(nango, RIGHT, region="mars")
    assert rows(tmp_path) == before
    submit(nango.accounts, claims_of(nango), "shop", {"api_key": RIGHT}, {"region": "us"})
    after = nango.connection("shop", "u1")
    assert after["uuid"] == uuid
    assert after["additional_config"] == {"region": "us", "plan": "gold"}  # what the product put there stays
    assert rows(tmp_path) != before


def test_a_missing_permission_has_its_own_code(tmp_path: Path) -> None:
    """A 403 says that the key is valid but lacks a permission; nothing is stored."""
    told = [READ, response(b'{"error": {"message": "Read only."}}', 403, {"Connection": "close"}), CLOSE]
    with FaultServer(told) as server, a_nango(tmp_path, f"{server.url}v1/", SHOP) as nango:
        failed = refusal(nango, RIGHT)
        assert failed.code == "missing_scope"
        assert "lacks a permission" in str(failed)
        assert rows(tmp_path) == []


def test_an_unreachable_api_does_not_mean_an_invalid_key(
    nango: Nango, tmp_path: Path, faults: FaultPlan
) -> None:
    """Nothing is said about the key, nothing is stored, and the next attempt may work."""
    faults.add(503, 503)
    failed = refusal(nango, RIGHT)
    assert (failed.code, failed.status) == ("unavailable", 503)
    assert "Try again later" in str(failed)
    assert rows(tmp_path) == []


def test_without_a_verification_credentials_are_stored_untested(tmp_path: Path) -> None:
    """A blueprint without a verification call cannot test a key; the result says that it was not."""
    with Sandbox(SHOP) as api, a_nango(tmp_path, api.base_url, {**SHOP, "verification": None}) as nango:
        said = submit(nango.accounts, claims_of(nango), "shop", {"api_key": WRONG}, {})
    assert (said["status"], said["verified"]) == ("connected", False)


def test_an_api_without_credentials_is_connected_at_once(tmp_path: Path) -> None:
    """NONE has nothing to test."""
    entry = {**SHOP, "auth": {"auth_mode": "NONE"}, "credentials": None, "verification": None}
    entry["requests"] = {"base_url": "https://api.shop.test/"}
    with a_nango(tmp_path, "https://api.shop.test/", entry) as nango:
        assert submit(nango.accounts, claims_of(nango), "shop", {}, {})["status"] == "connected"


@pytest.mark.parametrize(
    ("credentials", "config", "fields"),
    [
        ({}, {}, {"api_key"}),
        ({"api_key": "rk_PLANTED"}, {}, {"api_key"}),
        ({"api_key": RIGHT, "extra": "PLANTED"}, {}, {"extra"}),
        ({"api_key": {"PLANTED": 1}}, {"region": "PLANTED"}, {"api_key", "region"}),
        ({"api_key": RIGHT}, {"planet": "PLANTED"}, {"planet"}),
    ],
)
def test_invalid_fields_are_reported_before_anything_is_sent(
    nango: Nango, credentials: dict[str, Any], config: dict[str, Any], fields: set[str]
) -> None:
    """Each has a sentence that does not quote the input."""
    with pytest.raises(ConnectFailed) as caught:
        submit(nango.accounts, claims_of(nango), "shop", credentials, config)
    assert (caught.value.code, set(caught.value.fields)) == ("invalid_credentials", fields)
    assert "PLANTED" not in f"{caught.value}{caught.value.fields}"


def test_errors_of_the_auth_mode_are_shown_at_the_field(tmp_path: Path) -> None:
    """Basic itself refuses a colon in a user name, and the message is shown at that field."""
    entry = {**SHOP, "auth": {"auth_mode": "BASIC"}, "credentials": None}
    entry["requests"] = {**SHOP["requests"], "headers": {"Authorization": "Basic ${basic_auth_encoded}"}}
    typed = {"username": "a:b", "password": "p"}
    with (
        Sandbox(entry) as api,
        a_nango(tmp_path, api.base_url, entry) as nango,
        pytest.raises(ConnectFailed) as caught,
    ):
        submit(nango.accounts, claims_of(nango), "shop", typed, {})
    assert list(caught.value.fields) == ["username"]
    assert "colon" in caught.value.fields["username"]


def test_a_session_reaches_its_own_integrations_only(nango: Nango) -> None:
    """Another integration's name is refused, declared or not, and another user's connection stays."""
    nango.register_connection("shop", "u2", {"api_key": RIGHT})
    claims = claims_of(nango)
    for name in ("other", "../shop", ""):
        with pytest.raises(ConnectFailed) as caught:
            submit(nango.accounts, claims, name, {}, {})
        assert caught.value.code == "not_allowed"
        with pytest.raises(ConnectFailed) as caught:
            disconnect(nango.accounts, claims, name)
        assert caught.value.code == "not_allowed"
    assert disconnect(nango.accounts, claims, "shop") == {"status": "not_connected"}
    assert nango.connection("shop", "u2")


def test_an_integration_that_is_gone_cannot_be_connected(nango: Nango, tmp_path: Path) -> None:
    """A session that is older than the configuration gets an error that says so."""
    claims = claims_of(nango)
    other = {"integrations": {"else": {"extends_blueprint": "klaviyo:v1"}}}
    with (
        a_nango(tmp_path, "https://api.shop.test/", **other) as later,
        pytest.raises(ConnectFailed) as caught,
    ):
        submit(later.accounts, claims, "shop", {"api_key": RIGHT}, {})
    assert caught.value.code == "unknown_integration"


def test_a_login_by_browser_has_no_form(tmp_path: Path) -> None:
    """A user cannot store a token of their choice for an integration that uses OAuth."""
    entry = {"extends_blueprint": "slack:v0", "oauth_client_id": "i", "oauth_client_secret": "s"}
    declared, address = {"integrations": {"shop": entry}}, "https://api.shop.test/"
    with a_nango(tmp_path, address, **declared) as nango, pytest.raises(ConnectFailed) as caught:
        submit(nango.accounts, claims_of(nango), "shop", {"access_token": "x"}, {})
    assert caught.value.code == "not_allowed"


def test_disconnecting_deletes_and_can_be_repeated(nango: Nango, tmp_path: Path) -> None:
    """The row is gone; a second click finds nothing to do."""
    nango.register_connection("shop", "u1", {"api_key": RIGHT})
    for _ in range(2):
        assert disconnect(nango.accounts, claims_of(nango), "shop") == {"status": "not_connected"}
    assert rows(tmp_path) == []


@pytest.mark.parametrize("ending", PLANTED)
def test_nothing_that_was_typed_leaks(nango: Nango, tmp_path: Path, faults: FaultPlan, ending: str) -> None:
    """Logs at DEBUG, errors with their frames, events and the database hold no trace of what was typed."""
    planted = {"api_key": PLANTED[ending]}
    if ending == "away":
        faults.add(503, 503)
    events: list[str] = []
    nango.on("connected", lambda event: events.append(repr(event)))
    nango.on("connect_failed", lambda event: events.append(repr(event)))
    collector, root = Collector(), logging.getLogger()
    level = root.level
    root.addHandler(collector)
    root.setLevel(logging.DEBUG)
    found = ""
    try:
        if ending == "stored":
            found = repr(submit(nango.accounts, claims_of(nango), "shop", planted, {}))
        else:
            with pytest.raises(ConnectFailed) as caught:
                submit(nango.accounts, claims_of(nango), "shop", planted, {})
            found = everything_of(caught.value, __file__)
            found += "".join(traceback.format_exception(caught.value, chain=True))
    finally:
        root.removeHandler(collector)
        root.setLevel(level)
    assert events
    shown = "\n".join([found, *collector.lines, *events])
    assert traces(shown) == []
    assert traces((tmp_path / "nango.db").read_bytes()) == []


def test_the_leak_test_would_see_a_leak() -> None:
    """The control: a sentence that repeats what was typed is found."""
    assert traces(f"the key {secret(1)} is wrong")
