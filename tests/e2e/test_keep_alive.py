"""Logins that end without use are refreshed in time, and their end is shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from nango_py import Nango
from nango_py.cli.root import nango as cli
from nango_py.secret import reveal
from tests.support.fake_clock import ManualClock
from tests.support.login_product import a_product, log_in
from tests.support.oauth2_login_provider import LoginProvider
from tests.support.oauth_product import a_nango, mail
from tests.support.oauth_token_server import Provider
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400
SIXTY_DAYS = {"refresh_token_lifetime_seconds": 60 * DAY}


def end_of(nango: Nango) -> Any:
    """When the login of user-1 ends."""
    return nango.connection("mail", "user-1")["refresh_expires_at"]


def test_the_end_of_a_login_is_shown(database_url: str) -> None:
    """Sixty days after the login, and after each refresh that rotates the token."""
    clock = ManualClock()
    with (
        LoginProvider(rotation="strict", now=clock.now) as provider,
        a_product(provider.entry(SIXTY_DAYS), database_url, clock=clock) as nango,
    ):
        log_in(nango)
        first = end_of(nango)
        assert first == datetime.fromtimestamp(clock.now(), UTC) + timedelta(days=60)
        clock.advance(10 * DAY)
        nango.executor("mail", "user-1").get("me")
        assert end_of(nango) - first >= timedelta(days=10)


def test_without_a_declared_life_there_is_no_end() -> None:
    """The control."""
    with LoginProvider() as provider, a_product(provider.entry()) as nango:
        log_in(nango)
        assert end_of(nango) is None
        assert list(nango.logins.keep_alive()) == []


@pytest.mark.parametrize("rotation", ["none", "strict"])
def test_idle_logins_are_kept_alive(rotation: str, database_url: str) -> None:
    """Those that end within the time are refreshed, others left alone; a refused one is reported."""
    clock = ManualClock()
    with (
        Provider(rotation, now=clock.now) as provider,
        a_nango(provider.url, database_url, clock=clock, auth=SIXTY_DAYS) as nango,
    ):
        for user in ("idle", "ended", "busy"):
            nango.register_connection("mail", user, provider.grant(user))
        clock.advance(50 * DAY)
        nango.executor("mail", "busy").get("me")
        provider.revoke(reveal(nango.store.get("mail", "ended").credentials)["refresh_token"])
        kept = {each.user_id: each.outcome for each in nango.logins.keep_alive("mail")}
        assert kept == {"idle": "refreshed", "ended": "needs_reauth"}
        assert provider.calls_of("idle") == ["granted"]
        assert list(nango.logins.keep_alive("mail")) == []


def test_a_provider_that_is_down_ends_nothing() -> None:
    """The connection stays active, and the report says that it failed."""
    clock = ManualClock()
    with (
        Provider("strict", now=clock.now) as provider,
        a_nango(provider.url, clock=clock, auth=SIXTY_DAYS) as nango,
    ):
        nango.register_connection("mail", "user-1", provider.grant("user-1"))
        clock.advance(50 * DAY)
        provider.faults.extend([503] * 1000)
        (kept,) = nango.logins.keep_alive()
        assert (kept.outcome, bool(kept.message)) == ("failed", True)
        assert nango.connection("mail", "user-1")["status"] == "active"


def test_the_command_reports_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`nango connections keep-alive` prints what it did; a failure is exit code 1."""
    with Provider("strict") as provider:
        declared = {"integrations": {"mail": mail(provider.url, {"refresh_token_lifetime_seconds": DAY})}}
        (tmp_path / "integrations.yaml").write_text(json.dumps(declared))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("NANGO_ENCRYPTION_KEYS", ENCRYPTION_KEY)
        with Nango("integrations.yaml") as nango:
            nango.register_connection("mail", "user-1", provider.grant("user-1"))
        result = CliRunner().invoke(cli, ["connections", "keep-alive"])
        assert (result.exit_code, result.stdout) == (0, "refreshed mail/user-1\n")
        provider.faults.append("invalid_grant")
        result = CliRunner().invoke(cli, ["connections", "keep-alive", "--integration", "mail"])
        assert (result.exit_code, result.stdout) == (1, "needs_reauth mail/user-1\n")
        assert CliRunner().invoke(cli, ["connections", "keep-alive", "--integration", "x"]).exit_code != 0
        assert CliRunner().invoke(cli, ["connections", "keep-alive", "--days", "0"]).stdout == ""
