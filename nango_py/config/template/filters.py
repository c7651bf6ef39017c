"""The values that stand in `${...}`: how they become text, and the filters that may change them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from nango_py.secret import Secret


class TemplateProblem(Exception):
    """Something in a template, or a value for one, is wrong. No value is ever part of it.

    Attributes:
        code: E301 to E320.
        offset: characters from the start of the template's text; 0 when nothing closer is known.
    """

    def __init__(self, code: str, what: str, *, expected: str = "", hint: str = "", offset: int = 0) -> None:
        self.code = code
        self.what = what
        self.expected = expected
        self.help = hint
        self.offset = offset
        super().__init__("; ".join(part for part in (what, expected, hint) if part))


class Absent:
    """What a name stands for when its variable has no value."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


def is_absent(value: Any) -> bool:
    """Whether there is no value: the variable is missing, or it is null."""
    return value is None or isinstance(value, Absent)


def is_true(value: Any) -> bool:
    """Whether `or` and `if` take the value: it is there, and not empty, zero or false."""
    return not is_absent(value) and bool(value)


def to_text(value: Any, name: str) -> str:
    """The value as it stands in the rendered text: texts as they are, numbers and booleans as in JSON.

    Raises:
        TemplateProblem: there is no value, or it is a list or a mapping.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    problem = _no_text(value, name)
    del value
    raise problem


def _no_text(value: Any, name: str) -> TemplateProblem:
    if is_absent(value):
        name = value.name if isinstance(value, Absent) else name
        return TemplateProblem(
            "E314",
            f'the variable "{name}" has no value',
            hint=f'give one, or write ${{{name} | default("...")}}',
        )
    kind = "a mapping" if isinstance(value, Mapping) else "a list" if isinstance(value, list | tuple) else ""
    if kind:
        return TemplateProblem(
            "E314", f'"{name}" is {kind}, not a text', hint="use the filter tojson or join"
        )
    return TemplateProblem("E314", f'"{name}" is neither a text nor a finite number')


def utf8(text: str, name: str) -> bytes:
    """The text in UTF-8; a text with half a surrogate pair is a TemplateProblem."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    del text
    raise TemplateProblem("E314", f'"{name}" is not valid Unicode text')


def percent_encoded(text: str, name: str) -> str:
    """The text with everything but letters, digits and `-._~` percent-encoded (RFC 3986 2.3)."""
    return quote(utf8(text, name), safe="")


def _plain(value: Any) -> Any:
    """The value as `json.dumps` takes it."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _tojson(value: Any, name: str) -> str:
    import json

    if isinstance(value, Absent):
        return to_text(value, name)
    try:
        return json.dumps(_plain(value), separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        pass
    del value
    raise TemplateProblem("E314", f'"{name}" cannot be written as JSON')


def _join(value: Any, name: str, separator: str = "") -> str:
    if isinstance(value, list | tuple):
        return separator.join([to_text(item, name) for item in value])
    if is_absent(value):
        return to_text(value, name)
    del value
    raise TemplateProblem("E314", f'"{name}" is not a list, so "join" does not work on it')


def _base64(value: Any, name: str) -> str:
    import base64

    return base64.b64encode(utf8(to_text(value, name), name)).decode()


def _sha256(value: Any, name: str) -> str:
    import hashlib

    return hashlib.sha256(utf8(to_text(value, name), name)).hexdigest()


def _hmac(algorithm: str) -> Callable[..., str]:
    def signed(value: Any, name: str, key: str) -> str:
        import hmac

        return hmac.new(utf8(key, name), utf8(to_text(value, name), name), algorithm).hexdigest()

    return signed


def _lower(value: Any, name: str) -> str:
    return to_text(value, name).lower()


def _upper(value: Any, name: str) -> str:
    return to_text(value, name).upper()


def _trim(value: Any, name: str) -> str:
    return to_text(value, name).strip()


def _urlencode(value: Any, name: str) -> str:
    return percent_encoded(to_text(value, name), name)


# name -> the function (value, name of the variable, arguments as text), fewest and most arguments.
# `default` stands apart: it alone is asked when there is no value, and its argument may be any value.
FILTERS: Mapping[str, tuple[Callable[..., str], int, int]] = {
    "lower": (_lower, 0, 0),
    "upper": (_upper, 0, 0),
    "trim": (_trim, 0, 0),
    "urlencode": (_urlencode, 0, 0),
    "base64": (_base64, 0, 0),
    "string": (to_text, 0, 0),
    "join": (_join, 0, 1),
    "tojson": (_tojson, 0, 0),
    "sha256": (_sha256, 0, 0),
    "hmac_sha1": (_hmac("sha1"), 1, 1),
    "hmac_sha256": (_hmac("sha256"), 1, 1),
}
FILTER_NAMES = ("default", *FILTERS)
