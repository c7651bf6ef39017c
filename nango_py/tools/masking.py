"""Keeps credentials out of results: an API may send one back, as in an echo or a list of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from nango_py.secret import MASK, MIN_MASKED_LENGTH, mask_secrets, spellings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nango_py.json_types import JsonValue


def mask_result(value: JsonValue, secrets: Iterable[str]) -> JsonValue:
    """The value without any spelling of the secrets; the value itself if it has none."""
    known = frozenset(secret for secret in secrets if len(secret) >= MIN_MASKED_LENGTH)
    if not known:
        return value
    forms = {form for secret in known for form in spellings(secret)}
    text = "\n".join(_texts(value))
    decoded = unquote(text) if "%" in text else text
    if not any(form in text or form in decoded for form in forms):
        return value
    return _mask(value, known)


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _mask(value: JsonValue, secrets: frozenset[str]) -> JsonValue:
    if isinstance(value, str):
        return _mask_text(value, secrets)
    if isinstance(value, dict):
        return {_mask_text(key, secrets): _mask(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_mask(item, secrets) for item in value]
    return value


def _mask_text(text: str, secrets: frozenset[str]) -> str:
    masked = mask_secrets(text, secrets)
    if masked == text and "%" in text and mask_secrets(plain := unquote(text), secrets) != plain:
        return MASK  # an unusual percent-encoding
    return masked
