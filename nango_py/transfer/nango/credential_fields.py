"""Credentials as today's Nango names them, and what they are called here.

Names were read in the types of its public repository (packages/types/lib/auth) and in its API reference.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKENS = {"token": "access_token"}
_KEY = {"private_key": "private_key", "privateKeyId": "private_key_id", "issuerId": "issuer"}

TYPES: dict[str, dict[str, dict[str, str]]] = {
    "OAUTH2": {"OAUTH2": {}, "OAUTH2_CC": {}},
    "MCP_OAUTH2": {"OAUTH2": {}},
    "MCP_OAUTH2_GENERIC": {"OAUTH2": {}},
    "CUSTOM": {"OAUTH2": {}, "OAUTH2_JWT": {}},
    "OAUTH2_CC": {
        "OAUTH2_CC": _TOKENS,
        "OAUTH2": _TOKENS,
        "MTLS": {"client_private_key": "client_key"},
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
"""For each `type` of credentials the auth modes that can take them, and the names that are other words here.

Names that differ in capitals and underscores only, such as apiKey, need no entry.
"""

OTHER_APP = (
    "it is of another OAuth app than the integration's; what that app was given cannot be renewed by yours"
)
TEMPORARY = "the keys are temporary: the user connects again, or you register keys that last"
WHY = {
    ("OAUTH2", "config_override"): OTHER_APP,
    ("TBA", "config_override"): OTHER_APP,
    ("SIGNATURE", "token"): "each request is signed anew",
    ("SIGNATURE", "expires_at"): "each request is signed anew",
    ("AWS_SIGV4", "expires_at"): TEMPORARY,
    ("AWS_SIGV4", "role_arn"): TEMPORARY,
    ("OAUTH2_CC", "client_certificate"): "the mode has no client certificate",
    ("OAUTH2_CC", "client_private_key"): "the mode has no client certificate",
}

_MASK = re.compile(r"\[?REDACTED\]?|\*{3,}", re.IGNORECASE)
_GHOST_KEY = re.compile(r"([0-9a-f]{24}):([0-9a-f]{32,})")


class MappedCredentials(NamedTuple):
    """Credentials in our words, and those that have none here."""

    credentials: dict[str, Any]
    rest: dict[str, Any]


def fold_name(name: str) -> str:
    """A name without capitals and underscores: apiKey, api_key and APIKey are one."""
    return name.replace("_", "").replace("-", "").lower()


def map_credentials(
    kind: str, given: Mapping[str, Any], config: dict[str, Any], mode: str, schema: Mapping[str, Any]
) -> MappedCredentials:
    """What a mode takes of credentials.

    Args:
        kind: their `type`, one of TYPES.
        given: the credentials.
        config: the connection's `connection_config`; what belongs to the credentials is taken out of it.
        mode: an auth mode that TYPES allows for the kind.
        schema: the mode's `credentials_schema`.
    """
    words = {fold_name(name): name for name in schema["properties"]}
    words |= {fold_name(name): word for name, word in TYPES[kind][mode].items()}
    if kind in {"JWT", "APP_STORE"}:
        words |= {fold_name(name): word for name, word in _KEY.items() if word in schema["properties"]}
    found: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    # Exact spellings first, so that another spelling of the same field does not win.
    for name, value in sorted(
        _split_keys(given).items(), key=lambda item: item[0] != words.get(fold_name(item[0]))
    ):
        word = words.get(fold_name(name))
        word = None if word in found else word
        if _is_nothing(value) and not (value == "" and word in schema.get("required", ())):
            continue
        (found if word else rest)[word or name] = value
    if kind in {"JWT", "APP_STORE"}:
        for name in ("privateKeyId", "issuerId"):
            if (
                words.get(fold_name(name))
                and words[fold_name(name)] not in found
                and isinstance(config.get(name), str)
            ):
                found[words[fold_name(name)]] = config.pop(name)
    _read_raw(found, schema)
    return MappedCredentials(found, rest)


def _is_nothing(value: Any) -> bool:
    return value in (None, "") or (isinstance(value, dict) and not any(value.values()))


def _split_keys(given: Mapping[str, Any]) -> dict[str, Any]:
    """The credentials with a key that holds its own id, as Ghost's do, in two."""
    split = {name: value for name, value in given.items() if name != "type"}
    key = split.get("privateKey")
    both = _GHOST_KEY.fullmatch(key) if isinstance(key, str) else None
    if both:
        split |= {"privateKeyId": both[1], "privateKey": both[2]}
    elif isinstance(key, dict):
        split |= {"privateKeyId": key.get("id"), "privateKey": key.get("secret")}
    return split


def _read_raw(found: dict[str, Any], schema: Mapping[str, Any]) -> None:
    """Fill in what only the token endpoint's whole response tells."""
    raw = found.get("raw")
    if not isinstance(raw, dict):
        return
    for name in ("refresh_token", "token_type", "scope"):
        value = raw.get(name)
        if name in schema["properties"] and name not in found and isinstance(value, str) and value:
            found[name] = value


def is_masked(value: Any) -> bool:
    """Whether a text in the credentials was replaced by a mask."""
    if isinstance(value, dict):
        return any(map(is_masked, value.values()))
    if isinstance(value, list):
        return any(map(is_masked, value))
    return isinstance(value, str) and bool(_MASK.fullmatch(value))
