"""AWS Signature Version 4.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from nango_py.record import field, record

if TYPE_CHECKING:
    from nango_py.protocols.signed_request import SignedRequest

_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"https": 443, "http": 80}
# Other headers may be changed on the way, so they are not signed.
_SIGNED_HEADERS = frozenset({"content-type", "content-md5", "date", "range"})


@record
class AwsKey:
    """An access key, and the region and service that it signs for.

    Attributes:
        session_token: "" for a long-term key.
    """

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    region: str
    service: str


def signature_headers(request: SignedRequest, key: AwsKey, now: float) -> dict[str, str]:
    """The headers that sign a request: Authorization, X-Amz-Date and other X-Amz headers that are needed.

    Signs the headers Content-Type, Content-MD5, Date, Range and X-Amz-* of the request. A streamed body is
    sent as UNSIGNED-PAYLOAD, which S3 accepts over TLS.
    """
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    is_s3 = key.service == "s3"
    payload = "UNSIGNED-PAYLOAD" if request.body is None else hashlib.sha256(request.body).hexdigest()
    added = {"X-Amz-Date": stamp}
    if is_s3 or request.body is None:
        added["X-Amz-Content-Sha256"] = payload
    if key.session_token:
        added["X-Amz-Security-Token"] = key.session_token
    headers = {name.lower(): value for name, value in added.items()}
    headers = {"host": _host(request.url), **_signed_headers(request), **headers}
    names = ";".join(sorted(headers))
    parts = urlsplit(request.url)
    canonical = "\n".join((
        request.method.upper(),
        _canonical_path(parts.path, is_s3=is_s3),
        _canonical_query(parts.query),
        *(f"{name}:{re.sub(' +', ' ', headers[name].strip())}" for name in sorted(headers)),
        "",
        names,
        payload,
    ))  # fmt: skip
    scope = f"{stamp[:8]}/{key.region}/{key.service}/aws4_request"
    text = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    signature = hmac.new(_signing_key(key, stamp[:8]), text.encode(), hashlib.sha256).hexdigest()
    credential = f"{key.access_key_id}/{scope}"
    added["Authorization"] = (
        f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    )
    return added


def _signed_headers(request: SignedRequest) -> dict[str, str]:
    replaced = {"x-amz-date", "x-amz-content-sha256", "x-amz-security-token"}
    headers = {name.lower(): value for name, value in request.headers.items()}
    return {
        name: value
        for name, value in headers.items()
        if (name in _SIGNED_HEADERS or name.startswith("x-amz-")) and name not in replaced
    }


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    is_default = parts.port is None or parts.port == _DEFAULT_PORTS.get(parts.scheme)
    return host if is_default else f"{host}:{parts.port}"


def _canonical_path(path: str, *, is_s3: bool) -> str:
    """S3 uses the path as it is; for all other services it is normalized and encoded a second time."""
    if is_s3:
        return "/".join(quote(unquote(part), safe="~") for part in path.split("/")) or "/"
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            kept[-1:] = []
        elif segment not in {"", "."}:
            kept.append(segment)
    normalized = "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")
    return quote(normalized, safe="/~")


def encode_url(url: str) -> str:
    """The URL with its query in AWS's encoding, as it is signed: a + may be read as a plus or as a space."""
    path, mark, query = url.partition("?")
    return path + mark + "&".join(f"{name}={value}" for name, value in _encoded_pairs(query))


def _canonical_query(query: str) -> str:
    return "&".join(f"{name}={value}" for name, value in sorted(_encoded_pairs(query)))


def _encoded_pairs(query: str) -> list[tuple[str, str]]:
    pairs = [part.partition("=") for part in query.split("&") if part]
    return [(_encode(name), _encode(value)) for name, _, value in pairs]


def _encode(text: str) -> str:
    """A part of a query in AWS's encoding: a space, which forms encode as +, is %20."""
    return quote(unquote_plus(text), safe="~")


def _signing_key(key: AwsKey, day: str) -> bytes:
    derived = f"AWS4{key.secret_access_key}".encode()
    for part in (day, key.region, key.service, "aws4_request"):
        derived = hmac.new(derived, part.encode(), hashlib.sha256).digest()
    return derived
