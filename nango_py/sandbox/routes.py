"""The routes of a sandbox: what its blueprint declares, and what a test supplies."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qsl, unquote

from nango_py.argument_types import check_type
from nango_py.record import field, record, replaced
from nango_py.sandbox.budgets import path_pattern
from nango_py.sandbox.responses import FIRST_ERROR, ApiResponses, SandboxResponse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.json_types import JsonValue

_PART = re.compile(r"\{[^}/]*\}|\*\*|\*")


@record
class SandboxRequest:
    """The request that a handler responds to.

    Attributes:
        number: of the request in the ledger.
        method: in upper case.
        path: below the base path, without slashes at its ends.
        path_params: the values of `{name}` in the path of the route, percent-decoded.
        params: the query; the last value of repeated names.
        headers: by lower-case name; repeated ones are joined with ", ".
        body: as sent.
        user: the owner of the credential; None if the sandbox has no users.
        base_url: of the sandbox.
    """

    number: int
    method: str
    path: str
    path_params: Mapping[str, str]
    params: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    user: str | None
    base_url: str

    @property
    def content(self) -> JsonValue:
        """The body as JSON, or as a form if it is not JSON; None without a body."""
        if not self.body:
            return None
        try:
            return self.json()
        except (ValueError, RecursionError):  # neither, or too deep for Python
            return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    def json(self) -> JsonValue:
        """The body parsed as JSON."""
        value: JsonValue = json.loads(self.body)
        return value

    def form(self) -> dict[str, str]:
        """The body parsed as a form; the last value of repeated names."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


Reply: TypeAlias = "SandboxResponse | int | Mapping[str, object] | list[JsonValue] | None"
"""A response, an error status, or the JSON of a 200; None for a 204."""

Handler: TypeAlias = "Callable[[SandboxRequest], Reply]"


@record
class Route:
    """One method and path, and the function that responds.

    Attributes:
        path: without slashes at its ends; `{name}` and `*` stand for one segment, `**` for any rest.
        params: query parameters that the request must have.
        body: the JSON body that the request should have; None for any.
    """

    method: str
    path: str
    params: Mapping[str, str]
    respond: Handler
    pattern: re.Pattern[str]
    body: JsonValue = None

    @classmethod
    def of(
        cls,
        method: str,
        path: str,
        respond: Handler,
        params: Mapping[str, object] | None = None,
        body: JsonValue = None,
    ) -> Route:
        """The route of a method, "*" for all, and a path."""
        check_type("method", method, str, "text")
        check_type("path", path, str, "text")
        check_type("params", {} if params is None else params, Mapping, "query parameters by name")
        texts = {name: param_text(value) for name, value in (params or {}).items()}
        return cls(method.upper(), path.strip("/"), texts, respond, path_pattern(path), body)

    def serves(self, method: str) -> bool:
        """Whether the method is that of the route; HEAD is served by GET."""
        return self.method in {method, "*"} or (method == "HEAD" and self.method == "GET")

    def matches_params(self, params: Mapping[str, str]) -> bool:
        """Whether the query has every parameter of the route."""
        return self.params.items() <= params.items()


class Routes:
    """The routes of a sandbox. Thread-safe.

    Args:
        declared: those of the blueprint; of several that match, the first responds.
        responses: makes the responses to requests without a route.
    """

    def __init__(self, declared: tuple[Route, ...], responses: ApiResponses) -> None:
        self._declared = declared
        self._supplied: tuple[Route, ...] = ()
        self._responses = responses
        self._lock = threading.Lock()

    def add(self, route: Route) -> None:
        """Add a route that precedes all others."""
        with self._lock:
            self._supplied = (route, *self._supplied)

    def names(self) -> list[str]:
        """`METHOD path` of each route."""
        return sorted({f"{route.method} {route.path}" for route in self._all()})

    def find(self, request: SandboxRequest) -> Callable[[], Reply] | SandboxResponse | None:
        """The responder of a request; a 405 if only the method has no route; None if the path has none.

        If none has the parameters and the body of the request, the first one responds.
        """
        matching = [
            (route, match) for route in self._all() if (match := route.pattern.fullmatch(request.path))
        ]
        if not matching:
            return None
        served = [(route, match) for route, match in matching if route.serves(request.method)]
        if not served:
            methods = sorted({route.method for route, _ in matching})
            return self._responses.method_not_allowed(request.method, request.path, methods)
        exact = [each for each in served if each[0].matches_params(request.params)] or served
        route, match = next((each for each in exact if _has_body(each[0], request)), exact[0])
        return lambda: route.respond(_with_path_params(request, route, match))

    def _all(self) -> Iterator[Route]:
        return itertools.chain(self._supplied, self._declared)


def _has_body(route: Route, request: SandboxRequest) -> bool:
    """Whether the request has the body of the route; also if the route has none."""
    if route.body is None:
        return True
    try:
        return request.json() == route.body
    except ValueError:
        return False


class Replies:
    """Responds with one reply after another; the last one repeats. Thread-safe."""

    def __init__(self, replies: tuple[Reply, ...]) -> None:
        self._replies = replies
        self._numbers = itertools.count()

    def __call__(self, request: SandboxRequest) -> Reply:
        """The reply to the next request."""
        return self._replies[min(next(self._numbers), len(self._replies) - 1)]


def to_response(reply: Reply, responses: ApiResponses) -> SandboxResponse:
    """The response that a reply stands for.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(reply, SandboxResponse):
        return reply
    if reply is None:
        return SandboxResponse(204)
    if isinstance(reply, int) and not isinstance(reply, bool):
        if reply < FIRST_ERROR:
            return SandboxResponse(reply)
        return responses.error(reply, "supplied", f"The test supplied status {reply}.")
    if isinstance(reply, Mapping | list):
        return responses.json(reply)
    raise TypeError(
        f"a handler returns a SandboxResponse, a status, JSON or None, not {type(reply).__name__}"
    )


def _with_path_params(request: SandboxRequest, route: Route, match: re.Match[str]) -> SandboxRequest:
    names = _PART.findall(route.path)
    values = zip(names, match.groups(), strict=True)
    return replaced(
        request, path_params={name.strip("{}"): unquote(value) for name, value in values if name[0] == "{"}
    )


def param_text(value: object) -> str:
    """A query parameter as text: true and false as in JSON."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
