"""Secrets that do not print, and the masking of texts that others write."""

from __future__ import annotations

import base64
import html
import json
import logging
import pickle
import random
import re
import urllib.parse
from dataclasses import asdict, dataclass
from types import MappingProxyType

import pytest

from nango_py.errors import printable
from nango_py.secret import (
    MASK,
    MASKED_LOGGERS,
    MaskingFilter,
    Secret,
    conceal,
    live_secrets,
    mask_library_loggers,
    mask_secrets,
    reveal,
    secret_leaves,
    spellings,
)

ODD = 'a+/=%&"é\\ key\U0001f600'


@dataclass
class Holder:
    """What an application might keep a secret in."""

    secret: Secret


def test_a_secret_shows_itself_only_when_asked() -> None:
    """repr, str, format, containers and dataclasses show stars."""
    secret = Secret("hunter2-hunter2")
    assert secret.reveal() == "hunter2-hunter2"
    holder = Holder(secret)
    shown = [
        repr(secret), str(secret), f"{secret}", f"{secret:>20}", f"{secret!r}", f"{[secret]}", repr(holder),
        repr(asdict(holder)), f"{secret} {secret!r}", repr({"k": secret}), repr(vars(holder)),
    ]  # fmt: skip
    assert all("hunter2" not in text and MASK in text for text in shown)


def test_a_secret_is_not_pickled_nor_turned_into_json() -> None:
    """Neither a cache nor a queue takes it along by accident."""
    with pytest.raises(TypeError, match="pickled") as caught:
        pickle.dumps(Secret("hunter2-hunter2"))
    assert "hunter2" not in str(caught.value)
    with pytest.raises(TypeError):
        json.dumps(Secret("hunter2-hunter2"))
    with pytest.raises(TypeError):
        iter(Secret("x"))  # type: ignore[call-overload]


def test_a_secret_has_no_open_attribute_dict() -> None:
    """vars() finds nothing to print."""
    with pytest.raises(TypeError):
        vars(Secret("x"))


def test_secrets_compare_by_value_and_only_with_secrets() -> None:
    """Equal values are equal, in sets too; a plain text never equals a secret."""
    assert Secret("é") == Secret("é")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert Secret("a")
    assert not Secret("")


def test_lone_surrogates_can_be_compared() -> None:
    """Comparing never raises an error that holds the value."""
    assert Secret("\ud800") == Secret("\ud800")
    assert Secret("\ud800") != Secret("a")


def test_conceal_and_reveal_go_all_the_way_down() -> None:
    """Texts become secrets at any depth and come back; numbers stay."""
    tree = {"a": "x", "b": [{"c": "y"}, 5, None, True], "d": ("z",)}
    concealed = conceal(tree)
    assert concealed["a"] == Secret("x")
    assert concealed["b"] == ({"c": Secret("y")}, 5, None, True)
    assert reveal(concealed) == {"a": "x", "b": [{"c": "y"}, 5, None, True], "d": ["z"]}
    assert reveal(MappingProxyType({"a": Secret("x")})) == {"a": "x"}


ENCODINGS = {
    "raw": ODD,
    "percent": urllib.parse.quote(ODD, safe=""),
    "percent, slash kept": urllib.parse.quote(ODD),
    "percent, lower case": urllib.parse.quote(ODD, safe="").replace("%2F", "%2f").replace("%3D", "%3d"),
    "plus": urllib.parse.quote_plus(ODD),
    "json": json.dumps(ODD)[1:-1],
    "json, unicode kept": json.dumps(ODD, ensure_ascii=False)[1:-1],
    "json, slashes escaped": json.dumps(ODD)[1:-1].replace("/", "\\/"),
    "repr": repr(ODD)[1:-1],
    "bytes repr": repr(ODD.encode())[2:-1],
    "base64": base64.b64encode(ODD.encode()).decode(),
    "base64 url": base64.urlsafe_b64encode(ODD.encode()).decode(),
    "base64 unpadded": base64.b64encode(ODD.encode()).decode().rstrip("="),
    "all lower": "".join(
        f"%{byte:02x}" if not (byte < 128 and chr(byte).isalnum()) else chr(byte) for byte in ODD.encode()
    ),
    "html": ODD.replace("&", "&amp;"),
    "html, quotes too": html.escape(ODD),
    "json of Go": ODD.replace("&", r"\u0026"),
    "json of Gson": ODD.replace("&", r"\u0026").replace("=", r"\u003d"),
    "json of PHP": ODD.replace("&", r"\u0026").replace('"', r"\u0022"),
    "json of .NET": ODD.replace("&", r"\u0026").replace('"', r"\u0022").replace("+", r"\u002B"),
}


@pytest.mark.parametrize("encoded", ENCODINGS.values(), ids=ENCODINGS)
def test_every_encoding_of_a_secret_is_masked(encoded: str) -> None:
    """However a library writes it down, every occurrence becomes stars."""
    text = f"before {encoded} between {encoded} after"
    assert mask_secrets(text, [ODD]) == "before *** between *** after"


@pytest.mark.parametrize("size", [6, 12, len("key_planted_0123")])
def test_the_beginning_of_a_secret_in_a_text_that_was_cut_is_masked(size: int) -> None:
    """A message may be cut in the middle of a key that the API repeats."""
    key = "key_planted_0123"
    text = printable(f"invalid key {key}", len("invalid key ") + size)
    assert mask_secrets(text, [key]) == ("invalid key ***" + ("..." if size < len(key) else ""))
    assert (
        mask_secrets("planted_ key_planned... key_planted_", [key]) == "planted_ key_planned... key_planted_"
    )


def test_short_values_are_left_to_structure() -> None:
    """Masking a one-letter key by value would turn a log into stars."""
    assert mask_secrets("a banana", ["a"]) == "a banana"
    assert all(len(form) >= 6 for form in spellings("abc"))
    assert mask_secrets("pin12 pin123", ["pin12", "pin123"]) == "pin12 ***"


def test_the_longest_secret_is_masked_first() -> None:
    """A secret that begins with another leaves no tail behind."""
    assert mask_secrets("secret-long-tail", ["secret-long", "secret-long-tail"]) == MASK


def test_masking_without_secrets_changes_nothing() -> None:
    """An empty list costs nothing and masks nothing."""
    assert mask_secrets("text", []) == "text"


@pytest.fixture
def records() -> list[str]:
    """What a handler behind the masking filter has formatted."""
    found: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(self.format(record))

    logger = logging.getLogger("tests.secret")
    logger.handlers = [Collector()]
    logger.filters = [MaskingFilter()]
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    return found


def test_the_filter_masks_message_arguments_and_traceback(records: list[str]) -> None:
    """While a call is under way its secrets leave every record of the libraries below."""
    logger = logging.getLogger("tests.secret")
    token = live_secrets.set(("tok_0123456789",))
    try:
        logger.debug("GET %s", "/x?key=tok_0123456789")
        try:
            int("tok_0123456789 in a URL")
        except ValueError:
            logger.exception("failed with %s", "tok_0123456789")
    finally:
        live_secrets.reset(token)
    assert records[0] == "GET /x?key=***"
    assert "tok_0123456789" not in "".join(records)
    assert "'*** in a URL'" in records[1]


def test_without_secrets_the_filter_changes_nothing(records: list[str]) -> None:
    """The control: outside a call there are no live secrets, so the text is not masked."""
    logging.getLogger("tests.secret").debug("GET %s", "tok_0123456789")
    assert records == ["GET tok_0123456789"]


def test_library_loggers_get_the_filter_once() -> None:
    """Repeating it does no harm."""
    mask_library_loggers()
    mask_library_loggers()
    for name in MASKED_LOGGERS:
        filters = [entry for entry in logging.getLogger(name).filters if isinstance(entry, MaskingFilter)]
        assert len(filters) == 1


def test_masking_is_what_one_pattern_of_all_spellings_would_do() -> None:
    """The longest spelling at the first place, for texts in which many begin alike."""
    chosen = random.Random(7)
    for _ in range(300):
        values = {"".join(chosen.choices("ab/", k=chosen.randint(4, 12))) for _ in range(6)}
        text = "".join(chosen.choices("ab/", k=120))
        forms = {form for value in values if len(value) >= 6 for form in spellings(value)}
        pattern = "|".join(sorted(map(re.escape, forms), key=len, reverse=True))
        assert mask_secrets(text, values) == (re.sub(pattern, MASK, text) if forms else text)


def test_a_huge_response_does_not_stop_masking() -> None:
    """Thousands of secrets and a text of 110 KB; one pattern of them all took 19 s for one URL."""
    secrets = tuple(f"planted_{number:06d}_{number * 7919:08d}" for number in range(4000))
    text = " ".join(secrets)
    assert mask_secrets(text, secrets) == " ".join([MASK] * 4000)
    same = tuple("a" * length for length in range(6, 300))
    assert mask_secrets("a" * 50_000, same).count(MASK) == -(-50_000 // 299)


def test_only_what_looks_like_a_token_is_secret_in_a_response() -> None:
    """By its name or its form; plain words, scopes, identifiers and URLs are shown."""
    raw = {
        "access_token": "short1", "id_token": "eyJhbGciOi", "client": {"secret_hash": "abcdef"},
        "blob": "Zm9vYmFyYmF6cXV1eA", "list": ["0123456789abcdef0"],
        "team": {"id": "T0123", "name": "Ada and Sons of London"}, "scope": "read:things.and.more.things",
        "instance_url": "https://na1.example.test/services/x", "signed": "https://x.test/?sig=0123456789",
    }  # fmt: skip
    assert set(secret_leaves({"api_key": "k", "raw": raw})) == {
        "k", "short1", "eyJhbGciOi", "abcdef", "Zm9vYmFyYmF6cXV1eA", "0123456789abcdef0",
        "https://x.test/?sig=0123456789",
    }  # fmt: skip
    assert "ada" in secret_leaves({"username": "ada"}, {"username"})
    assert "ada" not in secret_leaves({"username": "ada"})
