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
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar
from urllib.parse import quote, quote_plus, unquote

from nango_py.errors import NangoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MASK = "***"

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class FrameRemover:
    """Decorator for functions that take secrets: raises these errors without the frames that hold them.

    Error trackers show the locals of frames, and the errors themselves contain no secret.
    """

    def __init__(self, *errors: type[Exception]) -> None:
        self._errors = errors

    def __call__(self, function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        """The function, wrapped."""

        @functools.wraps(function)
        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            try:
                return function(*args, **kwargs)
            except self._errors as error:
                failure = error.with_traceback(None)
            del args, kwargs
            raise failure

        return call


without_frames = FrameRemover(NangoError)


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
    """The forms in which a secret appears in texts: raw, percent-encoded, base64, JSON, repr."""
    forms = {value, quote(value, safe=""), quote(value), quote_plus(value), quote(value, safe="~()*!.'")}
    forms |= {form.replace("%2F", "%2f").replace("%3D", "%3d") for form in forms}
    forms |= {re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in forms}
    forms |= {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    forms |= {form.replace("/", "\\/") for form in tuple(forms)}  # PHP escapes slashes in JSON
    raw = value.encode("utf-8", "surrogatepass")
    forms |= {repr(raw)[2:-1]}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        forms |= {encode(raw).decode(), encode(raw).decode().rstrip("=")}
    return {form for form in forms if len(form) >= MIN_MASKED_LENGTH}


@functools.lru_cache(maxsize=2048)
def _pattern(values: frozenset[str]) -> re.Pattern[str] | None:
    forms = {form for value in values for form in spellings(value)}
    if not forms:
        return None
    return re.compile("|".join(sorted(map(re.escape, forms), key=len, reverse=True)))


def mask_secrets(text: str, secrets: Iterable[str]) -> str:
    """The text with every spelling of every secret replaced by `***`."""
    pattern = _pattern(frozenset(value for value in secrets if len(value) >= MIN_MASKED_LENGTH))
    return pattern.sub(MASK, text) if pattern else text


def mask_rare(text: str, secrets: Iterable[str]) -> str:
    """`mask_secrets` for texts that hardly ever contain a secret: it costs nothing if there is none."""
    plain = unquote(text) if "%" in text else text
    if not any(value in plain for value in secrets if len(value) >= MIN_MASKED_LENGTH):
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
        """Always True: records are changed, never dropped."""
        secrets = live_secrets.get()
        if secrets and secrets[-1] is EVERYTHING:
            record.msg, record.args, record.exc_info, record.exc_text = "a token request", (), None, None
        elif secrets:
            record.msg = mask_secrets(record.getMessage(), secrets)
            record.args = ()
            if record.exc_info and not record.exc_text:
                record.exc_text = logging.Formatter().formatException(record.exc_info)
            if record.exc_text:
                record.exc_text = mask_secrets(record.exc_text, secrets)
                record.exc_info = None
        return True


# A filter applies to the records of its logger, but not to those of child loggers, so each one is listed.
MASKED_LOGGERS = (
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.response",
    "urllib3.util.retry",
    "urllib3.util.ssl_",
    "requests",
    "backoff",
    "charset_normalizer",
)

MASKING_FILTER = MaskingFilter()


def mask_library_loggers() -> None:
    """Add the masking filter to the loggers of the libraries that we use; harmless when repeated."""
    for name in MASKED_LOGGERS:
        logging.getLogger(name).addFilter(MASKING_FILTER)
