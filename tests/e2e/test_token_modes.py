"""Every auth mode over real sockets: each server checks requests with code that is not ours."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import jwt
import pytest

from nango_py import CredentialsError
from nango_py.secret import reveal
from tests.support.mode_api import BOTH, GET, POST, Answer, Api, Seen, call
from tests.support.token_contexts import pem, rsa_key


@BOTH
def test_client_credentials_fetch_their_first_token_with_the_first_call(kind: str) -> None:
    """The first call fetches a token and stores it; the second call uses it."""

    def judge(seen: Seen) -> Answer:
        if seen.path == "/token":
            given = {name: values[0] for name, values in parse_qs(seen.body.decode()).items()}
            right = given == {
                "grant_type": "client_credentials", "client_id": "own-id", "client_secret": "own-planted"
            }  # fmt: skip
            return (200, {}, {"access_token": "fresh-token", "expires_in": 3600}) if right else (400, {}, {})
        return (200 if seen.headers["authorization"] == "Bearer fresh-token" else 401), {}, {}

    with Api(judge) as api:
        bearer = {"Authorization": "Bearer ${access_token}"}
        with api.nango("OAUTH2_CC", bearer, token_url=f"{api.url}/token") as nango:
            nango.register_connection("it", "u1", {"client_id": "own-id", "client_secret": "own-planted"})
            assert "access_token" not in nango.store.get("it", "u1").credentials
            assert call(nango, kind, GET, POST) == [200, 200]
            assert reveal(nango.store.get("it", "u1").credentials)["access_token"] == "fresh-token"
            assert [seen.path for seen in api.seen].count("/token") == 1
            if kind == "sync":
                nango.register_connection("it", "u2", {"client_id": "own-id", "client_secret": "own-planted"})
                assert nango.session("it", "u2").get("things").status_code == 200


def test_a_plan_before_the_first_token_shows_the_request() -> None:
    """A plan fetches no token, and shows `***` in its place, as if there were one."""
    with Api(lambda _: (200, {}, {"access_token": "fresh-token"})) as api:
        bearer = {"Authorization": "Bearer ${access_token}"}
        with api.nango("OAUTH2_CC", bearer, token_url=f"{api.url}/token") as nango:
            nango.register_connection("it", "u1", {"client_id": "own-id", "client_secret": "own-planted"})
            executor = nango.executor("it", "u1")
            before = str(executor.plan("GET", "things", params={"a": "b"}))
            assert api.seen == []
            assert executor.get("things").status_code == 200
            assert str(executor.plan("GET", "things", params={"a": "b"})) == before
    assert "Authorization: Bearer ***" in before
    assert before.startswith(f"GET {api.url}/")
    assert api.seen[-1].headers["authorization"] == "Bearer fresh-token"


@BOTH
def test_a_signed_assertion_is_checked_by_its_public_key(kind: str) -> None:
    """RFC 7523: issuer, audience and times are those that the token endpoint requires."""
    public = rsa_key().public_key()

    def judge(seen: Seen) -> Answer:
        if seen.path == "/token":
            given = parse_qs(seen.body.decode())
            claims = jwt.decode(given["assertion"][0], public, ["RS256"], audience=f"{api.url}/token")
            right = claims["iss"] == "robot@example.test" and "jwt-bearer" in given["grant_type"][0]
            return (200, {}, {"access_token": "jwt-made", "expires_in": 60}) if right else (400, {}, {})
        return (200 if seen.headers["authorization"] == "Bearer jwt-made" else 401), {}, {}

    with Api(judge) as api:
        bearer = {"Authorization": "Bearer ${access_token}"}
        assertion = {"signing_key": "${private_key}", "payload": {"iss": "${client_email}"}}
        with api.nango("OAUTH2_JWT", bearer, token_url=f"{api.url}/token", assertion=assertion) as nango:
            own = {"private_key": pem(rsa_key()), "client_email": "robot@example.test"}
            nango.register_connection("it", "u1", own)
            assert call(nango, kind, GET, POST) == [200, 200]
    assert len(api.seen) == 3


@BOTH
def test_a_self_made_token_needs_no_token_call(kind: str) -> None:
    """A token is signed before the first call, stored, and used until shortly before it expires."""

    def judge(seen: Seen) -> Answer:
        claims = jwt.decode(seen.headers["authorization"].removeprefix("Own "), SHARED, ["HS256"])
        return (200 if claims["iss"] == "issuer-1" else 401), {}, {}

    with Api(judge) as api:
        made = {"signing_key": "${private_key}", "algorithm": "HS256", "payload": {"iss": "${issuer}"}}
        with api.nango("JWT", {"Authorization": "Own ${token}"}, jwt=made) as nango:
            nango.register_connection("it", "u1", {"private_key": SHARED, "issuer": "issuer-1"})
            assert call(nango, kind, GET, POST) == [200, 200]
    assert len(api.seen) == 2
    assert len({seen.headers["authorization"] for seen in api.seen}) == 1


SHARED = "shared-planted-secret-of-thirty-two-bytes"


@BOTH
def test_a_login_of_two_calls(kind: str) -> None:
    """The second step uses the response to the first; after a wrong password the user must connect again."""

    def judge(seen: Seen) -> Answer:
        if seen.path == "/login":
            right = json.loads(seen.body) == {"name": "ada", "password": "pass-planted"}
            return (200, {}, {"session_id": "s-1"}) if right else (401, {}, {})
        if seen.path == "/sessions/s-1":
            return 200, {"X-Token": "token-of-s-1"}, {"life": 3600}
        return (200 if seen.headers["x-session"] == "token-of-s-1" else 401), {}, {}

    with Api(judge) as api:
        login = {
            "token_url": f"{api.url}/login",
            "token_params": {"name": "${username}", "password": "${password}"},
            "additional_steps": [
                {"token_url": f"{api.url}/sessions/" + "${raw.session_id}", "token_method": "GET"}
            ],
            "token_response": {"token_header": "X-Token", "token_expiration": "life"},
        }
        with api.nango("TWO_STEP", {"X-Session": "${token}"}, **login) as nango:
            nango.register_connection("it", "u1", {"username": "ada", "password": "pass-planted"})
            nango.register_connection("it", "u2", {"username": "ada", "password": "wrong-planted"})
            assert call(nango, kind, GET, POST) == [200, 200]
            assert len(api.seen) == 4
            for _ in range(2):
                with pytest.raises(CredentialsError, match="must connect again"):
                    call(nango, kind, GET, user="u2")
    assert len(api.seen) == 5
