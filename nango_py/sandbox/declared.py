"""The routes that a blueprint declares: its examples, lists, routes and its verification request."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from nango_py.config.values import as_tuple, plain
from nango_py.sandbox.action_routes import action_routes
from nango_py.sandbox.expressions import as_wildcards
from nango_py.sandbox.lists import make_list
from nango_py.sandbox.responses import FIRST_ERROR, REFUSALS
from nango_py.sandbox.routes import Replies, Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.json_types import Settings
    from nango_py.sandbox.responses import ApiResponses, SandboxResponse
    from nango_py.sandbox.routes import SandboxRequest

_RECORDS = 25
_SUCCESSES = range(200, 300)


def declared_routes(settings: Settings, responses: ApiResponses) -> tuple[Route, ...]:
    """The routes of a blueprint; of those that match a request, the first responds.

    Examples with more parameters come first, those with a body before others, and successes before errors.
    """
    examples = [
        (route_of(example.get("call") or {}, responses.of_example(example)), responses.of_example(example))
        for example in settings.get("examples") or ()
        if _is_served(example)
    ]
    examples += action_routes(settings, responses)
    served = [(route, response) for route, response in examples if response.status not in REFUSALS]
    served.sort(key=_order)
    return (
        *(route for route, _ in served),
        *_verification(settings, responses),
        *_lists(settings, responses),
        *_uploads(settings, responses),
        *_routes(settings, responses),
    )


def _order(each: tuple[Route, SandboxResponse]) -> tuple[int, bool, bool]:
    route, response = each
    return -len(route.params), route.body is None, response.status >= FIRST_ERROR


def _lists(settings: Settings, responses: ApiResponses) -> Iterator[Route]:
    """The lists that `endpoints` names by an own pagination, with generated records."""
    for method, path in _places(settings, "pagination", "GET"):
        with suppress(ValueError):  # a kind without a page server
            served, _ = make_list(settings, path, _RECORDS, responses=responses, method=method)
            for each, place in served.continuations(method, path):
                yield Route.of(each, place, served)


def _uploads(settings: Settings, responses: ApiResponses) -> Iterator[Route]:
    """The calls that begin an upload."""
    for method, path in _places(settings, "upload", "POST"):
        yield Route.of(method, path, Replies((responses.json({}),)))


def _places(settings: Settings, key: str, default_method: str) -> Iterator[tuple[str, str]]:
    """The methods and paths of the `endpoints` with a key."""
    for entry in settings.get("endpoints") or ():
        match: Settings = entry.get("match") or {}
        if entry.get(key) and match.get("path"):
            methods, paths = as_tuple(match.get("method") or default_method), as_tuple(match["path"])
            yield from product(map(str, methods), map(str, paths))


def _routes(settings: Settings, responses: ApiResponses) -> Iterator[Route]:
    """The paths that `rate_limits.routes` names, with an echo of the request."""
    for path in (settings.get("rate_limits") or {}).get("routes") or ():
        yield Route.of("*", str(path), partial(echo, responses=responses))


def echo(request: SandboxRequest, responses: ApiResponses) -> SandboxResponse:
    """A response that repeats the request."""
    return responses.json({"method": request.method, "path": request.path, "number": request.number})


def _is_served(example: Settings) -> bool:
    """Whether the path of an example has its response always, and not only while the API refuses calls."""
    expects: Settings = example.get("expects") or {}
    is_temporary = expects.get("retries") is True or "wait_seconds" in expects
    return "status" in (example.get("response") or {}) and not is_temporary


def route_of(call: Settings, response: SandboxResponse) -> Route:
    """The route of an example's call."""
    method, path = str(call.get("method", "GET")), str(call.get("path", ""))
    return Route.of(method, path, Replies((response,)), call.get("params"), plain(call.get("json")))


def _verification(settings: Settings, responses: ApiResponses) -> Iterator[Route]:
    declared = settings.get("verification") or {}
    if "path" not in declared:
        return
    accepted = [status for status in declared.get("accepts") or () if status in _SUCCESSES]
    response = responses.json({}, accepted[0] if accepted else 200)
    yield Route.of(str(declared.get("method", "GET")), as_wildcards(declared["path"]), Replies((response,)))
