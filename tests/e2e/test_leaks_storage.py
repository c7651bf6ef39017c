"""Planted secrets in connections and configuration files: no error, log or database file shows one."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConfigError, CredentialsError, Nango, NangoError, TamperError
from tests.support.fault_server import READ, FaultServer, response
from tests.support.leak_finder import LeakFinder, collect_logs, make_nango, record_error
from tests.support.planted_secrets import Collector, secret, shown
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def collector() -> Iterator[Collector]:
    """The log records of the test."""
    with collect_logs() as handler:
        yield handler


WRONG_CREDENTIALS: list[Any] = [
    {"api_key": [secret(1)]}, {"api_key": {"a": secret(2)}}, {"api_kye": secret(3)}, {"api_key": 4},
    {"api_key": secret(5).encode()}, {"api_key": secret(6), "other": secret(7)}, secret(8), [secret(9)], None,
]  # fmt: skip


UNFIT = ["\n", "\r\nX-Evil: 1", "\0", "€", "\u200b", "\x7f", "\ud800"]


def test_registering_and_storing_show_no_secret(tmp_path: Path, collector: Collector) -> None:
    """Wrong credentials, keys that fit no header, duplicates, altered rows and wrong encryption keys."""
    finder = LeakFinder()
    with make_nango(tmp_path, "http://127.0.0.1:1/") as nango:
        for wrong in WRONG_CREDENTIALS[:3] + WRONG_CREDENTIALS[4:]:
            error = record_error(
                finder,
                f"registering {type(wrong).__name__}",
                lambda wrong=wrong: nango.register_connection("header", "u", wrong),
            )
            assert isinstance(error, NangoError)
        for number, tail in enumerate(UNFIT):
            user, key = f"unfit-{number}", f"{secret(20 + number)}{tail}{secret(30 + number)}"

            def act(user: str = user, key: str = key) -> None:
                nango.register_connection("header", user, {"api_key": key})
                nango.executor("header", user)

            error = record_error(finder, f"unfit {tail!a}", act)
            assert isinstance(error, CredentialsError), error
        nango.register_connection("header", "twice", {"api_key": secret(40)})
        record_error(
            finder, "twice", lambda: nango.register_connection("header", "twice", {"api_key": secret(41)})
        )
    with contextlib.closing(sqlite3.connect(tmp_path / "nango.db")) as database, database:
        database.execute("UPDATE nango_connections SET user_id = 'moved' WHERE user_id = 'twice'")
    with make_nango(tmp_path, "http://127.0.0.1:1/") as nango:
        assert isinstance(
            record_error(finder, "moved row", lambda: nango.executor("header", "moved")), TamperError
        )
    other_key = ENCRYPTION_KEY[::-1].strip("=")[:43] + "="
    with make_nango(tmp_path, "http://127.0.0.1:1/", other_key) as nango:
        record_error(finder, "wrong encryption key", lambda: nango.executor("header", "moved"))
    finder.add("logs", "\n".join(collector.lines))
    for file in tmp_path.rglob("*"):
        if file.is_file():
            finder.add(file.name, file.read_bytes().decode("latin-1"))
    assert finder.leaks() == []


def with_entry(**entry: Any) -> dict[str, Any]:
    """integrations.yaml's content with one entry that reads planted secrets from the environment."""
    return {
        "shop": {
            "auth": {"auth_mode": "API_KEY"},
            "app_api_key": "${PLANTED}",
            "requests": {
                "base_url": "https://x.test/",
                "headers": {"X": "${api_key}", "Y": "${app_api_key}"},
            },
            **entry,
        }
    }


WRONG_FILES: list[dict[str, Any]] = [
    with_entry(app_api_key="${PLANTED_ODD}", log_level="${PLANTED}"),
    with_entry(oauth_client_secret=[secret(60)]),
    with_entry(app_api_key={"a": secret(61)}),
    with_entry(oauth_client_secet=secret(62)),
    with_entry(app_api_key=secret(63) + "${", oauth_client_secret=5),
    with_entry(requests={"base_url": f"https://user:{secret(64)}@x.test/"}),
    with_entry(requests={"base_url": "${PLANTED}"}),
    with_entry(requests={"base_url": "https://x.test/", "headers": {"X": "${PLANTED_LINE} ${api_key}"}}),
    with_entry(requests={"base_url": "https://x.test/", "headers": {"X": "${PLANTED_LINE}"}}),
    with_entry(requests={"base_url": "https://x.test/", "headers": {"X Y": "${PLANTED}"}}),
    with_entry(requests={"base_url": "https://x.test/", "params": {"k": "${PLANTED}${nope}"}}),
    with_entry(http_request_timeout_seconds="${PLANTED}"),
    with_entry(extends_blueprint="${PLANTED}"),
]


@pytest.mark.parametrize("entries", WRONG_FILES, ids=range(len(WRONG_FILES)))
def test_wrong_files_show_no_secret(
    entries: dict[str, Any], tmp_path: Path, collector: Collector, capfd: pytest.CaptureFixture[str]
) -> None:
    """Values of the environment and of secret fields are in no message and no frame."""
    environ = {
        "PLANTED": secret(70), "PLANTED_ODD": secret(71, '+/=%&"\\é~'), "PLANTED_LINE": secret(72, "\r\n"),
    }  # fmt: skip
    finder = LeakFinder()
    error = record_error(
        finder, "loading", lambda: Nango(entries, environ=environ, database_url=f"sqlite:///{tmp_path}/n.db")
    )
    assert isinstance(error, ConfigError)
    finder.add("logs", "\n".join(collector.lines))
    finder.add("output", "".join(capfd.readouterr()))
    assert finder.leaks() == []


def test_application_secrets_are_hidden(tmp_path: Path, collector: Collector) -> None:
    """An app key from the environment is in no plan, repr, configuration or log."""
    finder = LeakFinder()
    entries = with_entry()
    with FaultServer([READ, response(b"ok")]) as server:
        entries["shop"]["requests"]["base_url"] = server.url
        with Nango(entries, environ={"PLANTED": secret(80)}, encryption_keys=ENCRYPTION_KEY,
                   database_url=f"sqlite:///{tmp_path}/n.db") as nango:  # fmt: skip
            nango.register_connection("shop", "u", {"api_key": secret(81)})
            shop = nango.executor("shop", "u")
            shop.get("x")
            (request,) = server.wait_for_requests(1)
            plan = shop.plan("GET", "x")
            finder.add(
                "shown", f"{plan} {plan!r} {nango!r} {nango.configuration!r} {shown(nango.configuration)}"
            )
    assert secret(80).encode() in request
    finder.add("logs", "\n".join(collector.lines))
    assert finder.leaks() == []
