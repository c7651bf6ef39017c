"""next: a token or URL goes from a place in the response to a place in the next request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.registry import PAGE_SERVERS
from nango_py.sandbox.paging.base import PageServer, decode_cursor, encode_cursor

if TYPE_CHECKING:
    from nango_py.json_types import JsonValue
    from nango_py.sandbox.paging.base import ListRequest, PageDraft

CURSOR_PARAM = "after"
"""The parameter with the place in the list, in URLs. It is part of the link: the client does not know it."""


@PAGE_SERVERS.register
class NextServer(PageServer):
    """Writes an opaque token, or the URL of the next page if that is what the next request takes."""

    name = "next"

    def read_start(self, request: ListRequest, records: list[JsonValue], size: int) -> int:
        """The place that the token named, wherever the block puts it."""
        target = self.settings["next"]["to"]
        token = request.params.get(CURSOR_PARAM) if "url" in target else self.read_at(request, target)
        return 0 if token is None else decode_cursor(token)

    def mark(self, page: PageDraft) -> None:
        """Write the token or the URL, and the flag."""
        rule, start = self.settings["next"], page.next_start
        value: JsonValue = None
        if start is not None:
            value = encode_cursor(start)
            if "url" in rule["to"]:
                value = self.link(page, {CURSOR_PARAM: encode_cursor(start)})
        page.write(rule["from"], value)
        page.write(rule.get("more") or "", start is not None)

    def continuations(self, method: str, path: str) -> list[tuple[str, str]]:
        """Method and path of the next pages, as the block says."""
        rule = self.settings["next"]
        return [(rule.get("method") or method, (rule.get("path") or path).replace("{path}", path))]
