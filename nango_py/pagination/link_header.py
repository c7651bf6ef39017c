"""link_header: the `Link` header names the next page (RFC 8288), as GitHub and Greenhouse do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from nango_py.pagination.base import RECORDS_SCHEMA, Next, Page, Paginator, Pairs
from nango_py.registry import PAGINATORS

# One link-value of RFC 8288 section 3: a target in angle brackets and its parameters.
LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[\w!#$&+.^`|~*-]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s";,]+))?)*)')
REL = re.compile(r'\brel\s*=\s*(?:"([^"]*)"|([^\s";,]+))', re.IGNORECASE)


@PAGINATORS.register
@dataclass(frozen=True)
class LinkHeader(Paginator):
    """Follows the link of relation `next` (or another) in the Link header."""

    name = "link_header"
    config_schema: ClassVar[dict[str, Any]] = {
        "properties": {
            "rel": {"type": "string", "description": "the link relation, `next` by default"},
            "records": RECORDS_SCHEMA,
        },
    }
    example_config: ClassVar[dict[str, Any]] = {"rel": "next"}
    rel: str = "next"

    def following(self, page: Page, params: Pairs) -> Next | None:
        """The target of the link; its absence ends the walk."""
        for target, attributes in LINK.findall(page.headers.get("Link") or ""):
            relation = REL.search(attributes)
            if relation and self.rel in (relation[1] or relation[2] or "").lower().split():
                return Next(url=target)
        return None
