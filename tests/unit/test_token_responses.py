"""Token responses: the stored credentials, and errors for hostile, rejected and unavailable responses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from authlib.oauth2 import OAuth2Client
from authlib.oauth2.base import OAuth2Error

from nango_py.connections.rows import unstored_connection
from nango_py.connections.validation import to_json
from nango_py.errors import ConfigError
from nango_py.json_types import is_text_deeper_than
from nango_py.protocols import oauth2_protocol
from nango_py.protocols.token_exchange import LARGEST_RESPONSE, TokenRefused, TokenUnavailable
from nango_py.protocols.token_responses import MAX_LIFETIME, MAX_RAW_BYTES
from nango_py.record import replaced
from nango_py.tokens.schedule import refresh_time
from tests.support.token_contexts import (
    GRANT,
    NOW,
    PLANTED,
    STORED,
    RecordingSession,
    make_context,
    make_response,
    refresh_with,
    run_refresh,
)


def test_response_becomes_stored_credentials() -> None:
    """expires_at in unix seconds, and the response as raw in place of the one before it."""
    held = {**STORED, "raw": {"team": {"id": "T1"}, "expires_in": 1}, "expires_at": 5.0}
    _, stored = run_refresh(
        make_context(credentials=held, scopes=("a", "b")), make_response({**GRANT, "refresh_token": "r2"})
    )
    assert stored == {
        "access_token": "planted-new-access", "refresh_token": "r2", "expires_at": NOW + 3600,
        "token_type": "Bearer", "scope": "a b",
        "raw": {**GRANT, "refresh_token": "r2"},
    }  # fmt: skip
    assert held["expires_at"] == 5.0


def test_refresh_token_is_kept_if_the_response_has_none() -> None:
    """RFC 6749 6; also if it is null or empty."""
    for extra in ({}, {"refresh_token": None}, {"refresh_token": ""}):
        assert refresh_with(make_response({**GRANT, **extra}))["refresh_token"] == "planted-old-refresh"


def test_narrowed_scopes_are_stored() -> None:
    """RFC 6749 3.3 allows a provider to grant less than was requested."""
    assert refresh_with(make_response({**GRANT, "scope": "a"}), scopes=("a", "b"))["scope"] == "a"
    assert refresh_with(make_response({**GRANT, "scope": ["a", "b"]}))["scope"] == "a b"


@pytest.mark.parametrize(
    ("extra", "settings", "expires_at"),
    [
        pytest.param({"expires_in": "3600"}, {}, NOW + 3600, id="text"),
        pytest.param({"expires_in": 3600.5}, {}, NOW + 3600.5, id="fraction"),
        pytest.param({"expires_in": -1}, {}, None, id="negative"),
        pytest.param({"expires_in": 0}, {}, None, id="zero"),
        pytest.param({"expires_in": 1e99}, {}, NOW + MAX_LIFETIME, id="1e99"),
        pytest.param({"expires_in": 10**400}, {}, NOW + MAX_LIFETIME, id="a huge integer"),
        pytest.param({"expires_in": True}, {}, None, id="true"),
        pytest.param({"expires_in": "soon"}, {}, None, id="words"),
        pytest.param({"expires_in": [1]}, {}, None, id="list"),
        pytest.param({"expires_in": 60_000}, {"expires_in_unit": "milliseconds"}, NOW + 60, id="ms"),
        pytest.param({"expires_in": 2}, {"expires_in_unit": "hours"}, NOW + 7200, id="hours"),
        pytest.param({"expires_at": NOW + 9}, {}, NOW + 9, id="unix seconds"),
        pytest.param({"expires_at": (NOW + 9) * 1000}, {}, NOW + 9, id="unix milliseconds"),
        pytest.param({"expires_at": "2027-01-15T08:01:00Z"}, {}, NOW + 60, id="ISO text"),
        pytest.param({"expires_at": "Fri, 15 Jan 2027 08:01:00 GMT"}, {}, NOW + 60, id="HTTP date"),
        pytest.param({"expires_at": "never"}, {}, None, id="no time"),
        pytest.param({"life": {"s": 5}}, {"expires_in_path": "life.s"}, NOW + 5, id="another place"),
        pytest.param({"ends": NOW + 5}, {"expires_at_path": "ends"}, NOW + 5, id="another name"),
        pytest.param({}, {"token_lifetime_seconds": 7200}, NOW + 7200, id="declared"),
        pytest.param({}, {}, None, id="unsaid"),
    ],
)  # fmt: skip
def test_expiry_is_read_in_every_form(
    extra: dict[str, Any], settings: dict[str, Any], expires_at: float | None
) -> None:
    """Invalid values leave expires_at unset; excessive ones are reduced to ten years."""
    response = {"access_token": "planted-new-access", **extra}
    assert refresh_with(make_response(response), **settings).get("expires_at") == expires_at


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000])
def test_a_number_that_cannot_be_stored_does_not_cost_the_token(number: str) -> None:
    """A provider that rotates has replaced the old one: the number is null, wherever it stands."""
    body = '{"access_token": " new ", "refresh_token": "r2", "expires_in": %s, "more": [{"a": %s}]}'
    stored = refresh_with(make_response((body % (number, number)).encode()))
    assert stored == {
        **{name: stored[name] for name in stored if name in {"token_type", "scope"}},
        "access_token": "new",
        "refresh_token": "r2",
        "raw": {"access_token": " new ", "refresh_token": "r2", "expires_in": None, "more": [{"a": None}]},
    }
    to_json(stored, "credentials")


def test_token_may_be_nested() -> None:
    """Slack's user token: its lifetime and refresh token are next to it."""
    response = {
        "ok": True, "access_token": "planted-bot",
        "authed_user": {
            "access_token": "planted-user", "refresh_token": "planted-r2", "expires_in": 60,
            "scope": "x", "token_type": "user",
        },
    }  # fmt: skip
    stored = refresh_with(make_response(response), token_path="authed_user.access_token")
    assert stored["access_token"] == "planted-user"
    assert stored["refresh_token"] == "planted-r2"
    assert (stored["expires_at"], stored["scope"], stored["token_type"]) == (NOW + 60, "x", "user")
    assert stored["raw"]["access_token"] == "planted-bot"


def test_form_encoded_response_is_accepted() -> None:
    """GitHub returns a form unless JSON is requested."""
    stored = refresh_with(
        make_response("access_token=planted-x%21&scope=repo&token_type=bearer&expires_in=60")
    )
    assert (stored["access_token"], stored["scope"], stored["expires_at"]) == ("planted-x!", "repo", NOW + 60)


def test_values_are_kept_for_additional_config() -> None:
    """From the response by path and from the callback by name; missing values are omitted."""
    context = make_context(
        keep_from_response={
            "instance": {"path": "urls.instance", "on": "every"}, "none": "x.y", "whole": "urls",
            "grant": {"path": "urls.grant"},
        },
    )  # fmt: skip
    values = {**GRANT, "urls": {"instance": "acme", "grant": 7}}
    assert oauth2_protocol.kept_from_response(context, values) == {"instance": "acme", "grant": 7}
    assert oauth2_protocol.kept_from_response(context, values, at_refresh=True) == {"instance": "acme"}
    callback = {"realmId": "123", "code": "planted-code"}
    for names, kept in (
        (["realmId", "other"], {"realmId": "123"}),
        ({"company": "realmId", "x": "y"}, {"company": "123"}),
    ):
        assert oauth2_protocol.kept_from_callback({"keep_from_callback": names}, callback) == kept


LIVES = {
    "as GitHub says": ({"refresh_token_expires_in": 100}, 100),
    "as Intuit says": ({"x_refresh_token_expires_in": "200"}, 200),
    "as Keycloak says": ({"refresh_expires_in": 300}, 300),
    "never": ({"refresh_expires_in": 0}, 86_400),
    "nothing": ({}, 86_400),
    "nonsense": ({"refresh_token_expires_in": ["x"]}, 86_400),
}


@pytest.mark.parametrize("name", LIVES)
def test_the_end_of_a_refresh_token_is_kept(name: str) -> None:
    """From the response, else as the blueprint declares; it starts again with each new refresh token."""
    said, seconds = LIVES[name]
    response = make_response({**GRANT, **said})
    stored = refresh_with(response, refresh_token_lifetime_seconds=86_400)
    assert stored["refresh_expires_at"] == NOW + seconds


def test_an_unknown_end_of_a_refresh_token_is_not_kept() -> None:
    """The control: without a declared life there is none, and an old end does not stay."""
    assert "refresh_expires_at" not in refresh_with(make_response(GRANT))


HOSTILE = {
    "a list": [1, 2],
    "a text": '"planted"',
    "null": None,
    "a number": 5,
    "HTML": b"<html><body>planted=1</body></html>",
    "nothing": b"",
    "binary": b"\xff\xfe\x00",
    "NaN": b'{"access_token": NaN}',
    "too deep": b"[" * 100_000,
    "too large": b'{"access_token": "' + b"x" * LARGEST_RESPONSE + b'"}',
    "10 MB": b"x" * 10_000_000,
    "no token": {"token_type": "Bearer"},
    "an empty token": {"access_token": ""},
    "a numeric token": {"access_token": 5},
    "a token list": {"access_token": ["planted"]},
    "a token with a line break": {"access_token": "planted\r\nX: y"},
    "a token outside ASCII": {"access_token": "plantedé"},
    "a huge token": {"access_token": "x" * 70_000},
    "a bad refresh token": {"access_token": "planted", "refresh_token": "a\nb"},
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_response_is_a_typed_error(body: Any) -> None:
    """It can be retried, and the error contains nothing of the response."""
    with pytest.raises(TokenUnavailable) as caught:
        refresh_with(make_response(body))
    assert PLANTED not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("kind", ["mac", "DPoP", "pop"])
def test_unsupported_token_type_is_refused(kind: str) -> None:
    """RFC 6749 7.1: a client must not use a token whose type it does not understand."""
    with pytest.raises(TokenRefused, match="unsupported type"):
        refresh_with(make_response({**GRANT, "token_type": kind}))


@pytest.mark.parametrize(
    ("status", "body", "word", "ends"),
    [
        (400, {"error": "invalid_grant", "error_description": "planted-old-refresh"}, "invalid_grant", True),
        (401, {"error": "invalid_client"}, "invalid_client", False),
        (400, {"error": "invalid_scope"}, "invalid_scope", False),
        (200, {"error": "bad_refresh_token"}, "bad_refresh_token", True),
        (200, {"ok": False, "error": "invalid_refresh_token"}, "invalid_refresh_token", True),
        (200, {"error": "something_else"}, "something_else", False),
        (400, {"status": "BAD_REFRESH_TOKEN", "message": "x"}, "BAD_REFRESH_TOKEN", True),
        (400, {"error": {"type": "OAuthException", "code": 190}}, "OAuthException", False),
        (400, {"error": "words with blanks"}, "", False),
        (400, "error=invalid_grant", "invalid_grant", True),
        (403, b"<html>planted</html>", "", False),
        (403, b"planted", "", False),
        (401, b"planted", "", True),
        (403, b'"planted"', "", False),
        (400, b"planted: the refresh token has expired", "", True),
        (400, b"invalid_grant: planted", "invalid_grant", True),
        (404, None, "", False),
    ],
)
def test_permanent_error_has_its_code_and_no_secret(status: int, body: Any, word: str, *, ends: bool) -> None:
    """Only what the user can fix ends the connection."""
    with pytest.raises(TokenRefused) as caught:
        refresh_with(make_response(body, status))
    assert (caught.value.code, caught.value.ends_connection, caught.value.status) == (word, ends, status)
    assert PLANTED not in f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("status", "body", "headers", "wait"),
    [
        (503, b"planted", {}, None),
        (500, {"error": "invalid_grant"}, {}, None),
        (429, b"", {"Retry_After": "30"}, 30.0),
        (429, b"", {"Retry_After": "99999999999999999999"}, None),
        (503, b"", {"Retry_After": "-1"}, None),
        (
            503, b"",
            {"Retry_After": "Fri, 15 Jan 2027 10:01:00 GMT", "Date": "Fri, 15 Jan 2027 10:00:30 GMT"}, 30.0,
        ),
        (503, b"", {"retry_after": "Fri, 15 Jan 2027 08:00:10 GMT"}, 10.0),
        (503, b"", {"retry_after": "1.5"}, 1.5),
        (503, b"", {"retry_after": "30,60"}, 60.0),
        (503, b"", {"retry_after": "PT30S"}, 30.0),
        (503, b"", {"retry_after": "2 minutes"}, 120.0),
        (503, b"", {"retry_after": "200000"}, 86_400.0),
        (503, b"", {"retry_after": "-5"}, None),
        (408, b"", {}, None),
        (302, b"", {"Location": "https://evil.test/"}, None),
        (200, {"error": "temporarily_unavailable"}, {}, None),
        (400, {"error": "slow_down"}, {}, None),
    ],
)  # fmt: skip
def test_transient_error_is_unavailable(
    status: int, body: Any, headers: dict[str, str], wait: float | None
) -> None:
    """5xx, 429, redirects and transient codes of RFC 6749; the wait is the one that the server requests."""
    with pytest.raises(TokenUnavailable) as caught:
        refresh_with(make_response(body, status, **headers))
    assert (caught.value.retry_after, caught.value.status) == (wait, status)
    assert PLANTED not in str(caught.value)


def test_authlib_rejects_the_same_response() -> None:
    """Control: an error response is an error for both."""
    with pytest.raises(OAuth2Error):
        OAuth2Client(RecordingSession(), "x").parse_response_token(_RejectingSession())
    with pytest.raises(TokenRefused):
        refresh_with(make_response({"error": "invalid_grant"}, 400))


class _RejectingSession(RecordingSession):
    """A response with an error."""

    status_code = 400

    def json(self) -> dict[str, Any]:
        """The error."""
        return {"error": "invalid_grant"}


@pytest.mark.parametrize("path", ["access_token[", "abs(x, x)", "nope(@)"])
def test_invalid_path_is_an_error_of_the_settings(path: str) -> None:
    """A ConfigError, not an error of the provider."""
    with pytest.raises(ConfigError, match=r"auth\.token_path .*JMESPath"):
        refresh_with(make_response({"n": 1, "access_token": 5}), token_path=path)


@pytest.mark.parametrize("path", ["abs('x')", "keys(access_token)", "other.token"])
def test_a_path_that_does_not_fit_the_response_finds_nothing(path: str) -> None:
    """The response decides, so it is the response that has no token."""
    with pytest.raises(TokenUnavailable, match="no valid token"):
        refresh_with(make_response({"n": 1, "access_token": 5}), token_path=path)


def test_expires_at_is_corrected_by_the_clock_skew() -> None:
    """With our clock an hour slow, a token would seem valid an hour longer; seconds are ignored."""
    ahead = "Fri, 15 Jan 2027 09:00:00 GMT"
    response = {"access_token": "planted", "expires_at": NOW + 4200}
    assert refresh_with(make_response(response, Date=ahead))["expires_at"] == NOW + 600
    assert (
        refresh_with(make_response(response, Date="Fri, 15 Jan 2027 08:00:20 GMT"))["expires_at"]
        == NOW + 4200
    )
    assert refresh_with(make_response(GRANT, Date=ahead))["expires_at"] == NOW + 3600


def test_members_that_templates_name_outlive_a_response_without_them() -> None:
    """The rest of an earlier response is replaced."""
    held = {**STORED, "raw": {"team": {"id": "T1"}, "other": 1, "expires_in": 1}}
    context = replaced(make_context(credentials=held), raw_names=frozenset({"team"}))
    _, stored = run_refresh(context, make_response(GRANT))
    assert stored["raw"] == {"team": {"id": "T1"}, **GRANT}


def test_a_stored_response_is_bounded() -> None:
    """What templates name is kept first, then what is small; the token is stored beside it."""
    huge = {f"filler_{number}": "x" * 1000 for number in range(500)}
    answer = {**huge, **GRANT, "team": {"id": "T" * 9000}}
    context = replaced(make_context(credentials=STORED), raw_names=frozenset({"team"}))
    _, stored = run_refresh(context, make_response(answer))
    assert stored["access_token"] == "planted-new-access"
    assert len(json.dumps(stored["raw"])) <= MAX_RAW_BYTES
    assert {"team", "expires_in", "token_type"} <= stored["raw"].keys()


def test_many_refreshes_do_not_let_a_row_grow() -> None:
    """Each response has a member of a new name."""
    credentials: dict[str, Any] = dict(STORED)
    sizes = []
    for number in range(50):
        answer = make_response({**GRANT, f"request_{number}": "y" * 500})
        _, credentials = run_refresh(make_context(credentials=credentials), answer)
        sizes.append(len(json.dumps(credentials)))
    assert max(sizes) - min(sizes) < 10


@pytest.mark.parametrize(
    ("seconds", "before"), [(0, 0.0), (30, 30.0), (None, None)]
)  # fmt: skip
def test_the_margin_of_a_refresh_may_be_declared(seconds: float | None, before: float | None) -> None:
    """Exactly, without the random share, for providers that refuse early refreshes."""
    connection = unstored_connection("shop", "user-1", {}, {}, NOW)
    due = refresh_time(connection, NOW + 600, NOW, seconds)
    assert due is not None
    if before is None:
        assert 60 <= NOW + 600 - due <= 120
    else:
        assert due == NOW + 600 - before


@pytest.mark.parametrize(
    ("text", "is_deeper"),
    [
        (b"[[1]]", False),
        (b"[[[1]]]", True),
        (b'{"a": [{}]}', True),
        (b"[[1], [2], [3]]", False),
        (b'["[[[[", "\\"[[[", {}]', False),
        (b'["[[[[\\\\", [[]]]', True),
        (b'[[["', True),
        (b'["[[[', False),
        (b'["' + b'\\"' * 200_000, False),
        ('["\u2200", [[1]]]'.encode("utf-16"), True),
        ('["\u2200", [1]]'.encode("utf-16"), False),
    ],
)
def test_the_depth_of_a_text_is_known_without_parsing_it(text: bytes, is_deeper: bool) -> None:  # noqa: FBT001
    """Brackets in strings do not count, and hostile texts take linear time."""
    assert is_text_deeper_than(text, 2) is is_deeper
