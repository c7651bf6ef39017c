"""What today's Nango answers to `GET /connections/:id`, as a connection of an integration declared here."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nango_py.auth.base import get_auth_mode
from nango_py.connections.bulk import ExportedConnection
from nango_py.connections.connection import ACTIVE
from nango_py.connections.rows import to_microseconds
from nango_py.connections.validation import MAX_DEPTH
from nango_py.errors import printable
from nango_py.record import record
from nango_py.secret import conceal
from nango_py.transfer.nango.connection_settings import Declared, settings_of
from nango_py.transfer.nango.credential_fields import TYPES, WHY, is_masked, map_credentials
from nango_py.transfer.nango.exported_files import read_exports
from nango_py.transfer.report import UNFIT, Notes, connection_label

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from nango_py.config.model import Integration
    from nango_py.errors import Position
    from nango_py.transfer.importing import Importer
    from nango_py.transfer.report import ImportReport

CONNECTION_ID, END_USER = "connection_id", "end_user"
USER_FROM = (CONNECTION_ID, END_USER)

SCOPE = "ask with an API key that has the scope environment:connections:read_credentials"
NO_REFRESH = (
    "it is not in the file: ask with refresh_token=true, or the user connects again when the token ends"
)
NO_PLACE = "it has no place here"
BOOKKEEPING = "Nango's own bookkeeping"

_KNOWN = {
    "id": BOOKKEEPING,
    "provider": BOOKKEEPING,
    "last_fetched_at": BOOKKEEPING,
    "errors": BOOKKEEPING,
    "tags": NO_PLACE,
    "webhook_url_override": NO_PLACE,
}
_READ = {
    "provider_config_key", "connection_id", "end_user", "credentials", "connection_config", "metadata",
    "created_at", "updated_at",
}  # fmt: skip


@record
class Translator:
    """What names become.

    Attributes:
        integrations: those that are declared.
        names: the integration for a provider_config_key, where it has another name.
        fields: the name here for an "integration.name" of connection_config, where it has another one.
        user_from: which of USER_FROM gives the user_id.
        notes: where everything is told that is not taken over.
    """

    integrations: Mapping[str, Integration]
    names: Mapping[str, str]
    fields: Mapping[str, str]
    user_from: str
    notes: Notes

    def moved(self, response: Any, position: Position) -> ExportedConnection | None:
        """The connection, or None after the notes were told why there is none."""
        fault = _shape_fault(response)
        if fault:
            self.notes.problem(position, UNFIT, fault)
            return None
        key = response["provider_config_key"]
        declared = self.integrations.get(self.names.get(key, key))
        if declared is None:
            self.notes.unknown(self.names.get(key, key), position)
            return None
        user_id = self._user_id(response)
        if user_id is None:
            what = f"{printable(response['connection_id'])}: there is no end_user with an id"
            self.notes.problem(position, UNFIT, what, (declared.name, ""))
            return None
        whose = declared.name, user_id
        fault = _credentials_fault(response["credentials"], declared)
        if fault:
            self.notes.problem(position, UNFIT, f"{connection_label(*whose)} {fault}", whose)
            return None
        return self._fit(response, declared, user_id, position)

    def _user_id(self, response: Mapping[str, Any]) -> str | None:
        if self.user_from == CONNECTION_ID:
            return str(response["connection_id"])
        end_user = response.get("end_user")
        found = end_user.get("id") if isinstance(end_user, dict) else None
        return found if isinstance(found, str) and found else None

    def _fit(
        self, response: Mapping[str, Any], declared: Integration, user_id: str, position: Position
    ) -> ExportedConnection:
        given, mode = response["credentials"] or {}, get_auth_mode(declared.auth_mode)
        config = dict(response.get("connection_config") or {})
        kind = given.get("type", "NONE")
        found, rest = map_credentials(kind, given, config, mode.name, mode.credentials_schema)
        left = _LeftBehind(self.notes, declared.name, user_id)
        if mode.name == "OAUTH2" and "refresh_token" not in found and "expires_at" in found:
            left("credentials.refresh_token", NO_REFRESH)
        begin = f"{declared.name}."
        renames = {
            name.removeprefix(begin): word for name, word in self.fields.items() if name.startswith(begin)
        }
        words = Declared.of(declared.settings.get("connection_config"), renames)
        settings = settings_of(config, rest, response.get("metadata"), words, left)
        for name in rest:
            left(f"credentials.{name}", WHY.get((kind, name), f"{mode.name} has no such field"))
        _leave_fields(response, user_id, left)
        times = [_time(response, name, left) for name in ("created_at", "updated_at")]
        return ExportedConnection(
            declared.name,
            user_id,
            conceal(found),
            settings,
            ACTIVE,
            "",
            times[0],
            times[1] or times[0],
            position,
        )


class _LeftBehind:
    """Tells the notes what of one connection is not taken over."""

    def __init__(self, notes: Notes, integration: str, user_id: str) -> None:
        self._notes = notes
        self._whose = integration, user_id

    def __call__(self, field: str, why: str) -> None:
        self._notes.left_out(*self._whose, printable(field), why)


def _shape_fault(response: Any) -> str:
    if not isinstance(response, dict):
        return "expected the JSON object that GET /connections/<id> answers"
    if isinstance(response.get("connections"), list):
        return "the response of GET /connections has no credentials; ask for each connection by its id"
    for name in ("provider_config_key", "connection_id"):
        if not isinstance(response.get(name), str) or not response[name]:
            return f"{name} is missing; expected the JSON object that GET /connections/<id> answers"
    for name in ("credentials", "connection_config"):
        if not isinstance(response.get(name, {}), dict | None):
            return f"{name} must be an object"
    if _is_deep(response):
        return f"it is nested deeper than {MAX_DEPTH} levels"
    return "" if "credentials" in response else f"credentials is missing; {SCOPE}"


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [below for each in level for below in _inside(each)]
    return bool(level)


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _credentials_fault(given: Mapping[str, Any] | None, declared: Integration) -> str:
    if is_masked(given):
        return f"has masked credentials; {SCOPE}"
    kind = str((given or {}).get("type") or ("" if given else "NONE"))
    if kind == "NONE" and declared.auth_mode != "NONE":
        return f"has no credentials; {SCOPE}"
    if kind not in TYPES:
        return f'has credentials of type "{printable(kind)}"; expected one of {", ".join(TYPES)}'
    if declared.auth_mode not in TYPES[kind]:
        return (
            f"has credentials of type {kind}, and the integration's auth_mode is {declared.auth_mode}; "
            f"expected {' or '.join(TYPES[kind])}"
        )
    return ""


def _leave_fields(response: Mapping[str, Any], user_id: str, left: _LeftBehind) -> None:
    for name, value in response.items():
        if name not in _READ and value not in (None, "", [], {}):
            left(name, _KNOWN.get(name, NO_PLACE))
    end_user = response.get("end_user")
    if isinstance(end_user, dict):
        for name, value in end_user.items():
            if value not in (None, "", [], {}) and value != user_id:
                left(f"end_user.{name}", NO_PLACE)
        if response["connection_id"] != user_id:
            left("connection_id", "the user_id is the end_user's")
    elif end_user:
        left("end_user", NO_PLACE)


def _time(response: Mapping[str, Any], name: str, left: _LeftBehind) -> int:
    """A date in microseconds since 1970; 0 where there is none."""
    text = response.get(name)
    if text is None:
        return 0
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        left(name, "it is not a date of ISO 8601")
        return 0
    return to_microseconds(time if time.tzinfo else time.replace(tzinfo=UTC))


def import_nango(
    importer: Importer,
    path: str | os.PathLike[str],
    names: Mapping[str, str],
    fields: Mapping[str, str],
    user_from: str,
) -> ImportReport:
    """Import answers of today's Nango; see `Nango.import_from_nango`."""
    if user_from not in USER_FROM:
        raise ValueError(f"user_from must be one of {', '.join(USER_FROM)}")
    integrations = importer.configuration.integrations

    def read(notes: Notes) -> Iterator[ExportedConnection]:
        translator = Translator(integrations, names, fields, user_from, notes)
        for position, response in read_exports(Path(path)):
            moved = translator.moved(response, position)
            if moved is not None:
                yield moved

    return importer.run(read)
