"""The responses of a sandbox: the blueprint's examples, errors in the API's format, and generated pages."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlencode

from nango_py.config.values import EnvironmentText
from nango_py.record import record, replaced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nango_py.json_types import JsonValue, Settings

    Document: TypeAlias = JsonValue | Mapping[str, object] | Sequence[object]

_POINTER = re.compile(r"[\w-]+(\[\d+\])*(\.[\w-]+(\[\d+\])*)*")
_STEP = re.compile(r"([\w-]+)|\[(\d+)\]")
_PAGE_PARAM = "page[cursor]"
_RECORDS_PER_PAGE = 3
_FIRST_ERROR = 400
REFUSALS = frozenset({401, 410, 429})
"""Examples with these statuses are templates for refusals and not served at their path."""


@record
class SandboxResponse:
    """An HTTP response. Content-Length and Connection are added when it is sent."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @classmethod
    def of(
        cls,
        data: Document = None,
        *,
        status: int = 200,
        text: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> SandboxResponse:
        """A response with JSON, or with text if `data` is None."""
        fields = dict(headers or {})
        if data is not None:
            content, content_type = json.dumps(data, default=dict), "application/json"
        else:
            content, content_type = text, "text/plain; charset=utf-8"
        if content and not any(name.lower() == "content-type" for name in fields):
            fields["Content-Type"] = content_type
        return cls(status, tuple(fields.items()), content.encode())

    def with_headers(self, headers: Mapping[str, str]) -> SandboxResponse:
        """The response with additional headers."""
        return replaced(self, headers=(*self.headers, *headers.items()))


class SandboxResponses:
    """The responses of one blueprint.

    Args:
        settings: the merged settings: examples, errors, pagination and the Accept header are used.
        pages: path below the base path -> number of pages.
    """

    def __init__(self, settings: Settings, pages: Mapping[str, int] | None = None) -> None:
        self._pages = {path.strip("/"): count for path, count in (pages or {}).items()}
        self._errors: Settings = settings.get("errors") or {}
        self._pagination: Settings = settings.get("pagination") or {}
        self._content_type = _content_type(settings)
        self._refusals: dict[int, SandboxResponse] = {}
        self._examples: dict[tuple[str, str], list[tuple[dict[str, str], SandboxResponse]]] = {}
        for example in settings.get("examples") or ():
            if example.get("response"):
                self._add_example(example.get("call") or {}, example["response"])

    def _add_example(self, call: Settings, declared: Settings) -> None:
        headers = {name: str(value) for name, value in (declared.get("headers") or {}).items()}
        if declared.get("json") is not None and "content-type" not in {name.lower() for name in headers}:
            headers["Content-Type"] = self._content_type
        response = SandboxResponse.of(
            declared.get("json"),
            status=declared.get("status", 200),
            text=str(declared.get("text") or ""),
            headers=headers,
        )
        if response.status in REFUSALS:
            self._refusals.setdefault(response.status, response)
            return
        key = (str(call.get("method", "GET")).upper(), str(call.get("path", "")).strip("/"))
        params = {name: _param_text(value) for name, value in (call.get("params") or {}).items()}
        examples = self._examples.setdefault(key, [])
        examples.append((params, response))
        # Examples with more parameters are tried first, and successes before errors.
        examples.sort(key=lambda example: (-len(example[0]), example[1].status >= _FIRST_ERROR))

    def find(
        self, method: str, endpoint: str, params: Mapping[str, str], number: int, base_url: str
    ) -> SandboxResponse:
        """The response to an accepted request.

        Args:
            method: in upper case.
            endpoint: the path below the base path.
            params: the parsed query.
            number: the number of the request, part of generated responses.
            base_url: the base of links to next pages.
        """
        path = endpoint.strip("/")
        if method == "GET" and path in self._pages:
            return self._page(endpoint, params, base_url, self._pages[path])
        examples = self._examples.get((method, path))
        if examples is None and method == "HEAD":
            examples = self._examples.get(("GET", path))
        for wanted, response in examples or ():
            if wanted.items() <= params.items():
                return response
        if method == "GET" and self._pagination.get("kind") == "next_url":
            return self._page(endpoint, params, base_url, 1)
        return self._json({"method": method, "path": endpoint, "number": number})

    def _page(self, endpoint: str, params: Mapping[str, str], base_url: str, last: int) -> SandboxResponse:
        text = params.get(_PAGE_PARAM, "1")
        page = int(text) if text.isdecimal() else 1
        kind = endpoint.strip("/").rsplit("/", 1)[-1]
        numbers = range((page - 1) * _RECORDS_PER_PAGE + 1, page * _RECORDS_PER_PAGE + 1)
        records: list[JsonValue] = [{"type": kind, "id": str(number)} for number in numbers]
        link = None
        if page < last:
            link = f"{base_url}{endpoint.lstrip('/')}?{urlencode({**params, _PAGE_PARAM: str(page + 1)})}"
        document = set_at(
            None, _plain_pointer(self._pagination.get("records"), "data"), records if page <= last else []
        )
        return self._json(set_at(document, _plain_pointer(self._pagination.get("next"), "links.next"), link))

    def error(self, status: int, code: str, message: str) -> SandboxResponse:
        """An error with the message and the code where the blueprint's `errors` expects them."""
        fields: dict[str, JsonValue] = {"message": message, "code": code}
        document: JsonValue = None
        for name, text in fields.items():
            pointer = _plain_pointer(self._errors.get(name), "")
            if pointer:
                document = set_at(document, pointer, text)
        return self._json(document or {"error": fields}, status)

    def refusal(self, status: int, code: str, message: str) -> SandboxResponse:
        """The blueprint's example with this status, or a generated error."""
        return self._refusals.get(status) or self.error(status, code, message)

    def _json(self, data: Document, status: int = 200) -> SandboxResponse:
        return SandboxResponse.of(data, status=status, headers={"Content-Type": self._content_type})


def _plain_pointer(expression: str | None, default: str) -> str:
    """The first alternative of a JMESPath expression if it is a plain path, else the default."""
    first = (expression or "").split("||")[0].strip()
    return first if _POINTER.fullmatch(first) else default


def set_at(document: JsonValue, pointer: str, value: JsonValue) -> JsonValue:
    """Set a value in a document at a path such as `errors[0].detail`, and return the document."""
    steps: list[str | int] = [int(index) if index else name for name, index in _STEP.findall(pointer)]
    top = document if document is not None else _container_for(steps[0])
    target = top
    for step, following in itertools.pairwise(steps):
        if isinstance(target, list) and isinstance(step, int):
            target.extend({} for _ in range(step + 1 - len(target)))
            target = target[step]
        elif isinstance(target, dict) and isinstance(step, str):
            target = target.setdefault(step, _container_for(following))
    last = steps[-1]
    if isinstance(target, list) and isinstance(last, int):
        target.extend(None for _ in range(last + 1 - len(target)))
        target[last] = value
    elif isinstance(target, dict) and isinstance(last, str):
        target[last] = value
    return top


def _container_for(step: str | int) -> JsonValue:
    return [] if isinstance(step, int) else {}


def _content_type(settings: Settings) -> str:
    headers = (settings.get("requests") or {}).get("headers") or {}
    for name, value in headers.items():
        is_text = name.lower() == "accept" and not isinstance(value, EnvironmentText)
        if is_text and str(value).endswith("json"):
            return str(value)
    return "application/json"


def _param_text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
