"""Every key of the blueprint format refuses a value of another type, at its place."""

from __future__ import annotations

import json
from typing import Any

from nango_py.config.schema.validation import check_blueprint
from nango_py.config.yaml.document import parse_document
from tests.support.format_keys import Key, every_key, resolve

ANYTHING = {"body", "data", "equals", "json", "output"}
"""Names of keys that hold any JSON value, so that no type is wrong."""


def wrong_value(schema: dict[str, Any]) -> Any:
    """A value of a type that a key does not take."""
    given = resolve(schema).get("type") or []
    kinds = {given} if isinstance(given, str) else set(given)
    if "array" not in kinds:
        return [["wrong"]]
    return {"wrong": 1} if kinds & {"number", "integer"} else 5.5


def file_with(key: Key, value: Any) -> Any:
    """A blueprint with one key; the auth mode or the kind of pagination is one that has it."""
    for index in range(len(key.path) - 1, -1, -1):
        part, above = key.path[index], key.path[index - 1 : index]
        value = [value] if part == 0 else {part: value}
        if key.choice and above in {("auth",), ("pagination",)}:
            value.setdefault("auth_mode" if above == ("auth",) else "kind", key.choice)
    return {"name": "acme", "version": "v1", **value}


def finds_it(key: Key, value: Any) -> bool:
    """Whether there is a problem at the place of the key's value."""
    document = parse_document(json.dumps(file_with(key, value)), "acme.v1.yaml")
    place = document.position(key.path)
    return any(problem.position == place for problem in check_blueprint(document))


def test_every_key_refuses_a_value_of_another_type() -> None:
    """The problem is at the place of the value. Only keys for any JSON value take it."""
    keys = every_key()
    taken = {text: key for text, key in keys.items() if not finds_it(key, wrong_value(key.schema))}
    assert len(keys) > 1000
    assert {str(key.path[-1]) for key in taken.values()} <= ANYTHING
    assert all(
        "type" not in resolve(key.schema) for text, key in taken.items() if text != "verification.json"
    )


def test_a_right_value_has_no_problem_at_its_place() -> None:
    """The control: the place of the check is that of the value, and not that of the whole file."""
    keys = every_key()
    for text, value in (("title", "Acme"), ("auth.pkce", "required"), ("requests.timeout_seconds.read", 5)):
        assert not finds_it(keys[text], value), text
