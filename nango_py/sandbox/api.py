"""The simulated API: chooses the response to each request and records it in the ledger. Without I/O."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, get_args
from urllib.parse import parse_qsl, unquote

from nango_py.argument_types import check_number, check_type
from nango_py.clock import SYSTEM_CLOCK
from nango_py.record import field, record
from nango_py.sandbox.budgets import CountingMode, LimitSpeed
from nango_py.sandbox.credentials import Caller, Credentials, path_of
from nango_py.sandbox.declared import declared_routes, echo
from nango_py.sandbox.faults import FaultPlan
from nango_py.sandbox.files import FileHost
from nango_py.sandbox.ledger import Ledger, Received, is_processed, join_repeated
from nango_py.sandbox.limit_headers import RateLimitHeaders, RetryAfter
from nango_py.sandbox.limit_reports import LimitReports, settled_cost
from nango_py.sandbox.lists import make_list
from nango_py.sandbox.logins.endpoints import PREFIX, LoginEndpoints
from nango_py.sandbox.logins.requests import LoginRequest
from nango_py.sandbox.logins.tokens import TokenRules
from nango_py.sandbox.request_counts import RequestCounts
from nango_py.sandbox.request_fields import EndpointCredentials, KeyReader, body_content, field_of
from nango_py.sandbox.responses import ApiResponses, SandboxResponse
from nango_py.sandbox.routes import Replies, Route, Routes, SandboxRequest, to_response
from nango_py.sandbox.uploads import PARAM, Uploads
from nango_py.sandbox.watch.state import respond

if TYPE_CHECKING:
    import re
    from collections.abc import Sequence

    from nango_py.clock import Clock
    from nango_py.json_types import Settings
    from nango_py.sandbox.faults import Fault
    from nango_py.sandbox.http_socket import Request
    from nango_py.sandbox.routes import Reply
    from nango_py.sandbox.watch.state import WatchedApi

_TOO_MANY_REQUESTS = 429
_MAX_IDEMPOTENCY_KEYS = 10_000
_RECORDS_PER_PAGE = 3
BASES = "/_bases/"
"""The path of the other base URLs of an API, each below its name."""
_LOST = frozenset({"timeout", "reset_after"})


@record
class SandboxOptions:
    """The keyword arguments of `nango_py.sandbox.Sandbox`, which documents them."""

    credentials: Mapping[str, Mapping[str, object]] | None = None
    faults: FaultPlan | None = None
    responses: Mapping[tuple[str, str], Reply] = field(default_factory=dict)
    pages: Mapping[str, int] | None = None
    strict: bool = True
    counting: CountingMode = "fixed"
    retry_after: RetryAfter = "seconds"
    retired: bool = False
    idempotency_header: str | None = None
    tokens: TokenRules = TokenRules()
    signatures: bool = True
    accounts: int = 1
    limits: LimitSpeed = "real"
    clock: Clock = SYSTEM_CLOCK


_WORDS: tuple[tuple[str, object], ...] = (
    ("counting", CountingMode),
    ("limits", LimitSpeed),
    ("retry_after", RetryAfter),
)


_TYPES: tuple[tuple[str, tuple[type, ...], str], ...] = (
    ("faults", (FaultPlan, NoneType), "a FaultPlan"),
    ("credentials", (Mapping, NoneType), "user id -> credentials"),
    ("responses", (Mapping,), "(method, path) -> reply"),
    ("pages", (Mapping, NoneType), "path -> number of pages"),
    ("strict", (bool,), "True or False"),
    ("retired", (bool,), "True or False"),
    ("signatures", (bool,), "True or False"),
    ("idempotency_header", (str, NoneType), "the name of a header"),
    ("tokens", (TokenRules,), "TokenRules"),
)


def _check_options(options: SandboxOptions) -> None:
    """Raise a TypeError or ValueError that names the first option with an invalid value."""
    for name, types, expected in _TYPES:
        check_type(name, getattr(options, name), types, expected)
    for user, credentials in (options.credentials or {}).items():
        check_type(f"credentials[{user!r}]", credentials, Mapping, "credentials by name")
    for key in options.responses:
        check_type("a key of responses", key if len(key) == 2 else None, tuple, "(method, path)")  # noqa: PLR2004
    for path, number in (options.pages or {}).items():
        check_number(f"pages[{path!r}]", number, is_whole=True)
    check_number("accounts", options.accounts, is_whole=True)
    if not hasattr(options.clock, "monotonic"):
        raise TypeError(f"clock is of type {type(options.clock).__name__}; expected a Clock")
    for name, words in _WORDS:
        given = getattr(options, name)
        if given not in get_args(words):
            raise ValueError(f"{name} is {given!r}; expected {', '.join(get_args(words))}")


class SimulatedApi:
    """The API of one blueprint.

    Args:
        settings: the merged settings of a blueprint or integration.
        options: see `nango_py.sandbox.Sandbox`.

    Raises:
        ValueError: the settings are invalid, or an option does not fit them.
    """

    def __init__(self, settings: Settings, options: SandboxOptions) -> None:
        _check_options(options)
        self.options = options
        self.clock = options.clock
        if options.retired and not _has_retired(settings, self.clock.now()):
            raise ValueError("retired=True needs a blueprint with a status.retires_on in the past")
        rate_limits = settings.get("rate_limits") or {}
        self._keys = KeyReader(settings, options.idempotency_header)
        self.ledger = Ledger(self._keys.header or "Idempotency-Key")
        self.counts = RequestCounts(rate_limits, options.counting, options.limits)
        self.watched: Sequence[WatchedApi] = (self,)
        self.credentials = Credentials(settings, options.credentials, self.clock)
        self._endpoint_credentials = EndpointCredentials(settings)
        self.logins = LoginEndpoints(
            settings, options.credentials, options.tokens, self.credentials, self.clock, options.accounts
        )
        self.login_ledger = Ledger()
        self._verifies = options.signatures and "authorization" not in self.credentials.names_in("header")
        self.base_path = path_of(settings["requests"]["base_url"])
        self.origin = ""
        self.handler_errors: list[Exception] = []
        self.bases = {
            name: f"{BASES}{name}{path_of(url)}"
            for name, url in (settings["requests"].get("bases") or {}).items()
        }
        self._patterns = [
            self.credentials.base_pattern(path) for path in (self.base_path, *self.bases.values())
        ]
        self.uploads = Uploads(settings)
        self.files = FileHost(frozenset(self.credentials.names_in("header")), self.clock, self.uploads)
        self.settings = settings
        self.responses = ApiResponses(settings)
        self.routes = Routes(declared_routes(settings, self.responses), self.responses)
        self._add_routes(options)
        self._limit_headers = RateLimitHeaders(rate_limits.get("headers"), options.retry_after, self.clock)
        self._limit_reports = LimitReports(rate_limits, self.clock)
        self._first_responses: dict[tuple[str, str], SandboxResponse] = {}
        self._numbers = itertools.count(1)

    def _add_routes(self, options: SandboxOptions) -> None:
        """Add what the options `pages` and `responses` supply."""
        for path, number in (options.pages or {}).items():
            served, _ = make_list(
                {**self.settings, "examples": ()}, path, number * _RECORDS_PER_PAGE,
                responses=self.responses, page_size=_RECORDS_PER_PAGE,
            )  # fmt: skip
            self.routes.add(Route.of("GET", path, served))
        for (method, path), reply in options.responses.items():
            self.routes.add(Route.of(method, path, Replies((reply,))))

    def choose_fault(self, request: Request) -> Fault | None:
        """The fault of a request, whose headers have arrived."""
        request.at = self.clock.monotonic()
        faults, path = self.options.faults, request.target.partition("?")[0]
        if faults is None:
            return None
        if path.startswith(PREFIX):
            fault = faults.next_at("/".join(path.split("/")[1:3]))
        else:
            match = self._match(path)
            fault = faults.next((match["endpoint"] or "") if match else path)
        if fault is not None:
            self.ledger.record_fault(fault.label)
        return fault

    def respond(self, request: Request, fault: Fault | None) -> SandboxResponse | None:
        """Record a request and return the response; None if none is to be sent."""
        path, _, query = request.target.partition("?")
        response = (
            self._respond_to_login(request, path, fault)
            if path.startswith(PREFIX)
            else self._respond_to_call(request, path, query, fault)
        )
        return None if fault is not None and fault.kind == "timeout" else response

    def _respond_to_call(
        self, request: Request, path: str, query: str, fault: Fault | None
    ) -> SandboxResponse:
        number, match = next(self._numbers), self._match(path)
        endpoint = (match["endpoint"] or "") if match else path.lstrip("/")
        params = parse_qsl(query, keep_blank_values=True)
        caller = None
        if match is not None:
            in_path = tuple(map(unquote, match.groups()[:-1]))
            caller = self._identify(request, endpoint, params, in_path)
            asked = SandboxRequest(
                number=number,
                method=request.method,
                path=endpoint.strip("/"),
                path_params={},
                params=join_repeated(params),
                headers=join_repeated(request.headers),
                body=request.body,
                user=caller.user if caller else None,
                base_url=f"{self.origin}{path.removesuffix(endpoint).rstrip('/')}/",
            )
            response = self._choose_response(request, caller, asked, endpoint, fault)
        else:
            message = f"Only paths below {self.base_path} are served"
            response = self.responses.error(404, "not_found", message)
        key = self._keys.read(request, endpoint, join_repeated(params))
        response, is_repeated = self._deduplicate(key, caller, response)
        is_lost = fault is not None and fault.kind in _LOST
        received = Received.of(
            request,
            number,
            endpoint,
            user=caller.user if caller else None,
            status=0 if is_lost else response.status,
            fault=fault.label if fault else "",
            processed=not is_repeated and _is_processed(response),
        )
        self.ledger.add(received)
        return response.with_headers({"Sandbox-Number": str(number)})

    def _match(self, path: str) -> re.Match[str] | None:
        """The base that a path is below, with the group `endpoint`."""
        return next((match for pattern in self._patterns if (match := pattern.fullmatch(path))), None)

    def _identify(
        self, request: Request, endpoint: str, params: list[tuple[str, str]], in_path: tuple[str, ...]
    ) -> Caller | None:
        signed = self.logins.oauth1 or self.logins.signed_calls
        if self._verifies and signed is not None:
            return signed.identify(LoginRequest.of(request, self.origin, ""))
        names = self.credentials.names_in("body")
        content = body_content(request) if names else None
        body = [(name, text) for name in names if (text := field_of(content, name)) is not None]
        places = self._endpoint_credentials.places(request, endpoint, join_repeated(params))
        return self.credentials.identify(request.headers, params, in_path, body, places)

    def _respond_to_login(self, request: Request, path: str, fault: Fault | None) -> SandboxResponse:
        """The response of a login page or token endpoint, recorded in the separate ledger of logins."""
        found = respond(path.removeprefix(PREFIX), request, self.watched)
        if found is not None:
            return found
        found = self._injected_response(fault) or self.logins.respond(request, self.origin)
        response = SandboxResponse.of(text="nothing here", status=404) if found is None else found
        received = Received.of(
            request,
            len(self.login_ledger) + 1,
            path.removeprefix(PREFIX).partition("/")[0],
            status=0 if fault is not None and fault.kind in _LOST else response.status,
            fault=fault.label if fault else "",
            processed=_is_processed(response),
        )
        self.login_ledger.add(received)
        return response

    def _choose_response(
        self,
        request: Request,
        caller: Caller | None,
        asked: SandboxRequest,
        endpoint: str,
        fault: Fault | None,
    ) -> SandboxResponse:
        if self.options.retired:
            return self.responses.refusal(410, "gone", "This API has been retired.")
        if caller is None:
            message = "Credentials are missing, misplaced or wrong."
            refused = self.responses.refusal(401, "not_authenticated", message)
            signed = self.logins.signed_calls
            return refused if signed is None else refused.with_headers(signed.challenge())
        injected = self._injected_response(fault)
        verdict = self.counts.count(
            caller.account,
            request.method,
            endpoint,
            asked.params,
            request.at,
            body=asked.content,
            spend=injected is None or injected.status != _TOO_MANY_REQUESTS,
        )
        request.when_done.append(partial(self.counts.leave, verdict.places))
        if injected is not None:
            return injected
        if verdict.wait_seconds > 0:
            return self._limit_reports.apply(self._throttle(verdict.wait_seconds), verdict)
        response = self._route(asked)
        for charge in verdict.charges:
            response, actual = settled_cost(response, charge.settle, charge.settle_header, charge.cost)
            self.counts.settle(charge, actual, request.at)
        if not self._limit_reports.has_families:
            response = response.with_headers(self._limit_headers.numbers(verdict))
        return self._limit_reports.apply(response, verdict)

    def _route(self, request: SandboxRequest) -> SandboxResponse:
        """The response to a request, which may begin an upload or be one of its pieces."""
        content_range = request.headers.get("content-range", "")
        name = request.params.get(PARAM, "")
        received = self.uploads.receive(name, request.method, content_range, request.body)
        return received or self.uploads.begin(
            request, self._respond_by_route(request), partial(self._upload_url, request)
        )

    def _upload_url(self, request: SandboxRequest, name: str) -> str:
        if self.uploads.is_elsewhere:
            return self.files.upload_url(name)
        return f"{request.base_url}{request.path}?{PARAM}={name}"

    def _respond_by_route(self, request: SandboxRequest) -> SandboxResponse:
        found = self.routes.find(request)
        if isinstance(found, SandboxResponse):
            return found
        if found is None:
            if self.options.strict:
                return self.responses.not_declared(request.method, request.path, self.routes.names())
            return self._generate(request)
        try:
            return to_response(found(), self.responses)
        except Exception as error:  # noqa: BLE001 - the sandbox raises it when it stops
            self.handler_errors.append(error)
            message = f"The handler raised {type(error).__name__}."
            return self.responses.error(500, "handler_failed", message)

    def _generate(self, request: SandboxRequest) -> SandboxResponse:
        """A last page, or an echo of the request."""
        if request.method == "GET" and (self.settings.get("pagination") or {}).get("kind") == "next_url":
            served, _ = make_list(self.settings, request.path, _RECORDS_PER_PAGE, responses=self.responses)
            return served(request)
        return echo(request, self.responses)

    def _injected_response(self, fault: Fault | None) -> SandboxResponse | None:
        if fault is None or fault.kind != "status":
            return None
        if fault.response is not None:
            return fault.response
        if fault.status == _TOO_MANY_REQUESTS:
            return self._throttle(fault.retry_after)
        response = self.responses.error(fault.status, "injected", f"Injected status {fault.status}.")
        if fault.retry_after is None:
            return response
        return response.with_headers(self._limit_headers.retry_after(fault.retry_after))

    def _throttle(self, wait_seconds: float | None) -> SandboxResponse:
        if wait_seconds is None:
            return self.responses.error(_TOO_MANY_REQUESTS, "throttled", "Request was throttled.")
        message = self._limit_headers.sentence(wait_seconds)
        response = self.responses.error(_TOO_MANY_REQUESTS, "throttled", message)
        return response.with_headers(self._limit_headers.retry_after(wait_seconds))

    def _deduplicate(
        self, key: str | None, caller: Caller | None, response: SandboxResponse
    ) -> tuple[SandboxResponse, bool]:
        """The first response to an idempotency key, and whether the key is repeated."""
        if key is None or caller is None or not _is_processed(response):
            return response, False
        place = (caller.account, key)
        if place in self._first_responses:
            return self._first_responses[place], True
        if len(self._first_responses) >= _MAX_IDEMPOTENCY_KEYS:
            self._first_responses.pop(next(iter(self._first_responses)))
        self._first_responses[place] = response
        return response, False


def _is_processed(response: SandboxResponse) -> bool:
    names = (name.lower() for name, _ in response.headers)
    return is_processed(response.status, has_retry_after="retry-after" in names)


def _has_retired(settings: Settings, now: float) -> bool:
    retires_on = (settings.get("status") or {}).get("retires_on")
    return bool(retires_on) and date.fromisoformat(str(retires_on)) < datetime.fromtimestamp(now, UTC).date()
