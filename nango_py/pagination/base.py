"""The base class of paginators: they find the records and the next page in a response, without I/O."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, TypeAlias

from nango_py.record import field_names, record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py.json_types import JsonValue, Schema, Settings

Params: TypeAlias = tuple[tuple[str, str], ...]


class Page(Protocol):
    """The part of a response that paginators read."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The response headers, case-insensitive."""

    def json(self) -> JsonValue:
        """The parsed body."""


@record
class NextRequest:
    """How to request the next page: its URL (absolute or relative), or query parameters to change."""

    url: str = ""
    params: Params = ()


class Paginator:
    """One kind of pagination. Subclasses are records whose fields are the keys of the `pagination:` block.

    Attributes:
        records_path: JMESPath to the list of records; "" if the body itself is the list.
        limit_param: query parameter for the page size.
        limit: the page size to request.
    """

    __slots__ = ()

    name: ClassVar[str]
    """The `kind` of a blueprint's `pagination:` block."""

    config_schema: ClassVar[Schema]
    """JSON Schema of the other keys of the block."""

    example_config: ClassVar[Settings]
    """Valid settings, used by the contract tests and the docs."""

    records_path: str = ""
    limit_param: str = ""
    limit: int = 0

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The paginator for a validated `pagination:` block."""
        values = {cls.yaml_names().get(key, key): value for key, value in settings.items()}
        return cls(**{name: values[name] for name in field_names(cls) if name in values})

    @classmethod
    def yaml_names(cls) -> dict[str, str]:
        """Field names of the YAML keys that have a different name."""
        return {"records": "records_path", "next": "next_path", "cursor": "cursor_path"}

    def first_params(self) -> Params:
        """Query parameters of the first request, unless the caller sets them: the page size."""
        return ((self.limit_param, str(self.limit)),) if self.limit_param and self.limit else ()

    def records(self, page: Page) -> list[JsonValue]:
        """The records of one page."""
        value = self._records_value(page)
        return value if isinstance(value, list) else []

    def suggest_records_paths(self, page: Page) -> tuple[str, ...]:
        """The paths of other lists in the response if there is none at `records`, for the error message.

        An absent list is not an error by itself: some APIs leave empty lists out.
        """
        return () if isinstance(self._records_value(page), list) else tuple(find_lists(page.json()))

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The request after the one with `params`, whose response is `page`; None after the last page."""
        raise TypeError(f"{type(self).__name__} does not implement next_request()")

    def _records_value(self, page: Page) -> JsonValue:
        return search_json(self.records_path, page.json()) if self.records_path else page.json()


RECORDS_SCHEMA: Schema = {"type": "string", "description": "JMESPath to the list of records"}


def search_json(path: str, body: JsonValue) -> JsonValue:
    """The value at a JMESPath, or None.

    Source: https://jmespath.org/specification.html
    """
    names = _split_plain_path(path)
    if names is None:
        import jmespath

        value: JsonValue = jmespath.search(path, body)
        return value
    for name in names:
        body = body.get(name) if isinstance(body, dict) else None
    return body


@lru_cache(maxsize=256)
def _split_plain_path(path: str) -> tuple[str, ...] | None:
    """The names of a path such as `links.next`, which needs no JMESPath parser; None for other paths."""
    return tuple(path.split(".")) if _PLAIN_PATH.fullmatch(path) else None


_PLAIN_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")


def find_lists(body: JsonValue, prefix: str = "") -> Iterator[str]:
    """The paths of lists of objects, at most two names deep; "@" is the body itself."""
    if isinstance(body, list) and body and isinstance(body[0], dict):
        yield prefix or "@"
    elif isinstance(body, dict) and "." not in prefix:
        for name, value in body.items():
            yield from find_lists(value, f"{prefix}.{name}" if prefix else name)


def int_param(params: Params, name: str, default: int) -> int:
    """The value of an integer parameter."""
    value = dict(params).get(name, "")
    return int(value) if value.isdigit() else default
