"""The words of the connect page: complete in each language, chosen by the browser or the session."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from nango_py.connect.words import FILE, choose_words, load_words, lower_title
from nango_py.connections.connect_sessions import LANGUAGES

STATIC = Path(__file__).resolve().parents[2] / "nango_py" / "server" / "static"
WORDS = json.loads(FILE.read_text(encoding="utf-8"))


def test_every_language_has_every_text() -> None:
    """The languages of the file are those of sessions, with the same names and no unknown places."""
    assert tuple(WORDS) == LANGUAGES
    for language in LANGUAGES:
        assert WORDS[language].keys() == WORDS["en"].keys(), language
        for name, text in WORDS[language].items():
            places, known = (set(re.findall(r"\{(\w+)\}", each)) for each in (text, WORDS["en"][name]))
            assert text
            assert places <= known | {"title"}, (language, name)
            assert places == known or name.startswith("error_"), (language, name)


def test_every_text_that_the_page_uses_exists() -> None:
    """The scripts and the page use names of the file only, and hardly any name is unused."""
    used = set()
    for path in [*STATIC.glob("*.js"), *STATIC.glob("*.html"), *STATIC.parent.glob("*.py")]:
        used |= set(re.findall(r'"([a-z]+(?:_[a-z]+)*)"|[{]([a-z]+(?:_[a-z]+)+)[}]', path.read_text()))
    names = {name for pair in used for name in pair if name}
    called = set()
    for path in STATIC.glob("*.js"):
        called |= set(re.findall(r'\bt\("(\w+)"', path.read_text()))
    assert len(called) > 40
    assert called <= WORDS["en"].keys()
    assert {"connect_accounts", "close_window"} <= names


HEADERS = {
    "": "en",
    "de": "de",
    "de-CH, en;q=0.8": "de",
    "FR-ca": "fr",
    "it, fr;q=0.5, de;q=0.9": "de",
    "it-IT,ja;q=0.5": "en",
    "de;q=0, en": "en",
    "en, de": "en",
    "*": "en",
    "de;q=abc, fr;q=0.1": "fr",
    ",,;q=1,\x00, de": "de",
    "x" * 5000: "en",
    "a," * 5000 + "de": "en",
}


@pytest.mark.parametrize(("header", "language"), HEADERS.items(), ids=lambda value: repr(value)[:24])
def test_the_best_language_of_the_browser_is_chosen(header: str, language: str) -> None:
    """By weight, then by order (RFC 9110 12.5.4); unknown and malformed ones are left out."""
    assert choose_words(header).language == language
    assert choose_words(header, "fr").language == "fr"


def test_values_are_not_read_for_places() -> None:
    """A value with braces is inserted as it is, and a missing one is empty."""
    words = load_words("en")
    assert words("connected_as", account="{title}{0}") == "Connected as {title}{0}"
    assert words("connected_as") == "Connected as "


TITLES = {
    ("API key", "Fleetly"): "API key",
    ("Secret key", "Fleetly"): "secret key",
    ("Fleetly key", "Fleetly"): "Fleetly key",
    ("Fleetly key", "Fleetly Pro"): "Fleetly key",
    ("iCloud password", "Apple"): "iCloud password",
    ("Password", "Apple"): "password",
    ("", "Apple"): "",
}


@pytest.mark.parametrize(("given", "lowered"), TITLES.items())
def test_a_brand_keeps_its_capital(given: tuple[str, str], lowered: str) -> None:
    """Only ordinary words are lowered inside a sentence."""
    assert lower_title(*given) == lowered
