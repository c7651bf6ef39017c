"""How full the limits of one connection are, under the keys of its blueprint."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.limits.key_names import readable_key
from nango_py.limits.limit_types import GATE, LimitStore, WindowView
from nango_py.record import replaced

if TYPE_CHECKING:
    from collections.abc import Iterable

# After the scope: a budget's number and key, or a learned limit.
_REST = re.compile(r"\d+ (.*)|((?:rate|learned)(?: .*)?)", re.DOTALL)


def usage_view(store: LimitStore, *scopes: str) -> tuple[WindowView, ...]:
    """Every limit of some scopes that is in use, and every closed gate.

    Args:
        store: where the limits are kept.
        scopes: from `RateLimits.scopes_of`.

    Returns:
        Views by key and window. `key` is the budget's own, without the scope; values that another process has
        counted are digests. A closed gate is in the `gate` of all limits of its key; a gate without limits is
        a separate view, whose window is GATE.
    """
    names: dict[str, str] = {}
    for scope in scopes:
        for key in store.keys(f"{scope} "):
            found = _REST.fullmatch(key, len(scope) + 1)
            if found:
                names[key] = readable_key(found[1] or found[2] or "")
    by_key: dict[str, list[WindowView]] = {}
    for view in store.view([*scopes, *names]):
        by_key.setdefault(view.key, []).append(view)
    return tuple(view for key, views in by_key.items() for view in _rename(names.get(key, ""), views))


def _rename(name: str, views: Iterable[WindowView]) -> list[WindowView]:
    windows = [view for view in views if view.window != GATE]
    # The key ends with the limits if a budget has several cases; they are shown in another column.
    key = name.removesuffix(",".join(view.window for view in windows)).rstrip()
    return [replaced(view, key=key) for view in windows or views]
