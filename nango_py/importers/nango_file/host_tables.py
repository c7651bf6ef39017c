"""Hosts that a setting with a list of values completes, as tables of hosts.

A template may be one label of a host whose end the file states. A setting whose values have dots, or which
ends the host, chooses from a table instead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.json_types import as_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.json_types import JsonObject

_URL = re.compile(r"https://([^/?#]*)(.*)", re.DOTALL)
_NAME = re.compile(r"\$\{additional_config\.(\w+)\}")
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


def tabulate_hosts(settings: JsonObject) -> JsonObject:
    """The settings with tables for such hosts; unchanged if they have no such host."""
    fields = as_object(as_object(settings.get("connection_config")).get("properties"))
    tables: JsonObject = {}
    changed = dict(settings)
    for block, key, url in _urls(settings):
        if (entry := _table(url, fields)) is None:
            continue
        table, rest = entry
        name = next((name for name, other in tables.items() if other == table), f"host{len(tables) or ''}")
        tables[name] = table
        changed[block] = {**as_object(changed[block]), key: f"https://${{hosts.{name}}}{rest}"}
    return {**changed, "hosts": tables} if tables else settings


def _urls(settings: JsonObject) -> Iterator[tuple[str, str, str]]:
    """The URLs of the blocks `auth` and `requests`."""
    for block in ("auth", "requests"):
        for key, value in as_object(settings.get(block)).items():
            if key.endswith("_url") and isinstance(value, str):
                yield block, key, value


def _table(url: str, fields: JsonObject) -> tuple[JsonObject, str] | None:
    """The table of a URL's host, and the rest of the URL; None if the host needs none."""
    found = _URL.fullmatch(url)
    names = _NAME.findall(found[1]) if found else []
    if found is None or len(names) != 1:
        return None
    choices = as_object(fields.get(names[0])).get("enum")
    if not isinstance(choices, list):
        return None
    hosts = {str(choice): _NAME.sub(str(choice), found[1]).lower() for choice in choices}
    ends_host = found[1].endswith("}")
    if not ends_host and not any("." in choice for choice in hosts):
        return None
    if not all(map(_HOST.fullmatch, hosts.values())):
        return None
    return {"by": f"additional_config.{names[0]}", **hosts}, found[2]
