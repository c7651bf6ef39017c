"""A cache with a bound, for what is expensive to make."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

MAX_CACHED = 256
"""Maximum number of entries in a `BoundedCache`; the least recently used entry is dropped first."""

Value = TypeVar("Value")


class BoundedCache(Generic[Value]):
    """At most MAX_CACHED values, each made once for its key; two threads may rarely make one twice."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key."""
        value = self._values.get(key)
        if value is None:
            value = self._values[key] = make()
            while len(self._values) > MAX_CACHED:
                self._values.popitem(last=False)
        else:
            try:  # noqa: SIM105 - suppress() costs three calls
                self._values.move_to_end(key)
            except KeyError:  # another thread has dropped it
                pass
        return value

    def find(self, key: Hashable) -> Value | None:
        """The value of a key if it was made before, else None."""
        return self._values.get(key)
