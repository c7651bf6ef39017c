"""page: pages are asked for by their number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from nango_py.pagination.base import RECORDS_SCHEMA, Next, Page, Paginator, Pairs, number, pick
from nango_py.registry import PAGINATORS


@PAGINATORS.register
@dataclass(frozen=True)
class PageNumber(Paginator):
    """Counts pages up until one is empty, or the response names the last."""

    name = "page"
    config_schema: ClassVar[dict[str, Any]] = {
        "required": ["param"],
        "properties": {
            "param": {"type": "string", "description": "the query parameter of the page number"},
            "start": {
                "type": "integer",
                "minimum": 0,
                "description": "the first page's number, 1 by default",
            },
            "limit_param": {"type": "string", "description": "the query parameter of the page size"},
            "limit": {"type": "integer", "minimum": 1, "description": "the page size to ask for"},
            "total_pages": {"type": "string", "description": "JMESPath to the number of pages"},
            "records": RECORDS_SCHEMA,
        },
    }
    example_config: ClassVar[dict[str, Any]] = {"param": "page", "start": 1, "records": "items"}
    param: str = "page"
    start: int = 1
    limit_param: str = ""
    limit: int = 0
    total_pages: str = ""

    def first_params(self) -> Pairs:
        """The page size, where the blueprint names one."""
        return ((self.limit_param, str(self.limit)),) if self.limit_param and self.limit else ()

    def following(self, page: Page, params: Pairs) -> Next | None:
        """The next number; an empty page ends the walk, and so does the last of `total_pages`."""
        current = number(params, self.param, self.start)
        if not self.records(page):
            return None
        if self.total_pages:
            total = pick(self.total_pages, page.json())
            if isinstance(total, int) and current + 1 >= total + self.start:
                return None
        return Next(params=((self.param, str(current + 1)),))
