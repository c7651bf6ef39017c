"""Pointers: how blueprints name a place in a response or in a request, and how the value there is read.

In a response, a text is a JMESPath into the body; `{header: Name}`, `{link: rel}` and `{status: true}` are
the other places. In a request they are `{param: name}`, `{header: name}`, `{body: a.b}`, `{segment: name}`
and `{url: true}`. The file format has both as `$defs.response_pointer` and `$defs.request_pointer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from nango_py.config.request_match import value_at
from nango_py.config.urls.links import UnreadableLinkError, find_link
from nango_py.config.values import MAPPINGS
from nango_py.errors import printable
from nango_py.json_path import search_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.json_types import JsonObject, JsonValue, Settings

ResponsePointer: TypeAlias = "str | Settings"
"""A checked response pointer, as the file has it; "" points nowhere."""

RequestPointer: TypeAlias = "Settings"
"""A checked request pointer, as the file has it; an empty mapping points nowhere."""

RESPONSE_PLACES = ("header", "link", "status")
REQUEST_PLACES = ("param", "header", "body", "segment", "url")


class UnreadableValue(Exception):
    """A response has something else where a value was expected. The text says what was found."""


class PointedResponse(Protocol):
    """The part of a response that pointers read."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; names are not case-sensitive."""

    @property
    def status_code(self) -> int:
        """The HTTP status."""

    def json(self) -> JsonValue:
        """The body as JSON."""


class PointedRequest(Protocol):
    """The part of a request that pointers read.

    Attributes:
        body: the JSON body, or the form as a mapping; None if there is neither.
        segments: the segments of the path that a pattern captured, by name.
    """

    body: JsonValue
    segments: Mapping[str, str]

    @property
    def url(self) -> str:
        """The whole URL."""

    @property
    def params(self) -> Mapping[str, str]:
        """The query parameters; of several with one name, the last."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by lower-case name."""


def place_of(pointer: Settings) -> tuple[str, str]:
    """The kind of place that a pointer with a key names, and the name there: `("header", "X-Next")`."""
    key = next(key for key in pointer if key in REQUEST_PLACES or key in RESPONSE_PLACES)
    value = pointer[key]
    return key, "" if value is True else str.__str__(value)


def describe_pointer(pointer: ResponsePointer) -> str:
    """A pointer for an error message: `"meta.next"`, `header X-Next`, `link next` or `status`."""
    if isinstance(pointer, str):
        return f'"{printable(pointer)}"'
    return " ".join(part for part in place_of(pointer) if part)


def read_response(pointer: ResponsePointer, response: PointedResponse) -> JsonValue:
    """The value that a pointer names in a response; None if there is none.

    Raises:
        UnreadableValue: it names a link, and the Link header cannot be read.
        ValueError: its JMESPath is not valid; loading a file checks that.
    """
    if isinstance(pointer, str):
        return search_json(pointer, response.json()) if pointer else None
    place, name = place_of(pointer)
    if place == "status":
        return response.status_code
    if place == "header":
        text = response.headers.get(name)
        return None if text is None else text.strip(" \t")
    problem = ""
    try:
        return find_link(response.headers.get("Link") or "", name)
    except UnreadableLinkError as error:
        problem = str(error)
    raise UnreadableValue(problem)


def read_request(pointer: RequestPointer, request: PointedRequest) -> object:
    """The value that a pointer names in a request; None if there is none."""
    place, name = place_of(pointer)
    if place == "url":
        return request.url
    if place == "body":
        return value_at(request.body, name)
    if place == "header":
        return request.headers.get(name.lower())
    return (request.params if place == "param" else request.segments).get(name)


def with_body_value(body: Mapping[str, JsonValue], path: str, value: JsonValue) -> JsonObject:
    """A copy of a JSON object with another value at a dotted path; objects on the way are made if needed.

    Raises:
        TypeError: there is something else than an object on the way.
    """
    name, _, rest = path.partition(".")
    if not rest:
        return {**body, name: value}
    below = body.get(name)
    if below is not None and not isinstance(below, MAPPINGS):
        raise TypeError(f"{name} is not an object")
    return {**body, name: with_body_value(below or {}, rest, value)}
