"""The options of `paginate` and `pages`, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.engine.call_arguments import Call, check_deadline
from nango_py.errors import InvalidRequest, unknown_name
from nango_py.record import field_names, record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.engine.call_arguments import CallOptions
    from nango_py.json_types import JsonObject, Settings

    class PagingOptions(CallOptions, total=False):
        """The keyword arguments of `Executor.paginate`."""

        method: str
        max_pages: int | None
        max_records: int | None
        max_seconds: float | None
        page_size: int | None
        prefetch: int
        pagination: Settings | None
        state: JsonObject | None
        deadline_seconds: float | None

    class GraphQLCallOptions(CallOptions, total=False):
        """The keyword arguments of `Executor.graphql`."""

        deadline_seconds: float | None

    class GraphQLOptions(PagingOptions, total=False):
        """The keyword arguments of `Executor.paginate_graphql`."""

        at: str
        cursor_variable: str
        operation_name: str | None


@record
class WalkOptions:
    """Where a walk begins and ends; see `Executor.paginate`."""

    max_pages: int | None = None
    max_records: int | None = None
    max_seconds: float | None = None
    page_size: int | None = None
    prefetch: int = 0
    pagination: Settings | None = None
    state: Mapping[str, Any] | None = None
    deadline_seconds: float | None = None


def split_options(options: Mapping[str, Any]) -> tuple[WalkOptions, dict[str, Any]]:
    """The options of the walk, and those of each call.

    Raises:
        TypeError: there is no option with that name; the message suggests the nearest.
        InvalidRequest: one has the wrong type or an impossible value.
    """
    names = field_names(WalkOptions)
    known = ("method", *names, *(name for name in field_names(Call)[2:] if name != "base"))
    for name in options:
        if name not in known:
            raise TypeError(unknown_name("option", name, known))
    walk = WalkOptions(**{name: value for name, value in options.items() if name in names})
    for name in ("max_pages", "max_records", "page_size"):
        value = getattr(walk, name)
        least = 1 if name == "page_size" else 0
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise InvalidRequest(f"{name} must be a whole number of at least {least}, or None")
    seconds = walk.max_seconds
    if seconds is not None and (
        not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds > 0
    ):
        raise InvalidRequest("max_seconds must be a number of seconds > 0, or None")
    if walk.prefetch not in (0, 1) or isinstance(walk.prefetch, bool):
        raise InvalidRequest("prefetch must be 0 or 1: the next page is known only from the one before")
    check_deadline(walk.deadline_seconds)
    return walk, {name: value for name, value in options.items() if name not in names and name != "method"}
