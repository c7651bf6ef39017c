"""Stubs and pages of actions, made from their schemas."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from nango_py.actions.definition import ActionInfo
from nango_py.actions.pages import write_page
from nango_py.actions.stubs import write_stubs


def an_action(name: str, given: Any, result: Any = None, *, changes: tuple[str, ...] = ()) -> ActionInfo:
    """An action of `shop` with these schemas."""
    return ActionInfo("shop", name, name, "Does it.", changes, given, result, "yaml", "a.yaml:1")


CREATE = an_action(
    "create-item",
    {
        "type": "object",
        "required": ["id"],
        "properties": {
            "id": {"type": "string", "description": "The id | key"},
            "kind": {"enum": ["a", "b"], "default": "a"},
            "size": {"type": ["number", "null"]},
            "parts": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
            "more": {"type": "object", "additionalProperties": {"type": "boolean"}},
        },
        "additionalProperties": False,
    },
    {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}},
    changes=("items",),
)
LIST = an_action("list-items", {"type": "object"}, {"type": "array", "items": {"type": "string"}})
ODD = an_action("odd", {"type": "object", "properties": {"a-b": {}, "class": {"$ref": "#"}}})


def functions_of(text: str) -> dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]]:
    """The methods of TypedNango, by name."""
    tree = ast.parse(text)
    (cls,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "TypedNango")
    found: dict[str, list[Any]] = {}
    for node in cls.body:
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        found.setdefault(node.name, []).append(node)
    return found


def test_each_action_has_an_overload_of_each_method() -> None:
    """Names are literals, inputs and results have their types, and the coroutine is async."""
    text = write_stubs([CREATE, LIST, ODD], "acts")
    found = functions_of(text)
    assert {name: len(nodes) for name, nodes in found.items()} == {
        "trigger_action": 3,
        "atrigger_action": 3,
        "enqueue_action": 3,
    }
    first, second, third = (ast.unparse(node) for node in found["trigger_action"])
    assert "action: Literal['create-item'], user_id: str, input: ShopCreateItemInput, *" in first
    assert first.startswith("@overload")
    assert "-> ShopCreateItemResult" in first
    assert "input: dict[str, Any] | None=None" in second
    assert "-> list[str]" in second
    assert "-> Any" in third
    assert all(isinstance(node, ast.AsyncFunctionDef) for node in found["atrigger_action"])
    assert "from acts import TypedNango" in text


def test_the_classes_have_the_types_of_the_schemas() -> None:
    """Optional keys are NotRequired, and keys that are no names need the other form of TypedDict."""
    text = write_stubs([CREATE, ODD])
    for line in (
        "    id: str",
        "    kind: NotRequired[Literal['a', 'b']]",
        "    size: NotRequired[float | None]",
        "    parts: NotRequired[list[ShopCreateItemInputPartsItem]]",
        "    more: NotRequired[dict[str, bool]]",
        "    n: NotRequired[int]",
        "    ok: bool",
        "ShopOddInput = TypedDict('ShopOddInput', {'a-b': NotRequired[Any], 'class': NotRequired[Any]})",
    ):
        assert line in text.splitlines(), line


@pytest.mark.parametrize("infos", [[], [LIST]])
def test_few_actions_need_no_overloads(infos: list[ActionInfo]) -> None:
    """A single overload is an error for type checkers, and a class without methods is empty."""
    text = write_stubs(infos)
    assert ast.parse(text)
    assert "@overload" not in text


def test_the_page_has_a_table_for_each_input() -> None:
    """It says what is required, the types, the defaults and what changes; pipes are escaped."""
    page = write_page([CREATE, LIST])
    assert page.count("## shop\n") == 1
    assert "### shop create-item" in page
    assert "Does it. Changes: items." in page
    assert "| `id` (required) | string | The id \\| key |" in page
    assert '| `kind` | `a` or `b` | default `"a"` |' in page
    assert "| `parts` | array of object |  |" in page
    assert "Changes nothing." in page
