"""link_header: the `Link` header holds the URL of the next page (RFC 8288), as at GitHub and Greenhouse."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.errors import printable
from nango_py.pagination.base import (
    EMPTY_STATUSES_SCHEMA,
    HAS_MORE_SCHEMA,
    RECORDS_SCHEMA,
    NextRequest,
    Page,
    Paginator,
    Params,
    UnreadablePage,
)
from nango_py.record import record
from nango_py.registry import PAGINATORS

if TYPE_CHECKING:
    from collections.abc import Iterator

# RFC 8288 section 3: a target in angle brackets and its parameters. Single quotes are not in the RFC.
TARGET = re.compile(r"[\s,]*<([^>]*)>")
PARAMETER = re.compile(
    r"""\s*;\s*(?:([^\s=;,"<>]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'(?=\s*(?:[;,]|$))|([^\s;,"]*)))?)?"""
)


@PAGINATORS.register
@record
class LinkHeader(Paginator):
    """Follows the link with the relation `next` (or another one) in the Link header."""

    name = "link_header"
    config_schema = {
        "properties": {
            "rel": {"type": "string", "description": "link relation, `next` by default"},
            "has_more": HAS_MORE_SCHEMA,
            "empty_statuses": EMPTY_STATUSES_SCHEMA,
            "records": RECORDS_SCHEMA,
        },
    }
    example_config = {"rel": "next"}
    rel: str = "next"
    has_more: str = ""
    empty_statuses: tuple[int, ...] = ()
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The target of the link; None if there is no such link.

        Raises:
            UnreadablePage: the header names the relation, but is not a list of links.
        """
        header = page.headers.get("Link") or ""
        rel = self.rel.lower()
        for target, relations, rest in parse_links(header):
            if rel in relations:
                if target.strip():
                    return NextRequest(url=target.strip())
                raise UnreadablePage(f'the Link header has no URL for rel="{rel}"')
            if rest and re.search(rf"\b{re.escape(rel)}\b", rest.lower()):
                raise UnreadablePage(f"the Link header is not a list of links: {printable(rest, 60)}")
        return None


def parse_links(header: str) -> Iterator[tuple[str, list[str], str]]:
    """Target and relations of each link of a header; last, the part that is not a link."""
    position = 0
    while match := TARGET.match(header, position):
        target, position, relations = match[1], match.end(), None
        while parameter := PARAMETER.match(header, position):
            position = parameter.end()
            if (parameter[1] or "").lower() == "rel" and relations is None:
                relations = (parameter[2] or parameter[3] or parameter[4] or "").lower().split()
        is_whole = not header[position:].strip() or re.match(r"\s*,", header[position:])
        yield target, relations or [], "" if is_whole else header[position:]
    rest = header[position:].strip(" \t,")
    if rest:
        yield "", [], rest
