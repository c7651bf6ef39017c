"""cursor: the body holds a token for the next page (Slack's `response_metadata.next_cursor`)."""

from __future__ import annotations

from nango_py.json_path import search_json
from nango_py.pagination.base import (
    EMPTY_STATUSES_SCHEMA,
    HAS_MORE_SCHEMA,
    JSON_PATH,
    PARAMS_IN_SCHEMA,
    RECORDS_SCHEMA,
    NextRequest,
    Page,
    Paginator,
    Params,
    UnreadablePage,
)
from nango_py.record import record
from nango_py.registry import PAGINATORS


@PAGINATORS.register
@record
class Cursor(Paginator):
    """Sends the token found at a JMESPath as a parameter, until there is none.

    The token is text or a number; in a body (`params_in`) it may be any JSON value.
    """

    name = "cursor"
    config_schema = {
        "required": ["cursor", "param"],
        "properties": {
            "cursor": {**JSON_PATH, "description": "JMESPath to the token of the next page"},
            "param": {"type": "string", "description": "parameter for the token"},
            "has_more": HAS_MORE_SCHEMA,
            "params_in": PARAMS_IN_SCHEMA,
            "empty_statuses": EMPTY_STATUSES_SCHEMA,
            "records": RECORDS_SCHEMA,
        },
    }
    example_config = {"cursor": "meta.next", "param": "cursor", "records": "items"}
    cursor_path: str = ""
    param: str = "cursor"
    has_more: str = ""
    params_in: str = ""
    empty_statuses: tuple[int, ...] = ()
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The token as a parameter; None if it is "", 0, false, null or absent.

        Raises:
            UnreadablePage: it is true.
        """
        token = search_json(self.cursor_path, page.json())
        if token is None or token in ("", 0):
            return None
        if token is True:
            raise UnreadablePage("the cursor is true; expected a text or a number")
        return NextRequest(params=((self.param, token),))
