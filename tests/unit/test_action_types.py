"""The types of Python actions: their schemas, values of them, and their results as JSON."""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict, Union

import pytest

from nango_py.actions.python_types import (
    MAX_CHARACTERS,
    MAX_VALUES,
    UnsupportedTypeError,
    UnusableResultError,
    from_json,
    schema_of,
    to_json,
)


class Color(enum.Enum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


@dataclass
class Line:
    """A part."""

    sku: str
    count: int = 1


@dataclass
class Order:
    """A dataclass of others."""

    id: str
    lines: list[Line]
    at: datetime | None = None
    color: Color = Color.RED
    tags: tuple[str, ...] = ()
    extra: dict[str, float] = field(default_factory=dict)


class Person(TypedDict):
    """A TypedDict."""

    name: str
    born: NotRequired[date]
    order: NotRequired[Order]


class Model:
    """What pydantic models have."""

    def __init__(self, value: Any) -> None:
        self.value = value

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        """As pydantic has it."""
        return {"type": "object", "properties": {"value": {"type": "integer"}}}

    @classmethod
    def model_validate(cls, value: Any) -> Model:
        """As pydantic has it."""
        if value.get("value") == 13:
            raise ValueError("unlucky")
        return cls(value["value"])

    def model_dump(self, mode: str) -> dict[str, Any]:
        """As pydantic has it."""
        return {"value": self.value, "mode": mode}


SCHEMAS: list[tuple[Any, Any]] = [
    (str, {"type": "string"}),
    (int, {"type": "integer"}),
    (float, {"type": "number"}),
    (bool, {"type": "boolean"}),
    (None, {"type": "null"}),
    (Any, {}),
    (date, {"type": "string", "format": "date"}),
    (datetime, {"type": "string", "format": "date-time"}),
    (Color, {"enum": ["red", "blue"]}),
    (Literal["a", 1], {"enum": ["a", 1]}),
    (list[int], {"type": "array", "items": {"type": "integer"}}),
    (list, {"type": "array"}),
    (Sequence[str], {"type": "array", "items": {"type": "string"}}),
    (dict[str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}}),
    (dict[str, Any], {"type": "object"}),
    (Mapping, {"type": "object"}),
    (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045 - as modules may have it
    (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),  # noqa: UP007
    (Annotated[int, "of things"], {"type": "integer"}),
    (Model, Model.model_json_schema()),
    (
        Line,
        {
            "type": "object",
            "properties": {"sku": {"type": "string"}, "count": {"type": "integer", "default": 1}},
            "additionalProperties": False,
            "required": ["sku"],
        },
    ),
]


@pytest.mark.parametrize(("annotation", "schema"), SCHEMAS, ids=lambda value: str(value)[:40])
def test_an_annotation_has_a_schema(annotation: Any, schema: Any) -> None:
    """Plain types, containers, unions, dataclasses, TypedDicts and models of pydantic."""
    assert schema_of(annotation) == schema


@pytest.mark.parametrize("annotation", [set, set[int], object(), type, "Order", bytes])
def test_other_annotations_have_none(annotation: Any) -> None:
    """What JSON cannot say is refused."""
    with pytest.raises(UnsupportedTypeError):
        schema_of(annotation)


def test_required_keys_are_those_without_a_default() -> None:
    """In dataclasses by their defaults, in TypedDicts by NotRequired."""
    assert schema_of(Order)["required"] == ["id", "lines"]
    assert schema_of(Person)["required"] == ["name"]


def test_json_becomes_values_of_the_types() -> None:
    """Nested ones too; what has no type stays as it is."""
    given = {
        "name": "A",
        "born": "2001-02-03",
        "order": {"id": "1", "lines": [{"sku": "x", "count": 2}], "at": "2026-11-30T12:00:00+00:00",
                  "color": "blue", "tags": ["p"], "extra": {"a": 1.5}},
    }  # fmt: skip
    found = from_json(Person, given)
    assert found["born"] == date(2001, 2, 3)
    moment = datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert found["order"] == Order("1", [Line("x", 2)], moment, Color.BLUE, ("p",), {"a": 1.5})
    assert from_json(Model, {"value": 3}).value == 3
    assert from_json(dict, {"a": [1]}) == {"a": [1]}
    assert from_json(list[Line] | None, [{"sku": "x"}]) == [Line("x")]
    assert from_json(Line | None, None) is None


def test_values_become_json() -> None:
    """Dataclasses, enums, dates, tuples and models are written as JSON has it."""
    order = Order("1", [Line("x")], datetime(2026, 11, 30, tzinfo=UTC), Color.BLUE, ("p",), {"a": 1.5})
    assert to_json({"order": order, "model": Model(3), "day": date(2026, 1, 2)}) == {
        "order": {
            "id": "1", "lines": [{"sku": "x", "count": 1}], "at": "2026-11-30T00:00:00+00:00",
            "color": "blue", "tags": ["p"], "extra": {"a": 1.5},
        },
        "model": {"value": 3, "mode": "json"},
        "day": "2026-01-02",
    }  # fmt: skip


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1}, {1: 2}])
def test_a_checkpoint_that_is_not_json_is_named(value: object) -> None:
    """The error says that it is the checkpoint, and not the result, before anything is stored."""
    with pytest.raises(UnusableResultError, match="the checkpoint"):
        to_json({"done": [value]}, "the checkpoint")


def test_a_result_is_bounded() -> None:
    """The limits are reached exactly, and what is beyond them is refused."""
    assert to_json([None] * (MAX_VALUES - 1))
    with pytest.raises(UnusableResultError):
        to_json([None] * MAX_VALUES)
    half = "x" * (MAX_CHARACTERS // 2 + 1)
    assert to_json([half])
    with pytest.raises(UnusableResultError):
        to_json([half, half, 1])


@pytest.mark.parametrize("value", [{1}, b"a", object(), float("inf"), {1: 2}, [Line], int])
def test_what_is_not_json_is_refused(value: Any) -> None:
    """The message names the type and not the value."""
    with pytest.raises(UnusableResultError):
        to_json(value)


def test_pydantic_is_never_imported() -> None:
    """Only the methods that its models have are looked for."""
    before = "pydantic" in sys.modules
    schema_of(Model)
    assert ("pydantic" in sys.modules) is before
