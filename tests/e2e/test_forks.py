"""A process forks at any moment; its children can call, whatever locks other threads held."""

from __future__ import annotations

import itertools
import os
import threading
import warnings
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango, forks
from nango_py.database import base
from nango_py.database.base import ForkGate
from nango_py.transport.response import Response
from tests.support.forked import fork, held, is_free, locks_of, wait_for_child
from tests.support.oauth_token_server import Provider
from tests.support.provider_grants import CLIENT_ID, CLIENT_SECRET
from tests.support.sandbox_product import ENCRYPTION_KEY
from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def provider() -> Iterator[Provider]:
    """An OAuth provider with an API."""
    with Provider(rotation="strict") as provider:
        yield provider


def open_product(folder: Path, provider: Provider, store: str = "memory", **options: Any) -> Nango:
    """A product with the provider's API."""
    entry = {
        "auth": {
            "auth_mode": "OAUTH2",
            "authorization_url": provider.url,
            "token_url": f"{provider.url}/token",
        },
        "oauth_client_id": CLIENT_ID,
        "oauth_client_secret": CLIENT_SECRET,
        "requests": {
            "base_url": f"{provider.url}/api/",
            "headers": {"Authorization": "Bearer ${access_token}"},
        },
        "rate_limits": {"budgets": [{"key": "all", "otherwise": ["5000/second"]}]},
    }
    return Nango(
        {"config": {"rate_limit_store": store}, "integrations": {"mail": entry}},
        database_url=f"sqlite:///{folder}/nango.db",
        encryption_keys=ENCRYPTION_KEY,
        environ={},
        **options,
    )


def call(nango: Nango, user: str = "u") -> None:
    """One call that has to succeed."""
    assert nango.executor("mail", user).get("x").status_code == 200


@pytest.mark.parametrize("store", ["memory", "sql"])
def test_no_lock_of_another_thread_is_left_in_a_child(tmp_path: Path, provider: Provider, store: str) -> None:
    """All long locks are held during a fork; the child refreshes, calls, and finds every lock free."""
    with open_product(tmp_path, provider, store) as nango:
        for user in ("u", "v"):
            nango.register_connection("mail", user, provider.grant(user, expired=True))
        call(nango)
        short = [reference() for reference in forks._locks.values()]
        locks = {name: lock for name, lock in locks_of(nango).items() if is_free(lock)}
        # Those of the fork itself, and those of operations of SQLite, which a fork waits for.
        others = [*short, forks._forking, base.FORK_GATE._changing, *base.FORK_GATE._locks.values()]
        longer = {name: lock for name, lock in locks.items() if not any(lock is one for one in others)}
        assert {name.partition(".")[0] for name in longer} >= {"Lazy", "Services", "ConfigFiles", "IdleWires"}
        assert len(locks) > len(longer) + 4

        def work() -> None:
            call(nango)
            call(nango, "v")
            inherited = [name for name, lock in locks_of(nango).items() if not is_free(lock)]
            assert inherited == []

        with held(*longer.values()):
            child = fork(work)
            assert wait_for_child(child) == 0
        call(nango, "v")


def test_a_held_lock_is_seen(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without new locks, the child finds those of the other thread."""
    with open_product(tmp_path, provider) as nango:
        nango.register_connection("mail", "u", provider.grant("u"))
        call(nango)
        lock = nango.services._limits._lock
        monkeypatch.setattr(forks, "_forkable", weakref.WeakSet())

        def work() -> None:
            assert not is_free(nango.services._limits._lock)

        with held(lock):
            assert wait_for_child(fork(work)) == 0


def test_a_fork_waits_for_short_locks() -> None:
    """The child gets data that no thread was changing, and the lock is free on both sides."""
    lock, is_forking = forks.new_short_lock(), threading.Event()
    changes: list[int] = []
    os.register_at_fork(before=is_forking.set)  # runs before the hook of `forks`, which was there first

    def change() -> None:
        with lock:
            is_holding.set()
            is_forking.wait(HANG_SECONDS)
            changes.extend((1, 2))

    is_holding = threading.Event()
    thread = threading.Thread(target=change)
    thread.start()
    is_holding.wait(HANG_SECONDS)

    def work() -> None:
        assert (changes, is_free(lock)) == ([1, 2], True)

    assert wait_for_child(fork(work)) == 0
    thread.join()
    assert is_free(lock)


def test_threads_that_fork_at_once_leave_every_lock_free() -> None:
    """One fork waits for the other, so that no lock stays held in this process or in a child."""
    locks = [forks.new_short_lock() for _ in range(50)]
    start, children = threading.Barrier(4), list[int]()

    def work() -> None:
        assert all(map(is_free, locks))

    def fork_often() -> None:
        start.wait(HANG_SECONDS)
        for _ in range(5):
            children.append(fork(work))

    threads = [threading.Thread(target=fork_often) for _ in range(4)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [wait_for_child(child) for child in children] == [0] * 20
    assert all(map(is_free, locks))


def test_a_fork_within_a_short_lock_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler may fork while its own thread holds the lock."""
    monkeypatch.setattr(forks, "LONGEST_WAIT", 0.01)
    lock = forks.new_short_lock()
    with lock:
        assert wait_for_child(fork(lambda: None)) == 0
    assert is_free(lock)


def test_a_child_of_a_process_that_is_opening_its_store(tmp_path: Path, provider: Provider) -> None:
    """A part that another thread is creating is created again in the child."""
    with open_product(tmp_path, provider) as nango:
        nango.register_connection("mail", "u", provider.grant("u"))
    is_inside, may_leave = threading.Event(), threading.Event()
    with open_product(tmp_path, provider) as nango:
        opening = nango.services._store._create

        def open_slowly() -> Any:
            if threading.current_thread() is thread:
                is_inside.set()
                may_leave.wait(HANG_SECONDS)
            return opening()

        nango.services._store._create = open_slowly
        thread = threading.Thread(target=lambda: call(nango))
        thread.start()
        is_inside.wait(HANG_SECONDS)
        assert wait_for_child(fork(lambda: call(nango))) == 0
        may_leave.set()
        thread.join()
        call(nango)


def test_children_of_a_busy_process_can_call(tmp_path: Path, provider: Provider) -> None:
    """Fifteen forks while threads open products, refresh tokens and call."""
    with open_product(tmp_path, provider) as nango:
        for user in "abcu":
            nango.register_connection("mail", user, provider.grant(user))
        call(nango)
        stop, numbers = threading.Event(), itertools.count()

        def work(user: str) -> None:
            while not stop.is_set():
                call(nango, user)
                with open_product(tmp_path, provider) as other:
                    call(other, user)
                next(numbers)

        threads = [threading.Thread(target=work, args=(user,)) for user in "abc"]
        for thread in threads:
            thread.start()
        try:
            statuses = [wait_for_child(fork(lambda: call(nango))) for _ in range(15)]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert statuses == [0] * 15
        assert next(numbers) > 0


def test_a_response_can_be_read_while_another_thread_reads_one() -> None:
    """No two responses share a lock, and a child does not wait for a thread that computes one's headers."""
    is_inside, may_leave = threading.Event(), threading.Event()

    class SlowHeaders(dict[str, str]):
        def items(self) -> Any:
            is_inside.set()
            may_leave.wait(HANG_SECONDS)
            return super().items()

    class Raw:
        status, reason = 200, "OK"

        def __init__(self, headers: dict[str, str]) -> None:
            self.headers = headers

    slow, quick = (Response(None, Raw(headers), b"", 0.0) for headers in (SlowHeaders(a="1"), {"b": "2"}))  # type: ignore[arg-type]
    thread = threading.Thread(target=lambda: slow.headers)
    thread.start()
    is_inside.wait(HANG_SECONDS)

    def work() -> None:
        assert quick.headers == {"b": "2"}

    assert wait_for_child(fork(work)) == 0
    may_leave.set()
    thread.join()
    assert slow.headers == {"a": "1"}


def test_a_fork_within_a_fork_does_not_wait_for_itself() -> None:
    """A signal handler may fork while its thread forks; the gate opens after the outer fork."""
    gate, has_entered = ForkGate(), threading.Event()

    def enter() -> None:
        with gate.lock():
            has_entered.set()

    gate.close()
    gate.close()
    gate.open()
    inner = threading.Thread(target=enter, daemon=True)
    inner.start()
    assert not has_entered.wait(0.05)
    gate.open()
    assert has_entered.wait(HANG_SECONDS)
    inner.join()
