"""Which budgets a call spends from: the `rate_limits` block of a blueprint, ready to be asked.

Calls are told apart by method, path pattern and query parameters; the first case that matches decides. What
counts together is one key: whose quota it is (`counted_per`), the budget's own `key`, and the limits of the
case. So cases of one endpoint with different limits have a counter each, as APIs that count by operation and
parameter do, and cases with equal limits and an equal rendered key share one. A case that must count together
with others names the same `key` as they do: then the limits of all of them hold for each.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from nango_py.config.urls.path_patterns import segments_fit, segments_of
from nango_py.limits.limit_types import InFlight, Spend
from nango_py.limits.notation import parse_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nango_py.limits.limit_types import Limit

CONNECTION = "connection"
INTEGRATION = "integration"


class KeyTemplate(Protocol):
    """What a compiled `${...}` text must offer here."""

    def render(self, variables: Mapping[str, Any], /) -> str:
        """The text with its names filled in."""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What tells one call from another.

    Attributes:
        method: in any case.
        path: below base_url, without query.
        params: the query: name to a text, a number, or a list of them.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Case:
    """One row of `cases`. No methods, segments None and no params match everything.

    Attributes:
        counter: tells its key from the keys of cases with other limits.
    """

    limits: tuple[Limit, ...]
    methods: frozenset[str] = frozenset()
    path: str = ""
    segments: tuple[str, ...] | None = None
    params: tuple[tuple[str, frozenset[str]], ...] = ()
    cost: int = 1
    key: KeyTemplate | None = None
    counter: str = ""

    def fits(self, method: str, segments: tuple[str, ...]) -> bool:
        """Whether method and path match; the parameters are asked apart."""
        return (not self.methods or method in self.methods) and (
            self.segments is None or segments_fit(self.segments, segments)
        )


@dataclass(frozen=True, slots=True)
class _Budget:
    """One entry of `budgets`: `cases` end with `otherwise`, where there is one."""

    number: int
    key: KeyTemplate
    cases: tuple[_Case, ...]
    flight: tuple[InFlight, ...] = ()


class RateLimits:
    """The `rate_limits` of one integration. Safe to share between threads."""

    def __init__(self, scope: str | KeyTemplate, budgets: tuple[_Budget, ...]) -> None:
        self._scope = scope
        self._budgets = budgets
        # Blueprints have hundreds of cases, programs few endpoints: what depends on both only is kept.
        self._candidates = lru_cache(maxsize=1024)(self._find_candidates)

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any] | None, compile_text: Callable[[str], KeyTemplate] | None = None
    ) -> RateLimits:
        """The rules of a checked `rate_limits` block; None or an empty one means no budgets.

        Args:
            settings: the block, as design and docs/rate-limits.md write it.
            compile_text: makes a template of a key's text; the blueprints' own `${...}` by default.

        Raises:
            ValueError: a window is not written as windows are.
        """
        settings = settings or {}
        if compile_text is None:
            from nango_py.config.template.compiler import compile_template

            compile_text = compile_template
        written = settings.get("counted_per", CONNECTION)
        scope = written if written in {CONNECTION, INTEGRATION} else compile_text(written)
        budgets = enumerate(settings.get("budgets", ()))
        return cls(scope, tuple(_budget(number, budget, compile_text) for number, budget in budgets))

    @property
    def has_budgets(self) -> bool:
        """Whether the blueprint says anything of rates; where it does not, they are learned."""
        return bool(self._budgets)

    def admission(
        self, facts: CallFacts, variables: Mapping[str, Any]
    ) -> tuple[tuple[Spend, ...], tuple[str, ...]]:
        """What `spends` and `gates` say, for the price of one."""
        spends = self.spends(facts, variables)
        return spends, tuple(spend.key for spend in spends) or (self.scope_of(variables),)

    def spends(self, facts: CallFacts, variables: Mapping[str, Any]) -> tuple[Spend, ...]:
        """What the call takes from each budget that applies to it.

        Args:
            facts: the call.
            variables: the template names of this connection; `integration` and `user_id` must be there.
        """
        method = facts.method.upper()
        candidates = self._candidates(method, facts.path)
        if not candidates:
            return ()
        scope = self.scope_of(variables)
        found = []
        for budget, cases in candidates:
            case = next((case for case in cases if _params_fit(case.params, facts.params)), None)
            if case is None:
                continue
            endpoint = case.path or endpoint_of(facts.path)
            names = {**variables, "method": method, "path": facts.path, "endpoint": endpoint}
            own = (case.key or budget.key).render(names)
            if case.limits:
                found.append(Spend(f"{scope} {budget.number} {own} {case.counter}", case.limits, case.cost))
            if budget.flight:
                own = own if case.key is None else budget.key.render(names)
                found.append(Spend(f"{scope} {budget.number} {own} in flight", budget.flight))
        return tuple(found)

    def gates(self, facts: CallFacts, variables: Mapping[str, Any]) -> tuple[str, ...]:
        """The gates the call must pass, and the ones that a 429 for it closes.

        They are the keys of its budgets: an API that counts each endpoint apart also refuses each apart. A
        call without a budget has the gate of its whole scope.
        """
        return self.admission(facts, variables)[1]

    def scope_of(self, variables: Mapping[str, Any]) -> str:
        """Whose quota a call of this connection uses: what every key of its budgets begins with."""
        integration = variables["integration"]
        if self._scope == CONNECTION:
            # The length keeps "a b"/"c" and "a"/"b c" apart.
            return f"{integration} {len(variables['user_id'])}:{variables['user_id']}"
        if self._scope == INTEGRATION:
            return str(integration)
        assert not isinstance(self._scope, str)  # noqa: S101 - the two texts are dealt with
        # It may hold anything the blueprint names, so a shared store never sees it.
        rendered = self._scope.render(variables).encode()
        return f"{integration} ={hashlib.sha256(rendered).hexdigest()[:32]}"

    def _find_candidates(self, method: str, path: str) -> tuple[tuple[_Budget, tuple[_Case, ...]], ...]:
        segments = segments_of(path)
        found = (
            (budget, tuple(case for case in budget.cases if case.fits(method, segments)))
            for budget in self._budgets
        )
        return tuple((budget, cases) for budget, cases in found if cases)


@lru_cache(maxsize=4096)
def endpoint_of(path: str) -> str:
    """The path with everything that looks like an id replaced by `*`: profiles/123 is profiles/*."""
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


def _budget(number: int, settings: Mapping[str, Any], compile_text: Callable[[str], KeyTemplate]) -> _Budget:
    rows = list(settings.get("cases", ()))
    if settings.get("otherwise"):
        rows.append({"windows": settings["otherwise"]})
    flight = settings.get("max_in_flight")
    if flight and not settings.get("otherwise"):
        rows.append({"windows": ()})
    together: dict[str, list[Any]] = {}
    for row in rows:
        if "key" in row:
            together.setdefault(row["key"], []).extend(row["windows"])
    cases = []
    for row in rows:
        match = row.get("match", {})
        path = match.get("path")
        limits = _limits(together[row["key"]] if "key" in row else row["windows"])
        cases.append(
            _Case(
                limits=limits,
                methods=frozenset(name.upper() for name in _listed(match.get("method", ()))),
                path="" if path is None else "/".join(segments_of(path)),
                segments=None if path is None else segments_of(path),
                params=tuple((name, _values(wanted)) for name, wanted in match.get("params", {}).items()),
                cost=int(row.get("cost", 1)),
                key=compile_text(row["key"]) if "key" in row else None,
                counter="" if "key" in row else ",".join(limit.label for limit in limits),
            )
        )
    caps = (InFlight(int(flight), f"{flight} in flight"),) if flight else ()
    return _Budget(number, compile_text(settings["key"]), tuple(cases), caps)


def _listed(value: str | Iterable[str]) -> Iterable[str]:
    return (value,) if isinstance(value, str) else value


def _limits(written: Iterable[Any]) -> tuple[Limit, ...]:
    return tuple(dict.fromkeys(parse_limit(entry) for entry in written))


def _params_fit(wanted: tuple[tuple[str, frozenset[str]], ...], params: Mapping[str, Any]) -> bool:
    """Whether each named parameter is there with each wanted value among its own, commas included."""
    return all(name in params and values <= _values(params[name]) for name, values in wanted)


def _values(value: Any) -> frozenset[str]:
    if isinstance(value, bool):
        return frozenset({"true" if value else "false"})
    if isinstance(value, str | int | float):
        return frozenset(part.strip() for part in str(value).split(","))
    return frozenset().union(*(_values(part) for part in value)) if value else frozenset()
