"""The walk over the pages of a list. Each page is a call, and no link leads out of the API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nango_py.attempt import CallRecord
from nango_py.config.pointers import UnreadableValue, read_request
from nango_py.engine.call_arguments import check_call
from nango_py.engine.graphql import with_safety
from nango_py.engine.page_changes import check_changes
from nango_py.engine.page_request import PageRequests
from nango_py.engine.page_state import ListId, Place, Repeats, digest, digest_records, from_state, to_state
from nango_py.engine.response_body import is_xml, list_names, read_body
from nango_py.errors import (
    ConfigError,
    InvalidRequest,
    Position,
    Problem,
    ProviderError,
    RequestFailed,
    printable,
)
from nango_py.pagination.base import UnreadablePage
from nango_py.secret import mask_rare, mask_secrets, without_frames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.config.pointers import RequestPointer
    from nango_py.connections.connection import Connection
    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.engine.call_arguments import Call
    from nango_py.engine.graphql import GraphQLList
    from nango_py.engine.page_request import SentPage
    from nango_py.engine.paging_options import WalkOptions
    from nango_py.engine.plan import Plan
    from nango_py.engine.runtime import IntegrationRuntime
    from nango_py.json_types import JsonObject
    from nango_py.transport.response import Response

Fingerprints = tuple[tuple[str, int], ...]
Seen = tuple[int, frozenset[str], Fingerprints, Fingerprints]

NO_CONTENT = frozenset({204, 205})
MAX_EMPTY_PAGES = 100
"""Pages in a row without a record after which a walk ends in an error."""


class ParsedPage:
    """A response whose JSON is parsed once, however often it is used; see `pagination.base.Page`.

    Attributes:
        before: the place in the list at which the page begins.
        sent_page: its request.
        seen: what is known after it: the last four attributes of a `Place`.
        records_so_far, largest_page: of the list, this page included.
    """

    __slots__ = (
        "_after", "_body", "_is_parsed", "_walk", "before", "largest_page", "records",
        "records_so_far", "response", "seen", "sent_page",
    )  # fmt: skip

    def __init__(
        self,
        walk: PageWalk,
        before: Place,
        sent_page: SentPage,
        response: Response,
        *,
        is_empty: bool,
    ) -> None:
        self.response = response
        self.before = before
        self.sent_page = sent_page
        self.records: list[Any] = []
        self.records_so_far = self.largest_page = 0
        self.seen: Seen = (before.empty_pages, before.keys, before.requests, before.contents)
        self._walk = walk
        self._after: Place | None = None
        self._is_parsed = is_empty
        self._body: Any = None

    @property
    def plan(self) -> Plan:
        """The request for this page."""
        return self.sent_page.plan

    @property
    def headers(self) -> Mapping[str, str]:
        """The response's headers."""
        return self.response.headers

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        return self.response.status_code

    def request_value(self, pointer: RequestPointer) -> object:
        """The value at a pointer in the request for this page; None if there is none."""
        return read_request(pointer, self.sent_page)

    def json(self) -> Any:
        """The body as JSON or XML; None for an empty page.

        Raises:
            UnreadablePage: it is neither.
        """
        if self._is_parsed:
            return self._body
        problem = ""
        try:
            self._body = read_body(self.response, self._walk.list_names)
        except ValueError:
            problem = self._describe_body()
        if problem:
            raise UnreadablePage(problem)
        self._is_parsed = True
        return self._body

    def _describe_body(self) -> str:
        response = self.response
        if not response.content:
            return "the body is empty; expected JSON (pagination.empty_statuses can declare an empty page)"
        kind = printable(response.headers.get("Content-Type") or "no content type", 60)
        text = printable(response.content.lstrip()[:240].decode("utf-8", "replace"), 60)
        hint = "; XML needs the extra xml" if is_xml(kind) else ""
        return f"the body is not JSON: {kind}, {len(response.content)} bytes, {text}{hint}"

    @property
    def after(self) -> Place:
        """The place in the list after this page.

        Raises:
            RequestFailed: the page does not say how the list goes on, or its link leads out of the API.
        """
        if self._after is None:
            changes, pages = self._walk.changes_after(self), self.before.pages + 1
            self._after = Place(changes, pages, self.records_so_far, self.largest_page, *self.seen)
        return self._after

    def state(self, read: int | None = None) -> JsonObject:
        """Where to go on after this page, or after the first `read` records of it, as JSON without secrets.

        Raises:
            RequestFailed: the page does not say how the list goes on, or the next link holds a credential.
        """
        if read is not None and read < len(self.records):
            return self._walk.state_at(self.before, read)
        return self._walk.state_at(self.after)


class PageWalk:
    """Where a walk over pages is, and how it goes on.

    Args:
        runtime: the integration's configuration, for the whole walk.
        call: the caller's request.
        connection: whose list it is.
        options: where the walk begins and ends.
        reads_records: False if the caller wants responses, and records only matter to find the last one.
        of_graphql: which list of a GraphQL API it is; None for other calls.

    Attributes:
        skip: how many records of the first page were read before, by a walk that this one goes on with.
        last_call: what `explain()` reports.

    Raises:
        ConfigError: the blueprint has no pagination, or `options.pagination` is wrong.
        InvalidRequest: an argument has the wrong type, the state is one of another list, or the page size is
            not possible.
    """

    def __init__(
        self,
        runtime: IntegrationRuntime,
        call: Call,
        connection: Connection,
        options: WalkOptions,
        *,
        reads_records: bool = True,
        of_graphql: GraphQLList | None = None,
    ) -> None:
        check_call(call)
        self.runtime = runtime
        self.call = call
        self.of_graphql = of_graphql
        self.options = options
        self._paginator = paginator = runtime.paginator_for(call, connection, options.pagination, of_graphql)
        self.list_names = list_names(paginator.records_path)
        self._reads_records = reads_records or paginator.counts_records or options.max_records is not None
        self._requests = PageRequests(call, paginator, options.page_size)
        self._list = ListId.of(runtime.integration.name, connection.user_id, paginator.name, call)
        self._start, self.skip = Place(self._requests.first), 0
        if options.state is not None:
            self._start, self.skip = from_state(options.state, self._list)
            check_changes(self._start.changes or {}, paginator, call)
        self._seen, self._contents = Repeats(self._start.requests), Repeats(self._start.contents)
        self._first_keys = self._start.keys
        self._page: ParsedPage | None = None
        self._sent: SentPage | None = None
        self._started_at = 0.0
        self.last_call = CallRecord()

    @property
    def place(self) -> Place:
        """The place after the last page that was read.

        Raises:
            RequestFailed: that page does not say how the list goes on, or its link leads out of the API.
        """
        return self._start if self._page is None else self._page.after

    def has_next(self) -> bool:
        """Whether to request another page.

        Raises:
            RequestFailed: the last page does not say how the list goes on, or its link leads out of the API.
        """
        options, page, now = self.options, self._page, self.runtime.clock.monotonic()
        if page is None:
            self._started_at = now
            return self.place.changes is not None and options.max_pages != 0 and options.max_records != 0
        read, pages = page.records_so_far, page.before.pages + 1
        is_over = (
            (options.max_pages is not None and pages - self._start.pages >= options.max_pages)
            or (options.max_records is not None and read - self.first_record >= options.max_records)
            or (options.max_seconds is not None and now - self._started_at >= options.max_seconds)
        )
        return not is_over and self.place.changes is not None

    @property
    def first_record(self) -> int:
        """How many records of the list were read before this walk."""
        return self._start.records + self.skip

    def plan(self, settings: BoundRequestSettings) -> Plan:
        """The request for the next page.

        Raises:
            InvalidRequest: its URL is on another host.
            RequestFailed: that page was read already.
        """
        place = self.place
        changes = place.changes or {}
        plan, self._sent = self._requests.plan(changes, settings)
        host = plan.url[: plan.url.find("/", len("https://"))]
        body = plan.body if isinstance(plan.body, bytes) else b""
        fingerprint = digest(
            f"{plan.method} {host} {plan.endpoint} {plan.pairs} {changes.get('header')}".encode() + body
        )
        if self.of_graphql is not None:
            plan = with_safety(plan, self.of_graphql.document)
        if self._seen.find(fingerprint, place.pages + 1):
            text = (
                f"/{plan.masked_endpoint()}: the link to the next page leads to a page that was read already"
            )
            raise RequestFailed(text, plan=plan, response=self._page.response if self._page else None)
        return plan

    def accepts(self, response: Response) -> bool:
        """Whether an error response stands for an empty page: not for the first, which may be misspelt."""
        return self.place.pages > 0 and response.status_code in self._paginator.empty_statuses

    def add_page(self, response: Response) -> ParsedPage:
        """Take in the response to the last plan.

        Raises:
            ConfigError: the first page has records, but not where the blueprint says.
            ProviderError: the page cannot be understood, or is the same as an earlier one.
        """
        before, last, status, empty_pages = self.place, self._page, response.status_code, 0
        is_declared = status in self._paginator.empty_statuses and (status >= 300 or not response.content)  # noqa: PLR2004 - RFC 9110 section 15
        assert self._sent is not None  # noqa: S101 - by `plan`
        page = ParsedPage(self, before, self._sent, response, is_empty=is_declared or status in NO_CONTENT)
        self._page = page
        problem = ""
        try:
            if self._reads_records:
                page.records = self._read_records(page)
            empty_pages = 0 if page.records else before.empty_pages + 1
            self._check_progress(page, empty_pages)
            self._check_overlap(page, last)
        except UnreadableValue as error:
            problem = str(error)
        if problem:
            raise self._error(page, problem)
        page.records_so_far = len(page.records) + before.records
        page.largest_page = max(len(page.records), before.largest_page)
        page.seen = (empty_pages, self._first_keys, self._seen.snapshot(), self._contents.snapshot())
        return page

    def _read_records(self, page: ParsedPage) -> list[Any]:
        is_first = page.before.pages == 0
        paths = self._paginator.suggest_records_paths(page) if is_first else ()
        if paths:
            raise self._records_error(paths)
        found = self._paginator.find_records(page)
        body = page.json()
        keys = frozenset(body) if isinstance(body, dict) else frozenset()
        if is_first:
            self._first_keys = keys
        if found is None and keys:
            code, message = self.runtime.read_error(page.response, page.plan)
            if code or message or not keys & self._first_keys:
                raise UnreadablePage(
                    f"there are no records; the page has {', '.join(sorted(keys)[:5])}"
                    + (f" ({code or message})" if code or message else "")
                )
        return found or []

    def _records_error(self, paths: tuple[str, ...]) -> ConfigError:
        path = self._paginator.records_path
        expected = f'pagination.records "{path}"' if path else "the body"
        found = ", ".join(map(printable, paths[:5]))
        what = f"{expected} is not a list in this response; there is one at {found}"
        help_ = "set pagination.records in the blueprint or the entry; append ` || `[]`` if it may be absent"
        return ConfigError([Problem(Position(self.runtime.integration.name), "E502", what, help=help_)])

    def _check_progress(self, page: ParsedPage, empty_pages: int) -> None:
        """Raise if the API repeats a page, or sends nothing but empty ones."""
        if self._reads_records and empty_pages >= MAX_EMPTY_PAGES:
            raise UnreadablePage(f"{MAX_EMPTY_PAGES} pages in a row are empty, and the list goes on")
        content = page.response.content
        fingerprint = digest_records(page.records) if self._reads_records else digest(content)
        has_content = bool(page.records) if self._reads_records else content not in {b"", b"[]"}
        earlier = self._contents.find(fingerprint, page.before.pages + 1) if has_content else 0
        if earlier:
            raise UnreadablePage(
                f"it is the same as page {earlier}: the API ignores the parameters for the next page, or "
                "repeats its last page (then pagination.has_more, total_pages or total must show the end)"
            )

    def _check_overlap(self, page: ParsedPage, last: ParsedPage | None) -> None:
        """Raise if offsets count records that are not sent, so that a page repeats records of the last one.

        Only after a page that was shorter than requested: a record that is added to the list during the walk
        moves the others too.
        """
        if last is None or not last.records or self._paginator.name != "offset":
            return
        size = self._requests.size_of(page.sent_page)
        if len(last.records) < size and any(
            isinstance(one, dict) and one in last.records for one in page.records[: len(last.records)]
        ):
            raise UnreadablePage(
                "it repeats records of the page before: the offset counts records that are not sent"
            )

    def changes_after(self, page: ParsedPage) -> JsonObject | None:
        """What the request after a page changes; None after the last page.

        Raises:
            InvalidRequest: the next page is on another host.
            ProviderError: the page does not say how the list goes on.
        """
        failed: RequestFailed
        try:
            return self._changes_after(page)
        except UnreadableValue as error:
            failed = self._error(page, str(error))
        except InvalidRequest as error:
            # The frames below hold the link, which may hold a credential; error trackers print frames.
            failed = error.with_traceback(None)
        raise failed

    def _changes_after(self, page: ParsedPage) -> JsonObject | None:
        """What the request for the next page changes. URLs stay in this frame."""
        sent = page.sent_page
        target = self._paginator.request_after(page, self._requests.params(sent))
        if target is None:
            return None
        link = self._requests.stored_link(sent, target.url) if target.url else ""
        return self._requests.next_changes(page.before.changes or {}, target, link)

    @without_frames
    def state_at(self, place: Place, read: int = 0) -> JsonObject:
        """A place as JSON.

        Raises:
            RequestFailed: the next request holds a credential, which a state must not hold.
        """
        secrets = self._sent.plan.settings.secrets if self._sent else ()
        shown = json.dumps(place.changes)
        if mask_rare(shown, secrets) != shown:
            raise RequestFailed("the request for the next page holds a credential, so it has no state")
        return to_state(place, self._list, read)

    @property
    def start_state(self) -> JsonObject:
        """The state before the first page of this walk."""
        return to_state(self._start, self._list, self.skip)

    def _error(self, page: ParsedPage, problem: str) -> ProviderError:
        """The error for a page that cannot be understood."""
        plan, response = page.plan, page.response
        return ProviderError(
            f"{self.runtime.integration.name} /{plan.masked_endpoint()}: page {page.before.pages + 1} cannot "
            f"be used: {mask_secrets(problem, plan.settings.secrets)}",
            status=response.status_code,
            plan=plan, attempts=response.attempts, response=response,
            call_id=response.attempts[-1].call_id if response.attempts else "",
        )  # fmt: skip
