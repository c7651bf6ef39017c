"""Made-up responses of today's Nango to `GET /connections/:id` for each type of credentials."""

from __future__ import annotations

from typing import Any

RAW = {"access_token": "at-planted", "token_type": "bearer", "scope": "read write", "team": {"id": "T1"}}

CREDENTIALS: dict[str, dict[str, Any]] = {
    "OAUTH2": {
        "type": "OAUTH2",
        "access_token": "at-planted",
        "refresh_token": "rt-planted",
        "expires_at": "2027-01-02T03:04:05.678Z",
        "raw": RAW,
        "config_override": {},
    },
    "OAUTH2_CC": {
        "type": "OAUTH2_CC",
        "token": "cc-planted",
        "client_id": "id-planted",
        "client_secret": "cs-planted",
        "expires_at": "2027-01-02T03:04:05.000Z",
        "raw": {},
    },
    "OAUTH1": {
        "type": "OAUTH1",
        "oauth_token": "ot-planted",
        "oauth_token_secret": "os-planted",
        "raw": {"user_id": "12"},
    },
    "API_KEY": {"type": "API_KEY", "apiKey": "ak-planted"},
    "BASIC": {"type": "BASIC", "username": "ada", "password": "pw-planted"},
    "NONE": {},
    "APP": {
        "type": "APP",
        "access_token": "app-planted",
        "expires_at": "2027-01-02T03:04:05Z",
        "raw": {"a": 1},
    },
    "APP_STORE": {
        "type": "APP_STORE",
        "access_token": "as-planted",
        "private_key": "pk-planted",
        "expires_at": None,
        "raw": {},
    },
    "TBA": {
        "type": "TBA",
        "token_id": "ti-planted",
        "token_secret": "ts-planted",
        "config_override": {"client_id": "other", "client_secret": "other-planted"},
    },
    "JWT": {
        "type": "JWT",
        "privateKeyId": "kid",
        "issuerId": "iss",
        "privateKey": "pk-planted",
        "token": "jw-planted",
    },
    "TWO_STEP": {
        "type": "TWO_STEP",
        "username": "ada",
        "apiKey": "ak-planted",
        "companyCode": "cc-planted",
        "token": "tt-planted",
        "expires_at": "2027-01-02T03:04:05Z",
        "raw": {"session": "s-planted"},
    },
    "SIGNATURE": {
        "type": "SIGNATURE",
        "username": "ada",
        "password": "sp-planted",
        "token": "st-planted",
        "expires_at": "2027-01-02T03:04:05Z",
    },
    "AWS_SIGV4": {
        "type": "AWS_SIGV4",
        "role_arn": "arn:aws:iam::1:role/x",
        "region": "eu-west-1",
        "service": "s3",
        "access_key_id": "ASIAPLANTED",
        "secret_access_key": "sk-planted",
        "session_token": "st-planted",
        "expires_at": "2027-01-02T03:04:05Z",
        "raw": {},
    },
}

EXPIRES_AT = 1798859045.0
RAW_CREDENTIALS = {"token_type": "bearer", "scope": "read write", "raw": RAW}

TAKEN: dict[tuple[str, str], dict[str, Any]] = {
    ("OAUTH2", "oauth2"): {
        "access_token": "at-planted",
        "refresh_token": "rt-planted",
        "expires_at": EXPIRES_AT + 0.678,
        **RAW_CREDENTIALS,
    },
    ("OAUTH2_CC", "oauth2-cc"): {
        "access_token": "cc-planted",
        "client_id": "id-planted",
        "client_secret": "cs-planted",
        "expires_at": EXPIRES_AT,
    },
    ("OAUTH1", "oauth1"): {
        "oauth_token": "ot-planted",
        "oauth_token_secret": "os-planted",
        "raw": {"user_id": "12"},
    },
    ("API_KEY", "api-key"): {"api_key": "ak-planted"},
    ("API_KEY", "two-step"): {"api_key": "ak-planted"},
    ("BASIC", "basic"): {"username": "ada", "password": "pw-planted"},
    ("BASIC", "username-password"): {"username": "ada", "password": "pw-planted"},
    ("BASIC", "digest"): {"username": "ada", "password": "pw-planted"},
    ("NONE", "none"): {},
    ("APP", "oauth2-jwt"): {"access_token": "app-planted", "expires_at": EXPIRES_AT, "raw": {"a": 1}},
    ("APP_STORE", "jwt"): {
        "token": "as-planted",
        "private_key": "pk-planted",
        "private_key_id": "kid-of-config",
        "issuer": "issuer-of-config",
    },
    ("TBA", "oauth1"): {"oauth_token": "ti-planted", "oauth_token_secret": "ts-planted"},
    ("JWT", "jwt"): {
        "private_key_id": "kid",
        "issuer": "iss",
        "private_key": "pk-planted",
        "token": "jw-planted",
    },
    ("TWO_STEP", "two-step"): {
        "username": "ada",
        "api_key": "ak-planted",
        "token": "tt-planted",
        "expires_at": EXPIRES_AT,
        "raw": {"session": "s-planted"},
    },
    ("SIGNATURE", "signature"): {"api_key": "ada", "api_secret": "sp-planted"},
    ("AWS_SIGV4", "aws-sigv4"): {
        "access_key_id": "ASIAPLANTED",
        "secret_access_key": "sk-planted",
        "session_token": "st-planted",
    },
}
"""What an integration of tests/support/transfer_products.py stores for a type of credentials."""

LEFT: dict[str, set[str]] = {
    "TBA": {"credentials.config_override"},
    "TWO_STEP": {"credentials.companyCode"},
    "SIGNATURE": {"credentials.token", "credentials.expires_at"},
    "AWS_SIGV4": {
        "credentials.role_arn", "credentials.region", "credentials.service", "credentials.expires_at",
    },
}  # fmt: skip
"""The credentials of each type that have no place here."""

EVERY_RESPONSE = {"id", "provider", "last_fetched_at"}
"""What every response has and no connection here."""


def a_response(kind: str, integration: str = "shop", user: str = "user-1", **changes: Any) -> dict[str, Any]:
    """A response with credentials of a type."""
    config = {"privateKeyId": "kid-of-config", "issuerId": "issuer-of-config"} if kind == "APP_STORE" else {}
    return {
        "id": 18393,
        "connection_id": user,
        "provider_config_key": integration,
        "provider": "made-up",
        "errors": [],
        "end_user": None,
        "tags": {},
        "metadata": None,
        "connection_config": config,
        "webhook_url_override": None,
        "created_at": "2024-03-08T10:43:03.123Z",
        "updated_at": "2025-03-08T10:43:03.456Z",
        "last_fetched_at": "2026-03-08T10:43:03.789Z",
        "credentials": CREDENTIALS[kind],
        **changes,
    }
