"""Secrets that do not print, and masking of what other libraries log.

The first defence is structure: our own records and errors are built without secrets. Masking by value is the
second, for what urllib3 and others log while one of our calls is in flight.
"""

from __future__ import annotations

import base64
import contextvars
import functools
import json
import logging
import re
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar
from urllib.parse import quote, quote_plus, unquote

from nango_py.errors import CUT, NangoError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable

MASK = "***"

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


_INSIDE = sys.stdlib_module_names | {
    "nango_py", "urllib3", "requests", "httpx2", "httpcore2", "h11", "h2", "aiohttp", "anyio", "yarl",
    "multidict", "jwt", "cryptography", "psycopg", "psycopg_pool", "redis", "jmespath", "starlette",
}  # fmt: skip
"""Top-level packages whose frames may hold a rendered request or a credential."""


def strip_frames(error: BaseException) -> BaseException:
    """The same error without the frames of this package and of the libraries that it calls.

    Error trackers show the locals of frames. The frames of others, such as those of a caller's upload or
    callback, stay. So do the errors that the caller was handling. To be used outside of `except`.
    """
    outer = sys.exception()
    seen, waiting = {id(outer)}, [error]
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        current.__traceback__ = _outside(current.__traceback__)
        # An error of a library may quote the URL of a request; one that a caller's code raised stays.
        if not _is_kept(current.__cause__, outer):
            current.__cause__ = None
        if not _is_kept(current.__context__, outer):
            current.__context__ = None
        waiting += filter(None, (current.__cause__, current.__context__))
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions
    return error


def strip_all(error: BaseException) -> BaseException:
    """The same error without any frame, cause or context."""
    error.__cause__ = error.__context__ = error.__traceback__ = None
    return error


def _is_kept(error: BaseException | None, outer: BaseException | None) -> bool:
    # Our own errors hold no secret.
    return (
        error is None
        or error is outer
        or isinstance(error, NangoError)
        or bool(_outside(error.__traceback__))
    )


def _outside(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames of packages inside."""
    kept = []
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0] not in _INSIDE:
            kept.append(trace)
        trace = trace.tb_next
    following = None
    for trace in reversed(kept):
        following = TracebackType(following, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
    return following


def without_frames(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorator for functions that handle secrets: no frame of an error that they raise shows one."""

    @functools.wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - raised again
            failure = error
        del args, kwargs
        try:
            raise strip_frames(failure)
        finally:
            del failure

    return call


async def await_without_frames(steps: Coroutine[Any, Any, Result]) -> Result:
    """The result of the steps; no frame of an error that they raise shows a secret."""
    try:
        return await steps
    except BaseException as error:  # noqa: BLE001 - raised again
        failure = error
    del steps
    try:
        raise strip_frames(failure)
    finally:
        del failure


# Masking shorter values would turn logs into stars; only the structure keeps them out.
MIN_MASKED_LENGTH = 6


class Unpicklable:
    """Base class of objects that contain secrets and must not end up in a cache or queue."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} contains secrets and cannot be pickled")


class Secret(Unpicklable):
    """Text that is only accessible through `reveal()`.

    It has no useful repr, str, format, iteration or pickle, so that it does not end up in a log, a traceback
    with locals, an error tracker or a cache by accident.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        import hmac

        left, right = (text.encode("utf-8", "surrogatepass") for text in (self._value, other._value))
        return hmac.compare_digest(left, right)

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self


def reveal(value: object) -> Any:
    """A copy of the value with every Secret inside it replaced by its text."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {key: reveal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [reveal(item) for item in value]
    return value


def conceal(value: object) -> Any:
    """A copy of the value with every text inside it replaced by a Secret."""
    if isinstance(value, str):
        return Secret(value)
    if isinstance(value, dict):
        return {key: conceal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(conceal(item) for item in value)
    return value


def spellings(value: str) -> set[str]:
    """The forms in which a secret appears in texts: raw, percent-encoded, base64, JSON, HTML, repr."""
    raw = value.encode("utf-8", "surrogatepass")
    forms = {value, quote(raw, safe=""), quote(raw), quote_plus(raw), quote(raw, safe="~()*!.'")}
    forms |= {form.replace("%2F", "%2f").replace("%3D", "%3d") for form in forms}
    forms |= {re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in forms}
    forms |= {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    forms |= {form.replace("/", "\\/") for form in tuple(forms)}  # PHP escapes slashes in JSON
    forms |= {repr(raw)[2:-1]}
    forms |= {value.translate(escapes) for escapes in _ESCAPES}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        forms |= {encode(raw).decode(), encode(raw).decode().rstrip("=")}
    return {form for form in forms if len(form) >= MIN_MASKED_LENGTH}


_ESCAPES = tuple(
    {ord(character): form.format(ord(character)) for character in characters}
    for characters, form in (
        ("<>&", r"\u{:04x}"),  # JSON by Go
        ("<>&='", r"\u{:04x}"),  # by Gson
        ("<>&'\"", r"\u{:04X}"),  # by PHP
        ("<>&'\"+`", r"\u{:04X}"),  # by .NET
    )
) + tuple(
    str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", **quotes})
    for quotes in (
        {},
        {'"': "&quot;", "'": "&#x27;"},
        {'"': "&quot;", "'": "&#39;"},
        {'"': "&#34;", "'": "&#39;"},
    )
)
"""What is escaped in JSON that may stand in HTML, and in HTML, by the usual libraries."""


@functools.lru_cache(maxsize=512)
def _forms(values: frozenset[str]) -> dict[str, dict[int, set[str]]]:
    """Every spelling of the values, by its first characters and its length, longest first."""
    forms: dict[str, dict[int, set[str]]] = {}
    spelled = {form for value in values for form in spellings(value)}
    for form in sorted(spelled, key=len, reverse=True):
        forms.setdefault(form[:MIN_MASKED_LENGTH], {}).setdefault(len(form), set()).add(form)
    return forms


def mask_secrets(text: str, secrets: Iterable[str]) -> str:
    """The text with every spelling of every secret replaced by `***`, also one that `printable` cut.

    Its time grows with the text, not with the number of secrets.
    """
    forms = _forms(frozenset(value for value in secrets if len(value) >= MIN_MASKED_LENGTH))
    if not forms:
        return text
    parts, shown, at = [], 0, 0
    last = len(text) - MIN_MASKED_LENGTH
    while at <= last:
        by_length = forms.get(text[at : at + MIN_MASKED_LENGTH])
        found = 0
        if by_length is not None:
            found = next((n for n, same in by_length.items() if text[at : at + n] in same), 0)
            found = found or _length_of_part(text, at, by_length)
        if found:
            parts += [text[shown:at], MASK]
            shown = at = at + found
        else:
            at += 1
    return "".join((*parts, text[shown:])) if parts else text


def _length_of_part(text: str, at: int, by_length: Mapping[int, set[str]]) -> int:
    """The length of the beginning of a secret before "..."; 0 if there is none."""
    end = text.find(CUT, at + MIN_MASKED_LENGTH, at + max(by_length) + len(CUT))
    part = text[at:end]
    is_part = end > 0 and any(form.startswith(part) for same in by_length.values() for form in same)
    return len(part) if is_part else 0


def leaves(value: object, skip: tuple[str, ...] = ()) -> list[str]:
    """Every text in nested values, except those under the names to skip."""
    if isinstance(value, Mapping):
        return [leaf for key, item in value.items() if key not in skip for leaf in leaves(item, skip)]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in leaves(item, skip)]
    return [value] if isinstance(value, str) else []


NOT_SECRET = ("expires_at", "token_type", "scope", "username", "raw")
"""Credentials that are not masked; of `raw`, the token endpoint's whole response, only what is secret."""

_SECRET_NAME = re.compile(
    r"token|secret|password|assertion|key|private|credential|session|cookie|jwt|signature|code", re.IGNORECASE
)
_TOKEN = re.compile(r"[\x21-\x7e]{16,}")
_URL = re.compile(r"https?://[^?#@]*")


def secret_leaves(credentials: Mapping[str, object], secret_names: Collection[str] = ()) -> list[str]:
    """Every text of credentials that must not be shown.

    Of `raw`, those whose name or form is that of a token: a response also has plain words, names and URLs.

    Args:
        credentials: as plain values.
        secret_names: what the integration calls secret, whatever its name.
    """
    skipped = tuple(name for name in NOT_SECRET if name == "raw" or name not in secret_names)
    return [*leaves(credentials, skipped), *_token_leaves(credentials.get("raw"), is_named=False)]


def _token_leaves(value: object, *, is_named: bool) -> list[str]:
    if isinstance(value, Mapping):
        return [
            leaf
            for key, item in value.items()
            if key not in NOT_SECRET
            for leaf in _token_leaves(item, is_named=is_named or bool(_SECRET_NAME.search(str(key))))
        ]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _token_leaves(item, is_named=is_named)]
    if not isinstance(value, str):
        return []
    return [value] if is_named or (_TOKEN.fullmatch(value) and not _URL.fullmatch(value)) else []


def mask_rare(text: str, secrets: Iterable[str]) -> str:
    """`mask_secrets` for texts that hardly ever contain a secret: it costs nothing if there is none."""
    plain = unquote(text) if "%" in text else text
    for value in secrets:
        if value in plain and len(value) >= MIN_MASKED_LENGTH:
            break
    else:
        return text
    masked = mask_secrets(text, secrets)
    return masked if masked != text else MASK  # an unusual encoding


# The secrets of the call in this thread or task. Set while a request is in flight.
live_secrets: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar(
    "nango_live_secrets", default=()
)


EVERYTHING = "\0 everything"
"""As the last of `live_secrets`: replaces the libraries' log records altogether."""


class MaskingFilter(logging.Filter):
    """Masks the secrets of the current call in log records, including arguments and tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True: records are changed, never dropped. Never raises."""
        secrets = live_secrets.get()
        if not secrets:
            return True
        try:
            self._mask(record, secrets)
        except Exception:  # noqa: BLE001 - a library's log must not end a call
            record.msg, record.args, record.exc_info, record.exc_text = MASK, (), None, None
        return True

    @staticmethod
    def _mask(record: logging.LogRecord, secrets: tuple[str, ...]) -> None:
        if secrets[-1] is EVERYTHING:
            record.msg, record.args, record.exc_info, record.exc_text = "a token request", (), None, None
            return
        record.msg = mask_secrets(record.getMessage(), secrets)
        record.args = ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = mask_secrets(record.exc_text, secrets)
            record.exc_info = None


# A filter applies to the records of its logger, but not to those of child loggers, so each one is listed.
MASKED_LOGGERS = (
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.response",
    "urllib3.util.retry",
    "urllib3.util.ssl_",
    "requests",
    "charset_normalizer",
)

MASKING_FILTER = MaskingFilter()


def mask_library_loggers() -> None:
    """Add the masking filter to the loggers of the libraries that we use; harmless when repeated."""
    for name in MASKED_LOGGERS:
        logging.getLogger(name).addFilter(MASKING_FILTER)
