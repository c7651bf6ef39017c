"""The routes that the examples of a blueprint's actions declare, so that actions run against a sandbox."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from nango_py.config.response_match import as_tuple
from nango_py.json_types import as_object
from nango_py.record import record
from nango_py.sandbox.expressions import pieces, unwrap
from nango_py.sandbox.responses import FIRST_ERROR, REFUSALS
from nango_py.sandbox.routes import Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.json_types import JsonValue, Settings
    from nango_py.sandbox.responses import ApiResponses, SandboxResponse
    from nango_py.sandbox.routes import SandboxRequest


def action_routes(settings: Settings, responses: ApiResponses) -> list[Route]:
    """A route for each request of an example; those of successes come first."""
    found: list[tuple[Route, SandboxResponse]] = []
    for action in (settings.get("actions") or {}).values():
        for example in action.get("examples") or ():
            found += _of_example(settings, action, example, responses)
    served = [(route, response) for route, response in found if response.status not in REFUSALS]
    served.sort(key=lambda each: (each[1].status >= FIRST_ERROR, -len(each[0].params)))
    return [route for route, _ in served]


def _of_example(
    settings: Settings, action: Settings, example: Settings, responses: ApiResponses
) -> Iterator[tuple[Route, SandboxResponse]]:
    """The routes of the requests that an example says; for others, if they succeed, of their path."""
    replies = [responses.of_example({"response": each}) for each in example.get("responses") or ()]
    if example.get("sends") is not None:
        for sent, reply in zip(as_tuple(example["sends"]), replies, strict=False):
            route = _of_request(settings, as_object(sent), reply)
            if route is not None:
                yield route, reply
    elif replies and replies[0].status < FIRST_ERROR and "path" in (action.get("request") or {}):
        request = action["request"]
        parts = pieces(unwrap(request["path"]))
        path = "".join("*" if index % 2 else part for index, part in enumerate(parts))
        yield Route.of(str(request.get("method", "GET")), path, _Constant(replies[0])), replies[0]


def _of_request(settings: Settings, sent: Settings, reply: SandboxResponse) -> Route | None:
    url, base = str(sent.get("url", "")), str(settings["requests"].get("base_url", ""))
    found = re.match(_pattern(base.rstrip("/")) + "/", url)
    if found is None:
        return None
    parts = urlsplit(url[found.end() - 1 :])
    body: JsonValue = None if sent.get("json") is None else json.loads(json.dumps(sent["json"], default=dict))
    params = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Route.of(str(sent.get("method", "GET")), parts.path, _Constant(reply), params, body)


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
