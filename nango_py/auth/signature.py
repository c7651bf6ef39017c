"""SIGNATURE: a keyed hash over declared parts of each request, or WSSE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from nango_py.auth.base import AuthMode
from nango_py.protocols.frames import without_error_frames
from nango_py.protocols.settings_schemas import TEMPLATE
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.protocols.signed_request import SignedRequest

PART_WORDS = (
    "method", "host", "path", "query", "target", "url", "body", "body_sha256", "body_sha256_base64",
    "body_md5", "timestamp", "timestamp_ms", "iso_time", "http_date", "nonce", "api_key", "signature",
)  # fmt: skip
"""What a part may be; `signature` stands in headers only."""

_PART: dict[str, Any] = {
    "type": ["string", "object"],
    "if": {"type": "string"},
    "then": {"enum": list(PART_WORDS)},
    "properties": {"text": TEMPLATE, "header": {"type": "string", "minLength": 1}},
    "patternProperties": {"^x-": {}},
    "additionalProperties": False,
    "minProperties": 1,
    "expected": "a word such as timestamp, {text: ...} or {header: ...}",
}
_PARTS: dict[str, Any] = {"type": "array", "items": _PART, "minItems": 1}


@AUTH_MODES.register
class Signature(AuthMode):
    """A public key or user name, and a secret that signs and is never sent."""

    name = "SIGNATURE"
    title = "Signed requests"
    credentials_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "required": ["api_key", "api_secret"],
        "properties": {
            "api_key": {"type": "string", "title": "API key or user name", "minLength": 1},
            "api_secret": {"type": "string", "title": "API secret", "minLength": 1},
        },
        "additionalProperties": False,
    }
    example_credentials: ClassVar[dict[str, Any]] = {
        "api_key": "key_example_1234",
        "api_secret": "secret_example_1234",
    }
    settings_schema: ClassVar[dict[str, Any]] = {
        "signature": {
            "type": "object",
            "properties": {
                "protocol": {"enum": ["HMAC", "WSSE"], "title": "HMAC unless given"},
                "algorithm": {"enum": ["sha256", "sha512", "sha384", "sha1", "md5"]},
                "encoding": {"enum": ["hex", "base64"], "title": "How the signature is written"},
                "key_encoding": {"enum": ["text", "hex", "base64"], "title": "How the secret is written"},
                "parts": {**_PARTS, "title": "What is signed, in this order"},
                "joined_by": {"type": "string", "title": "What stands between parts; nothing unless given"},
                "headers": {
                    "type": "object",
                    "additionalProperties": _PARTS,
                    "title": "Each header that is sent, made of parts",
                },
            },
            "patternProperties": {"^x-": {}},
            "additionalProperties": False,
        }
    }
    variables = ("api_key", "api_secret")
    secret_variables = ("api_key", "api_secret")
    signs = True

    @without_error_frames
    def sign(
        self, request: SignedRequest, variables: Mapping[str, Any], settings: Mapping[str, Any], now: float
    ) -> dict[str, str]:
        """The declared headers, with a timestamp and a nonce of this attempt."""
        from nango_py.protocols import hmac_signing

        declared = settings.get("signature") or {}
        if declared.get("protocol") == "WSSE":
            return hmac_signing.wsse(variables, declared, now)
        return hmac_signing.hmac_headers(request, variables, declared, now)
