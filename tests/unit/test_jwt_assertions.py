"""Signed JWTs: client assertions, JWT bearer grants and self-made tokens, compared with Authlib and PyJWT."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import jwt
import pytest
from authlib.oauth2.rfc7523 import JWTBearerGrant, PrivateKeyJWT
from joserfc.jwk import RSAKey

from nango_py.protocols import oauth2_protocol
from nango_py.protocols.token_exchange import TokenRefused
from tests.support.token_contexts import (
    GRANT,
    NOW,
    PLANTED,
    STORED,
    TOKEN_URL,
    ec_key,
    make_context,
    make_response,
    pem,
    read_assertion,
    read_form,
    rsa_key,
    run_refresh,
)


def test_private_key_jwt_authenticates_the_client() -> None:
    """RFC 7523 2.2: the assertion has iss, sub, aud, exp and jti, as Authlib's does."""
    context = make_context(
        credentials=STORED, authorization_method="private_key_jwt",
        app={"oauth_client_id": "app-id", "oauth_client_secret": pem(rsa_key())},
        client_assertion={"header": {"kid": "k1"}, "expires_in": 120},
    )  # fmt: skip
    sent = read_form(oauth2_protocol.refresh_request(context))
    assert sent["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert "client_secret" not in sent
    mine = read_assertion(sent["client_assertion"])
    theirs = read_assertion(PrivateKeyJWT(TOKEN_URL).sign(_AuthlibClient(), TOKEN_URL))
    assert set(mine) == set(theirs)
    assert (mine["iss"], mine["sub"], mine["aud"]) == (theirs["iss"], theirs["sub"], theirs["aud"])
    assert mine["exp"] - mine["iat"] == 120
    assert jwt.get_unverified_header(sent["client_assertion"])["kid"] == "k1"
    other = read_form(oauth2_protocol.refresh_request(context))["client_assertion"]
    assert read_assertion(other)["jti"] != mine["jti"]


class _AuthlibClient:
    """The two values that Authlib's assertion needs."""

    client_id = "app-id"
    client_secret = RSAKey.import_key(pem(rsa_key()))


SERVICE_ACCOUNT = {
    "private_key": pem(rsa_key()),
    "private_key_id": "k1",
    "client_email": "robot@example.test",
}


def test_jwt_bearer_request_follows_rfc_7523() -> None:
    """grant_type and assertion; iss, aud, iat, exp and a scope claim, as for a service account."""
    context = make_context(
        "OAUTH2_JWT", SERVICE_ACCOUNT, scopes=("s1", "s2"),
        assertion={
            "header": {"kid": "${private_key_id}"}, "scope_claim": "scope", "expires_in": 3600,
            "issued_ago": 30,
            "payload": {"iss": "${client_email}", "sub": '${additional_config.subject | default("")}'},
        },
    )  # fmt: skip
    (request,), stored = run_refresh(context, make_response(GRANT))
    sent = read_form(request)
    assert set(sent) == {"grant_type", "assertion"}
    assert sent["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = read_assertion(sent["assertion"])
    assert len(claims.pop("jti")) == 32
    assert claims == {
        "iss": "robot@example.test", "aud": TOKEN_URL, "scope": "s1 s2", "iat": NOW - 30, "exp": NOW + 3600
    }  # fmt: skip
    assert jwt.get_unverified_header(sent["assertion"]) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert stored["private_key"] == SERVICE_ACCOUNT["private_key"]
    assert stored["expires_at"] == NOW + 3600


def test_assertion_matches_authlib() -> None:
    """The same header and the same claims, both verified with the public key."""
    declared = {"payload": {"iss": "${client_email}", "jti": "unique"}}
    context = make_context("OAUTH2_JWT", SERVICE_ACCOUNT, assertion=declared)
    mine = read_form(run_refresh(context, make_response(GRANT))[0][0])["assertion"]
    theirs = JWTBearerGrant.sign(
        RSAKey.import_key(SERVICE_ACCOUNT["private_key"]), "robot@example.test", TOKEN_URL,
        issued_at=int(NOW), expires_at=int(NOW) + 300, claims={"jti": "unique"}, header={"alg": "RS256"},
    )  # fmt: skip
    assert read_assertion(mine) == read_assertion(theirs)
    assert jwt.get_unverified_header(mine) == {"typ": "JWT", **jwt.get_unverified_header(theirs)}


def test_github_app_sends_its_assertion_as_bearer_token() -> None:
    """The key is the application's; the response has token and an ISO 8601 expires_at."""
    app = {"oauth_client_id": "12345", "oauth_client_secret": pem(rsa_key()).replace("\n", "\\n")}
    context = make_context(
        "OAUTH2_JWT", app=app, config={"installation": "77"}, assertion_placement="header",
        token_url="https://api.github.com/app/installations/${additional_config.installation}/access_tokens",
        token_path="token", body_format="json",
        assertion={"signing_key": "${oauth_client_secret}", "payload": {"iss": "${oauth_client_id}"},
                   "expires_in": 540, "issued_ago": 60},
    )  # fmt: skip
    response = make_response({"token": "planted-ghs", "expires_at": "2027-01-15T09:00:00Z"}, 201)
    (request,), stored = run_refresh(context, response)
    assert request.url == "https://api.github.com/app/installations/77/access_tokens"
    assert request.body == b"{}"
    claims = jwt.decode(
        request.headers["Authorization"].removeprefix("Bearer "), rsa_key().public_key(),
        algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False},
    )  # fmt: skip
    assert claims == {"iss": "12345", "iat": NOW - 60, "exp": NOW + 540}
    assert (stored["access_token"], stored["expires_at"]) == ("planted-ghs", NOW + 3600)


@pytest.mark.parametrize("algorithm", ["ES256", "HS256", "HS512"])
def test_assertions_can_be_signed_with_ec_and_hmac_keys(algorithm: str) -> None:
    """ES256 with a P-256 key; HMAC with a secret of any length, verified with the plain HMAC."""
    private = pem(ec_key()) if algorithm == "ES256" else "short"
    context = make_context("JWT", {"private_key": private}, jwt={"algorithm": algorithm, "payload": {"n": 1}})
    requests, stored = run_refresh(context)
    assert requests == []
    public: Any = ec_key().public_key() if algorithm == "ES256" else b"short".ljust(64, b"\0")
    read = jwt.decode(
        stored["token"], public, algorithms=[algorithm], options={"verify_exp": False, "verify_iat": False}
    )
    assert read == {"n": 1, "iat": NOW, "exp": NOW + 300}
    assert stored["expires_at"] == NOW + 300
    if algorithm == "HS256":
        text, _, signature = stored["token"].rpartition(".")
        digest = hmac.new(b"short", text.encode(), hashlib.sha256).digest()
        assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == signature


@pytest.mark.parametrize(
    ("encoding", "written"),
    [("hex", b"planted-key".hex()), ("base64", base64.b64encode(b"planted-key").decode())],
)
def test_signing_key_may_be_hex_or_base64(encoding: str, written: str) -> None:
    """The decoded bytes sign (Ghost's key is hex)."""
    declared = {"algorithm": "HS256", "signing_key_encoding": encoding}
    _, stored = run_refresh(make_context("JWT", {"private_key": written}, jwt=declared))
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
def test_unsuitable_key_is_refused_without_showing_it(algorithm: str, encoding: str, key: str) -> None:
    """The message names the algorithm; neither it nor its cause contains the key."""
    declared = {"algorithm": algorithm, "signing_key_encoding": encoding}
    with pytest.raises(TokenRefused, match=f"for {algorithm}") as caught:
        run_refresh(make_context("JWT", {"private_key": key}, jwt=declared))
    assert caught.value.code == "invalid_key"
    assert caught.value.ends_connection
    assert caught.value.__context__ is None
    assert PLANTED not in str(caught.value)
