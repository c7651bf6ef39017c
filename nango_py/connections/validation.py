"""What may be stored: names that both databases preserve exactly, and JSON values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nango_py.errors import StorageError, printable
from nango_py.pasted_text import has_surrogate
from nango_py.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_NAME_BYTES = 1024
MAX_DEPTH = 50
MAX_JSON_BYTES = 1 << 20
"""Maximum size of credentials, and of additional_config, as JSON: what every export can hold."""


def check_identity(integration: str, user_id: str) -> None:
    """Reject names that one of the databases would not preserve exactly.

    Raises:
        TypeError: not text.
        StorageError: empty, longer than 1024 bytes in UTF-8, or containing NUL or half of a
            surrogate pair.
    """
    for name, value in (("integration", integration), ("user_id", user_id)):
        if not isinstance(value, str):
            raise TypeError(f"{name} is of type {type(value).__name__}; expected text: str(user.id)")
        reason = _check_name(value)
        if reason:
            raise StorageError(f"{name} {reason}; expected text of 1 to {MAX_NAME_BYTES} bytes without NUL")


def _check_name(value: str) -> str:
    """What is wrong with the name, or ""."""
    if not value:
        return "is empty"
    if "\0" in value:
        return "contains a NUL character"
    # ASCII text need not be encoded to know its size.
    if value.isascii():
        return "is too long" if len(value) > MAX_NAME_BYTES else ""
    if has_surrogate(value):
        return "contains half of a surrogate pair"
    return "is too long" if len(value.encode()) > MAX_NAME_BYTES else ""


def to_json(value: object, name: str) -> Secret:
    """The mapping as JSON text, in a Secret so that it does not show in a traceback.

    Args:
        value: a mapping; Secrets inside it are revealed.
        name: the argument's name, for messages.

    Raises:
        StorageError: a key is not text, or a value is not a JSON value. The message names its place and type,
            never the value.
    """
    if not isinstance(value, Mapping):
        raise StorageError(f"{name} cannot be stored: expected a mapping, got {type(value).__name__}")
    return value_to_json(value, name)


def value_to_json(value: object, name: str) -> Secret:
    """Any JSON value as text; raises as `to_json`."""
    error = _find_error(value, name, MAX_DEPTH)
    if error:
        raise StorageError(f"{error}; expected text, finite numbers, true, false, null, lists and mappings")
    try:
        text = Secret(json.dumps(value, default=_reveal, separators=(",", ":"), allow_nan=False))
    except ValueError:  # Python writes no integers of thousands of digits
        text = None
    if text is None:
        raise StorageError(f"{name} cannot be stored: an integer has too many digits")
    check_size(text, name)
    return text


def check_size(text: Secret, name: str) -> None:
    """Raise a StorageError if a JSON text is too large to be stored, exported and imported."""
    size = len(text.reveal())  # of ASCII characters
    if size > MAX_JSON_BYTES:
        raise StorageError(f"{name} cannot be stored: {size} bytes as JSON; the maximum is {MAX_JSON_BYTES}")


def _reveal(value: Secret | Mapping[str, object]) -> str | dict[str, object]:
    # Called for what json cannot encode; _find_error lets only Secrets and mappings pass.
    return value.reveal() if isinstance(value, Secret) else dict(value)


def _find_error(value: object, place: str, depth: int) -> str:
    """Why the value cannot be stored, with the place, or ""."""
    if isinstance(value, bool | int | None):
        return ""
    if isinstance(value, str | Secret):
        is_broken = has_surrogate(value.reveal() if isinstance(value, Secret) else value)
        return f"{place} cannot be stored: it contains half of a surrogate pair" if is_broken else ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"{place} cannot be stored: it is not a finite number"
    if not isinstance(value, Mapping | list | tuple):
        return f"{place} cannot be stored: it is of type {type(value).__name__}"
    if depth == 0:
        return f"{place} cannot be stored: it is nested deeper than {MAX_DEPTH} levels"
    return next(filter(None, _find_errors_inside(value, place, depth - 1)), "")


def _find_errors_inside(
    value: Mapping[object, object] | Sequence[object], place: str, depth: int
) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield from (_find_error(item, f"{place}[{index}]", depth) for index, item in enumerate(value))
        return
    for key, item in value.items():
        if isinstance(key, str) and has_surrogate(key):
            yield f"{place} cannot be stored: a key contains half of a surrogate pair"
        elif isinstance(key, str):
            yield _find_error(item, f"{place}.{printable(key)}", depth)
        else:
            yield f"{place} cannot be stored: a key is of type {type(key).__name__}, not text"
