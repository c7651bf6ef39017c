"""Frozen values, as `dataclasses.dataclass(frozen=True, slots=True)` makes them, at a fifth of its price.

The standard decorator compiles six functions for each class, and loads what it needs to read signatures:
for the fifty values of one call that is a fifth of the time in which a program starts. Here one function is
compiled for each class, `__init__`, and the others are shared. What `dataclasses` offers works on records.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, dataclass_transform, overload

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

Value = TypeVar("Value")

_MISSING: Any = object()


class Field:
    """What a field is given beside its name: see `field`."""

    __slots__ = ("default", "factory", "shown")

    def __init__(self, default: Any, factory: Any, shown: bool) -> None:  # noqa: FBT001
        self.default = default
        self.factory = factory
        self.shown = shown


def field(*, default: Any = _MISSING, default_factory: Any = _MISSING, repr: bool = True) -> Any:  # noqa: A002
    """A field with a default made for each value, or one that the repr leaves out."""
    return Field(default, default_factory, repr)


@overload
def record(cls: type[Value]) -> type[Value]: ...


@overload
def record(*, eq: bool = True, order: bool = False) -> Callable[[type[Value]], type[Value]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: Any = None, *, eq: bool = True, order: bool = False) -> Any:
    """Class decorator: a frozen value with slots, compared and hashed by its fields.

    What the class defines itself (`__repr__`, `__post_init__`) is kept. A record has no record as its base.

    Args:
        cls: the class.
        eq: False compares by identity.
        order: whether values are sorted by their fields.
    """
    shared = {**_SHARED, **(_BY_VALUE if eq else {}), **(_ORDERED if order else {})}
    return (lambda cls: _made(cls, shared)) if cls is None else _made(cls, shared)


def _made(cls: type[Any], shared: dict[str, Any]) -> Any:
    body = {name: value for name, value in vars(cls).items() if name not in {"__dict__", "__weakref__"}}
    fields = {name: _field_of(body.pop(name, _MISSING)) for name in _field_names(cls)}
    names = tuple(fields)
    body.update({"__slots__": names, "__match_args__": names, "__record__": fields})
    for name, function in shared.items():
        body.setdefault(name, function)
    kind: Any = type(cls)
    made = kind(cls.__name__, cls.__bases__, body)
    made.__init__ = _init_of(made, fields)
    made.__qualname__ = cls.__qualname__
    return made


def replaced(value: Value, **changes: Any) -> Value:
    """A copy of a record with some of its fields changed."""
    kept = {name: getattr(value, name) for name in type(value).__record__}  # type: ignore[attr-defined]
    return type(value)(**{**kept, **changes})


def field_names(cls: type) -> tuple[str, ...]:
    """The names of a record's fields, in their order."""
    return tuple(cls.__record__)  # type: ignore[attr-defined]


def _field_names(cls: type) -> list[str]:
    # Asked of the class, not of its namespace: there Python 3.14 keeps none.
    return [name for name, kind in cls.__annotations__.items() if "ClassVar" not in str(kind)]


def _field_of(default: Any) -> Field:
    return default if isinstance(default, Field) else Field(default, _MISSING, shown=True)


def _init_of(cls: Any, fields: dict[str, Field]) -> Any:
    given, steps = [], []
    known: dict[str, Any] = {"_missing": _MISSING}
    for name, one in fields.items():
        known[f"_set_{name}"] = vars(cls)[name].__set__
        value = name
        if one.factory is not _MISSING:
            known[f"_make_{name}"] = one.factory
            given.append(f"{name}=_missing")
            value = f"_make_{name}() if {name} is _missing else {name}"
        elif one.default is not _MISSING:
            known[f"_default_{name}"] = one.default
            given.append(f"{name}=_default_{name}")
        else:
            given.append(name)
        steps.append(f" _set_{name}(self, {value})")
    if hasattr(cls, "__post_init__"):
        steps.append(" self.__post_init__()")
    text = f"def __init__(self, {', '.join(given)}):\n" + "\n".join(steps or [" pass"])
    exec(_compiled(text), known)  # noqa: S102 - made of the names of fields only, as dataclasses do
    init = known["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__module__ = cls.__module__
    return init


@lru_cache
def _compiled(text: str) -> CodeType:
    return compile(text, "<record>", "exec")


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name, one in self.__record__.items() if one.shown)
    return f"{type(self).__qualname__}({shown})"


def _values(self: Any) -> tuple[Any, ...]:
    return tuple([getattr(self, name) for name in self.__record__])


def _eq(self: Any, other: object) -> Any:
    return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _lt(self: Any, other: object) -> Any:
    return _values(self) < _values(other) if other.__class__ is self.__class__ else NotImplemented


def _le(self: Any, other: object) -> Any:
    return _values(self) <= _values(other) if other.__class__ is self.__class__ else NotImplemented


def _refuse_change(self: Any, name: str, *_: Any) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"{type(self).__name__}.{name} cannot be changed")


def _setstate(self: Any, state: tuple[Any, ...]) -> None:
    for name, value in zip(self.__record__, state, strict=True):
        object.__setattr__(self, name, value)


class _StandardFields:
    """The fields as `dataclasses` knows them, made when it asks."""

    made: ClassVar[dict[type, Any]] = {}

    def __get__(self, instance: Any, owner: Any) -> Any:
        if owner not in self.made:
            from dataclasses import MISSING, make_dataclass
            from dataclasses import field as standard

            specs = [
                (
                    name,
                    owner.__annotations__[name],
                    standard(
                        default=MISSING if one.default is _MISSING else one.default,
                        default_factory=MISSING if one.factory is _MISSING else one.factory,
                        repr=one.shown,
                    ),
                )
                for name, one in owner.__record__.items()
            ]
            self.made[owner] = make_dataclass(owner.__name__, specs).__dataclass_fields__  # type: ignore[attr-defined]
        return self.made[owner]


_SHARED: dict[str, Any] = {
    "__repr__": _repr,
    "__setattr__": _refuse_change,
    "__delattr__": _refuse_change,
    "__getstate__": _values,
    "__setstate__": _setstate,
    "__dataclass_fields__": _StandardFields(),
}
_BY_VALUE: dict[str, Any] = {"__eq__": _eq, "__hash__": _hash}
# Python asks the other side for > and >=.
_ORDERED: dict[str, Any] = {"__lt__": _lt, "__le__": _le}
