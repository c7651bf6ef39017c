"""Generated responses: pages of records, and an echo of the request."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from nango_py.sandbox.documents import plain_pointer, set_at

if TYPE_CHECKING:
    from nango_py.json_types import JsonValue, Settings
    from nango_py.sandbox.responses import ApiResponses, SandboxResponse
    from nango_py.sandbox.routes import SandboxRequest

_PAGE_PARAM = "page[cursor]"
_RECORDS_PER_PAGE = 3


class GeneratedPages:
    """Pages of three records for one path.

    Args:
        settings: the merged settings; `pagination` is used.
        responses: encodes the pages.
        last: the number of pages.
    """

    def __init__(self, settings: Settings, responses: ApiResponses, last: int) -> None:
        self._pagination: Settings = settings.get("pagination") or {}
        self._responses = responses
        self._last = last

    def __call__(self, request: SandboxRequest) -> SandboxResponse:
        """The page that a request asks for."""
        text = request.params.get(_PAGE_PARAM, "1")
        page = int(text) if text.isdecimal() else 1
        kind = request.path.rsplit("/", 1)[-1]
        numbers = range((page - 1) * _RECORDS_PER_PAGE + 1, page * _RECORDS_PER_PAGE + 1)
        records: list[JsonValue] = [{"type": kind, "id": str(number)} for number in numbers]
        link = None
        if page < self._last:
            query = urlencode({**request.params, _PAGE_PARAM: str(page + 1)})
            link = f"{request.base_url}{request.path}?{query}"
        found = records if page <= self._last else []
        document = set_at(None, plain_pointer(self._pagination.get("records"), "data"), found)
        pointer = plain_pointer(self._pagination.get("next"), "links.next")
        return self._responses.json(set_at(document, pointer, link))


def generate_response(
    request: SandboxRequest, settings: Settings, responses: ApiResponses
) -> SandboxResponse:
    """The response of a sandbox that is not strict to a path without a route: a last page, or an echo."""
    if request.method == "GET" and (settings.get("pagination") or {}).get("kind") == "next_url":
        return GeneratedPages(settings, responses, 1)(request)
    return responses.json({"method": request.method, "path": request.path, "number": request.number})
