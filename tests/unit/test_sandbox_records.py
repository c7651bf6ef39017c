"""Generated records, and documents with values at JMESPaths."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nango_py.json_path import search_json
from nango_py.sandbox.documents import choose_alternative, find_steps, set_at
from nango_py.sandbox.records import records_from_schema, vary_records

EXAMPLE: dict[str, Any] = {
    "id": "cus_4fdAW5",
    "uuid": "0b7a1c9e-2f44-4b1c-9a3d-0f6f8f7f2c11",
    "number": 7,
    "price": 9.5,
    "paid": True,
    "status": "open",
    "name": "Ada Lovelace",
    "email": "ada@example.org",
    "created_at": "2026-02-03T04:05:06Z",
    "day": "2026-02-03",
    "lines": [{"sku_id": 41, "note": None}],
}


def test_records_are_like_the_example() -> None:
    """They have its members and types; ids are unique, words stay, and a seed repeats them."""
    made = vary_records(EXAMPLE, 500, seed=3)
    for record in made:
        assert isinstance(record, dict)
        assert record.keys() == EXAMPLE.keys()
        assert {name: type(value) for name, value in record.items()} == {
            name: type(value) for name, value in EXAMPLE.items()
        }
        assert record["status"] == "open"
        assert re.fullmatch(r"cus_\d[a-z]{2}[A-Z]{2}\d", str(record["id"]))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", str(record["created_at"]))
    for name in ("id", "uuid", "email", "name"):
        assert len({str(record[name]) for record in made if isinstance(record, dict)}) == 500
    assert search_json("[].lines[0].sku_id", made) == list(range(41, 541))  # type: ignore[arg-type]
    assert vary_records(EXAMPLE, 500, seed=3) == made
    assert vary_records(EXAMPLE, 500, seed=4) != made


def test_short_ids_stay_unique() -> None:
    """Where the characters do not suffice, a number is added."""
    made = vary_records({"id": "a1"}, 1000, seed=1)
    assert len({record["id"] for record in made if isinstance(record, dict)}) == 1000


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", "extra"],
    "properties": {
        "id": {"type": "integer", "minimum": 100},
        "state": {"enum": ["open", "done"]},
        "kind": {"const": "order"},
        "mail": {"type": "string", "format": "email"},
        "at": {"type": ["string", "null"], "format": "date-time"},
        "site": {"type": "string", "format": "uri"},
        "share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "even": {"type": "integer", "multipleOf": 2, "minimum": 3, "maximum": 9},
        "below": {"type": "integer", "exclusiveMaximum": 5},
        "short": {"type": "string", "minLength": 9, "maxLength": 9},
        "code": {"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["EUR", "USD"]},
        "lines": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/line"}},
        "owner": {"allOf": [{"$ref": "#/$defs/person"}, {"properties": {"age": {"type": "integer"}}}]},
        "either": {"anyOf": [{"type": "boolean"}, {"type": "string"}]},
        "nothing": {"type": "null"},
        "open": {},
    },
    "$defs": {
        "line": {"type": "object", "properties": {"price": {"type": "number", "minimum": 1}}},
        "person": {"properties": {"name": {"type": "string"}}, "required": ["name"], "type": "object"},
    },
}


@given(st.integers(0, 10_000))
def test_records_of_a_schema_are_valid(seed: int) -> None:
    """A plain validator accepts every record, and the control refuses a changed one."""
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for record in records_from_schema(SCHEMA, 5, seed):
        assert isinstance(record, dict)
        assert list(validator.iter_errors(record)) == []
        assert list(validator.iter_errors({**record, "id": 1}))
        assert {"name", "age"} <= record["owner"].keys()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "string", "pattern": "^a$"}, "pattern"),
        ({"$ref": "#/$defs/none"}, "nowhere"),
        ({"$ref": "https://example.com/schema"}, "out of"),
        ({"properties": {"self": {"$ref": "#"}}}, "without end"),
        ({"type": "text"}, "unknown type"),
    ],
)
def test_what_cannot_be_generated_is_an_error(schema: dict[str, Any], named: str) -> None:
    """The message says what the schema needs."""
    with pytest.raises(ValueError, match=named):
        records_from_schema(schema, 1, 1)


@pytest.mark.parametrize(
    "path",
    ["a", "a.b", "a[0].b", "a[2]", '"@odata.nextLink"', 'a."b.c"', "links[?rel=='next'].href | [0]",
     "a || b.c", "more && a.b", "not_null(a, b)"],
)  # fmt: skip
@pytest.mark.parametrize(
    "document", [None, {}, {"a": {"x": 1}}, {"a": "text", "links": [{"rel": "prev"}]}, [1]]
)
def test_what_is_written_at_a_path_is_found_there(path: str, document: Any) -> None:
    """JMESPath finds the value again, and the original document stays as it was."""
    before = repr(document)
    steps = find_steps(path)
    assert steps is not None
    written = set_at(document, steps, "here")
    if path == "more && a.b":
        assert isinstance(written, dict)
        written["more"] = True
    assert search_json(path, written) == (
        "here" if not path.startswith("length") else search_json("b", written)
    )
    assert repr(document) == before


@pytest.mark.parametrize("path", ["a[]", "a[*].b", "length(a)", "a[-1].id", "a | b", "`1`", "", None])
def test_other_paths_cannot_be_written(path: str | None) -> None:
    """Projections, functions and literals have no place to write to."""
    assert find_steps(path) is None


def test_alternatives_follow_the_document() -> None:
    """The alternative that has a list is chosen, then the one of that name, then the body itself."""
    assert choose_alternative("repositories || items || @", {"items": []}, "x") == "items"
    assert choose_alternative("repositories || items || @", None, "x") == "@"
    assert choose_alternative("a || b", {}, "x") == "a"
    assert choose_alternative("not_null(tickets, users)", {"ok": 1}, "users") == "users"
