"""OAuth 2 requests: authorization URLs, token requests and client authentication, compared with Authlib."""

from __future__ import annotations

import base64
import json
import pickle
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from authlib.oauth2 import OAuth2Client
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from nango_py.errors import ConfigError
from nango_py.protocols import oauth2_protocol
from nango_py.registry import AUTH_MODES
from tests.support.token_contexts import (
    APP,
    GRANT,
    PLANTED,
    STORED,
    TOKEN_URL,
    RecordingSession,
    make_context,
    make_response,
    read_form,
)

if TYPE_CHECKING:
    from nango_py.protocols.token_exchange import TokenContext


def login_url(context: TokenContext, **options: str) -> str:
    """The URL of the login page."""
    return oauth2_protocol.authorization_url(
        context, oauth2_protocol.authorization_params(context, **options)
    )


def test_code_challenge_matches_rfc_7636() -> None:
    """The S256 challenge of the RFC's example verifier; Authlib agrees for any verifier."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert oauth2_protocol.code_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    mine = oauth2_protocol.code_verifier()
    assert oauth2_protocol.code_challenge(mine) == create_s256_code_challenge(mine)


def test_code_verifiers_are_valid_and_unique() -> None:
    """43 to 128 unreserved characters from a cryptographic random source."""
    made = {oauth2_protocol.code_verifier() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier) for verifier in made)


def test_authorization_url_has_all_parameters() -> None:
    """RFC 6749 4.1.1, with the PKCE challenge and without the verifier."""
    context = make_context(
        scopes=("channels:read", "chat:write"), scope_separator=",",
        authorization_url="https://id.example.test/authorize?tenant=a",
        authorization_params={"audience": "https://api.example.test", "prompt": "${additional_config.p}"},
        config={"p": "a b&c=d"},
    )  # fmt: skip
    url = login_url(context, redirect_uri="https://me.test/cb", state="s t", verifier="v" * 43)
    assert url.startswith("https://id.example.test/authorize?tenant=a&response_type=code&client_id=app-id&")
    assert parse_qs(urlsplit(url).query) == {
        "tenant": ["a"], "response_type": ["code"], "client_id": ["app-id"],
        "redirect_uri": ["https://me.test/cb"], "state": ["s t"], "scope": ["channels:read,chat:write"],
        "audience": ["https://api.example.test"], "prompt": ["a b&c=d"],
        "code_challenge": [oauth2_protocol.code_challenge("v" * 43)], "code_challenge_method": ["S256"],
    }  # fmt: skip
    assert "+" not in url
    assert PLANTED not in url


def test_blueprint_cannot_override_security_parameters() -> None:
    """Not state, redirect_uri or challenge; only `pkce: false` turns PKCE off."""
    own = {"state": "x", "redirect_uri": "https://evil.test/", "code_challenge": "x", "scope": "other"}
    context = make_context(authorization_params=own, scopes=("a",))
    query = parse_qs(urlsplit(login_url(context, redirect_uri="r", state="s", verifier="v" * 43)).query)
    assert query["state"] == ["s"]
    assert query["redirect_uri"] == ["r"]
    assert query["code_challenge"] == [oauth2_protocol.code_challenge("v" * 43)]
    assert query["scope"] == ["other"]
    without = make_context(authorization_params=own, pkce=False)
    url = login_url(without, redirect_uri="r", state="s", verifier="v" * 43)
    assert "code_challenge" not in url
    assert (
        b"verifier"
        not in oauth2_protocol.code_request(without, code="c", redirect_uri="r", verifier="v" * 43).body
    )


def test_authorization_url_matches_authlib() -> None:
    """The same parameters in any order."""
    client = OAuth2Client(
        RecordingSession(),
        "app-id",
        scope="a b",
        redirect_uri="https://me.test/cb",
        code_challenge_method="S256",
    )
    theirs, _ = client.create_authorization_url(
        "https://id.example.test/authorize", state="s", code_verifier="v" * 43
    )
    ours = login_url(
        make_context(scopes=("a", "b")), redirect_uri="https://me.test/cb", state="s", verifier="v" * 43
    )
    assert parse_qs(urlsplit(ours).query) == parse_qs(urlsplit(theirs).query)


@pytest.mark.parametrize(
    ("method", "theirs"), [("header", "client_secret_basic"), ("body", "client_secret_post")]
)
def test_token_requests_match_authlib(method: str, theirs: str) -> None:
    """Code, refresh and client credentials grants have the same Authorization header and the same form."""
    session = RecordingSession()
    client = OAuth2Client(
        session, "app-id", "planted-app-secret", token_endpoint_auth_method=theirs,
        redirect_uri="https://me.test/cb",
    )  # fmt: skip
    client.fetch_token(TOKEN_URL, code="c0de/+ ", grant_type="authorization_code", code_verifier="v" * 43)
    client.refresh_token(TOKEN_URL, refresh_token="planted-old-refresh")
    client.fetch_token(TOKEN_URL, grant_type="client_credentials")
    context = make_context(credentials=STORED, authorization_method=method)
    ours = [
        oauth2_protocol.code_request(
            context, code="c0de/+ ", redirect_uri="https://me.test/cb", verifier="v" * 43
        ),
        oauth2_protocol.refresh_request(context),
        oauth2_protocol.client_credentials_request(make_context("OAUTH2_CC", authorization_method=method)),
    ]
    assert len(session.sent) == len(ours)
    for mine, (verb, url, sent) in zip(ours, session.sent, strict=True):
        assert (mine.method, mine.url) == (verb, url)
        assert mine.headers.get("Authorization") == sent["headers"].get("Authorization")
        assert read_form(mine) == dict(parse_qsl(sent["body"]))


def test_basic_client_authentication_encodes_id_and_secret() -> None:
    """RFC 6749 2.3.1: an id with a colon does not shift the secret."""
    app = {"oauth_client_id": "a:b c", "oauth_client_secret": "s%:/é"}
    request = oauth2_protocol.refresh_request(
        make_context(credentials=STORED, app=app, authorization_method="header")
    )
    sent = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
    assert sent == "a%3Ab%20c:s%25%3A%2F%C3%A9"
    assert set(read_form(request)) == {"grant_type", "refresh_token"}


@pytest.mark.parametrize(
    ("method", "sent"),
    [("body", {"client_id", "client_secret"}), ("header", set()), ("none", {"client_id"})],
)
def test_client_authentication_follows_authorization_method(method: str, sent: set[str]) -> None:
    """In the body, in the header, or by its id alone."""
    request = oauth2_protocol.refresh_request(make_context(credentials=STORED, authorization_method=method))
    assert set(read_form(request)) - {"grant_type", "refresh_token"} == sent
    assert ("Authorization" in request.headers) is (method == "header")


@pytest.mark.parametrize(
    ("body_format", "content_type"),
    [("form", "application/x-www-form-urlencoded"), ("json", "application/json"), ("query", None)],
)
def test_body_format_places_the_parameters(body_format: str, content_type: str | None) -> None:
    """Form, JSON or query."""
    context = make_context(
        credentials=STORED, body_format=body_format, token_headers={"X-App": "${oauth_client_id}"},
        token_params={"resource": "a&b", "nested": {"x": 1, "y": True}},
    )  # fmt: skip
    request = oauth2_protocol.refresh_request(context)
    assert request.headers.get("Content-Type") == content_type
    assert request.headers["X-App"] == "app-id"
    flat = {
        "json": lambda: json.loads(request.body),
        "form": lambda: dict(parse_qsl(request.body.decode())),
        "query": lambda: dict(parse_qsl(urlsplit(request.url).query)),
    }[body_format]()
    assert flat["grant_type"] == "refresh_token"
    assert flat["resource"] == "a&b"
    if body_format == "json":
        assert flat["nested"] == {"x": 1, "y": True}
    else:
        assert (flat["nested[x]"], flat["nested[y]"]) == ("1", "true")
    assert bool(request.body) is (body_format != "query")


def test_refresh_url_and_refresh_params_replace_those_of_the_token() -> None:
    """Without them, token_params apply, but never their grant_type."""
    usual = oauth2_protocol.refresh_request(
        make_context(credentials=STORED, token_params={"grant_type": "x", "a": "1"})
    )
    assert read_form(usual)["grant_type"] == "refresh_token"
    assert read_form(usual)["a"] == "1"
    own = oauth2_protocol.refresh_request(
        make_context(
            credentials=STORED,
            refresh_url="https://id.example.test/refresh",
            token_params={"a": "1"},
            refresh_params={"b": "2"},
        )
    )
    assert own.url == "https://id.example.test/refresh"
    assert "a" not in read_form(own)
    assert read_form(own)["b"] == "2"


def test_token_url_values_cannot_change_the_host() -> None:
    """A value is one DNS label in the host and percent-encoded after it."""
    url = "https://${additional_config.shop}.example.test/t/${additional_config.tenant}/token?v=${additional_config.tenant}"
    good = make_context(credentials=STORED, token_url=url, config={"shop": "acme", "tenant": "a/b c"})
    assert (
        oauth2_protocol.refresh_request(good).url == "https://acme.example.test/t/a%2Fb%20c/token?v=a%2Fb%20c"
    )
    bad = make_context(credentials=STORED, token_url=url, config={"shop": "evil.test/", "tenant": "a"})
    with pytest.raises(ConfigError, match=r"auth.token_url.*not one DNS label") as caught:
        oauth2_protocol.refresh_request(bad)
    assert caught.value.__context__ is None


def test_missing_value_is_reported_without_secrets() -> None:
    """The message names the setting and the variable, and nothing else."""
    context = make_context(credentials=STORED, token_params={"x": "${additional_config.region}"})
    with pytest.raises(
        ConfigError, match=r'auth.token_params.x .*"additional_config.region" has no value'
    ) as caught:
        oauth2_protocol.refresh_request(context)
    assert PLANTED not in str(caught.value)
    assert caught.value.__context__ is None
    with pytest.raises(ConfigError, match="a client id is missing"):
        oauth2_protocol.refresh_request(make_context(credentials=STORED, app={}))


def test_token_headers_reject_line_breaks() -> None:
    """A line break in a value would add a header."""
    context = make_context(
        credentials=STORED,
        token_headers={"X-Tenant": "${additional_config.t}"},
        config={"t": "a\r\nX: planted"},
    )
    with pytest.raises(
        ConfigError, match=r'auth\.token_headers header "X-Tenant" holds a line break'
    ) as caught:
        oauth2_protocol.refresh_request(context)
    assert PLANTED not in str(caught.value)
    assert caught.value.__context__ is None


def test_revocation_covers_both_tokens() -> None:
    """RFC 7009 2.1, refresh token first; nothing if the blueprint has no revocation_url."""
    mode = AUTH_MODES.get("OAUTH2")()
    context = make_context(credentials=STORED, revocation_url="https://id.example.test/revoke")
    first, second = mode.revocation_requests(context)
    assert first.url == "https://id.example.test/revoke"
    assert read_form(first)["token"] == "planted-old-refresh"
    assert read_form(first)["token_type_hint"] == "refresh_token"
    assert read_form(second)["token_type_hint"] == "access_token"
    assert read_form(second)["client_id"] == APP["oauth_client_id"]
    assert mode.revocation_requests(make_context(credentials=STORED)) == ()
    assert AUTH_MODES.get("API_KEY")().revocation_requests(context) == ()


def test_requests_and_contexts_do_not_print_or_pickle_secrets() -> None:
    """Neither repr, str nor pickle contains a secret."""
    context = make_context(credentials=STORED, body_format="query")
    request = oauth2_protocol.refresh_request(context)
    assert PLANTED in request.url
    for value in (context, request, make_response(GRANT)):
        assert PLANTED not in f"{value!r} {value}"
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(value)
