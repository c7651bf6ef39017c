"""Results of tools: parts within a bound, cursors, permissions, names, and masking."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nango_py.actions.definition import ActionInfo
from nango_py.tools.definitions import MAX_NAME, tool_name
from nango_py.tools.masking import mask_result
from nango_py.tools.pages import MIN_CHARACTERS, dump, split
from nango_py.tools.permissions import Permissions
from tests.support.planted_secrets import secret, traces

JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=9).map(lambda text: text * 20),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def info(name: str = "list", integration: str = "shop", changes: tuple[str, ...] = ()) -> ActionInfo:
    """An action."""
    return ActionInfo(
        integration=integration, name=name, title="", description="", changes=changes,
        input_schema={"type": "object"}, output_schema=None, kind="yaml", place="",
    )  # fmt: skip


def joined(parts: list[dict[str, Any]]) -> Any:
    """The value that the parts make up."""
    values = [part["result"] for part in parts]
    if len(values) == 1:
        return values[0]
    if isinstance(values[0], list):
        return [item for value in values for item in value]
    if isinstance(values[0], dict):
        whole = dict(values[0])
        for value in values[1:]:
            for key, item in value.items():
                if isinstance(item, list) and item != whole[key]:
                    whole[key] = whole[key] + item
        return whole
    return "".join(values)


def test_numbers_that_json_does_not_have_are_null() -> None:
    """Some APIs send NaN, and Python reads it and 1e400; a model's client would refuse the whole result."""
    value = json.loads('{"a": NaN, "b": [1e400, -Infinity, 1.5], "c": {"d": NaN}}')
    assert dump(value) == '{"a":null,"b":[null,null,1.5],"c":{"d":null}}'


@given(JSON)
def test_parts_are_bounded_and_lose_nothing(value: Any) -> None:
    """Each part has at most the asked number of characters, and together they are the whole result."""
    parts = split(value, MIN_CHARACTERS)
    assert all(len(dump(part)) <= MIN_CHARACTERS for part in parts)
    whole = joined(parts)
    if isinstance(whole, str) and not isinstance(value, str):
        whole = json.loads(whole)
    if "\\ud" not in json.dumps(value):
        assert whole == value


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([{"id": number} for number in range(200)], list),
        ({"total": 200, "items": [{"id": number} for number in range(200)]}, dict),
        ({"text": "x" * 2000, "items": [1, 2]}, str),
        (["x" * 2000], str),
        ("x\0" * 2000, str),
        ({"\ud83d": "\udce9" * 700}, str),
    ],
    ids=["list", "object with a list", "long text", "long item", "control characters", "half surrogates"],
)
def test_lists_are_split_between_items(value: Any, kind: type) -> None:
    """Whole items where possible; else characters of the text. Every part can be sent as UTF-8."""
    parts = split(value, MIN_CHARACTERS)
    assert len(parts) > 2
    assert {type(part["result"]) for part in parts} == {kind}
    assert all("shown" in part and dump(part).encode() for part in parts)


@pytest.mark.parametrize("name", ["list", "x" * 64, "söme.name", "a b", "x" * 62])
def test_tool_names_fit_all_vendors(name: str) -> None:
    """Letters, digits, hyphens and underscores, at most 64, and different names stay different."""
    made = tool_name(info(name))
    assert len(made) <= MAX_NAME
    assert made.replace("-", "").replace("_", "").isalnum()
    assert made.isascii()
    assert made != tool_name(info(f"{name}y"))


def test_permission_needs_both_patterns() -> None:
    """An action that changes something is within `actions`, and in `allow`."""
    change, read = info("create", changes=("items",)), info("list")
    rules = Permissions(actions=("shop.*",), allow=("*.create",))
    assert rules.allows(change)
    assert rules.allows(read)
    assert not Permissions(actions=("shop.*",)).allows(change)
    assert not Permissions(actions=("other.*",), allow=("*",)).allows(change)
    assert not Permissions(expose=("shop.create",), allow=("*",)).allows(read)


@pytest.mark.parametrize("tail", ["", " +/=%&", '"\\', "é~"])
def test_every_spelling_of_a_secret_is_masked(tail: str) -> None:
    """Raw, percent-encoded, in base64 and in JSON inside a text, in keys and in values."""
    import base64
    from urllib.parse import quote

    value = secret(7, tail)
    encoded = [
        value,
        quote(value, safe=""),
        base64.b64encode(value.encode()).decode(),
        json.dumps({"key": value}),
        "".join(f"%{byte:02X}" for byte in value.encode()),
    ]
    shown = mask_result({f"a {value}": encoded, "other": [1, None, "plain"]}, [value, "short"])
    assert traces(dump(shown)) == []
    assert isinstance(shown, dict)
    assert shown["other"] == [1, None, "plain"]
    assert traces(dump({"a": encoded})) != []  # the control


def test_values_without_secrets_are_not_copied() -> None:
    """The usual result is passed on as it is; texts that are too short are no secrets."""
    value: Any = {"a": ["b", {"c": "short"}]}
    assert mask_result(value, ["short", "another-secret"]) is value
    assert mask_result(value, []) is value
