"""Connections on the move: between databases, under SIGKILL, in little memory, and without a secret seen."""

from __future__ import annotations

import io
import json
import logging
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango, NangoError
from nango_py.connections import bulk
from nango_py.transfer import importing
from tests.support.databases import fresh_postgres
from tests.support.fork_server import run
from tests.support.nango_exports import a_response
from tests.support.planted_secrets import Collector, everything_of, secret, shown, traces
from tests.support.transfer_products import MODES, a_key, a_nango, an_entry, everything, example_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = a_key()
CONNECTIONS = 1000


def fill(nango: Nango) -> None:
    """A thousand connections over all auth modes, some of which have to be connected again."""
    names = sorted(MODES)
    for number in range(CONNECTIONS):
        name = names[number % len(names)]
        user = f"user {number} \u00e9\u202e\n'\"%\\"
        settings = {"list": [number, None, 1.5, {"deep": "\u2603"}]} if number % 3 else {}
        nango.register_connection(name, user, example_of(name, number), settings)
        if number % 50 == 0:
            connection = nango.store.get(name, user)
            nango.store.leases.acquire(connection, "me", 60)
            nango.store.leases.mark_needs_reauth(connection, "me")


def test_a_thousand_connections_go_to_postgresql_and_back(tmp_path: Path) -> None:
    """Every auth mode, odd names and values, dates, uuids and states are the same after both journeys."""
    with fresh_postgres() as url, a_nango("sqlite:///:memory:") as first:
        fill(first)
        before = everything(first)
        assert first.export_connections(tmp_path / "there", KEY) == CONNECTIONS
        with a_nango(url) as second, a_nango(f"sqlite:///{tmp_path}/back.db") as third:
            assert second.import_connections(tmp_path / "there", KEY).imported == CONNECTIONS
            assert everything(second) == before
            assert second.export_connections(tmp_path / "back", KEY) == CONNECTIONS
            assert third.import_connections(tmp_path / "back", KEY).imported == CONNECTIONS
            assert everything(third) == before
            again = second.import_connections(tmp_path / "back", KEY)
            assert again.unchanged == CONNECTIONS
    assert {status for _, status, *_ in before.values()} == {"active", "needs_reauth"}
    assert len({integration for integration, _ in before}) == len(MODES)


def kill(job: str, kills: int, url: str, folder: Path) -> dict[str, Any]:
    """What the killer found."""
    killer = "tests.support.import_killer:main"
    done = run(killer, job, str(kills), "20261126", url, str(folder), env={})
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_killed_import_leaves_each_connection_old_or_new(tmp_path: Path) -> None:
    """After SIGKILL at any moment nothing is mixed or lost, and the same import brings all to the end."""
    found = kill("whole", 10, f"sqlite:///{tmp_path}/nango.db", tmp_path)
    assert found["faults"] == []
    assert found["in_the_middle"] > 0


def test_a_killed_import_into_postgresql_leaves_each_connection_old_or_new(tmp_path: Path) -> None:
    """The server outlives the worker and undoes what it did not commit."""
    with fresh_postgres() as url:
        found = kill("whole", 5, url, tmp_path)
    assert found["faults"] == []
    assert found["in_the_middle"] > 0


def test_an_import_in_two_steps_would_be_noticed(tmp_path: Path) -> None:
    """The control: settings first and credentials then leaves a connection with parts of both."""
    found = kill("carelessly", 40, f"sqlite:///{tmp_path}/nango.db", tmp_path)
    assert "is mixed" in found["faults"][0]


MANY = 420
MEGABYTE = 1 << 20


def test_connections_pass_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six megabytes are exported and imported in a few; the control holds all of them."""
    monkeypatch.setattr(bulk, "PAGE_SIZE", 20)  # few large connections take less CPU than many small ones
    monkeypatch.setattr(importing, "BATCH_SIZE", 20)
    with a_nango("sqlite:///:memory:", {"shop": an_entry("API_KEY")}) as nango:
        for number in range(MANY):
            nango.register_connection(
                "shop", f"user-{number}", {"api_key": "k"}, {"text": f"{number:015000}"}
            )
        file = io.BytesIO()
        nango.export_connections(file, KEY)
        content = file.getvalue()
        assert len(content) > 6 * MEGABYTE
        assert peak(lambda: nango.export_connections(Nowhere(), KEY)) < 4 * MEGABYTE  # type: ignore[arg-type]
        assert peak(lambda: nango.import_connections(io.BytesIO(content), KEY)) < 4 * MEGABYTE
        assert peak(lambda: list(bulk.iter_rows(nango.store))) > 6 * MEGABYTE


class Nowhere:
    """A file that keeps nothing."""

    def write(self, content: bytes) -> int:
        """Forget it."""
        return len(content)


def peak(work: Callable[[], object]) -> int:
    """The most bytes that Python held for the work."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def failures(nango: Nango, folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Ways in which exports and imports fail while they hold secrets, by name."""
    whole, plain, other = folder / "whole", folder / "response.json", a_key()
    nango.export_connections(whole, KEY)
    damaged = bytearray(whole.read_bytes())
    damaged[-80] ^= 1
    yield "another key", lambda: nango.import_connections(whole, other)
    yield "damaged", lambda: nango.import_connections(io.BytesIO(damaged), KEY)
    yield "key", lambda: nango.import_connections(whole, secret(9))
    nango.update_connection_credentials("api-key", "user-0", {"api_key": secret(2)})
    yield "another connection", lambda: nango.import_connections(whole, KEY)
    responses: tuple[tuple[str, dict[str, Any]], ...] = (
        ("other mode", {"credentials": {"type": "BASIC", "username": "u", "password": secret(3)}}),
        ("not text", {"credentials": {"type": "API_KEY", "apiKey": [secret(4)]}}),
        ("masked", {"credentials": {"type": "API_KEY", "apiKey": secret(5), "raw": "REDACTED"}}),
        (
            "unknown",
            {"provider_config_key": "nowhere", "credentials": {"type": "API_KEY", "apiKey": secret(6)}},
        ),
        ("another one", {"connection_id": "user-0", "connection_config": {"api_token": secret(7)}}),
    )
    for name, changes in responses:
        response = a_response("API_KEY", "api-key", **changes)
        yield name, lambda response=response: read_response(nango, plain, json.dumps(response))  # type: ignore[misc]
    yield "not JSON", lambda: read_response(nango, plain, f'{{"a": "{secret(8)}"')
    nango.store.close()
    yield "closed", lambda: nango.export_connections(folder / "other", KEY)
    yield "closed for imports", lambda: nango.import_connections(whole, KEY)


def read_response(nango: Nango, path: Path, text: str) -> object:
    """An import of a response that fails."""
    path.write_text(text)
    return nango.import_from_nango(path)


def test_no_failure_shows_a_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No message, frame, report, log or export file contains one."""
    collector = Collector()
    logging.getLogger().addHandler(collector)
    found: list[str] = []
    try:
        with caplog.at_level(logging.DEBUG), a_nango("sqlite:///:memory:") as nango:
            nango.register_connection("api-key", "user-0", {"api_key": secret(0)}, {"x": "y"})
            nango.register_connection("api-key", "user-1", {"api_key": secret(1)})
            for name, work in failures(nango, tmp_path):
                with pytest.raises(NangoError) as caught:
                    work()
                found += [f"{name}: {trace}" for trace in traces(everything_of(caught.value, __file__))]
    finally:
        logging.getLogger().removeHandler(collector)
    found += traces("\n".join(collector.lines))
    found += traces((tmp_path / "whole").read_bytes())
    assert found == []


def test_no_report_shows_a_secret(tmp_path: Path) -> None:
    """A dry run's report, with problems and what was left out, has names and reasons only."""
    response = a_response(
        "API_KEY", "api-key", connection_config={"api_token": secret(1)}, tags={"a": secret(2)}
    )
    wrong = a_response("OAUTH2", "api-key", credentials={"type": "OAUTH2", "access_token": secret(3)})
    (tmp_path / "responses.json").write_text(json.dumps([response, wrong]))
    with a_nango("sqlite:///:memory:") as nango:
        report = nango.import_from_nango(tmp_path / "responses.json", dry_run=True)
    assert len(report.problems) == 1
    assert report.left_out
    assert traces(repr(report) + shown(report)) == []


def test_the_search_would_find_a_secret() -> None:
    """The control: a key in a report, and one that an error has in its frames, are found."""
    assert traces(secret(1))

    def careless(key: str) -> None:
        raise NangoError(f"the key has {len(key)} letters")

    with pytest.raises(NangoError) as caught:
        careless(secret(2))
    assert traces(everything_of(caught.value, "another file"))
