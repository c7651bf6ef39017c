"""The base class of page servers: the other side of the paginators in `nango_py.pagination`.

They are written independently of the paginators, so that a bug in one of both is detected.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlencode

from nango_py.record import record
from nango_py.sandbox.documents import find_steps, set_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.json_types import JsonValue, Settings


class UnknownPageError(Exception):
    """A request for a page that does not exist. The text says why."""


@record
class ListRequest:
    """What page servers read of a request.

    Attributes:
        url: of the list, without a query.
        params: the query.
        headers: by lower-case name.
        body: the JSON body, or the form as a mapping; None without either.
        segments: the values of `{name}` in the path of the list.
        path: below the base URL.
    """

    url: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: JsonValue
    segments: Mapping[str, str]
    path: str = ""


class PageDraft:
    """One page while it is made.

    Attributes:
        request: the request for it.
        document: the body.
        headers: of the response.
        records: those of the page.
        start: how many records precede them.
        size: how many records a page may have.
        total: how many records the list has.
    """

    def __init__(
        self,
        request: ListRequest,
        document: JsonValue,
        records: list[JsonValue],
        start: int,
        size: int,
        total: int,
    ) -> None:
        self.request = request
        self.document = document
        self.headers: dict[str, str] = {}
        self.records = records
        self.start = start
        self.size = size
        self.total = total

    @property
    def next_start(self) -> int | None:
        """How many records precede the next page; None on the last page."""
        following = self.start + len(self.records)
        return following if self.records and following < self.total else None

    def write(self, pointer: str | Settings, value: JsonValue) -> None:
        """Write a value where a response pointer of the blueprint reads it.

        Args:
            pointer: a JMESPath into the body, `{header: Name}` or `{link: rel}`; "" writes nothing.
            value: None stands for a value that is absent.

        Raises:
            ValueError: nothing can be written at the JMESPath.
        """
        if isinstance(pointer, str):
            if not pointer:
                return
            steps = find_steps(pointer)
            if steps is None:
                raise ValueError(f'the sandbox cannot write "{pointer}"; supply the list with respond()')
            self.document = set_at(self.document, steps, value)
        elif value is not None and "header" in pointer:
            self.headers[pointer["header"]] = str(value)
        elif value is not None and "link" in pointer:
            self.headers["Link"] = f'<{value}>; rel="{pointer["link"]}"'

    def url_with(self, changes: Mapping[str, str]) -> str:
        """The URL of the request with other parameters."""
        return f"{self.request.url}?{urlencode({**self.request.params, **changes})}"


class PageServer:
    """The server side of one kind of pagination. A kind is one file in this folder with one subclass.

    Args:
        settings: the `pagination:` block of the blueprint.
    """

    name: ClassVar[str]
    """The `kind` of the block."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def read_start(self, request: ListRequest, records: list[JsonValue], size: int) -> int:
        """How many records precede the page that a request asks for.

        Args:
            request: the request.
            records: those of the whole list.
            size: of the page.

        Raises:
            UnknownPageError: there is no such page.
        """
        raise NotImplementedError

    def mark(self, page: PageDraft) -> None:
        """Write into a page how the list goes on; its records are there already."""
        raise NotImplementedError

    def read_size(self, request: ListRequest, largest: int) -> int:
        """The number of records that a request asks for, at most `largest`.

        Raises:
            UnknownPageError: it is not a positive number.
        """
        size = self.settings.get("size") or {"param": self.settings.get("limit_param") or ""}
        text = self.read_at(request, size)
        if "phrase" in size:
            text = number_after(str(text or ""), size["phrase"])
        return largest if text is None else min(max(self.parse_number(text), 1), largest)

    def read_number(self, request: ListRequest) -> JsonValue:
        """The number of a kind that counts, from `to` or `param`; None if it is absent."""
        if "phrase" in self.settings:
            text = request.params.get(self.settings["param"], "")
            return number_after(text, self.settings["phrase"])
        return self.read_at(request, self.settings.get("to") or {"param": self.settings["param"]})

    def read_at(self, request: ListRequest, pointer: Settings) -> JsonValue:
        """The value at a request pointer; a parameter is where the kind has its own."""
        if "param" in pointer:
            return self.read_param(request, pointer["param"])
        if "header" in pointer:
            return request.headers.get(pointer["header"].lower())
        if "segment" in pointer:
            return request.segments.get(pointer["segment"])
        value: JsonValue = request.body
        for name in pointer["body"].split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def link(self, page: PageDraft, changes: Mapping[str, str]) -> str:
        """The URL of the request with other parameters, relative to the base URL if the block says so."""
        url = page.url_with(changes)
        return (
            url.replace(page.request.url, f"/{page.request.path}")
            if self.settings.get("relative_to")
            else url
        )

    def continuations(self, method: str, path: str) -> list[tuple[str, str]]:
        """Method and path of the requests for the next pages, with `{name}` for values that change."""
        return [(method, path)]

    def read_param(self, request: ListRequest, name: str) -> JsonValue:
        """A paging parameter, from where the block's `params_in` puts it; None if it is absent."""
        body = request.body if isinstance(request.body, dict) else {}
        place = self.settings.get("params_in") or ("body" if name in body else "query")
        if self.name == "next":
            place = "query"
        return body.get(name) if place == "body" else request.params.get(name)

    def parse_number(self, value: JsonValue) -> int:
        """A parameter as a whole number.

        Raises:
            UnknownPageError: it is something else.
        """
        text = str(value)
        if isinstance(value, bool) or not (text.isascii() and text.isdigit()):
            raise UnknownPageError(f"{text[:40]!r} is not a whole number")
        return int(text)


def number_after(text: str, phrase: str) -> JsonValue:
    """The word after a phrase in a query such as `... STARTPOSITION 1 MAXRESULTS 10`; None without it."""
    words = text.upper().split()
    wanted = phrase.upper().split()
    for index in range(len(words) - len(wanted)):
        if words[index : index + len(wanted)] == wanted:
            return words[index + len(wanted)]
    return None


def encode_cursor(start: int) -> str:
    """An opaque token for a place in a list; its characters have to be percent-encoded."""
    return base64.b64encode(f"after {start}".encode()).decode()


def decode_cursor(token: JsonValue) -> int:
    """The place of a token.

    Raises:
        UnknownPageError: the token is not from `encode_cursor`.
    """
    try:
        word, _, number = base64.b64decode(str(token), validate=True).decode().partition(" ")
    except (binascii.Error, ValueError):
        word = ""
    if word != "after":
        raise UnknownPageError(f"unknown cursor {str(token)[:40]!r}")
    return int(number)
