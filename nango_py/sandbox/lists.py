"""Lists of records, paged as the blueprint says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.pagination_merge import overlay_pagination
from nango_py.config.request_match import RequestFacts, RequestMatch
from nango_py.config.values import plain
from nango_py.json_path import search_json
from nango_py.registry import GENERAL_KIND, PAGE_SERVERS, UnknownPluginError
from nango_py.sandbox.documents import choose_alternative
from nango_py.sandbox.paging.base import ListRequest, PageDraft, UnknownPageError
from nango_py.sandbox.records import records_from_schema, vary_records
from nango_py.sandbox.routes import Route

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nango_py.json_types import JsonValue, Schema, Settings
    from nango_py.sandbox.paging.base import PageServer
    from nango_py.sandbox.responses import ApiResponses, SandboxResponse
    from nango_py.sandbox.routes import SandboxRequest

DEFAULT_PAGE_SIZE = 100


class ServedList:
    """Responds with the page of a list that a request asks for.

    Args:
        pagination: the `pagination:` block of the blueprint.
        name: the last segment of the path.
        envelope: the document that is sent around the records; None for no other members.
        records: those of the whole list.
        page_size: the largest page.
        responses: encodes the pages.

    Raises:
        ValueError: the sandbox cannot serve this block.
    """

    def __init__(
        self,
        pagination: Settings,
        name: str,
        envelope: JsonValue,
        records: list[JsonValue],
        page_size: int,
        responses: ApiResponses,
    ) -> None:
        self._pagination = pagination
        self._envelope = envelope
        self._records = records
        self._page_size = page_size
        self._responses = responses
        self._server = _server_of(pagination)
        path = pagination.get("records") or "@"
        self._records_path = choose_alternative(path, envelope, name)
        first = self._make_page(ListRequest("http://127.0.0.1/", {}, {}, None, {})).document
        if search_json(path, first) != records[: page_size if self._server.name != "single" else None]:
            raise ValueError(f'the sandbox cannot write records at "{path}"; supply the list with respond()')

    def __call__(self, request: SandboxRequest) -> SandboxResponse:
        """The page, or a 400 if there is no such page."""
        url = request.base_url + request.path
        asked = ListRequest(
            url, request.params, request.headers, request.content, request.path_params, request.path
        )
        try:
            page = self._make_page(asked)
        except UnknownPageError as error:
            return self._responses.error(400, "unknown_page", f"There is no such page: {error}.")
        return self._responses.json(page.document).with_headers(page.headers)

    def continuations(self, method: str, path: str) -> list[tuple[str, str]]:
        """Method and path of the requests for the pages after the first; see `PageServer`."""
        return self._server.continuations(method, path.strip("/"))

    def _make_page(self, request: ListRequest) -> PageDraft:
        size = self._server.read_size(request, self._page_size)
        start = self._server.read_start(request, self._records, size)
        records = self._records[start : start + size]
        total = len(self._records)
        page = PageDraft(request, self._envelope, records, start=start, size=size, total=total)
        page.write(self._records_path, records)
        self._server.mark(page)
        page.write(self._pagination.get("has_more") or "", page.next_start is not None)
        return page


def make_list(
    settings: Settings,
    path: str,
    records: int | Sequence[JsonValue],
    *,
    responses: ApiResponses,
    method: str = "GET",
    page_size: int = 0,
    schema: Schema | None = None,
    seed: int = 1,
) -> tuple[ServedList, list[JsonValue]]:
    """The list of a path, and its records; `nango_py.sandbox.Sandbox.paginate` documents the arguments."""
    path = path.strip("/")
    pagination = find_pagination(settings, method, path)
    name = path.rsplit("/", 1)[-1]
    envelope, example = find_example({**settings, "pagination": pagination}, method, path)
    if not isinstance(records, int):
        served = list(records)
    elif schema is not None:
        served = records_from_schema(schema, records, seed)
    elif example is not None:
        served = vary_records(example, records, seed)
    else:
        served = [{"type": name, "id": str(number)} for number in range(1, records + 1)]
    size = page_size or _size_of(pagination)
    return ServedList(pagination, name, envelope, served, size, responses), served


def _size_of(pagination: Settings) -> int:
    size = pagination.get("size") or {}
    return int(size.get("max") or size.get("value") or pagination.get("limit") or DEFAULT_PAGE_SIZE)


def _server_of(pagination: Settings) -> PageServer:
    kind = str(pagination.get("kind") or (GENERAL_KIND if pagination.get("next") else "single"))
    try:
        server: PageServer = PAGE_SERVERS.get(kind)(pagination)
    except UnknownPluginError:
        raise ValueError(
            f'the sandbox cannot page "{kind}": register a PageServer, or supply the pages with handle()'
        ) from None
    return server


def find_pagination(settings: Settings, method: str, path: str) -> Settings:
    """The `pagination:` block of a path: the blueprint's, with that of the first of `endpoints` that fits."""
    block: Settings = settings.get("pagination") or {}
    facts = RequestFacts(method.upper(), path)
    for entry in settings.get("endpoints") or ():
        if entry.get("pagination") and RequestMatch.from_settings(entry["match"]).fits(facts):
            return overlay_pagination(block, entry["pagination"])
    return block


def find_example(settings: Settings, method: str, path: str) -> tuple[JsonValue, JsonValue]:
    """The document of the blueprint's example for a list, and its first record; None for what it lacks."""
    records_path = (settings.get("pagination") or {}).get("records") or "@"
    for example in settings.get("examples") or ():
        call, document = example.get("call") or {}, (example.get("response") or {}).get("json")
        route = Route.of(str(call.get("method", "GET")), str(call.get("path", "")), lambda _: None)
        if document is None or route.method != method or not route.pattern.fullmatch(path):
            continue
        body: JsonValue = plain(document)
        found = search_json(records_path, body)
        if isinstance(found, list) and found:
            return body, found[0]
    return None, None
