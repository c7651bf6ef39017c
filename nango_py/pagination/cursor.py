"""cursor: the body holds a token that asks for the next page (Slack's `response_metadata.next_cursor`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from nango_py.pagination.base import RECORDS_SCHEMA, Next, Page, Paginator, Pairs, pick
from nango_py.registry import PAGINATORS


@PAGINATORS.register
@dataclass(frozen=True)
class Cursor(Paginator):
    """Sends the token found at a JMESPath as a query parameter until it is empty."""

    name = "cursor"
    config_schema: ClassVar[dict[str, Any]] = {
        "required": ["cursor", "param"],
        "properties": {
            "cursor": {"type": "string", "description": "JMESPath to the next page's token"},
            "param": {"type": "string", "description": "the query parameter that takes it"},
            "records": RECORDS_SCHEMA,
        },
    }
    example_config: ClassVar[dict[str, Any]] = {"cursor": "meta.next", "param": "cursor", "records": "items"}
    cursor_path: str = ""
    param: str = "cursor"

    def following(self, page: Page, params: Pairs) -> Next | None:
        """The token as a parameter; "" or null ends the walk."""
        token = pick(self.cursor_path, page.json())
        if isinstance(token, bool) or not isinstance(token, str | int) or token == "":
            return None
        return Next(params=((self.param, str(token)),))
