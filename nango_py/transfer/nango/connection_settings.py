"""The `connection_config` and `metadata` of a connection of today's Nango, as `additional_config`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from nango_py.transfer.nango.credential_fields import OTHER_APP, fold_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.json_types import JsonObject, JsonValue, Schema

NOT_DECLARED = "the integration's connection_config does not declare it"
SECRET_SETTING = "it looks like a secret, and additional_config is not secret"  # noqa: S105 - a message
DUPLICATE_NAME = "another field has the same name here"

_SECRET_NAME = re.compile(
    r"token|secret|passw|passphrase|credential|private_?key|api_?key|jwt|assertion|cookie|session",
    re.IGNORECASE,
)
_APP_OVERRIDES = {"oauthclientidoverride", "oauthclientsecretoverride"}


class DeclaredFields(NamedTuple):
    """The fields that an integration's connection_config declares.

    Attributes:
        fields: their schemas.
        is_closed: whether no other fields are allowed.
        renames: our names for some of Nango's names, as chosen by the caller.
    """

    fields: Mapping[str, Schema]
    is_closed: bool
    renames: Mapping[str, str]

    @classmethod
    def from_schema(cls, schema: Schema | None, renames: Mapping[str, str]) -> DeclaredFields:
        """The fields of a blueprint's schema; without one, every field is allowed."""
        schema = schema or {}
        return cls(schema.get("properties", {}), schema.get("additionalProperties") is False, renames)

    def translate(self, name: str) -> str:
        """Our name: the one chosen by the caller, a declared one in any spelling, or the same name."""
        if name in self.renames:
            return self.renames[name]
        if name in self.fields:
            return name
        return next((field for field in self.fields if fold_name(field) == fold_name(name)), name)

    def reason_to_leave_out(self, name: str, value: JsonValue) -> str:
        """Why a field cannot be imported, or ""."""
        if self.translate(name) in self.fields or name in self.renames:
            return ""
        if fold_name(name) in _APP_OVERRIDES:
            return OTHER_APP
        if _is_secret(name, value):
            return SECRET_SETTING
        return NOT_DECLARED if self.is_closed else ""


def build_settings(
    config: Mapping[str, JsonValue],
    unmapped: dict[str, JsonValue],
    metadata: JsonValue,
    declared: DeclaredFields,
    leave_out: Callable[[str, str], None],
) -> JsonObject:
    """The additional_config of a connection.

    Args:
        config: its `connection_config`.
        unmapped: credentials that the auth mode does not take; those declared as settings are removed from
            it.
        metadata: its `metadata`.
        declared: the fields of the integration.
        leave_out: called with each field that is left out, and the reason.
    """
    settings: JsonObject = {}
    # Exact spellings first, so that they win over other spellings of the same field.
    for name, value in sorted(config.items(), key=lambda item: item[0] != declared.translate(item[0])):
        field = declared.translate(name)
        why = declared.reason_to_leave_out(name, value) or (DUPLICATE_NAME if field in settings else "")
        if value is None:
            continue
        if why:
            leave_out(f"connection_config.{name}", why)
        else:
            settings[field] = _convert(value, declared.fields.get(field, {}))
    for name in tuple(unmapped):
        field = declared.translate(name)
        if field in declared.fields and field not in settings:
            settings[field] = _convert(unmapped.pop(name), declared.fields[field])
    if metadata and (declared.is_closed or "metadata" in settings):
        leave_out("metadata", NOT_DECLARED if declared.is_closed else DUPLICATE_NAME)
    elif metadata:
        settings["metadata"] = metadata
    return settings


def _convert(value: JsonValue, schema: Schema) -> JsonValue:
    """A number becomes text if the schema says so."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number and schema.get("type") == "string" else value


def _is_secret(name: str, value: JsonValue) -> bool:
    if _SECRET_NAME.search(name):
        return True
    if isinstance(value, list):
        return any(_is_secret("", item) for item in value)
    return isinstance(value, dict) and any(_is_secret(key, item) for key, item in value.items())
