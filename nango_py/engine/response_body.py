"""Bodies of responses as values: JSON, and XML as mappings for paging, errors, rules and verification."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Collection

    from nango_py.json_types import JsonValue
    from nango_py.transport.response import Response

DEEPEST = 200
"""Elements inside each other; more would only use up the stack of what reads the value."""

_XML = re.compile(r"[a-z0-9.-]+/(?:[a-z0-9.-]+\+)?xml", re.IGNORECASE)
_LAST_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)\"?(?:\[\])?\s*$")


def is_xml(content_type: str) -> bool:
    """Whether a Content-Type is that of XML (RFC 7303); XHTML is a page for people."""
    kind = content_type.partition(";")[0].strip()
    return _XML.fullmatch(kind) is not None and "html" not in kind.lower()


def read_body(response: Response, lists: Collection[str] = ()) -> JsonValue:
    """The value of a body. With the extra `xml`, XML is a mapping of the root's name to its content.

    Elements are mappings, texts, or None if they are empty; repeated ones are lists. Attributes begin with
    `@`, and a text beside them is `#text`. Prefixes of namespaces are left out.

    Args:
        response: read completely.
        lists: names of elements that are lists even if there is only one.

    Raises:
        ValueError: the body is neither.
    """
    if is_xml(response.content_type):
        found = _read_xml(response.content, frozenset(lists))
        if found is not None:
            return found
    value: JsonValue = response.json()
    return value


def _read_xml(content: bytes, lists: frozenset[str]) -> JsonValue:
    try:
        import xmltodict
    except ImportError:
        return None

    def without_prefix(path: list[tuple[str, object]], key: str, value: object) -> tuple[str, object]:
        if len(path) > DEEPEST:
            raise ValueError("the XML is nested too deeply")
        return (key if key.startswith(("@", "#")) else key.rpartition(":")[2]), value

    def is_list(_: object, key: str, __: object) -> bool:
        return key.rpartition(":")[2] in lists

    # The library refuses entities and document types, so nothing expands or is fetched.
    try:
        return cast("JsonValue", xmltodict.parse(content, postprocessor=without_prefix, force_list=is_list))
    except Exception as error:  # noqa: BLE001 - errors of expat and of codecs, which have no common class
        reason = type(error).__name__
    raise ValueError(f"the body is not XML that can be read ({reason})")


def list_names(records_path: str) -> frozenset[str]:
    """The names of the elements that a JMESPath to records ends with, one for each alternative."""
    found = (_LAST_NAME.search(part) for part in records_path.split("||"))
    return frozenset(match[1] for match in found if match is not None)
