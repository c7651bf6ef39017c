"""Reports to Sentry what needs a person: `watch(nango)` once, after `sentry_sdk.init`."""

import sentry_sdk

from nango_py import Event, Nango

LEVELS = {
    "giving_up": "error",
    "needs_reauth": "warning",
    "not_revoked": "warning",
    "connect_failed": "info",
    "deprecated": "warning",
}


def watch(nango: Nango) -> None:
    """Register the callbacks."""
    for kind in ("attempt", "wait", "gate"):
        nango.on(kind, leave_breadcrumb)
    for kind in LEVELS:
        nango.on(kind, report)


def leave_breadcrumb(event: Event) -> None:
    """Show what happened before an error, with the error."""
    data = {"endpoint": event.endpoint, "seconds": event.seconds, "call_id": event.call_id}
    if event.attempt:
        data |= {"status": event.attempt.status, "reason": event.attempt.reason}
    sentry_sdk.add_breadcrumb(category=f"nango.{event.kind}", message=event.integration, data=data)


def report(event: Event) -> None:
    """Send a message, grouped by integration and kind."""
    with sentry_sdk.new_scope() as scope:
        scope.fingerprint = ["nango", event.integration, event.kind, event.method]
        scope.set_tags({"integration": event.integration, "kind": event.kind})
        scope.set_user({"id": event.user_id})
        scope.set_context("call", {"id": event.call_id, "reason": event.reason})
        scope.capture_message(f"{event.integration}: {event.kind}", LEVELS[event.kind])
