"""Why an account could not be connected, in words for the user and for the developer."""

from __future__ import annotations

from http import HTTPStatus

from nango_py.errors import ConfigError, ConnectFailed, NangoError
from nango_py.protocols.token_exchange import TokenRefused, TokenUnavailable

USER_ERRORS = frozenset({"E305", "E314", "E316", "E317"})
"""Problems with values that the user gave: a host, a text, a path, or a field of connection_config."""

NO_VALUE = "has no value"
"""What E314 says of a value that the form did not ask for. That is a mistake in the blueprint."""

UNREACHABLE = "the provider cannot be reached at the moment; please try again later"
UNUSABLE = "the provider sent an invalid response; please try again"

CHECK_CLIENT = (
    "check oauth_client_id, oauth_client_secret and authorization_method against the provider's app"
)
"""Advice for `invalid_client`, `unauthorized_client` and what else providers call it."""


class LoginFailed(Exception):
    """The account was not connected.

    Attributes:
        code: one of `errors.CONNECT_CODES`.
        message: for the user, without credentials and internals.
        reason: for the log, without credentials.
        cause: an error with more details, for developers.
        fields: an error message for each invalid field that the user filled in.
    """

    def __init__(
        self,
        code: str,
        message: str,
        reason: str = "",
        cause: NangoError | None = None,
        fields: dict[str, str] | None = None,
    ) -> None:
        self.code = code
        self.message = message
        self.reason = reason or message
        self.cause = cause
        self.fields = fields
        super().__init__(message)


def as_sentence(message: str) -> str:
    """An error message as a sentence for a page."""
    text = message[:1].upper() + message[1:]
    return text if text.endswith((".", "!", "?", ")")) else f"{text}."


LOGIN_ERRORS = (LoginFailed, TokenRefused, TokenUnavailable, NangoError)
"""What the steps of a login raise. `explain_failure` accepts all of them."""


def explain_failure(error: Exception, *, by_user: bool) -> LoginFailed:
    """What an error means to the user who tried to connect.

    Args:
        error: one of LOGIN_ERRORS.
        by_user: whether invalid settings were entered by the user rather than sent by the provider.
    """
    error = error.with_traceback(None)  # frames hold credentials
    if isinstance(error, LoginFailed):
        return error
    if isinstance(error, ConnectFailed):
        return LoginFailed(error.code, str(error), fields=error.fields)
    if isinstance(error, TokenRefused):
        word = f" ({error.code})" if error.code else ""
        advice = f"; {CHECK_CLIENT}" if "client" in error.code else ""
        message = f"the provider refused to complete the login{word}"
        return LoginFailed("exchange_failed", message, f"{error}{advice}")
    if isinstance(error, TokenUnavailable):
        temporary = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
        if error.status in temporary or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return LoginFailed("unavailable", UNREACHABLE, str(error))
        return LoginFailed("exchange_failed", UNUSABLE, str(error))
    if isinstance(error, ConfigError):
        return _explain_config_error(error, by_user=by_user)
    message = "the connection cannot be saved at the moment; please try again later"
    return LoginFailed("unavailable", message, str(error), error if isinstance(error, NangoError) else None)


def _explain_config_error(error: ConfigError, *, by_user: bool) -> LoginFailed:
    is_about_values = all(
        problem.code in USER_ERRORS and NO_VALUE not in problem.what for problem in error.problems
    )
    if by_user and is_about_values:
        fields = {}
        for problem in error.problems:
            name, _, what = problem.what.removeprefix("additional_config.").partition(" ")
            if problem.code == "E317":
                fields[name] = ", ".join(filter(None, (what, problem.expected)))
        message = "these settings are not valid: " + "; ".join(problem.what for problem in error.problems)
        return LoginFailed("invalid_credentials", message, str(error), error, fields)
    if is_about_values:
        message = "the provider did not send everything that the connection needs"
        return LoginFailed("exchange_failed", message, str(error), error)
    message = "this login is not fully set up; the developers of this product find the details in their log"
    return LoginFailed("misconfigured", message, str(error), error)
