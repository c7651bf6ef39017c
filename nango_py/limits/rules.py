"""The `rate_limits` block of a blueprint: which budgets a call spends from.

Cases match by method, path pattern and query parameters; the first match decides. Calls with the same key
count together. A key consists of the scope (`counted_per`), the budget's `key` and the limits of the case. So
cases of one endpoint with different limits have separate counters, like APIs that count by operation and
parameter, and cases with equal limits and an equal rendered key share one. Cases that name the same `key`
count together, and the limits of all of them apply to each.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nango_py.config.request_match import BODY, PARAMS, MatchTable, RequestFacts, RequestMatch, segments_of
from nango_py.config.response_match import ResponseMatch, describe_when
from nango_py.config.template.filters import TemplateProblem
from nango_py.config.values import as_tuple
from nango_py.errors import printable
from nango_py.limits.counting.calendar_periods import get_time_zone
from nango_py.limits.key_names import CounterKey, budget_number
from nango_py.limits.limit_types import CalendarPeriod, InFlight, Spend
from nango_py.limits.notation import parse_limit
from nango_py.limits.owners import CONNECTION, INTEGRATION, Owner
from nango_py.record import record, replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from nango_py.json_types import Settings
    from nango_py.limits.limit_types import Limit
    from nango_py.limits.owners import KeyTemplate, Variables

CALL_NAMES = frozenset({"method", "path", "endpoint", "segment", "params", "body"})
"""Names in the key of a budget that differ from call to call."""

FIXED_NAMES = CALL_NAMES - {"params", "body"}
"""Those of them that are the same for all calls to one endpoint."""


@record
class _Case:
    """One of `cases`, or `otherwise`, which matches every call.

    Attributes:
        match: the calls that it is for.
        cost: what a call takes.
        settle: where its response says what it has cost.
        settle_header: the header that says it, or "".
        cap: how many calls may be in flight, if it is not the budget's.
        counter: the part of the key that differs between cases with different limits.
        zones: for each limit the template of its time zone, or None; empty if no zone is a template.
    """

    match: RequestMatch
    limits: tuple[Limit, ...]
    cost: int = 1
    settle: str = ""
    settle_header: str = ""
    cap: InFlight | None = None
    key: CounterKey | None = None
    counter: str = ""
    zones: tuple[KeyTemplate | None, ...] = ()

    def limits_for(self, variables: Variables) -> tuple[Limit, ...]:
        """The limits, in the time zones of a connection."""
        if not self.zones:
            return self.limits
        return _in_zones(self.limits, tuple([zone.render(variables) if zone else "" for zone in self.zones]))


@lru_cache(maxsize=1024)
def _in_zones(limits: tuple[Limit, ...], zones: tuple[str, ...]) -> tuple[Limit, ...]:
    found: list[Limit] = []
    for limit, zone in zip(limits, zones, strict=True):
        if zone and isinstance(limit, CalendarPeriod):
            try:
                get_time_zone(zone)
            except ValueError:
                what = f'unknown time zone "{printable(zone, 64)}"'
                raise TemplateProblem("E204", what, expected="expected UTC or an IANA name") from None
            label = f"{limit.requests}/{limit.period} {zone}"
            found.append(CalendarPeriod(limit.requests, zone, label, limit.period))
        else:
            found.append(limit)
    return tuple(found)


class _Budget:
    """One of `budgets`; the last of its cases is `otherwise`, if there is one.

    Attributes:
        owner: the place of its owner among those of all budgets.
    """

    def __init__(
        self,
        number: int,
        name: str,
        owner: int,
        key: CounterKey,
        cases: tuple[_Case, ...],
        caps: tuple[InFlight, ...],
        *,
        is_learned: bool,
    ) -> None:
        self.number = number
        self.name = name
        self.owner = owner
        self.key = key
        self.cases = cases
        self.caps = caps
        self.is_learned = is_learned and not any(case.limits for case in cases)
        """Whether only responses state its limits."""
        self.has_limits = bool(caps) or self.is_learned or any(case.limits or case.cap for case in cases)
        """Whether it counts; if not, it only has gates."""
        self.table = MatchTable(case.match for case in cases)
        self.names = key.names | frozenset().union(*(case.key.names for case in cases if case.key))
        """The names in all keys of the budget."""
        self.roots = frozenset(name.partition(".")[0] for name in self.names)

    def suffixes(self, case: _Case, variables: Variables, *, has_pattern: bool) -> tuple[str, str]:
        """The keys of a call's windows and of its place in flight, without their scope."""
        key = own = (case.key or self.key).render(variables, has_pattern=has_pattern)
        if case.key and (self.caps or case.cap):
            own = self.key.render(variables, has_pattern=has_pattern)
        cap = case.cap.label if case.cap else "in flight"
        return f"{self.number} {key} {case.counter}", f"{self.number} {own} {cap}"


@record
class Refusal:
    """One of `refusals`: a response that means certain budgets.

    Attributes:
        text: what it is, for explain().
        closes: names of budgets.
    """

    text: str
    when: ResponseMatch
    closes: tuple[str, ...]


class RateLimits:
    """The `rate_limits` of one integration. Safe to share between threads.

    Attributes:
        owners: of the quotas; the first is that of learned limits, and of calls without a budget.
        refusals: the responses that say which budget they mean.
        has_budgets: whether the blueprint has limits; if not, they are learned.
        are_settled: whether responses say what calls of some budgets have cost.
        has_learned_budgets: whether only responses state the limits of some budgets; their spends have none
            here.
    """

    def __init__(
        self,
        owners: tuple[Owner, ...],
        budgets: tuple[_Budget, ...],
        refusals: tuple[Refusal, ...] = (),
        routes: Iterable[str] = (),
    ) -> None:
        self.owners = owners
        self.refusals = refusals
        self.has_budgets = any(budget.has_limits for budget in budgets)
        self.has_learned_budgets = any(budget.is_learned for budget in budgets)
        cases = [case for budget in budgets for case in budget.cases]
        self.are_settled = any(case.settle or case.settle_header for case in cases)
        self._budgets = budgets
        self._routes = tuple(routes)
        self._route_table = MatchTable(RequestMatch(patterns=(segments_of(route),)) for route in self._routes)
        # Programs have few endpoints, so what is the same for all calls to one is cached.
        self._fixed_suffixes = lru_cache(maxsize=4096)(self._render_fixed)

    @classmethod
    def from_settings(
        cls, settings: Settings | None, compile_text: Callable[[str], KeyTemplate] | None = None
    ) -> RateLimits:
        """The rules of a `rate_limits` block that passed the schema; None means no budgets.

        Args:
            settings: see docs/rate-limits.md.
            compile_text: compiles the text of a key; by default as the `${...}` of blueprints.

        Raises:
            ValueError: the text of a limit is invalid.
        """
        settings = settings or {}
        if compile_text is None:
            from nango_py.config.template.compiler import compile_template

            compile_text = compile_template
        counted_per = settings.get("counted_per", CONNECTION)
        rows = settings.get("budgets", ())
        written = list(dict.fromkeys([counted_per, *(row.get("counted_per", counted_per) for row in rows)]))
        budgets = tuple(
            _parse_budget(number, row, written.index(row.get("counted_per", counted_per)), compile_text)
            for number, row in enumerate(rows)
        )
        owners = tuple(
            Owner(text if text in {CONNECTION, INTEGRATION} else compile_text(text)) for text in written
        )
        refusals = tuple(map(_parse_refusal, settings.get("refusals", ())))
        return cls(owners, budgets, refusals, settings.get("routes", ()))

    @property
    def is_shared(self) -> bool:
        """Whether several connections may have one quota."""
        return any(owner.is_shared for owner in self.owners)

    def scopes_of(self, variables: Variables, host: str = "", counted: str = "") -> tuple[str, ...]:
        """The start of the keys of each owner; see `Owner.scope`."""
        return tuple([owner.scope(variables, host, counted) for owner in self.owners])

    def spends_and_gates(
        self, facts: RequestFacts, variables: Variables, scopes: tuple[str, ...] | None = None
    ) -> tuple[tuple[Spend, ...], tuple[str, ...]]:
        """What the call spends from each budget that applies to it, and the gates of these budgets.

        The gates stop the call while they are closed, and a 429 response to it closes some of them. They are
        those of the budgets, because an API that counts endpoints separately also refuses them separately. A
        call without a budget has the gate of its whole scope.

        Args:
            facts: of the call.
            variables: the template variables of the connection, including `integration` and `user_id`.
            scopes: whose quotas it uses, for each owner; those of `scopes_of` by default.
        """
        scopes = self.scopes_of(variables) if scopes is None else scopes
        spends, gates = [], []
        for budget in self._budgets:
            number = budget.table.first(facts)
            if number is None:
                continue
            case = budget.cases[number]
            if budget.roots <= FIXED_NAMES:
                suffixes = self._fixed_suffixes(budget.number, number, facts.method, facts.path)
            else:
                names = {**variables, **_call_values(budget.names, facts)}
                suffixes = self._suffixes(budget, case, facts.method, facts.path, names)
            key, cap_key = f"{scopes[budget.owner]} {suffixes[0]}", f"{scopes[budget.owner]} {suffixes[1]}"
            caps = (case.cap,) if case.cap else budget.caps
            if case.limits or budget.is_learned:
                limits = case.limits_for(variables) if case.zones else case.limits
                spends.append(Spend(key, limits, case.cost, case.settle, case.settle_header))
            if caps:
                spends.append(Spend(cap_key, caps))
            if case.limits or budget.is_learned or not caps:
                gates.append(key)
            if caps:
                gates.append(cap_key)
        return tuple(spends), tuple(gates) or scopes[:1]

    def _render_fixed(self, budget: int, case: int, method: str, path: str) -> tuple[str, str]:
        return self._suffixes(self._budgets[budget], self._budgets[budget].cases[case], method, path, {})

    def _suffixes(
        self, budget: _Budget, case: _Case, method: str, path: str, variables: Variables
    ) -> tuple[str, str]:
        pattern = case.match.pattern_of(path) or self._route_of(path)
        names = {
            **variables,
            "method": method, "path": path, "endpoint": pattern or endpoint_of(path),
            "segment": _Segments(case.match.capture(path)),
        }  # fmt: skip
        return budget.suffixes(case, names, has_pattern=bool(pattern))

    def _route_of(self, path: str) -> str:
        number = self._route_table.first(RequestFacts("", path)) if self._routes else None
        return "" if number is None else "/".join(segments_of(self._routes[number]))

    def keys_named(self, keys: Collection[str], names: Collection[str]) -> tuple[str, ...]:
        """Of the keys of a call's budgets, those of budgets with these names."""
        return tuple(key for key in keys if (budget := self._budget_of(key)) and budget.name in names)

    def names_of(self, keys: Collection[str]) -> tuple[str, ...]:
        """The names of the budgets that keys belong to."""
        budgets = (self._budget_of(key) for key in keys)
        return tuple(dict.fromkeys(budget.name for budget in budgets if budget))

    def narrowest(self, keys: Collection[str], steps: int = 1) -> tuple[str, ...]:
        """Of the keys of a call's budgets, those of the budgets that the fewest other calls share.

        Args:
            keys: of the call's spends.
            steps: with 2, those of the next wider budgets too, and so on.
        """
        ranks = {key: self._narrowness(key) for key in keys}
        chosen = sorted(set(ranks.values()), reverse=True)[:steps]
        return tuple(key for key, rank in ranks.items() if rank in chosen)

    def _narrowness(self, key: str) -> tuple[int, int]:
        budget = self._budget_of(key)
        if budget is None:
            return 0, 0
        return self.owners[budget.owner].narrowness, len(budget.roots & CALL_NAMES)

    def _budget_of(self, key: str) -> _Budget | None:
        number = budget_number(key)
        return None if number is None else self._budgets[number]


class _Segments(dict[str, str]):
    """Captured segments; one that the pattern does not have is empty."""

    def __missing__(self, _: str) -> str:
        return ""


def _call_values(names: Iterable[str], facts: RequestFacts) -> dict[str, object]:
    """The parameters and fields of a call that names such as `params.ids` and `body.user.id` mean.

    They are texts, empty if the call has none.
    """
    values: dict[str, Any] = {}
    for name in names:
        source, _, path = name.partition(".")
        if source in {PARAMS, BODY} and path:
            *above, last = name.split(".")
            place = values
            for key in above:
                place = place.setdefault(key, {})
            place[last] = ",".join(sorted(facts.texts(source, path)))
    return values


@lru_cache(maxsize=4096)
def endpoint_of(path: str) -> str:
    """The path with each segment that looks like an id replaced by `*`: profiles/123 becomes profiles/*."""
    return "/".join("*" if _ID.fullmatch(segment) else segment for segment in segments_of(path))


_ID = re.compile(
    r"""
      \d+                                                        # numbers
    | [0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}       # UUID
    | [0-9a-fA-F]{16,}                                           # hexadecimal digests and object ids
    | [0-9A-HJKMNP-TV-Z]{26}                                     # ULID
    | (?=[^a-z]*\d)[A-Z0-9]{6,}                                  # 01HXYZ..., U024BE7LH
    | (?=[^/]*\d)(?=[^/]*[A-Za-z])[A-Za-z0-9]{10,}               # opaque mixed ids
    | [A-Za-z]{1,8}_(?=[^/]*\d)[A-Za-z0-9]{8,}                   # cus_4fdAW5ftNQow1a
    | [^/]*(?:@|%40)[^/]*                                        # mail addresses
    | -?\d[\d.:,T+-]*Z?                                          # dates and decimals
    """,
    re.VERBOSE,
)


def _parse_refusal(settings: Settings) -> Refusal:
    closes = tuple(map(str, as_tuple(settings["closes"])))
    return Refusal(describe_when(settings["when"]), ResponseMatch.from_settings(settings["when"]), closes)


def _parse_budget(
    number: int, settings: Settings, owner: int, compile_text: Callable[[str], KeyTemplate]
) -> _Budget:
    rows = list(settings.get("cases", ()))
    if settings.get("otherwise"):
        rows.append({"windows": settings["otherwise"]})
    max_in_flight = settings.get("max_in_flight")
    is_learned = _states_limits(settings.get("headers"))
    if not settings.get("otherwise") and (max_in_flight or not rows):
        rows.append({"windows": ()})
    together: dict[str, list[object]] = {}
    for row in rows:
        if "key" in row:
            together.setdefault(row["key"], []).extend(row.get("windows", ()))
    cases = []
    for row in rows:
        match = RequestMatch.from_settings(row.get("match"))
        cost, settle, settle_header = _parse_cost(row.get("cost", settings.get("cost", 1)))
        windows = together[row["key"]] if "key" in row else row.get("windows", ())
        limits, zones = _parse_limits(windows, compile_text)
        cases.append(
            _Case(
                match=match,
                limits=limits,
                cost=cost,
                settle=settle,
                settle_header=settle_header,
                cap=_parse_cap(row.get("max_in_flight")),
                zones=zones,
                key=CounterKey(compile_text(row["key"])) if "key" in row else None,
                counter="" if "key" in row else ",".join(limit.label for limit in limits),
            )
        )
    cap = _parse_cap(max_in_flight)
    caps = (cap,) if cap else ()
    name, key = settings.get("name", settings["key"]), CounterKey(compile_text(settings["key"]))
    return _Budget(number, str(name), owner, key, tuple(cases), caps, is_learned=is_learned)


def _states_limits(families: Settings | Iterable[Settings] | None) -> bool:
    """Whether headers of a budget state its limits."""
    return any("limit" in row for row in as_tuple(families))


def _parse_cap(most: int | None) -> InFlight | None:
    return InFlight(int(most), f"{most} in flight") if most else None


def _parse_cost(written: int | Settings) -> tuple[int, str, str]:
    """The cost, and the JMESPath or the header that says what it was."""
    if isinstance(written, int):
        return written, "", ""
    settle = written["settle"]
    if isinstance(settle, str):
        return int(written["reserve"]), str(settle), ""
    return int(written["reserve"]), "", str(settle["header"])


def _parse_limits(
    written: Iterable[Any], compile_text: Callable[[str], KeyTemplate]
) -> tuple[tuple[Limit, ...], tuple[KeyTemplate | None, ...]]:
    """The limits, and the templates of their time zones; none if all zones are constants."""
    found: dict[Limit, KeyTemplate | None] = {}
    for entry in written:
        zone = "" if isinstance(entry, str) else str(entry.get("time_zone", ""))
        if "${" in zone:
            limit = parse_limit({**entry, "time_zone": "UTC"})
            found[replaced(limit, label=f"{limit.label.rpartition(' ')[0]} {zone}")] = compile_text(zone)
        else:
            found[parse_limit(entry)] = None
    return tuple(found), tuple(found.values()) if any(found.values()) else ()
