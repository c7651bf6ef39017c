"""What is used is seen by every process that shares the store."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango, Sandbox
from tests.support.fork_server import NANGO, Child, start
from tests.support.limit_stores import place_of
from tests.support.sandbox_product import ENCRYPTION_KEY, SHOP

if TYPE_CHECKING:
    from pathlib import Path

LIMITED: dict[str, Any] = {
    **SHOP,
    "rate_limits": {"budgets": [{"key": "${method} ${endpoint}", "otherwise": ["100/minute", "500/day"]}]},
}
CREDENTIALS = {"user-1": {"api_key": "key_planted_1234"}}


def _product(folder: Path, base_url: str, store: str) -> Nango:
    entry = {**LIMITED, "requests": {**LIMITED["requests"], "base_url": base_url}}
    content = {"integrations": {"shop": entry}, "config": {"rate_limit_store": store}}
    (folder / "integrations.yaml").write_text(json.dumps(content))
    nango = Nango(folder / "integrations.yaml", encryption_keys=ENCRYPTION_KEY)
    nango.register_connection("shop", "user-1", CREDENTIALS["user-1"])
    return nango


def _nango(folder: Path, *arguments: str) -> Child:
    environ = {"NANGO_ENCRYPTION_KEYS": ENCRYPTION_KEY, "PATH": ""}
    return start(NANGO, "limits", "shop", "user-1", "--json", *arguments, cwd=folder, env=environ)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_another_process_sees_what_this_one_has_used(kind: str, tmp_path: Path) -> None:
    """The command shows this process's calls; sync and async executors show the same.

    Paths that no file names are digests in a shared store: only the process that called shows them.
    """
    with place_of(kind, tmp_path) as url, Sandbox(LIMITED, credentials=CREDENTIALS) as sandbox:
        with _product(tmp_path, sandbox.base_url, "sql" if kind == "sqlite" else url) as nango:
            shop = nango.executor("shop", "user-1")
            assert shop.limits() == ()
            for _ in range(3):
                shop.get("things")
            here = [(view.key, view.window, view.used, view.left, view.gate) for view in shop.limits()]
            views = asyncio.run(nango.async_executor("shop", "user-1").limits())
            assert [(view.key, view.used) for view in views] == [(row[0], row[2]) for row in here]
        with _nango(tmp_path) as shown:
            out, err = shown.communicate()
    assert (shown.returncode, err) == (0, "")
    assert here == [("GET things", "100/minute", 3, 97, 0.0), ("GET things", "500/day", 3, 497, 0.0)]
    rows = json.loads(out)
    assert all(row["budget"].startswith("GET #") and "things" not in row["budget"] for row in rows)
    there = [(row["limit"], row["used"], row["left"], row["gate"]) for row in rows]
    assert there == [row[1:] for row in here]
    assert "key_planted_1234" not in out


def test_watching_shows_it_again_until_it_is_stopped(tmp_path: Path) -> None:
    """With --watch the view is printed every second, and Ctrl-C ends it with the usual code."""
    with (
        Sandbox(LIMITED, credentials=CREDENTIALS) as sandbox,
        _product(tmp_path, sandbox.base_url, "sql") as nango,
        _nango(tmp_path, "--watch") as watching,
    ):
        seen = [watching.stdout.readline()]
        nango.executor("shop", "user-1").get("things")
        while len(seen) < 10 and "GET #" not in seen[-1]:
            seen.append(watching.stdout.readline())
        watching.send_signal(signal.SIGINT)
        watching.communicate()
    assert watching.returncode == 130
    assert seen[0] == "[]\n"
    assert [row["used"] for row in json.loads(seen[-1])] == [1, 1]


def test_with_counts_in_memory_the_command_says_what_it_cannot_see(tmp_path: Path) -> None:
    """Another process's memory cannot be looked into, and one line says so."""
    with (
        Sandbox(LIMITED, credentials=CREDENTIALS) as sandbox,
        _product(tmp_path, sandbox.base_url, "memory") as nango,
    ):
        nango.executor("shop", "user-1").get("things")
        with _nango(tmp_path) as shown:
            out, err = shown.communicate()
    assert json.loads(out) == []
    assert "rate_limit_store is memory" in err
    assert len(err.splitlines()) == 1
