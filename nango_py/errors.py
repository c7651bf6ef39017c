"""All errors that nango_py raises.

    NangoError
      ConfigError              a file or setting is invalid; found before any request is sent
      UnknownIntegration       integrations.yaml does not declare an integration with that name
      UnknownBlueprint         there is no blueprint with that name and version
      UnknownAction            the integration has no action with that name
      ConnectionNotFound       no connection is stored for (integration, user_id)
      ConnectionAlreadyExists  register_connection was called twice for (integration, user_id)
      ActionInputError         the input of an action does not fit its schema; nothing was sent
      ActionFailed             an action raised an exception, or one of its calls failed; see cause
      CredentialsError         the user's credentials are malformed, or the provider rejected them permanently
      RequestFailed            a call ended without a response that the caller can use
        InvalidRequest         the path, a header or the body is invalid; also a ValueError
        TransportFailed        the API was unreachable, or the connection was lost during the response
        RateLimited            the call would have had to wait longer than allowed; see retry_at
        DeadlineExceeded       the time allowed for the whole call is over
        ProviderError          the API returned an error response (raise_for_error, actions)
      StorageError             the connection store could not be read or written
        TamperError            a stored row was altered, moved, or written under another key
      JobNotFound              no job has that id, or it ended long ago
      TapeError                the calls of a test are not those of its tape, or the tape cannot be used
      ConnectFailed            a user's attempt to connect an account failed

No message, argument, cause or context of these errors contains a credential.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


MAX_PROBLEMS = 100
"""Maximum number of problems of a ConfigError. Checks stop when they have found more."""


@record(order=True)
class Position:
    """A place in a file; line and column count from 1, and 0 means the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """The form that editors and terminals make clickable; control characters are escaped."""
        file = self.file if self.file.isprintable() else printable(self.file, len(self.file))
        return f"{file}:{self.line}:{self.column}" if self.line else file


@record
class Problem:
    """One problem in a file: where it is, what is wrong, what was expected, and how to fix it.

    `what` never contains the value of a secret field.
    """

    position: Position
    code: str
    what: str
    expected: str = ""
    help: str = ""

    @property
    def is_warning(self) -> bool:
        """Whether the file is used in spite of it."""
        return self.code.startswith("W")

    def __str__(self) -> str:
        """One line: `file:line:column: error[CODE]: what; expected; help`."""
        kind = "warning" if self.is_warning else "error"
        text = "; ".join(part for part in (self.what, self.expected, self.help) if part)
        return f"{self.position}: {kind}[{self.code}]: {text}"


class NangoError(Exception):
    """Base class of all errors of this package.

    They are raised outside of `except` blocks, so that neither `__cause__` nor `__context__` keeps another
    library's message with a URL in it.

    Attributes:
        call_id: the id of the call in log records and events; "" if it was not raised by a call.
    """

    call_id = ""

    def __reduce__(self) -> tuple[object, ...]:
        return _unpickle, (type(self), self.args, self._picklable_attributes())

    def _picklable_attributes(self) -> Mapping[str, object]:
        return vars(self)


def _unpickle(
    cls: type[NangoError], args: tuple[object, ...], attributes: Mapping[str, object]
) -> NangoError:
    error = cls.__new__(cls, *args)
    vars(error).update(attributes)
    return error


class ConfigError(NangoError):
    """A file or a setting is invalid. Nothing was sent and nothing was stored.

    Attributes:
        problems: the problems that were found, sorted by position; of more than 100 the first ones, and a
            last one (E013) that says so.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        found = sorted(problems, key=lambda problem: problem.position)
        if len(found) > MAX_PROBLEMS:
            end = Problem(Position(found[-1].position.file), "E013", f"more than {MAX_PROBLEMS} problems")
            found[MAX_PROBLEMS:] = [end]
        self.problems: tuple[Problem, ...] = tuple(found)
        super().__init__("\n".join(map(str, self.problems)))


class UnknownNameError(NangoError):
    """There is nothing with that name; the message suggests the nearest known one."""

    kind = "name"

    def __init__(self, name: str, known: Iterable[str] = (), *, hint: str = "") -> None:
        self.name = name
        self.known = tuple(known)
        self.hint = hint
        super().__init__(unknown_name(self.kind, name, self.known, hint))


class UnknownIntegration(UnknownNameError):
    """integrations.yaml does not declare an integration with that name."""

    kind = "integration"


class UnknownBlueprint(UnknownNameError):
    """There is no blueprint with that name and version."""

    kind = "blueprint"


class UnknownAction(UnknownNameError):
    """The integration has no action with that name."""

    kind = "action"


class ConnectionNotFound(NangoError):
    """No connection is stored for this integration and user."""

    def __init__(self, integration: str, user_id: str) -> None:
        self.integration = integration
        self.user_id = user_id
        super().__init__(
            f'no connection of user "{printable(user_id)}" for integration "{printable(integration)}"; '
            "register one with register_connection()"
        )


class ConnectionAlreadyExists(NangoError):
    """A connection of this integration and user is already stored; it was left unchanged."""

    def __init__(self, integration: str, user_id: str) -> None:
        self.integration = integration
        self.user_id = user_id
        super().__init__(
            f'user "{printable(user_id)}" already has a connection for "{printable(integration)}"; '
            "register with replace=True, change it with update_connection_credentials(), or delete it first"
        )


class CredentialsError(NangoError):
    """The user's credentials do not fit the auth mode, or the provider rejected them permanently.

    Attributes:
        integration: the integration of the connection, or "".
        user_id: the user of the connection, or "".
    """

    def __init__(self, message: str, *, integration: str = "", user_id: str = "") -> None:
        self.integration = integration
        self.user_id = user_id
        super().__init__(message)


class RequestDetails(TypedDict, total=False):
    """Keyword arguments that every RequestFailed takes; see its attributes."""

    plan: object
    attempts: tuple[object, ...]
    response: object
    call_id: str


class RequestFailed(NangoError):
    """A call ended without a response that the caller can use.

    Attributes:
        plan: the request; its secrets are masked when printed.
        attempts: one masked record for each attempt.
        response: the last response, or None.
    """

    def __init__(self, message: str, **details: Unpack[RequestDetails]) -> None:
        self.plan: Any = details.get("plan")
        self.attempts: tuple[Any, ...] = details.get("attempts", ())
        self.response: Any = details.get("response")
        self.call_id = details.get("call_id", "")
        super().__init__(message)

    def _picklable_attributes(self) -> Mapping[str, object]:
        # A plan contains credentials, so a pickled error keeps only its message and its numbers.
        return {**vars(self), "plan": None, "attempts": (), "response": None}


class InvalidRequest(RequestFailed, ValueError):
    """The call is invalid: its path leaves the API, or a header or the body is malformed."""


class TransportFailed(RequestFailed):
    """The API was unreachable, or the connection was lost during the response.

    Attributes:
        reason: one of the words in docs/retries.md, such as connect, timeout, reset, truncated, tls.
    """

    def __init__(self, message: str, *, reason: str = "", **details: Unpack[RequestDetails]) -> None:
        self.reason = reason
        super().__init__(message, **details)


class RateLimited(RequestFailed):
    """The call would have had to wait longer for its quota than allowed.

    Attributes:
        retry_at: when the next call is allowed, in unix seconds.
        window: the window or gate that is closed, as the blueprint writes it.
    """

    def __init__(
        self, message: str, *, retry_at: float = 0.0, window: str = "", **details: Unpack[RequestDetails]
    ) -> None:
        self.retry_at = retry_at
        self.window = window
        super().__init__(message, **details)


class DeadlineExceeded(RequestFailed):
    """The time allowed for the whole call, including waits, is over."""


class ProviderError(RequestFailed):
    """The API returned an error response, parsed as the blueprint's `errors` section says.

    Attributes:
        status: the HTTP status.
        code: the API's own error code, or "".
        provider_message: the API's own message, or "".
        place: what the error is about in a GraphQL request: a field, or a line of the query; or "".
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        provider_message: str = "",
        **details: Unpack[RequestDetails],
    ) -> None:
        self.status = status
        self.code = code
        self.provider_message = provider_message
        self.place = ""
        super().__init__(message, **details)


class ActionInputError(NangoError, ValueError):
    """The input of an action does not fit its schema. Nothing was sent.

    Attributes:
        integration: the integration that was called.
        action: the name of the action.
        problems: the problems that were found; `position.file` is the place in the input, such as
            `input.email`. Values are not shown.
    """

    def __init__(self, integration: str, action: str, problems: Iterable[Problem]) -> None:
        self.integration = integration
        self.action = action
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(f"{integration} {action}: {problem}" for problem in self.problems))

    def __reduce__(self) -> tuple[object, ...]:
        return ActionInputError, (self.integration, self.action, self.problems)


class ActionFailed(NangoError):
    """An action raised an exception, one of its calls failed, or its result cannot be used.

    The message and `cause` hold no credential of the connection.

    Attributes:
        integration: the integration that was called.
        action: the name of the action.
        user_id: the user of the connection.
        execution_id: the id of this execution, in each of its log records and events.
        call_ids: the calls that it made, in order.
        cause: the error of nango_py that ended it, such as ProviderError or RateLimited; None for an
            exception of the action's own code.
        cause_type: the name of the exception's class.
    """

    def __init__(self, message: str, **details: Unpack[ActionDetails]) -> None:
        self.integration = details.get("integration", "")
        self.action = details.get("action", "")
        self.user_id = details.get("user_id", "")
        self.execution_id = details.get("execution_id", "")
        self.call_ids = details.get("call_ids", ())
        self.cause = details.get("cause")
        self.cause_type = details.get("cause_type", "")
        self.call_id = self.cause.call_id if self.cause is not None else ""
        super().__init__(message)


class ActionDetails(TypedDict, total=False):
    """Keyword arguments of ActionFailed; see its attributes."""

    integration: str
    action: str
    user_id: str
    execution_id: str
    call_ids: tuple[str, ...]
    cause: NangoError | None
    cause_type: str


class StorageError(NangoError):
    """The connection store could not be read or written; no change was stored partially."""


class TamperError(StorageError):
    """A stored row was altered, moved to another connection, or written under another key."""


class JobNotFound(NangoError):
    """No job has that id; ended jobs are deleted after some days."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f'no job has the id "{printable(job_id)}"; ended jobs are deleted after some days')


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
    "needs_choice": 422,
    "invalid_credentials": 422,
    "refused": 422,
    "missing_scope": 422,
    "wrong_settings": 422,
    "misconfigured": 500,
}
"""The codes of ConnectFailed, and the HTTP status of each."""


class TapeError(NangoError):
    """A tape of recorded calls cannot be used, or the calls of a test are not those of the tape."""


class ConnectFailed(NangoError):
    """A user's attempt to connect an account failed.

    The message may be shown to that user: it contains no credential and no internal detail.

    Attributes:
        code: one of CONNECT_CODES.
        status: the HTTP status of that code.
        fields: for `invalid_credentials`, what is wrong with each field.
    """

    def __init__(self, code: str, message: str, *, fields: dict[str, str] | None = None) -> None:
        self.code = code
        self.status = CONNECT_CODES[code]
        self.fields = dict(fields or {})
        super().__init__(message)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that was most likely meant, or "" if none is similar."""
    import difflib

    by_folded = {candidate.casefold(): candidate for candidate in known}
    if name.casefold() in by_folded:
        return by_folded[name.casefold()]
    folded = name.casefold()
    matches = difflib.get_close_matches(folded, list(by_folded), n=1, cutoff=0.7)
    # Longer names have much in common by chance, such as code_param and token_params.
    is_meant = bool(matches) and (matches[0][0] == folded[:1] or _is_close(folded, matches[0]))
    return by_folded[matches[0]] if is_meant else ""


def _is_close(name: str, other: str) -> bool:
    import difflib

    return difflib.SequenceMatcher(None, other, name).ratio() >= 0.8  # noqa: PLR2004 - one letter in five


def unknown_name(kind: str, name: str, known: Iterable[str], hint: str = "") -> str:
    """The message for an unknown name: the name, the nearest known one or the known ones, and the hint."""
    known = list(known)
    near = nearest(name, known)
    parts = [f'unknown {kind} "{printable(name)}"']
    if near:
        parts.append(f'did you mean "{near}"?')
    elif known:
        parts.append("known: " + ", ".join(sorted(known)[:10]))
    if hint:
        parts.append(hint)
    return "; ".join(parts)


CUT = "..."
"""The end of a text that was cut."""


def printable(text: str, limit: int = 100) -> str:
    """Untrusted text for one line of a message: control and bidirectional characters are escaped."""
    escaped = text[: limit + 1]
    if not escaped.isprintable():
        escaped = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in escaped)
    return escaped if len(text) <= limit else escaped[:limit] + CUT
