"""OAuth 1.0a: signatures by the RFC, by Twitter's manual, and before two independent verifiers."""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from authlib.oauth1.rfc5849 import signature as authlib_signature
from authlib.oauth1.rfc5849.wrapper import OAuth1Request
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from oauthlib.oauth1 import RequestValidator, SignatureOnlyEndpoint

from nango_py.errors import ConfigError
from nango_py.protocols import oauth1_protocol
from nango_py.protocols.signed_request import SignedRequest
from nango_py.protocols.token_exchange import TokenRefused, TokenUnavailable
from nango_py.registry import AUTH_MODES
from tests.support.token_contexts import NOW, PLANTED, make_context, make_response, pem, rsa_key

FORM = "application/x-www-form-urlencoded"
VARIABLES = {
    "oauth_client_id": "consumer", "oauth_client_secret": "planted-consumer-secret",
    "oauth_token": "token", "oauth_token_secret": "planted-token-secret",
}  # fmt: skip


def fields_of(header: str) -> dict[str, str]:
    """The parameters of an Authorization header, decoded."""
    assert header.startswith("OAuth ")
    return {name: unquote(value) for name, value in re.findall(r'(\w+)="([^"]*)"', header)}


@pytest.fixture
def without_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """The RFC's examples leave out the optional oauth_version, which some providers want."""
    base = oauth1_protocol._client_class()

    class Bare(base):  # type: ignore[misc, valid-type]
        def get_oauth_params(self, request: Any) -> list[tuple[str, str]]:
            return [pair for pair in super().get_oauth_params(request) if pair[0] != "oauth_version"]

    monkeypatch.setattr(oauth1_protocol, "_client_class", lambda: Bare)


@pytest.mark.usefixtures("without_version")
@pytest.mark.parametrize(
    ("request_", "own", "special", "timestamp", "nonce", "signature"),
    [
        pytest.param(
            ("POST", "https://photos.example.net/initiate"), {},
            {"callback": "http://printer.example.com/ready"},
            137131200, "wIjqoS", "74KNZJeDHnMBp0EMJ9ZHt/XKycU=", id="temporary",
        ),
        pytest.param(
            ("POST", "https://photos.example.net/token"),
            {"oauth_token": "hh5s93j4hdidpola", "oauth_token_secret": "hdhd0244k9j7ao03"},
            {"verifier": "hfdp7dh39dks9884"},
            137131201, "walatlh", "gKgrFCywp7rO0OXSjdot/IHF7IU=", id="token",
        ),
        pytest.param(
            ("GET", "http://photos.example.net/photos?file=vacation.jpg&size=original"),
            {"oauth_token": "nnch734d00sl2jdk", "oauth_token_secret": "pfkkdhi9sl3r4s00"},
            {}, 137131202, "chapoH", "MdpQcU8iPSUjWoN/UDMsK2sui9I=", id="resource",
        ),
    ],
)  # fmt: skip
def test_the_signatures_are_those_of_rfc_5849_section_1_2(
    request_: tuple[str, str],
    own: dict[str, str],
    special: dict[str, str],
    timestamp: int,
    nonce: str,
    signature: str,
) -> None:
    """The three requests of the RFC's printer."""
    client = {"oauth_client_id": "dpf43f3p2l4k3l03", "oauth_client_secret": "kd94hf93k423kf44"}
    header = oauth1_protocol.authorization(
        SignedRequest(*request_), {**client, **own}, {"realm": "Photos"}, timestamp, unique=nonce, **special
    )
    fields = fields_of(header)
    assert fields["oauth_signature"] == signature
    assert (fields["realm"], fields["oauth_timestamp"]) == ("Photos", str(timestamp))


@pytest.mark.parametrize(
    ("version", "signature"), [("1.1", "hCtSmYh+iHYCEqBWrE7C7hYmtUk="), ("1", "tnnArxj06cWHq44gCs1OSKk/jLY=")]
)
def test_a_signature_is_that_of_twitters_manual(version: str, signature: str) -> None:
    """A form in the body and a query take part in it, blanks and commas included."""
    variables = {
        "oauth_client_id": "xvz1evFS4wEEPTGEFPHBog",
        "oauth_client_secret": "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
        "oauth_token": "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
        "oauth_token_secret": "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
    }
    request = SignedRequest(
        "POST",
        f"https://api.twitter.com/{version}/statuses/update.json?include_entities=true",
        {"content-type": FORM},
        b"status=Hello+Ladies+%2B+Gentlemen%2C+a+signed+OAuth+request!",
    )
    unique = "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg"
    header = oauth1_protocol.authorization(request, variables, {}, 1318622958, unique=unique)
    assert fields_of(header)["oauth_signature"] == signature


class Provider(RequestValidator):
    """The provider's side of oauthlib, which knows one client and one token."""

    enforce_ssl = False
    allowed_signature_methods = ("HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1", "PLAINTEXT")
    timestamp_lifetime = 10**12
    nonce_length = (1, 64)
    client_key_length = (1, 64)
    access_token_length = (1, 64)
    dummy_client = "dummy"

    def __init__(self, variables: dict[str, str]) -> None:
        super().__init__()
        self.variables = variables

    def check_client_key(self, client_key: str) -> bool:
        """Any form of key."""
        return True

    check_nonce = check_access_token = check_client_key

    def validate_timestamp_and_nonce(self, *_: Any, **__: Any) -> bool:
        """Replays are counted elsewhere."""
        return True

    def validate_client_key(self, client_key: str, request: Any) -> bool:
        """The one client."""
        return client_key == self.variables["oauth_client_id"]

    def get_client_secret(self, client_key: str, request: Any) -> str:
        """The client's secret."""
        return self.variables["oauth_client_secret"]

    def get_access_token_secret(self, client_key: str, token: str, request: Any) -> str:
        """The token's secret."""
        return self.variables.get("oauth_token_secret", "")

    def get_rsa_key(self, client_key: str, request: Any) -> str:
        """The public half of the key that the client signs with."""
        public = rsa_key().public_key()
        return public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode()


def is_right(header: str, method: str, url: str, body: str | None, variables: dict[str, str]) -> bool:
    """Whether the provider's side of oauthlib takes the signature."""
    headers = {"Authorization": header}
    if body is not None:
        headers["Content-Type"] = FORM
    valid, _ = SignatureOnlyEndpoint(Provider(variables)).validate_request(url, method, body, headers)
    return bool(valid)


def authlib_signature_of(header: str, method: str, url: str, body: str | None) -> str:
    """The HMAC-SHA1 signature that Authlib computes for the same request."""
    request = OAuth1Request(
        method, url, body, {"Authorization": header, "Content-Type": FORM if body else ""}
    )
    text = authlib_signature.generate_signature_base_string(request)
    return str(
        authlib_signature.hmac_sha1_signature(
            text, VARIABLES["oauth_client_secret"], VARIABLES["oauth_token_secret"]
        )
    )


@pytest.mark.parametrize("method", ["HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1", "PLAINTEXT"])
def test_every_method_passes_an_independent_verifier(method: str) -> None:
    """With query and form; the control changes one letter."""
    variables = {**VARIABLES, **({"oauth_client_secret": pem(rsa_key())} if method == "RSA-SHA1" else {})}
    url, body = "https://api.example.test/1/x%20y?b=2&a=%C3%A9&a=1&c", "d=%2B+&e="
    request = SignedRequest("POST", url, {"Content-Type": f"{FORM}; charset=utf-8"}, body.encode())
    header = AUTH_MODES.get("OAUTH1")().sign(request, variables, {"signature_method": method}, NOW)[
        "Authorization"
    ]
    assert is_right(header, "POST", url.replace("&c", "&c="), body, variables)
    assert is_right(header, "POST", url.replace("a=1", "a=2").replace("&c", "&c="), body, variables) is (
        method == "PLAINTEXT"
    )
    assert not is_right(header, "POST", url, body, {**variables, "oauth_client_id": "other"})


@given(
    pairs=st.lists(
        st.tuples(st.text("aé+ &=%~!'()*,/[]", min_size=1, max_size=4), st.text("b +&=%/é~", max_size=4)),
        max_size=4,
    ),
    in_body=st.booleans(),
    port=st.sampled_from(["", ":443", ":8443"]),
)  # fmt: skip
def test_any_parameters_are_signed_as_authlib_signs_them(
    pairs: list[tuple[str, str]], *, in_body: bool, port: str
) -> None:
    """Reserved and non-ASCII characters, repeated names, default ports, in query or body."""
    from urllib.parse import quote, urlencode

    encoded = urlencode(pairs, quote_via=quote, safe="~")
    base = f"https://API.example.test{port}/r"
    url = base if in_body or not encoded else f"{base}?{encoded}"
    body = encoded if in_body and encoded else None
    request = SignedRequest("POST", url, {"Content-Type": FORM} if body else {}, (body or "").encode())
    header = oauth1_protocol.authorization(request, VARIABLES, {}, NOW)
    assert fields_of(header)["oauth_signature"] == authlib_signature_of(header, "POST", url, body)
    assert is_right(header, "POST", url, body, VARIABLES)


def test_a_body_that_is_not_a_form_is_not_signed() -> None:
    """RFC 5849 3.4.1.3.1: only a form takes part in the signature."""
    url = "https://api.example.test/r"
    with_json = SignedRequest("POST", url, {"Content-Type": "application/json"}, b'{"a": 1}')
    one = oauth1_protocol.authorization(with_json, VARIABLES, {}, NOW, unique="n")
    two = oauth1_protocol.authorization(SignedRequest("POST", url), VARIABLES, {}, NOW, unique="n")
    assert one == two
    assert "body_hash" not in one


def test_each_attempt_has_a_new_nonce() -> None:
    """RFC 5849 3.3: a retry in the same second differs, and no nonce of many repeats."""
    mode = AUTH_MODES.get("OAUTH1")()
    request = SignedRequest("GET", "https://api.example.test/r")
    first, second = (fields_of(mode.sign(request, VARIABLES, {}, NOW)["Authorization"]) for _ in range(2))
    assert first["oauth_nonce"] != second["oauth_nonce"]
    assert first["oauth_signature"] != second["oauth_signature"]
    assert first["oauth_timestamp"] == str(int(NOW))
    later = fields_of(mode.sign(request, VARIABLES, {}, NOW + 5)["Authorization"])
    assert later["oauth_timestamp"] == str(int(NOW) + 5)
    assert len({oauth1_protocol.nonce() for _ in range(100_000)}) == 100_000
    assert len(oauth1_protocol.nonce()) == 32


def test_signing_writes_nothing_to_a_log(caplog: pytest.LogCaptureFixture) -> None:
    """Oauthlib logs base strings and signatures; ours do not pass there."""
    with caplog.at_level(logging.DEBUG):
        oauth1_protocol.authorization(
            SignedRequest("GET", "https://api.example.test/r?k=planted"), VARIABLES, {}, NOW
        )
    assert caplog.records == []


@pytest.mark.parametrize(
    ("method", "secret"), [("RSA-SHA1", "planted-no-pem"), ("RSA-SHA1", ""), ("NOPE", "planted")]
)
def test_a_key_that_cannot_sign_is_rejected_without_showing_it(method: str, secret: str) -> None:
    """The method is named, the key is not shown."""
    variables = {**VARIABLES, "oauth_client_secret": secret}
    with pytest.raises(TokenRefused, match="cannot be signed") as caught:
        oauth1_protocol.authorization(
            SignedRequest("GET", "https://h.test/"), variables, {"signature_method": method}, NOW
        )
    assert PLANTED not in str(caught.value)
    assert caught.value.__context__ is None


URLS = {
    "request_url": "https://id.example.test/request", "authorization_url": "https://id.example.test/authorize?x=1",
    "token_url": "https://id.example.test/access",
}  # fmt: skip
CLIENT = {"oauth_client_id": "app-id", "oauth_client_secret": "planted-app-secret"}


def test_the_three_steps_of_the_flow() -> None:
    """Temporary credentials, the user's consent, token credentials; each request verifies."""
    context = make_context(
        "OAUTH1", request_params={"scope": "a b"}, authorization_params={"expiration": "never"}, **URLS
    )
    asked = oauth1_protocol.temporary_request(context, "https://me.test/cb")
    assert (asked.method, asked.url) == ("POST", "https://id.example.test/request?scope=a%20b")
    assert fields_of(asked.headers["Authorization"])["oauth_callback"] == "https://me.test/cb"
    assert "oauth_token" not in fields_of(asked.headers["Authorization"])
    temporary = oauth1_protocol.read_temporary_credentials(
        context, make_response("oauth_token=tmp&oauth_token_secret=planted-tmp&oauth_callback_confirmed=true")
    )
    assert temporary == {"oauth_token": "tmp", "oauth_token_secret": "planted-tmp"}
    shown = oauth1_protocol.authorization_url(context, "tmp&x")
    assert parse_qs(urlsplit(shown).query) == {"x": ["1"], "expiration": ["never"], "oauth_token": ["tmp&x"]}
    exchange = oauth1_protocol.token_request(context, temporary, "verified")
    header = exchange.headers["Authorization"]
    assert fields_of(header)["oauth_verifier"] == "verified"
    assert is_right(header, "POST", exchange.url, None, {**CLIENT, **temporary})
    response = make_response("oauth_token=t&oauth_token_secret=planted-s&screen_name=ada&user_id=7")
    assert oauth1_protocol.read_credentials(context, response) == {
        "oauth_token": "t", "oauth_token_secret": "planted-s", "raw": {"screen_name": "ada", "user_id": "7"}
    }  # fmt: skip


def test_the_methods_of_the_token_calls_are_declared() -> None:
    """Trello's are GET."""
    context = make_context("OAUTH1", request_http_method="GET", token_http_method="GET", **URLS)
    pair = {"oauth_token": "t", "oauth_token_secret": "s"}
    assert oauth1_protocol.temporary_request(context, "oob").method == "GET"
    assert oauth1_protocol.token_request(context, pair, "v").method == "GET"


def test_an_unconfirmed_callback_is_refused() -> None:
    """OAuth 1.0 without a, whose session an attacker can fix."""
    with pytest.raises(TokenRefused, match="did not confirm the callback"):
        oauth1_protocol.read_temporary_credentials(
            make_context("OAUTH1"), make_response("oauth_token=a&oauth_token_secret=planted")
        )


@pytest.mark.parametrize(
    ("body", "status", "error", "ends"),
    [
        ("oauth_problem=token_rejected", 401, TokenRefused, True),
        ("oauth_problem=timestamp_refused", 401, TokenRefused, False),
        ("planted", 401, TokenRefused, False),
        ("planted", 503, TokenUnavailable, None),
        ("<html>planted</html>", 200, TokenUnavailable, None),
        ("oauth_token=a", 200, TokenUnavailable, None),
        ("oauth_token=&oauth_token_secret=planted", 200, TokenUnavailable, None),
        ([1], 200, TokenUnavailable, None),
        ("x" * 2_000_000, 200, TokenUnavailable, None),
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_response_is_a_typed_error(
    body: Any, status: int, error: type[Exception], *, ends: bool | None
) -> None:
    """Refused or later, without any text of the response but its error code."""
    with pytest.raises(error) as caught:
        oauth1_protocol.read_credentials(make_context("OAUTH1"), make_response(body, status))
    assert getattr(caught.value, "ends_connection", None) is ends
    assert PLANTED not in str(caught.value)


def test_a_flow_without_an_application_says_what_to_set() -> None:
    """The consumer key, or the URL."""
    with pytest.raises(ConfigError, match=r"consumer key .*oauth_client_id"):
        oauth1_protocol.temporary_request(make_context("OAUTH1", app={}, **URLS), "oob")
    with pytest.raises(ConfigError, match=r"auth\.request_url is missing"):
        oauth1_protocol.temporary_request(make_context("OAUTH1"), "oob")
