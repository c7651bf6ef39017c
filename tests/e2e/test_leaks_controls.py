"""The search for planted secrets finds them in every encoding and at every place."""

from __future__ import annotations

import base64
import json
import logging
from typing import TYPE_CHECKING

import pytest
import requests

from tests.support.leak_finder import LeakFinder, collect_logs, record_error
from tests.support.planted_secrets import Collector, secret, traces
from tests.support.sockets import closed_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def collector() -> Iterator[Collector]:
    """The log records of the test."""
    with collect_logs() as handler:
        yield handler


SPELLINGS = [
    secret(1), f"a{secret(1)}b", requests.utils.quote(secret(1, "+/"), safe=""), json.dumps(secret(1, 'é"')),
    repr(secret(1, "\\")), base64.b64encode(secret(1).encode()).decode(),
    base64.urlsafe_b64encode(f"ada:{secret(1)}".encode()).decode(),
    base64.b64encode(f"ad:{secret(1)}".encode()).decode(),
    secret(1, "\ud83d"), repr(secret(1, "\udce9")), json.dumps(secret(1, "\ude00")),
    secret(1)[:14], secret(1).upper(), secret(1).encode().hex(), secret(1)[::-1],
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_search_finds_a_secret_in_every_encoding(spelling: str) -> None:
    """Control: raw, percent-encoded, JSON, repr, base64 at any alignment, hex, and halves."""
    assert traces(f"some text {spelling} more text")
    assert not traces(f"some text {'*' * 40} more text")


def test_planted_leak_is_found(collector: Collector) -> None:
    """Control: what requests itself shows of a failed call is finder in error, frames and log."""
    finder = LeakFinder()
    url = f"http://127.0.0.1:{closed_port()}/?api_key={secret(1)}"
    record_error(finder, "requests", lambda: requests.get(url, timeout=1))
    assert finder.leaks()

    def careless(key: str) -> None:
        logging.getLogger("nango_py.careless").debug("calling with %s", key)
        raise LookupError("no secret in the text")

    record_error(finder, "a frame", lambda: careless(secret(2)))
    finder.texts.clear()
    finder.add("log", "\n".join(collector.lines))
    assert finder.leaks()
