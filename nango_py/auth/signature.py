"""SIGNATURE: an HMAC over declared parts of each request, or WSSE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.auth.base import AuthMode, make_schema, text_field
from nango_py.protocols.settings_schemas import TEMPLATE
from nango_py.registry import AUTH_MODES
from nango_py.secret import without_frames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.json_types import Schema, Settings
    from nango_py.protocols.signed_request import SignedRequest

PART_WORDS = (
    "method", "host", "path", "query", "target", "url", "body", "body_sha256", "body_sha256_base64",
    "body_md5", "timestamp", "timestamp_ms", "iso_time", "http_date", "nonce", "api_key", "signature",
)  # fmt: skip
"""The words for parts; `signature` is only allowed in headers."""

_PART: Schema = {
    "type": ["string", "object"],
    "if": {"type": "string"},
    "then": {"enum": list(PART_WORDS)},
    "properties": {
        "text": {**TEMPLATE, "title": "A text with variables"},
        "header": {"type": "string", "minLength": 1, "title": "The name of a header of the request"},
    },
    "patternProperties": {"^x-": {}},
    "additionalProperties": False,
    "minProperties": 1,
    "expected": "a word such as timestamp, {text: ...} or {header: ...}",
}
_PARTS: Schema = {"type": "array", "items": _PART, "minItems": 1}


@AUTH_MODES.register
class Signature(AuthMode):
    """A key or user name, and a secret that signs and is never sent."""

    name = "SIGNATURE"
    title = "Signed requests"
    credentials_schema = make_schema(
        {"api_key": text_field("API key or user name"), "api_secret": text_field("API secret")},
        required=["api_key", "api_secret"],
    )
    example_credentials = {"api_key": "key_example_1234", "api_secret": "secret_example_1234"}
    settings_schema = {
        "signature": {
            "type": "object",
            "properties": {
                "protocol": {"enum": ["HMAC", "WSSE"], "title": "Default HMAC"},
                "algorithm": {"enum": ["sha256", "sha512", "sha384", "sha1", "md5"]},
                "encoding": {"enum": ["hex", "base64"], "title": "Encoding of the signature"},
                "key_encoding": {"enum": ["text", "hex", "base64"], "title": "Encoding of the secret"},
                "parts": {**_PARTS, "title": "What to sign, in this order"},
                "joined_by": {"type": "string", "title": "Separator between parts; default none"},
                "headers": {
                    "type": "object",
                    "additionalProperties": _PARTS,
                    "title": "Headers to send, made of parts",
                },
            },
            "patternProperties": {"^x-": {}},
            "additionalProperties": False,
        }
    }
    variables = ("api_key", "api_secret")
    secret_variables = ("api_key", "api_secret")
    header_variables = ("api_key",)
    signs = True

    def modules(self, settings: Settings) -> tuple[str, ...]:
        """The signature."""
        return ("nango_py.protocols.hmac_signing",)

    @without_frames
    def sign(
        self, request: SignedRequest, variables: Mapping[str, object], settings: Settings, now: float
    ) -> dict[str, str]:
        """The declared headers, with the timestamp and nonce of this attempt."""
        from nango_py.protocols import hmac_signing

        signature: Settings = settings.get("signature") or {}
        if signature.get("protocol") == "WSSE":
            return hmac_signing.wsse_headers(variables, signature, now)
        return hmac_signing.hmac_headers(request, variables, signature, now)
