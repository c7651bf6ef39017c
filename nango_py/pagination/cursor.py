"""cursor: the body holds a token for the next page (Slack's `response_metadata.next_cursor`)."""

from __future__ import annotations

from nango_py.pagination.base import RECORDS_SCHEMA, NextRequest, Page, Paginator, Params, search_json
from nango_py.record import record
from nango_py.registry import PAGINATORS


@PAGINATORS.register
@record
class Cursor(Paginator):
    """Sends the token found at a JMESPath as a query parameter, until the token is empty."""

    name = "cursor"
    config_schema = {
        "required": ["cursor", "param"],
        "properties": {
            "cursor": {"type": "string", "description": "JMESPath to the token of the next page"},
            "param": {"type": "string", "description": "query parameter for the token"},
            "records": RECORDS_SCHEMA,
        },
    }
    example_config = {"cursor": "meta.next", "param": "cursor", "records": "items"}
    cursor_path: str = ""
    param: str = "cursor"
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The token as a parameter; None if it is "" or null."""
        token = search_json(self.cursor_path, page.json())
        if isinstance(token, bool) or not isinstance(token, str | int) or token == "":
            return None
        return NextRequest(params=((self.param, str(token)),))
