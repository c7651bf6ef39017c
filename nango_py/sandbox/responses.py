"""What the sandbox answers: the blueprint's examples, errors in the API's own shape, plausible pages."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from nango_py.config.model import EnvironmentText

if TYPE_CHECKING:
    from collections.abc import Mapping

_POINTER = re.compile(r"[\w-]+(\[\d+\])*(\.[\w-]+(\[\d+\])*)*")
_STEP = re.compile(r"([\w-]+)|\[(\d+)\]")
_PAGE_PARAM = "page[cursor]"
_RECORDS_ON_A_PAGE = 3
_CLIENT_ERROR = 400
SHAPES = frozenset({401, 410, 429})
"""An example with one of these responses shows how the API refuses; it is not served for its path."""


@dataclass(frozen=True, slots=True)
class SandboxResponse:
    """One HTTP answer. Content-Length and Connection are added when it is sent."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @classmethod
    def of(
        cls, data: Any = None, *, status: int = 200, text: str = "", headers: Mapping[str, str] | None = None
    ) -> SandboxResponse:
        """A response with JSON, or with text when `data` is None."""
        given = dict(headers or {})
        if data is not None:
            content, kind = json.dumps(data, default=dict), "application/json"
        else:
            content, kind = text, "text/plain; charset=utf-8"
        if content and not any(name.lower() == "content-type" for name in given):
            given["Content-Type"] = kind
        return cls(status, tuple(given.items()), content.encode())

    def with_headers(self, more: Mapping[str, str]) -> SandboxResponse:
        """The response with headers added."""
        return replace(self, headers=(*self.headers, *more.items()))


class SandboxResponses:
    """The responses of one blueprint.

    Args:
        settings: the blueprint's merged tree; examples, errors, pagination and the Accept header are read.
        pages: path below the base path -> how many pages it has.
    """

    def __init__(self, settings: Mapping[str, Any], pages: Mapping[str, int] | None = None) -> None:
        self._pages = {path.strip("/"): count for path, count in (pages or {}).items()}
        self._errors: Mapping[str, Any] = settings.get("errors") or {}
        self._paging: Mapping[str, Any] = settings.get("pagination") or {}
        self._content_type = _content_type(settings)
        self._shapes: dict[int, SandboxResponse] = {}
        self._examples: dict[tuple[str, str], list[tuple[dict[str, str], SandboxResponse]]] = {}
        for example in settings.get("examples") or ():
            self._learn(example)

    def _learn(self, example: Mapping[str, Any]) -> None:
        told = example.get("response")
        if not told:
            return
        headers = {name: str(value) for name, value in (told.get("headers") or {}).items()}
        if told.get("json") is not None and "content-type" not in {name.lower() for name in headers}:
            headers["Content-Type"] = self._content_type
        response = SandboxResponse.of(
            told.get("json"),
            status=told.get("status", 200),
            text=str(told.get("text") or ""),
            headers=headers,
        )
        if response.status in SHAPES:
            self._shapes.setdefault(response.status, response)
            return
        call = example.get("call") or {}
        key = (str(call.get("method", "GET")).upper(), str(call.get("path", "")).strip("/"))
        params = {name: _param_text(value) for name, value in (call.get("params") or {}).items()}
        of_path = self._examples.setdefault(key, [])
        of_path.append((params, response))
        # The example that asks for most is tried first; among equals a success before an error.
        of_path.sort(key=lambda known: (-len(known[0]), known[1].status >= _CLIENT_ERROR))

    def to(
        self, method: str, endpoint: str, params: Mapping[str, str], number: int, base_url: str
    ) -> SandboxResponse:
        """The response to an accepted request.

        Args:
            method: in capitals.
            endpoint: the path below the base path.
            params: the parsed query.
            number: the request's number, echoed so that a test can tell answers apart.
            base_url: what next-page links begin with.
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
        if method == "GET" and self._paging.get("kind") == "next_url":
            return self._page(endpoint, params, base_url, 1)
        return self._json({"method": method, "path": endpoint, "number": number})

    def _page(self, endpoint: str, params: Mapping[str, str], base_url: str, last: int) -> SandboxResponse:
        asked = params.get(_PAGE_PARAM, "1")
        page = int(asked) if asked.isdecimal() else 1
        name = endpoint.strip("/")
        numbers = range((page - 1) * _RECORDS_ON_A_PAGE + 1, page * _RECORDS_ON_A_PAGE + 1)
        records = [{"type": name.rsplit("/", 1)[-1], "id": str(number)} for number in numbers]
        link = None
        if page < last:
            link = f"{base_url}{endpoint.lstrip('/')}?{urlencode({**params, _PAGE_PARAM: str(page + 1)})}"
        document: Any = None
        document = placed(
            document, _pointer(self._paging.get("records"), "data"), records if page <= last else []
        )
        document = placed(document, _pointer(self._paging.get("next"), "links.next"), link)
        return self._json(document)

    def error(self, status: int, code: str, message: str) -> SandboxResponse:
        """An error with this message and code where the blueprint's `errors` says that they stand."""
        fields = {"message": message, "code": code}
        document: Any = None
        for field, text in fields.items():
            pointer = _pointer(self._errors.get(field), "")
            if pointer:
                document = placed(document, pointer, text)
        return self._json(document or {"error": fields}, status)

    def refusal(self, status: int, code: str, message: str) -> SandboxResponse:
        """The blueprint's own example of a response with this status, or else an error of that shape."""
        return self._shapes.get(status) or self.error(status, code, message)

    def _json(self, data: Any, status: int = 200) -> SandboxResponse:
        return SandboxResponse.of(data, status=status, headers={"Content-Type": self._content_type})


def _pointer(expression: str | None, otherwise: str) -> str:
    """The first alternative of a JMESPath expression when it is a plain path."""
    first = (expression or "").split("||")[0].strip()
    return first if _POINTER.fullmatch(first) else otherwise


def placed(document: Any, pointer: str, value: Any) -> Any:
    """The document with the value put where a path such as `errors[0].detail` points; lists are filled up."""
    steps: list[str | int] = [int(index) if index else name for name, index in _STEP.findall(pointer)]
    top = document if document is not None else ([] if steps and isinstance(steps[0], int) else {})
    here = top
    for step, after in itertools.pairwise(steps):
        here = _entered(here, step, [] if isinstance(after, int) else {})
    _put(here, steps[-1], value)
    return top


def _entered(here: Any, step: str | int, fresh: Any) -> Any:
    if isinstance(step, int):
        here.extend({} for _ in range(step + 1 - len(here)))
        return here[step]
    return here.setdefault(step, fresh)


def _put(here: Any, step: str | int, value: Any) -> None:
    if isinstance(step, int):
        here.extend(None for _ in range(step + 1 - len(here)))
    here[step] = value


def _content_type(settings: Mapping[str, Any]) -> str:
    headers = (settings.get("requests") or {}).get("headers") or {}
    for name, value in headers.items():
        if (
            name.lower() == "accept"
            and not isinstance(value, EnvironmentText)
            and str(value).endswith("json")
        ):
            return str(value)
    return "application/json"


def _param_text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
