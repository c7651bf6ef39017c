"""The names of credentials in today's Nango, and ours.

Source: the types in its public repository (packages/types/lib/auth) and its API reference.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.json_types import JsonObject, JsonValue, Schema

_TOKENS = {"token": "access_token"}
_CERTIFICATE_KEY = {"client_private_key": "client_key"}
_KEY_FIELDS = {"private_key": "private_key", "privateKeyId": "private_key_id", "issuerId": "issuer"}

TYPES: dict[str, dict[str, dict[str, str]]] = {
    "OAUTH2": {"OAUTH2": {}, "OAUTH2_CC": {}},
    "MCP_OAUTH2": {"OAUTH2": {}},
    "MCP_OAUTH2_GENERIC": {"OAUTH2": {}},
    "CUSTOM": {"OAUTH2": {}, "OAUTH2_JWT": {}},
    "OAUTH2_CC": {
        "OAUTH2_CC": {**_TOKENS, **_CERTIFICATE_KEY},
        "OAUTH2": _TOKENS,
        "MTLS": _CERTIFICATE_KEY,
    },
    "OAUTH1": {"OAUTH1": {}},
    "TBA": {"OAUTH1": {"token_id": "oauth_token", "token_secret": "oauth_token_secret"}},
    "API_KEY": {"API_KEY": {}, "TWO_STEP": {}},
    "BASIC": {"BASIC": {}, "USERNAME_PASSWORD": {}, "DIGEST": {}, "TWO_STEP": {}},
    "NONE": {"NONE": {}},
    "APP": {"OAUTH2_JWT": {}, "OAUTH2": {}},
    "APP_STORE": {"JWT": {"access_token": "token"}, "OAUTH2_JWT": {}},
    "JWT": {"JWT": {}, "OAUTH2_JWT": _TOKENS},
    "TWO_STEP": {"TWO_STEP": {}},
    "BILL": {"TWO_STEP": {"session_id": "token", "dev_key": "api_key"}},
    "TABLEAU": {"TWO_STEP": {"pat_name": "username", "pat_secret": "password"}},
    "PERIMETER": {"TWO_STEP": {}},
    "SIGNATURE": {"SIGNATURE": {"username": "api_key", "password": "api_secret"}},
    "AWS_SIGV4": {"AWS_SIGV4": {}},
}
"""The auth modes for each `type` of credentials, with the fields that are named differently here.

Names that only differ in capitals and underscores, such as apiKey, need no entry.
"""

OTHER_APP = "it belongs to another OAuth app than the integration's, which cannot refresh its tokens"
TEMPORARY = "the keys are temporary: have the user connect again, or register permanent keys"
REASONS = {
    ("OAUTH2", "config_override"): OTHER_APP,
    ("TBA", "config_override"): OTHER_APP,
    ("SIGNATURE", "token"): "each request is signed separately",
    ("SIGNATURE", "expires_at"): "each request is signed separately",
    ("AWS_SIGV4", "expires_at"): TEMPORARY,
    ("AWS_SIGV4", "role_arn"): TEMPORARY,
}
"""Why certain fields are left out."""

_MASK = re.compile(r"\[?REDACTED\]?|\*{3,}", re.IGNORECASE)
_GHOST_KEY = re.compile(r"([0-9a-f]{24}):([0-9a-f]{32,})")


class MappedCredentials(NamedTuple):
    """Credentials with our names, and those that the auth mode does not take, with Nango's names."""

    credentials: JsonObject
    unmapped: dict[str, JsonValue]


def fold_name(name: str) -> str:
    """The name without capitals and underscores: the same for apiKey, api_key and APIKey."""
    return name.replace("_", "").replace("-", "").lower()


def map_credentials(
    kind: str, given: Mapping[str, JsonValue], config: JsonObject, mode: str, schema: Schema
) -> MappedCredentials:
    """Rename credentials for an auth mode.

    Args:
        kind: their `type`, one of TYPES.
        given: the credentials.
        config: the connection's `connection_config`; fields that belong to the credentials are removed from
            it.
        mode: an auth mode that TYPES allows for the type.
        schema: the mode's `credentials_schema`.
    """
    names = {fold_name(name): name for name in schema["properties"]}
    names |= {fold_name(name): ours for name, ours in TYPES[kind][mode].items()}
    if kind in {"JWT", "APP_STORE"}:
        names |= {fold_name(name): ours for name, ours in _KEY_FIELDS.items() if ours in schema["properties"]}
    mapped: JsonObject = {}
    unmapped: dict[str, JsonValue] = {}
    # Exact spellings first, so that they win over other spellings of the same field.
    fields = _split_key(given).items()
    for name, value in sorted(fields, key=lambda item: item[0] != names.get(fold_name(item[0]))):
        ours = names.get(fold_name(name), "")
        if _is_empty(value) and not (value == "" and ours in schema.get("required", ())):
            continue
        if ours and ours not in mapped:
            mapped[ours] = value
        else:
            unmapped[name] = value
    if kind in {"JWT", "APP_STORE"}:
        for name in ("privateKeyId", "issuerId"):
            ours = names.get(fold_name(name), "")
            if ours and ours not in mapped and isinstance(config.get(name), str):
                mapped[ours] = config.pop(name)
    _complete_from_raw(mapped, schema)
    return MappedCredentials(mapped, unmapped)


def _is_empty(value: JsonValue) -> bool:
    return value in (None, "") or (isinstance(value, dict) and not any(value.values()))


def _split_key(given: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The credentials; a key that contains its own id, as Ghost's do, becomes two fields."""
    fields = {name: value for name, value in given.items() if name != "type"}
    key = fields.get("privateKey")
    match = _GHOST_KEY.fullmatch(key) if isinstance(key, str) else None
    if match:
        fields |= {"privateKeyId": match[1], "privateKey": match[2]}
    elif isinstance(key, dict):
        fields |= {"privateKeyId": key.get("id"), "privateKey": key.get("secret")}
    return fields


def _complete_from_raw(mapped: JsonObject, schema: Schema) -> None:
    """Add fields that only the token endpoint's raw response has."""
    raw = mapped.get("raw")
    if not isinstance(raw, dict):
        return
    for name in ("refresh_token", "token_type", "scope"):
        value = raw.get(name)
        if name in schema["properties"] and name not in mapped and isinstance(value, str) and value:
            mapped[name] = value


def is_masked(value: JsonValue) -> bool:
    """Whether any text in the credentials was replaced by a mask."""
    if isinstance(value, dict):
        return any(map(is_masked, value.values()))
    if isinstance(value, list):
        return any(map(is_masked, value))
    return isinstance(value, str) and bool(_MASK.fullmatch(value))
