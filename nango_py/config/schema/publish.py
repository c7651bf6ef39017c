"""The schemas that `nango schema` prints, for editors and other validators.

They accept and refuse the same files as `nango check`, as far as a schema can say it, in plain JSON Schema
2020-12: a null removes a key, so it is a value of every key that can be missing, except in lists.
"""

from __future__ import annotations

import functools
from typing import Any

from nango_py.config.schema.fast_check import MAY_BE_NULL, NEVER_NULL
from nango_py.config.schema.format import LOCAL, definitions

Schema = dict[str, Any]

AUTH_KEYS = {
    "additional_steps": "the requests after the first one",
    "actor_token_type": "the type of the actor token (RFC 8693 3); default an access token",
    "algorithm": "the signature algorithm",
    "assertion": "a signed JWT",
    "assertion_placement": "the place of the assertion in the token request",
    "auth_mode": "the kind of credential; the other keys depend on it",
    "authorization_method": "the client authentication of the token request",
    "authorization_params": "additional parameters of the login page",
    "authorization_url": "the provider's login page",
    "body_format": "the format of the token request",
    "callback_per_integration": "whether the redirect URI ends with the integration's name",
    "client_assertion": "a signed JWT",
    "device_authorization_url": "the endpoint for logins on devices without a browser (RFC 8628)",
    "expires_at_path": "JMESPath to the expiry time",
    "expires_in_path": "JMESPath to the lifetime",
    "expires_in_unit": "the unit of the lifetime",
    "issuer": "the exact `iss` of callbacks (RFC 9207)",
    "jwt": "a signed JWT",
    "keep": "values to store in additional_config, JMESPath by name",
    "keep_from_callback": "parameters of the redirect to store in additional_config, as a list or by name",
    "keep_from_response": "values of the response to store in additional_config, JMESPath by name",
    "kind": "the kind of pagination; the other keys depend on it",
    "pkce": "whether the provider requires or supports PKCE (RFC 7636); it is used unless unsupported",
    "pushed_authorization_url": "the endpoint for pushed authorization requests (RFC 9126)",
    "realm": "the realm of the Authorization header",
    "refresh_params": "additional parameters of the refresh request",
    "refresh_token_lifetime_seconds": "how long a refresh token is valid without use",
    "refresh_token_path": "JMESPath to the refresh token",
    "refresh_url": "the URL of refresh requests, default `token_url`",
    "region": "the region of the signature",
    "request_http_method": "the method of the request for a request token",
    "request_params": "additional parameters of the request for a request token",
    "request_url": "the URL for request tokens",
    "requires_issuer": "whether a callback without `iss` is rejected too",
    "resource_url": "the URL of the MCP server",
    "revocation_url": "the URL for token revocation (RFC 7009)",
    "saml_assertion": "a signed SAML assertion (RFC 7522 3)",
    "scope_aliases": "the provider's names of granted scopes, by scope",
    "scope_separator": "the separator of scopes, default a space",
    "service": "the service of the signature",
    "signature": "how requests are signed",
    "signature_method": "the signature method",
    "subject_token_type": "the type of the subject token (RFC 8693 3); default an access token",
    "token_headers": "additional headers of the token request",
    "token_http_method": "the method of the token request",
    "token_lifetime_seconds": "the lifetime of tokens whose response has none",
    "token_method": "the method of the token request",
    "token_params": "additional parameters of the token request",
    "token_path": "JMESPath to the token",
    "token_response": "where the response holds the token",
    "token_url": "the token endpoint",
}
"""The meaning of the keys of plugins whose schema has none. It is the same in every plugin."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FROM_ENVIRONMENT = {"type": "string", "pattern": r"^\$\{\s*[A-Z][A-Z0-9_]*\s*\}$"}
# Our checks report a wrong reference when they look it up, so only other validators need this pattern.
_REFERENCE = r"^[a-z0-9][a-z0-9_-]{0,63}(:v(0|[1-9][0-9]{0,8}))?$"
_REFERENCE_OR_ENVIRONMENT = rf"{_REFERENCE}|\$\{{"
# Keywords of our own, which other validators do not know.
_OURS = frozenset({"code", "expected", "never_null", "separated", "shown", "template", "title", "unit"})


def blueprint_schema() -> Schema:
    """The schema of a blueprint file, without references to other documents."""
    return _publish("blueprint", "blueprint_file", "A nango_py blueprint")


def integrations_schema() -> Schema:
    """The schema of integrations.yaml, without references to other documents."""
    return _publish("integrations", "integrations_file", "The integrations.yaml of nango_py")


def _publish(name: str, root: str, title: str) -> Schema:
    publisher = _Publisher(allows_environment=root == "integrations_file")
    reference = publisher.reference(LOCAL + root, is_in_list=False)
    return {
        "$schema": _DIALECT,
        "$id": f"urn:nango:{name}",
        "title": title,
        "$ref": reference,
        "$defs": {key: publisher.published[key] for key in sorted(publisher.published)},
    }


class _Publisher:
    """Converts definitions to plain JSON Schema.

    Args:
        allows_environment: whether `${UPPER_CASE}` may stand for one of several words.
    """

    def __init__(self, *, allows_environment: bool) -> None:
        self.published: dict[str, Schema] = {}
        self._allows_environment = allows_environment

    def reference(self, target: str, *, is_in_list: bool) -> str:
        """The reference to a converted definition; in lists to the form in which no key may be null."""
        name = target.removeprefix(LOCAL)
        key = f"{name}_in_list" if is_in_list and _has_keys(definitions()[name]) else name
        if key not in self.published:
            self.published[key] = {}
            self.published[key] = self._convert(definitions()[name], is_in_list=is_in_list)
        if name == "blueprint_ref":
            pattern = _REFERENCE_OR_ENVIRONMENT if self._allows_environment else _REFERENCE
            self.published[key]["pattern"] = pattern
        return LOCAL + key

    def _convert(self, schema: Schema, *, is_in_list: bool) -> Schema:
        converted: Schema = {}
        for keyword, value in schema.items():
            if keyword in {"then", "else", "not", "propertyNames"}:
                converted[keyword] = self._convert(value, is_in_list=is_in_list)
            elif keyword == "if":
                converted[keyword] = _describe_all(value)
            elif keyword == "allOf":
                converted[keyword] = [self._convert(part, is_in_list=is_in_list) for part in value]
            elif keyword == "items":
                converted[keyword] = self._convert(value, is_in_list=True)
            elif keyword == "additionalProperties" and isinstance(value, dict):
                converted[keyword] = self._entry("", value, is_in_list=is_in_list, is_required=False)
            elif keyword == "$ref":
                converted[keyword] = self.reference(value, is_in_list=is_in_list)
            elif keyword == "enum" and self._allows_environment:
                converted["anyOf"] = [{"enum": value}, _FROM_ENVIRONMENT]
            elif keyword not in _OURS and keyword != "properties":
                converted[keyword] = value
        properties = self._properties(schema, is_in_list=is_in_list)
        return {**converted, "properties": properties} if properties else converted

    def _properties(self, schema: Schema, *, is_in_list: bool) -> Schema:
        required = set(schema.get("required", ())) - MAY_BE_NULL
        given = {**schema.get("properties", {})}
        if "additionalProperties" not in schema:
            given = {**{name: {} for name in sorted(required)}, **given}
        return {
            key: self._entry(key, below, is_in_list=is_in_list, is_required=key in required)
            for key, below in given.items()
        }

    def _entry(self, key: str, schema: Schema, *, is_in_list: bool, is_required: bool) -> Schema:
        converted = self._convert(schema, is_in_list=is_in_list)
        converted.pop("description", None)
        if is_required:
            if not converted.keys() & {"type", "enum", "const"}:
                converted["not"] = {"type": "null"}
        elif not is_in_list and key not in NEVER_NULL and not _definition_of(schema).get("never_null"):
            converted = _or_null(converted)
        return {"description": describe_key(key, schema), **converted} if key else converted


def _or_null(schema: Schema) -> Schema:
    if "type" in schema:
        kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        return {**schema, "type": [*kinds, "null"]}
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {"anyOf": [schema, {"type": "null"}]} if schema else schema


def _definition_of(schema: Schema) -> Schema:
    """The definition that a schema refers to; empty if it refers to none."""
    return definitions().get(str(schema.get("$ref", "")).removeprefix(LOCAL), {})


def describe_key(key: str, schema: Schema) -> str:
    """What a key means, as its schema, the definition that it names, or AUTH_KEYS says."""
    given = (schema.get("description"), schema.get("title"), _definition_of(schema).get("description"))
    text: str = next(filter(None, given), AUTH_KEYS.get(key) or _known_descriptions().get(key, ""))
    return text[:1].upper() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


@functools.cache
def _known_descriptions() -> dict[str, str]:
    """The first description of each key, for schemas that only require the key."""
    found: dict[str, str] = {}
    waiting: list[Any] = list(definitions().values())
    for schema in waiting:
        if isinstance(schema, dict):
            for key, below in schema.get("properties", {}).items():
                if isinstance(below, dict) and isinstance(below.get("description"), str):
                    found.setdefault(key, below["description"])
            waiting += schema.values()
        elif isinstance(schema, list):
            waiting += schema
    return found


def _describe_all(condition: Schema) -> Schema:
    """A condition, with a description for each key that it names."""
    described: Schema = {}
    for keyword, value in condition.items():
        if keyword == "properties":
            described[keyword] = {key: {"description": describe_key(key, {}), **value[key]} for key in value}
        else:
            described[keyword] = _describe_all(value) if isinstance(value, dict) else value
    return described


def _has_keys(schema: Any) -> bool:
    """Whether a schema has keys that could be null somewhere below it, outside of other definitions."""
    if isinstance(schema, list):
        return any(map(_has_keys, schema))
    if not isinstance(schema, dict):
        return False
    return "properties" in schema or "$ref" in schema or any(map(_has_keys, schema.values()))
