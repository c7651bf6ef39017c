"""How full the limits of one connection are now, in the words of its blueprint."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.limits.limit_types import GATE, LimitStore, WindowView

if TYPE_CHECKING:
    from collections.abc import Iterable

# What stands after the scope: a budget's number and key, or what was learned. A wider scope's prefix
# may also begin a narrower one's keys, which are of calls before `counted_per` was changed.
_REST = re.compile(r"\d+ (.*)|((?:rate|told)(?: .*)?)", re.DOTALL)


def usage_view(store: LimitStore, scope: str) -> tuple[WindowView, ...]:
    """Each limit of which something is used, and each closed gate, of one scope.

    Args:
        store: where the budgets are.
        scope: from `RateLimits.scope_of`.

    Returns:
        Views by key and window. `key` is the budget's own, without the scope. A closed gate stands in
        `gate` of all limits under it; one without limits is a view of its own, whose window is GATE.
    """
    names = {
        key: found[1] or found[2] or "" for key in store.keys(f"{scope} ") if (found := _rest(key, scope))
    }
    seen: dict[str, list[WindowView]] = {}
    for view in store.view([scope, *names]):
        seen.setdefault(view.key, []).append(view)
    return tuple(view for key, views in seen.items() for view in _named(names.get(key, ""), views))


def _rest(key: str, scope: str) -> re.Match[str] | None:
    return _REST.fullmatch(key, len(scope) + 1)


def _named(name: str, views: Iterable[WindowView]) -> list[WindowView]:
    windows = [view for view in views if view.window != GATE]
    # The key ends with the limits where a budget has several cases; they have a column of their own.
    own = name.removesuffix(",".join(view.window for view in windows)).rstrip()
    return [
        WindowView(own, view.window, view.limit, view.used, view.left, view.resets_in, view.gate)
        for view in windows or views
    ]
