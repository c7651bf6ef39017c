"""Several logins to one API in a blueprint: each is a layer over the rest of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.inheritance import overlay
from nango_py.config.values import MAPPINGS
from nango_py.config.yaml.merge import Origins, Sourced, without_nulls
from nango_py.config.yaml.tree import Node
from nango_py.errors import Problem, unknown_name

if TYPE_CHECKING:
    from nango_py.errors import Position
    from nango_py.json_types import Settings

LOGINS = "logins"


def login_names(settings: Settings) -> tuple[str, ...]:
    """The names of the logins, the default first; () if the settings have no `logins`."""
    logins = settings.get(LOGINS)
    return tuple(map(str.__str__, logins)) if isinstance(logins, MAPPINGS) else ()


def find_unknown_login(name: str, settings: Settings, where: Position) -> list[Problem]:
    """A problem (E101) if the settings have no login of that name."""
    known = login_names(settings)
    if name in known:
        return []
    hint = "" if known else "the blueprint has no logins; remove the key"
    return [Problem(where, "E101", unknown_name("login", name, known, hint))]


def with_login(tree: Sourced, name: str) -> Sourced:
    """The tree with one of its logins laid over the rest."""
    rest = {key: value for key, value in tree.settings.items() if key != LOGINS}
    line, column, _, node = tree.origins.root.entries[LOGINS][3].entries[name]
    layer = Sourced(tree.settings[LOGINS][name], Origins(node, (line, column)))
    return overlay(Sourced(rest, tree.origins), layer)


def without_nulls_outside(tree: Sourced) -> Sourced:
    """The tree without the keys that are null. Those of logins stay, since they remove what the rest says."""
    clean = without_nulls(tree)
    if not login_names(tree.settings):
        return clean
    root = clean.origins.root
    node = Node(root.file, root.line, root.column, None)
    node.entries = {**root.entries, LOGINS: tree.origins.root.entries[LOGINS]}
    settings = {**clean.settings, LOGINS: tree.settings[LOGINS]}
    return Sourced(settings, Origins(node, clean.origins.key_place))
