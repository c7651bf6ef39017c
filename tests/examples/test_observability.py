"""The bridges of examples/observability report what happens in calls."""

from __future__ import annotations

import runpy
from typing import TYPE_CHECKING, Any

import prometheus_client
import pytest
import sentry_sdk
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.transport import Transport

from nango_py import Nango, NangoError
from nango_py.sandbox import SandboxResponse
from tests.support.example_apps import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sentry_sdk.envelope import Envelope

    from nango_py import Sandbox

FOLDER = EXAMPLES / "observability"
SECRET = "pk_ada"


@pytest.fixture
def nango(klaviyo: Sandbox, tmp_path: Path) -> Iterator[Nango]:
    """A Nango with a connection of Ada, and two attempts for each call of metrics: 503, then 200."""
    klaviyo.respond("GET", "metrics", SandboxResponse(503), {"data": []})
    klaviyo.respond("GET", "accounts", status=429, headers={"Retry-After": "600"})
    url = f"sqlite:///{tmp_path / 'nango.db'}"
    files = EXAMPLES / "notebook" / "integrations.yaml"
    overrides = {"klaviyo": klaviyo.overrides}
    with Nango(files, database_url=url, overrides=overrides, environ={"NANGO_ENV": "test"}) as nango:
        nango.register_connection("klaviyo", "ada", {"api_key": SECRET})
        yield nango


def call(nango: Nango) -> None:
    """One call that succeeds after a retry, and one that is given up."""
    klaviyo = nango.executor("klaviyo", "ada")
    assert klaviyo.get("metrics").status_code == 200
    with pytest.raises(NangoError):
        klaviyo.get("accounts", deadline_seconds=5)


def test_prometheus_counts_attempts_and_endings(nango: Nango) -> None:
    """Attempts are counted by status, waits and durations are measured, and no user is a label."""
    runpy.run_path(str(FOLDER / "prometheus_bridge.py"))["watch"](nango)
    call(nango)
    text = prometheus_client.generate_latest().decode()
    for status in (503, 200, 429):
        sample = f'nango_attempts_total{{integration="klaviyo",method="GET",result="{status}"}} 1.0'
        assert sample in text
    assert 'nango_events_total{integration="klaviyo",kind="giving_up"} 1.0' in text
    assert 'nango_attempt_seconds_count{integration="klaviyo",method="GET"} 3.0' in text
    assert 'nango_wait_seconds_count{integration="klaviyo"}' in text
    assert "ada" not in text


def test_opentelemetry_has_a_span_for_each_attempt(nango: Nango) -> None:
    """Spans are children of the caller's, have the times of their attempt, and hold no credential."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    runpy.run_path(str(FOLDER / "opentelemetry_bridge.py"))["watch"](nango)
    with trace.get_tracer("product").start_as_current_span("request") as request:
        call(nango)
    *attempts, outer = exporter.get_finished_spans()
    statuses = [span.attributes["http.response.status_code"] for span in attempts]
    assert statuses == [503, 200, 429]
    assert [span.status.is_ok for span in attempts] == [False, True, False]
    assert [span.attributes["http.request.resend_count"] for span in attempts] == [0, 1, 0]
    parent = request.get_span_context().span_id
    assert {span.parent.span_id for span in attempts} == {parent}
    for span in attempts:
        assert outer.start_time <= span.start_time < span.end_time <= outer.end_time
    assert {"nango.wait", "nango.gate", "nango.giving_up"} <= {event.name for event in outer.events}
    assert SECRET not in str([span.to_json() for span in (*attempts, outer)])


class KeptEnvelopes(Transport):
    """Keeps what would be sent to Sentry."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        """An event is sent."""
        self.events.append(envelope.get_event() or {})


def test_sentry_has_a_message_with_breadcrumbs(nango: Nango) -> None:
    """A call that is given up is reported once, with the attempts before it and without a credential."""
    kept = KeptEnvelopes()
    sentry_sdk.init(dsn="https://key@sentry.test/1", transport=kept, default_integrations=False)
    runpy.run_path(str(FOLDER / "sentry_bridge.py"))["watch"](nango)
    call(nango)
    (event,) = kept.events
    assert event["message"] == "klaviyo: giving_up"
    assert (event["level"], event["user"]["id"]) == ("error", "ada")
    crumbs = [crumb["category"] for crumb in event["breadcrumbs"]["values"]]
    assert crumbs.count("nango.attempt") == 3
    assert len(event["contexts"]["call"]["id"]) == 12
    assert SECRET not in str(event)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_bridge_has_at_most_forty_lines(path: Path) -> None:
    """A bridge is short enough to be copied into a product."""
    assert len(path.read_text().splitlines()) <= 40
