"""What responses say about the end of an API: Deprecation (RFC 9745), Sunset (RFC 8594) and 410."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nango_py.config.urls.links import UnreadableLinkError, find_link
from nango_py.engine.events import Event
from nango_py.errors import printable
from nango_py.header_values import parse_date
from nango_py.limits.rules import endpoint_of
from nango_py.secret import mask_secrets

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping

    from nango_py.engine.events import Events
    from nango_py.engine.plan import Plan
    from nango_py.transport.response import Response

GONE = 410
KIND = "deprecated"
RELATIONS = ("deprecation", "sunset", "successor-version", "latest-version")
"""Relations of links that explain the end, or name what comes after it (RFC 9745, RFC 8594, RFC 5829)."""

MAX_ENDPOINTS = 1000
LONGEST = 300


class DeprecationNotices:
    """Reports the end of endpoints of one integration, each once in a process: a warning, and an event.

    Args:
        events: the listeners.
        logger: the logger of the integration.
    """

    def __init__(self, events: Events, logger: logging.Logger) -> None:
        self._events = events
        self._logger = logger
        self._reported: set[tuple[str, str, str]] = set()

    def report(self, plan: Plan, response: Response, now: float) -> None:
        """Report what a response says about the end of its endpoint, unless that was reported before."""
        headers = response.headers
        text = describe_end(headers)
        if response.status_code == GONE:
            text = f"the API has removed it (status {GONE}){f'; {text}' if text else ''}"
        key = plan.method, endpoint_of(plan.endpoint), text
        if not text or key in self._reported or len(self._reported) >= MAX_ENDPOINTS:
            return
        self._reported.add(key)
        connection, endpoint = plan.settings.connection, printable(plan.masked_endpoint(), 500)
        reason = mask_secrets(text, plan.settings.secrets)
        fields = {"integration": connection.integration, "method": plan.method, "endpoint": endpoint}
        line = "%(integration)s %(method)s /%(endpoint)s: %(reason)s"
        fields["reason"] = reason
        self._logger.warning(line, fields, extra={"nango": {**fields, "what": KIND}})
        if self._events.has_listeners(KIND):
            ends_at = parse_date(headers.get("Sunset"))
            seconds = 0.0 if ends_at is None else max(0.0, ends_at - now)
            names = connection.integration, connection.user_id, plan.method, endpoint
            self._events.emit(Event(KIND, now, *names, seconds=seconds, reason=reason))


def describe_end(headers: Mapping[str, str]) -> str:
    """What the headers of a response say about the end of its resource, in words; "" if nothing.

    >>> describe_end({"Deprecation": "@1688169599", "Sunset": "Sun, 30 Jun 2024 23:59:59 GMT"})
    'deprecated on 2023-06-30; ends on 2024-06-30'
    """
    parts = []
    deprecation, sunset = headers.get("Deprecation"), headers.get("Sunset")
    if deprecation is not None and deprecation.strip().lower() not in {"false", "?0"}:
        day = _day_of(deprecation)
        parts.append(f"deprecated on {day}" if day else "deprecated")
    if sunset is not None:
        parts.append(f"ends on {_day_of(sunset) or printable(sunset, 40)}")
    if parts:
        target = next(filter(None, (_link(headers.get("Link") or "", rel) for rel in RELATIONS)), "")
        parts += [f"see {printable(target, LONGEST)}"] if target else []
    return "; ".join(parts)


def _link(header: str, rel: str) -> str | None:
    try:
        return find_link(header, rel)
    except UnreadableLinkError:
        return None


def _day_of(text: str) -> str:
    """The day of a date of structured fields (RFC 9651 section 3.3.7) or of HTTP, as ISO text, or ""."""
    written = text.strip()
    is_number = written[:1] == "@" and written[1:].isdecimal() and len(written) <= len("@253402300799")
    moment = float(written[1:]) if is_number else parse_date(written)
    try:
        return "" if moment is None else datetime.fromtimestamp(moment, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return ""
