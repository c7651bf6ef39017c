"""Credentials as people paste them: cleaned or refused where they are stored, never an error of each call."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConfigError, ConnectFailed, CredentialsError, Nango, StorageError
from nango_py.auth.base import get_auth_mode
from nango_py.connect.submit import submit
from nango_py.connections.validation import to_json
from nango_py.pasted_text import find_unusable, strip_pasted
from nango_py.protocols.token_exchange import TokenResponse
from nango_py.protocols.token_responses import decode_body
from nango_py.registry import AUTH_MODES
from nango_py.secret import MaskingFilter, Secret, live_secrets, mask_secrets
from tests.support.planted_secrets import everything_of, traces
from tests.support.sandbox_product import ENCRYPTION_KEY
from tests.support.transfer_products import MODES, a_nango, example_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

AROUND = ["\n", "\r\n", " ", "\t", "\u200b", "\ufeff", "\u2060 \n", "\u00a0", "\u2028",
    "\u200e", "\u200f \n", "\u202a", "\u202c", "\u2066", "\u2069", "\u00ad", "\u061c", "\U000e0001",
]  # fmt: skip
"""What is copied along."""

INSIDE = ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\u0085", "\u200b", "\ufeff", "\ud800", "\udfff",
    "\u200e", "\u202a", "\u2069", "\u00ad", "\U000e0001", "\u2028", "\u2029",
]  # fmt: skip
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
        if is_multiline(mode, field) and inside not in "\0\x1b\x7f\u0085\ud800\udfff":
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
    assert find_unusable("\u200f\u05e9\u05dc\u05d5\u05dd", is_name=True) == ""


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


UNSENDABLE = [
    "\u201chunter2\u201d",
    "hunter2\u2013x",
    "hunter2\u2026",
    "\u5bc6\u7801hunter2",
    "hunter2\U0001f511",
]
"""What a header cannot hold (RFC 9110 section 5.5), such as the quotation marks of a word processor."""


def open_shop(headers: Mapping[str, str], **entry: Any) -> Nango:
    """A Nango in memory with one integration, whose connections are not verified."""
    entry = {"requests": {"base_url": "https://x.test/", "headers": headers}, **entry}
    return Nango(
        {"shop": entry}, database_url="sqlite:///:memory:", encryption_keys=ENCRYPTION_KEY, environ={}
    )


KEY = {"auth": {"auth_mode": "API_KEY"}}
SHOP = {"connection_config": {"properties": {"shop": {"type": "string"}}}}
AWS = {"auth": {"auth_mode": "AWS_SIGV4", "region": "eu-west-1", "service": "s3"}}
AWS_KEY = get_auth_mode("AWS_SIGV4").example_credentials
LOGIN = {
    "auth": {
        "auth_mode": "TWO_STEP",
        "token_url": "https://x.test/login",
        "token_headers": {"X-Login": "${username}"},
        "token_response": {"token": "token", "token_expiration": "ttl"},
    }
}
IN_HEADERS: list[tuple[dict[str, str], dict[str, Any], dict[str, str], str]] = [
    ({"Authorization": "Bearer ${api_key}"}, KEY, {"api_key": "?"}, "api_key"),
    ({"X-Key": "${additional_config.shop}:${api_key}"}, {**KEY, **SHOP}, {"api_key": "?"}, "api_key"),
    ({}, AWS, {**AWS_KEY, "access_key_id": "?"}, "access_key_id"),
    ({}, AWS, {**AWS_KEY, "session_token": "?"}, "session_token"),
    ({"X-Token": "${token}"}, LOGIN, {"username": "?", "password": "p"}, "username"),
]


@pytest.mark.parametrize(("headers", "entry", "credentials", "field"), IN_HEADERS)
def test_credential_that_no_header_can_hold_is_not_stored(
    headers: dict[str, str], entry: dict[str, Any], credentials: dict[str, str], field: str
) -> None:
    """Neither new nor in place of another one; the error names the field and no part of the value."""

    def filled(value: str) -> dict[str, str]:
        return {name: value if text == "?" else text for name, text in credentials.items()}

    with open_shop(headers, **entry) as nango:
        nango.register_connection("shop", "old", filled("key_example_1234"), {"shop": "a"})
        for value in UNSENDABLE:
            for change in (
                lambda bad: nango.register_connection("shop", "new", bad, {"shop": "a"}),
                lambda bad: nango.update_connection_credentials("shop", "old", bad),
            ):
                with pytest.raises(CredentialsError) as caught:
                    change(filled(value))
                assert f'"{field}"' in str(caught.value)
                assert "hunter2" not in str(caught.value)
                assert traces(everything_of(caught.value, __file__)) == []
        assert [view["user_id"] for view in nango.connections_for_integration("shop")] == ["old"]


def test_setting_that_no_header_can_hold_is_not_stored() -> None:
    """The error is one of the field of additional_config (E317)."""
    with open_shop({"X-Shop": "${additional_config.shop}", "X-Key": "${api_key}"}, **KEY, **SHOP) as nango:
        nango.register_connection("shop", "old", {"api_key": "key"}, {"shop": "a"})
        for change in (
            lambda: nango.register_connection("shop", "new", {"api_key": "key"}, {"shop": "\u201ca\u201d"}),
            lambda: nango.update_connection_config("shop", "old", {"shop": "a "}),
        ):
            with pytest.raises(ConfigError) as caught:
                change()
            assert [problem.code for problem in caught.value.problems] == ["E317"]
            assert "additional_config.shop" in str(caught.value)


def test_form_names_the_field_that_no_header_can_hold() -> None:
    """Credentials and settings alike, although the API is not asked."""
    headers = {"X-Shop": "${additional_config.shop}", "X-Key": "${api_key}"}
    with open_shop(headers, **KEY, **SHOP) as nango:
        claims = nango.read_session(nango.connect_session("u").token.reveal())
        for key, shop, field in (("\u201ckey\u201d", "a", "api_key"), ("key", "\u201ca\u201d", "shop")):
            with pytest.raises(ConnectFailed) as caught:
                submit(nango.accounts, claims, "shop", {"api_key": key}, {"shop": shop})
            assert caught.value.code == "invalid_credentials"
            assert list(caught.value.fields) == [field]
        assert nango.connections_for_integration("shop") == []


def test_login_does_not_begin_with_a_setting_that_no_header_can_hold() -> None:
    """The user corrects it before the provider is asked."""
    auth = {"auth_mode": "OAUTH2", "authorization_url": "https://x.test/a", "token_url": "https://x.test/t"}
    app = {"auth": auth, "oauth_client_id": "id", "oauth_client_secret": "secret"}
    headers = {"Authorization": "Bearer ${access_token}", "X-Shop": "${additional_config.shop}"}
    with open_shop(headers, **app, **SHOP) as nango:
        with pytest.raises(ConnectFailed) as caught:
            nango.logins.begin("shop", "u", additional_config={"shop": "\u201ca\u201d"})
        assert (caught.value.code, list(caught.value.fields)) == ("invalid_credentials", ["shop"])
        assert nango.logins.begin("shop", "u", additional_config={"shop": "a"}).startswith(
            "https://x.test/a?"
        )


def test_what_headers_can_hold_is_stored() -> None:
    """Control: letters of ISO-8859-1, and any text that a header holds encoded or not at all."""
    with open_shop({"Authorization": "Bearer ${api_key}"}, **KEY, **SHOP) as nango:
        nango.register_connection("shop", "u", {"api_key": "p\u00e4ss"}, {"shop": "\u5bc6"})
        assert nango.executor("shop", "u").plan("GET", "x").headers["authorization"][1] == "Bearer p\u00e4ss"
    with open_shop({"Authorization": "Basic ${basic_auth_encoded}"}, auth={"auth_mode": "BASIC"}) as nango:
        nango.register_connection("shop", "u", {"username": "\u201ca", "password": "\u5bc6"})
        assert nango.executor("shop", "u").plan("GET", "x").headers["authorization"][1].startswith("Basic ")


def test_settings_are_replaced_without_the_credentials() -> None:
    """In each auth mode: what a header takes from the credentials is not known when settings are checked."""
    with a_nango("sqlite:///:memory:") as nango:
        for number, name in enumerate(sorted(MODES)):
            nango.register_connection(name, "ada", example_of(name, number))
            assert nango.update_connection_config(name, "ada", {"a": 1})["additional_config"] == {"a": 1}
