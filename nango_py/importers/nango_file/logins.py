"""The login of an entry of a provider file: our auth mode, its keys, and the names of its credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.importers.nango_file.fields import snake_case
from nango_py.importers.nango_file.values import NotTranslatedError, Translator, quote_path, setting_name
from nango_py.json_types import as_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.json_types import JsonObject, JsonValue

TOKENS = {
    "accessToken": "access_token", "clientId": "oauth_client_id", "clientSecret": "oauth_client_secret",
}  # fmt: skip
LOGIN_CALL = {
    "apiKey": "api_key", "apiSecret": "api_secret", "clientId": "client_id", "clientSecret": "client_secret",
    "userName": "username", "accessToken": "token", "refresh_token": "refresh_token",
    "refreshToken": "refresh_token",
}  # fmt: skip
VARIABLES: dict[str, dict[str, str]] = {
    "API_KEY": {"apiKey": "api_key"},
    "BASIC": {"username": "username", "password": "password"},
    "NONE": {},
    "OAUTH1": {},
    "OAUTH2": TOKENS,
    "OAUTH2_CC": {
        "client_id": "client_id", "client_secret": "client_secret", "clientId": "client_id",
        "clientSecret": "client_secret", "accessToken": "access_token",
        "client_certificate": "client_certificate", "client_private_key": "client_key",
    },
    "TWO_STEP": LOGIN_CALL,
    "JWT": {
        "privateKey": "private_key", "privateKeyId": "private_key_id", "issuerId": "issuer",
        "accessToken": "token",
    },
    "MCP_OAUTH2": {"accessToken": "access_token"},
}  # fmt: skip
"""The auth modes that can be imported, and our names of their credentials."""

OURS = {"BASIC": "USERNAME_PASSWORD"}
"""The auth modes with another name here."""

_UNITS = ("milliseconds", "seconds")


def variables_of(entry: JsonObject) -> dict[str, str]:
    """Our name of each credential, by the entry's own name.

    Raises:
        NotTranslatedError: the auth mode has no equal here.
    """
    mode = str(entry.get("auth_mode"))
    if mode not in VARIABLES:
        raise NotTranslatedError(f"the auth mode {mode}")
    known = VARIABLES[mode]
    own = {name: known.get(name) or snake_case(name) for name in as_object(entry.get("credentials"))}
    if mode == "TWO_STEP":
        plain = ("username", "password", "api_key", "api_secret", "client_id", "client_secret", "token")
        own = {**{name: name for name in plain}, **own}
    return {**known, **own}


def read_auth(entry: JsonObject, translator: Translator, notes: list[str]) -> JsonObject:
    """The `auth` of a blueprint.

    Raises:
        NotTranslatedError: a part of the login has no equal here.
    """
    mode = str(entry["auth_mode"])
    for key in _REFUSED:
        if entry.get(key):
            raise NotTranslatedError(f"the key {key}")
    auth: JsonObject = {"auth_mode": OURS.get(mode, mode)}
    reader = _READERS.get(mode)
    if reader is not None:
        reader(entry, translator, auth)
    notes += [
        f"{key}: {entry[key]}" if isinstance(entry[key], str) else key
        for key in _NOT_CARRIED
        if entry.get(key)
    ]
    return {key: value for key, value in auth.items() if value not in ({}, [], "")}


_REFUSED = ("assertion", "assertion_option", "authorization_url_fragment")
_NOT_CARRIED = (
    "post_connection_script", "pre_connection_deletion_script", "credentials_verification_script",
    "webhook_routing_script", "webhook_response_metadata", "authorization_url_replacements",
    "authorization_url_skip_encode", "authorization_code_param_in_webhook", "refresh_token_response_metadata",
    "refresh_token_headers", "decode_url",
)  # fmt: skip


def _read_oauth2(entry: JsonObject, translator: Translator, auth: JsonObject) -> None:
    auth["authorization_url"] = translator.text(entry.get("authorization_url") or "")
    params = _texts(translator.tree(as_object(entry.get("authorization_params"))))
    auth["authorization_params"] = _without(params, {"response_type": "code"})
    _read_token_call(entry, translator, auth)
    if isinstance(entry.get("disable_pkce"), bool):
        auth["pkce"] = "unsupported" if entry["disable_pkce"] else "supported"
    if code := entry.get("authorization_code_param_in_callback"):
        auth["callback_params"] = {"code": str(code)}
    auth["refresh_url"] = translator.text(entry.get("refresh_url") or "")
    auth["refresh_params"] = _without(
        translator.tree(as_object(entry.get("refresh_params"))), {"grant_type": "refresh_token"}
    )
    kept = entry.get("redirect_uri_metadata")
    auth["keep_from_callback"] = _names(kept) if isinstance(kept, list) else {}


def _read_token_call(entry: JsonObject, translator: Translator, auth: JsonObject) -> None:
    """The keys that OAUTH2 and OAUTH2_CC share."""
    url = entry.get("token_url")
    if not isinstance(url, str):
        raise NotTranslatedError("no single token_url")
    auth["token_url"] = translator.text(url)
    params = translator.tree(as_object(entry.get("token_params")))
    usual = {"grant_type": "client_credentials" if auth["auth_mode"] == "OAUTH2_CC" else "authorization_code"}
    auth["token_params"] = _without(params, usual)
    auth["token_headers"] = _headers(entry.get("token_headers"), translator)
    if (body := entry.get("body_format")) is not None:
        if body not in {"form", "json", "query"}:
            raise NotTranslatedError(f"the body format {body}")
        auth["body_format"] = body
    if method := entry.get("token_request_method"):
        auth["token_method"] = method
    auth["authorization_method"] = _client_place(entry)
    auth["scope_separator"] = str(entry.get("scope_separator") or "")
    auth["default_scopes"] = entry.get("default_scopes") or []
    auth["keep_from_response"] = _names(entry.get("token_response_metadata"))
    if path := entry.get("alternate_access_token_response_path"):
        auth["token_path"] = f"access_token || {path}"
    if (unit := str(entry.get("expires_in_unit") or "")) in _UNITS:
        auth["expires_in_unit"] = unit
    if (seconds := entry.get("token_expiration_buffer")) is not None:
        auth["renew_before_seconds"] = seconds
    if isinstance(lifetime := entry.get("token_expires_in_ms"), int) and lifetime >= 1000:  # noqa: PLR2004
        auth["token_lifetime_seconds"] = lifetime // 1000


def _client_place(entry: JsonObject) -> str:
    method = entry.get("token_request_auth_method")
    if method == "basic" or entry.get("authorization_method") == "header":
        return "header"
    if method is not None:
        raise NotTranslatedError(f"token_request_auth_method {method}")
    return "body"


def _read_client(entry: JsonObject, translator: Translator, auth: JsonObject) -> None:
    _read_token_call(entry, translator, auth)
    if as_object(entry.get("credentials")).keys() - VARIABLES["OAUTH2_CC"]:
        raise NotTranslatedError("client credentials with other fields")


def _read_oauth1(entry: JsonObject, translator: Translator, auth: JsonObject) -> None:
    for key in ("request_url", "authorization_url", "token_url"):
        auth[key] = translator.text(entry.get(key) or "")
    for key in ("request_params", "authorization_params"):
        auth[key] = translator.tree(as_object(entry.get(key)))
    for key in ("signature_method", "request_http_method", "token_http_method"):
        if entry.get(key):
            auth[key] = entry[key]


def _read_login_call(entry: JsonObject, translator: Translator, auth: JsonObject) -> None:
    auth |= _step(entry, translator)
    response = as_object(entry.get("token_response"))
    auth["token_response"] = {
        key: value
        for key, value in response.items()
        if key in {"token", "token_expiration", "token_expiration_strategy", "refresh_token"} and value
    }
    if isinstance(lifetime := entry.get("token_expires_in_ms"), int):
        auth["token_lifetime_seconds"] = lifetime // 1000
    if header := entry.get("token_response_headers"):
        raise NotTranslatedError(f"a token in the headers {header}")
    steps = entry.get("additional_steps")
    auth["additional_steps"] = [_step(as_object(step), translator) for step in steps or ()]  # type: ignore[union-attr]
    if response.get("refresh_token") and entry.get("refresh_token_params"):
        refresh = {**entry, "token_params": entry["refresh_token_params"]}
        auth["refresh_step"] = _step({**refresh, "token_url": entry.get("refresh_url") or ""}, translator)


def _step(step: JsonObject, translator: Translator) -> JsonObject:
    if (body := step.get("body_format") or "json") not in {"form", "json", "query"}:
        raise NotTranslatedError(f"the body format {body}")
    found: JsonObject = {
        "token_url": translator.text(step.get("token_url") or ""),
        "token_params": translator.tree(as_object(step.get("token_params"))),
        "token_headers": _headers(step.get("token_headers"), translator),
        "body_format": body,
    }
    if method := step.get("token_request_method"):
        found["token_method"] = method
    return {key: value for key, value in found.items() if value != {}}


def _read_jwt(entry: JsonObject, translator: Translator, auth: JsonObject) -> None:
    token = as_object(entry.get("token"))
    header = as_object(token.get("header"))
    if translator.text(token.get("signing_key") or "") != "${private_key}":
        raise NotTranslatedError("a key that is made of several values")
    lifetime = token.get("expires_in_ms")
    claims = {
        key: value for key, value in as_object(token.get("payload")).items() if key not in {"iat", "exp"}
    }
    auth["jwt"] = {
        "algorithm": str(header.pop("alg", "RS256")),
        "header": translator.tree({key: value for key, value in header.items() if key != "typ"}),
        "payload": translator.tree(claims),
        **({"expires_in": lifetime // 1000} if isinstance(lifetime, int) else {}),
    }


def _read_mcp(entry: JsonObject, translator: Translator, auth: JsonObject) -> None:
    auth["resource_url"] = translator.text(as_object(entry.get("proxy")).get("base_url") or "")
    auth["scope_separator"] = str(entry.get("scope_separator") or "")


_READERS: dict[str, Callable[[JsonObject, Translator, JsonObject], None]] = {
    "OAUTH2": _read_oauth2,
    "OAUTH2_CC": _read_client,
    "OAUTH1": _read_oauth1,
    "TWO_STEP": _read_login_call,
    "JWT": _read_jwt,
    "MCP_OAUTH2": _read_mcp,
}


def _headers(value: JsonValue, translator: Translator) -> JsonObject:
    """Headers without those that follow from the format of the body."""
    return {
        name: translator.text(text)
        for name, text in as_object(value).items()
        if name.lower() not in {"content-type", "accept"}
    }


def _names(value: JsonValue) -> JsonObject:
    """Values of a response to keep, by our name: `a.b-c` as `b_c`."""
    names = value if isinstance(value, list) else []
    return {setting_name(str(name).rpartition(".")[2]): quote_path(name) for name in names}


def _texts(params: JsonValue) -> JsonObject:
    """Parameters of a URL: true is sent as `true`."""
    return {
        key: str(value).lower() if isinstance(value, bool) else value
        for key, value in as_object(params).items()
    }


def _without(params: JsonValue, usual: dict[str, str]) -> JsonObject:
    return {key: value for key, value in as_object(params).items() if usual.get(key) != value}
