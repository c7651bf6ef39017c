"""DIGEST, SIGNATURE and MTLS: what is sent instead of the secret itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import pickle
import re
from typing import Any

import pytest

from nango_py.errors import ConfigError, CredentialsError, InvalidRequest
from nango_py.protocols import digest_challenge
from nango_py.protocols.signed_request import SignedRequest
from nango_py.registry import AUTH_MODES
from tests.support.token_contexts import NOW, PLANTED, frames_of

MUFASA = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
PAGE = SignedRequest("GET", "http://www.example.org/dir/index.html")
NONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
DOE = (
    'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
    'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
    'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash={userhash}'
)


def answered(challenge: str, request: SignedRequest = PAGE, **login: str) -> dict[str, str]:
    """The parameters of the response to a challenge."""
    who = {"username": "Mufasa", "password": "Circle of Life", "client_nonce": NONCE, **login}
    value = digest_challenge.build_authorization({"WWW-Authenticate": challenge}, request, **who)
    assert value is not None
    (found,) = digest_challenge.parse_challenges(value)
    return found


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_matches_rfc_7616_section_3_9_1(algorithm: str, response: str) -> None:
    """Every parameter of the RFC's two headers."""
    assert answered(MUFASA.format(algorithm=algorithm)) == {
        "username": "Mufasa", "realm": "http-auth@example.org", "uri": "/dir/index.html",
        "algorithm": algorithm, "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "nc": "00000001",
        "cnonce": NONCE, "qop": "auth", "response": response,
        "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("userhash", "name", "value"),
    [
        ("true", "username", "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"),
        ("false", "username*", "UTF-8''J%C3%A4s%C3%B8n%20Doe"),
    ],
)
def test_a_user_name_is_hashed_or_encoded_as_rfc_7616_section_3_9_2(
    userhash: str, name: str, value: str
) -> None:
    """SHA-512-256 as erratum 4897 computes it: the RFC printed the hashes of a draft."""
    found = answered(
        DOE.format(userhash=userhash), SignedRequest("GET", "http://api.example.org/doe.json"),
        username="Jäsøn Doe", password="Secret, or not?",
        client_nonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
    )  # fmt: skip
    assert found["response"] == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
    assert found[name] == value


def test_the_strongest_challenge_is_answered() -> None:
    """Several in one header or in several, Basic among them; MD5 only where nothing better is offered."""
    both = f'{MUFASA.format(algorithm="MD5")}, Basic realm="x", {MUFASA.format(algorithm="SHA-256")}'
    assert answered(both)["algorithm"] == "SHA-256"
    assert len(digest_challenge.parse_challenges(both)) == 2
    assert (
        answered(f'Negotiate, Basic realm="a, Digest nonce=1", {MUFASA.format(algorithm="md5")}')["algorithm"]
        == "MD5"
    )


@pytest.mark.parametrize(
    "challenge",
    [
        "", 'Basic realm="x"', 'Digest realm="x"', 'Digest nonce="x"', "Digest",
        'Digest realm="x", nonce="y", algorithm=SHA-1', 'Digest realm="x", nonce="y", qop="other"',
        'Digest realm="x', "Digest =,=,=", "\x00", 'Digest realm="' + "x" * 100_000,
    ],
)  # fmt: skip
def test_unsupported_challenges_are_not_answered(challenge: str) -> None:
    """The 401 is then the response."""
    mode = AUTH_MODES.get("DIGEST")()
    variables = {"username": "ada", "password": "planted-password"}
    assert mode.answer_challenge({"www-authenticate": challenge}, PAGE, variables) is None
    assert mode.answer_challenge({}, PAGE, variables) is None


def test_a_session_and_a_server_of_rfc_2069_and_a_signed_body() -> None:
    """-sess hashes the nonces into the secret; without qop there is no count; auth-int takes in the body."""

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 - what the RFC computes

    base = md5("Mufasa:r:Circle of Life")
    session = answered('Digest realm="r", nonce="n", qop=auth, algorithm=MD5-sess')
    inner = md5(f"{base}:n:{NONCE}")
    assert session["response"] == md5(f"{inner}:n:00000001:{NONCE}:auth:{md5('GET:/dir/index.html')}")
    assert session["algorithm"] == "MD5-sess"
    old = answered('Digest realm="r", nonce="n"')
    assert old["response"] == md5(f"{base}:n:{md5('GET:/dir/index.html')}")
    assert not {"nc", "qop", "cnonce", "algorithm"} & set(old)
    request = SignedRequest("POST", "https://h.test/a?b=c", {}, b"body")
    entity = answered('Digest realm="r", nonce="n", qop="auth-int"', request)
    what = md5(f"POST:/a?b=c:{md5('body')}")
    assert entity["response"] == md5(f"{base}:n:00000001:{NONCE}:auth-int:{what}")
    stream = SignedRequest("POST", "https://h.test/", {}, None)
    headers = {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth-int"'}
    assert digest_challenge.build_authorization(headers, stream, "u", "p") is None


def test_the_header_never_contains_the_password_and_never_repeats() -> None:
    """A new client nonce each time; quotes in names cannot end a parameter."""
    mode = AUTH_MODES.get("DIGEST")()
    variables = {"username": 'a"b\\c', "password": "planted-password"}
    headers = {"WWW-Authenticate": MUFASA.format(algorithm="SHA-256")}
    values = [mode.answer_challenge(headers, PAGE, variables)["Authorization"] for _ in range(100)]
    assert len(set(values)) == 100
    assert not any(PLANTED in value for value in values)
    assert digest_challenge.parse_challenges(values[0])[0]["username"] == 'a"b\\c'


VARIABLES = {"api_key": "key-1", "api_secret": "planted-secret", "additional_config": {"app": "A1"}}
CALL = SignedRequest(
    "post", "https://api.example.test/v1/x%20y?b=2&a=1", {"Content-Type": "text/plain"}, b"body"
)


def signed(declared: dict[str, Any], request: SignedRequest = CALL) -> dict[str, str]:
    """The headers that SIGNATURE adds."""
    headers: dict[str, str] = AUTH_MODES.get("SIGNATURE")().sign(
        request, VARIABLES, {"signature": declared}, NOW
    )
    return headers


def test_the_declared_parts_are_signed_in_their_order() -> None:
    """Words, templates and headers of the request, with what joins them; hex or base64 of any hash."""
    declared = {
        "algorithm": "sha512", "encoding": "base64", "joined_by": "\n",
        "parts": ["method", "path", "query", {"header": "content-type"},
                  {"text": "app ${additional_config.app}"}, "timestamp", "body_sha256"],
        "headers": {
            "Authorization": [{"text": "HMAC "}, "api_key", {"text": ":"}, "signature"],
            "X-Time": ["timestamp"],
        },
    }  # fmt: skip
    text = f"POST\n/v1/x%20y\nb=2&a=1\ntext/plain\napp A1\n1800000000\n{hashlib.sha256(b'body').hexdigest()}"
    expected = base64.b64encode(hmac.digest(b"planted-secret", text.encode(), "sha512")).decode()
    assert signed(declared) == {"Authorization": f"HMAC key-1:{expected}", "X-Time": "1800000000"}


def test_without_declared_parts_the_usual_ones_are_signed() -> None:
    """Timestamp, method, target and body, as hex of SHA-256 in X-Signature."""
    expected = hmac.digest(b"planted-secret", b"1800000000POST/v1/x%20y?b=2&a=1body", "sha256").hex()
    assert signed({}) == {"X-Signature": expected}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("host", "api.example.test"), ("url", CALL.url), ("target", "/v1/x%20y?b=2&a=1"),
        ("api_key", "key-1"), ("timestamp_ms", "1800000000000"), ("body", "body"),
        ("iso_time", "2027-01-15T08:00:00Z"),
        ("http_date", "Fri, 15 Jan 2027 08:00:00 GMT"), ("body_md5", "841a2d689ad86bd1611447453c22c6fc"),
        ("body_sha256_base64", base64.b64encode(hashlib.sha256(b"body").digest()).decode()),
    ],
)  # fmt: skip
def test_each_word_stands_for_a_part_of_the_request(word: str, value: str) -> None:
    """In headers as in what is signed."""
    found = signed({"parts": [word], "headers": {"X-Part": [word], "X-Signature": ["signature"]}})
    assert found["X-Part"] == value
    assert found["X-Signature"] == hmac.digest(b"planted-secret", value.encode(), "sha256").hex()


def test_each_attempt_has_its_own_nonce_and_the_secret_stays() -> None:
    """The same nonce in the header and in what is signed; another one the next time."""
    declared = {"parts": ["nonce"], "headers": {"X-Nonce": ["nonce"], "X-Signature": ["signature"]}}
    first, second = signed(declared), signed(declared)
    assert first["X-Nonce"] != second["X-Nonce"]
    assert first["X-Signature"] == hmac.digest(b"planted-secret", first["X-Nonce"].encode(), "sha256").hex()
    assert PLANTED not in str(first)


@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_a_secret_in_another_encoding_is_rejected_without_showing_it(encoding: str) -> None:
    """Its bytes sign; a secret that is not hex or base64 is an error that the user can fix."""
    with pytest.raises(CredentialsError, match=f'"api_secret" is not valid {encoding}') as caught:
        signed({"key_encoding": encoding})
    assert caught.value.__context__ is None
    secret = b"planted".hex() if encoding == "hex" else base64.b64encode(b"planted").decode()
    mode, variables = AUTH_MODES.get("SIGNATURE")(), {**VARIABLES, "api_secret": secret}
    found = mode.sign(CALL, variables, {"signature": {"key_encoding": encoding, "parts": ["body"]}}, NOW)
    assert found["X-Signature"] == hmac.digest(b"planted", b"body", "sha256").hex()


def test_a_stream_is_not_signed_by_its_body() -> None:
    """It would have to be read twice; a signature without the body is fine."""
    stream = SignedRequest("POST", CALL.url, {}, None)
    with pytest.raises(InvalidRequest, match="cannot be signed"):
        signed({"parts": ["timestamp", "body_sha256"]}, stream)
    assert signed({"parts": ["timestamp"]}, stream)


@pytest.mark.parametrize("encoding", ["base64", "hex"])
def test_wsse_is_a_digest_of_nonce_time_and_secret(encoding: str) -> None:
    """As the UsernameToken profile has it, and as the APIs that hash hex texts have it."""
    found = signed({"protocol": "WSSE", "encoding": encoding})
    pattern = r'UsernameToken Username="key-1", PasswordDigest="(.+)", Nonce="(.+)", Created="(.+)"'
    match = re.fullmatch(pattern, found["X-WSSE"])
    assert match is not None
    shown, nonce, created = match.groups()
    assert created == "2027-01-15T08:00:00Z"
    hashed = nonce.encode() if encoding == "hex" else base64.b64decode(nonce)
    sha1 = hashlib.sha1(hashed + created.encode() + b"planted-secret")  # noqa: S324 - WSSE's own
    assert base64.b64decode(shown) == (sha1.hexdigest().encode() if encoding == "hex" else sha1.digest())
    assert found["Authorization"] == 'WSSE profile="UsernameToken"'
    assert signed({"protocol": "WSSE"}) != signed({"protocol": "WSSE"})
    assert PLANTED not in str(found)


def test_a_request_to_be_signed_never_shows_what_it_holds() -> None:
    """Its URL, headers and body may hold credentials."""
    request = SignedRequest("GET", "https://h.test/?k=planted", {"X": "planted"}, b"planted")
    assert PLANTED not in f"{request!r} {request}"
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(request)


def test_a_client_certificate_is_pem_and_is_given_to_the_transport() -> None:
    """Not a path, not an encrypted key; the texts stay out of the message."""
    mode = AUTH_MODES.get("MTLS")()
    held = mode.check_credentials(mode.example_credentials, "shop/user-1")
    assert mode.client_certificate(held) == (held["client_certificate"], held["client_key"])
    for field, wrong in (
        ("client_certificate", "planted"),
        ("client_key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nplanted"),
        ("client_key", "/etc/planted.pem"),
    ):
        with pytest.raises(CredentialsError, match=f'"{field}" must be PEM text') as caught:
            mode.check_credentials({**mode.example_credentials, field: wrong}, "shop/user-1")
        assert PLANTED not in str(caught.value)
    assert AUTH_MODES.get("API_KEY")().client_certificate({"api_key": "x"}) is None


def test_modes_that_do_not_sign_add_nothing() -> None:
    """A key's header is the blueprint's business."""
    mode = AUTH_MODES.get("API_KEY")()
    assert mode.sign(CALL, VARIABLES, {}, NOW) == {}
    assert mode.answer_challenge({"WWW-Authenticate": MUFASA}, CALL, VARIABLES) is None
    signing = {name for name in AUTH_MODES.names() if AUTH_MODES.get(name).signs}
    assert signing == {"AWS_SIGV4", "OAUTH1", "SIGNATURE"}
    assert {name for name in AUTH_MODES.names() if AUTH_MODES.get(name).answers_challenges} == {"DIGEST"}


@pytest.mark.parametrize(
    ("mode", "variables", "declared"),
    [
        ("SIGNATURE", {"api_key": "planted\r\nX: y"}, {"signature": {"headers": {"X-Key": ["api_key"]}}}),
        ("SIGNATURE", {"api_key": "planted\n"}, {"signature": {"protocol": "WSSE"}}),
        ("AWS_SIGV4", {"session_token": "planted\r\nX: y"}, {"region": "r", "service": "s3"}),
        ("AWS_SIGV4", {"access_key_id": "planted\nx"}, {"region": "r", "service": "s3"}),
        ("OAUTH1", {"oauth_client_secret": "planted"}, {"signature_method": "RSA-SHA1"}),
    ],
)
def test_a_credential_that_is_not_a_valid_header_is_rejected_without_showing_it(
    mode: str, variables: dict[str, str], declared: dict[str, Any]
) -> None:
    """A pasted line break cannot add a header; http.client would quote the value."""
    cls = AUTH_MODES.get(mode)
    held = {**cls.example_credentials, "oauth_client_id": "app-id", **variables}
    with pytest.raises(CredentialsError) as caught:
        cls().sign(CALL, held, declared, NOW)
    assert PLANTED not in f"{caught.value!r} {caught.value} {frames_of(caught.value)}"
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("mode", "declared"),
    [
        ("AWS_SIGV4", {"region": "${additional_config.region}", "service": "s3"}),
        ("SIGNATURE", {"signature": {"parts": [{"text": "${additional_config.region}"}]}}),
        ("OAUTH1", {"realm": "${additional_config.region}"}),
    ],
)
def test_a_setting_without_its_value_is_named(mode: str, declared: dict[str, Any]) -> None:
    """As an error of the settings, which holds no variable."""
    cls = AUTH_MODES.get(mode)
    held = {**cls.example_credentials, "oauth_client_id": "app-id", "additional_config": {}}
    with pytest.raises(ConfigError, match=r'E314.*"additional_config.region" has no value') as caught:
        cls().sign(CALL, held, declared, NOW)
    assert caught.value.__context__ is None


def test_a_realm_and_a_user_name_cannot_end_their_quotes() -> None:
    """Both come from a connection."""
    mode = AUTH_MODES.get("OAUTH1")()
    held = {**mode.example_credentials, "oauth_client_id": "app-id", "additional_config": {"r": 'a", b="c'}}
    signed_by = mode.sign(CALL, held, {"realm": "${additional_config.r}"}, NOW)["Authorization"]
    assert 'realm="a\\", b=\\"c", ' in signed_by
    wsse = AUTH_MODES.get("SIGNATURE")().sign(
        CALL, {"api_key": 'a"b', "api_secret": "s"}, {"signature": {"protocol": "WSSE"}}, NOW
    )
    assert 'Username="a\\"b", ' in wsse["X-WSSE"]
