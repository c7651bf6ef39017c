"""How a login ends without a connection, in the user's words and in the developer's."""

from __future__ import annotations

from nango_py.errors import ConfigError, ConnectFailed, NangoError
from nango_py.protocols.token_exchange import TokenRefused, TokenUnavailable

USER_FAULTS = frozenset({"E305", "E314", "E316", "E317"})
"""Problems of values that the user gave: in a host, in a text, in a path, in a field of connection_config."""

NOT_ASKED = "has no value"
"""How E314 says that nobody asked for a value; that is the blueprint's fault."""

UNREACHABLE = "the provider cannot be reached at present; try again later"
UNUSABLE = "the provider's answer is of no use; try again"

_REQUEST_TIMEOUT, _TOO_MANY, _SERVER_ERROR = 408, 429, 500


class LoginFailed(Exception):
    """There will be no connection.

    Attributes:
        code: one of `errors.CONNECT_CODES`.
        message: for the user; no credential, and nothing that only the developer should know.
        reason: for the log; no credential either.
        cause: the error that says more, for developers.
        fields: what is wrong with which field that the user gave.
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


WRONG_CLIENT = "do oauth_client_id, oauth_client_secret and authorization_method fit the provider's app?"
"""What to do about `invalid_client`, `unauthorized_client` and what else providers call it."""

ENDINGS = (LoginFailed, TokenRefused, TokenUnavailable, NangoError)
"""What the steps of a login raise; `ended` says what each means."""


def explain_failure(error: Exception, *, by_user: bool) -> LoginFailed:
    """What an error means for whoever tried to connect.

    Args:
        error: one of ENDINGS.
        by_user: whether settings that do not fit are the user's own, and not the provider's answer.
    """
    error = error.with_traceback(None)  # frames hold what was exchanged
    if isinstance(error, LoginFailed):
        return error
    if isinstance(error, ConnectFailed):
        return LoginFailed(error.code, str(error), fields=error.fields)
    if isinstance(error, TokenRefused):
        word = f" ({error.word})" if error.word else ""
        hint = f"; {WRONG_CLIENT}" if "client" in error.word else ""
        why = f"the provider refused to finish the login{word}"
        return LoginFailed("exchange_failed", why, f"{error}{hint}")
    if isinstance(error, TokenUnavailable):
        return _without_token(error)
    if isinstance(error, ConfigError):
        return _misfit(error, by_user=by_user)
    what = "the connection cannot be stored at present; try again later"
    return LoginFailed("unavailable", what, str(error), error if isinstance(error, NangoError) else None)


def _without_token(error: TokenUnavailable) -> LoginFailed:
    if error.status in {_REQUEST_TIMEOUT, _TOO_MANY} or error.status >= _SERVER_ERROR:
        return LoginFailed("unavailable", UNREACHABLE, str(error))
    return LoginFailed("exchange_failed", UNUSABLE, str(error))


def _misfit(error: ConfigError, *, by_user: bool) -> LoginFailed:
    """Settings that do not fit: those that the user gave, or those of the product and the provider."""
    of_values = all(
        problem.code in USER_FAULTS and NOT_ASKED not in problem.what for problem in error.problems
    )
    if by_user and of_values:
        fields = {}
        for problem in error.problems:
            name, _, what = problem.what.removeprefix("additional_config.").partition(" ")
            if problem.code == "E317":
                fields[name] = ", ".join(filter(None, (what, problem.expected)))
        what = "these settings do not fit: " + "; ".join(problem.what for problem in error.problems)
        return LoginFailed("invalid_credentials", what, str(error), error, fields)
    if of_values:
        what = "the provider did not tell everything that the connection needs"
        return LoginFailed("exchange_failed", what, str(error), error)
    what = "this login is not set up completely; the product's developers find out more in their log"
    return LoginFailed("misconfigured", what, str(error), error)
