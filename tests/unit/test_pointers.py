"""Pointers into responses and requests."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from nango_py.config.pointers import (
    UnreadableValue,
    describe_pointer,
    read_request,
    read_response,
    with_body_value,
)
from nango_py.config.schema.publish import blueprint_schema, integrations_schema
from tests.support.made_values import FakeResponse

RESPONSE: Any = FakeResponse(
    202, {"X-Next": "abc", "Link": '<https://a.test/?p=2>; rel="next"'}, {"meta": {"next": "n"}, "ids": [1]}
)
REQUEST: Any = SimpleNamespace(
    url="https://a.test/things/7?page=2",
    params={"page": "2"},
    headers={"x-page": "3"},
    body={"page": {"number": 4}, "items": [{"id": 5}]},
    segments={"id": "7"},
)


@pytest.mark.parametrize(
    ("pointer", "value", "shown"),
    [
        ("meta.next", "n", '"meta.next"'),
        ("ids[0]", 1, '"ids[0]"'),
        ("missing", None, '"missing"'),
        ("", None, '""'),
        ({"header": "x-next"}, "abc", "header x-next"),
        ({"header": "X-None"}, None, "header X-None"),
        ({"link": "next"}, "https://a.test/?p=2", "link next"),
        ({"link": "last"}, None, "link last"),
        ({"status": True}, 202, "status"),
    ],
)
def test_a_response_is_read_at_a_pointer(pointer: Any, value: object, shown: str) -> None:
    """A text is a JMESPath into the body; the others name a header, a link and the status."""
    assert read_response(pointer, RESPONSE) == value
    assert describe_pointer(pointer) == shown


def test_the_published_schemas_say_which_texts_are_jmespath() -> None:
    """Flags, totals and cursors refer to the pointer, whose texts have the format; lists are a JMESPath."""
    for schema in (blueprint_schema(), integrations_schema()):
        assert schema["$defs"]["response_pointer"]["format"] == "jmespath"
        keys: dict[str, list[str]] = {}
        for branch in schema["$defs"]["pagination"]["allOf"]:
            for key, value in branch["then"].get("properties", {}).items():
                keys.setdefault(key, []).append(json.dumps(value))
        for key in ("has_more", "total", "total_pages", "cursor"):
            assert all("#/$defs/response_pointer" in text for text in keys[key]), key
        assert all('"format": "jmespath"' in text for text in keys["records"])


def test_a_link_header_that_cannot_be_read_is_not_the_end() -> None:
    """A header that names the relation, but has no target for it, says what was found."""
    broken: Any = FakeResponse(headers={"Link": '?p=2; rel="next"'})
    with pytest.raises(UnreadableValue, match="not a list of links"):
        read_response({"link": "next"}, broken)


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ({"param": "page"}, "2"),
        ({"param": "none"}, None),
        ({"header": "X-Page"}, "3"),
        ({"body": "page.number"}, 4),
        ({"body": "items.0.id"}, 5),
        ({"body": "items.1.id"}, None),
        ({"body": "page.number.deep"}, None),
        ({"segment": "id"}, "7"),
        ({"url": True}, "https://a.test/things/7?page=2"),
    ],
)
def test_a_request_is_read_at_a_pointer(pointer: Any, value: object) -> None:
    """Parameters, headers, body values, captured segments and the URL."""
    assert read_request(pointer, REQUEST) == value


def test_a_body_value_is_set_in_a_copy() -> None:
    """Objects on the way are made; the caller's body stays as it is."""
    body: Any = {"query": "q", "variables": {"first": 5}}
    assert with_body_value(body, "variables.after", "c") == {
        "query": "q", "variables": {"first": 5, "after": "c"},
    }  # fmt: skip
    assert body == {"query": "q", "variables": {"first": 5}}
    assert with_body_value({}, "a.b.c", 1) == {"a": {"b": {"c": 1}}}
    assert with_body_value({"a": None}, "a.b", 1) == {"a": {"b": 1}}
    with pytest.raises(TypeError):
        with_body_value({"a": [1]}, "a.b", 1)
