"""The walk over the pages of a list. Each page is a call, and no link leads out of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nango_py.engine.plan import move_to_url, with_json, with_new_idempotency_key
from nango_py.engine.request_encoding import encode_pairs, to_pairs
from nango_py.errors import (
    ConfigError,
    InvalidRequest,
    Position,
    Problem,
    ProviderError,
    RequestFailed,
    printable,
)
from nango_py.pagination.base import UnreadablePage, int_param, parameter_text
from nango_py.record import replaced
from nango_py.secret import mask_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.engine.call_arguments import Call
    from nango_py.engine.plan import Plan
    from nango_py.engine.runtime import IntegrationRuntime
    from nango_py.json_types import JsonValue
    from nango_py.pagination.base import NextRequest, Params
    from nango_py.transport.response import Response

NO_CONTENT = frozenset({204, 205})
MAX_EMPTY_PAGES = 100
"""Pages in a row without a record after which a walk ends in an error."""


class ParsedPage:
    """A response whose JSON is parsed once, however often it is used; see `pagination.base.Page`."""

    __slots__ = ("_body", "_is_parsed", "largest_page", "records", "records_so_far", "response")

    def __init__(self, response: Response, *, is_empty: bool) -> None:
        self.response = response
        self.records: list[Any] = []
        self.records_so_far = self.largest_page = 0
        self._is_parsed = is_empty
        self._body: Any = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The response's headers."""
        return self.response.headers

    def json(self) -> Any:
        """The body as JSON; None for an empty page.

        Raises:
            UnreadablePage: it is not JSON.
        """
        if self._is_parsed:
            return self._body
        problem = ""
        try:
            self._body = self.response.json()
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
        text = printable(response.content[:240].decode("utf-8", "replace").strip(), 60)
        return f"the body is not JSON: {kind}, {len(response.content)} bytes, {text}"


class PageWalk:
    """Where a walk over pages is, and how it goes on.

    Args:
        runtime: the integration's configuration, for the whole walk.
        call: the caller's request.
        max_pages: maximum number of pages.
        reads_records: False if the caller wants responses, and records only matter to find the last one.

    Raises:
        ConfigError: the blueprint has no pagination.
    """

    def __init__(
        self, runtime: IntegrationRuntime, call: Call, max_pages: int | None, *, reads_records: bool = True
    ) -> None:
        if runtime.paginator is None:
            help_ = "add pagination: {kind: ...} to the blueprint or the entry"
            place = Position(runtime.integration.name)
            raise ConfigError([Problem(place, "E501", "the blueprint has no pagination", help=help_)])
        self.runtime = runtime
        self._paginator = runtime.paginator
        self._max_pages = max_pages
        self._reads_records = reads_records or self._paginator.counts_records
        self._count = self._empty_pages = 0
        self._page: ParsedPage | None = None
        self._plan: Plan | None = None
        self._requests: set[int] = set()
        self._contents: dict[int, int] = {}
        self._first_keys: frozenset[str] = frozenset()
        call = replaced(call, stream=False)
        self._json = _paged_json(call, self._paginator.params_in)
        self.first_call = self._with_first_params(call)

    def _with_first_params(self, call: Call) -> Call:
        first = self._paginator.first_params()
        if self._json is not None:
            numbers = {name: int(text) if text.isdigit() else text for name, text in first}
            self._json = {**numbers, **self._json}
            return replaced(call, json=self._json)
        given = to_pairs(call.params)
        names = {name for name, _ in given}
        return replaced(call, params=tuple(pair for pair in first if pair[0] not in names) + given)

    @property
    def is_at_start(self) -> bool:
        """Whether no page has been requested yet."""
        return self._page is None

    @property
    def is_over(self) -> bool:
        """Whether the maximum number of pages is reached."""
        return self._max_pages is not None and self._count >= self._max_pages

    def accepts(self, response: Response) -> bool:
        """Whether an error response stands for an empty page: not for the first, which may be misspelt."""
        return self._page is not None and response.status_code in self._paginator.empty_statuses

    def add_page(self, plan: Plan, response: Response) -> ParsedPage:
        """Take in the response to a plan.

        Raises:
            ConfigError: the first page has records, but not where the blueprint says.
            ProviderError: the page cannot be understood, or is the same as an earlier one.
        """
        before, status = self._page, response.status_code
        self._count += 1
        self._plan = plan
        is_declared = status in self._paginator.empty_statuses and (status >= 300 or not response.content)  # noqa: PLR2004 - RFC 9110 section 15
        page = ParsedPage(response, is_empty=is_declared or status in NO_CONTENT)
        self._page = page
        problem = ""
        try:
            if self._reads_records:
                page.records = self._read_records(page)
            self._check_progress(page)
            self._check_overlap(page, before)
        except UnreadablePage as error:
            problem = str(error)
        if problem:
            raise self._error(problem)
        page.records_so_far = len(page.records) + (before.records_so_far if before else 0)
        page.largest_page = max(len(page.records), before.largest_page if before else 0)
        return page

    def _read_records(self, page: ParsedPage) -> list[Any]:
        paths = self._paginator.suggest_records_paths(page)
        if paths and self._count == 1:
            raise self._misplaced(paths)
        found = self._paginator.find_records(page)
        body = page.json()
        keys = frozenset(body) if isinstance(body, dict) else frozenset()
        if self._count == 1:
            self._first_keys = keys
        if found is None and keys:
            code, message = self.runtime.read_error(page.response, self._plan) if self._plan else ("", "")
            if code or message or not keys & self._first_keys:
                raise UnreadablePage(
                    f"there are no records; the page has {', '.join(sorted(keys)[:5])}"
                    + (f" ({code or message})" if code or message else "")
                )
        return found or []

    def _misplaced(self, paths: tuple[str, ...]) -> ConfigError:
        path = self._paginator.records_path
        expected = f'pagination.records "{path}"' if path else "the body"
        found = ", ".join(map(printable, paths[:5]))
        what = f"{expected} is not a list in this response; there is one at {found}"
        help_ = "set pagination.records in the blueprint or the entry; append ` || `[]`` if it may be absent"
        return ConfigError([Problem(Position(self.runtime.integration.name), "E502", what, help=help_)])

    def _check_progress(self, page: ParsedPage) -> None:
        """Raise if the API repeats a page, or sends nothing but empty ones."""
        self._empty_pages = 0 if page.records else self._empty_pages + 1
        if self._reads_records and self._empty_pages >= MAX_EMPTY_PAGES:
            raise UnreadablePage(f"{MAX_EMPTY_PAGES} pages in a row are empty, and the list goes on")
        content = repr(page.records) if self._reads_records else page.response.content
        if not content or content == "[]":
            return
        earlier = self._contents.setdefault(hash(content), self._count)
        if earlier != self._count:
            raise UnreadablePage(
                f"it is the same as page {earlier}: the API ignores the parameters for the next page, or "
                "repeats its last page (then pagination.has_more, total_pages or total must show the end)"
            )

    def _check_overlap(self, page: ParsedPage, before: ParsedPage | None) -> None:
        """Raise if offsets count records that are not sent, so that a page repeats records of the last one.

        Only after a page that was shorter than requested: a record that is added to the list during the walk
        moves the others too.
        """
        paginator, plan = self._paginator, self._plan
        if before is None or not before.records or plan is None or paginator.name != "offset":
            return
        size = int_param(self._params(plan), paginator.limit_param, paginator.limit)
        if len(before.records) < size and any(
            isinstance(one, dict) and one in before.records for one in page.records[: len(before.records)]
        ):
            raise UnreadablePage(
                "it repeats records of the page before: the offset counts records that are not sent"
            )

    def _params(self, plan: Plan) -> Params:
        if self._json is None:
            return plan.pairs
        return tuple((name, str(value)) for name, value in self._json.items())

    def next_plan(self) -> Plan | None:
        """The request for the next page; None before the first and after the last.

        Raises:
            InvalidRequest: the next page is on another host.
            ProviderError: the page does not say how the list goes on.
            RequestFailed: the API names a page that was read already.
        """
        plan, page = self._plan, self._page
        if plan is None or page is None:
            return None
        self._requests.add(hash((plan.url, plan.body)))
        following: Plan | None = None
        failed: RequestFailed | None = None
        try:
            following = self._following_plan(page, plan)
        except UnreadablePage as error:
            failed = self._error(str(error))
        except InvalidRequest as error:
            # The frames below hold the link, which may hold a credential; error trackers print frames.
            failed = error.with_traceback(None)
        if following is not None and hash((following.url, following.body)) in self._requests:
            text = (
                f"/{plan.masked_endpoint()}: the link to the next page leads to a page that was read already"
            )
            failed = RequestFailed(text, plan=plan, response=page.response)
        if failed is not None:
            raise failed
        return following

    def _following_plan(self, page: ParsedPage, plan: Plan) -> Plan | None:
        target = self._paginator.following(page, self._params(plan))
        return None if target is None else self._plan_of(target, plan)

    def _plan_of(self, target: NextRequest, plan: Plan) -> Plan:
        """The request for the next page. URLs stay in this frame."""
        base = plan.url.partition("?")[0]
        if target.url:
            url = _reach(plan, base, target.url)
            if url is None:
                raise InvalidRequest(
                    f"/{plan.masked_endpoint()}: the next page is on another host{_host_of(target.url)}; "
                    "requests.allowed_hosts lists the hosts to follow links to",
                    plan=plan,
                )
            following = move_to_url(plan, url)
        elif self._json is not None:
            self._json = {**self._json, **dict(target.params)}
            following = with_json(plan, self._json)
        else:
            params = tuple((name, parameter_text(value)) for name, value in target.params)
            changed = {name for name, _ in params}
            pairs = tuple(pair for pair in plan.pairs if pair[0] not in changed) + params
            given = {name for name, _ in pairs}
            own = tuple(pair for pair in plan.settings.pairs_for(plan.own) if pair[0] not in given)
            following = move_to_url(plan, f"{base}?{encode_pairs(own + pairs)}")
        return with_new_idempotency_key(following, self.first_call, self.runtime.retries.idempotency_header)

    def _error(self, problem: str) -> ProviderError:
        """The error for a page that cannot be understood."""
        page, plan = self._page, self._plan
        response = page.response if page else None
        secrets = plan.settings.secrets if plan else ()
        place = (
            f"{self.runtime.integration.name} /{plan.masked_endpoint() if plan else ''}: page {self._count}"
        )
        return ProviderError(
            f"{place} cannot be used: {mask_secrets(problem, secrets)}",
            status=response.status_code if response else 0,
            plan=plan, attempts=response.attempts if response else (), response=response,
            call_id=response.attempts[-1].call_id if response and response.attempts else "",
        )  # fmt: skip


def _paged_json(call: Call, place: str) -> dict[str, JsonValue] | None:
    """The JSON object that holds the paging parameters; None if they belong in the query."""
    if place == "body" and call.json is None:
        return {}
    return dict(call.json) if place != "query" and isinstance(call.json, dict) else None


def _reach(plan: Plan, base: str, link: str) -> str | None:
    """The URL of a link; None if it leads out of the API. A link to the API itself by http becomes https."""
    url = plan.settings.reach(base, link)
    if url is None and link[:7].lower() == "http://" and base.startswith("https://"):
        url = plan.settings.reach(base, f"https://{link[7:]}")
    return url


def _host_of(link: str) -> str:
    try:
        host = urlsplit(link).hostname
    except ValueError:
        return ""
    return f", {printable(host, 60)}" if host else ""
