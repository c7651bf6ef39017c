"""Modes without tokens over real sockets: signatures, challenges and client certificates."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import re
import ssl
from typing import TYPE_CHECKING, Any

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import serialization
from oauthlib.oauth1 import RequestValidator, SignatureOnlyEndpoint

from nango_py import CredentialsError, TransportFailed
from tests.support.fault_server import Tls
from tests.support.mode_api import APP, BOTH, GET, POST, Answer, Api, Seen, call
from tests.support.token_contexts import pem

if TYPE_CHECKING:
    from pathlib import Path


class OneClient(RequestValidator):
    """The server side of oauthlib, with one client and one token."""

    enforce_ssl = False
    allowed_signature_methods = ("HMAC-SHA1", "HMAC-SHA256")
    nonce_length = (1, 64)
    dummy_client = "dummy"

    def __init__(self) -> None:
        super().__init__()
        self.nonces: list[str] = []

    def check_client_key(self, client_key: str) -> bool:
        """Every key is well-formed."""
        return True

    check_nonce = check_access_token = check_client_key

    def validate_timestamp_and_nonce(self, _key: str, _time: str, nonce: str, *_: Any, **__: Any) -> bool:
        """A nonce may be used once."""
        self.nonces.append(nonce)
        return self.nonces.count(nonce) == 1

    def validate_client_key(self, client_key: str, request: Any) -> bool:
        """The one client."""
        return client_key == APP["oauth_client_id"]

    def get_client_secret(self, client_key: str, request: Any) -> str:
        """The client's secret."""
        return APP["oauth_client_secret"]

    def get_access_token_secret(self, client_key: str, token: str, request: Any) -> str:
        """The token's secret."""
        return "secret-planted"


@BOTH
def test_oauth_1_signatures_pass_an_independent_provider(kind: str) -> None:
    """Query, form and JSON are signed, with a new nonce for each attempt."""
    provider = OneClient()

    def judge(seen: Seen) -> Answer:
        headers = {"Authorization": seen.headers["authorization"]}
        kind = seen.headers.get("content-type", "")
        body = seen.body.decode() if "form" in kind else None
        if body:
            headers["Content-Type"] = kind
        valid, _ = SignatureOnlyEndpoint(provider).validate_request(
            api.url + seen.path, seen.method, body, headers
        )
        return (200 if valid else 401), {}, {}

    with Api(judge) as api:
        urls = {
            "authorization_url": f"{api.url}/a",
            "token_url": f"{api.url}/t",
            "request_url": f"{api.url}/r",
        }
        with api.nango("OAUTH1", signature_method="HMAC-SHA256", **urls) as nango:
            own = {"oauth_token": "token-planted", "oauth_token_secret": "secret-planted"}
            nango.register_connection("it", "u1", own)
            form = ("POST", "things", {"data": {"text": "a b+c"}})
            assert call(nango, kind, GET, POST, form) == [200, 200, 200]
            nango.update_connection_credentials("it", "u1", {**own, "oauth_token_secret": "other-planted"})
            assert call(nango, kind, GET) == [401]
    assert len(set(provider.nonces)) == len(provider.nonces) >= 3


@BOTH
def test_aws_signatures_are_those_that_botocore_computes(kind: str) -> None:
    """The server computes the signature again from what it received, as AWS does."""
    secret = "wJalrXUtnFEMI-planted"
    # botocore takes a blank in a query as it stands in the URL, and AWS as the character that it means.
    plain = ("GET", "things", {"params": {"q": "b/c", "a": "ü"}})

    def judge(seen: Seen) -> Answer:
        sent = seen.headers["authorization"]
        found = re.search(r"SignedHeaders=([^,]+),\s*Signature=([0-9a-f]+)", sent)
        assert found is not None
        signed = {name: seen.headers[name] for name in found[1].split(";")}
        theirs = botocore.auth.SigV4Auth(Credentials("AKID", secret), "execute-api", "eu-west-1")
        request = AWSRequest(seen.method, api.url + seen.path, signed, seen.body)
        request.context["timestamp"] = seen.headers["x-amz-date"]
        text = theirs.string_to_sign(request, theirs.canonical_request(request))
        return (200 if theirs.signature(text, request) == found[2] else 403), {}, {}

    with Api(judge) as api, api.nango("AWS_SIGV4", region="eu-west-1", service="execute-api") as nango:
        nango.register_connection("it", "u1", {"access_key_id": "AKID", "secret_access_key": secret})
        assert call(nango, kind, plain, POST) == [200, 200]
        nango.update_connection_credentials(
            "it", "u1", {"access_key_id": "AKID", "secret_access_key": "another-planted"}
        )
        assert call(nango, kind, plain) == [403]


@BOTH
def test_signed_parts_are_recomputed(kind: str) -> None:
    """An HMAC over time, method, target and body."""

    def judge(seen: Seen) -> Answer:
        parts = seen.headers["x-time"].encode() + seen.method.encode() + seen.path.encode() + seen.body
        right = base64.b64encode(hmac.digest(b"secret-planted", parts, "sha256")).decode()
        return (200 if hmac.compare_digest(seen.headers["x-sign"], right) else 401), {}, {}

    signature = {
        "algorithm": "sha256", "encoding": "base64", "parts": ["timestamp", "method", "target", "body"],
        "headers": {"X-Key": ["api_key"], "X-Sign": ["signature"], "X-Time": ["timestamp"]},
    }  # fmt: skip
    with Api(judge) as api, api.nango("SIGNATURE", signature=signature) as nango:
        nango.register_connection("it", "u1", {"api_key": "public", "api_secret": "secret-planted"})
        assert call(nango, kind, GET, POST) == [200, 200]
        assert b"secret-planted" not in b"".join(str(seen).encode() for seen in api.seen)


@BOTH
def test_a_digest_challenge_is_answered_once(kind: str) -> None:
    """RFC 7616 with SHA-256: the right password is accepted, with a wrong one the 401 is returned."""

    def judge(seen: Seen) -> Answer:
        told = {"WWW-Authenticate": 'Digest realm="api", qop="auth", algorithm=SHA-256, nonce="n-1"'}
        written = seen.headers.get("authorization", "")
        fields = {name: quoted or bare for name, quoted, bare in FIELD.findall(written)}
        if not written.startswith("Digest "):
            return 401, told, {}
        one = _sha("ada:api:pass-planted")
        two = _sha(f"{seen.method}:{seen.path}")
        counted = f"{fields['nc']}:{fields['cnonce']}:{fields['qop']}"
        right = _sha(f"{one}:{fields['nonce']}:{counted}:{two}")
        return (
            (200, {}, {}) if fields["response"] == right and fields["uri"] == seen.path else (401, told, {})
        )

    with Api(judge) as api, api.nango("DIGEST") as nango:
        nango.register_connection("it", "u1", {"username": "ada", "password": "pass-planted"})
        nango.register_connection("it", "u2", {"username": "ada", "password": "wrong-planted"})
        assert call(nango, kind, GET, POST) == [200, 200]
        assert len(api.seen) == 4
        assert call(nango, kind, GET, user="u2") == [401]
        assert len(api.seen) == 6
        assert "planted" not in str(api.seen)


FIELD = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@BOTH
def test_basic_and_none(kind: str) -> None:
    """A user name and a password in UTF-8, and no login."""

    def judge(seen: Seen) -> Answer:
        wanted = "Basic " + base64.b64encode("ada:pä-planted".encode()).decode()
        return (200 if seen.headers.get("authorization") == wanted else 401), {}, {}

    with Api(judge) as api:
        with api.nango("BASIC", {"Authorization": "Basic ${basic_auth_encoded}"}) as nango:
            nango.register_connection("it", "u1", {"username": "ada", "password": "pä-planted"})
            assert call(nango, kind, GET, POST) == [200, 200]
        with api.nango("NONE") as nango:
            nango.register_connection("it", "u1", {})
            assert call(nango, kind, GET) == [401]
            assert "authorization" not in api.seen[-1].headers


def a_pair(folder: Path, name: str) -> tuple[str, str, Path]:
    """A client certificate and its key as PEM, and a file that makes a server trust it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return file.read_text(), pem(key), file


@BOTH
def test_a_client_certificate_is_presented(kind: str, tmp_path: Path) -> None:
    """The server identifies each user by the certificate; connections are not shared between users."""
    server = tmp_path / "server.pem"
    server.write_bytes(Tls().certificate())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    context.verify_mode = ssl.CERT_REQUIRED
    ada, ada_key, ada_file = a_pair(tmp_path, "ada.example")
    bob, bob_key, bob_file = a_pair(tmp_path, "bob.example")
    eve, eve_key, _ = a_pair(tmp_path, "eve.example")
    context.load_verify_locations(ada_file)
    context.load_verify_locations(bob_file)

    with Api(lambda _: (200, {}, {}), context) as api, api.nango("MTLS", ca_bundle=server) as nango:
        pairs = {"ada": (ada, ada_key), "bob": (bob, bob_key), "eve": (eve, eve_key), "mixed": (ada, bob_key)}
        for user, (chain, key) in pairs.items():
            nango.register_connection("it", user, {"client_certificate": chain, "client_key": key})
        for user in ("ada", "bob", "ada", "bob"):
            assert call(nango, kind, GET, POST, user=user) == [200, 200]
            assert api.seen[-1].certificate["subject"] == ((("commonName", f"{user}.example"),),)
        before = len(api.seen)
        with pytest.raises(TransportFailed):
            call(nango, kind, GET, user="eve")
        with pytest.raises(CredentialsError, match="cannot be used") as caught:
            call(nango, kind, GET, user="mixed")
        assert "PRIVATE" not in str(caught.value)
        assert len(api.seen) == before


def test_without_a_certificate_the_server_refuses(tmp_path: Path) -> None:
    """The control: the same server refuses a connection without a certificate."""
    server = tmp_path / "server.pem"
    server.write_bytes(Tls().certificate())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    context.verify_mode = ssl.CERT_REQUIRED
    with (
        Api(lambda _: (200, {}, {}), context) as api,
        api.nango("NONE", ca_bundle=server) as nango,
    ):
        nango.register_connection("it", "u1", {})
        with pytest.raises(TransportFailed):
            call(nango, "sync", GET)
        assert api.seen == []


def test_no_key_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key file has mode 0600 while it exists, and is removed once it is loaded."""
    from nango_py.transport import certificates

    monkeypatch.setattr(certificates.tempfile, "tempdir", str(tmp_path))
    modes = []
    load = ssl.SSLContext.load_cert_chain

    def looking(self: ssl.SSLContext, path: str, **options: Any) -> None:
        from pathlib import Path as File

        modes.append(File(path).stat().st_mode & 0o777)
        load(self, path, **options)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", looking)
    both = Tls(("ada.example",)).certificate().decode()
    cut = both.index("-----BEGIN CERTIFICATE-----")
    import certifi

    one = certificates.Certificate(both[cut:], both[:cut])
    one.context(certifi.where())
    assert modes == [0o600]
    assert list(tmp_path.iterdir()) == []
    assert "PRIVATE" not in repr(one)
