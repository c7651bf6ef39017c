"""The walk over the pages of a list. Each page is a call, and no link leads out of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.engine.plan import move_to_url
from nango_py.engine.request_encoding import encode_pairs, to_pairs
from nango_py.errors import ConfigError, InvalidRequest, Position, Problem, RequestFailed, printable
from nango_py.record import replaced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.engine.plan import Call, Plan
    from nango_py.engine.runtime import IntegrationRuntime
    from nango_py.pagination.base import NextRequest, Paginator
    from nango_py.transport.response import Response


class ParsedPage:
    """A response whose JSON is parsed once, however often it is used."""

    __slots__ = ("_body", "_is_parsed", "response")

    def __init__(self, response: Response) -> None:
        self.response = response
        self._is_parsed = False
        self._body: Any = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The response's headers."""
        return self.response.headers

    def json(self) -> Any:
        """The body as JSON."""
        if not self._is_parsed:
            self._body = self.response.json()
            self._is_parsed = True
        return self._body


class PageWalk:
    """Where a walk over pages is, and how it goes on.

    Args:
        runtime: the integration's configuration, for the whole walk.
        call: the caller's request.
        max_pages: maximum number of pages.

    Raises:
        ConfigError: the blueprint has no pagination.
    """

    def __init__(self, runtime: IntegrationRuntime, call: Call, max_pages: int | None) -> None:
        if runtime.paginator is None:
            help_ = "add pagination: {kind: ...} to the blueprint or the entry"
            place = Position(runtime.integration.name)
            raise ConfigError([Problem(place, "E501", "the blueprint has no pagination", help=help_)])
        self.runtime = runtime
        self._paginator = runtime.paginator
        self._max_pages = max_pages
        self._count = 0
        self._page: ParsedPage | None = None
        self._plan: Plan | None = None
        self._seen_urls: set[int] = set()
        given = to_pairs(call.params)
        names = {name for name, _ in given}
        first = tuple(pair for pair in self._paginator.first_params() if pair[0] not in names)
        self.first_call = replaced(call, params=first + given)

    @property
    def is_at_start(self) -> bool:
        """Whether no page has been requested yet."""
        return self._page is None

    @property
    def is_over(self) -> bool:
        """Whether the maximum number of pages is reached."""
        return self._max_pages is not None and self._count >= self._max_pages

    def add_page(self, plan: Plan, response: Response) -> ParsedPage:
        """Take in the response to a plan."""
        self._count += 1
        self._plan = plan
        self._page = page = ParsedPage(response)
        return page

    def next_plan(self) -> Plan | None:
        """The request for the next page; None before the first and after the last."""
        plan, page = self._plan, self._page
        if plan is None or page is None:
            return None
        return next_plan(self._paginator, page, plan, self._seen_urls)

    def records(self, page: ParsedPage) -> list[Any]:
        """The records of a page.

        Raises:
            ConfigError: the first page has records, but not where the blueprint says.
        """
        paginator = self._paginator
        paths = paginator.suggest_records_paths(page) if self._count == 1 else ()
        if not paths:
            return paginator.records(page)
        expected = f'pagination.records "{paginator.records_path}"' if paginator.records_path else "the body"
        found = ", ".join(map(printable, paths[:5]))
        what = f"{expected} is not a list in this response; there is one at {found}"
        help_ = "set pagination.records in the blueprint or the entry; append ` || `[]`` if it may be absent"
        raise ConfigError([Problem(Position(self.runtime.integration.name), "E502", what, help=help_)])


def next_plan(paginator: Paginator, page: ParsedPage, plan: Plan, seen_urls: set[int]) -> Plan | None:
    """The request for the page after `page`, the response to `plan`; None after the last.

    Args:
        paginator: the blueprint's kind of pagination.
        page: the last page.
        plan: its request.
        seen_urls: the hashes of the URLs of the walk; the plan's is added.

    Raises:
        InvalidRequest: the next page is on another host.
        RequestFailed: the API names a page that was read already.
    """
    seen_urls.add(hash(plan.url))
    target = paginator.next_request(page, plan.pairs)
    if target is None:
        return None
    following = _plan_of(target, plan)
    del target  # its URL may hold a credential, and error trackers print what frames hold
    if following is None:
        raise InvalidRequest(
            f"/{plan.masked_endpoint()}: the next page is on another host; "
            "requests.allowed_hosts lists the hosts to follow links to",
            plan=plan,
        )
    if hash(following.url) in seen_urls:
        text = f"/{plan.masked_endpoint()}: the link to the next page leads to a page that was read already"
        raise RequestFailed(text, plan=plan)
    return following


def _plan_of(target: NextRequest, plan: Plan) -> Plan | None:
    """The request for the next page; None if it is on another host. URLs stay in this frame."""
    base = plan.url.partition("?")[0]
    if target.url:
        url = plan.settings.reach(base, target.url)
        return None if url is None else move_to_url(plan, url)
    changed = {name for name, _ in target.params}
    pairs = tuple(pair for pair in plan.pairs if pair[0] not in changed) + target.params
    given = {name for name, _ in pairs}
    own = tuple(pair for pair in plan.settings.pairs if pair[0] not in given)
    return move_to_url(plan, f"{base}?{encode_pairs(own + pairs)}")
