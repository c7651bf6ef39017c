"""`hosts`: tables of a blueprint's own hosts, of which a value of the connection chooses one.

Such a host is the file's, not the user's: a value that the table does not have chooses nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.request_match import value_at, value_texts
from nango_py.config.template.filters import Absent, TemplateProblem
from nango_py.config.urls.hosts import ROOT
from nango_py.config.values import MAPPINGS, mapping_at
from nango_py.errors import Problem, nearest, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Located
    from nango_py.json_types import Settings

BY = "by"


def chosen_hosts(tables: Settings, variables: Mapping[str, object]) -> dict[str, object]:
    """The host of each table for a connection; one that its value does not choose is absent.

    Args:
        tables: the `hosts` block.
        variables: the template variables of the connection.
    """
    return {name: _choose_host(name, table, variables) for name, table in tables.items()}


def _choose_host(name: str, table: Settings, variables: Mapping[str, object]) -> object:
    found = value_texts(value_at(variables, table[BY]))
    for value in found if len(found) == 1 else ():
        if value != BY and value in table:
            return str.__str__(table[value])
    known = ", ".join(key for key in table if key != BY)
    what = f"hosts.{name} has no host: {table[BY]} must be one of {known}"
    return Absent(f"hosts.{name}", TemplateProblem("E305", what))


def check_host_tables(settings: Settings, locator: Located) -> Iterator[Problem]:
    """Problems of `hosts`: a field that does not list its values, or that the table does not cover (E204)."""
    known = mapping_at(settings, "connection_config", "properties")
    for name, table in mapping_at(settings, "hosts").items():
        by = mapping_at(table).get(BY)
        if not isinstance(by, str) or not by.startswith(ROOT):
            continue
        field_name = by.removeprefix(ROOT)
        field = known.get(field_name)
        yield from _check_field(field_name, field, list(known), table, locator, ("hosts", name))


def _check_field(
    name: str, field: object, known: list[str], table: Settings, locator: Located, path: Path
) -> Iterator[Problem]:
    where = locator.position((*path, BY))
    if not isinstance(field, MAPPINGS):
        near = nearest(name, known)
        help_ = f"did you mean {ROOT}{near}?" if near else "declare it there with an enum"
        what = f'connection_config has no property "{printable(name, 64)}"'
        yield Problem(where, "E204", what, "", help_)
        return
    values = field.get("enum")
    if field.get("type") == "boolean":
        values = [True, False]
    if not isinstance(values, list | tuple):
        what = f'"{printable(name, 64)}" does not list its values'
        yield Problem(where, "E204", what, "", f"add enum to connection_config.properties.{name}")
        return
    for value in values:
        missing = value_texts(value) - table.keys()
        for text in missing:
            what = f'there is no host for "{printable(text, 64)}"'
            yield Problem(
                locator.key_position(path), "E204", what, "", f"add {printable(text, 64)}: and a host"
            )
