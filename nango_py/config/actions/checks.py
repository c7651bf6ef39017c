"""Checks the actions of a settings tree: each is compiled, and its examples are compared with its schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.actions.compiled import compile_action
from nango_py.config.schema.fast_check import is_surely_valid
from nango_py.config.schema.format import resolve_references
from nango_py.config.schema.validation import check_value
from nango_py.config.schema.value_check import compile_check
from nango_py.config.values import as_tuple, mapping_at, plain
from nango_py.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path as FilePath

    from nango_py.config.actions.compiled import YamlAction
    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Located
    from nango_py.json_types import JsonObject, Settings


def check_actions(
    settings: Settings, locator: Located, folders: Iterable[FilePath] = (), names: Iterable[str] | None = None
) -> list[Problem]:
    """The problems of the actions of a tree.

    Actions that do not fit the file format are left out, as the schema check reports them.

    Args:
        settings: the merged settings of a blueprint or an integration.
        locator: where the parts of the tree were written.
        folders: where the files may be found, to report exact columns.
        names: the actions to check; by default all.
    """
    actions = mapping_at(settings, "actions")
    found: list[Problem] = []
    folders = tuple(folders)
    for name in actions if names is None else names:
        if not is_surely_valid(resolve_references("action"), actions[name]):
            continue
        action, problems = compile_action(settings, name, locator, folders)
        found += problems
        if action is not None:
            found += _check_examples(action, locator)
    return found


def _check_examples(action: YamlAction, locator: Located) -> Iterator[Problem]:
    """Examples whose input or output does not fit its schema, or that have too few responses (E704)."""
    for number, example in enumerate(action.examples):
        path = ("actions", action.name, "examples", number)
        given = {**action.defaults, **plain(example.get("input") or {})}
        yield from _compare(action.input_schema, given, (*path, "input"), locator)
        if action.output_schema is not None and "output" in example:
            yield from _compare(action.output_schema, plain(example["output"]), (*path, "output"), locator)
        sends, responses = as_tuple(example.get("sends")), example["responses"]
        if "sends" in example and len(sends) != len(responses):
            what = f"{len(sends)} requests have {len(responses)} responses"
            yield Problem(locator.key_position((*path, "responses")), "E704", what, "expected one for each")
        if ("output" in example) == ("error" in example):
            what = "the example has no result" if "output" not in example else "a result and an error"
            yield Problem(locator.position(path), "E704", what, "expected output or error")


def _compare(schema: JsonObject, value: object, path: Path, locator: Located) -> Iterator[Problem]:
    if compile_check(schema)(value):
        return
    name = str(path[-1])
    for problem in check_value(schema, value, name):
        where = problem.position.file
        what = f"the example does not fit: {where}: {problem.what}"
        yield Problem(locator.position(path), "E704", what, problem.expected, problem.help)
