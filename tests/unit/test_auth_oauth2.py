"""OAuth 2: what is sent for a token, and what is made of the response."""

from __future__ import annotations

import base64
import json
import pickle
import re
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
import pytest
from authlib.oauth2 import OAuth2Client
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc7523 import JWTBearerGrant, PrivateKeyJWT
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc.jwk import RSAKey

from nango_py.errors import ConfigError
from nango_py.protocols import oauth2_protocol
from nango_py.protocols.token_exchange import (
    LARGEST_RESPONSE,
    TokenRefused,
    TokenRequest,
    TokenUnavailable,
)
from nango_py.protocols.token_responses import MAX_LIFETIME
from nango_py.registry import AUTH_MODES
from tests.support.token_contexts import (
    APP,
    NOW,
    PLANTED,
    a_context,
    a_response,
    ec_key,
    frames_of,
    pem,
    renewed,
    rsa_key,
)

HELD = {"access_token": "planted-old-access", "refresh_token": "planted-old-refresh"}
GRANT = {"access_token": "planted-new-access", "token_type": "Bearer", "expires_in": 3600}
TOKEN_URL = "https://id.example.test/token"


def params_of(request: TokenRequest) -> dict[str, str]:
    """The form in a request's body."""
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    pairs = parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def read_token(token: str) -> dict[str, Any]:
    """The claims of a token that our RSA key signed for the token endpoint."""
    unchecked = {"verify_exp": False, "verify_iat": False}
    claims: dict[str, Any] = jwt.decode(
        token, rsa_key().public_key(), algorithms=["RS256"], audience=TOKEN_URL, options=unchecked
    )
    return claims


def refreshed(response: Any, **settings: Any) -> dict[str, Any]:
    """What is stored after a refresh with this response."""
    return renewed(a_context(credentials=HELD, **settings), response)[1]


class Session:
    """As much of requests.Session as Authlib's client needs: it notes what would be sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, dict[str, Any]]] = []

    def post(self, url: str, *, data: Any, headers: dict[str, str], auth: Any, **_: Any) -> Session:
        """Note the request as Authlib's authentication leaves it, and answer with a token."""
        url, headers, body = auth.prepare("POST", url, dict(headers), urlencode(data))
        self.sent.append(("POST", url, {"headers": headers, "body": body}))
        return self

    status_code = 200

    def raise_for_status(self) -> None:
        """Nothing is wrong."""

    def json(self) -> dict[str, Any]:
        """A token."""
        return dict(GRANT)


def test_the_challenge_is_that_of_rfc_7636_appendix_b() -> None:
    """S256 of the verifier that the RFC gives; Authlib says the same of any."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert oauth2_protocol.code_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    mine = oauth2_protocol.code_verifier()
    assert oauth2_protocol.code_challenge(mine) == create_s256_code_challenge(mine)


def test_verifiers_are_as_rfc_7636_wants_and_never_the_same() -> None:
    """43 to 128 unreserved characters, from the system's random source."""
    made = {oauth2_protocol.code_verifier() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier) for verifier in made)


def test_the_authorization_url_says_who_asks_for_what() -> None:
    """RFC 6749 4.1.1, with the challenge and without the verifier."""
    context = a_context(
        scopes=("channels:read", "chat:write"), scope_separator=",",
        authorization_url="https://id.example.test/authorize?tenant=a",
        authorization_params={"audience": "https://api.example.test", "prompt": "${additional_config.p}"},
        config={"p": "a b&c=d"},
    )  # fmt: skip
    url = oauth2_protocol.authorization_url(
        context, redirect_uri="https://me.test/cb", state="s t", verifier="v" * 43
    )
    assert url.startswith("https://id.example.test/authorize?tenant=a&response_type=code&client_id=app-id&")
    assert parse_qs(urlsplit(url).query) == {
        "tenant": ["a"], "response_type": ["code"], "client_id": ["app-id"],
        "redirect_uri": ["https://me.test/cb"], "state": ["s t"], "scope": ["channels:read,chat:write"],
        "audience": ["https://api.example.test"], "prompt": ["a b&c=d"],
        "code_challenge": [oauth2_protocol.code_challenge("v" * 43)], "code_challenge_method": ["S256"],
    }  # fmt: skip
    assert "+" not in url
    assert PLANTED not in url


def test_a_blueprint_cannot_replace_what_binds_the_answer() -> None:
    """State, redirect URI and challenge are the server's; PKCE goes only where the blueprint says no."""
    own = {"state": "x", "redirect_uri": "https://evil.test/", "code_challenge": "x", "scope": "other"}
    context = a_context(authorization_params=own, scopes=("a",))
    query = parse_qs(
        urlsplit(
            oauth2_protocol.authorization_url(context, redirect_uri="r", state="s", verifier="v" * 43)
        ).query
    )
    assert query["state"] == ["s"]
    assert query["redirect_uri"] == ["r"]
    assert query["code_challenge"] == [oauth2_protocol.code_challenge("v" * 43)]
    assert query["scope"] == ["other"]
    without = a_context(authorization_params=own, pkce=False)
    url = oauth2_protocol.authorization_url(without, redirect_uri="r", state="s", verifier="v" * 43)
    assert "code_challenge" not in url
    assert (
        b"verifier"
        not in oauth2_protocol.code_request(without, code="c", redirect_uri="r", verifier="v" * 43).body
    )


def test_our_authorization_url_and_authlibs_mean_the_same() -> None:
    """The same parameters, whatever their order."""
    client = OAuth2Client(
        Session(), "app-id", scope="a b", redirect_uri="https://me.test/cb", code_challenge_method="S256"
    )
    theirs, _ = client.create_authorization_url(
        "https://id.example.test/authorize", state="s", code_verifier="v" * 43
    )
    ours = oauth2_protocol.authorization_url(
        a_context(scopes=("a", "b")), redirect_uri="https://me.test/cb", state="s", verifier="v" * 43
    )
    assert parse_qs(urlsplit(ours).query) == parse_qs(urlsplit(theirs).query)


@pytest.mark.parametrize(
    ("method", "theirs"), [("header", "client_secret_basic"), ("body", "client_secret_post")]
)
def test_our_token_requests_and_authlibs_are_the_same(method: str, theirs: str) -> None:
    """Code, refresh and client credentials: the same Authorization header, the same form."""
    session = Session()
    client = OAuth2Client(
        session, "app-id", "planted-app-secret", token_endpoint_auth_method=theirs,
        redirect_uri="https://me.test/cb",
    )  # fmt: skip
    client.fetch_token(TOKEN_URL, code="c0de/+ ", grant_type="authorization_code", code_verifier="v" * 43)
    client.refresh_token(TOKEN_URL, refresh_token="planted-old-refresh")
    client.fetch_token(TOKEN_URL, grant_type="client_credentials")
    context = a_context(credentials=HELD, authorization_method=method)
    ours = [
        oauth2_protocol.code_request(
            context, code="c0de/+ ", redirect_uri="https://me.test/cb", verifier="v" * 43
        ),
        oauth2_protocol.refresh_request(context),
        oauth2_protocol.client_credentials_request(a_context("OAUTH2_CC", authorization_method=method)),
    ]
    assert len(session.sent) == len(ours)
    for mine, (verb, url, sent) in zip(ours, session.sent, strict=True):
        assert (mine.method, mine.url) == (verb, url)
        assert mine.headers.get("Authorization") == sent["headers"].get("Authorization")
        assert params_of(mine) == dict(parse_qsl(sent["body"]))


def test_basic_client_authentication_encodes_both_parts_first() -> None:
    """RFC 6749 2.3.1: an id with a colon does not shift the secret."""
    app = {"oauth_client_id": "a:b c", "oauth_client_secret": "s%:/é"}
    request = oauth2_protocol.refresh_request(
        a_context(credentials=HELD, app=app, authorization_method="header")
    )
    sent = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
    assert sent == "a%3Ab%20c:s%25%3A%2F%C3%A9"
    assert set(params_of(request)) == {"grant_type", "refresh_token"}


@pytest.mark.parametrize(
    ("method", "sent"),
    [("body", {"client_id", "client_secret"}), ("header", set()), ("none", {"client_id"})],
)
def test_the_client_says_who_it_is_as_declared(method: str, sent: set[str]) -> None:
    """In the body, in the header, or by its id alone."""
    request = oauth2_protocol.refresh_request(a_context(credentials=HELD, authorization_method=method))
    assert set(params_of(request)) - {"grant_type", "refresh_token"} == sent
    assert ("Authorization" in request.headers) is (method == "header")


def test_a_private_key_says_who_the_client_is() -> None:
    """RFC 7523 2.2: the assertion carries iss, sub, aud, exp and a jti, as Authlib's does."""
    context = a_context(
        credentials=HELD, authorization_method="private_key_jwt",
        app={"oauth_client_id": "app-id", "oauth_client_secret": pem(rsa_key())},
        client_assertion={"header": {"kid": "k1"}, "expires_in": 120},
    )  # fmt: skip
    sent = params_of(oauth2_protocol.refresh_request(context))
    assert sent["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert "client_secret" not in sent
    mine = read_token(sent["client_assertion"])
    theirs = read_token(PrivateKeyJWT(TOKEN_URL).sign(_AuthlibClient(), TOKEN_URL))
    assert set(mine) == set(theirs)
    assert (mine["iss"], mine["sub"], mine["aud"]) == (theirs["iss"], theirs["sub"], theirs["aud"])
    assert mine["exp"] - mine["iat"] == 120
    assert jwt.get_unverified_header(sent["client_assertion"])["kid"] == "k1"
    other = params_of(oauth2_protocol.refresh_request(context))["client_assertion"]
    assert read_token(other)["jti"] != mine["jti"]


class _AuthlibClient:
    """The two values that Authlib's assertion needs."""

    client_id = "app-id"
    client_secret = RSAKey.import_key(pem(rsa_key()))


@pytest.mark.parametrize(
    ("body_format", "content_type"),
    [("form", "application/x-www-form-urlencoded"), ("json", "application/json"), ("query", None)],
)
def test_the_parameters_stand_where_the_blueprint_says(body_format: str, content_type: str | None) -> None:
    """Form, JSON or query."""
    context = a_context(
        credentials=HELD, body_format=body_format, token_headers={"X-App": "${oauth_client_id}"},
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


def test_a_refresh_has_its_own_url_and_parameters_where_declared() -> None:
    """token_params otherwise, and never their grant_type."""
    usual = oauth2_protocol.refresh_request(
        a_context(credentials=HELD, token_params={"grant_type": "x", "a": "1"})
    )
    assert params_of(usual)["grant_type"] == "refresh_token"
    assert params_of(usual)["a"] == "1"
    own = oauth2_protocol.refresh_request(
        a_context(
            credentials=HELD,
            refresh_url="https://id.example.test/refresh",
            token_params={"a": "1"},
            refresh_params={"b": "2"},
        )
    )
    assert own.url == "https://id.example.test/refresh"
    assert "a" not in params_of(own)
    assert params_of(own)["b"] == "2"


def test_a_token_url_takes_values_by_their_place() -> None:
    """One label in the host, percent-encoded behind it; a value cannot lead elsewhere."""
    url = "https://${additional_config.shop}.example.test/t/${additional_config.tenant}/token?v=${additional_config.tenant}"
    good = a_context(credentials=HELD, token_url=url, config={"shop": "acme", "tenant": "a/b c"})
    assert (
        oauth2_protocol.refresh_request(good).url == "https://acme.example.test/t/a%2Fb%20c/token?v=a%2Fb%20c"
    )
    bad = a_context(credentials=HELD, token_url=url, config={"shop": "evil.test/", "tenant": "a"})
    with pytest.raises(ConfigError, match=r"auth.token_url.*not one DNS label") as caught:
        oauth2_protocol.refresh_request(bad)
    assert caught.value.__context__ is None


def test_a_missing_value_is_named() -> None:
    """The setting and the variable, not what else is there."""
    context = a_context(credentials=HELD, token_params={"x": "${additional_config.region}"})
    with pytest.raises(
        ConfigError, match=r'auth.token_params.x .*"additional_config.region" has no value'
    ) as caught:
        oauth2_protocol.refresh_request(context)
    assert PLANTED not in str(caught.value)
    assert caught.value.__context__ is None
    with pytest.raises(ConfigError, match="a client id is missing"):
        oauth2_protocol.refresh_request(a_context(credentials=HELD, app={}))


def test_an_answer_becomes_credentials() -> None:
    """Unix seconds, and the whole response as raw, over what raw had."""
    held = {**HELD, "raw": {"team": {"id": "T1"}, "expires_in": 1}, "expires_at": 5.0}
    _, stored = renewed(
        a_context(credentials=held, scopes=("a", "b")), a_response({**GRANT, "refresh_token": "r2"})
    )
    assert stored == {
        "access_token": "planted-new-access", "refresh_token": "r2", "expires_at": NOW + 3600,
        "token_type": "Bearer", "scope": "a b",
        "raw": {"team": {"id": "T1"}, **GRANT, "refresh_token": "r2"},
    }  # fmt: skip
    assert held["expires_at"] == 5.0


def test_an_answer_without_a_refresh_token_keeps_the_old_one() -> None:
    """RFC 6749 6; also where it says null or an empty text."""
    for extra in ({}, {"refresh_token": None}, {"refresh_token": ""}):
        assert refreshed(a_response({**GRANT, **extra}))["refresh_token"] == "planted-old-refresh"


def test_narrowed_scopes_are_noted_and_no_error() -> None:
    """RFC 6749 3.3 lets a provider grant less than was asked for."""
    assert refreshed(a_response({**GRANT, "scope": "a"}), scopes=("a", "b"))["scope"] == "a"
    assert refreshed(a_response({**GRANT, "scope": ["a", "b"]}))["scope"] == "a b"


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
def test_a_life_is_read_in_every_form(
    extra: dict[str, Any], settings: dict[str, Any], expires_at: float | None
) -> None:
    """What says nothing leaves expires_at away; what says too much is cut to ten years."""
    response = {"access_token": "planted-new-access", **extra}
    assert refreshed(a_response(response), **settings).get("expires_at") == expires_at


def test_a_token_may_stand_deeper() -> None:
    """Slack's user token: its life and refresh token stand beside it."""
    response = {
        "ok": True, "access_token": "planted-bot",
        "authed_user": {
            "access_token": "planted-user", "refresh_token": "planted-r2", "expires_in": 60,
            "scope": "x", "token_type": "user",
        },
    }  # fmt: skip
    stored = refreshed(a_response(response), token_path="authed_user.access_token")
    assert stored["access_token"] == "planted-user"
    assert stored["refresh_token"] == "planted-r2"
    assert (stored["expires_at"], stored["scope"], stored["token_type"]) == (NOW + 60, "x", "user")
    assert stored["raw"]["access_token"] == "planted-bot"


def test_a_form_is_an_answer_too() -> None:
    """GitHub answers so unless it is asked for JSON."""
    stored = refreshed(a_response("access_token=planted-x%21&scope=repo&token_type=bearer&expires_in=60"))
    assert (stored["access_token"], stored["scope"], stored["expires_at"]) == ("planted-x!", "repo", NOW + 60)


def test_values_are_kept_for_additional_config() -> None:
    """From the response by path, from the callback by name; what is not there is left out."""
    context = a_context(
        keep_from_response={"instance": "urls.instance", "none": "x.y", "whole": "urls"},
        keep_from_callback=["realmId", "other"],
    )  # fmt: skip
    response = a_response({**GRANT, "urls": {"instance": "acme"}})
    kept = oauth2_protocol.values_to_keep(context, response, {"realmId": "123", "code": "planted-code"})
    assert kept == {"instance": "acme", "realmId": "123"}


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
def test_a_hostile_answer_is_a_typed_error(body: Any) -> None:
    """It is tried again later; nothing of it is in the error."""
    with pytest.raises(TokenUnavailable) as caught:
        refreshed(a_response(body))
    assert PLANTED not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("kind", ["mac", "DPoP", "pop"])
def test_a_token_that_needs_a_key_is_refused(kind: str) -> None:
    """RFC 6749 7.1: a client must not use a token whose type it does not understand."""
    with pytest.raises(TokenRefused, match="unsupported type"):
        refreshed(a_response({**GRANT, "token_type": kind}))


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
        (400, {"error": "planted secret with blanks"}, "", False),
        (400, "error=invalid_grant", "invalid_grant", True),
        (403, b"<html>planted</html>", "", False),
        (404, None, "", False),
    ],
)
def test_a_final_refusal_carries_its_word_and_no_secret(
    status: int, body: Any, word: str, *, ends: bool
) -> None:
    """Only what the user can mend ends the connection."""
    with pytest.raises(TokenRefused) as caught:
        refreshed(a_response(body, status))
    assert (caught.value.code, caught.value.ends_connection, caught.value.status) == (word, ends, status)
    assert PLANTED not in f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("status", "body", "headers", "wait"),
    [
        (503, b"planted", {}, None),
        (500, {"error": "invalid_grant"}, {}, None),
        (429, b"", {"Retry_After": "30"}, 30.0),
        (429, b"", {"Retry_After": "99999999999999999999"}, 86_400.0),
        (503, b"", {"Retry_After": "-1"}, None),
        (
            503, b"",
            {"Retry_After": "Fri, 15 Jan 2027 10:01:00 GMT", "Date": "Fri, 15 Jan 2027 10:00:30 GMT"}, 30.0,
        ),
        (503, b"", {"retry_after": "Fri, 15 Jan 2027 08:00:10 GMT"}, 10.0),
        (408, b"", {}, None),
        (302, b"", {"Location": "https://evil.test/"}, None),
        (200, {"error": "temporarily_unavailable"}, {}, None),
        (400, {"error": "slow_down"}, {}, None),
    ],
)  # fmt: skip
def test_what_passes_by_itself_is_unavailable(
    status: int, body: Any, headers: dict[str, str], wait: float | None
) -> None:
    """5xx, 429, redirects and the words of RFC 6749 for later; the wait is the server's own."""
    with pytest.raises(TokenUnavailable) as caught:
        refreshed(a_response(body, status, **headers))
    assert (caught.value.retry_after, caught.value.status) == (wait, status)
    assert PLANTED not in str(caught.value)


def test_authlib_refuses_what_we_refuse() -> None:
    """The control: an error in a response is one for both."""
    with pytest.raises(OAuth2Error):
        OAuth2Client(Session(), "x").parse_response_token(_Refusing())
    with pytest.raises(TokenRefused):
        refreshed(a_response({"error": "invalid_grant"}, 400))


class _Refusing(Session):
    """A response with an error."""

    status_code = 400

    def json(self) -> dict[str, Any]:
        """The error."""
        return {"error": "invalid_grant"}


def test_only_a_refresh_token_renews_a_users_grant() -> None:
    """Or the application's own id and secret, where the blueprint says so in the original's words."""
    mode = AUTH_MODES.get("OAUTH2")()
    own = {"token_params": {"grant_type": "client_credentials"}}
    assert mode.can_refresh(HELD, {})
    assert not mode.can_refresh({"access_token": "x"}, {})
    assert mode.can_refresh({"access_token": "x"}, own)
    (request,), _ = renewed(a_context(credentials={"access_token": "x"}, **own), a_response(GRANT))
    assert params_of(request)["grant_type"] == "client_credentials"
    with pytest.raises(ConfigError, match="no refresh token"):
        renewed(a_context(credentials={"access_token": "x"}))


def test_a_mode_knows_how_long_its_credentials_live() -> None:
    """Nothing known, a moment, and a token that has yet to be fetched."""
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
        key.refresh(a_context("API_KEY", {"api_key": "planted"}))


def test_client_credentials_are_the_connections_or_the_applications() -> None:
    """The connection's own come first; a refusal of them is the user's to mend."""
    own = {"client_id": "user-id", "client_secret": "planted-user-secret"}
    (request,), stored = renewed(a_context("OAUTH2_CC", own, scopes=("a",)), a_response(GRANT))
    assert params_of(request) == {
        "grant_type": "client_credentials", "scope": "a", "client_id": "user-id",
        "client_secret": "planted-user-secret",
    }  # fmt: skip
    assert stored["client_secret"] == "planted-user-secret"
    assert stored["access_token"] == "planted-new-access"
    (request,), _ = renewed(a_context("OAUTH2_CC"), a_response(GRANT))
    assert params_of(request)["client_id"] == "app-id"
    for held, ends in ((own, True), ({}, False)):
        with pytest.raises(TokenRefused) as caught:
            renewed(a_context("OAUTH2_CC", held), a_response({"error": "invalid_client"}, 401))
        assert caught.value.ends_connection is ends
        assert caught.value.__context__ is None


def test_the_password_grant_is_declared() -> None:
    """RFC 6749 4.3 needs no code: token_params name the grant and its two parameters."""
    declared = {"grant_type": "password", "username": "${username}", "password": "${password}"}
    held = {"username": "ada", "password": "planted-password"}
    (request,), _ = renewed(a_context("OAUTH2_CC", held, token_params=declared), a_response(GRANT))
    assert params_of(request) == {
        **declared, **held, "client_id": "app-id", "client_secret": "planted-app-secret"
    }  # fmt: skip


SERVICE_ACCOUNT = {
    "private_key": pem(rsa_key()),
    "private_key_id": "k1",
    "client_email": "robot@example.test",
}


def test_a_jwt_bearer_request_is_that_of_rfc_7523() -> None:
    """grant_type and assertion; iss, aud, iat, exp and a scope claim, as a service account sends."""
    context = a_context(
        "OAUTH2_JWT", SERVICE_ACCOUNT, scopes=("s1", "s2"),
        assertion={
            "header": {"kid": "${private_key_id}"}, "scope_claim": "scope", "expires_in": 3600,
            "issued_ago": 30,
            "payload": {"iss": "${client_email}", "sub": '${additional_config.subject | default("")}'},
        },
    )  # fmt: skip
    (request,), stored = renewed(context, a_response(GRANT))
    sent = params_of(request)
    assert set(sent) == {"grant_type", "assertion"}
    assert sent["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = read_token(sent["assertion"])
    assert len(claims.pop("jti")) == 32
    assert claims == {
        "iss": "robot@example.test", "aud": TOKEN_URL, "scope": "s1 s2", "iat": NOW - 30, "exp": NOW + 3600
    }  # fmt: skip
    assert jwt.get_unverified_header(sent["assertion"]) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert stored["private_key"] == SERVICE_ACCOUNT["private_key"]
    assert stored["expires_at"] == NOW + 3600


def test_our_assertion_and_authlibs_are_the_same() -> None:
    """The same header and the same claims, both verified by the public key."""
    declared = {"payload": {"iss": "${client_email}", "jti": "unique"}}
    context = a_context("OAUTH2_JWT", SERVICE_ACCOUNT, assertion=declared)
    mine = params_of(renewed(context, a_response(GRANT))[0][0])["assertion"]
    theirs = JWTBearerGrant.sign(
        RSAKey.import_key(SERVICE_ACCOUNT["private_key"]), "robot@example.test", TOKEN_URL,
        issued_at=int(NOW), expires_at=int(NOW) + 300, claims={"jti": "unique"}, header={"alg": "RS256"},
    )  # fmt: skip
    assert read_token(mine) == read_token(theirs)
    assert jwt.get_unverified_header(mine) == {"typ": "JWT", **jwt.get_unverified_header(theirs)}


def test_a_github_app_sends_its_assertion_as_bearer_token() -> None:
    """The key is the application's; the response says token and an ISO expires_at."""
    app = {"oauth_client_id": "12345", "oauth_client_secret": pem(rsa_key()).replace("\n", "\\n")}
    context = a_context(
        "OAUTH2_JWT", app=app, config={"installation": "77"}, assertion_placement="header",
        token_url="https://api.github.com/app/installations/${additional_config.installation}/access_tokens",
        token_path="token", body_format="json",
        assertion={"signing_key": "${oauth_client_secret}", "payload": {"iss": "${oauth_client_id}"},
                   "expires_in": 540, "issued_ago": 60},
    )  # fmt: skip
    response = a_response({"token": "planted-ghs", "expires_at": "2027-01-15T09:00:00Z"}, 201)
    (request,), stored = renewed(context, response)
    assert request.url == "https://api.github.com/app/installations/77/access_tokens"
    assert request.body == b"{}"
    claims = jwt.decode(
        request.headers["Authorization"].removeprefix("Bearer "), rsa_key().public_key(),
        algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False},
    )  # fmt: skip
    assert claims == {"iss": "12345", "iat": NOW - 60, "exp": NOW + 540}
    assert (stored["access_token"], stored["expires_at"]) == ("planted-ghs", NOW + 3600)


@pytest.mark.parametrize("algorithm", ["ES256", "HS256", "HS512"])
def test_assertions_are_signed_by_other_keys_too(algorithm: str) -> None:
    """ES256 by a P-256 key; HMAC by a secret of any length, with the plain HMAC's signature."""
    private = pem(ec_key()) if algorithm == "ES256" else "short"
    context = a_context("JWT", {"private_key": private}, jwt={"algorithm": algorithm, "payload": {"n": 1}})
    requests, stored = renewed(context)
    assert requests == []
    public: Any = ec_key().public_key() if algorithm == "ES256" else b"short".ljust(64, b"\0")
    read = jwt.decode(
        stored["token"], public, algorithms=[algorithm], options={"verify_exp": False, "verify_iat": False}
    )
    assert read == {"n": 1, "iat": NOW, "exp": NOW + 300}
    assert stored["expires_at"] == NOW + 300
    if algorithm == "HS256":
        import hashlib
        import hmac

        text, _, signature = stored["token"].rpartition(".")
        digest = hmac.new(b"short", text.encode(), hashlib.sha256).digest()
        assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == signature


@pytest.mark.parametrize(
    ("encoding", "written"),
    [("hex", b"planted-key".hex()), ("base64", base64.b64encode(b"planted-key").decode())],
)
def test_a_signing_key_may_be_written_in_hex_or_base64(encoding: str, written: str) -> None:
    """The bytes sign, not their spelling (Ghost's key is hex)."""
    declared = {"algorithm": "HS256", "signing_key_encoding": encoding}
    _, stored = renewed(a_context("JWT", {"private_key": written}, jwt=declared))
    jwt.decode(
        stored["token"], b"planted-key".ljust(64, b"\0"), algorithms=["HS256"],
        options={"verify_exp": False, "verify_iat": False},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("algorithm", "encoding", "key"),
    [
        ("RS256", "text", "planted-no-pem"), ("RS256", "text", pem(ec_key())),
        ("ES256", "text", pem(rsa_key())),
        ("HS256", "text", pem(rsa_key())), ("HS256", "hex", "planted"), ("HS256", "base64", "planted!"),
        ("RS256", "text", "-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----"),
    ],
)  # fmt: skip
def test_a_key_of_another_kind_is_refused_unseen(algorithm: str, encoding: str, key: str) -> None:
    """The algorithm is named; the key is in neither the message nor what it came from."""
    declared = {"algorithm": algorithm, "signing_key_encoding": encoding}
    with pytest.raises(TokenRefused, match=f"for {algorithm}") as caught:
        renewed(a_context("JWT", {"private_key": key}, jwt=declared))
    assert caught.value.code == "invalid_key"
    assert caught.value.ends_connection
    assert caught.value.__context__ is None
    assert PLANTED not in str(caught.value)


def test_revocation_withdraws_both_tokens() -> None:
    """RFC 7009 2.1, refresh token first; nothing where the blueprint names no URL."""
    mode = AUTH_MODES.get("OAUTH2")()
    context = a_context(credentials=HELD, revocation_url="https://id.example.test/revoke")
    first, second = mode.revocation_requests(context)
    assert first.url == "https://id.example.test/revoke"
    assert params_of(first)["token"] == "planted-old-refresh"
    assert params_of(first)["token_type_hint"] == "refresh_token"
    assert params_of(second)["token_type_hint"] == "access_token"
    assert params_of(second)["client_id"] == APP["oauth_client_id"]
    assert mode.revocation_requests(a_context(credentials=HELD)) == ()
    assert AUTH_MODES.get("API_KEY")().revocation_requests(context) == ()


def test_requests_and_contexts_never_show_what_they_hold() -> None:
    """Neither repr, nor str, nor pickle."""
    context = a_context(credentials=HELD, body_format="query")
    request = oauth2_protocol.refresh_request(context)
    assert PLANTED in request.url
    for value in (context, request, a_response(GRANT)):
        assert PLANTED not in f"{value!r} {value}"
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(value)


@pytest.mark.parametrize("path", ["access_token[", "abs('x')", "nope(@)"])
def test_a_wrong_path_is_told_as_the_settings_fault(path: str) -> None:
    """Not as the provider's."""
    with pytest.raises(ConfigError, match=r"auth\.token_path .*JMESPath"):
        refreshed(a_response({"n": 1, "access_token": 5}), token_path=path)


def test_a_moment_is_read_by_the_servers_clock() -> None:
    """With our clock an hour late a token would seem to live an hour longer; seconds are noise."""
    ahead = "Fri, 15 Jan 2027 09:00:00 GMT"
    response = {"access_token": "planted", "expires_at": NOW + 4200}
    assert refreshed(a_response(response, Date=ahead))["expires_at"] == NOW + 600
    assert refreshed(a_response(response, Date="Fri, 15 Jan 2027 08:00:20 GMT"))["expires_at"] == NOW + 4200
    assert refreshed(a_response(GRANT, Date=ahead))["expires_at"] == NOW + 3600


def test_a_header_of_a_token_call_is_checked_before_it_is_sent() -> None:
    """A line break in a value would add a header."""
    context = a_context(
        credentials=HELD,
        token_headers={"X-Tenant": "${additional_config.t}"},
        config={"t": "a\r\nX: planted"},
    )
    with pytest.raises(
        ConfigError, match=r'auth\.token_headers header "X-Tenant" holds a line break'
    ) as caught:
        oauth2_protocol.refresh_request(context)
    assert PLANTED not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("settings", "response"),
    [
        ({"token_params": {"a": "${additional_config.none}"}}, a_response(GRANT)),
        ({"app": {}}, a_response(GRANT)),
        ({}, a_response({"error": "invalid_grant", "echo": "planted"}, 400)),
        ({}, a_response({**GRANT, "access_token": "planted\n"})),
        ({"token_path": "x["}, a_response(GRANT)),
    ],
)
def test_the_frames_of_an_error_hold_no_secret(settings: dict[str, Any], response: Any) -> None:
    """Error trackers print the local variables of each frame."""
    with pytest.raises((ConfigError, TokenRefused, TokenUnavailable)) as caught:
        renewed(a_context(credentials=HELD, **settings), response)
    assert "call: " in frames_of(caught.value) or "refresh: " in frames_of(caught.value)
    assert PLANTED not in frames_of(caught.value)
