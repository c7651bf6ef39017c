"""One log record for each attempt, through the standard library, without a secret in it.

Logger `nango_py.integrations.<name>`; the record's `nango` attribute holds the same facts as a dict, for JSON
formatters. A level is set on that logger only where integrations.yaml says `log_level`, since a library does
not decide what its host prints.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from nango_py.errors import printable

if TYPE_CHECKING:
    from nango_py.attempt import Attempt
    from nango_py.connections.connection import Connection
    from nango_py.engine.plan import Plan

LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}
GOOD = frozenset({"return", "redirect"})

LINE = (
    "%(integration)s %(user_id)s %(method)s /%(endpoint)s -> %(outcome)s in %(milliseconds)d ms "
    "(attempt %(attempt)d, waited %(waited).3f s, %(bytes)d bytes; %(action)s by %(rule)s)"
)
DEBUG_LINE = LINE.replace("/%(endpoint)s", "%(url)s")


def get_logger(integration: str, log_level: str | None) -> logging.Logger:
    """The logger of an integration, at its own level where it has one."""
    logger = logging.getLogger(f"nango_py.integrations.{integration}")
    if log_level:
        logger.setLevel(LEVELS[log_level])
    return logger


def log_attempt(logger: logging.Logger, plan: Plan, attempt: Attempt) -> None:
    """Write an attempt: INFO where it brought the response, WARNING where it did not.

    At DEBUG the record shows the whole masked URL instead of the endpoint.
    """
    good = attempt.action in GOOD or (attempt.action == "fail" and 400 <= attempt.status < 500)  # noqa: PLR2004
    level = logging.INFO if good else logging.WARNING
    if not logger.isEnabledFor(level):
        return
    facts = attempt_fields(plan, attempt)
    line = LINE
    if logger.isEnabledFor(logging.DEBUG):
        facts["url"], line = printable(plan.masked_url(), 2000), DEBUG_LINE
    logger.log(
        level,
        line,
        facts,
        extra={"nango": facts},
    )


def log_token(logger: logging.Logger, connection: Connection, what: str, why: str) -> None:
    """Write what became of a token: INFO where it was renewed, WARNING where it was not."""
    level = logging.WARNING if why else logging.INFO
    if not logger.isEnabledFor(level):
        return
    facts = {
        "integration": connection.integration,
        "user_id": printable(connection.user_id),
        "what": what,
        "reason": printable(why, 300),
    }
    line = "%(integration)s %(user_id)s %(what)s" + (": %(reason)s" if why else "")
    logger.log(level, line, facts, extra={"nango": facts})


def attempt_fields(plan: Plan, attempt: Attempt) -> dict[str, Any]:
    """The facts of an attempt under the names that the log record uses."""
    connection = plan.settings.connection
    return {
        "integration": connection.integration,
        "user_id": printable(connection.user_id),
        "method": plan.method,
        "endpoint": printable(plan.endpoint, 500),
        "attempt": attempt.number,
        "outcome": attempt.status or attempt.reason,
        "status": attempt.status,
        "reason": attempt.reason,
        "milliseconds": attempt.seconds * 1000,
        "waited": attempt.waited,
        "bytes": attempt.received,
        "action": attempt.action,
        "rule": attempt.rule,
    }
