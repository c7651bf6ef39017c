"""Every error that nango_py raises, and whose fault each one is.

    NangoError
      ConfigError              a file or setting is wrong; found before any request is sent
      UnknownIntegration       nothing of that name is declared in integrations.yaml
      UnknownBlueprint         no blueprint of that name and version
      UnknownAction            no action of that name for the integration
      ConnectionNotFound       nothing is stored for (integration, user_id)
      ConnectionAlreadyExists  register_connection was called twice for (integration, user_id)
      CredentialsError         the user's credentials are malformed, or were refused for good
      RequestFailed            a call ended without a response that the caller may use
        InvalidRequest         the call cannot be made: its path, a header or its body; also a ValueError
        TransportFailed        the API was never reached, or its response was lost half way
        RateLimited            waiting any longer was not allowed; see retry_at
        DeadlineExceeded       the time allowed for the whole call is over
        ProviderError          the API answered with an error (raise_for_error, actions)
      StorageError             the connection store could not be read or written
        TamperError            a stored row was altered, moved, or written under another key
      ConnectFailed            a user's try to connect an account did not end in a connection

No message, argument, cause or context of these errors holds a credential.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Iterable


@record(order=True)
class Position:
    """A place in a file; line and column count from 1, and 0 means the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """The form that editors and terminals make clickable."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@record
class Problem:
    """One thing that is wrong in a file: where, what, and how to mend it.

    `what` never repeats the value of a secret field.
    """

    position: Position
    code: str
    what: str
    expected: str = ""
    help: str = ""

    def __str__(self) -> str:
        """One line: `file:line:column: error[CODE]: what; expected; help`."""
        kind = "warning" if self.code.startswith("W") else "error"
        text = "; ".join(part for part in (self.what, self.expected, self.help) if part)
        return f"{self.position}: {kind}[{self.code}]: {text}"


class NangoError(Exception):
    """The root of all errors of this package."""

    # The package's own errors carry no sender's frames: they are made outside `except` blocks, so
    # that neither __cause__ nor __context__ keeps a library's message with a URL in it.


class ConfigError(NangoError):
    """A file or a setting is wrong. Nothing was sent and nothing was stored.

    Attributes:
        problems: every problem that was found, sorted by place.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(problems, key=lambda problem: problem.position))
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class UnknownNameError(NangoError):
    """A name was not found; the message offers the nearest known ones."""

    kind = "name"

    def __init__(self, name: str, known: Iterable[str] = (), *, hint: str = "") -> None:
        self.name = name
        self.known = tuple(known)
        self.hint = hint
        super().__init__(unknown_name(self.kind, name, self.known, hint))

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled_name, (type(self), self.name, self.known, self.hint)


def _unpickled_name(
    cls: type[UnknownNameError], name: str, known: tuple[str, ...], hint: str
) -> UnknownNameError:
    return cls(name, known, hint=hint)


class UnknownIntegration(UnknownNameError):
    """Nothing of that name is declared in integrations.yaml."""

    kind = "integration"


class UnknownBlueprint(UnknownNameError):
    """No blueprint of that name and version can be found."""

    kind = "blueprint"


class UnknownAction(UnknownNameError):
    """The integration has no action of that name."""

    kind = "action"


class ConnectionNotFound(NangoError):
    """Nothing is stored for this integration and user."""

    def __init__(self, integration: str, user_id: str) -> None:
        self.integration = integration
        self.user_id = user_id
        super().__init__(
            f'no connection of user "{printable(user_id)}" for integration "{printable(integration)}"; '
            "register one with register_connection()"
        )

    def __reduce__(self) -> tuple[type[ConnectionNotFound], tuple[str, str]]:
        return type(self), (self.integration, self.user_id)


class ConnectionAlreadyExists(NangoError):
    """A connection of this integration and user is stored already; it was left as it was."""

    def __init__(self, integration: str, user_id: str) -> None:
        self.integration = integration
        self.user_id = user_id
        super().__init__(
            f'integration "{printable(integration)}" already has a connection of "{printable(user_id)}"; '
            "register with replace=True, change it with update_connection_credentials(), or delete it first"
        )

    def __reduce__(self) -> tuple[type[ConnectionAlreadyExists], tuple[str, str]]:
        return type(self), (self.integration, self.user_id)


class CredentialsError(NangoError):
    """The user's credentials do not fit the auth mode, or were refused for good.

    Attributes:
        integration: the integration they belong to.
        user_id: the user they belong to.
    """

    def __init__(self, message: str, *, integration: str = "", user_id: str = "") -> None:
        self.integration = integration
        self.user_id = user_id
        super().__init__(message)


class RequestFailed(NangoError):
    """A call ended without a response that the caller may use.

    Attributes:
        plan: the request that was made or was to be made; its secrets are masked when printed.
        attempts: one masked record for each time the request was sent.
        response: the last response, where there was one.
    """

    def __init__(
        self, message: str, *, plan: Any = None, attempts: tuple[Any, ...] = (), response: Any = None
    ) -> None:
        self.plan = plan
        self.attempts = attempts
        self.response = response
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        # A plan holds credentials, so a pickled error keeps its sentence and its numbers only.
        kept = {
            name: value for name, value in vars(self).items() if name not in {"plan", "attempts", "response"}
        }
        return _unpickled, (type(self), str(self), kept)


def _unpickled(cls: type[RequestFailed], message: str, kept: dict[str, Any]) -> RequestFailed:
    error = cls.__new__(cls)
    RequestFailed.__init__(error, message)
    vars(error).update(kept)
    return error


class InvalidRequest(RequestFailed, ValueError):
    """The call cannot be made as asked: the path leaves the API, or a header or body is not one."""


class TransportFailed(RequestFailed):
    """The API was never reached, or its response was lost half way.

    Attributes:
        reason: one of the words of docs/retries.md, such as connect, timeout, reset, truncated, tls.
    """

    def __init__(self, message: str, *, reason: str = "", **details: Any) -> None:
        self.reason = reason
        super().__init__(message, **details)


class RateLimited(RequestFailed):
    """The next allowed moment lies beyond what the call may wait.

    Attributes:
        retry_at: when a call may be made again, in unix seconds.
        window: the window or gate that is closed, in the words of the blueprint.
    """

    def __init__(self, message: str, *, retry_at: float = 0.0, window: str = "", **details: Any) -> None:
        self.retry_at = retry_at
        self.window = window
        super().__init__(message, **details)


class DeadlineExceeded(RequestFailed):
    """The time allowed for the whole call, waits included, is over."""


class ProviderError(RequestFailed):
    """The API answered with an error, read as the blueprint's `errors` say.

    Attributes:
        status: the HTTP status.
        code: the API's own error code, or "".
        provider_message: the API's own sentence, or "".
    """

    def __init__(
        self, message: str, *, status: int = 0, code: str = "", provider_message: str = "", **details: Any
    ) -> None:
        self.status = status
        self.code = code
        self.provider_message = provider_message
        super().__init__(message, **details)


class StorageError(NangoError):
    """The connection store could not be read or written; nothing was half done."""


class TamperError(StorageError):
    """A stored row was altered, moved to another connection, or written under another key."""


CONNECT_CODES = {
    "session_invalid": 401,
    "session_expired": 401,
    "not_allowed": 403,
    "unknown_integration": 404,
    "too_many": 429,
    "busy": 503,
    "state_invalid": 400,
    "wrong_issuer": 400,
    "access_denied": 400,
    "provider_error": 400,
    "exchange_failed": 502,
    "unavailable": 503,
    "invalid_credentials": 422,
    "refused": 422,
    "missing_scope": 422,
    "misconfigured": 500,
}
"""What a ConnectFailed may say, and the HTTP status that goes with it."""


class ConnectFailed(NangoError):
    """A user's try to connect an account did not end in a connection.

    The message may be shown to that user: it holds no credential and nothing that only you should know.

    Attributes:
        code: one of CONNECT_CODES.
        status: the HTTP status that goes with it.
        fields: for `invalid_credentials`, what is wrong with which field.
    """

    def __init__(self, code: str, message: str, *, fields: dict[str, str] | None = None) -> None:
        self.code = code
        self.status = CONNECT_CODES[code]
        self.fields = dict(fields or {})
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled_connect, (self.code, str(self), self.fields)


def _unpickled_connect(code: str, message: str, fields: dict[str, str]) -> ConnectFailed:
    return ConnectFailed(code, message, fields=fields)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that `name` most likely stands for, or "" when none is near."""
    import difflib

    known = list(known)
    by_folded = {candidate.casefold(): candidate for candidate in known}
    if name.casefold() in by_folded:
        return by_folded[name.casefold()]
    found = difflib.get_close_matches(name.casefold(), list(by_folded), n=1, cutoff=0.7)
    return by_folded[found[0]] if found else ""


def unknown_name(kind: str, name: str, known: Iterable[str], hint: str = "") -> str:
    """The sentence for a name that is not known: what, the nearest one, where to look."""
    known = list(known)
    near = nearest(name, known)
    parts = [f'no {kind} "{printable(name)}"']
    if near:
        parts.append(f'did you mean "{near}"?')
    elif known:
        parts.append("known: " + ", ".join(sorted(known)[:10]))
    if hint:
        parts.append(hint)
    return "; ".join(parts)


def printable(text: str, limit: int = 100) -> str:
    """Text from outside, safe inside one line of a message: controls and bidi marks are escaped."""
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[: limit + 1])
    return shown if len(text) <= limit else shown[:limit] + "..."
