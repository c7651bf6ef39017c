"""What may be stored: identities that both databases keep as they are, and values that JSON can say."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nango_py.errors import StorageError, printable
from nango_py.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_NAME = 1024
DEEPEST = 50


def check_identity(integration: str, user_id: str) -> None:
    """Refuse names that one of the databases would not keep literally.

    Raises:
        StorageError: not text, empty, longer than 1024 bytes as UTF-8, or with a NUL or half a
            surrogate pair.
    """
    for name, value in (("integration", integration), ("user_id", user_id)):
        reason = _name_fault(value)
        if reason:
            raise StorageError(f"{name} {reason}; expected text of 1 to {LONGEST_NAME} bytes without NUL")


def check_type(name: str, value: object, kinds: type | tuple[type, ...], expected: str) -> None:
    """Refuse an argument of another type by a message that says what it is and what to give instead.

    Raises:
        TypeError: the value is of none of these kinds.
    """
    if not isinstance(value, kinds):
        raise TypeError(f"{name} is of type {type(value).__name__}; expected {expected}")


def _name_fault(value: Any) -> str:
    if not isinstance(value, str):
        return f"is of type {type(value).__name__}"
    if not value:
        return "is empty"
    if "\0" in value:
        return "holds a NUL character"
    # Text is at most four bytes a character: most names need not be encoded to be measured.
    if value.isascii():
        return "is too long" if len(value) > LONGEST_NAME else ""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "holds half of a surrogate pair"
    return "is too long" if size > LONGEST_NAME else ""


def to_json(value: Any, name: str) -> Secret:
    """The mapping as JSON text, wrapped so that it cannot show in a traceback.

    Args:
        value: a mapping; Secrets inside it are opened.
        name: the argument's name, for messages.

    Raises:
        StorageError: a key is not text, or a value is none of text, finite number, true, false, null,
            list or mapping. The message names its place and type, never the value.
    """
    if not isinstance(value, Mapping):
        raise StorageError(f"{name} cannot be stored: expected a mapping, found {type(value).__name__}")
    fault = _fault(value, name, DEEPEST)
    if fault:
        raise StorageError(f"{fault}; expected text, finite numbers, true, false, null, lists and mappings")
    return Secret(json.dumps(value, default=_opened, separators=(",", ":"), allow_nan=False))


def _opened(value: Any) -> Any:
    # What json does not know itself has passed _fault, so it is a Secret or a mapping.
    return value.reveal() if isinstance(value, Secret) else dict(value)


def _fault(value: Any, place: str, depth: int) -> str:
    """Why the value cannot be stored, with the place, or ""."""
    if isinstance(value, str | Secret | bool | int | None):
        return ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"{place} cannot be stored: it is not a finite number"
    if not isinstance(value, Mapping | list | tuple):
        return f"{place} cannot be stored: it is of type {type(value).__name__}"
    if depth == 0:
        return f"{place} cannot be stored: it is nested deeper than {DEEPEST} levels"
    return next(filter(None, _faults_inside(value, place, depth - 1)), "")


def _faults_inside(value: Any, place: str, depth: int) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield from (_fault(item, f"{place}[{index}]", depth) for index, item in enumerate(value))
        return
    for key, item in value.items():
        if isinstance(key, str):
            yield _fault(item, f"{place}.{printable(key)}", depth)
        else:
            yield f"{place} cannot be stored: a key is of type {type(key).__name__}, not text"
