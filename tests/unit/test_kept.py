"""Things that are made once for each key, up to a number."""

from __future__ import annotations

from nango_py.transport.pools import MAX_CACHED, BoundedCache


def test_the_one_that_was_used_least_recently_goes_first() -> None:
    """What is used stays, however long ago it was made."""
    dropped: list[int] = []
    kept: BoundedCache[int] = BoundedCache(dropped.append)
    for number in range(MAX_CACHED):
        kept.get(number, lambda number=number: number)  # type: ignore[misc]  # mypy cannot infer it
    kept.get(0, lambda: -1)
    kept.get("one more", lambda: -2)
    assert dropped == [1]
    assert kept.get(0, lambda: -3) == 0
    kept.clear()
    assert len(dropped) == MAX_CACHED + 1
