"""The arguments of a call, and their checks."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from nango_py.config.request_match import RequestFacts
from nango_py.config.template.filters import TemplateProblem
from nango_py.engine.request_encoding import pairs_by_name, to_pairs
from nango_py.errors import InvalidRequest, unknown_name
from nango_py.record import field_names, record

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypedDict

    Timeout = float | tuple[float | None, float | None] | None

    class DownloadOptions(TypedDict, total=False):
        """The keyword arguments of `Executor.download`; see `Call`."""

        params: object
        headers: Mapping[str, str | None] | None
        json: object
        data: object
        body: object
        files: object
        timeout: Timeout
        idempotency_key: str | None

    class CallOptions(DownloadOptions, total=False):
        """The keyword arguments of a call; see `Call`."""

        stream: bool
        max_response_bytes: int | None

    class RequestOptions(CallOptions, total=False):
        """The keyword arguments of `Executor.request`."""

        raise_for_error: bool
        deadline_seconds: float | None


Value = TypeVar("Value")

MAX_TIMEOUT = 3600
_TIMEOUT = f"timeout must be seconds > 0 and <= {MAX_TIMEOUT}, or a pair of them: (connect, read)"


@record
class Call:
    """The arguments of `executor.request`, named as in `requests`.

    Attributes:
        path: below base_url; may have a query.
        body: a mapping, sent in the format that the blueprint says: as JSON or as a form.
        timeout: seconds for one attempt: a number (for connecting and for each read), or (connect, read);
            None, also within the pair, for the blueprint's.
        idempotency_key: sent where the blueprint's `idempotency` says, the same on every attempt.
        stream: leave the body on the socket until the caller reads it.
        max_response_bytes: maximum size of the decoded body, 0 for no limit; the blueprint's by default.
        base: the name of a base of `requests.bases`; "" lets the blueprint decide.
    """

    method: str
    path: str
    params: object = None
    headers: Mapping[str, str | None] | None = None
    json: object = None
    data: object = None
    files: object = None
    body: object = None
    timeout: Timeout = None
    idempotency_key: str | None = None
    stream: bool = False
    max_response_bytes: int | None = None
    base: str = ""


def make_call(method: str, path: str, options: Mapping[str, Any]) -> Call:
    """The arguments of a call.

    Raises:
        TypeError: there is no option with that name; the message suggests the nearest.
    """
    for name in options:
        if name not in OPTIONS:
            raise TypeError(unknown_name("option", name, (*OPTIONS, "raise_for_error", "deadline_seconds")))
    return Call(method, path, **options)


OPTIONS = tuple(name for name in field_names(Call) if name not in {"method", "path", "base"})
"""The names of the keyword arguments of a call."""


def facts_of(call: Call, config: Mapping[str, object]) -> RequestFacts:
    """What a `match` looks at, before the request is made; `config` is the connection's additional_config."""
    path, _, written = call.path.partition("?")
    pairs = (*to_pairs(written.partition("#")[0]), *to_pairs(call.params))
    return RequestFacts(call.method.upper(), path.strip("/"), pairs_by_name(pairs), content_of(call), config)


def content_of(call: Call) -> object:
    """The body of a call before encoding, if it is JSON or a form; else None."""
    if call.json is not None:
        return call.json
    if call.body is not None:
        return call.body
    return call.data if call.data and isinstance(call.data, Mapping) else None


def run_check(check: Callable[..., Value], *args: str) -> Value:
    """Run a check of the caller's input; its problem becomes an InvalidRequest without a context."""
    try:
        return check(*args)
    except TemplateProblem as error:
        problem = error
    parts = (f"[{problem.code}] {problem.what}", problem.expected, problem.help)
    raise InvalidRequest("; ".join(part for part in parts if part))


def check_call(call: Call) -> None:
    """Check the arguments of a call.

    Raises:
        InvalidRequest: one has the wrong type. The message does not show its value.
    """
    _check("method", call.method, str, "text such as GET")
    _check("path", call.path, str, "text below the base URL")
    if call.headers is not None:
        _check("headers", call.headers, Mapping, "a mapping of names to values")
        for name, value in call.headers.items():
            _check("the name of a header", name, (str, bytes), "text")
            _check("a header", value, (str, bytes, int, float, type(None)), "text, or None to leave it out")
    if call.timeout is not None:
        _check_timeout(call.timeout)
    if call.idempotency_key is not None:
        _check("idempotency_key", call.idempotency_key, str, "text")
    limit = call.max_response_bytes
    if limit is not None:
        _check("max_response_bytes", limit, int, "a number of bytes, or 0 for no limit")
        if limit < 0 or isinstance(limit, bool):
            raise InvalidRequest("max_response_bytes must be a number of bytes, or 0 for no limit")


def check_deadline(seconds: object) -> None:
    """Check the deadline of a call.

    Raises:
        InvalidRequest: it is not a number of seconds.
    """
    if seconds is not None and not _is_number(seconds):
        raise InvalidRequest(f"deadline_seconds must be a number of seconds, not {type(seconds).__name__}")


def _check(name: str, value: object, types: type | tuple[type, ...], expected: str) -> None:
    if not isinstance(value, types):
        raise InvalidRequest(f"{name} must be {expected}, not {type(value).__name__}")


def _check_timeout(timeout: object) -> None:
    pair = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    if len(pair) != 2 or not all(map(_is_timeout, pair)):  # noqa: PLR2004 - a pair
        raise InvalidRequest(_TIMEOUT)


def _is_timeout(value: Any) -> bool:
    return value is None or (
        isinstance(value, int | float) and _is_number(value) and 0 < value <= MAX_TIMEOUT
    )


def _is_number(value: object) -> bool:
    """Whether it is a number, neither NaN nor too large for a float."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return value in {math.inf, -math.inf} or -sys.float_info.max <= value <= sys.float_info.max
