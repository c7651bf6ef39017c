"""Several logins to one API in a blueprint: each is a layer over the rest of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.config.inheritance import overlay
from nango_py.config.values import MAPPINGS, list_at, mapping_at
from nango_py.config.yaml.merge import Origins, Sourced, without_nulls
from nango_py.config.yaml.tree import Node
from nango_py.errors import Problem, unknown_name

if TYPE_CHECKING:
    from nango_py.errors import Position
    from nango_py.json_types import Settings

LOGINS = "logins"
_OF_FIRST = frozenset({"credentials", "sends"})
_OF_ANOTHER = frozenset({"title", "call", "login"})


def login_names(settings: Settings) -> tuple[str, ...]:
    """The names of the logins, the default first; () if the settings have no `logins`."""
    return tuple(map(str.__str__, mapping_at(settings, LOGINS)))


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
    found = overlay(Sourced(rest, tree.origins), layer)
    examples = found.settings.get("examples")
    if isinstance(examples, list | tuple):
        kept = [_example_for(name, example) for example in examples]
        found = Sourced({**found.settings, "examples": kept}, found.origins)
    return found


def _example_for(login: str, example: Any) -> Any:
    """An example; of one for another login only the call is left, so that the others keep their places."""
    if not isinstance(example, MAPPINGS) or example.get("login", login) == login:
        return example
    return {key: example[key] for key in _OF_ANOTHER if key in example}


def examples_for_login(settings: Settings, first: Settings) -> tuple[Settings, ...]:
    """The examples of a blueprint with one of its logins.

    Those that name no login have the credentials of the first, which are left out for others; so are the
    limits that they count against, if the login has others. If its `connection_config` is another one, their
    `additional_config` is that of an example that names the login. A login may have its own examples instead.

    Args:
        settings: with the login.
        first: with the first login.
    """
    examples = tuple(settings.get("examples") or ())
    both = (examples, first.get("examples") or ())
    own, of_first = ([one for one in each if "login" not in one] for each in both)
    if own != of_first:
        return examples
    changed = {key for key in ("rate_limits", "connection_config") if settings.get(key) != first.get(key)}
    named = (one for one in examples if "login" in one and not is_for_another_login(one))
    config = next((one["additional_config"] for one in named if "additional_config" in one), None)
    return tuple(one if "login" in one else _for_any_login(one, changed, config) for one in examples)


def _for_any_login(example: Settings, changed: set[str], config: Settings | None) -> Settings:
    """An example without what it says of the first login."""
    kept = {key: value for key, value in example.items() if key not in _OF_FIRST}
    expects = example.get("expects")
    if "rate_limits" in changed and isinstance(expects, MAPPINGS):
        kept["expects"] = {key: value for key, value in expects.items() if key != "counts"}
    if "connection_config" in changed and config is not None:
        kept["additional_config"] = config
    return kept


def is_for_another_login(example: Settings) -> bool:
    """Whether only the call of an example is left, because it is for another login."""
    return "login" in example and example.keys() <= _OF_ANOTHER


def find_unknown_logins_of_examples(settings: Settings, origins: Origins) -> list[Problem]:
    """A problem (E101) for each example that is for a login which the settings do not have."""
    found: list[Problem] = []
    for number, example in enumerate(list_at(settings, "examples")):
        login = example.get("login") if isinstance(example, MAPPINGS) else None
        if isinstance(login, str):
            found += find_unknown_login(login, settings, origins.position(("examples", number, "login")))
    return found


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
