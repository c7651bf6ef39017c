"""The settings of `auth:` that several modes share. A key means the same wherever it stands."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_OPEN: Schema = {"^x-": {}}
_SCALAR = ["string", "number", "boolean"]

URL: Schema = {"type": "string", "format": "https-url", "template": "url"}
TEXT: Schema = {"type": "string"}
TEMPLATE: Schema = {"type": "string", "template": "text"}
PATH: Schema = {"type": "string", "minLength": 1, "title": "JMESPath into the response"}
SECONDS: Schema = {
    "type": "number", "exclusiveMinimum": 0, "maximum": 315_360_000, "unit": "seconds", "shown": True
}  # fmt: skip
METHOD: Schema = {"enum": ["GET", "POST", "PUT"]}
TEXTS: Schema = {"type": "object", "additionalProperties": TEMPLATE}
HEADERS: Schema = {"type": "object", "additionalProperties": {"type": "string", "template": "header"}}
PARAMS: Schema = {
    "type": "object",
    "additionalProperties": {
        "type": [*_SCALAR, "object"],
        "template": "text",
        "additionalProperties": {"type": _SCALAR, "template": "text"},
    },
}
ASSERTION: Schema = {
    "type": "object",
    "properties": {
        "signing_key": {**TEMPLATE, "title": "PEM, or the shared secret for HS256"},
        "signing_key_encoding": {"enum": ["text", "hex", "base64"], "title": "How the key is written"},
        "algorithm": {"enum": ["RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA", "HS256", "HS512"]},
        "header": {
            "type": "object", "additionalProperties": {"type": _SCALAR, "template": "text"},
            "title": "More of the token's header, such as kid",
        },
        "payload": {
            "type": "object", "additionalProperties": {"type": _SCALAR, "template": "text"},
            "title": "The claims beside iat and exp; empty ones are left out",
        },
        "expires_in": {**SECONDS, "maximum": 31_536_000, "title": "Seconds that it lives; 300 unless given"},
        "issued_ago": {
            "type": "number", "minimum": 0, "maximum": 3600, "unit": "seconds", "shown": True,
            "title": "How far back the token is dated, for servers whose clock is late",
        },
        "scope_claim": {**TEXT, "title": "The claim that takes oauth_scopes"},
    },
    "patternProperties": _OPEN,
    "additionalProperties": False,
}  # fmt: skip

TOKEN_CALL: Schema = {
    "token_url": URL,
    "token_method": METHOD,
    "token_params": PARAMS,
    "token_headers": HEADERS,
    "body_format": {"enum": ["form", "json", "query"]},
}
"""How a token endpoint is called."""

CLIENT: Schema = {
    "authorization_method": {"enum": ["header", "body", "none", "private_key_jwt"]},
    "client_assertion": ASSERTION,
    "scope_separator": TEXT,
}
"""How the application says who it is, and what it asks for."""

TOKEN_RESPONSE_FIELDS: Schema = {
    "token_path": PATH,
    "expires_in_path": PATH,
    "expires_in_unit": {"enum": ["seconds", "milliseconds", "minutes", "hours", "days"]},
    "expires_at_path": PATH,
    "token_lifetime_seconds": SECONDS,
    "keep_from_response": {"type": "object", "additionalProperties": PATH},
}
"""Where a response says what."""

CALLBACK: Schema = {"callback_per_integration": {"type": "boolean"}}
"""Where the browser comes back to after a login."""

STEP: Schema = {
    "type": "object",
    "properties": TOKEN_CALL,
    "patternProperties": _OPEN,
    "additionalProperties": False,
    "required": ["token_url"],
}

TOKEN_RESPONSE: Schema = {
    "type": "object",
    "properties": {
        "token": {**PATH, "title": "JMESPath to the token; access_token unless given"},
        "token_header": {**TEXT, "minLength": 1, "title": "The header that holds the token instead"},
        "token_expiration": {**PATH, "title": "JMESPath to when it ends"},
        "token_expiration_strategy": {
            "enum": ["expireAt", "expireIn"],
            "title": "A moment, or seconds from now, as it is unless given",
        },
    },
    "patternProperties": _OPEN,
    "additionalProperties": False,
}
