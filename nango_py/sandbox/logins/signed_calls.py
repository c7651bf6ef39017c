"""Checks signed calls in a sandbox: AWS Signature Version 4, HMAC and WSSE signatures, and HTTP Digest.

It shares no code with the client, whose mistakes it detects. OAuth 1.0a is in `oauth1`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from nango_py.sandbox.credentials import Caller
from nango_py.sandbox.expressions import unwrap

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nango_py.clock import Clock
    from nango_py.json_types import Settings
    from nango_py.sandbox.logins.provider import Provider
    from nango_py.sandbox.logins.requests import LoginRequest

MODES = frozenset({"AWS_SIGV4", "SIGNATURE", "DIGEST"})
_CLOCK_SECONDS = 900.0
_AWS = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/,]+)/([^/,]+)/aws4_request, ?"
    r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)
_FIELD = re.compile(r'([\w*]+)="?((?:[^",\\]|\\.)*)"?')
_WSSE = re.compile(
    r'UsernameToken Username="((?:[^"\\]|\\.)*)", PasswordDigest="([^"]*)", '
    r'Nonce="([^"]*)", Created="([^"]*)"'
)
_WORDS = {
    "timestamp": r"\d{9,11}", "timestamp_ms": r"\d{12,14}", "nonce": r"[0-9a-f]{32}",
    "iso_time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "http_date": r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT",
    "signature": r"\S+", "api_key": r".+?",
}  # fmt: skip
"""What only the sender knows of a signed request, and its form."""


class SignedCalls:
    """Finds the senders of signed calls by their signatures.

    Args:
        provider: the blueprint and the users.
        clock: the time.
    """

    def __init__(self, provider: Provider, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._nonce = secrets.token_hex(16)

    def identify(self, request: LoginRequest) -> Caller | None:
        """The sender; None if the signature is missing or wrong. Without users, any complete one is right."""
        check = {"AWS_SIGV4": self._is_aws, "SIGNATURE": self._is_signed, "DIGEST": self._is_digest}
        is_right = check[self._provider.mode]
        users = self._provider.users
        if users is None:
            return Caller(None, "anonymous") if is_right(request, None) else None
        for user, credentials in users.items():
            if is_right(request, credentials):
                return Caller(user, user)
        return None

    def challenge(self) -> dict[str, str]:
        """The headers of a 401."""
        if self._provider.mode != "DIGEST":
            return {}
        fields = f'realm="sandbox", qop="auth", algorithm=SHA-256, nonce="{self._nonce}"'
        return {"WWW-Authenticate": f"Digest {fields}"}

    def _is_aws(self, request: LoginRequest, credentials: Mapping[str, object] | None) -> bool:
        match = _AWS.fullmatch(request.headers.get("authorization", ""))
        stamp = request.headers.get("x-amz-date", "")
        if match is None or not stamp.startswith(match[2]) or not self._is_recent(_aws_time(stamp)):
            return False
        if credentials is None:
            return True
        token = str(credentials.get("session_token") or "")
        if match[1] != credentials.get("access_key_id"):
            return False
        if request.headers.get("x-amz-security-token", "") != token:
            return False
        key = f"AWS4{credentials.get('secret_access_key')}".encode()
        for part in (*match.groups()[1:4], "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        scope = f"{match[2]}/{match[3]}/{match[4]}/aws4_request"
        canonical = _aws_request(request, match[5].split(";"), is_s3=match[4] == "s3")
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), match[6])

    def _is_signed(self, request: LoginRequest, credentials: Mapping[str, object] | None) -> bool:
        declared: Settings = self._provider.auth.get("signature") or {}
        if declared.get("protocol") == "WSSE":
            return self._is_wsse(request, declared, credentials)
        words = {**_known_words(request), "api_key": str((credentials or {}).get("api_key") or "")}
        if credentials is None:
            del words["api_key"]
        headers: Settings = declared.get("headers") or {"X-Signature": ("signature",)}
        for name, parts in headers.items():
            sent = request.headers.get(unwrap(name).lower(), "")
            found = re.fullmatch(self._pattern(parts, words, request, credentials), sent)
            if found is None:
                return False
            words |= found.groupdict()
        timestamp = words.get("timestamp") or words.get("timestamp_ms", "")[:-3]
        if timestamp and not self._is_recent(float(timestamp)):
            return False
        if credentials is None:
            return "signature" in words
        return self._has_signature(words, declared, request, credentials)

    def _pattern(
        self,
        parts: Iterable[object],
        words: Mapping[str, str],
        request: LoginRequest,
        credentials: Mapping[str, object] | None,
    ) -> str:
        """A header's pattern: what is known as it is, and groups for what only the sender knows."""
        pattern = ""
        for part in parts:
            name = unwrap(part) if isinstance(part, str) else ""
            if name in words or name not in _WORDS:
                pattern += re.escape(self._text(part, words, request, credentials))
            else:
                pattern += f"(?P<{name}>{_WORDS[name]})" if f"<{name}>" not in pattern else f"(?P={name})"
        return pattern

    def _text(
        self,
        part: object,
        words: Mapping[str, str],
        request: LoginRequest,
        credentials: Mapping[str, object] | None,
    ) -> str:
        if isinstance(part, Mapping):
            if part.get("header"):
                return request.headers.get(unwrap(part["header"]).lower(), "")
            return self._provider.render_for(part["text"], credentials or {}) or ""
        return words.get(unwrap(part), "")

    def _has_signature(
        self,
        words: Mapping[str, str],
        declared: Settings,
        request: LoginRequest,
        credentials: Mapping[str, object],
    ) -> bool:
        parts = declared.get("parts") or ("timestamp", "method", "target", "body")
        separator = unwrap(declared.get("joined_by") or "")
        texts = [self._text(part, words, request, credentials) for part in parts]
        text = separator.join(texts).encode("latin-1", "replace")
        secret, encoding = str(credentials.get("api_secret") or ""), declared.get("key_encoding")
        try:
            key = {"hex": bytes.fromhex, "base64": base64.b64decode}.get(str(encoding), str.encode)(secret)
        except ValueError:
            return False
        digest = hmac.new(key, text, unwrap(declared.get("algorithm") or "sha256")).digest()
        is_base64 = declared.get("encoding") == "base64"
        expected = base64.b64encode(digest).decode() if is_base64 else digest.hex()
        return hmac.compare_digest(expected, words.get("signature", ""))

    def _is_wsse(
        self, request: LoginRequest, declared: Settings, credentials: Mapping[str, object] | None
    ) -> bool:
        match = _WSSE.fullmatch(request.headers.get("x-wsse", ""))
        if match is None or not self._is_recent(datetime.fromisoformat(match[4]).timestamp()):
            return False
        if credentials is None:
            return True
        is_hex = declared.get("encoding") == "hex"
        nonce = match[3].encode() if is_hex else base64.b64decode(match[3])
        secret = str(credentials.get("api_secret") or "").encode()
        digest = hashlib.sha1(nonce + match[4].encode() + secret)  # noqa: S324 - the protocol's hash
        expected = base64.b64encode(digest.hexdigest().encode() if is_hex else digest.digest()).decode()
        name = match[1].replace('\\"', '"').replace("\\\\", "\\")
        return name == credentials.get("api_key") and hmac.compare_digest(expected, match[2])

    def _is_digest(self, request: LoginRequest, credentials: Mapping[str, object] | None) -> bool:
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        given = dict(_FIELD.findall(rest))
        if scheme != "Digest" or given.get("nonce") != self._nonce:
            return False
        if credentials is None:
            return True
        name, password = str(credentials.get("username") or ""), str(credentials.get("password") or "")
        sent_name = given.get("username", "").replace('\\"', '"').replace("\\\\", "\\")
        if "username*" in given:
            sent_name = unquote(given["username*"].rpartition("'")[2])
        target = request.url.partition("://")[2].partition("/")[2]
        if sent_name != name or given.get("uri") != f"/{target}":
            return False
        secret = _sha256(f"{name}:sandbox:{password}")
        call = _sha256(f"{request.method}:/{target}")
        middle = f"{self._nonce}:{given.get('nc')}:{given.get('cnonce')}:auth"
        return hmac.compare_digest(_sha256(f"{secret}:{middle}:{call}"), given.get("response", ""))

    def _is_recent(self, moment: float) -> bool:
        return abs(moment - self._clock.now()) <= _CLOCK_SECONDS


def _aws_time(stamp: str) -> float:
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


def _aws_request(request: LoginRequest, names: list[str], *, is_s3: bool) -> str:
    """The canonical request: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html."""
    parts = urlsplit(request.url)
    path = parts.path or "/"
    path = quote(unquote(path), safe="/~") if is_s3 else quote(path, safe="/~")
    pairs = [pair.partition("=") for pair in parts.query.split("&") if pair]
    encoded = sorted(
        (quote(unquote(name), safe="~"), quote(unquote(value), safe="~")) for name, _, value in pairs
    )
    query = "&".join(f"{name}={value}" for name, value in encoded)
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in names)
    payload = request.headers.get("x-amz-content-sha256") or hashlib.sha256(request.body).hexdigest()
    return "\n".join((request.method, path, query, headers, ";".join(names), payload))


def _known_words(request: LoginRequest) -> dict[str, str]:
    """The parts of a signature that the request itself has."""
    parts, body = urlsplit(request.url), request.body
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    return {
        "method": request.method,
        "host": request.headers.get("host", ""),
        "path": parts.path or "/",
        "query": parts.query,
        "target": target,
        "url": request.url,
        "body": body.decode("latin-1"),
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "body_sha256_base64": base64.b64encode(hashlib.sha256(body).digest()).decode(),
        "body_md5": hashlib.md5(body).hexdigest(),  # noqa: S324 - the API requires it
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
