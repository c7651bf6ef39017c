"""The unread parts of long results of tools: sealed, bounded, and read by any process; on both databases."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.connections.keys import generate_key, load_keyring
from nango_py.connections.store import ConnectionStore, open_store
from nango_py.errors import StorageError
from nango_py.tools import pages as module
from nango_py.tools.pages import KEPT_SECONDS, MIN_CHARACTERS, ResultPages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fake_clock import ManualClock

KEY = generate_key().reveal()
ITEMS = [f"item_planted_{number:04}" for number in range(200)]


@pytest.fixture
def store(database_url: str, clock: ManualClock) -> Iterator[ConnectionStore]:
    """An empty store."""
    with another(database_url, clock) as opened:
        yield opened


def another(database_url: str, clock: ManualClock) -> Any:
    """The store as another process opens it."""
    return open_store(database_url, load_keyring({"NANGO_ENCRYPTION_KEYS": KEY}, None), clock)  # type: ignore[arg-type]


def cursor_of(pages: ResultPages, value: Any = ITEMS) -> str:
    """The cursor in the first part of a long result of the user `ann`."""
    return str(json.loads(pages.first("ann", "shop.list", value, MIN_CHARACTERS))["cursor"])


def test_another_process_reads_on(
    store: ConnectionStore, database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts make up the whole result, also if it takes several rows."""
    monkeypatch.setattr(module, "PIECE", 100)
    first = json.loads(ResultPages(lambda: store.pending).first("ann", "shop.list", ITEMS, MIN_CHARACTERS))
    items = first["result"]
    with another(database_url, clock) as opened:
        pages = ResultPages(lambda: opened.pending)
        part = first
        while "cursor" in part:
            found = pages.find("ann", part["cursor"])
            assert found is not None
            assert found[0] == "shop.list"
            part = json.loads(found[1])
            items = items + part["result"]
    assert items == ITEMS


def test_a_cursor_that_was_changed_finds_nothing(store: ConnectionStore) -> None:
    """Neither does that of another user; the control is the cursor as it was."""
    pages = ResultPages(lambda: store.pending)
    cursor = cursor_of(pages)
    name = cursor.rpartition(".")[0]
    changed = [f"{name}.{number}" for number in ("0", "-1", "99999", "x", "", "1e3", "²", "9" * 40)]
    for index, character in enumerate(name):
        changed.append(f"{name[:index]}{'A' if character != 'A' else 'B'}{name[index + 1 :]}.1")
    changed += [f"{name}\0.1", f"\ud800{cursor}", "x" * 100_000 + ".1"]
    assert [text for text in changed if pages.find("ann", text)] == []
    assert pages.find("bob", cursor) is None
    assert pages.find("ann", cursor) is not None


def test_results_are_bounded(store: ConnectionStore, clock: ManualClock) -> None:
    """The oldest results are dropped, and no login is."""
    chance = random.Random(1)
    pages = ResultPages(lambda: store.pending, max_pieces=3)
    store.pending.put("login", "state", "session", {"user": "ann"}, 600)
    cursors = []
    for _ in range(5):
        cursors.append(cursor_of(pages, [chance.randbytes(20).hex() for _ in range(100)]))
        clock.advance(1)
    assert [pages.find("ann", cursor) is not None for cursor in cursors] == [False, False, True, True, True]
    assert store.pending.peek("login", "state") == {"user": "ann"}


def test_a_result_can_be_read_for_an_hour(store: ConnectionStore, clock: ManualClock) -> None:
    """While it is stored, its rows show neither the result nor the user."""
    pages = ResultPages(lambda: store.pending)
    cursor = cursor_of(pages)
    stored = repr(store.read("SELECT id, session_id, sealed FROM nango_pending", {}))
    assert "results of tools" in stored
    assert "item_planted" not in stored
    assert "ann" not in stored
    clock.advance(KEPT_SECONDS + 1)
    assert pages.find("ann", cursor) is None


def test_a_rest_that_cannot_be_stored_loses_nothing_else() -> None:
    """The action has run: the model gets the first part, and reads that there is no other."""

    def fail() -> Any:
        raise StorageError("the disk is full")

    part = json.loads(ResultPages(fail).first("ann", "shop.list", ITEMS, MIN_CHARACTERS))
    assert part["result"][0] == ITEMS[0]
    assert "cursor" not in part
    assert part["rest"]


def test_short_results_are_not_stored() -> None:
    """A result that fits needs no database."""

    def fail() -> Any:
        raise AssertionError

    assert ResultPages(fail).first("ann", "shop.list", [1], MIN_CHARACTERS) == '{"result":[1]}'
