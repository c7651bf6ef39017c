"""Schemas of the `auth:` settings that several modes share. A key has the same meaning in every mode."""

from __future__ import annotations

from typing import TypeAlias

Schema: TypeAlias = dict[str, object]

_OPEN: Schema = {"^x-": {}}
_SCALAR = ["string", "number", "boolean"]

URL: Schema = {"type": "string", "format": "https-url", "template": "url"}
TEXT: Schema = {"type": "string"}
TEMPLATE: Schema = {"type": "string", "template": "text"}
PATH: Schema = {
    "type": "string", "minLength": 1, "format": "jmespath", "title": "JMESPath into the response"
}  # fmt: skip
SECONDS: Schema = {
    "type": "number", "exclusiveMinimum": 0, "maximum": 315_360_000, "unit": "seconds", "shown": True
}  # fmt: skip
METHOD: Schema = {"enum": ["GET", "POST", "PUT"]}
TEXTS: Schema = {"type": "object", "additionalProperties": TEMPLATE}
HEADERS: Schema = {"type": "object", "additionalProperties": {"type": "string", "template": "header"}}
_NESTED: Schema = {"type": [*_SCALAR, "object"], "template": "text"}
PARAMS: Schema = {
    "type": "object",
    "additionalProperties": {
        **_NESTED,
        "additionalProperties": {
            **_NESTED,
            "additionalProperties": {"type": _SCALAR, "template": "text"},
        },
    },
}
ASSERTION: Schema = {
    "type": "object",
    "properties": {
        "signing_key": {**TEMPLATE, "title": "PEM, or the shared secret for HS256"},
        "signing_key_encoding": {"enum": ["text", "hex", "base64"], "title": "Encoding of the key"},
        "algorithm": {"enum": ["RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA", "HS256", "HS512"]},
        "header": {
            "type": "object", "additionalProperties": {"type": _SCALAR, "template": "text"},
            "title": "Additional header parameters, such as kid",
        },
        "payload": {
            "type": "object", "additionalProperties": {"type": _SCALAR, "template": "text"},
            "title": "Claims in addition to iat and exp; empty ones are omitted",
        },
        "expires_in": {**SECONDS, "maximum": 31_536_000, "title": "Lifetime in seconds; default 300"},
        "issued_ago": {
            "type": "number", "minimum": 0, "maximum": 3600, "unit": "seconds", "shown": True,
            "title": "How far to backdate the token, for servers whose clock is slow",
        },
        "scope_claim": {**TEXT, "title": "The claim for oauth_scopes"},
    },
    "patternProperties": _OPEN,
    "additionalProperties": False,
}  # fmt: skip

SAML_ASSERTION: Schema = {
    "type": "object",
    "properties": {
        "issuer": {**TEMPLATE, "minLength": 1, "title": "Who issues it; default ${client_id}"},
        "subject": {**TEMPLATE, "minLength": 1, "title": "The user; default ${username}"},
        "subject_format": {**TEXT, "minLength": 1, "title": "Format of the subject; default unspecified"},
        "audience": {**TEMPLATE, "minLength": 1, "title": "The service that it is for; default token_url"},
        "recipient": {**TEMPLATE, "minLength": 1, "title": "Where it is sent; default token_url"},
        "attributes": {**TEXTS, "title": "Attributes, such as api_key"},
        "authn_context": {**TEXT, "minLength": 1, "title": "How the user logged in; default not stated"},
        "signing_key": {**TEMPLATE, "title": "RSA key in PEM format; default ${private_key}"},
        "certificate": {**TEMPLATE, "title": "The certificate to send along; default none"},
        "encoding": {"enum": ["base64url", "base64"], "title": "Encoding of the assertion"},
        "expires_in": {**SECONDS, "maximum": 31_536_000, "title": "Lifetime in seconds; default 300"},
        "issued_ago": {
            "type": "number", "minimum": 0, "maximum": 3600, "unit": "seconds", "shown": True,
            "title": "How far to backdate it, for servers whose clock is slow",
        },
    },
    "patternProperties": _OPEN,
    "additionalProperties": False,
}  # fmt: skip
"""A SAML assertion (RFC 7522 section 3)."""

TOKEN_CALL: Schema = {
    "token_url": URL,
    "token_method": {**METHOD, "default": "POST"},
    "token_params": PARAMS,
    "token_headers": HEADERS,
    "body_format": {"enum": ["form", "json", "query"], "default": "form"},
}
"""The request to a token endpoint."""

AUTHORIZATION_METHOD: Schema = {"enum": ["header", "body", "none", "private_key_jwt"]}
"""Without a default: if it is left out, the client does not authenticate."""

CLIENT: Schema = {
    "authorization_method": {**AUTHORIZATION_METHOD, "default": "body"},
    "client_assertion": ASSERTION,
    "client_id_param": {**TEXT, "minLength": 1, "title": "The name of client_id, such as client_key"},
    "scope_separator": {**TEXT, "default": " "},
    "default_scopes": {
        "type": "array", "items": TEMPLATE, "separated": True,
        "title": "Scopes that the API always needs, besides oauth_scopes",
    },
}  # fmt: skip
"""Client authentication and scopes."""

UNIT: Schema = {"enum": ["seconds", "milliseconds", "minutes", "hours", "days"]}

LIFE: Schema = {
    "renew_before_seconds": {
        "type": "number", "minimum": 0, "maximum": 86_400, "unit": "seconds", "shown": True,
        "title": "How long before its expiry to refresh a token; default up to ten minutes",
    },
    "grant_ended": {
        "type": "array",
        "title": "Token responses that mean that the user must connect again",
        "items": {
            "type": "object",
            "properties": {
                "status": {
                    "type": ["integer", "array"], "items": {"type": "integer"},
                    "title": "One HTTP status, or a list of them",
                },
                "body_contains": {**TEXT, "minLength": 1, "title": "Text of the body"},
                "json": {
                    "type": "object",
                    "title": "A value in the JSON body",
                    "properties": {
                        "path": {**PATH, "title": "JMESPath into the body"},
                        "equals": {"title": "The value there"},
                    },
                    "required": ["path", "equals"], "patternProperties": _OPEN, "additionalProperties": False,
                },
            },
            "minProperties": 1, "patternProperties": _OPEN, "additionalProperties": False,
        },
    },
}  # fmt: skip
"""The end of tokens and of grants."""

TOKEN_RESPONSE_FIELDS: Schema = {
    "token_path": {**PATH, "default": "access_token"},
    "expires_in_path": PATH,
    "expires_in_unit": {**UNIT, "default": "seconds"},
    "expires_at_path": PATH,
    "token_lifetime_seconds": SECONDS,
    "keep_from_response": {
        "type": "object",
        "additionalProperties": {
            **PATH,
            "type": ["string", "object"],
            "properties": {
                "path": PATH,
                "on": {"enum": ["login", "every"], "title": "When to keep it: every is at each refresh too"},
            },
            "required": ["path"],
            "patternProperties": _OPEN,
            "additionalProperties": False,
        },
    },
    **LIFE,
}
"""Paths into a token response."""

PKCE: Schema = {
    "type": ["string", "boolean"],
    "default": "supported",
    "if": {"type": "string"},
    "then": {"enum": ["required", "supported", "unsupported"]},
}
"""Whether a provider supports PKCE; `true` and `false` are the older words for supported and unsupported."""

REVOCATION: Schema = {
    "type": "object",
    "title": "The request that revokes a grant, if it is not that of RFC 7009",
    "properties": {
        "method": {"enum": ["POST", "DELETE", "PUT", "GET"], "title": "The method; default POST"},
        "url": {**URL, "title": "The URL"},
        "headers": {**HEADERS, "title": "Headers"},
        "body": {**PARAMS, "title": "The fields of the body"},
        "body_format": {"enum": ["form", "json", "query"], "title": "The format of the fields"},
        "authorization_method": {"enum": ["header", "body", "none"], "title": "How the client authenticates"},
    },
    "required": ["url"],
    "patternProperties": _OPEN,
    "additionalProperties": False,
}
"""The revocation of a grant, by providers with an own request for it."""

AFTER_LOGIN: Schema = {
    "type": "array",
    "title": "Requests after the login, whose responses complete additional_config",
    "minItems": 1,
    "items": {
        "type": "object",
        "properties": {
            "method": {"enum": ["GET", "POST"], "title": "The method; default GET"},
            "url": {**URL, "title": "The URL, sent with the new token"},
            "params": {**TEXTS, "title": "Query parameters"},
            "headers": {**HEADERS, "title": "Headers; default Authorization: Bearer ${access_token}"},
            "json": {"type": "object", "title": "The JSON body"},
            "choose": {
                "type": "object",
                "title": "What to choose from",
                "properties": {
                    "from": {**PATH, "title": "JMESPath to the list of candidates; default the body"},
                    "value": {
                        **PATH,
                        "title": "JMESPath to what identifies a candidate; default the first of keep",
                    },
                    "label": {**PATH, "title": "JMESPath to the text that users see; default the value"},
                    "title": {
                        **TEXT,
                        "minLength": 1,
                        "maxLength": 60,
                        "title": "What is chosen, such as Site",
                    },
                },
                "patternProperties": _OPEN,
                "additionalProperties": False,
            },
            "keep": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": PATH,
                "title": "Values to store in additional_config, JMESPath by name",
            },
            "keep_secret": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": PATH,
                "title": "Tokens to store with the credentials, JMESPath by name; they are variables",
            },
            "next": {
                **PATH,
                "type": ["string", "object"],
                "title": "Where a response holds the URL of more candidates: a JMESPath or {link: next}",
                "properties": {"link": {**TEXT, "minLength": 1, "title": "The relation in the Link header"}},
                "required": ["link"],
                "additionalProperties": False,
            },
        },
        "required": ["url"],
        "if": {"not": {"required": ["keep_secret"]}},
        "then": {"required": ["keep"]},
        "patternProperties": _OPEN,
        "additionalProperties": False,
    },
}
"""The requests after a login."""

CODE_PARAM: Schema = {
    **TEXT, "minLength": 1, "title": "The name of the code in the token request, such as auth_code"
}  # fmt: skip

CALLBACK: Schema = {
    "callback_per_integration": {"type": "boolean"},
    "callback_params": {
        "type": "object",
        "title": "The provider's names of the callback's parameters",
        "properties": {
            "code": {**TEXT, "minLength": 1, "title": "The code, such as spapi_oauth_code"},
            "error": {**TEXT, "minLength": 1, "title": "The error code"},
            "error_description": {**TEXT, "minLength": 1, "title": "The description of the error"},
        },
        "patternProperties": _OPEN,
        "additionalProperties": False,
    },
}
"""The callback URL of a login."""

STEP_FORMAT: Schema = {"enum": ["form", "json", "query"], "default": "json"}
"""The format of the request of a proprietary login."""

STEP: Schema = {
    "type": "object",
    "properties": {**TOKEN_CALL, "body_format": STEP_FORMAT},
    "patternProperties": _OPEN,
    "additionalProperties": False,
    "required": ["token_url"],
}
STEPS: Schema = {"type": "array", "items": STEP, "title": "The requests after the first one"}

TOKEN_RESPONSE: Schema = {
    "type": "object",
    "properties": {
        "token": {**PATH, "title": "JMESPath to the token; default access_token"},
        "token_header": {**TEXT, "minLength": 1, "title": "The header with the token, instead of the body"},
        "token_expiration": {**PATH, "title": "JMESPath to the expiry"},
        "token_expiration_strategy": {
            "enum": ["expireAt", "expireIn"],
            "title": "A point in time, or a lifetime from now (default)",
        },
        "token_expiration_unit": {**UNIT, "title": "The unit of a lifetime; default seconds"},
        "refresh_token": {**PATH, "title": "JMESPath to the refresh token, for refresh_step"},
    },
    "patternProperties": _OPEN,
    "additionalProperties": False,
}
