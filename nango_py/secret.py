"""Secrets that cannot print, and the masking of texts that other libraries write.

Structure comes first: our own records and errors are built without secrets. Masking by value is the
second line, for what urllib3 and others log while one of our calls is under way.
"""

from __future__ import annotations

import base64
import contextvars
import functools
import json
import logging
import re
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar
from urllib.parse import quote, quote_plus

from nango_py.errors import NangoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MASK = "***"

Given = ParamSpec("Given")
Result = TypeVar("Result")


def without_frames(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """The function, for one that takes secrets: its NangoErrors have no frames in which they stand.

    Error trackers show what frames hold, and these errors say all there is to know.
    """

    @functools.wraps(function)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except NangoError as error:
            failed = error.with_traceback(None)
        del args, kwargs
        raise failed

    return call


# A shorter value would turn a log into stars; it is kept out of texts by structure alone.
SHORTEST_MASKED = 6


class Secret:
    """A text that shows itself only to who asks with `reveal()`.

    It has no useful repr, str, format, iteration or pickle, so it does not end up in a log,
    a traceback with locals, an error tracker or a cache by accident.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself."""
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

        mine, its = (text.encode("utf-8", "surrogatepass") for text in (self._value, other._value))
        return hmac.compare_digest(mine, its)

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: Any) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled; store credentials with register_connection()")


def reveal(value: Any) -> Any:
    """The value with every Secret inside it opened: mappings and lists are copied."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, dict) or hasattr(value, "items"):
        return {key: reveal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [reveal(item) for item in value]
    return value


def conceal(value: Any) -> Any:
    """The value with every text inside it made a Secret."""
    if isinstance(value, str):
        return Secret(value)
    if isinstance(value, dict):
        return {key: conceal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(conceal(item) for item in value)
    return value


def spellings(value: str) -> set[str]:
    """The forms in which a secret turns up in texts: raw, percent-encoded, base64, JSON, repr."""
    forms = {value, quote(value, safe=""), quote(value), quote_plus(value), quote(value, safe="~()*!.'")}
    forms |= {form.replace("%2F", "%2f").replace("%3D", "%3d") for form in forms}
    forms |= {re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in forms}
    forms |= {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    forms |= {form.replace("/", "\\/") for form in tuple(forms)}  # as PHP writes JSON
    raw = value.encode("utf-8", "surrogatepass")
    forms |= {repr(raw)[2:-1]}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        forms |= {encode(raw).decode(), encode(raw).decode().rstrip("=")}
    return {form for form in forms if len(form) >= SHORTEST_MASKED}


@functools.lru_cache(maxsize=2048)
def _pattern(values: frozenset[str]) -> re.Pattern[str] | None:
    forms = {form for value in values for form in spellings(value)}
    if not forms:
        return None
    return re.compile("|".join(sorted(map(re.escape, forms), key=len, reverse=True)))


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text with every spelling of every secret replaced by `***`."""
    pattern = _pattern(frozenset(value for value in secrets if len(value) >= SHORTEST_MASKED))
    return pattern.sub(MASK, text) if pattern else text


# The secrets of the call that runs in this thread or task. Set while a request is under way.
live_secrets: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar(
    "nango_live_secrets", default=()
)


EVERYTHING = "\0 everything"
"""As the last of `live_secrets`: what libraries write meanwhile is not shown at all."""


class MaskingFilter(logging.Filter):
    """Masks the secrets of the running call in records of a logger, arguments and traceback included."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True: a record is changed, never dropped."""
        secrets = live_secrets.get()
        if secrets and secrets[-1] is EVERYTHING:
            record.msg, record.args, record.exc_info, record.exc_text = "a token call", (), None, None
        elif secrets:
            record.msg = masked(record.getMessage(), secrets)
            record.args = ()
            if record.exc_info and not record.exc_text:
                record.exc_text = logging.Formatter().formatException(record.exc_info)
            if record.exc_text:
                record.exc_text = masked(record.exc_text, secrets)
                record.exc_info = None
        return True


# A filter works on the logger that a record is made on and not on its children, so each is named.
MASKED_LOGGERS = (
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.response",
    "urllib3.util.retry",
    "urllib3.util.ssl_",
    "requests",
    "backoff",
    "httpx2",
    "httpcore2.connection",
    "httpcore2.http11",
    "httpcore2.proxy",
    "charset_normalizer",
)

MASKING_FILTER = MaskingFilter()


def mask_library_loggers() -> None:
    """Put the masking filter on the loggers of the libraries under us; harmless when repeated."""
    for name in MASKED_LOGGERS:
        logging.getLogger(name).addFilter(MASKING_FILTER)
