"""The header formats in which APIs report how much of a limit is left."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from nango_py.header_values import (
    MILLISECONDS,
    is_in_milliseconds,
    parse_first_number,
    parse_fraction,
    parse_limit_and_window,
    parse_list,
    parse_number,
    parse_reset,
)
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nango_py.json_types import Settings

    Dialect = Callable[[Mapping[str, str], Callable[[], float]], Iterator["LimitStatus"]]


@record
class LimitStatus:
    """One limit as a set of headers describes it; what the headers do not contain is None.

    Attributes:
        remaining: requests left.
        limit: its capacity.
        resets_in: seconds until the whole capacity is available.
        source: the header or policy.
        window_seconds: the length of the window.
        rate: requests per second that refill the capacity.
        budget: the number of the budget in the blueprint; None for the one that the numbers fit.
        label: of the budget's limit; "" for the one that the numbers fit.
    """

    remaining: float | None
    limit: float | None
    resets_in: float | None
    source: str
    window_seconds: float | None = None
    rate: float | None = None
    budget: int | None = None
    label: str = ""


def declared_name(declared: Settings | None, word: str) -> str:
    """The lower-case name of a header in `rate_limits.headers`, or ""."""
    entry = (declared or {}).get(word)
    if entry is None:
        return ""
    return str(entry if isinstance(entry, str) else entry["name"]).lower()


def parse_declared(
    headers: Mapping[str, str], declared: Settings, response_time: Callable[[], float]
) -> Iterator[LimitStatus]:
    """The headers that a blueprint names."""
    remaining_name, limit_name, reset_name = (
        declared_name(declared, word) for word in ("remaining", "limit", "reset")
    )
    remaining, limit = (
        parse_first_number(headers.get(remaining_name)),
        parse_first_number(headers.get(limit_name)),
    )
    used, most = parse_fraction(headers.get(remaining_name))
    if used is not None and most is not None:
        remaining, limit = most - used, most
    rate = None
    if _meaning(declared, "limit") == "requests_per_second":
        rate, limit = limit if limit is not None and limit > 0 else None, None
    resets_in = parse_reset(headers.get(reset_name), _meaning(declared, "reset"), response_time)
    if any(value is not None for value in (remaining, limit, resets_in, rate)):
        source = remaining_name or limit_name or reset_name
        yield LimitStatus(_not_negative(remaining), limit, resets_in, source, rate=rate)


def _meaning(declared: Settings, word: str) -> str:
    entry = declared.get(word)
    usual = "milliseconds" if is_in_milliseconds(declared_name(declared, word)) else "auto"
    return usual if entry is None or isinstance(entry, str) else str(entry.get("means", usual))


_FAMILY = re.compile(
    r"(?!x-hubspot-)((?:[a-z0-9]+-){0,3}?rate-?limit)-"
    r"(?:([a-z0-9]+(?:-[a-z0-9]+)*?)-)??(limit|remaining|resets?)(?:-([a-z0-9-]+))?"
)
MAX_NAME = 100
"""Maximum length of the name of a header about limits. The time for matching grows with its square."""


@lru_cache(maxsize=1024)  # all responses of an API have the same names
def _family(name: str) -> re.Match[str] | None:
    return _FAMILY.fullmatch(name) if len(name) <= MAX_NAME else None


_SUFFIX_SECONDS = {
    "second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0,
    "secondly": 1.0, "minutely": 60.0, "hourly": 3600.0, "daily": 86400.0,
}  # fmt: skip
_MOMENTS = frozenset({"at", "epoch", "time", "timestamp", "ts", "utc"})
_SECONDS = frozenset({"sec", "secs", "seconds"})
_RESETS = (("reset-after", "seconds"), ("reset-ms", "milliseconds"), ("reset", "auto"))
"""The words of resets in order of preference, and the unit of their values."""


def parse_families(headers: Mapping[str, str], response_time: Callable[[], float]) -> Iterator[LimitStatus]:
    """RateLimit-*, X-RateLimit-*, X-Rate-Limit-* and forms such as -Remaining-Minute and -Minutely-Remaining.

    Used by GitHub, GitLab, Klaviyo, Okta, Close, OpenAI, Linear and Anthropic. Discord's -Reset-After is
    always in seconds; a name such as -Reset-Ms says its unit.
    """
    sets: dict[tuple[str, str], dict[str, str]] = {}
    for name, value in headers.items():
        found = _family(name)
        if not found:
            continue
        family, word, suffix = found[1], found[3].rstrip("s"), found[4] or ""
        if word == "reset" and suffix:
            word, suffix = _reset_of(suffix)
        suffix = "-".join(part for part in (found[2], suffix) if part)
        sets.setdefault((family, suffix), {})[word] = value
    for (family, suffix), words in sets.items():
        limit, window = parse_limit_and_window(words.get("limit"))
        resets_in = None
        for word, means in _RESETS:
            if resets_in is None and word in words:
                resets_in = parse_reset(words[word], means, response_time)
        remaining = _not_negative(parse_first_number(words.get("remaining")))
        source = f"{family}-*-{suffix}" if suffix else f"{family}-*"
        if any(value is not None for value in (remaining, limit, resets_in)):
            yield LimitStatus(remaining, limit, resets_in, source, window or _SUFFIX_SECONDS.get(suffix))


def _reset_of(suffix: str) -> tuple[str, str]:
    """The word of a reset header, one of `_RESETS`, and what is left of the suffix of its name."""
    rest, _, unit = suffix.rpartition("-")
    is_in_ms = unit in MILLISECONDS
    if is_in_ms or unit in _SECONDS:
        suffix = rest
    is_after = suffix == "after" or suffix.startswith("after-")
    if is_after:
        suffix = suffix[6:]
    word = "reset-ms" if is_in_ms else "reset-after" if is_after else "reset"
    return word, "" if suffix in _MOMENTS else suffix


def parse_structured(
    headers: Mapping[str, str], _response_time: Callable[[], float]
) -> Iterator[LimitStatus]:
    """The one `RateLimit` field: `limit=10, remaining=4, reset=3` (draft 07), `"burst";r=0;t=42` (later)."""
    # Atlassian sends them as Beta-RateLimit.
    field, policy_field = (
        headers.get(name, headers.get(f"beta-{name}", "")) for name in ("ratelimit", "ratelimit-policy")
    )
    if not field and not policy_field:
        return
    policies = dict(parse_list(policy_field))
    members = parse_list(field)
    flat = {name: params[""] for name, params in members if "" in params}
    if "remaining" in flat or "limit" in flat:
        window = next((parse_number(params.get("w")) for params in policies.values()), None)
        remaining, limit, resets_in = (
            parse_number(flat.get(word)) for word in ("remaining", "limit", "reset")
        )
        yield LimitStatus(_not_negative(remaining), limit, resets_in, "ratelimit", window)
        return
    for name, params in members:
        policy = policies.get(name, {})
        remaining, resets_in = (parse_number(params.get(word)) for word in ("r", "t"))
        limit, window = (parse_number(policy.get(word)) for word in ("q", "w"))
        yield LimitStatus(_not_negative(remaining), limit, resets_in, f'ratelimit "{name}"', window)
    if members:
        return
    for name, policy in policies.items():
        limit = parse_number(policy.get("q")) or parse_number(name)
        if limit is not None:
            yield LimitStatus(None, limit, None, f'ratelimit-policy "{name}"', parse_number(policy.get("w")))


def parse_shopify(headers: Mapping[str, str], _response_time: Callable[[], float]) -> Iterator[LimitStatus]:
    """Shopify's leaky bucket: `32/40` used."""
    name = "x-shopify-shop-api-call-limit"
    used, most = parse_fraction(headers.get(name))
    if used is not None and most is not None:
        yield LimitStatus(max(0.0, most - used), most, None, name)


def parse_hubspot(headers: Mapping[str, str], _response_time: Callable[[], float]) -> Iterator[LimitStatus]:
    """X-HubSpot-RateLimit-*: a rolling interval of milliseconds, a second, and a day."""
    prefix = "x-hubspot-ratelimit-"
    milliseconds = parse_number(headers.get(f"{prefix}interval-milliseconds"))
    interval = milliseconds / 1000 if milliseconds else None
    for left, most, window in (
        ("remaining", "max", interval),
        ("secondly-remaining", "secondly", 1.0),
        ("daily-remaining", "daily", 86400.0),
    ):
        remaining, limit = parse_number(headers.get(prefix + left)), parse_number(headers.get(prefix + most))
        if remaining is not None or limit is not None:
            # A rolling interval ends after its length at the latest; when the day ends is not known.
            resets_in = None if left.startswith("daily") or remaining is None else window
            yield LimitStatus(_not_negative(remaining), limit, resets_in, prefix + left, window)


def parse_zendesk(headers: Mapping[str, str], _response_time: Callable[[], float]) -> Iterator[LimitStatus]:
    """Zendesk's limits of single endpoints: `total=100; remaining=0; resets=41`."""
    for name, value in headers.items():
        if name.startswith("zendesk-ratelimit-"):
            parts = dict(part.strip().partition("=")[::2] for part in value.split(";"))
            limit, remaining, resets_in = (
                parse_number(parts.get(word)) for word in ("total", "remaining", "resets")
            )
            if remaining is not None:
                yield LimitStatus(_not_negative(remaining), limit, resets_in, name)


DIALECTS: tuple[Dialect, ...] = (
    parse_families, parse_structured, parse_shopify, parse_hubspot, parse_zendesk
)  # fmt: skip


def _not_negative(value: float | None) -> float | None:
    return None if value is None else max(0.0, value)
