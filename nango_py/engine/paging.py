"""The walk over pages: each page is a call of its own, and no link leads out of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from nango_py.engine.plan import follow
from nango_py.engine.query import encode_pairs
from nango_py.engine.stamp import origin_of
from nango_py.errors import InvalidRequest, RequestFailed

if TYPE_CHECKING:
    from nango_py.engine.plan import Plan
    from nango_py.pagination.base import Next, Paginator


def next_plan(paginator: Paginator, page: Any, plan: Plan, seen: set[int]) -> Plan | None:
    """The request for the page after `page`, or None after the last.

    Args:
        paginator: the blueprint's way of paging.
        page: the answer that came.
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
    target = paginator.following(page, plan.pairs)
    if target is None:
        return None
    url = _url(plan, target)
    if urlsplit(url).username is not None or origin_of(url) not in plan.stamp.origins:
        return OTHER_HOST  # type: ignore[no-any-return]
    return follow(plan, url)


def _url(plan: Plan, target: Next) -> str:
    base = plan.url.partition("?")[0]
    if target.url:
        return urljoin(base, target.url)
    changed = dict(target.params)
    pairs = tuple(pair for pair in plan.pairs if pair[0] not in changed) + target.params
    own = tuple(pair for pair in plan.stamp.pairs if pair[0] not in {name for name, _ in pairs})
    return f"{base}?{encode_pairs(own + pairs)}"
