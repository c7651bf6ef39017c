"""The `rate_limits` block of a blueprint: which budgets a call spends from.

Cases match by method, path pattern and query parameters; the first match decides. Calls with the same key
count together. A key consists of the scope (`counted_per`), the budget's `key` and the limits of the case. So
cases of one endpoint with different limits have separate counters, like APIs that count by operation and
parameter, and cases with equal limits and an equal rendered key share one. Cases that name the same `key`
count together, and the limits of all of them apply to each.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeAlias

from nango_py.config.urls.paths import segments_fit, segments_of
from nango_py.limits.limit_types import InFlight, Spend
from nango_py.limits.notation import parse_limit
from nango_py.record import field, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nango_py.json_types import Settings
    from nango_py.limits.limit_types import Limit

    Variables: TypeAlias = Mapping[str, object]

CONNECTION = "connection"
INTEGRATION = "integration"
TRIAL = "trial"
CALL_NAMES = frozenset({"method", "path", "endpoint"})
"""Names in the key of a budget that differ from call to call."""


class KeyTemplate(Protocol):
    """A compiled `${...}` text."""

    @property
    def names(self) -> Iterable[str]:
        """The variables in it."""

    def render(self, variables: Variables, /) -> str:
        """The text with its names replaced by values."""


@record
class CallFacts:
    """What cases match.

    Attributes:
        method: in upper or lower case.
        path: below base_url, without the query.
        params: the query, by name: a text, a number, or a list of them.
    """

    method: str
    path: str
    params: Mapping[str, object] = field(default_factory=dict)


@record
class _Case:
    """One of `cases`. Without methods, segments and params it matches every call.

    Attributes:
        counter: the part of the key that differs between cases with different limits.
    """

    limits: tuple[Limit, ...]
    methods: frozenset[str] = frozenset()
    path: str = ""
    segments: tuple[str, ...] | None = None
    params: tuple[tuple[str, frozenset[str]], ...] = ()
    cost: int = 1
    key: KeyTemplate | None = None
    counter: str = ""

    def matches_path(self, method: str, segments: tuple[str, ...]) -> bool:
        """Whether method and path match; parameters are checked separately."""
        return (not self.methods or method in self.methods) and (
            self.segments is None or segments_fit(self.segments, segments)
        )


@record
class _Budget:
    """One of `budgets`; the last of its cases is `otherwise`, if there is one."""

    number: int
    key: KeyTemplate
    cases: tuple[_Case, ...]
    caps: tuple[InFlight, ...] = ()


class RateLimits:
    """The `rate_limits` of one integration. Safe to share between threads."""

    def __init__(self, scope: str | KeyTemplate, budgets: tuple[_Budget, ...]) -> None:
        self._scope = scope
        self._budgets = budgets
        # Blueprints have hundreds of cases and programs few endpoints, so the matching ones are cached.
        self._candidates = lru_cache(maxsize=1024)(self._find_candidates)

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
        scope = counted_per if counted_per in {CONNECTION, INTEGRATION} else compile_text(counted_per)
        budgets = enumerate(settings.get("budgets", ()))
        return cls(scope, tuple(_parse_budget(number, budget, compile_text) for number, budget in budgets))

    @property
    def has_budgets(self) -> bool:
        """Whether the blueprint has limits; if not, they are learned."""
        return bool(self._budgets)

    @property
    def is_shared(self) -> bool:
        """Whether several connections may have one quota."""
        return self._scope != CONNECTION

    @property
    def scope_names(self) -> tuple[str, ...]:
        """The names in the template of `counted_per`; empty if it is a word."""
        return () if isinstance(self._scope, str) else tuple(self._scope.names)

    def spends_and_gates(
        self, facts: CallFacts, variables: Variables, scope: str | None = None
    ) -> tuple[tuple[Spend, ...], tuple[str, ...]]:
        """What `spends` and `gates` return."""
        scope = self.scope_of(variables) if scope is None else scope
        spends = self.spends(facts, variables, scope)
        return spends, tuple(spend.key for spend in spends) or (scope,)

    def spends(self, facts: CallFacts, variables: Variables, scope: str | None = None) -> tuple[Spend, ...]:
        """What the call spends from each budget that applies to it.

        Args:
            facts: of the call.
            variables: the template variables of the connection, including `integration` and `user_id`.
            scope: whose quota it uses; that of `scope_of` by default.
        """
        method = facts.method.upper()
        candidates = self._candidates(method, facts.path)
        if not candidates:
            return ()
        scope = self.scope_of(variables) if scope is None else scope
        found = []
        for budget, cases in candidates:
            case = next((case for case in cases if _params_match(case.params, facts.params)), None)
            if case is None:
                continue
            endpoint = case.path or endpoint_of(facts.path)
            names = {**variables, "method": method, "path": facts.path, "endpoint": endpoint}
            key = (case.key or budget.key).render(names)
            if case.limits:
                found.append(Spend(f"{scope} {budget.number} {key} {case.counter}", case.limits, case.cost))
            if budget.caps:
                key = key if case.key is None else budget.key.render(names)
                found.append(Spend(f"{scope} {budget.number} {key} in flight", budget.caps))
        return tuple(found)

    def gates(self, facts: CallFacts, variables: Variables) -> tuple[str, ...]:
        """The gates that stop the call while they are closed, and that a 429 response to it closes.

        They are the keys of its budgets, because an API that counts endpoints separately also refuses them
        separately. A call without a budget has the gate of its whole scope.
        """
        return self.spends_and_gates(facts, variables)[1]

    def narrowest(self, keys: Collection[str], scope: str) -> tuple[str, ...]:
        """Of the keys of a call's budgets, those of the budget that the fewest other calls share.

        Args:
            keys: of the call's spends.
            scope: the one that they begin with.
        """
        numbers = {key: int(key[len(scope) + 1 :].partition(" ")[0]) for key in keys}
        narrowness = {number: self._narrowness(number) for number in numbers.values()}
        most = max(narrowness.values())
        return tuple(key for key, number in numbers.items() if narrowness[number] == most)

    def _narrowness(self, number: int) -> int:
        names = {name.partition(".")[0] for name in self._budgets[number].key.names}
        return len(names & CALL_NAMES)

    def scope_of(self, variables: Variables, host: str = "", counted: str = "") -> str:
        """Whose quota a call of this connection uses: the start of all its keys.

        Users and values are hashed, because a shared store may be readable by others.

        Args:
            variables: the template variables of the connection.
            host: the host that the user named, or "".
            counted: CONNECTION or TRIAL to count apart from other connections, whatever the blueprint says.
        """
        integration = variables["integration"]
        scope = counted or self._scope
        suffix = f"@{_digest(host)}" if host else ""
        if scope == CONNECTION:
            return f"{integration} u{_digest(str(variables['user_id']))}{suffix}"
        if scope == TRIAL:
            return f"{integration} t{_digest(str(variables['user_id']))}{suffix}"
        if scope == INTEGRATION:
            return f"{integration}{suffix}"
        assert not isinstance(scope, str)  # noqa: S101 - the words are handled above
        return f"{integration} ={_digest(scope.render(variables))}{suffix}"

    def _find_candidates(self, method: str, path: str) -> tuple[tuple[_Budget, tuple[_Case, ...]], ...]:
        segments = segments_of(path)
        found = (
            (budget, tuple(case for case in budget.cases if case.matches_path(method, segments)))
            for budget in self._budgets
        )
        return tuple((budget, cases) for budget, cases in found if cases)


@lru_cache(maxsize=4096)
def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


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


def _parse_budget(number: int, settings: Settings, compile_text: Callable[[str], KeyTemplate]) -> _Budget:
    rows = list(settings.get("cases", ()))
    if settings.get("otherwise"):
        rows.append({"windows": settings["otherwise"]})
    max_in_flight = settings.get("max_in_flight")
    if max_in_flight and not settings.get("otherwise"):
        rows.append({"windows": ()})
    together: dict[str, list[object]] = {}
    for row in rows:
        if "key" in row:
            together.setdefault(row["key"], []).extend(row["windows"])
    cases = []
    for row in rows:
        match = row.get("match", {})
        path = match.get("path")
        limits = _parse_limits(together[row["key"]] if "key" in row else row["windows"])
        cases.append(
            _Case(
                limits=limits,
                methods=frozenset(name.upper() for name in _as_list(match.get("method", ()))),
                path="" if path is None else "/".join(segments_of(path)),
                segments=None if path is None else segments_of(path),
                params=tuple((name, _values(wanted)) for name, wanted in match.get("params", {}).items()),
                cost=int(row.get("cost", 1)),
                key=compile_text(row["key"]) if "key" in row else None,
                counter="" if "key" in row else ",".join(limit.label for limit in limits),
            )
        )
    caps = (InFlight(int(max_in_flight), f"{max_in_flight} in flight"),) if max_in_flight else ()
    return _Budget(number, compile_text(settings["key"]), tuple(cases), caps)


def _as_list(value: str | Iterable[str]) -> Iterable[str]:
    return (value,) if isinstance(value, str) else value


def _parse_limits(written: Iterable[object]) -> tuple[Limit, ...]:
    return tuple(dict.fromkeys(parse_limit(entry) for entry in written))


def _params_match(wanted: tuple[tuple[str, frozenset[str]], ...], params: Mapping[str, object]) -> bool:
    """Whether each named parameter is present with all wanted values among its comma-separated ones."""
    return all(name in params and values <= _values(params[name]) for name, values in wanted)


def _values(value: object) -> frozenset[str]:
    if isinstance(value, bool):
        return frozenset({"true" if value else "false"})
    if isinstance(value, str | int | float):
        return frozenset(part.strip() for part in str(value).split(","))
    parts = value if isinstance(value, Collection) else ()
    return frozenset().union(*(_values(part) for part in parts))
