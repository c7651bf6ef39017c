"""Writes a span of OpenTelemetry for each attempt: `watch(nango)` once, at the start."""

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from nango_py import Event, Nango

TRACER = trace.get_tracer("nango_py")
NANOSECONDS = 1_000_000_000


def watch(nango: Nango) -> None:
    """Register the callbacks. They run where the call was made, so the span there is the parent."""
    nango.on("attempt", write_span)
    for kind in ("wait", "gate", "giving_up"):
        nango.on(kind, add_to_span)


def write_span(event: Event) -> None:
    """An attempt has ended."""
    attempt, end, name = event.attempt, int(event.at * NANOSECONDS), f"{event.method} {event.integration}"
    start = end - int(event.seconds * NANOSECONDS)
    span = TRACER.start_span(name, kind=SpanKind.CLIENT, start_time=start)
    span.set_attribute("http.request.method", event.method)
    span.set_attribute("http.request.resend_count", attempt.number - 1)
    span.set_attribute("nango.integration", event.integration)
    span.set_attribute("nango.endpoint", event.endpoint)
    span.set_attribute("nango.call_id", event.call_id)
    if attempt.status:
        span.set_attribute("http.response.status_code", attempt.status)
    if not 0 < attempt.status < 400:
        span.set_attribute("error.type", attempt.reason or str(attempt.status))
        span.set_status(StatusCode.ERROR)
    span.end(end)


def add_to_span(event: Event) -> None:
    """Add an event to the span around the call."""
    attributes = {"nango.integration": event.integration, "seconds": event.seconds, "reason": event.reason}
    trace.get_current_span().add_event(f"nango.{event.kind}", attributes, int(event.at * NANOSECONDS))
