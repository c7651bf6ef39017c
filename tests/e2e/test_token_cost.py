"""What a refresh costs: few SQL statements, none for a valid token, and no rush at one moment."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.connections.keys import load_keyring
from nango_py.connections.store import open_store
from nango_py.record import replaced
from nango_py.tokens.schedule import refresh_time
from tests.support.fake_clock import ManualClock
from tests.support.made_values import a_connection
from tests.support.oauth_product import a_nango
from tests.support.oauth_token_server import Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class Counting:
    """A database that counts the statements on connections that it is given."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self.statements: list[str] = []

    def read(self, sql: str, parameters: Mapping[str, Any]) -> Any:
        """Count a SELECT."""
        self._count(sql)
        return self._database.read(sql, parameters)

    def write(self, work: Callable[[Any], Any]) -> Any:
        """Count what a transaction runs."""

        def counted(run: Any) -> Any:
            def one(sql: str, parameters: Any = None, /) -> Any:
                self._count(sql)
                return run(sql, parameters)

            return work(one)

        return self._database.write(counted)

    def _count(self, sql: str) -> None:
        if "nango_processes" not in sql:  # heartbeats are written now and then, independently of calls
            self.statements.append(sql)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


def test_a_refresh_adds_four_statements_and_a_valid_token_none(database_url: str) -> None:
    """Take the lease, read again, write, give it back; and then nothing for a second."""
    clock = ManualClock()
    with (
        Provider("strict", now=clock.now) as provider,
        a_nango(provider.url, database_url, clock=clock) as nango,
    ):
        nango.register_connection("mail", "user-1", provider.grant("user-1"))
        mail = nango.executor("mail", "user-1")
        counting = nango.store._database = Counting(nango.store._database)
        mail.get("things")
        counting.statements.clear()
        for _ in range(20):
            assert mail.get("things").status_code == 200
        assert counting.statements == []
        clock.advance(4000)
        mail.get("things")
        ordinary = 1  # the look at the row that every call of a new second takes
        assert len(counting.statements) <= 4 + ordinary
        assert len(provider.token_calls) == 1
        counting.statements.clear()
        for _ in range(20):
            mail.get("things")
        assert counting.statements == []


def test_counting_sees_statements(tmp_path: Path) -> None:
    """The control: a read and a write are counted."""
    ring = load_keyring({}, tmp_path)
    with open_store(f"sqlite:///{tmp_path}/n.db", ring) as store:
        counting = store._database = Counting(store._database)
        store.create("mail", "user-1", {"access_token": "a"})
        store.get("mail", "user-1")
        assert len(counting.statements) == 2


@pytest.mark.parametrize("life", [60.0, 3600.0, 86_400.0, 30 * 86_400.0])
def test_ten_thousand_tokens_of_one_age_are_not_refreshed_at_once(life: float) -> None:
    """The busiest twentieth of the time has at most twice its share; all are refreshed before they expire."""
    moments = []
    for number in range(10_000):
        connection = a_connection({"access_token": "x"})
        born = connection.last_modified.timestamp()
        moment = refresh_time(_named(connection, number), born + life)
        assert moment is not None
        moments.append(born + life - moment)
    margin = min(300.0, life / 10)
    assert margin <= min(moments) < max(moments) <= 2 * margin
    slots = Counter(int((before - margin) / margin * 20) for before in moments)
    assert max(slots.values()) <= 2 * len(moments) / 20


def test_without_jitter_they_would_be() -> None:
    """The control: the same connection, ten thousand times, has one moment."""
    connection = a_connection({"access_token": "x"})
    assert len({refresh_time(connection, 2e9) for _ in range(100)}) == 1


def _named(connection: Any, number: int) -> Any:
    return replaced(connection, uuid=f"00000000-0000-4000-8000-{number:012d}")
