"""One refresh for any number of processes, and no login lost by killing, stopping or ending them.

Longer forms: `python -m tests.support.token_processes rounds 100` and
`python -m tests.support.token_killer kill 300 URL`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.fork_server import run
from tests.support.oauth_product import a_nango
from tests.support.oauth_token_server import Provider
from tests.support.token_killer import KEPT, POINTS, ROTATIONS
from tests.support.token_processes import rounds

if TYPE_CHECKING:
    from pathlib import Path


def drill(job: str, runs: int, database_url: str) -> dict[str, Any]:
    """What a drill counted."""
    done = run("tests.support.token_killer:main", job, str(runs), database_url)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_sixty_four_callers_in_four_processes_refresh_once(database_url: str) -> None:
    """Every round: one token call, and 64 callers whose token is the same new one."""
    with Provider("strict") as provider, a_nango(provider.url, database_url) as nango:
        for calls, seen in rounds(database_url, provider, nango, 3):
            assert calls == 1
            assert list(seen.values()) == [64]
            assert "access_" in next(iter(seen))
        assert provider.expired_sent == []


def test_without_leases_they_would_refresh_more_often(tmp_path: Path) -> None:
    """The control: if every process gets the lease, processes refresh concurrently."""
    url = f"sqlite:///{tmp_path}/.nango/nango.db"
    with Provider("none") as provider, a_nango(provider.url, url) as nango:
        assert any(calls > 1 for calls, _ in rounds(url, provider, nango, 40, "careless"))


def test_kill_at_any_point_loses_nothing_in_silence(database_url: str) -> None:
    """SIGKILL at six points of a refresh, three kinds of rotation.

    Without rotation, and with a grace period, nothing is lost; if a provider accepts a refresh token only
    once, the next call reports the loss, and further calls do not ask again.
    """
    told = drill("kill", 18, database_url)
    assert told["faults"] == []
    expected = {
        f"{rotation}, {point}: {'good' if rotation != 'strict' or point in KEPT else 'needs_reauth'}": 1
        for rotation in ROTATIONS
        for point in POINTS
    }
    assert told["counts"] == expected


def test_sigterm_ends_a_process_after_its_refresh(tmp_path: Path) -> None:
    """Six processes, in their main thread and in others, under strict rotation: none loses its token."""
    told = drill("sigterm", 6, f"sqlite:///{tmp_path}/.nango/nango.db")
    assert told["faults"] == []
    assert told["counts"] == {"good": 6}


def test_without_the_handler_sigterm_loses_tokens(tmp_path: Path) -> None:
    """The control: the same processes, ended as the system ends them."""
    told = drill("careless", 3, f"sqlite:///{tmp_path}/.nango/nango.db")
    assert told["counts"] == {"needs_reauth": 3}


def test_a_holder_that_slept_past_its_lease_writes_nothing(database_url: str) -> None:
    """Its late response is refused, the newest token stays, and the sleeper goes on with that one."""
    told = drill("stop", 3, database_url)
    assert told["faults"] == []
    assert told["counts"] == {"good": 3}
