"""Links of the `Link` header (RFC 8288), and links that need no parsing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.config.urls.paths import quote_bytes
from nango_py.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

# RFC 8288 section 3: a target in angle brackets and its parameters. Single quotes are not in the RFC.
TARGET = re.compile(r"[\s,]*<([^>]*)>")
PARAMETER = re.compile(
    r"""\s*;\s*(?:([^\s=;,"<>]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'(?=\s*(?:[;,]|$))|([^\s;,"]*)))?)?"""
)

PLAIN_LINK = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]*(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*(?:\?[!-~]*)?")
"""A relative link without scheme, host and dot segments; it stays below a URL that ends with a slash."""


class UnreadableLinkError(Exception):
    """A Link header that names a relation but cannot be read. The text says what was found."""


def find_link(header: str, rel: str) -> str | None:
    """The target of the link with a relation; None if there is no such link.

    Raises:
        UnreadableLinkError: the header names the relation, but is not a list of links.
    """
    wanted = rel.lower()
    for target, relations, rest in parse_links(quote_bytes(header)):
        if wanted in relations:
            if target.strip():
                return target.strip()
            raise UnreadableLinkError(f'the Link header has no URL for rel="{wanted}"')
        if rest and re.search(rf"\b{re.escape(wanted)}\b", rest.lower()):
            raise UnreadableLinkError(f"the Link header is not a list of links: {printable(rest, 60)}")
    return None


def parse_links(header: str) -> Iterator[tuple[str, list[str], str]]:
    """Target and relations of each link of a header; last, the part that is not a link."""
    position = 0
    while match := TARGET.match(header, position):
        target, position, relations = match[1], match.end(), None
        while parameter := PARAMETER.match(header, position):
            position = parameter.end()
            if (parameter[1] or "").lower() == "rel" and relations is None:
                quoted = re.sub(r"\\(.)", r"\1", parameter[2] or "")
                relations = (quoted or parameter[3] or parameter[4] or "").lower().split()
        is_whole = not header[position:].strip() or re.match(r"\s*,", header[position:])
        yield target, relations or [], "" if is_whole else header[position:]
    rest = header[position:].strip(" \t,")
    if rest:
        yield "", [], rest
