"""Credentials as people paste them: cleaned or refused where they are stored, never an error of each call."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import CredentialsError, Nango, StorageError
from nango_py.auth.base import get_auth_mode
from nango_py.connections.validation import to_json
from nango_py.pasted_text import find_unusable, strip_pasted
from nango_py.protocols.token_exchange import TokenResponse
from nango_py.protocols.token_responses import decode_body
from nango_py.registry import AUTH_MODES
from nango_py.secret import MaskingFilter, Secret, live_secrets, mask_secrets
from tests.support.planted_secrets import everything_of, traces
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

AROUND = ["\n", "\r\n", " ", "\t", "\u200b", "\ufeff", "\u2060 \n", "\u00a0", "\u2028"]
"""What is copied along."""

INSIDE = ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\u0085", "\u200b", "\ufeff", "\ud800", "\udfff"]
"""What no key contains."""

TEXT_FIELDS = [
    (mode, field)
    for mode in sorted(AUTH_MODES.all())
    for field, schema in get_auth_mode(mode).credentials_schema["properties"].items()
    if schema.get("type") == "string" and isinstance(get_auth_mode(mode).example_credentials.get(field), str)
]


def is_multiline(mode: str, field: str) -> bool:
    """Whether a field has lines."""
    return bool(get_auth_mode(mode).credentials_schema["properties"][field].get("multiline"))


@pytest.mark.parametrize(("mode", "field"), TEXT_FIELDS)
def test_what_is_copied_along_is_not_stored(mode: str, field: str) -> None:
    """White space and characters without width around a value are left out, in every field of every mode."""
    example = get_auth_mode(mode).example_credentials
    for around in AROUND:
        pasted = {**example, field: f"{around}{example[field]}{around}"}
        if is_multiline(mode, field):
            continue
        assert get_auth_mode(mode).validate(pasted, "a/u")[field] == example[field]


@pytest.mark.parametrize(("mode", "field"), TEXT_FIELDS)
def test_what_no_key_contains_is_refused(mode: str, field: str) -> None:
    """The error names the field, and no part of the value."""
    example = get_auth_mode(mode).example_credentials
    for inside in INSIDE:
        if is_multiline(mode, field) and inside in "\r\n\t\u200b\ufeff":
            continue
        with pytest.raises(CredentialsError) as caught:
            get_auth_mode(mode).validate({**example, field: f"{example[field]}{inside}hunter2"}, "a/u")
        assert f'"{field}"' in str(caught.value)
        assert "hunter2" not in str(caught.value)


def test_ordinary_texts_are_left_alone() -> None:
    """Control: blanks inside, other scripts, combined characters and PEM stay as they are."""
    for text in ("a b", "pässwörd", "密码", "👩\u200d💻"[0], "x" * 5000):
        assert strip_pasted(text) == text
        assert find_unusable(text) == ""
    assert find_unusable("-----BEGIN\nx\r\n", is_multiline=True) == ""


BROKEN: list[Any] = [
    {"a": "\ud800"}, {"a": ["x", "y\udfff"]}, {"a": {"\ud800": 1}}, {"\udc00": 1}, {"a": Secret("x\ud83d")},
]  # fmt: skip


@pytest.mark.parametrize("value", BROKEN)
def test_half_a_pair_is_not_stored(value: Any) -> None:
    """At no depth, in no key, and in no Secret."""
    with pytest.raises(StorageError) as caught:
        to_json(value, "credentials")
    assert "surrogate" in str(caught.value)
    str(caught.value).encode()


def test_half_a_pair_in_a_token_response_is_replaced() -> None:
    """Everything that a provider sends can be stored and shown; whole pairs stay."""
    text = r'{"access_token": "t", "team": {"na\udc00me": ["\ud83d", "\ud83d\ude00"]}}'
    body = decode_body(TokenResponse(200, {}, text.encode()))
    json.dumps(body, ensure_ascii=False).encode()
    assert body == {"access_token": "t", "team": {"na?me": ["?", "\U0001f600"]}}


def test_masking_takes_half_a_pair() -> None:
    """A filter never raises, whatever the secrets and the record are."""
    assert mask_secrets("a hunter2\ud800hunter2 b", ["hunter2\ud800hunter2"]) == "a *** b"
    token = live_secrets.set(("hunter2\ud800hunter2",))
    try:
        for message, args in [("%s", ("hunter2\ud800hunter2",)), ("%d", ("no number",)), ("%s %s", ("few",))]:
            record = logging.LogRecord("urllib3", logging.DEBUG, "f", 1, message, args, None)
            assert MaskingFilter().filter(record)
            assert "hunter2" not in record.getMessage()
    finally:
        live_secrets.reset(token)


@pytest.fixture
def nango() -> Iterator[Nango]:
    """A Nango in memory."""
    requests = {"base_url": "https://x.test/", "headers": {"Authorization": "Basic ${basic_auth_encoded}"}}
    entries = {"shop": {"auth": {"auth_mode": "USERNAME_PASSWORD"}, "requests": requests}}
    with Nango(
        entries, database_url="sqlite:///:memory:", encryption_keys=ENCRYPTION_KEY, environ={}
    ) as nango:
        yield nango


def test_half_a_pair_stored_by_an_earlier_version_shows_nothing(
    nango: Nango, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call says what to do; the text is in no part of the error."""
    monkeypatch.setattr("nango_py.connections.validation.has_surrogate", lambda _: False)
    nango.store.create("shop", "u", {"username": "ada", "password": "CanarYbIrD\ud800CanarYbIrD"})
    with pytest.raises(CredentialsError) as caught:
        nango.executor("shop", "u")
    assert "register" in str(caught.value)
    assert traces(everything_of(caught.value, __file__)) == []


def test_registered_key_is_sent_as_it_was_meant(nango: Nango) -> None:
    """One with a line end works."""
    nango.register_connection("shop", "u", {"username": "ada\n", "password": "p\u00e4ss wort \r\n"})
    header = nango.executor("shop", "u").plan("GET", "x").headers["authorization"][1]
    assert header == "Basic YWRhOnDDpHNzIHdvcnQ="
