"""single: the whole response is one page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from nango_py.pagination.base import RECORDS_SCHEMA, Next, Page, Paginator, Pairs
from nango_py.registry import PAGINATORS


@PAGINATORS.register
@dataclass(frozen=True)
class Single(Paginator):
    """Takes the records of one response and asks for no other."""

    name = "single"
    config_schema: ClassVar[dict[str, Any]] = {"properties": {"records": RECORDS_SCHEMA}}
    example_config: ClassVar[dict[str, Any]] = {"records": "data"}

    def following(self, page: Page, params: Pairs) -> Next | None:
        """None: there is no other page."""
        return None
