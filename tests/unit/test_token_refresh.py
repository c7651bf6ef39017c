"""Which credentials can be refresh_with, and what the OAuth 2 modes send for that."""

from __future__ import annotations

from typing import Any

import pytest

from nango_py import Nango
from nango_py.errors import ConfigError
from nango_py.protocols.token_exchange import TokenRefused, TokenUnavailable
from nango_py.registry import AUTH_MODES
from tests.support.token_contexts import (
    GRANT,
    PLANTED,
    STORED,
    frames_of,
    make_context,
    make_response,
    pem,
    read_form,
    rsa_key,
    run_refresh,
)


def test_oauth2_needs_a_refresh_token_or_client_credentials() -> None:
    """The application's own id and secret suffice if token_params say grant_type: client_credentials."""
    mode = AUTH_MODES.get("OAUTH2")()
    own = {"token_params": {"grant_type": "client_credentials"}}
    assert mode.can_refresh(STORED, {})
    assert not mode.can_refresh({"access_token": "x"}, {})
    assert mode.can_refresh({"access_token": "x"}, own)
    (request,), _ = run_refresh(make_context(credentials={"access_token": "x"}, **own), make_response(GRANT))
    assert read_form(request)["grant_type"] == "client_credentials"
    with pytest.raises(ConfigError, match="no refresh token"):
        run_refresh(make_context(credentials={"access_token": "x"}))


def test_expiry_of_each_mode() -> None:
    """Unknown, a point in time, and 0 for a token that is not fetched yet."""
    assert AUTH_MODES.get("OAUTH2")().expires_at({"access_token": "x"}) is None
    assert AUTH_MODES.get("OAUTH2")().expires_at({"access_token": "x", "expires_at": 5}) == 5.0
    for name in ("OAUTH2_CC", "OAUTH2_JWT", "TWO_STEP", "JWT"):
        mode = AUTH_MODES.get(name)()
        held = {key: value for key, value in mode.example_credentials.items() if key != mode.token_variable}
        assert mode.expires_at(held) == 0.0
        assert not mode.is_ready(held)
        assert mode.is_ready(mode.example_credentials)
        assert mode.can_refresh(held, {})
    key = AUTH_MODES.get("API_KEY")()
    assert key.is_ready({"api_key": "x"})
    assert key.expires_at({"api_key": "x"}) is None
    assert not key.can_refresh({"api_key": "x"}, {})
    with pytest.raises(ConfigError, match="API_KEY has no token to refresh"):
        key.refresh(make_context("API_KEY", {"api_key": "planted"}))


def test_client_credentials_of_the_connection_come_first() -> None:
    """If they are rejected, the user has to fix them."""
    own = {"client_id": "user-id", "client_secret": "planted-user-secret"}
    (request,), stored = run_refresh(make_context("OAUTH2_CC", own, scopes=("a",)), make_response(GRANT))
    assert read_form(request) == {
        "grant_type": "client_credentials", "scope": "a", "client_id": "user-id",
        "client_secret": "planted-user-secret",
    }  # fmt: skip
    assert stored["client_secret"] == "planted-user-secret"
    assert stored["access_token"] == "planted-new-access"
    (request,), _ = run_refresh(make_context("OAUTH2_CC"), make_response(GRANT))
    assert read_form(request)["client_id"] == "app-id"
    for held, ends in ((own, True), ({}, False)):
        with pytest.raises(TokenRefused) as caught:
            run_refresh(make_context("OAUTH2_CC", held), make_response({"error": "invalid_client"}, 401))
        assert caught.value.ends_connection is ends
        assert caught.value.__context__ is None


def test_password_grant_is_declared_by_token_params() -> None:
    """RFC 6749 4.3 needs no code: token_params have the grant type and its parameters."""
    declared = {"grant_type": "password", "username": "${username}", "password": "${password}"}
    held = {"username": "ada", "password": "planted-password"}
    (request,), _ = run_refresh(make_context("OAUTH2_CC", held, token_params=declared), make_response(GRANT))
    assert read_form(request) == {
        **declared, **held, "client_id": "app-id", "client_secret": "planted-app-secret"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "response"),
    [
        ({"token_params": {"a": "${additional_config.none}"}}, make_response(GRANT)),
        ({"app": {}}, make_response(GRANT)),
        ({}, make_response({"error": "invalid_grant", "echo": "planted"}, 400)),
        ({}, make_response({**GRANT, "access_token": "planted\n"})),
        ({"token_path": "x["}, make_response(GRANT)),
    ],
)
def test_frames_of_an_error_have_no_secret(settings: dict[str, Any], response: Any) -> None:
    """Error trackers print the local variables of each frame."""
    with pytest.raises((ConfigError, TokenRefused, TokenUnavailable)) as caught:
        run_refresh(make_context(credentials=STORED, **settings), response)
    assert "call: " in frames_of(caught.value) or "refresh: " in frames_of(caught.value)
    assert PLANTED not in frames_of(caught.value)


@pytest.mark.parametrize(
    ("status", "message", "ends"),
    [
        (404, "Not Found", True),
        (403, "This installation has been suspended", True),
        (403, "Resource not accessible by integration", False),
        (401, "A JSON web token could not be decoded", False),
        (401, "Bad credentials", False),
    ],
)
def test_an_installation_of_a_github_app_may_end(status: int, message: str, *, ends: bool) -> None:
    """Uninstalled and suspended ones, as its blueprint says; the app's own key is not the user's.

    https://github.com/octokit/octokit.rb/pull/1307, https://github.com/codecov/shared/pull/236
    """
    entry = {"extends_blueprint": "github-app:v0", "oauth_client_id": "1", "oauth_client_secret": "planted"}
    with Nango({"app": entry}, environ={}) as nango:
        declared = nango.services.integration("app").settings["auth"]
    context = make_context(
        "OAUTH2_JWT", app={"oauth_client_id": "1", "oauth_client_secret": pem(rsa_key())},
        assertion={**declared["assertion"]}, assertion_placement="header",
        grant_ended=declared["grant_ended"],
    )  # fmt: skip
    with pytest.raises(TokenRefused) as caught:
        run_refresh(context, make_response({"message": message}, status))
    assert caught.value.ends_connection is ends
    assert message in str(caught.value)
