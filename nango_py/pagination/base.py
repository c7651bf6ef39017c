"""The base class of paginators: they find the records and the next page in a response, without I/O.

A list ends when the API says so, or when a rule of its kind proves it, such as an empty page. Everything else
that is found where a list, a number or a cursor was expected is an `UnreadablePage`: no list ends in silence.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, TypeAlias

from nango_py.config.pointers import (
    UnreadableValue,
    describe_pointer,
    place_of,
    read_response,
)
from nango_py.config.urls.paths import quote_bytes
from nango_py.config.values import NOTHING
from nango_py.errors import printable
from nango_py.json_path import search_json
from nango_py.pasted_text import has_surrogate
from nango_py.record import field_names, record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py.config.pointers import RequestPointer, ResponsePointer
    from nango_py.json_types import JsonValue, Schema, Settings

Params: TypeAlias = tuple[tuple[str, str], ...]


class UnreadablePage(UnreadableValue):
    """A page that cannot be understood. The text says what was found and what was expected."""


class Page(Protocol):
    """The part of a response, and of its request, that paginators read."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The response headers, case-insensitive."""

    @property
    def status_code(self) -> int:
        """The HTTP status."""

    @property
    def records_so_far(self) -> int:
        """The number of records of the walk, this page included."""

    @property
    def largest_page(self) -> int:
        """The number of records of the longest page of the walk."""

    def json(self) -> JsonValue:
        """The parsed body; None for a response that has no body, such as 204."""

    def request_value(self, pointer: RequestPointer) -> object:
        """The value at a pointer in the request for this page; None if there is none."""


@record
class NextRequest:
    """What the request for a page has, and the first request of the call has not.

    Attributes:
        url: the URL of the page, absolute or relative; the rest is for lists without such links.
        params: parameters to set, where those of the kind go.
        changes: values to set, each with its pointer.
        path: another path below the base URL. The request then has none of the call's parameters and body.
        method: another method.
        phrases: numbers in the text of a parameter: its name, the word before the number, and the number.
    """

    url: str = ""
    params: tuple[tuple[str, JsonValue], ...] = ()
    changes: tuple[tuple[RequestPointer, JsonValue], ...] = ()
    path: str = ""
    method: str = ""
    phrases: tuple[tuple[str, str, int], ...] = ()


class Paginator:
    """One kind of pagination. Subclasses are records whose fields are the keys of the `pagination:` block.

    Attributes:
        records_path: JMESPath to the list of records; "" if the body itself is the list.
        size: the page size: its place in the request, the `value` to request, and the `max` of the API.
        limit_param, limit: the older form of `size`.
        has_more: pointer to the flag for more pages; "" if the API has none.
        empty_statuses: statuses that stand for an empty page.
        params_in: `query` or `body`; "" for the body of calls with a JSON object, else the query.
        relative_to: `base_url` if relative links are; "" for the URL of the page, as in RFC 3986.
        param, to, phrase: for kinds that count: the place of the number, and the word before it.
        start: for kinds that count: the first number.
    """

    __slots__ = ()

    name: ClassVar[str]
    """The `kind` of a blueprint's `pagination:` block."""

    config_schema: ClassVar[Schema]
    """JSON Schema of the other keys of the block."""

    example_config: ClassVar[Settings]
    """Valid settings, used by the contract tests and the docs."""

    counts_records: ClassVar[bool] = False
    """Whether an empty page ends the list, so that records must be found to know where it ends."""

    records_path: str = ""
    size: Settings = NOTHING
    limit_param: str = ""
    limit: int = 0
    has_more: ResponsePointer = ""
    empty_statuses: tuple[int, ...] = ()
    params_in: str = ""
    relative_to: str = ""
    param: str = ""
    to: RequestPointer = NOTHING
    phrase: str = ""
    start: int = 0

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The paginator for a validated `pagination:` block."""
        values = {cls.yaml_names().get(key, key): value for key, value in settings.items()}
        return cls(**{name: values[name] for name in field_names(cls) if name in values})

    @classmethod
    def yaml_names(cls) -> dict[str, str]:
        """Field names of the YAML keys that have a different name."""
        return {"records": "records_path", "next": "next_path", "cursor": "cursor_path"}

    @property
    def max_size(self) -> int:
        """The largest page that the API returns; 0 if that is not known."""
        maximum: int = self.size.get("max", 0)
        return maximum

    @property
    def default_size(self) -> int:
        """The page size to request; 0 if the block has none."""
        size: int = self.size.get("value") or self.max_size or self.limit
        return size

    @property
    def has_size(self) -> bool:
        """Whether the block names the place of the page size."""
        return bool(self.size or self.limit_param)

    def with_size(self, size: int) -> NextRequest:
        """What the first request has, unless the caller sets it: the page size; nothing if it is 0."""
        if not size or not self.has_size:
            return NextRequest()
        place, name = place_of(self.size) if self.size else ("param", self.limit_param)
        if "phrase" in self.size:
            return NextRequest(phrases=((name, self.size["phrase"], size),))
        if place == "param":
            return NextRequest(params=((name, size),))
        return NextRequest(changes=(({place: name}, size),))

    def number(self, page: Page, params: Params, default: int) -> int:
        """The number in the request for a page, for kinds that count."""
        if self.phrase:
            number = find_phrase(dict(params).get(self.param, ""), self.phrase)
            return default if number is None else number
        if not self.to:
            return int_param(params, self.param, default)
        found = page.request_value(self.to)
        return int_param((("", "" if found is None else str(found)),), "", default)

    def with_number(self, number: int) -> NextRequest:
        """The request with another number, for kinds that count."""
        if self.phrase:
            return NextRequest(phrases=((self.param, self.phrase, number),))
        if not self.to:
            return NextRequest(params=((self.param, number),))
        return NextRequest(changes=((self.to, number),))

    def records(self, page: Page) -> list[JsonValue]:
        """The records of one page; [] if there is no list.

        Raises:
            UnreadablePage: there is something else where the list should be.
        """
        return self.find_records(page) or []

    def find_records(self, page: Page) -> list[JsonValue] | None:
        """The records of one page; None if the page has no list, as some APIs leave empty lists out.

        Raises:
            UnreadablePage: there is something else where the list should be, or an error instead of it.
        """
        body = page.json()
        found = search_json(self.records_path, body) if self.records_path else body
        if isinstance(found, list):
            if not found:
                _check_for_errors(body, ERROR_KEYS)
            return found
        is_left_out = found is None and (body is None or isinstance(body, dict))
        has_empty_list = isinstance(body, dict) and any(value == [] for value in body.values())
        if is_left_out or found == {} or (found is body and has_empty_list):
            _check_for_errors(body, ERROR_KEYS if has_empty_list else ERROR_KEYS + MESSAGE_KEYS)
            return [] if has_empty_list or found == {} else None
        if found is None and body == []:
            return []
        if found is None:
            raise UnreadablePage(f"there is no list at {self._where()}: the body is {describe(body)}")
        raise UnreadablePage(f"{self._where()} is {describe(found)}; expected a list")

    def _where(self) -> str:
        return f'pagination.records "{printable(self.records_path)}"' if self.records_path else "the body"

    def suggest_records_paths(self, page: Page) -> tuple[str, ...]:
        """The paths of other lists in the response if there is none at `records`, for the error message."""
        body = page.json()
        found = search_json(self.records_path, body) if self.records_path else body
        is_missing = found is None or (found is body and not isinstance(body, list))
        return tuple(find_lists(body)) if is_missing else ()

    def request_after(self, page: Page, params: Params) -> NextRequest | None:
        """The request after the one with `params`, whose response is `page`; None after the last page.

        Raises:
            UnreadablePage: the page does not say how the list goes on.
        """
        more = self.says_more(page)
        if more is False:
            return None
        target = self.next_request(page, params)
        if target is None and more:
            flag = describe_pointer(self.has_more)
            raise UnreadablePage(f"pagination.has_more {flag} is true, but no next page is named")
        return target

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The request after the one with `params`, without regard to `has_more`; None after the last page."""
        raise TypeError(f"{type(self).__name__} does not implement next_request()")

    def says_more(self, page: Page) -> bool | None:
        """Whether the API's flag says that there are more pages; None if there is no flag.

        Raises:
            UnreadablePage: the flag is neither true nor false.
        """
        return read_flag(self.has_more, page) if self.has_more else None


JSON_PATH: Schema = {"type": "string", "format": "jmespath"}
POINTER: Schema = {"$ref": "#/$defs/response_pointer"}
TO_SCHEMA: Schema = {"$ref": "#/$defs/request_pointer"}
RECORDS_SCHEMA: Schema = {**JSON_PATH, "description": "JMESPath to the list of records"}
HAS_MORE_SCHEMA: Schema = {**POINTER, "description": "pointer to the flag for more pages"}
TOTAL_SCHEMA: Schema = {**POINTER, "description": "pointer to the number of records of all pages"}
SIZE_SCHEMA: Schema = {
    "$ref": "#/$defs/page_size",
    "description": "the page size: its param, header or body path, the value to request, and the API's max",
}
RELATIVE_TO_SCHEMA: Schema = {
    "enum": ["base_url"],
    "description": "what relative links are relative to; by default the URL of the page",
}
EMPTY_STATUSES_SCHEMA: Schema = {
    "type": "array",
    "items": {"type": "integer", "minimum": 200, "maximum": 499},
    "description": "statuses that mean an empty page: 200 without a body, or an error after the last page",
}
PARAMS_IN_SCHEMA: Schema = {
    "enum": ["query", "body"],
    "description": "where paging parameters go; by default in the JSON object of a call that has one, "
    "else in the query",
}
COMMON_SCHEMA: Mapping[str, Schema] = {
    "size": SIZE_SCHEMA,
    "empty_statuses": EMPTY_STATUSES_SCHEMA,
    "records": RECORDS_SCHEMA,
}
"""The keys of every kind."""
COUNTING_SCHEMA: Mapping[str, Schema] = {
    "param": {"type": "string", "description": "parameter for the number"},
    "to": {**TO_SCHEMA, "description": "place of the number, instead of param"},
    "phrase": {
        "$ref": "#/$defs/phrase",
        "description": "word before the number, if param is a query in a language such as SQL",
    },
    "limit_param": {"type": "string", "description": "older form of size: parameter for the page size"},
    "limit": {"type": "integer", "minimum": 1, "description": "older form of size: page size to request"},
    "has_more": HAS_MORE_SCHEMA,
    "total": TOTAL_SCHEMA,
    "params_in": PARAMS_IN_SCHEMA,
    **COMMON_SCHEMA,
}
"""The keys of kinds whose requests hold a number."""

ERROR_KEYS = ("error", "errors", "errormessage", "errordescription")
MESSAGE_KEYS = ("fault", "message", "detail", "exception")
"""Members that describe an error. Names are compared in small letters, without `_`."""
ERROR_CODES = frozenset({"errorcode", "errcode"})
"""Members whose number is 0 unless the response is an error."""
FAILURES: Mapping[str, tuple[str, ...]] = {
    "ok": ("false",),
    "success": ("false",),
    "status": ("error", "fail", "failed", "failure"),
}
"""Members that say that a response with status 200 is an error, and the values that say so."""


def _check_for_errors(body: JsonValue, keys: tuple[str, ...]) -> None:
    """Raise if a page without records has an error instead of them."""
    for name, value in body.items() if isinstance(body, dict) else ():
        key = name.lower().replace("_", "")
        text = str(value).strip().lower() if isinstance(value, bool | str | int) else None
        if key in keys:
            is_error = any(value.values()) if isinstance(value, dict) else value and text not in NO_ERROR
        elif key in ERROR_CODES:
            is_error = text is not None and text.lstrip("-").isdecimal() and text.strip("-0") != ""
        else:
            is_error = isinstance(value, bool | str) and text in FAILURES.get(key, ())
        if is_error:
            raise UnreadablePage(f"there are no records, but {printable(name, 40)} is {describe(value)}")


def find_lists(body: JsonValue, prefix: str = "") -> Iterator[str]:
    """The paths of lists of objects, at most two names deep; "@" is the body itself."""
    if isinstance(body, list) and body and isinstance(body[0], dict):
        yield prefix or "@"
    elif isinstance(body, dict) and "." not in prefix:
        for name, value in body.items():
            yield from find_lists(value, f"{prefix}.{name}" if prefix else name)


def describe(value: JsonValue) -> str:
    """A JSON value for an error message: short texts and numbers as they are, the keys of an object."""
    if isinstance(value, dict):
        keys = ", ".join(f'"{printable(key, 40)}"' for key in list(value)[:5])
        return f"an object with {keys}{', ...' if len(value) > 5 else ''}" if value else "an empty object"  # noqa: PLR2004
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return f'the text "{printable(value, 60)}"'
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else f"the number {value}"


def read_flag(pointer: ResponsePointer, page: Page) -> bool | None:
    """The flag at a pointer; None if it is absent, null or an empty text.

    Raises:
        UnreadablePage: it is neither a boolean, nor a number, nor such a text.
    """
    value = read_response(pointer, page)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value >= 0:
        return value > 0
    text = value.strip().lower() if isinstance(value, str) else "?"
    if text in TRUE or text in FALSE:
        return text in TRUE
    if not text:
        return None
    raise UnreadablePage(f"{describe_pointer(pointer)} is {describe(value)}; expected true or false")


TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
FALSE = frozenset({"false", "f", "no", "n", "off", "0"})
NO_ERROR = FALSE | {"none", "null"}


def read_count(pointer: ResponsePointer, page: Page) -> int | None:
    """The whole number at a pointer, also as text or as 2.0; None if it is absent, null or an empty text.

    Raises:
        UnreadablePage: it is something else, or negative.
    """
    value = read_response(pointer, page)
    if value is None:
        return None
    text = "" if isinstance(value, bool | list | dict) else str(value).strip()
    if isinstance(value, str) and not text:
        return None
    if _WHOLE_NUMBER.fullmatch(text):
        return int(text.partition(".")[0])
    raise UnreadablePage(f"{describe_pointer(pointer)} is {describe(value)}; expected a whole number")


_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}(?:\.0+)?")


def next_url(pointer: ResponsePointer, page: Page) -> str:
    """The URL at a pointer, or in the `href` of a link object there; "" if it is "", false, null or absent.

    Raises:
        UnreadablePage: there is something else, such as a number.
    """
    found = read_response(pointer, page)
    url = found.get("href") if isinstance(found, dict) and found else found
    if (url is None and found is None) or url is False or (isinstance(url, str) and not url.strip()):
        return ""
    if isinstance(url, str):
        _check_text(url, "next link")
        is_header = not isinstance(pointer, str) and "header" in pointer
        return (quote_bytes(url) if is_header else url).strip()
    raise UnreadablePage(f"{describe_pointer(pointer)} is {describe(found)}; expected a URL")


def next_token(pointer: ResponsePointer, page: Page) -> JsonValue:
    """The token of the next page at a pointer; None if it is "", 0, false, null or absent.

    Raises:
        UnreadablePage: it is true.
    """
    token = read_response(pointer, page)
    if token is None or token in ("", 0):
        return None
    if token is True:
        raise UnreadablePage("the cursor is true; expected a text or a number")
    return token


def _check_text(text: str, what: str) -> None:
    if has_surrogate(text):
        raise UnreadablePage(f"the {what} has half of a surrogate pair, which UTF-8 cannot encode")


def parameter_text(value: JsonValue) -> str:
    """A cursor as the text of a query parameter.

    Raises:
        UnreadablePage: it is a list, an object, or a number that has lost digits.
    """
    if isinstance(value, str):
        _check_text(value, "cursor")
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and abs(value) < MAX_EXACT:
        text = str(int(value)) if value.is_integer() else repr(value)
        if sum(map(str.isdigit, text)) <= MAX_DIGITS:
            return text
    raise UnreadablePage(f"the cursor is {describe(value)}; expected a text or a whole number")


# A binary64 number keeps every decimal of up to 15 digits.
MAX_DIGITS = 15
MAX_EXACT = 1e15


def find_phrase(text: str, word: str) -> int | None:
    """The number after a word in a text; None if the text does not have it."""
    found = _phrase(word).search(text)
    return int(found[1]) if found else None


def put_phrase(text: str, word: str, number: int) -> str:
    """The text with another number after a word, which is added at the end if it is not there."""
    if find_phrase(text, word) is None:
        return f"{text.rstrip()} {word} {number}"
    return _phrase(word).sub(f"{word} {number}", text)


def _phrase(word: str) -> re.Pattern[str]:
    return re.compile(rf"\b{re.escape(word)}\s+([0-9]{{1,18}})\b", re.IGNORECASE)


def int_param(params: Params, name: str, default: int) -> int:
    """The value of an integer parameter."""
    value = dict(params).get(name, "")
    return int(value) if value.isascii() and value.isdigit() else default
