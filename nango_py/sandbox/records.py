"""Generated records: like an example, or from a JSON Schema. The same seed gives the same records."""

from __future__ import annotations

import random
import re
import string
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.json_types import JsonValue, Schema

Random: TypeAlias = random.Random

_ID_NAME = re.compile(r"(?:.*_)?(?:id|uuid|guid|key|gid)|.*[a-z](?:Id|Key)")
_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("uuid", re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")),
    ("date-time", re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?")),
    ("date", re.compile(r"\d{4}-\d\d-\d\d")),
    ("email", re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")),
)
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_SECONDS_OF_A_YEAR = 365 * 24 * 3600
_MAX_DEPTH = 12
_PLAIN_TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")


def vary_records(example: JsonValue, count: int, seed: int) -> list[JsonValue]:
    """Records with the members and types of an example, and other values.

    Ids are unique. Moments, dates, addresses and numbers vary; words stay, as they may be one of a fixed set.
    """
    generator = random.Random(seed)  # noqa: S311 - records are repeatable
    used: set[object] = set()
    return [_vary(example, "", number, generator, used) for number in range(1, count + 1)]


def _vary(value: JsonValue, name: str, number: int, generator: Random, used: set[object]) -> JsonValue:
    if isinstance(value, dict):
        return {key: _vary(item, key, number, generator, used) for key, item in value.items()}
    if isinstance(value, list):
        return [_vary(item, name, number, generator, used) for item in value]
    is_id = bool(_ID_NAME.fullmatch(name))
    if isinstance(value, bool):
        return generator.random() < 0.5  # noqa: PLR2004
    if isinstance(value, int):
        return value + number - 1 if is_id else generator.randint(0, max(2 * abs(value), 1))
    if isinstance(value, float):
        return round(generator.uniform(0, max(2 * abs(value), 1.0)), 2)
    if not isinstance(value, str):
        return value
    form = next((form for form, pattern in _FORMS if pattern.fullmatch(value)), "")
    if form:
        return _make_text(form, number, generator)
    if is_id and value:
        return _unique_text(lambda: vary_characters(value, generator), number, used)
    return f"{value} {number}" if " " in value.strip() else value


def vary_characters(text: str, generator: Random) -> str:
    """Text with the same kinds of characters; a prefix up to the last `_` or `/` stays."""
    kept = max(text.rfind("_"), text.rfind("/")) + 1
    kinds = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
    return text[:kept] + "".join(
        next((generator.choice(kind) for kind in kinds if character in kind), character)
        for character in text[kept:]
    )


def _unique_text(make: Callable[[], str], number: int, used: set[object]) -> str:
    for _ in range(20):
        text = make()
        if text not in used:
            used.add(text)
            return text
    return f"{make()}{number}"


def _make_text(form: str, number: int, generator: Random) -> str:
    moment = _EPOCH + timedelta(seconds=generator.randrange(_SECONDS_OF_A_YEAR))
    match form:
        case "uuid":
            return str(uuid.UUID(int=generator.getrandbits(128), version=4))
        case "date-time":
            return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        case "date":
            return moment.strftime("%Y-%m-%d")
        case "time":
            return moment.strftime("%H:%M:%SZ")
        case "email":
            return f"person-{number}@example.com"
        case "uri":
            return f"https://example.com/{number}"
        case "hostname":
            return f"host-{number}.example.com"
        case "ipv4":
            return f"192.0.2.{number % 256}"
    return f"text {number}"


def records_from_schema(schema: Schema, count: int, seed: int) -> list[JsonValue]:
    """Records that are valid against a JSON Schema.

    Supported are `type`, `properties`, `items`, `enum`, `const`, `examples`, `format`, the bounds of numbers,
    texts and lists, `allOf`, `anyOf`, `oneOf`, and `$ref` into the schema itself.

    Raises:
        ValueError: it has something else, such as `pattern` without `examples`.
    """
    generator = random.Random(seed)  # noqa: S311 - records are repeatable
    return [_Maker(schema, number, generator).make(schema, "") for number in range(1, count + 1)]


class _Maker:
    """Makes one record from a schema."""

    def __init__(self, root: Schema, number: int, generator: Random) -> None:
        self._root = root
        self._number = number
        self._generator = generator

    def make(self, schema: Schema, name: str, depth: int = 0) -> JsonValue:
        if depth > _MAX_DEPTH:
            raise ValueError(f"the JSON Schema repeats without end at {name!r}")
        schema = self._resolve(schema)
        for key in ("const", "enum", "examples"):
            if key in schema:
                choices: list[JsonValue] = [schema[key]] if key == "const" else list(schema[key])
                return choices[0] if key == "const" else self._generator.choice(choices)
        kind = self._kind(schema)
        match kind:
            case "object":
                return self._make_object(schema, depth)
            case "array":
                fewest = int(schema.get("minItems", min(1, schema.get("maxItems", 1))))
                return [self.make(schema.get("items") or {}, name, depth + 1) for _ in range(fewest)]
            case "string":
                return self._make_string(schema, name)
            case "integer" | "number":
                return self._make_number(schema, name, is_whole=kind == "integer")
            case "boolean":
                return self._generator.random() < 0.5  # noqa: PLR2004
        return None

    def _resolve(self, schema: Schema) -> Schema:
        """The schema with `$ref`, `allOf` and the first of `anyOf` and `oneOf` merged into it."""
        merged = dict(schema)
        while "$ref" in merged:
            merged = {**self._find(merged.pop("$ref")), **merged}
        parts = list(merged.pop("allOf", ()))
        for key in ("anyOf", "oneOf"):
            choices = merged.pop(key, ())
            parts += choices[:1]
        for part in parts:
            resolved = self._resolve(part)
            properties = {**resolved.get("properties", {}), **merged.get("properties", {})}
            required = [*merged.get("required", ()), *resolved.get("required", ())]
            merged = {**resolved, **merged, "properties": properties, "required": required}
        return merged

    def _find(self, reference: str) -> dict[str, object]:
        if not reference.startswith("#"):
            raise ValueError(f"$ref {reference!r} leads out of the JSON Schema")
        found: object = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            if key:
                found = found.get(key) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            raise ValueError(f"$ref {reference!r} leads nowhere")  # noqa: TRY004 - of a value
        return found

    def _kind(self, schema: Schema) -> str:
        declared = schema.get("type")
        kinds = [declared] if isinstance(declared, str) else list(declared or ())
        if not kinds:
            kinds = ["object" if schema.get("properties") else "array" if "items" in schema else "string"]
        kind = next((each for each in kinds if each != "null"), "null")
        if kind not in _PLAIN_TYPES:
            raise ValueError(f"unknown type {kind!r} in the JSON Schema")
        return kind

    def _make_object(self, schema: Schema, depth: int) -> JsonValue:
        properties: Schema = schema.get("properties") or {}
        missing = [name for name in schema.get("required", ()) if name not in properties]
        made = {name: self.make(below, name, depth + 1) for name, below in properties.items()}
        return {**made, **dict.fromkeys(missing, "text")}

    def _make_string(self, schema: Schema, name: str) -> str:
        if "pattern" in schema:
            raise ValueError(f"{name!r} has a pattern; add examples to the JSON Schema")
        text = _make_text(str(schema.get("format") or ""), self._number, self._generator)
        if "format" not in schema and _ID_NAME.fullmatch(name):
            text = str(self._number)
        text = text.ljust(int(schema.get("minLength", 0)), "x")
        return text[: int(schema.get("maxLength", len(text)))]

    def _make_number(self, schema: Schema, name: str, *, is_whole: bool) -> JsonValue:
        lowest, highest = schema.get("minimum"), schema.get("maximum")
        if "exclusiveMinimum" in schema:
            lowest = schema["exclusiveMinimum"] + (1 if is_whole else 1e-6)
        if "exclusiveMaximum" in schema:
            highest = schema["exclusiveMaximum"] - (1 if is_whole else 1e-6)
        if lowest is None:
            lowest = 0 if highest is None else highest - 1000
        if highest is None:
            highest = lowest + 1000
        step = schema.get("multipleOf")
        if step:
            first, last = -(-lowest // step), highest // step
            return self._generator.randint(int(first), int(last)) * step  # type: ignore[no-any-return]
        if not is_whole:
            return round(self._generator.uniform(lowest, highest), 6)
        if _ID_NAME.fullmatch(name) and int(lowest) + self._number <= highest:
            return int(lowest) + self._number
        return self._generator.randint(int(lowest), int(highest))
