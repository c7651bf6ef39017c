"""AWS Signature Version 4: AWS's own vectors, and botocore as a peer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from nango_py.engine.plan import sign
from nango_py.protocols.signed_request import SignedRequest
from nango_py.protocols.sigv4 import AwsKey, signature_headers
from nango_py.registry import AUTH_MODES
from tests.support.made_values import a_connection, a_plan, an_integration, bound_settings

SUITE_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
S3_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SUITE = AwsKey("AKIDEXAMPLE", SUITE_SECRET, "", "us-east-1", "service")
IAM = AwsKey("AKIDEXAMPLE", SUITE_SECRET, "", "us-east-1", "iam")
S3 = AwsKey("AKIAIOSFODNN7EXAMPLE", S3_SECRET, "", "us-east-1", "s3")
SUITE_TIME = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()
S3_TIME = datetime(2013, 5, 24, tzinfo=UTC).timestamp()
BUCKET = "https://examplebucket.s3.amazonaws.com"

VECTORS = [
    pytest.param(
        SUITE, SignedRequest("GET", "https://example.amazonaws.com/"),
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", id="get-vanilla",
    ),
    pytest.param(
        SUITE, SignedRequest("GET", "https://example.amazonaws.com/?Param2=value2&Param1=value1"),
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        id="get-vanilla-query-order-key-case",
    ),
    pytest.param(
        SUITE, SignedRequest("POST", "https://example.amazonaws.com/"),
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b", id="post-vanilla",
    ),
    pytest.param(
        IAM,
        SignedRequest(
            "GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
            {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
        ),
        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7", id="IAM ListUsers",
    ),
    pytest.param(
        S3, SignedRequest("GET", f"{BUCKET}/test.txt", {"Range": "bytes=0-9"}),
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41", id="S3 GET object",
    ),
    pytest.param(
        S3,
        SignedRequest(
            "PUT", f"{BUCKET}/test$file.text",
            {"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            b"Welcome to Amazon S3.",
        ),
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd", id="S3 PUT object",
    ),
    pytest.param(
        S3, SignedRequest("GET", f"{BUCKET}/?lifecycle"),
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543", id="S3 bucket lifecycle",
    ),
    pytest.param(
        S3, SignedRequest("GET", f"{BUCKET}/?max-keys=2&prefix=J"),
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7", id="S3 list objects",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("key", "request_", "signature"), VECTORS)
def test_the_signatures_are_those_that_aws_published(
    key: AwsKey, request_: SignedRequest, signature: str
) -> None:
    """The signature test suite, and the worked examples of IAM's and S3's manuals."""
    now = S3_TIME if key is S3 else SUITE_TIME
    assert signature_headers(request_, key, now)["Authorization"].endswith(f"Signature={signature}")


def botocores(request: SignedRequest, key: AwsKey, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The headers that botocore adds to the same request at the same time."""
    cls: Any = botocore.auth.S3SigV4Auth if key.service == "s3" else botocore.auth.SigV4Auth
    moment = datetime.fromtimestamp(SUITE_TIME, UTC)
    for name in ("get_current_datetime", "datetime"):
        if hasattr(botocore.auth, name):
            monkeypatch.setattr(botocore.auth, name, _Now(moment))
    theirs = AWSRequest(request.method, request.url, dict(request.headers), request.body)
    cls(
        Credentials(key.access_key_id, key.secret_access_key, key.session_token or None),
        key.service,
        key.region,
    ).add_auth(theirs)
    return {name.lower(): value for name, value in theirs.headers.items()}


class _Now:
    """botocore's clock, whichever form this release of it has."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment
        self.datetime = self

    def __call__(self, remove_tzinfo: bool = True) -> datetime:  # noqa: FBT001, FBT002 - botocore's own
        return self.moment.replace(tzinfo=None) if remove_tzinfo else self.moment

    def utcnow(self) -> datetime:
        """The moment, without a zone."""
        return self.moment.replace(tzinfo=None)

    def now(self, zone: Any = None) -> datetime:
        """The moment."""
        return self.moment


TEXT = st.text("aZ09-_.~ /%é!'()*", min_size=1, max_size=6)


@given(
    service=st.sampled_from(["s3", "execute-api"]),
    segments=st.lists(TEXT.filter(lambda text: set(text) - {"."} != set()), max_size=3),
    pairs=st.lists(st.tuples(TEXT, st.one_of(st.just(""), TEXT)), max_size=3),
    token=st.sampled_from(["", "session-token=="]),
    body=st.binary(max_size=20),
    port=st.sampled_from(["", ":443", ":8443"]),
)
def test_any_request_is_signed_as_botocore_signs_it(
    service: str, segments: list[str], pairs: list[tuple[str, str]], token: str, body: bytes, port: str
) -> None:
    """Paths, queries in any order, ports, temporary keys, S3 and others."""
    from urllib.parse import quote

    path = "/".join(quote(segment, safe="") for segment in segments)
    query = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)
    url = f"https://host.example.test{port}/{path}" + (f"?{query}" if query else "")
    key = AwsKey("AKIDEXAMPLE", SUITE_SECRET, token, "eu-central-1", service)
    request = SignedRequest("PUT", url, {"Content-Type": "text/plain", "X-Amz-Meta-A": " a   b "}, body)
    ours = signature_headers(request, key, SUITE_TIME)
    with pytest.MonkeyPatch.context() as patch:
        theirs = botocores(request, key, patch)
    for name, value in ours.items():
        assert value == theirs[name.lower()], name


def test_a_blank_in_a_query_may_be_written_as_a_plus() -> None:
    """Forms write it so; AWS signs %20 for both."""
    plus, percent = (SignedRequest("GET", f"https://h.test/?a={blank}") for blank in ("b+c", "b%20c"))
    assert signature_headers(plus, SUITE, SUITE_TIME) == signature_headers(percent, SUITE, SUITE_TIME)


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("items", {"q": "a b"}),
        ("items", {"q": "a+b", "r": "", "s": ["x y", "z"]}),
        ("items?q=a+b&c=d e", None),
        ("items?q=a%20b", {"q": "é ~*'()!"}),
        ("items?flag&q=(x)", "r=a+b"),
        ("items", None),
    ],
)
@pytest.mark.parametrize("service", ["execute-api", "s3"])
def test_what_was_signed_is_what_is_sent(
    path: str, params: Any, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Botocore signs the query of a URL byte by byte, and signs the one that is sent as we do."""
    key = AwsKey("AKIDEXAMPLE", SUITE_SECRET, "", "us-east-1", service)
    integration = an_integration(
        "https://h.example.test/v1/", auth_mode="AWS_SIGV4", headers={},
        auth={"region": "us-east-1", "service": service},
    )  # fmt: skip
    credentials = {"access_key_id": key.access_key_id, "secret_access_key": key.secret_access_key}
    settings = bound_settings(integration, a_connection(credentials))
    planned = a_plan("GET", path, params=params, settings=settings)
    signed = sign(planned, SUITE_TIME)
    assert "+" not in signed.url
    assert parse_qsl(urlsplit(signed.url).query, keep_blank_values=True) == parse_qsl(
        urlsplit(planned.url).query, keep_blank_values=True
    )
    sent = SignedRequest("GET", signed.url)
    theirs = botocores(sent, key, monkeypatch)
    assert signed.headers["authorization"][1] == theirs["authorization"]


def test_headers_that_a_proxy_changes_are_not_signed() -> None:
    """User-Agent, Accept-Encoding and the like; an old signature is replaced, not signed."""
    plain = SignedRequest("GET", "https://h.test/")
    dressed = SignedRequest(
        "GET", "https://h.test/",
        {"User-Agent": "x", "Accept": "*/*", "Authorization": "old", "X-Amz-Date": "20000101T000000Z"},
    )  # fmt: skip
    assert signature_headers(plain, SUITE, SUITE_TIME) == signature_headers(dressed, SUITE, SUITE_TIME)


def test_a_stream_is_sent_unsigned_and_says_so() -> None:
    """S3 takes UNSIGNED-PAYLOAD over TLS."""
    headers = signature_headers(SignedRequest("PUT", f"{BUCKET}/x", {}, None), S3, S3_TIME)
    assert headers["X-Amz-Content-Sha256"] == "UNSIGNED-PAYLOAD"
    assert "x-amz-content-sha256" in headers["Authorization"]


def test_the_mode_takes_region_and_service_from_templates() -> None:
    """And the session token of a temporary key, where there is one."""
    mode = AUTH_MODES.get("AWS_SIGV4")()
    variables = {
        "access_key_id": "AKIDEXAMPLE", "secret_access_key": SUITE_SECRET,
        "additional_config": {"region": "us-east-1"},
    }  # fmt: skip
    declared = {"region": "${additional_config.region}", "service": "service"}
    request = SignedRequest("GET", "https://example.amazonaws.com/")
    signed = mode.sign(request, variables, declared, SUITE_TIME)
    assert signed == signature_headers(request, SUITE, SUITE_TIME)
    temporary = mode.sign(request, {**variables, "session_token": "tok"}, declared, SUITE_TIME)
    assert temporary["X-Amz-Security-Token"] == "tok"
    assert mode.signs
    assert SUITE_SECRET not in repr(SUITE)
