"""TWO_STEP, and auth modes of other packages."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from nango_py.errors import ConfigError
from nango_py.protocols.token_exchange import TokenRefused, TokenUnavailable
from nango_py.registry import AUTH_MODES
from tests.support.token_contexts import NOW, PLANTED, make_context, make_response, run_refresh

HELD = {"username": "ada", "password": "planted-password"}
LOGIN = {
    "token_url": "https://api.example.test/login",
    "token_params": {"user": {"name": "${username}", "pass": "${password}"}, "keep": True},
    "token_headers": {"X-Version": "2"},
    "token_response": {"token": "data.token", "token_expiration": "data.ttl"},
}


def logged_in(*responses: Any, **settings: Any) -> tuple[list[Any], dict[str, Any]]:
    """The requests of a login, and what is stored."""
    return run_refresh(make_context("TWO_STEP", HELD, **{**LOGIN, **settings}), *responses)


def test_a_login_returns_a_token_with_its_expiry() -> None:
    """JSON by default; the login stays stored for the next time."""
    (request,), stored = logged_in(make_response({"data": {"token": "planted-token", "ttl": "600"}}))
    assert (request.method, request.url) == ("POST", "https://api.example.test/login")
    assert json.loads(request.body) == {"user": {"name": "ada", "pass": "planted-password"}, "keep": True}
    assert request.headers == {
        "Accept": "application/json", "Content-Type": "application/json", "X-Version": "2"
    }  # fmt: skip
    assert stored == {
        **HELD, "token": "planted-token", "expires_at": NOW + 600,
        "raw": {"data": {"token": "planted-token", "ttl": "600"}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("places", "body", "expires_at"),
    [
        ({"token_expiration": "exp", "token_expiration_strategy": "expireAt"}, {"exp": NOW + 9}, NOW + 9),
        (
            {"token_expiration": "exp", "token_expiration_strategy": "expireAt"},
            {"exp": "2027-01-15T08:01:00Z"}, NOW + 60,
        ),
        ({"token_expiration": "exp", "token_expiration_strategy": "expireIn"}, {"exp": 9}, NOW + 9),
        ({"token_expiration": "exp"}, {"exp": -1}, NOW + 120),
        ({}, {}, NOW + 120),
    ],
)  # fmt: skip
def test_expiry_is_a_date_a_duration_or_declared(
    places: dict[str, str], body: dict[str, Any], expires_at: float
) -> None:
    """`expireAt` or `expireIn`; `token_lifetime_seconds` where the response says nothing."""
    _, stored = logged_in(
        make_response({"t": "planted", **body}),
        token_response={"token": "t", **places},
        token_lifetime_seconds=120,
    )
    assert stored["expires_at"] == expires_at


def test_later_steps_see_earlier_responses() -> None:
    """`raw` holds what came so far; the last response holds the token."""
    steps = [
        {
            "token_url": "https://api.example.test/accounts/${raw.account}/session",
            "token_method": "PUT", "body_format": "form", "token_headers": {"X-Session": "${raw.session}"},
            "token_params": {"code": "${raw.session}-${username}"},
        },
        {
            "token_url": "https://api.example.test/token?x=1", "token_method": "GET",
            "token_params": {"id": "${raw.id}"},
        },
    ]  # fmt: skip
    requests, stored = logged_in(
        make_response({"session": "planted-s", "account": "a/b"}),
        make_response({"id": 7}),
        make_response({"access_token": "planted-token"}),
        additional_steps=steps, token_response=None,
    )  # fmt: skip
    assert requests[1].url == "https://api.example.test/accounts/a%2Fb/session"
    assert requests[1].method == "PUT"
    assert requests[1].headers["X-Session"] == "planted-s"
    assert requests[1].body == b"code=planted-s-ada"
    assert parse_qs(urlsplit(requests[2].url).query) == {"x": ["1"], "id": ["7"]}
    assert requests[2].body == b""
    assert stored["token"] == "planted-token"
    assert stored["raw"] == {
        "session": "planted-s",
        "account": "a/b",
        "id": 7,
        "access_token": "planted-token",
    }


def test_a_token_may_come_in_a_header_or_as_text() -> None:
    """And as a form, or as the whole of a JSON text."""
    header = make_response(b"", 201, X_Auth_Token="planted-h")
    assert logged_in(header, token_response={"token_header": "x-auth-token"})[1]["token"] == "planted-h"
    text = make_response("planted-text\n", Content_Type="text/plain; charset=utf-8")
    assert logged_in(text, token_response={"token": "@"})[1]["token"] == "planted-text"
    assert (
        logged_in(make_response('"planted-json"'), token_response={"token": "@"})[1]["token"]
        == "planted-json"
    )
    assert (
        logged_in(make_response("sid=planted-form&x=1"), token_response={"token": "sid"})[1]["token"]
        == "planted-form"
    )


@pytest.mark.parametrize(
    ("response", "error", "ends"),
    [
        (make_response({"error": "bad_login", "planted": "planted"}, 401), TokenRefused, True),
        (make_response(b"planted", 403), TokenRefused, True),
        (make_response({"planted": 1}, 400), TokenRefused, False),
        (make_response(b"planted", 429, Retry_After="7"), TokenUnavailable, None),
        (make_response(b"planted", 502), TokenUnavailable, None),
        (make_response(b"<html>planted</html>"), TokenUnavailable, None),
        (make_response({"data": {"token": 5}}), TokenUnavailable, None),
        (make_response([1]), TokenUnavailable, None),
        (make_response({}), TokenUnavailable, None),
    ],
)
def test_a_bad_response_is_a_typed_error(response: Any, error: type[Exception], *, ends: bool | None) -> None:
    """401 and 403 are the user's to mend."""
    with pytest.raises(error) as caught:
        logged_in(response)
    assert getattr(caught.value, "ends_connection", None) is ends
    assert PLANTED not in str(caught.value)
    if isinstance(caught.value, TokenUnavailable) and response.status == 429:
        assert caught.value.retry_after == 7.0


def test_a_value_missing_in_an_earlier_response_is_reported() -> None:
    """The step and the name, nothing of the response."""
    with pytest.raises(ConfigError, match=r"auth\.additional_steps\.0\.token_params\.id .*raw\.id") as caught:
        logged_in(
            make_response({"planted": "planted"}),
            additional_steps=[{"token_url": "https://h.test/", "token_params": {"id": "${raw.id}"}}],
        )
    assert PLANTED not in str(caught.value)


def test_basic_authentication_of_a_login_call() -> None:
    """`basic_auth_encoded` exists where there is a user name."""
    (request,), _ = logged_in(
        make_response({"data": {"token": "t"}}),
        token_headers={"Authorization": "Basic ${basic_auth_encoded}"},
    )
    assert (
        base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"ada:planted-password"
    )
    assert "basic_auth_encoded" not in AUTH_MODES.get("TWO_STEP")().variables_of({"api_key": "x"})


DIRECTUS: dict[str, Any] = {
    "token_response": {
        "token": "data.access_token",
        "token_expiration": "data.expires",
        "token_expiration_unit": "milliseconds",
        "refresh_token": "data.refresh_token",
    },
    "refresh_step": {
        "token_url": "https://id.example.test/auth/refresh",
        "token_params": {"refresh_token": "${refresh_token}", "mode": "json"},
    },
}


def _pair(number: int) -> dict[str, Any]:
    return {
        "data": {
            "access_token": f"planted-a{number}",
            "refresh_token": f"planted-r{number}",
            "expires": 900_000,
        }
    }


def test_a_refresh_step_is_sent_while_there_is_a_refresh_token() -> None:
    """As Directus wants it: a lifetime in milliseconds, and a refresh token that is replaced each time."""
    (login,), stored = logged_in(make_response(_pair(1)), **DIRECTUS)
    assert login.url == LOGIN["token_url"]
    assert (stored["token"], stored["refresh_token"]) == ("planted-a1", "planted-r1")
    assert stored["expires_at"] == NOW + 900
    (refresh,), stored = run_refresh(make_context("TWO_STEP", stored, **DIRECTUS), make_response(_pair(2)))
    assert refresh.url == "https://id.example.test/auth/refresh"
    assert json.loads(refresh.body) == {"refresh_token": "planted-r1", "mode": "json"}
    assert (stored["token"], stored["refresh_token"]) == ("planted-a2", "planted-r2")
    assert stored["password"] == "planted-password"


def test_the_login_is_repeated_if_the_refresh_token_is_refused() -> None:
    """With user name and password at hand, a dead refresh token ends nothing; without them, it does."""
    held = {"username": "ada", "password": "planted-password", "token": "t", "refresh_token": "planted-r1"}
    refusal = make_response({"errors": [{"extensions": {"code": "INVALID_CREDENTIALS"}}]}, 401)
    requests, stored = run_refresh(
        make_context("TWO_STEP", held, **DIRECTUS), refusal, make_response(_pair(2))
    )
    assert [request.url.rpartition("/")[2] for request in requests] == ["refresh", "token"]
    assert stored["token"] == "planted-a2"
    alone = {"token": "t", "refresh_token": "planted-r1"}
    with pytest.raises(TokenRefused) as caught:
        run_refresh(make_context("TWO_STEP", alone, **DIRECTUS), refusal)
    assert caught.value.ends_connection


@pytest.mark.parametrize(
    ("unit", "seconds"), [("milliseconds", 0.9), ("minutes", 54_000), ("hours", 3_240_000), ("seconds", 900)]
)
def test_the_lifetime_of_a_login_has_a_unit(unit: str, seconds: float) -> None:
    """As for OAuth 2."""
    places = {"token": "t", "token_expiration": "life", "token_expiration_unit": unit}
    _, stored = logged_in(make_response({"t": "planted", "life": 900}), token_response=places)
    assert stored["expires_at"] == pytest.approx(NOW + seconds)


MODE_OF_ANOTHER_PACKAGE = '''
from nango_py.auth.base import AuthMode


class Acme(AuthMode):
    """A login of Acme's own."""

    name = "ACME_LOGIN"
    title = "Acme"
    credentials_schema = {
        "type": "object", "required": ["pass_phrase"], "additionalProperties": False,
        "properties": {"pass_phrase": {"type": "string"}},
    }
    example_credentials = {"pass_phrase": "x"}
    settings_schema = {"acme_realm": {"type": "string"}}
    variables = ("pass_phrase",)
    secret_variables = ("pass_phrase",)
'''

PRODUCT = """
from nango_py import Nango
entry = {
    "auth": {"auth_mode": "ACME_LOGIN", "acme_realm": "r"},
    "requests": {"base_url": "https://api.acme.test/", "headers": {"X-Acme": "${pass_phrase}"}},
}
with Nango(integrations={"acme": entry}, database_url="sqlite:///:memory:", encryption_keys=[KEY]) as nango:
    nango.register_connection("acme", "user-1", {"pass_phrase": "let me in"})
    print(nango.executor("acme", "user-1").plan("GET", "x").headers["x-acme"][1])
"""


def test_an_auth_mode_of_another_package_is_named_like_ours(tmp_path: Path) -> None:
    """An entry point of group `nango_py.auth` is a value of auth_mode, with its own keys and names."""
    (tmp_path / "acme_login.py").write_text(MODE_OF_ANOTHER_PACKAGE)
    info = tmp_path / "acme_login-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-login\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nango_py.auth]\nACME_LOGIN = acme_login:Acme\n")
    root = Path(__file__).parents[2]
    key = base64.b64encode(bytes(32)).decode()
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(root)!r}]; KEY = {key!r}\n{PRODUCT}"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert found.stdout == "let me in\n", found.stderr
