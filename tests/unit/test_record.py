"""Records behave as frozen dataclasses with slots do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from nango_py.record import field, field_names, record, replaced


@record
class Point:
    """A place."""

    x: int
    y: int = 0
    tags: list[str] = field(default_factory=list)
    note: str = field(default="", repr=False)

    @property
    def total(self) -> int:
        """The sum."""
        return self.x + self.y


@dataclasses.dataclass(frozen=True, slots=True)
class Standard:
    """The same as the standard library makes it."""

    x: int
    y: int = 0
    tags: list[str] = dataclasses.field(default_factory=list)
    note: str = dataclasses.field(default="", repr=False)


@record(order=True)
class Version:
    """Sorted by its parts."""

    major: int
    minor: int = 0


@record(eq=False)
class Door:
    """Is itself only."""

    name: str

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a door has a name")


CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1,), {}),
    ((1, 2), {}),
    ((), {"x": 1, "tags": ["a"]}),
    ((1, 2, ["a"], "n"), {}),
    ((), {}),
    ((1, 2, [], "", 5), {}),
    ((1,), {"x": 1}),
    ((1,), {"z": 1}),
]


@pytest.mark.parametrize(("given", "named"), CALLS)
def test_a_record_takes_the_arguments_that_a_dataclass_takes(
    given: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """Values, defaults and refusals are those of the standard decorator."""
    try:
        expected = Standard(*given, **named)
    except TypeError:
        with pytest.raises(TypeError, match="argument"):
            Point(*given, **named)
        return
    made = Point(*given, **named)
    assert dataclasses.astuple(made) == dataclasses.astuple(expected)
    assert repr(made).partition("(")[2] == repr(expected).partition("(")[2]


def test_a_record_cannot_be_changed_and_takes_no_other_names() -> None:
    """No field can be set or deleted, and there is no room for more."""
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.y
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(point, "other", 2)  # noqa: B010
    assert not hasattr(point, "__dict__")
    assert point.total == 1


def test_records_are_equal_by_value_and_class() -> None:
    """Two of the same values are one in a set; another class with the same values is another value."""
    assert Version(1, 2) == Version(1, 2)
    assert len({Version(1, 2), Version(1, 2), Version(1, 3)}) == 2
    others: list[Any] = [(1, 0), Standard(1), None]
    assert all(Version(1) != other and Point(1) != other for other in others)
    assert Door("a") != Door("a")
    assert len({Door("a"), Door("a")}) == 2


def test_records_are_ordered_only_when_asked() -> None:
    """`order=True` sorts by the fields; without it there is no order."""
    assert sorted([Version(2), Version(1, 5), Version(1)]) == [Version(1), Version(1, 5), Version(2)]
    assert Version(2) > Version(1)
    assert Version(2) >= Version(2)
    with pytest.raises(TypeError):
        sorted([Point(2), Point(1)])  # type: ignore[type-var]


def test_each_default_that_is_made_is_a_new_one() -> None:
    """A list that one value gets by default is not that of another."""
    assert Point(1).tags is not Point(1).tags


def test_post_init_is_called() -> None:
    """A record may refuse its values."""
    with pytest.raises(ValueError, match="a door has a name"):
        Door("")


def test_the_functions_of_dataclasses_work_on_records() -> None:
    """fields, replace, asdict, copying, pickling and matching do as for a dataclass."""
    point = Point(1, 2, ["a"])
    assert [one.name for one in dataclasses.fields(Point)] == list(field_names(Point))
    assert dataclasses.replace(point, y=3) == replaced(point, y=3) == Point(1, 3, ["a"])
    assert dataclasses.asdict(point) == {"x": 1, "y": 2, "tags": ["a"], "note": ""}
    assert pickle.loads(pickle.dumps(point)) == copy.deepcopy(point) == point  # noqa: S301 - our own
    match point:
        case Point(x, y):
            assert (x, y) == (1, 2)
