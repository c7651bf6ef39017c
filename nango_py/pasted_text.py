"""Text that people copy and paste: what is copied along by accident, and what cannot be stored or sent."""

from __future__ import annotations

import unicodedata

_INVISIBLE = "Cf"
"""Characters without width, such as the marks of direction around what is copied from a dialog of Windows."""

_ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"
_SEPARATORS = frozenset({"Zl", "Zp"})
_LINE_CHARACTERS = frozenset("\n\t\r")


def strip_pasted(text: str) -> str:
    """The text without surrounding white space and invisible characters."""
    start, end = 0, len(text)
    while start < end and _is_surrounding(text[start]):
        start += 1
    while start < end and _is_surrounding(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_surrounding(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) == _INVISIBLE


def find_unusable(text: str, *, is_multiline: bool = False, is_name: bool = False) -> str:
    """What the text contains that no key or setting does, such as "a line break"; "" if nothing.

    Args:
        text: the text.
        is_multiline: whether line breaks and tabs are allowed, as in PEM.
        is_name: whether people read it, so that it may hold marks of direction, as Arabic and Hebrew do.
    """
    if text.isascii() and text.isprintable():
        return ""
    for char in text:
        category = unicodedata.category(char)
        if category == "Cs":
            return "half of a surrogate pair"
        if char in _LINE_CHARACTERS:
            if not is_multiline:
                return "a tab" if char == "\t" else "a line break"
        elif category == "Cc":
            return "a control character"
        elif is_multiline:
            continue
        elif category == _INVISIBLE and (not is_name or char in _ZERO_WIDTH):
            return "an invisible character"
        elif category in _SEPARATORS:
            return "a line break"
    return ""


def has_surrogate(text: str) -> bool:
    """Whether the text contains half of a surrogate pair, which UTF-8 cannot encode."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
