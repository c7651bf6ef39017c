"""Responses that say that their endpoint is deprecated, ends or is gone."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.engine.deprecation import describe_end
from tests.support.fake_clock import ManualClock
from tests.support.nango_at_server import KEY, a_sandbox, calling

if TYPE_CHECKING:
    from nango_py import Event, Nango

NOW = datetime(2026, 11, 30, tzinfo=UTC).timestamp()
ENDING = {
    "Deprecation": "@1764547200",
    "Sunset": "Mon, 30 Nov 2026 00:01:00 GMT",
    "Link": '<https://docs.example.test/next>; rel="successor-version"',
}


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({}, ""),
        ({"Deprecation": "@1688169599"}, "deprecated on 2023-06-30"),
        ({"Deprecation": "true"}, "deprecated"),
        ({"Deprecation": "?0"}, ""),
        ({"Deprecation": "Fri, 30 Jun 2023 23:59:59 GMT"}, "deprecated on 2023-06-30"),
        ({"Deprecation": "@99999999999999999999"}, "deprecated"),
        ({"Deprecation": "@-1"}, "deprecated"),
        ({"Sunset": "Sun, 30 Jun 2024 23:59:59 GMT"}, "ends on 2024-06-30"),
        ({"Sunset": "soon\x07"}, "ends on soon\\x07"),
        ({"Sunset": "x" * 99}, f"ends on {'x' * 40}"),
        ({"Deprecation": "true", "Link": '<a>; rel="deprecation"'}, "deprecated; see a"),
        ({"Deprecation": "true", "Link": '<a; rel="deprecation"'}, "deprecated"),
        ({"Link": '<a>; rel="deprecation"'}, ""),
    ],
)
def test_headers_say_the_end(headers: dict[str, str], text: str) -> None:
    """Dates of RFC 9745 and RFC 8594 are read; values in other forms are shown or left out."""
    assert describe_end(headers).startswith(text)
    assert bool(describe_end(headers)) is bool(text)


def call(nango: Nango, name: str, path: str) -> Any:
    """A call by the named executor."""
    if name == "sync":
        return nango.executor("shop", "user-1").get(path)
    return asyncio.run(nango.async_executor("shop", "user-1").get(path))


@pytest.mark.parametrize("name", ["sync", "async"])
def test_the_end_of_an_endpoint_is_an_event_and_a_warning(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each endpoint is reported once, with the days, the link and the seconds until its end."""
    with a_sandbox() as sandbox, calling(sandbox.base_url, clock=ManualClock(NOW)) as nango:
        sandbox.respond("GET", "things/{id}", json={}, headers=ENDING)
        sandbox.respond("GET", "others", json={}, headers={"Deprecation": f"@1764547200, {KEY}"})
        heard: list[Event] = []
        nango.on("deprecated", heard.append)
        with caplog.at_level(logging.WARNING, "nango_py.integrations"):
            for path in ("things/1", "things/2", "plain", "others", "others"):
                call(nango, name, path)
        assert [(event.endpoint, event.seconds) for event in heard] == [("things/1", 60.0), ("others", 0.0)]
        assert heard[0].reason == (
            "deprecated on 2025-12-01; ends on 2026-11-30; see https://docs.example.test/next"
        )
        assert (heard[0].kind, heard[0].method, heard[0].user_id) == ("deprecated", "GET", "user-1")
        logged = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert [record.getMessage().partition(":")[0] for record in logged] == [
            "shop GET /things/1", "shop GET /others",
        ]  # fmt: skip
        assert KEY not in caplog.text


@pytest.mark.parametrize("name", ["sync", "async"])
def test_a_410_says_that_an_endpoint_is_gone(name: str) -> None:
    """It is reported for each endpoint, and the response is returned."""
    with a_sandbox() as sandbox, calling(sandbox.base_url) as nango:
        sandbox.respond("GET", "old", status=410, json={})
        heard: list[Event] = []
        nango.on("deprecated", heard.append)
        assert call(nango, name, "old").status_code == 410
        assert call(nango, name, "old").status_code == 410
        assert ["410" in event.reason for event in heard] == [True]


def test_responses_without_such_headers_report_nothing() -> None:
    """The control: neither an event nor a report for usual responses and errors."""
    with a_sandbox() as sandbox, calling(sandbox.base_url) as nango:
        sandbox.respond("GET", "none", status=404, json={}, headers={"Link": '<a>; rel="deprecation"'})
        heard: list[Event] = []
        nango.on("deprecated", heard.append)
        call(nango, "sync", "things")
        call(nango, "sync", "none")
        assert heard == []
