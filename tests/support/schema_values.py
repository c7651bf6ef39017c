"""Values that fit a JSON Schema, as a strategy of hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Strategy = st.SearchStrategy[Any]

TEXT = st.text(
    alphabet=st.one_of(
        st.sampled_from("abz019-_.~/?#%&=+ ;:@\"'\\{}$[]()<>|`^!*,äß日\u202e"),
        st.characters(exclude_categories=["Cs"], max_codepoint=0x2FFF),
    ),
    max_size=12,
)
"""Text with everything that could change a path, a query, a header, a template or JSON."""

PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), TEXT)
FORMS = {
    "email": st.sampled_from(["a@b.test", "x+y@example.com"]),
    "date-time": st.sampled_from(["2026-11-30T12:00:00Z", "2026-01-01T00:00:00+01:00"]),
    "date": st.just("2026-11-30"),
    "uri": st.just("https://example.test/a?b=c"),
}


def values_of(schema: Any) -> Strategy:
    """Values that fit a schema; keywords beyond those of blueprints are not read."""
    if schema in (True, {}):
        return st.recursive(PLAIN, lambda below: st.lists(below, max_size=3), max_leaves=5)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema and "properties" not in schema:
        return st.one_of([values_of({**schema, **one, "anyOf": ()}) for one in schema["anyOf"]])
    kinds = schema.get("type", "object" if "properties" in schema else None)
    if kinds is None:
        return values_of({})
    if isinstance(kinds, list):
        return st.one_of([values_of({**schema, "type": kind}) for kind in kinds])
    make: Strategy = MAKERS[kinds](schema)
    return make


def _objects(schema: Any) -> Strategy:
    properties = schema.get("properties", {})
    required = set(schema.get("required", ()))
    if not properties and schema.get("additionalProperties") is not False:
        others = schema.get("additionalProperties", True)
        each = values_of(others) if isinstance(others, dict) else PLAIN
        return st.dictionaries(TEXT, each, min_size=schema.get("minProperties", 0), max_size=3)
    choices = [set(one.get("required", ())) for one in schema.get("anyOf") or ({},)]

    def of(needed: set[str]) -> Strategy:
        given = {name: values_of(properties[name]) for name in required | needed if name in properties}
        rest = {name: values_of(below) for name, below in properties.items() if name not in given}
        return st.fixed_dictionaries(given, optional=rest)

    return st.one_of([of(needed) for needed in choices])


def _arrays(schema: Any) -> Strategy:
    least = schema.get("minItems", 0)
    most = min(schema.get("maxItems", 4), max(4, least))
    return st.lists(values_of(schema.get("items", True)), min_size=least, max_size=most)


def _texts(schema: Any) -> Strategy:
    if "pattern" in schema:
        return st.from_regex(
            schema["pattern"].replace("$", r"\Z") if schema["pattern"].endswith("$") else schema["pattern"]
        ).filter(lambda text: schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", 1000))
    if schema.get("format") in FORMS:
        return FORMS[schema["format"]]
    least, most = schema.get("minLength", 0), schema.get("maxLength", 1000)
    return TEXT.map(lambda text: text.ljust(least, "x")[:most])


def _integers(schema: Any) -> Strategy:
    least, most = schema.get("minimum", -(2**40)), schema.get("maximum", 2**40)
    return st.integers(max(least, schema.get("exclusiveMinimum", least - 1) + 1), most)


def _numbers(schema: Any) -> Strategy:
    least, most = schema.get("minimum", -1e9), schema.get("maximum", 1e9)
    return st.one_of(
        _integers({"minimum": int(least), "maximum": int(most)}),
        st.floats(least, most, allow_nan=False, allow_infinity=False),
    )


MAKERS = {
    "object": _objects,
    "array": _arrays,
    "string": _texts,
    "integer": _integers,
    "number": _numbers,
    "boolean": lambda _: st.booleans(),
    "null": lambda _: st.none(),
}
