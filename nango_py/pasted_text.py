"""Text that people copy and paste: what is copied along by accident, and what cannot be stored or sent."""

from __future__ import annotations

import unicodedata

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
"""Characters without width that web pages and chats put around copied text."""

_LINE_CHARACTERS = frozenset("\n\t\r")


def strip_pasted(text: str) -> str:
    """The text without surrounding white space and invisible characters."""
    while (stripped := text.strip().strip(INVISIBLE)) != text:
        text = stripped
    return text


def find_unusable(text: str, *, is_multiline: bool = False) -> str:
    """What the text contains that no key or setting does, such as "a line break"; "" if nothing.

    Args:
        text: the text.
        is_multiline: whether line breaks and tabs are allowed, as in PEM.
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
        elif char in INVISIBLE and not is_multiline:
            return "an invisible character"
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
