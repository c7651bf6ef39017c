"""The routes that the examples of a blueprint's actions declare, so that actions run against a sandbox."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from nango_py.config.values import as_tuple, plain
from nango_py.json_types import as_object
from nango_py.sandbox.expressions import as_wildcards, pieces, unwrap
from nango_py.sandbox.responses import FIRST_ERROR
from nango_py.sandbox.routes import Replies, Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.json_types import Settings
    from nango_py.sandbox.responses import ApiResponses, SandboxResponse


def action_routes(settings: Settings, responses: ApiResponses) -> Iterator[tuple[Route, SandboxResponse]]:
    """A route for each request of an example, and its response."""
    for action in (settings.get("actions") or {}).values():
        for example in action.get("examples") or ():
            yield from _read_example(settings, action, example, responses)


def _read_example(
    settings: Settings, action: Settings, example: Settings, responses: ApiResponses
) -> Iterator[tuple[Route, SandboxResponse]]:
    """The routes of the requests that an example states; without any, the route of the action's path."""
    replies = [responses.of_example({"response": each}) for each in example.get("responses") or ()]
    has_path = "path" in (action.get("request") or {})
    if example.get("sends") is not None:
        for each, reply in zip(as_tuple(example["sends"]), replies, strict=False):
            sent = as_object(each)
            if has_path and "url" not in sent:
                yield _route_by_path(action, reply, sent), reply
            elif (route := _route_by_url(settings, sent, reply)) is not None:
                yield route, reply
    elif replies and replies[0].status < FIRST_ERROR and has_path:
        yield _route_by_path(action, replies[0], {}), replies[0]


def _route_by_path(action: Settings, reply: SandboxResponse, sent: Settings) -> Route:
    """The route of a request whose example states no URL."""
    request = action["request"]
    path = as_wildcards(request["path"])
    return Route.of(str(request.get("method", "GET")), path, Replies((reply,)), None, plain(sent.get("json")))


def _route_by_url(settings: Settings, sent: Settings, reply: SandboxResponse) -> Route | None:
    url, base = str(sent.get("url", "")), str(settings["requests"].get("base_url", ""))
    found = re.match(_pattern(base.rstrip("/")) + "/", url)
    if found is None:
        return None
    parts = urlsplit(url[found.end() - 1 :])
    params = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Route.of(
        str(sent.get("method", "GET")), parts.path, Replies((reply,)), params, plain(sent.get("json"))
    )


def _pattern(template: str) -> str:
    """A regular expression for a base URL; an expression is a host, an origin or a part of one."""
    return "".join(
        r"(?:https?://)?[^/]+" if index % 2 else re.escape(part)
        for index, part in enumerate(pieces(unwrap(template)))
    )
