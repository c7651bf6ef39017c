"""What a tool returns to a language model: a result, or an error that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.errors import (
    ActionFailed,
    ActionInputError,
    ConnectionNotFound,
    CredentialsError,
    DeadlineExceeded,
    InvalidRequest,
    NangoError,
    ProviderError,
    RateLimited,
    TransportFailed,
    UnknownNameError,
    printable,
)
from nango_py.record import record
from nango_py.tools.pages import dump

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nango_py.actions.definition import ActionInfo
    from nango_py.errors import Problem
    from nango_py.json_types import JsonObject

MAX_MESSAGE = 2000
MAX_SHOWN_PROBLEMS = 10
MAYBE_DONE = "It is not known whether the change was made. Do not call it again before you have looked."


@record
class ToolResult:
    """What to pass to the language model as the result of its tool call.

    Attributes:
        text: JSON, either `{"result": ...}` or `{"error": {"code": ..., "message": ...}}`.
        is_error: whether it is an error.
    """

    text: str
    is_error: bool = False

    def __str__(self) -> str:
        return self.text


def make_error(code: str, message: str, **details: object) -> ToolResult:
    """An error result."""
    error: JsonObject = {"code": code, "message": message[:MAX_MESSAGE]}
    error.update({name: value for name, value in details.items() if value})  # type: ignore[misc]  # JSON
    return ToolResult(dump({"error": error}), is_error=True)


def input_error(problems: Iterable[Problem]) -> ToolResult:
    """The error for arguments that do not fit their schema."""
    shown = [
        "; ".join(filter(None, (f"{problem.position.file}: {problem.what}", problem.expected, problem.help)))
        for problem in problems
    ]
    return make_error("invalid_input", "Nothing was sent.", problems=shown[:MAX_SHOWN_PROBLEMS])


def explain(
    error: Exception, info: ActionInfo, now: float, connect_url: Callable[[], str]
) -> ToolResult | None:
    """The error result of an action that failed; None if the program is wrong, and not the call.

    Args:
        error: what it raised. Messages of NangoError hold no credential; those of others are not shown.
        info: the action.
        now: the time, in unix seconds.
        connect_url: makes a link with which the user can connect.
    """
    cause = (error.cause or error) if isinstance(error, ActionFailed) else error
    if isinstance(cause, ActionInputError):
        return input_error(cause.problems)
    if isinstance(cause, ConnectionNotFound):
        return needs_login("not_connected", info.integration, connect_url())
    if isinstance(cause, CredentialsError):
        return needs_login("login_expired", info.integration, connect_url())
    if isinstance(cause, ProviderError):
        text = cause.provider_message or f"{info.integration} returned the error status {cause.status}"
        maybe = MAYBE_DONE if cause.status >= 500 and not info.is_read else ""  # noqa: PLR2004 - server errors
        return make_error(
            "refused", printable(text, MAX_MESSAGE), status=cause.status, provider_code=cause.code, hint=maybe
        )
    if isinstance(cause, RateLimited):
        seconds = max(1, round(cause.retry_at - now)) if cause.retry_at else None
        return make_error("rate_limited", "The quota of the API is used up.", retry_after_seconds=seconds)
    if isinstance(cause, InvalidRequest):
        return make_error("invalid_request", str(cause))
    if isinstance(cause, DeadlineExceeded | TransportFailed):
        text = f"{info.integration} did not respond." if isinstance(cause, TransportFailed) else str(cause)
        return make_error("no_response", text, hint="" if info.is_read else MAYBE_DONE)
    if isinstance(cause, ActionFailed):
        return make_error("failed", str(cause), hint="" if info.is_read else MAYBE_DONE)
    if isinstance(cause, UnknownNameError):
        return make_error("unknown_action", str(cause))
    return None


def needs_login(code: str, integration: str, url: str) -> ToolResult:
    """The error for a connection that is missing, or whose login has ended."""
    again = "" if code == "not_connected" else " again"
    text = f"The user has to connect {integration}{again}."
    if url:
        text += " Show the user connect_url as a link; call the action again when the user has connected."
    return make_error(code, text, connect_url=url)


def internal_error(error: Exception) -> ToolResult:
    """The error for what is wrong with the program, not with the call; its log says more."""
    kind = type(error).__name__ if isinstance(error, NangoError) else "unexpected"
    return make_error(
        "internal_error", f"The action could not be run ({kind}); the log of the server says more."
    )
