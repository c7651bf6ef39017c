"""A Nango with planted secrets, and a search for them in everything that it shows."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango
from tests.support.planted_secrets import Collector, everything_of, traces
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RETRIES = {"max_attempts": 2, "deadline_seconds": 3, "backoff": {"base_seconds": 0.001, "max_seconds": 0.002}}


COMMON: dict[str, Any] = {
    "auth": {"auth_mode": "API_KEY"},
    "retries": RETRIES,
    "http_request_timeout_seconds": 1.0,
    "pagination": {"kind": "next_url", "next": "links.next", "records": "data"},
    "errors": {"message": "error.detail", "code": "error.code"},
    "log_level": "debug",
    "verification": {"method": "GET", "path": "me"},
}


PLACES: dict[str, dict[str, Any]] = {
    "query": {"params": {"api_key": "${api_key}", "list": '${additional_config.list | default("x")}'}},
    "header": {"headers": {"X-Api-Key": "${api_key}", "X-At": "${method} ${endpoint}"}},
    "bearer": {"headers": {"Authorization": "Bearer ${api_key}"}, "params": {"sig": "${api_key | sha256}"}},
    "basic": {"headers": {"Authorization": "Basic ${basic_auth_encoded}"}},
    "declared": {
        "headers": {"DD-API-KEY": "${username}", "X-User": "v1 ${username | sha256}"},
        "params": {"who": "${username}"},
    },
    "named": {"headers": {"DD-API-KEY": "${username}"}, "params": {"app_token": "t-${username}"}},
}

USER_KEYS: dict[str, dict[str, Any]] = {
    "declared": {"username": {"secret": True}, "password": {"value": ""}},
    "named": {},
}
"""The `credentials:` of the places whose user name is the key: it is called so, or sent as one."""


class LeakFinder:
    """Collects everything that a program shows, and finds planted secrets in it."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, str]] = []

    def add(self, source: str, text: str) -> None:
        """Add a text."""
        self.texts.append((source, text))

    def leaks(self) -> list[str]:
        """Every trace of a planted secret: its source and the text around it."""
        return [f"{source}: {trace}" for source, text in self.texts for trace in traces(text)]


def make_credentials(place: str, value: str) -> dict[str, str]:
    """The credentials of a connection with a secret at this place."""
    if place in USER_KEYS:
        return {"username": value, "password": ""}
    return {"username": "ada", "password": value} if place == "basic" else {"api_key": value}


def record_error(finder: LeakFinder, name: str, act: Callable[[], Any]) -> BaseException:
    """Run an action that must fail, and add what its error shows, except the frames of the test."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any error, the caller looks at which
        act()
    finder.add(name, everything_of(caught.value, act.__code__.co_filename))
    return caught.value


@contextlib.contextmanager
def collect_logs() -> Iterator[Collector]:
    """Collect the records of every logger at level DEBUG."""
    root = logging.getLogger()
    handler, level = Collector(), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    changed = [logging.getLogger(name) for name in ("urllib3", "requests", "backoff", "asyncio", "nango_py")]
    for logger in changed:
        logger.setLevel(logging.DEBUG)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        for logger in changed:
            logger.setLevel(logging.NOTSET)


def make_nango(folder: Path, base_url: str, key: str = ENCRYPTION_KEY) -> Nango:
    """A Nango with an integration for each place of a credential."""
    entries = {}
    for place, where in PLACES.items():
        entries[place] = {
            **COMMON,
            "requests": {"base_url": base_url, "max_response_bytes": 1_000_000, **where},
        }
    for place in ("basic", *USER_KEYS):
        words = {"credentials": USER_KEYS[place]} if USER_KEYS.get(place) else {}
        entries[place] = {**entries[place], **words, "auth": {"auth_mode": "USERNAME_PASSWORD"}}
    entries["declared"]["verification"] = {"method": "GET", "path": "keys/${username}"}
    return Nango(entries, database_url=f"sqlite:///{folder}/nango.db", encryption_keys=key, environ={})
