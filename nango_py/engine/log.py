"""One log record for each attempt and for the end of each call, and a call as text. No secret is in them.

The logger is `nango_py.integrations.<name>`; the record's `nango` attribute has the same fields as a dict,
for JSON formatters. A level is set on the logger only if integrations.yaml has `log_level`: a library does
not decide what its host prints.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nango_py.engine.patience import current_patience
from nango_py.errors import NangoError, RateLimited, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nango_py.attempt import Attempt, CallRecord
    from nango_py.connections.connection import Connection
    from nango_py.engine.plan import Plan
    from nango_py.transport.response import Response

LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}
GOOD = frozenset({"return", "redirect"})

LINE = (
    "%(integration)s %(user_id)s %(method)s /%(endpoint)s -> %(outcome)s in %(milliseconds)d ms "
    "(attempt %(attempt)d, waited %(waited).3f s, %(bytes)d bytes; %(action)s by %(rule)s)"
)
END_LINE = (
    "%(integration)s %(user_id)s %(method)s /%(endpoint)s ended: %(outcome)s "
    "(%(attempts)d attempts, %(seconds).3f s, call %(call)s)"
)
DEBUG_LINE = LINE.replace("/%(endpoint)s", "%(url)s")


def get_logger(integration: str, log_level: str | None) -> logging.Logger:
    """The logger of an integration, at its configured level if there is one."""
    logger = logging.getLogger(f"nango_py.integrations.{integration}")
    if log_level:
        logger.setLevel(LEVELS[log_level])
    return logger


def log_attempt(logger: logging.Logger, plan: Plan, attempt: Attempt) -> None:
    """Log an attempt: at INFO if it brought the response, else at WARNING.

    At DEBUG the record shows the whole masked URL instead of the endpoint.
    """
    is_for_caller = attempt.action == "fail" and 400 <= attempt.status < 500 and attempt.status != 429  # noqa: PLR2004
    is_good = attempt.action in GOOD or is_for_caller
    level = logging.INFO if is_good else logging.WARNING
    if not logger.isEnabledFor(level):
        return
    fields, line = attempt_fields(plan, attempt), LINE
    if logger.isEnabledFor(logging.DEBUG):
        fields["url"], line = printable(plan.masked_url(), 2000), DEBUG_LINE
    logger.log(level, line, fields, extra={"nango": fields})


def log_call(
    logger: logging.Logger,
    identity: tuple[str, str],
    method: str,
    endpoint: Callable[[], str],
    call: CallRecord,
    seconds: float,
    result: Response | BaseException,
) -> None:
    """Keep and log how a call ended: at ERROR if it failed, which a 404 does not, else at INFO.

    Args:
        logger: of the integration.
        identity: integration and user id.
        method: of the call.
        endpoint: returns its path, with secrets masked.
        call: the record of the call; its `ending` is set.
        seconds: from its beginning to its end.
        result: the response, or what is raised.
    """
    if isinstance(result, BaseException):
        # Other exceptions, such as those of signal handlers, may hold anything.
        text = f": {result}" if isinstance(result, NangoError) else ""
        # A job that waits for its quota is put back, and has not failed.
        is_put_back = isinstance(result, RateLimited) and current_patience() is not None
        outcome, is_failed = f"{type(result).__name__}{text}", not is_put_back
    else:
        last = call.attempts[-1]
        outcome = f"status {result.status_code}"
        is_failed = last.action == "fail" and (last.status >= 500 or last.status == 429)  # noqa: PLR2004
    call.ending = f"{outcome} after {seconds:.3f} s"
    level = logging.ERROR if is_failed else logging.INFO
    if not logger.isEnabledFor(level):
        return
    fields = {
        "integration": identity[0],
        "user_id": printable(identity[1]),
        "method": printable(method, 20),
        "endpoint": printable(endpoint(), 500),
        "call": call.call_id,
        "outcome": printable(outcome, 1000),
        "attempts": len(call.attempts),
        "seconds": seconds,
    }
    logger.log(level, END_LINE, fields, extra={"nango": fields})


def log_token(logger: logging.Logger, connection: Connection, what: str, why: str) -> None:
    """Log what happened to a token: at WARNING if there is a `why`, else at INFO."""
    level = logging.WARNING if why else logging.INFO
    if not logger.isEnabledFor(level):
        return
    fields = {
        "integration": connection.integration,
        "user_id": printable(connection.user_id),
        "what": what,
        "reason": printable(why, 300),
    }
    line = "%(integration)s %(user_id)s %(what)s" + (": %(reason)s" if why else "")
    logger.log(level, line, fields, extra={"nango": fields})


def attempt_fields(plan: Plan, attempt: Attempt) -> dict[str, object]:
    """The fields of an attempt's log record."""
    connection = plan.settings.connection
    return {
        "integration": connection.integration,
        "user_id": printable(connection.user_id),
        "method": plan.method,
        "endpoint": printable(plan.masked_endpoint(), 500),
        "attempt": attempt.number,
        "outcome": attempt.status or attempt.reason,
        "status": attempt.status,
        "reason": attempt.reason,
        "milliseconds": attempt.seconds * 1000,
        "waited": attempt.waited,
        "bytes": attempt.received,
        "action": attempt.action,
        "rule": attempt.rule,
        "closed": attempt.closed,
        "call": attempt.call_id,
    }


def explain(attempts: Sequence[Attempt], ending: str = "") -> str:
    """One line for each attempt: the outcome, the decision, and the rule that made it; last, the ending.

    >>> from nango_py.attempt import Attempt
    >>> print(explain([Attempt(number=1, status=200, seconds=0.012, action="return", rule="built-in: 200")]))
    attempt 1: 200 after 0.012 s -> return (built-in: 200)
    """
    lines = [*map(_explain_attempt, attempts)] or ["nothing was sent"]
    return "\n".join([*lines, ending] if ending else lines)


def _explain_attempt(attempt: Attempt) -> str:
    waited = f", waited {attempt.waited:.3f} s before" if attempt.waited else ""
    then = f" in {attempt.wait:.3f} s" if attempt.wait else ""
    closed = f"; paused: {attempt.closed}" if attempt.closed else ""
    return (
        f"attempt {attempt.number}: {attempt.status or attempt.reason} after {attempt.seconds:.3f} s{waited}"
        f" -> {attempt.action}{then} ({attempt.rule}){closed}"
    )
