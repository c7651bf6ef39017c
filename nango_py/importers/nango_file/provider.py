"""An entry of a provider file as a blueprint, with what was not carried over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.importers.nango_file.aliases import AliasError, flatten
from nango_py.importers.nango_file.calls import (
    host_settings,
    read_limits,
    read_pagination,
    read_requests,
    read_verification,
)
from nango_py.importers.nango_file.fields import read_credentials, read_settings
from nango_py.importers.nango_file.host_tables import tabulate_hosts
from nango_py.importers.nango_file.logins import read_auth, variables_of
from nango_py.importers.nango_file.values import NotTranslatedError, Translator
from nango_py.json_types import as_object
from nango_py.record import record
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.json_types import JsonObject, JsonValue

VERSION = "v0"
FROM_LOGIN = ("keep_from_response", "keep_from_callback")


@record
class Imported:
    """A blueprint that was read from another description.

    Attributes:
        name: the name of the blueprint.
        settings: what its file says.
        notes: what the description says, and the file does not.
    """

    name: str
    settings: JsonObject
    notes: tuple[str, ...]


@record
class NotImported:
    """An entry that cannot be a blueprint, and why."""

    name: str
    reason: str


def import_provider(entries: Mapping[str, JsonValue], name: str) -> Imported | NotImported:
    """The blueprint of one entry of a provider file, or why it cannot be one."""
    if not isinstance(entries[name], dict):
        return NotImported(name, "it is not a mapping")
    try:
        return _import(flatten(entries, name), name)
    except (AliasError, NotTranslatedError) as error:
        return NotImported(name, str(error))


def _import(entry: JsonObject, name: str) -> Imported:
    notes: list[str] = []
    variables = variables_of(entry)
    mode = str(entry["auth_mode"])
    pair = ("username", "password") if mode in {"BASIC", "TWO_STEP"} else ()
    translator = Translator(variables, pair)
    auth = read_auth(entry, translator, notes)
    requests = read_requests(entry, translator)
    verification = read_verification(entry, translator, notes)
    settings: JsonObject = {
        "name": name,
        "version": VERSION,
        "title": str(entry.get("display_name") or name),
        "categories": entry.get("categories") or [],
        "auth": auth,
        "requests": requests,
        **read_limits(entry, notes),
        "pagination": read_pagination(entry, notes),
        "verification": verification,
        "credentials": _credentials(entry, variables, auth),
        "connection_config": _settings(entry, translator, auth, requests),
    }
    notes += translator.notes
    whole = {key: value for key, value in settings.items() if value not in ({}, [])}
    return Imported(name, tabulate_hosts(whole), tuple(dict.fromkeys(notes)))


def _credentials(entry: JsonObject, variables: Mapping[str, str], auth: JsonObject) -> JsonObject:
    mode = AUTH_MODES.get(str(auth["auth_mode"]))
    if mode.name in {"OAUTH2", "OAUTH1", "MCP_OAUTH2"}:
        return {}
    found = read_credentials(entry.get("credentials"), variables, mode.credentials_schema["properties"])
    if entry.get("require_client_certificate"):
        for name in ("client_certificate", "client_key"):
            found[name] = {**as_object(found.get(name)), "required": True}
    return found


def _settings(
    entry: JsonObject, translator: Translator, auth: JsonObject, requests: JsonObject
) -> JsonObject:
    urls = [value for key, value in auth.items() if key.endswith("_url")]
    hosts = host_settings(requests["base_url"], *urls)
    declared = as_object(entry.get("connection_config"))
    kept = [name for key in FROM_LOGIN for name in as_object(auth.get(key))]
    automated: JsonObject = {name: {"automated": True} for name in kept if name not in declared}
    return read_settings({**declared, **automated}, translator.settings, translator.defaults, hosts)
