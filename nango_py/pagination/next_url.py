"""next_url: the body holds the address of the next page (JSON:API `links.next`, OData `@odata.nextLink`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from nango_py.pagination.base import RECORDS_SCHEMA, Next, Page, Paginator, Pairs, pick
from nango_py.registry import PAGINATORS


@PAGINATORS.register
@dataclass(frozen=True)
class NextUrl(Paginator):
    """Follows the URL found at a JMESPath until there is none.

    Source: https://jsonapi.org/format/#fetching-pagination
    """

    name = "next_url"
    config_schema: ClassVar[dict[str, Any]] = {
        "required": ["next"],
        "properties": {
            "next": {"type": "string", "description": "JMESPath to the next page's URL"},
            "records": RECORDS_SCHEMA,
        },
    }
    example_config: ClassVar[dict[str, Any]] = {"next": "links.next", "records": "data"}
    next_path: str = "links.next"

    def following(self, page: Page, params: Pairs) -> Next | None:
        """The next page's URL, absolute or relative; an empty one or null ends the walk."""
        url = pick(self.next_path, page.json())
        return Next(url=url) if isinstance(url, str) and url else None
