"""Translates responses of today's Nango to `GET /connections/:id` into connections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nango_py.auth.base import mode_of
from nango_py.connections.bulk import ExportedConnection
from nango_py.connections.connection import ACTIVE
from nango_py.connections.rows import parse_microseconds
from nango_py.connections.validation import MAX_DEPTH
from nango_py.errors import printable
from nango_py.json_types import is_deeper_than
from nango_py.record import record
from nango_py.secret import conceal
from nango_py.transfer.nango.connection_settings import DeclaredFields, build_settings
from nango_py.transfer.nango.credential_fields import REASONS, TYPES, is_masked, map_credentials
from nango_py.transfer.nango.exported_files import read_responses
from nango_py.transfer.report import INVALID, ReportBuilder, connection_label

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

    from nango_py.config.model import Integration
    from nango_py.errors import Position
    from nango_py.json_types import JsonObject, JsonValue
    from nango_py.transfer.importing import Importer
    from nango_py.transfer.report import ImportReport

    LeaveOut = Callable[[str, str], None]
    """Called with the name of a field that is left out, and the reason."""

CONNECTION_ID, END_USER = "connection_id", "end_user"
USER_FROM = (CONNECTION_ID, END_USER)

SCOPE = "use an API key with the scope environment:connections:read_credentials"
NOT_REFRESHABLE = (
    "the file does not have it: request it with refresh_token=true, or have the user connect again when the "
    "token expires"
)
UNSUPPORTED = "it has no equivalent here"
BOOKKEEPING = "Nango's own bookkeeping"

_IGNORED = {"id": BOOKKEEPING, "provider": BOOKKEEPING, "last_fetched_at": BOOKKEEPING, "errors": BOOKKEEPING}
_TRANSLATED = {
    "provider_config_key", "connection_id", "end_user", "credentials", "connection_config", "metadata",
    "created_at", "updated_at",
}  # fmt: skip


@record
class Translator:
    """Translates responses.

    Attributes:
        integrations: the declared integrations.
        names: the integration for a provider_config_key, if its name differs.
        fields: our name for an "integration.name" of connection_config, if it differs.
        user_from: which of USER_FROM becomes the user_id.
        builder: receives problems and left out fields.
    """

    integrations: Mapping[str, Integration]
    names: Mapping[str, str]
    fields: Mapping[str, str]
    user_from: str
    builder: ReportBuilder

    def translate(self, response: JsonValue, position: Position) -> ExportedConnection | None:
        """The connection, or None if a problem was reported."""
        error = _find_error(response)
        if error or not isinstance(response, dict):
            self.builder.add_problem(position, INVALID, error)
            return None
        key = str(response["provider_config_key"])
        name = self.names.get(key, key)
        integration = self.integrations.get(name)
        if integration is None:
            self.builder.add_unknown_integration(name, position)
            return None
        user_id = self._find_user_id(response)
        if user_id is None:
            what = f"{printable(str(response['connection_id']))}: there is no end_user with an id"
            self.builder.add_problem(position, INVALID, what, (integration.name, ""))
            return None
        error = _find_credentials_error(_get_object(response, "credentials"), integration)
        if error:
            identity = integration.name, user_id
            self.builder.add_problem(position, INVALID, f"{connection_label(*identity)} {error}", identity)
            return None
        return self._build_connection(response, integration, user_id, position)

    def _find_user_id(self, response: JsonObject) -> str | None:
        if self.user_from == CONNECTION_ID:
            return str(response["connection_id"])
        user_id = _get_object(response, "end_user").get("id")
        return user_id if isinstance(user_id, str) and user_id else None

    def _build_connection(
        self, response: JsonObject, integration: Integration, user_id: str, position: Position
    ) -> ExportedConnection:
        given, mode = _get_object(response, "credentials"), mode_of(integration)
        config = dict(_get_object(response, "connection_config"))
        kind = str(given.get("type", "NONE"))
        credentials, unmapped = map_credentials(kind, given, config, mode.name, mode.credentials_schema)

        def leave_out(field: str, why: str) -> None:
            self.builder.add_left_out(integration.name, user_id, printable(field), why)

        if mode.name == "OAUTH2" and "refresh_token" not in credentials and "expires_at" in credentials:
            leave_out("credentials.refresh_token", NOT_REFRESHABLE)
        prefix = f"{integration.name}."
        renames = {
            name.removeprefix(prefix): ours for name, ours in self.fields.items() if name.startswith(prefix)
        }
        declared = DeclaredFields.from_schema(integration.settings.get("connection_config"), renames)
        settings = build_settings(config, unmapped, response.get("metadata"), declared, leave_out)
        for name in unmapped:
            why = REASONS.get((kind, name), f"{mode.name} has no such field")
            leave_out(f"credentials.{name}", why)
        _leave_out_fields(response, user_id, leave_out)
        created_at, updated_at = (
            _parse_date(response, name, leave_out) for name in ("created_at", "updated_at")
        )
        return ExportedConnection(
            integration.name,
            user_id,
            conceal(credentials),
            settings,
            ACTIVE,
            "",
            created_at,
            updated_at or created_at,
            position,
        )


def _get_object(response: JsonObject, name: str) -> JsonObject:
    value = response.get(name)
    return value if isinstance(value, dict) else {}


def _find_error(response: JsonValue) -> str:
    expected = "expected the JSON object that GET /connections/<id> returns"
    if not isinstance(response, dict):
        return expected
    if isinstance(response.get("connections"), list):
        return "the response of GET /connections has no credentials; request each connection by its id"
    for name in ("provider_config_key", "connection_id"):
        if not isinstance(response.get(name), str) or not response[name]:
            return f"{name} is missing; {expected}"
    for name in ("credentials", "connection_config"):
        if not isinstance(response.get(name, {}), dict | None):
            return f"{name} must be an object"
    if is_deeper_than(response, MAX_DEPTH):
        return f"it is nested deeper than {MAX_DEPTH} levels"
    return "" if "credentials" in response else f"credentials is missing; {SCOPE}"


def _find_credentials_error(given: JsonObject, integration: Integration) -> str:
    if is_masked(given):
        return f"has masked credentials; {SCOPE}"
    kind = str(given.get("type") or ("" if given else "NONE"))
    if kind == "NONE" and integration.auth_mode != "NONE":
        return f"has no credentials; {SCOPE}"
    if kind not in TYPES:
        return f'has credentials of type "{printable(kind)}"; expected one of {", ".join(TYPES)}'
    if integration.auth_mode not in TYPES[kind]:
        return (
            f"has credentials of type {kind}, but the integration's auth_mode is {integration.auth_mode}; "
            f"expected {' or '.join(TYPES[kind])}"
        )
    return ""


def _leave_out_fields(response: JsonObject, user_id: str, leave_out: LeaveOut) -> None:
    for name, value in response.items():
        if name not in _TRANSLATED and value not in (None, "", [], {}):
            leave_out(name, _IGNORED.get(name, UNSUPPORTED))
    end_user = response.get("end_user")
    if isinstance(end_user, dict):
        for name, value in end_user.items():
            if value not in (None, "", [], {}) and value != user_id:
                leave_out(f"end_user.{name}", UNSUPPORTED)
        if response["connection_id"] != user_id:
            leave_out("connection_id", "the end_user's id is the user_id")
    elif end_user:
        leave_out("end_user", UNSUPPORTED)


def _parse_date(response: JsonObject, name: str, leave_out: LeaveOut) -> int:
    """A date in microseconds since 1970; 0 if there is none."""
    text = response.get(name)
    if text is None:
        return 0
    time = parse_microseconds(text)
    if time is None:
        leave_out(name, "it is not an ISO 8601 date")
    return time or 0


def import_nango(
    importer: Importer,
    path: str | os.PathLike[str],
    names: Mapping[str, str],
    fields: Mapping[str, str],
    user_from: str,
) -> ImportReport:
    """Import responses of today's Nango; see `Nango.import_from_nango`."""
    if user_from not in USER_FROM:
        raise ValueError(f"user_from must be one of {', '.join(USER_FROM)}")
    integrations = importer.configuration.integrations

    def read(builder: ReportBuilder) -> Iterator[ExportedConnection]:
        translator = Translator(integrations, names, fields, user_from, builder)
        for position, response in read_responses(Path(path)):
            connection = translator.translate(response, position)
            if connection is not None:
                yield connection

    return importer.run(read)
