"""The words of the connect page in each language. All of them are in `words.json`."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nango_py.connections.connect_sessions import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = Path(__file__).with_name("words.json")
MAX_RANGES = 20
_PLACE = re.compile(r"\{(\w+)\}")
_RANGE = re.compile(
    r"\s*([a-z]{1,8})(?:-[a-z0-9-]{1,35})?\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?", re.IGNORECASE
)


class Words:
    """The words of one language.

    Attributes:
        language: one of `LANGUAGES`.
        texts: by name; `{...}` are places for values.
    """

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        self.language = language
        self.texts = texts

    def __call__(self, name: str, **values: object) -> str:
        """The text of that name, with the values at their places. Values are not read for places."""
        return _PLACE.sub(lambda match: str(values.get(match[1], "")), self.texts[name])

    def describe_error(self, code: str, message: str, title: str) -> str:
        """An error for the user. English quotes `message`; other languages say what the code means."""
        name = f"error_{code}" if f"error_{code}" in self.texts else "error_other"
        return self(name, message=message, title=title)


@cache
def load_words(language: str) -> Words:
    """The words of one of `LANGUAGES`."""
    return Words(language, json.loads(FILE.read_text(encoding="utf-8"))[language])


def choose_words(accept_language: str, language: str = "") -> Words:
    """The words for a browser.

    Args:
        accept_language: its header (RFC 9110 12.5.4).
        language: the one that a session asks for, or "".
    """
    return load_words(language or _negotiate(accept_language))


def _negotiate(accept_language: str) -> str:
    """The language with the highest weight, the first of equals; English if none is known."""
    best, best_weight = LANGUAGES[0], 0.0
    for text in accept_language[:1000].split(",")[:MAX_RANGES]:
        match = _RANGE.fullmatch(text)
        if match is None:
            continue
        weight = float(match[2] or 1)
        if match[1].lower() in LANGUAGES and weight > best_weight:
            best, best_weight = match[1].lower(), weight
    return best


def lower_title(title: str, brand: str) -> str:
    """A title for the middle of a sentence: "API key", "secret key", but "Fleetly key"."""
    first = title.partition(" ")[0]
    is_name = first.lower() in brand.lower().split() or not re.fullmatch(r"[A-Z][a-z]*", first)
    return title if is_name else title[:1].lower() + title[1:]
