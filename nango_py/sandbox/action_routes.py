"""The routes that the examples of a blueprint's actions declare, so that actions run against a sandbox."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from nango_py.config.values import as_tuple
from nango_py.json_types import as_object
from nango_py.record import record
from nango_py.sandbox.expressions import pieces, unwrap
from nango_py.sandbox.responses import FIRST_ERROR
from nango_py.sandbox.routes import Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.json_types import JsonValue, Settings
    from nango_py.sandbox.responses import ApiResponses, SandboxResponse
    from nango_py.sandbox.routes import SandboxRequest


def action_routes(settings: Settings, responses: ApiResponses) -> Iterator[tuple[Route, SandboxResponse]]:
    """A route for each request of an example, and its response."""
    for action in (settings.get("actions") or {}).values():
        for example in action.get("examples") or ():
            yield from _of_example(settings, action, example, responses)


def _of_example(
    settings: Settings, action: Settings, example: Settings, responses: ApiResponses
) -> Iterator[tuple[Route, SandboxResponse]]:
    """The routes of the requests that an example says; for others, if they succeed, of their path."""
    replies = [responses.of_example({"response": each}) for each in example.get("responses") or ()]
    has_path = "path" in (action.get("request") or {})
    if example.get("sends") is not None:
        for each, reply in zip(as_tuple(example["sends"]), replies, strict=False):
            sent = as_object(each)
            is_of_path = has_path and "url" not in sent
            route = _of_path(action, reply, sent) if is_of_path else _of_request(settings, sent, reply)
            if route is not None:
                yield route, reply
    elif replies and replies[0].status < FIRST_ERROR and has_path:
        yield _of_path(action, replies[0], {}), replies[0]


def _of_path(action: Settings, reply: SandboxResponse, sent: Settings) -> Route:
    """The route of a request whose URL is not said."""
    request = action["request"]
    parts = pieces(unwrap(request["path"]))
    path = "".join("*" if index % 2 else part for index, part in enumerate(parts))
    return Route.of(str(request.get("method", "GET")), path, _Constant(reply), None, _body_of(sent))


def _of_request(settings: Settings, sent: Settings, reply: SandboxResponse) -> Route | None:
    url, base = str(sent.get("url", "")), str(settings["requests"].get("base_url", ""))
    found = re.match(_pattern(base.rstrip("/")) + "/", url)
    if found is None:
        return None
    parts = urlsplit(url[found.end() - 1 :])
    params = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Route.of(str(sent.get("method", "GET")), parts.path, _Constant(reply), params, _body_of(sent))


def _body_of(sent: Settings) -> JsonValue:
    return None if sent.get("json") is None else json.loads(json.dumps(sent["json"], default=dict))


def _pattern(template: str) -> str:
    """A regular expression for a base URL; an expression is a host, an origin or a part of one."""
    return "".join(
        r"(?:https?://)?[^/]+" if index % 2 else re.escape(part)
        for index, part in enumerate(pieces(unwrap(template)))
    )


@record
class _Constant:
    response: SandboxResponse

    def __call__(self, request: SandboxRequest) -> SandboxResponse:
        return self.response
