"""nango_py as it is measured: a blueprint with everything on, and one stored connection."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nango_py import Nango

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "user-1"
KEY = "key_0123456789abcdef"
WIDE = ["100000/second", "5000000/minute"]
"""Two windows that are counted and never reached."""


def write(
    folder: Path,
    base: str,
    rate_limits: dict[str, Any] | None,
    store: str = "memory",
    actions: dict[str, Any] | None = None,
) -> Path:
    """Write a blueprint and an integrations.yaml into the folder; the path of the latter."""
    blueprint: dict[str, Any] = {
        "name": "bench",
        "version": "v0",
        "title": "Bench",
        "auth": {"auth_mode": "API_KEY"},
        "requests": {
            "base_url": f"{base}/api/",
            "allow_http": True,
            "headers": {"Authorization": "Bearer ${api_key}", "Accept": "application/json"},
        },
        "retries": {
            "rules": [
                {"when": {"status": 429}, "do": "wait"},
                {"when": {"status": 503, "body_contains": "maintenance"}, "do": "fail"},
            ]
        },
        "pagination": {"kind": "next_url", "next": "links.next", "records": "data"},
    }
    if rate_limits is not None:
        blueprint["rate_limits"] = rate_limits
    if actions:
        blueprint["actions"] = actions
    blueprints = folder / "blueprints"
    blueprints.mkdir(exist_ok=True)
    (blueprints / "bench.v0.yaml").write_text(yaml.safe_dump(blueprint, sort_keys=False))
    integrations = {
        "config": {"rate_limit_store": store},
        "integrations": {"bench": {"extends_blueprint": "bench:v0"}},
    }
    path = folder / "integrations.yaml"
    path.write_text(yaml.safe_dump(integrations, sort_keys=False))
    return path


@contextlib.contextmanager
def prepared(
    base: str, users: tuple[str, ...] = (USER,), actions: dict[str, Any] | None = None
) -> Iterator[Nango]:
    """A Nango for the server at `base`, with a connection for each user and INFO records disabled."""
    logging.getLogger("nango_py").setLevel(logging.WARNING)
    budgets = {"budgets": [{"key": "${method} ${endpoint}", "otherwise": WIDE}]}
    with (
        tempfile.TemporaryDirectory() as folder,
        Nango(write(Path(folder), base, budgets, actions=actions)) as nango,
    ):
        for user in users:
            nango.register_connection("bench", user, {"api_key": KEY})
        yield nango
