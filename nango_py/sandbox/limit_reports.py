"""What responses say of the limits that a blueprint describes: families of headers, bodies and refusals."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nango_py.config.values import as_tuple
from nango_py.json_path import search_json
from nango_py.record import replaced
from nango_py.sandbox.budgets import label_of
from nango_py.sandbox.documents import write_at_path
from nango_py.sandbox.expressions import unwrap
from nango_py.sandbox.limit_headers import format_moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nango_py.clock import Clock
    from nango_py.json_types import JsonValue, Settings
    from nango_py.sandbox.request_counts import LimitState, Verdict
    from nango_py.sandbox.responses import SandboxResponse

_TOO_MANY_REQUESTS = 429


class LimitReports:
    """The families of headers and the bodies that report the limits of one API.

    Args:
        rate_limits: of the blueprint.
        clock: for dates.
    """

    def __init__(self, rate_limits: Settings, clock: Clock) -> None:
        self._clock = clock
        self._budgets: Sequence[Settings] = rate_limits.get("budgets") or ()
        self._families = list(self._find_families())
        self._bodies: list[tuple[int | None, Settings]] = [
            (index, budget["body"]) for index, budget in enumerate(self._budgets) if budget.get("body")
        ]
        if rate_limits.get("body"):
            self._bodies.append((None, rate_limits["body"]))
        self._refusals: Sequence[Settings] = rate_limits.get("refusals") or ()

    @property
    def has_families(self) -> bool:
        """Whether budgets have own headers, so that the common ones are not sent."""
        return bool(self._families)

    def _find_families(self) -> Iterator[tuple[int, Settings]]:
        for index, budget in enumerate(self._budgets):
            declared: Settings | Sequence[Settings] = budget.get("headers") or ()
            for family in [declared] if isinstance(declared, Mapping) else declared:
                yield index, family

    def apply(self, response: SandboxResponse, verdict: Verdict) -> SandboxResponse:
        """The response with what the blueprint reads of limits in it, for a request that was counted."""
        headers: dict[str, str] = {}
        for index, family in self._families:
            state = _choose(verdict.states, index, family.get("window"))
            if state is not None:
                headers.update(self._headers_of(family, state))
        document = changed = read_json(response)
        for budget, body in self._bodies if isinstance(document, dict) else ():
            state = verdict.rejected or _choose(verdict.states, budget, None)
            if state is not None and budget in {None, state.budget}:
                changed = self._write_body(changed, body, state, verdict.wait_seconds)
        if changed is not document:
            response = replaced(response, body=json.dumps(changed).encode())
        response = response.with_headers(headers)
        return response if verdict.rejected is None else self._as_refusal(response, verdict.rejected)

    def _headers_of(self, family: Settings, state: LimitState) -> Iterator[tuple[str, str]]:
        remaining = str(max(0, math.floor(state.remaining + 1e-9)))
        values = {"limit": f"{state.limit:g}", "remaining": remaining}
        for key in ("limit", "remaining", "reset"):
            declared = family.get(key)
            if not declared:
                continue
            name = declared if isinstance(declared, str) else declared["name"]
            means = "" if isinstance(declared, str) else declared.get("means", "")
            if means == "requests_per_second":
                yield unwrap(name), f"{state.limit / state.seconds:g}"
            elif key == "reset":
                yield unwrap(name), format_moment(state.reset_seconds, unwrap(means), self._clock)
            else:
                yield unwrap(name), values[key]

    def _write_body(self, document: JsonValue, body: Settings, state: LimitState, wait: float) -> JsonValue:
        values: dict[str, JsonValue] = {
            "remaining": max(0, math.floor(state.remaining + 1e-9)),
            "limit": int(state.limit),
            "restore_per_second": round(state.limit / state.seconds, 6),
        }
        moments = {"reset": state.reset_seconds, **({"wait": wait} if wait > 0 else {})}
        for key, seconds in moments.items():
            means = unwrap(_pointer(body.get(key)).get("means") or "seconds")
            text = format_moment(seconds, means, self._clock)
            values[key] = int(text) if text.isdigit() else text
        for key, value in values.items():
            document = write_at_path(document, unwrap(_pointer(body.get(key)).get("path") or ""), value)
        return document

    def _as_refusal(self, response: SandboxResponse, rejected: LimitState) -> SandboxResponse:
        """The refusal that the blueprint's `refusals` say of this budget, if they do."""
        budget = self._budgets[rejected.budget]
        name = unwrap(budget.get("name") or budget.get("key") or "")
        for entry in self._refusals:
            closes = [entry["closes"]] if isinstance(entry["closes"], str) else entry["closes"]
            if name in map(unwrap, closes):
                return _as_described(response, entry["when"])
        return response


def _choose(
    states: Iterable[LimitState], budget: int | None, window: str | Settings | None
) -> LimitState | None:
    """The state of a window; without one, that of the longest window of the budget, or of all."""
    found = [state for state in states if budget is None or state.budget == budget]
    if window is not None:
        label = label_of(window)
        found = [state for state in found if state.label == label]
    return max(found, key=lambda state: state.seconds, default=None)


def _as_described(response: SandboxResponse, when: Settings) -> SandboxResponse:
    """The response, changed so that the conditions of a `when` hold."""
    statuses = as_tuple(when.get("status"))
    status = next((each for each in statuses if isinstance(each, int)), _TOO_MANY_REQUESTS)
    header: str | Settings = when.get("header") or {}
    named = {header: "1"} if isinstance(header, str) else dict(header)
    document = read_json(response)
    wanted: Settings | Sequence[Settings] = when.get("json") or ()
    for each in [wanted] if isinstance(wanted, Mapping) else wanted:
        if "equals" in each:
            document = write_at_path(document, unwrap(each["path"]), each["equals"])
    if when.get("body_contains"):
        document = write_at_path(document, "message", unwrap(when["body_contains"]))
    response = replaced(response, status=status, body=json.dumps(document).encode())
    return response.with_headers({unwrap(name): unwrap(text) for name, text in named.items()})


def _pointer(declared: str | Settings | None) -> Settings:
    """A JMESPath with its unit."""
    return declared if isinstance(declared, Mapping) else {"path": declared}


def settled_cost(
    response: SandboxResponse, path: str, header: str, reserved: int
) -> tuple[SandboxResponse, int]:
    """The response with the real cost of the request, half of what was reserved unless it states one."""
    if header:
        given = {name.lower(): value for name, value in response.headers}
        if header.lower() in given:
            return response, int(float(given[header.lower()]))
        actual = max(1, reserved // 2)
        return response.with_headers({header: str(actual)}), actual
    document = read_json(response)
    stated = search_json(path, document)
    if isinstance(stated, int | float):
        return response, int(stated)
    actual = max(1, reserved // 2)
    if not isinstance(document, dict):
        return response, actual
    return replaced(response, body=json.dumps(write_at_path(document, path, actual)).encode()), actual


def read_json(response: SandboxResponse) -> JsonValue:
    """The JSON of a response; None if it has none."""
    try:
        document: JsonValue = json.loads(response.body)
    except ValueError:
        return None
    return document
