"""link_header: the `Link` header holds the URL of the next page (RFC 8288), as at GitHub and Greenhouse."""

from __future__ import annotations

import re

from nango_py.pagination.base import RECORDS_SCHEMA, NextRequest, Page, Paginator, Params
from nango_py.record import record
from nango_py.registry import PAGINATORS

# One link-value of RFC 8288 section 3: a target in angle brackets and its parameters.
LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[\w!#$&+.^`|~*-]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s";,]+))?)*)')
REL = re.compile(r'\brel\s*=\s*(?:"([^"]*)"|([^\s";,]+))', re.IGNORECASE)


@PAGINATORS.register
@record
class LinkHeader(Paginator):
    """Follows the link with the relation `next` (or another one) in the Link header."""

    name = "link_header"
    config_schema = {
        "properties": {
            "rel": {"type": "string", "description": "link relation, `next` by default"},
            "records": RECORDS_SCHEMA,
        },
    }
    example_config = {"rel": "next"}
    rel: str = "next"
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The target of the link; None if there is no such link."""
        for target, attributes in LINK.findall(page.headers.get("Link") or ""):
            relation = REL.search(attributes)
            if relation and self.rel in (relation[1] or relation[2] or "").lower().split():
                return NextRequest(url=target)
        return None
