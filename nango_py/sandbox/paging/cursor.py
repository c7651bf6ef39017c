"""cursor: the body holds a token for the next page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.registry import PAGE_SERVERS
from nango_py.sandbox.documents import find_field_of_last
from nango_py.sandbox.paging.base import PageServer, UnknownPageError, decode_cursor, encode_cursor

if TYPE_CHECKING:
    from nango_py.json_types import JsonValue
    from nango_py.sandbox.paging.base import ListRequest, PageDraft


@PAGE_SERVERS.register
class CursorServer(PageServer):
    """Writes an opaque token, and null on the last page.

    If the token is a field of the last record, as Stripe's `data[-1].id`, nothing is written, and a page
    begins after the record that has it.
    """

    name = "cursor"

    def read_start(self, request: ListRequest, records: list[JsonValue], size: int) -> int:
        """The place of the token."""
        token = self.read_param(request, self.settings["param"])
        if token is None:
            return 0
        field = find_field_of_last(self.settings["cursor"])
        if field is None:
            return decode_cursor(token)
        for number, record in enumerate(records, 1):
            if isinstance(record, dict) and str(record.get(field[1])) == str(token):
                return number
        raise UnknownPageError(f"no record has {field[1]} {str(token)[:40]!r}")

    def mark(self, page: PageDraft) -> None:
        """Write the token."""
        if find_field_of_last(self.settings["cursor"]) is None:
            start = page.next_start
            page.write(self.settings["cursor"], None if start is None else encode_cursor(start))
