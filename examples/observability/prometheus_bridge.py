"""Counts calls for Prometheus: `watch(nango)` once, at the start."""

from prometheus_client import Counter, Histogram

from nango_py import Event, Nango

ATTEMPTS = Counter("nango_attempts", "Attempts, by status or reason", ["integration", "method", "result"])
SECONDS = Histogram("nango_attempt_seconds", "Duration of attempts", ["integration", "method"])
WAITS = Histogram("nango_wait_seconds", "Waits for limits and retries", ["integration"])
ENDINGS = Counter("nango_events", "Other events, by kind", ["integration", "kind"])
KINDS = ("gate", "giving_up", "needs_reauth", "not_revoked", "connected", "connect_failed", "deprecated")


def watch(nango: Nango) -> None:
    """Register the callbacks. Users and paths are not labels: there may be any number of them."""
    nango.on("attempt", count_attempt)
    nango.on("wait", lambda event: WAITS.labels(event.integration).observe(event.seconds))
    for kind in KINDS:
        nango.on(kind, lambda event: ENDINGS.labels(event.integration, event.kind).inc())


def count_attempt(event: Event) -> None:
    """An attempt has ended."""
    attempt = event.attempt
    result = str(attempt.status or attempt.reason) if attempt else ""
    ATTEMPTS.labels(event.integration, event.method, result).inc()
    SECONDS.labels(event.integration, event.method).observe(event.seconds)
