"""The walk over pages: each page is a call of its own, and no link leads out of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.engine.plan import follow
from nango_py.engine.request_encoding import encode_pairs
from nango_py.errors import InvalidRequest, RequestFailed

if TYPE_CHECKING:
    from nango_py.engine.plan import Plan
    from nango_py.pagination.base import NextRequest, Paginator


class ParsedPage:
    """A response whose JSON is read once, however often it is looked at."""

    __slots__ = ("_body", "response")

    def __init__(self, response: Any) -> None:
        self.response = response
        self._body: Any = UNREAD

    @property
    def headers(self) -> Any:
        """The response's headers."""
        return self.response.headers

    def json(self) -> Any:
        """The body as JSON."""
        if self._body is UNREAD:
            self._body = self.response.json()
        return self._body


UNREAD: Any = object()


def next_plan(paginator: Paginator, page: Any, plan: Plan, seen: set[int]) -> Plan | None:
    """The request for the page after `page`, or None after the last.

    Args:
        paginator: the blueprint's way of paging.
        page: the response that came.
        plan: the request that it answers.
        seen: the hashes of the URLs asked for so far; the walk's own memory, which this adds to.

    Raises:
        InvalidRequest: the next page lies on another host.
        RequestFailed: the API sends the caller in a circle.
    """
    seen.add(hash(plan.url))
    following = _following(paginator, page, plan)
    if following is OTHER_HOST:
        raise InvalidRequest(
            f"/{plan.endpoint}: the next page lies on another host; "
            "requests.allowed_hosts names the hosts to follow to",
            plan=plan,
        )
    if following is not None and hash(following.url) in seen:
        raise RequestFailed(f"/{plan.endpoint}: a page names itself or an earlier one as the next", plan=plan)
    return following


OTHER_HOST: Any = object()


def _following(paginator: Paginator, page: Any, plan: Plan) -> Plan | None:
    """The next page's request, None after the last, or OTHER_HOST; URLs stay in this frame."""
    target = paginator.next_request(page, plan.pairs)
    if target is None:
        return None
    base = plan.url.partition("?")[0]
    url = plan.stamp.reach(base, target.url) if target.url else _with_params(base, plan, target)
    return OTHER_HOST if url is None else follow(plan, url)


def _with_params(base: str, plan: Plan, target: NextRequest) -> str:
    changed = {name for name, _ in target.params}
    pairs = tuple(pair for pair in plan.pairs if pair[0] not in changed) + target.params
    given = {name for name, _ in pairs}
    own = tuple(pair for pair in plan.stamp.pairs if pair[0] not in given)
    return f"{base}?{encode_pairs(own + pairs)}"
