"""What a paginator is: it finds the records and the next page in a response, and knows no socket."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Pairs = tuple[tuple[str, str], ...]


class Page(Protocol):
    """As much of a response as a paginator looks at."""

    @property
    def headers(self) -> Any:
        """The response's headers, without regard to case."""

    def json(self) -> Any:
        """The body as JSON."""


@dataclass(frozen=True, slots=True)
class Next:
    """Where the next page is: a URL (absolute, or relative to the last), or parameters to set."""

    url: str = ""
    params: Pairs = ()


@dataclass(frozen=True)
class Paginator:
    """One kind of paging, as a blueprint configures it. Stateless: it looks at the last request and answer.

    Attributes:
        records_path: JMESPath to the list of records; "" where the body itself is the list.
    """

    name: ClassVar[str]
    """The `kind` of a blueprint's `pagination:` block."""

    config_schema: ClassVar[dict[str, Any]]
    """JSON Schema of the keys beside `kind`."""

    example_config: ClassVar[dict[str, Any]]
    """Settings that fit the schema; contract tests and docs use them."""

    records_path: str = ""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Paginator:
        """The paginator that a checked `pagination:` block means."""
        known = {field.name for field in fields(cls)}
        renamed = {cls.yaml_names().get(key, key): value for key, value in settings.items()}
        return cls(**{key: value for key, value in renamed.items() if key in known})

    @classmethod
    def yaml_names(cls) -> dict[str, str]:
        """YAML keys to attribute names where the two differ."""
        return {"records": "records_path", "next": "next_path", "cursor": "cursor_path"}

    def first_params(self) -> Pairs:
        """Parameters that the first page is asked with, unless the caller gives them."""
        return ()

    def records(self, page: Page) -> list[Any]:
        """The records of one page."""
        body = page.json()
        found = pick(self.records_path, body) if self.records_path else body
        return found if isinstance(found, list) else []

    def overlooked(self, page: Page) -> tuple[str, ...]:
        """Where the response holds records though none are found at `records`; () where all is well.

        APIs leave a list out when it is empty, so that alone says nothing.
        """
        body = page.json()
        found = pick(self.records_path, body) if self.records_path else body
        return () if isinstance(found, list) else tuple(lists_in(body))

    def following(self, page: Page, params: Pairs) -> Next | None:
        """The page after `page`, which was asked for with `params`; None after the last."""
        raise TypeError(f"{type(self).__name__} does not say how its pages follow")


RECORDS_SCHEMA: dict[str, Any] = {"type": "string", "description": "JMESPath to the list of records"}


def pick(path: str, body: Any) -> Any:
    """What a JMESPath finds in a body, or None.

    Source: https://jmespath.org/specification.html
    """
    names = _names(path)
    if names is None:
        import jmespath

        return jmespath.search(path, body)
    for name in names:
        body = body.get(name) if isinstance(body, dict) else None
    return body


@lru_cache(maxsize=256)
def _names(path: str) -> tuple[str, ...] | None:
    """The names of a path like `links.next`, which need no interpreter; None for any other."""
    return tuple(path.split(".")) if _PLAIN_PATH.fullmatch(path) else None


_PLAIN_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")


def lists_in(body: Any, within: str = "") -> Iterator[str]:
    """The paths of lists of mappings, at most two names deep; "@" is the body itself."""
    if isinstance(body, list) and body and isinstance(body[0], dict):
        yield within or "@"
    elif isinstance(body, dict) and "." not in within:
        for name, value in body.items():
            yield from lists_in(value, f"{within}.{name}" if within else name)


def number(params: Pairs, name: str, default: int) -> int:
    """A whole number among the parameters."""
    value = dict(params).get(name, "")
    return int(value) if value.isdigit() else default
