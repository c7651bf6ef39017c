"""Query strings and bodies encoded as `requests` does, without its cost for the usual shapes."""

from __future__ import annotations

import json as jsonlib
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote_plus

from nango_py.errors import InvalidRequest
from nango_py.transport.file_body import FileBody
from nango_py.transport.multipart import encode_files

if TYPE_CHECKING:
    from nango_py.transport.sendable import Body

_MAPPINGS = (dict, Mapping)
"""A check for the first is faster, and most are of it."""

Pairs = tuple[tuple[str, str], ...]
"""Query parameters in the order they are sent, before encoding."""

FORM = "application/x-www-form-urlencoded"


def to_pairs(params: object) -> Pairs:
    """The pairs of a call's `params`; a parameter whose value is None is left out.

    Raises:
        InvalidRequest: `params` is not a mapping, a sequence of pairs or a query string.
    """
    if not params:
        return ()
    if isinstance(params, bytes):
        params = to_param_text(params)
    if isinstance(params, str):
        parts = [part.partition("=") for part in params.lstrip("?").split("&") if part]
        return tuple([(_unquote(name), _unquote(value)) for name, _, value in parts])
    items: Iterable[object]
    if isinstance(params, _MAPPINGS):
        items = params.items()
    else:
        items = params if isinstance(params, Iterable) else (params,)
    pairs: list[tuple[str, str]] = []
    for item in items:
        if not isinstance(item, tuple | list) or len(item) != 2:  # noqa: PLR2004 - a pair
            raise InvalidRequest("params must be a mapping, pairs of name and value, or a query string")
        name, value = item
        if type(name) is str and type(value) is str:
            pairs.append((name, value))
            continue
        if isinstance(value, str | int | float | bytes) or not isinstance(value, Iterable):
            value = (value,)
        pairs.extend((to_param_text(name), to_param_text(one)) for one in value if one is not None)
    return tuple(pairs)


def pairs_by_name(pairs: Pairs) -> dict[str, str | list[str]]:
    """Query parameters by name; a list if a name occurs more than once."""
    params: dict[str, str | list[str]] = {}
    for name, value in pairs:
        known = params.get(name)
        if known is None:
            params[name] = value
        else:
            params[name] = [*known, value] if isinstance(known, list) else [known, value]
    return params


def to_param_text(value: object) -> str:
    """A name or value as text; bytes are UTF-8.

    Raises:
        InvalidRequest: the bytes are not, or Python cannot write the value.
    """
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError:
        reason = "must be text, or bytes in UTF-8"
    except ValueError:  # Python writes no integers of thousands of digits
        reason = f"cannot be written as text: {type(value).__name__}"
    except RecursionError:
        reason = "cannot be written as text: nested too deeply"
    raise InvalidRequest(f"params and form fields {reason}")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    raise InvalidRequest("the text has an unpaired surrogate, which UTF-8 cannot encode")


def encode_pairs(pairs: Pairs) -> str:
    """The pairs as `application/x-www-form-urlencoded` (blanks as +)."""
    try:
        return "&".join([f"{_quote(name)}={_quote(value)}" for name, value in pairs])
    except UnicodeEncodeError:
        pass
    raise InvalidRequest("a parameter has an unpaired surrogate, which UTF-8 cannot encode")


def _unquote(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def _quote(text: str) -> str:
    return text if _UNRESERVED.fullmatch(text) else quote_plus(text)


_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*")
_URL_CHARACTERS = re.compile(r"[A-Za-z0-9_.~!#$&'()*+,/:;=?@[\]-]*")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def requote(text: str) -> str:
    """A part of a URL as it is written, with only the characters percent-encoded that must be."""
    if _URL_CHARACTERS.fullmatch(text):
        return text
    encoded = quote(_utf8(_STRAY_PERCENT.sub("%25", text)), safe="!#$%&'()*+,/:;=?@[]~")
    return encoded if isinstance(encoded, str) else ""


def encode_body(json: object, data: object, files: object) -> tuple[Body, str, bool]:
    """Body, content type, and whether the body can be sent again.

    Raises:
        InvalidRequest: the body cannot be encoded, or more than one was given.
    """
    if files:
        return encode_files(data, files)
    if json is not None:
        if data:
            raise InvalidRequest("give json= or data=, not both")
        return encode_json(json), "application/json", True
    # As in `requests`, an empty text or form is not a body.
    return encode_data(data) if data else (None, "", True)


def encode_json(value: object) -> bytes:
    """JSON in UTF-8.

    Raises:
        InvalidRequest: the value cannot be written as JSON (RFC 8259 has no NaN either).
    """
    try:
        return jsonlib.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        reason = type(error).__name__ + ": " + str(error)[:200]
    except RecursionError:
        reason = "it is nested too deeply"
    raise InvalidRequest(f"json= cannot be written as JSON: {reason}")


def encode_data(data: object) -> tuple[Body, str, bool]:
    """Body, content type, and whether it can be sent again, for `data=` of a call.

    Text and bytes are sent as they are, mappings and pairs as a form. Files are read while they are sent,
    from where they stand; those that can be rewound are sent with their length, and again if need be.
    Iterators are sent in chunks, once.
    """
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data), "", True
    if isinstance(data, str):
        return _utf8(data), "", True
    if isinstance(data, Mapping | list | tuple):
        return encode_pairs(to_pairs(data)).encode(), FORM, True
    stream: Any = data
    if hasattr(data, "read"):
        file = FileBody.of(stream)
        return (stream, "", False) if file is None else (file, "", True)
    if isinstance(data, Iterable):
        return stream, "", False
    raise InvalidRequest(
        f"data= must be text, bytes, a mapping, pairs, a file or an iterator, not {type(data).__name__}"
    )
