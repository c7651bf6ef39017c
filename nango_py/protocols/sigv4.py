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
# What a proxy or a client may still change is not signed.
_SIGNED = frozenset({"content-type", "content-md5", "date", "range"})


@record
class AwsKey:
    """Whose signature, and for what.

    Attributes:
        session_token: "" for a long-lived key.
    """

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    region: str
    service: str


def signature_headers(request: SignedRequest, key: AwsKey, now: float) -> dict[str, str]:
    """The headers that sign a request: Authorization, X-Amz-Date and what else AWS wants signed.

    Headers of the request are signed if they are Content-Type, Content-MD5, Date, Range or X-Amz-*. A body
    that cannot be hashed is sent as UNSIGNED-PAYLOAD, which S3 accepts over TLS.
    """
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    is_s3 = key.service == "s3"
    payload = "UNSIGNED-PAYLOAD" if request.body is None else hashlib.sha256(request.body).hexdigest()
    added = {"X-Amz-Date": stamp}
    if is_s3 or request.body is None:
        added["X-Amz-Content-Sha256"] = payload
    if key.session_token:
        added["X-Amz-Security-Token"] = key.session_token
    covered = {"host": _host(request.url), **_given(request), **{n.lower(): v for n, v in added.items()}}
    names = ";".join(sorted(covered))
    parts = urlsplit(request.url)
    canonical = "\n".join((
        request.method.upper(),
        _path(parts.path, is_s3=is_s3),
        _query(parts.query),
        *(f"{name}:{re.sub(' +', ' ', covered[name].strip())}" for name in sorted(covered)),
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


def _given(request: SignedRequest) -> dict[str, str]:
    replaced = {"x-amz-date", "x-amz-content-sha256", "x-amz-security-token"}
    headers = {name.lower(): value for name, value in request.headers.items()}
    return {
        name: value
        for name, value in headers.items()
        if (name in _SIGNED or name.startswith("x-amz-")) and name not in replaced
    }


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    is_default = parts.port is None or parts.port == _DEFAULT_PORTS.get(parts.scheme)
    return host if is_default else f"{host}:{parts.port}"


def _path(path: str, *, is_s3: bool) -> str:
    """S3 takes a path as it is; everywhere else it is normalised and encoded once more."""
    if is_s3:
        return "/".join(quote(unquote(part), safe="~") for part in path.split("/")) or "/"
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            kept[-1:] = []
        elif segment not in {"", "."}:
            kept.append(segment)
    normal = "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")
    return quote(normal, safe="/~")


def _query(query: str) -> str:
    pairs = [part.partition("=") for part in query.split("&") if part]
    encoded = [(_again(name), _again(value)) for name, _, value in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def _again(written: str) -> str:
    """A part of a query as AWS encodes it: a blank, which forms write as +, is %20."""
    return quote(unquote_plus(written), safe="~")


def _signing_key(key: AwsKey, day: str) -> bytes:
    found = f"AWS4{key.secret_access_key}".encode()
    for part in (day, key.region, key.service, "aws4_request"):
        found = hmac.new(found, part.encode(), hashlib.sha256).digest()
    return found
