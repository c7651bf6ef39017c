"""How a try to connect ended: for the page, for the log, and for whoever listens."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from nango_py.engine.events import Event
from nango_py.engine.log import get_logger
from nango_py.errors import NangoError, printable
from nango_py.record import field_names, record

if TYPE_CHECKING:
    from nango_py.services import Services

REMEMBERED_SECONDS = 600.0
"""How long a page may ask how a try went."""

CONNECTED, CONNECT_FAILED = "connected", "connect_failed"
LOGGER = logging.getLogger("nango_py.connect")
LEVELS = {
    "": logging.INFO,
    "access_denied": logging.INFO,
    "state_invalid": logging.INFO,  # anybody can knock at a callback
    "misconfigured": logging.ERROR,
}
"""How loud an ending is; a warning where it is not named here."""


@record
class LoginOutcome:
    """How a login ended. It holds no credential, and may be shown to the user as a whole.

    Attributes:
        ok: whether the connection is stored.
        origin: the page that hears of it; "" for those of `config.connect_origins`.
        attempt: the name that the page gave to this try, or "".
        code: one of `errors.CONNECT_CODES`, "" where it went well.
        message: a sentence for the user, "" where it went well. It may quote the provider: show it as text.
        missing_scopes: scopes that were asked for and not granted.
    """

    ok: bool
    integration: str
    user_id: str
    origin: str = ""
    attempt: str = ""
    code: str = ""
    message: str = ""
    missing_scopes: tuple[str, ...] = ()


def remember(services: Services, session_id: str, outcome: LoginOutcome) -> None:
    """Keep how a try ended, for pages that lost sight of the window it ran in."""
    values = {part: getattr(outcome, part) for part in field_names(LoginOutcome)}
    with suppress(NangoError):  # the window itself tells it too
        name = _attempt_name(session_id, outcome.attempt)
        services.store.pending.put("attempt", name, session_id, values, REMEMBERED_SECONDS)


def recall(services: Services, session_id: str, attempt: str) -> LoginOutcome | None:
    """How a try ended; None if it has not, yet."""
    found = services.store.pending.peek("attempt", _attempt_name(session_id, attempt))
    if found is None:
        return None
    return LoginOutcome(**{**found, "missing_scopes": tuple(found["missing_scopes"])})


def _attempt_name(session_id: str, attempt: str) -> str:
    return f"{session_id} {attempt}"


def report_outcome(
    services: Services, integration: str, user_id: str, code: str = "", reason: str = ""
) -> None:
    """Write one log record for a try to connect, and tell those who listen.

    Args:
        services: whose events are `connected` and `connect_failed`.
        integration: the name that was asked for; it need not be declared. "" where nobody knows.
        user_id: whose connection it is to be.
        code: why there is none, one of `errors.CONNECT_CODES`; "" where there is one.
        reason: more of it, for developers; no credential.
    """
    declared = services.configuration.integrations.get(integration)
    logger = LOGGER if declared is None else get_logger(declared.name, declared.log_level)
    facts = {
        "integration": printable(integration),
        "user_id": printable(user_id),
        "what": CONNECT_FAILED if code else CONNECTED,
        "code": code,
        "reason": printable(reason, 300),
    }
    line = "%(integration)s %(user_id)s %(what)s" if integration else "%(what)s"
    line += (": %(code)s" if code else "") + (" (%(reason)s)" if reason else "")
    logger.log(LEVELS.get(code, logging.WARNING), line, facts, extra={"nango": facts})
    if integration and services.events.has_listeners(facts["what"]):
        now = services.store.microseconds() / 1_000_000
        said = ": ".join(part for part in (code, facts["reason"]) if part)
        services.events.emit(Event(facts["what"], now, integration, user_id, "", "", reason=said))
