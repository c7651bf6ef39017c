"""The ways in which APIs tell how much of a limit is left."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nango_py.limits.headers.header_values import (
    first_number,
    fraction,
    items,
    limit_and_window,
    number,
    reset,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Dialect = Callable[[Mapping[str, str], Callable[[], float]], Iterator["Observation"]]


@dataclass(frozen=True, slots=True)
class Observation:
    """What one set of headers says of one limit; None where it says nothing.

    Attributes:
        remaining: requests left in it.
        limit: how many it allows.
        resets_in: seconds until it is full again.
        source: the header or policy it was read from.
        window_seconds: its length, where the headers tell.
    """

    remaining: float | None
    limit: float | None
    resets_in: float | None
    source: str
    window_seconds: float | None = None


def declared_name(declared: Mapping[str, Any] | None, word: str) -> str:
    """The lower-case header that `rate_limits.headers` names for a word, or ""."""
    entry = (declared or {}).get(word)
    if entry is None:
        return ""
    return str(entry if isinstance(entry, str) else entry["name"]).lower()


def as_declared(
    headers: Mapping[str, str], declared: Mapping[str, Any], answered_at: Callable[[], float]
) -> Iterator[Observation]:
    """What the headers say that a blueprint names."""
    remaining_name, limit_name, reset_name = (
        declared_name(declared, word) for word in ("remaining", "limit", "reset")
    )
    remaining, limit = first_number(headers.get(remaining_name)), first_number(headers.get(limit_name))
    used, most = fraction(headers.get(remaining_name))
    if used is not None and most is not None:
        remaining, limit = most - used, most
    entry = declared.get("reset")
    means = entry.get("means", "auto") if entry is not None and not isinstance(entry, str) else "auto"
    resets_in = reset(headers.get(reset_name), means, answered_at)
    if any(value is not None for value in (remaining, limit, resets_in)):
        yield Observation(
            _not_negative(remaining), limit, resets_in, remaining_name or limit_name or reset_name
        )


_FAMILY = re.compile(r"((?:x-)?rate-?limit)-(limit|remaining|reset)(?:-([a-z0-9-]+))?")
_family = lru_cache(maxsize=1024)(_FAMILY.fullmatch)  # the names are the same in every response of an API
_SUFFIX_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


def families(headers: Mapping[str, str], answered_at: Callable[[], float]) -> Iterator[Observation]:
    """RateLimit-*, X-RateLimit-*, X-Rate-Limit-* and their suffixed forms such as -Remaining-Minute.

    GitHub, GitLab, Klaviyo, Okta, Close and OpenAI write these; Discord's -Reset-After is seconds always.
    """
    sets: dict[tuple[str, str], dict[str, str]] = {}
    for name, value in headers.items():
        found = _family(name)
        if not found:
            continue
        family, word, suffix = found[1], found[2], found[3] or ""
        if word == "reset" and (suffix == "after" or suffix.startswith("after-")):
            word, suffix = "reset-after", suffix[6:]
        sets.setdefault((family, suffix), {})[word] = value
    for (family, suffix), words in sets.items():
        limit, window = limit_and_window(words.get("limit"))
        resets_in = reset(words.get("reset-after"), "seconds", answered_at)
        if resets_in is None:
            resets_in = reset(words.get("reset"), "auto", answered_at)
        remaining = _not_negative(first_number(words.get("remaining")))
        source = f"{family}-*-{suffix}" if suffix else f"{family}-*"
        if any(value is not None for value in (remaining, limit, resets_in)):
            yield Observation(remaining, limit, resets_in, source, window or _SUFFIX_SECONDS.get(suffix))


def structured(headers: Mapping[str, str], _answered_at: Callable[[], float]) -> Iterator[Observation]:
    """The one `RateLimit` field: `limit=10, remaining=4, reset=3` (draft 07), `"burst";r=0;t=42` (later)."""
    if "ratelimit" not in headers and "ratelimit-policy" not in headers:
        return
    policies = dict(items(headers.get("ratelimit-policy", "")))
    told = items(headers.get("ratelimit", ""))
    flat = {name: params[""] for name, params in told if "" in params}
    if "remaining" in flat or "limit" in flat:
        window = next((number(params.get("w")) for params in policies.values()), None)
        remaining, limit, resets_in = (number(flat.get(word)) for word in ("remaining", "limit", "reset"))
        yield Observation(_not_negative(remaining), limit, resets_in, "ratelimit", window)
        return
    for name, params in told:
        policy = policies.get(name, {})
        yield Observation(
            _not_negative(number(params.get("r"))), number(policy.get("q")), number(params.get("t")),
            f'ratelimit "{name}"', number(policy.get("w")),
        )  # fmt: skip
    if told:
        return
    for name, policy in policies.items():
        limit = number(policy.get("q")) or number(name)
        if limit is not None:
            yield Observation(None, limit, None, f'ratelimit-policy "{name}"', number(policy.get("w")))


def fractions(headers: Mapping[str, str], _answered_at: Callable[[], float]) -> Iterator[Observation]:
    """Shopify's leaky bucket: `32/40` used."""
    name = "x-shopify-shop-api-call-limit"
    used, most = fraction(headers.get(name))
    if used is not None and most is not None:
        yield Observation(max(0.0, most - used), most, None, name)


def hubspot(headers: Mapping[str, str], _answered_at: Callable[[], float]) -> Iterator[Observation]:
    """X-HubSpot-RateLimit-*: a rolling interval of milliseconds, a second, and a day."""
    prefix = "x-hubspot-ratelimit-"
    milliseconds = number(headers.get(f"{prefix}interval-milliseconds"))
    interval = milliseconds / 1000 if milliseconds else None
    for left, most, window in (
        ("remaining", "max", interval),
        ("secondly-remaining", "secondly", 1.0),
        ("daily-remaining", "daily", 86400.0),
    ):
        remaining, limit = number(headers.get(prefix + left)), number(headers.get(prefix + most))
        if remaining is not None or limit is not None:
            # A rolling interval is over after its own length at the latest; the day says nothing of its end.
            resets_in = None if left.startswith("daily") else window
            yield Observation(_not_negative(remaining), limit, resets_in, prefix + left, window)


DIALECTS: tuple[Dialect, ...] = (families, structured, fractions, hubspot)


def _not_negative(value: float | None) -> float | None:
    return None if value is None else max(0.0, value)
