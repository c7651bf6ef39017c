"""The bounded cache of pools that not every request may use."""

from __future__ import annotations

from nango_py.transport.pools import MAX_CACHED, BoundedCache


def test_the_least_recently_used_value_is_dropped() -> None:
    """A value in use stays, however long ago it was made."""
    dropped: list[int] = []
    cache: BoundedCache[int] = BoundedCache(dropped.append)
    for number in range(MAX_CACHED):
        cache.get(number, lambda number=number: number)  # type: ignore[misc]  # mypy cannot infer it
    cache.get(0, lambda: -1)
    cache.get("one more", lambda: -2)
    assert dropped == [1]
    assert cache.get(0, lambda: -3) == 0
    cache.clear()
    assert len(dropped) == MAX_CACHED + 1
