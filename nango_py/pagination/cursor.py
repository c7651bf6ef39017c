"""cursor: the body holds a token for the next page (Slack's `response_metadata.next_cursor`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.values import NOTHING
from nango_py.pagination.base import (
    COMMON_SCHEMA,
    HAS_MORE_SCHEMA,
    PARAMS_IN_SCHEMA,
    POINTER,
    NextRequest,
    Page,
    Paginator,
    Params,
    next_token,
)
from nango_py.record import record
from nango_py.registry import PAGINATORS

if TYPE_CHECKING:
    from nango_py.config.pointers import ResponsePointer
    from nango_py.json_types import Settings


@PAGINATORS.register
@record
class Cursor(Paginator):
    """Sends the token found at a pointer as a parameter, until there is none.

    The token is text or a number; in a body (`params_in`) it may be any JSON value.
    """

    name = "cursor"
    config_schema = {
        "required": ["cursor", "param"],
        "properties": {
            "cursor": {**POINTER, "description": "pointer to the token of the next page"},
            "param": {"type": "string", "description": "parameter for the token"},
            "has_more": HAS_MORE_SCHEMA,
            "params_in": PARAMS_IN_SCHEMA,
            **COMMON_SCHEMA,
        },
    }
    example_config = {"cursor": "meta.next", "param": "cursor", "records": "items"}
    cursor_path: ResponsePointer = ""
    param: str = "cursor"
    has_more: ResponsePointer = ""
    params_in: str = ""
    size: Settings = NOTHING
    empty_statuses: tuple[int, ...] = ()
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The token as a parameter; None if it is "", 0, false, null or absent.

        Raises:
            UnreadablePage: it is true.
        """
        token = next_token(self.cursor_path, page)
        return None if token is None else NextRequest(params=((self.param, token),))
