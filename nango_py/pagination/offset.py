"""offset: pages are asked for by the number of records before them (Close's `_skip` and `_limit`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from nango_py.pagination.base import RECORDS_SCHEMA, Next, Page, Paginator, Pairs, number, pick
from nango_py.registry import PAGINATORS


@PAGINATORS.register
@dataclass(frozen=True)
class Offset(Paginator):
    """Raises the offset by the records that came, until a page is empty or says that it is the last."""

    name = "offset"
    config_schema: ClassVar[dict[str, Any]] = {
        "required": ["param"],
        "properties": {
            "param": {"type": "string", "description": "the query parameter of the offset"},
            "limit_param": {"type": "string", "description": "the query parameter of the page size"},
            "limit": {"type": "integer", "minimum": 1, "description": "the page size to ask for"},
            "has_more": {"type": "string", "description": "JMESPath to a flag that more follows"},
            "records": RECORDS_SCHEMA,
        },
    }
    example_config: ClassVar[dict[str, Any]] = {
        "param": "offset",
        "limit_param": "limit",
        "limit": 100,
        "records": "data",
    }
    param: str = "offset"
    limit_param: str = ""
    limit: int = 0
    has_more: str = ""

    def first_params(self) -> Pairs:
        """The page size, where the blueprint names one."""
        return ((self.limit_param, str(self.limit)),) if self.limit_param and self.limit else ()

    def following(self, page: Page, params: Pairs) -> Next | None:
        """The next offset. A short page is the last one only where the API has no flag to say so."""
        count = len(self.records(page))
        size = number(params, self.limit_param, self.limit)
        if not count or (self.has_more and not pick(self.has_more, page.json())):
            return None
        if not self.has_more and size and count < size:
            return None
        return Next(params=((self.param, str(number(params, self.param, 0) + count)),))
