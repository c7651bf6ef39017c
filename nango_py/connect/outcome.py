"""How an attempt to connect ended: for the page, the log and event listeners."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from nango_py.engine.events import Event
from nango_py.engine.log import get_logger
from nango_py.errors import NangoError, printable
from nango_py.record import field, field_names, record

if TYPE_CHECKING:
    from nango_py.json_types import JsonObject
    from nango_py.protocols.after_login import Choice
    from nango_py.services import Services

OUTCOME_SECONDS = 600.0
"""How long a page may ask how an attempt ended."""

CONNECTED, CONNECT_FAILED = "connected", "connect_failed"
LOGGER = logging.getLogger("nango_py.connect")
LEVELS = {
    "": logging.INFO,
    "access_denied": logging.INFO,
    "needs_choice": logging.INFO,
    "state_invalid": logging.INFO,  # anyone can send a request to a callback
    "misconfigured": logging.ERROR,
}
"""Log levels by code; a warning for all others."""


@record
class LoginOutcome:
    """How a login ended. It holds no credential and may be shown to the user.

    Attributes:
        ok: whether the connection is stored.
        origin: the page that receives the result; "" for those of `config.connect_origins`.
        attempt: the page's own name for this attempt, or "".
        code: one of `errors.CONNECT_CODES`, "" on success.
        message: a sentence for the user, "" on success. It may quote the provider: show it as text.
        missing_scopes: scopes that were requested and not granted.
        language: of the session, or "".
        choice: with the code `needs_choice`, what to choose from.
        ticket: with a choice, the secret with which `Logins.finish_choice` goes on.
    """

    ok: bool
    integration: str
    user_id: str
    origin: str = ""
    attempt: str = ""
    code: str = ""
    message: str = ""
    missing_scopes: tuple[str, ...] = ()
    language: str = ""
    choice: Choice | None = None
    ticket: str = field(default="", repr=False)

    def to_json(self) -> JsonObject:
        """What pages learn, whether they are sent it or ask for it."""
        return {
            "integration": self.integration,
            "code": self.code,
            "message": self.message,
            "missing_scopes": list(self.missing_scopes),
        }


def save_outcome(services: Services, session_id: str, outcome: LoginOutcome) -> None:
    """Keep an outcome for pages that lost contact with the login window."""
    names = (name for name in field_names(LoginOutcome) if name not in {"choice", "ticket"})
    values = {name: getattr(outcome, name) for name in names}
    with suppress(NangoError):  # the window reports it too
        values["attempt"] = outcome.attempt.encode("utf-8", "replace").decode()  # the page's word
        name = f"{session_id} {outcome.attempt}"
        services.store.pending.put("attempt", name, session_id, values, OUTCOME_SECONDS)


def find_outcome(services: Services, session_id: str, attempt: str) -> LoginOutcome | None:
    """How an attempt ended, or None if it has not ended."""
    values = services.store.pending.peek("attempt", f"{session_id} {attempt}")
    if values is None:
        return None
    return LoginOutcome(**{**values, "missing_scopes": tuple(values["missing_scopes"])})


def report_outcome(
    services: Services, integration: str, user_id: str, code: str = "", reason: str = ""
) -> None:
    """Log an attempt to connect, and emit `connected` or `connect_failed`.

    Args:
        services: holds the event listeners.
        integration: the requested name, which need not be declared; "" if it is unknown.
        user_id: the owner of the connection.
        code: why it failed, one of `errors.CONNECT_CODES`; "" on success.
        reason: details for developers, without credentials.
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
        text = ": ".join(part for part in (code, facts["reason"]) if part)
        services.events.emit(Event(facts["what"], now, integration, user_id, "", "", reason=text))
