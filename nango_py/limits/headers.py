"""What an answer says about limits: Retry-After, the dialects of rate limit headers, and sentences in a body.

Retry-After is RFC 9110 section 10.2.3; the `RateLimit` fields are the IETF httpapi drafts 03 to 10. Moments are
reckoned from the answer's own Date where it has one, so a wrong clock on this machine does no harm.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

FLOOR_SECONDS = 0.1
"""The shortest wait that an answer can ask for: some say 0, and nobody may spin on it."""

LONGEST_SECONDS = 366 * 86400.0
"""A longer wait is a mistake of the server, and is treated as if it had said nothing."""

LONGEST_TEXT = 64
"""No number or date in a header is longer."""

BODY_SCANNED = 16_384
"""How many characters of a body are searched for a wait."""


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


def told_wait(
    headers: Mapping[str, str], text: str, now: float, declared: Mapping[str, Any] | None = None
) -> float | None:
    """The seconds that an answer which refused for rate asks to wait, or None when it names no time.

    Retry-After wins; then the reset of whatever set of headers has nothing left, the longest if several;
    then a sentence in the body.

    Args:
        headers: of the answer.
        text: its body, or "".
        now: unix seconds.
        declared: the blueprint's `rate_limits.headers`.
    """
    lowered = _lowered(headers)
    told = retry_after(lowered, now, _name(declared, "retry_after") or "retry-after")
    if told is not None:
        return told
    waits = [
        seen.resets_in for seen in observe(lowered, now, declared) if seen.remaining == 0 and seen.resets_in
    ]
    return max(waits) if waits else body_wait(text)


def retry_after(headers: Mapping[str, str], now: float, name: str = "retry-after") -> float | None:
    """The seconds that Retry-After asks for: whole, decimal or as an HTTP date; None if it says nothing usable.

    Never less than asked, and never less than FLOOR_SECONDS.
    """
    lowered = _lowered(headers)
    milliseconds = _number(lowered.get(f"{name}-ms"))
    if milliseconds is not None:
        return _usable(milliseconds / 1000)
    written = lowered.get(name.lower())
    if written is None:
        return None
    seconds = _number(written)
    if seconds is None:
        moment = _date(written)
        if moment is None:
            return None
        seconds = max(0.0, moment - _reckoned_from(lowered, now))
    return _usable(seconds)


def body_wait(text: str) -> float | None:
    """The seconds that a sentence or field of a body asks for: "Expected available in 56.0 seconds."."""
    for pattern in _SENTENCES:
        found = pattern.search(text[:BODY_SCANNED])
        if found:
            return _usable(float(found[1]) * _unit((found[2] or "s").lower()))
    return None


def observe(
    headers: Mapping[str, str], now: float, declared: Mapping[str, Any] | None = None
) -> tuple[Observation, ...]:
    """Every limit that the headers tell of; empty where there are none.

    Args:
        headers: of any answer.
        now: unix seconds.
        declared: the blueprint's `rate_limits.headers`; headers it names are read as it says, and the known
            dialects are tried when it names neither `remaining` nor `limit` nor `reset`.
    """
    lowered = _lowered(headers)
    at = _reckoned_from(lowered, now)
    if declared and any(name in declared for name in ("remaining", "limit", "reset")):
        return tuple(_declared(lowered, at, declared))
    return tuple(seen for dialect in _DIALECTS for seen in dialect(lowered, at))


def strictest(observations: Iterable[Observation]) -> Observation | None:
    """The one that leaves fewest requests for longest; None when nothing tells what remains."""
    telling = [seen for seen in observations if seen.remaining is not None]
    return min(telling, key=lambda seen: (seen.remaining, -(seen.resets_in or 0.0)), default=None)


# -- dialects ----------------------------------------------------------------------------------------------


def _declared(headers: Mapping[str, str], at: float, declared: Mapping[str, Any]) -> Iterator[Observation]:
    remaining_name, limit_name, reset_name = (
        _name(declared, word) for word in ("remaining", "limit", "reset")
    )
    used, most = _fraction(headers.get(remaining_name or ""))
    remaining = _number(headers.get(remaining_name or "")) if most is None else most - (used or 0.0)
    reset = declared.get("reset")
    means = "auto" if reset is None or isinstance(reset, str) else reset.get("means", "auto")
    resets_in = _reset(headers.get(reset_name or ""), at, means)
    limit = _first_number(headers.get(limit_name or ""))
    if remaining is not None or limit is not None or resets_in is not None:
        source = remaining_name or limit_name or reset_name or ""
        yield Observation(remaining, limit if most is None else most, resets_in, source)


_FAMILY = re.compile(r"((?:x-)?rate-?limit)-(limit|remaining|reset|reset-after)(?:-([a-z0-9-]+))?")

_SUFFIX_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


def _families(headers: Mapping[str, str], at: float) -> Iterator[Observation]:
    """RateLimit-*, X-RateLimit-*, X-Rate-Limit-* and their suffixed forms such as -Remaining-Minute."""
    sets: dict[tuple[str, str], dict[str, str]] = {}
    for name, value in headers.items():
        found = _FAMILY.fullmatch(name)
        if not found:
            continue
        family, word, suffix = found[1], found[2], found[3] or ""
        if word == "reset" and (suffix == "after" or suffix.startswith("after-")):
            word, suffix = "reset-after", suffix[6:]
        sets.setdefault((family, suffix), {})[word] = value
    for (family, suffix), words in sets.items():
        limit, window = _limit_and_window(words.get("limit"))
        resets_in = _reset(words.get("reset-after"), at, "seconds")
        if resets_in is None:
            resets_in = _reset(words.get("reset"), at, "auto")
        remaining = _first_number(words.get("remaining"))
        if remaining is not None or limit is not None or resets_in is not None:
            yield Observation(
                None if remaining is None else max(0.0, remaining), limit, resets_in,
                f"{family}-*{'-' + suffix if suffix else ''}", window or _SUFFIX_SECONDS.get(suffix),
            )  # fmt: skip


def _structured(headers: Mapping[str, str], _at: float) -> Iterator[Observation]:
    """The single `RateLimit` field: `limit=10, remaining=4, reset=3` or `"burst";r=0;t=42`."""
    policies = {name: params for name, params in _items(headers.get("ratelimit-policy", ""))}
    told = _items(headers.get("ratelimit", ""))
    flat = {name: value for name, params in told for value in [params.get("", "")] if value}
    if "remaining" in flat or "limit" in flat:
        window = next((_number(params.get("w")) for params in policies.values()), None)
        yield Observation(
            _number(flat.get("remaining")),
            _number(flat.get("limit")),
            _number(flat.get("reset")),
            "ratelimit",
            window,
        )
        return
    for name, params in told:
        policy = policies.get(name, {})
        yield Observation(
            _number(params.get("r")), _number(policy.get("q")), _number(params.get("t")),
            f'ratelimit "{name}"', _number(policy.get("w")),
        )  # fmt: skip
    if not told:
        for name, policy in policies.items():
            limit = _number(policy.get("q")) or _number(name)
            if limit is not None:
                yield Observation(None, limit, None, f'ratelimit-policy "{name}"', _number(policy.get("w")))


def _fractions(headers: Mapping[str, str], _at: float) -> Iterator[Observation]:
    """Shopify's leaky bucket: `32/40` used."""
    for name in ("x-shopify-shop-api-call-limit", "http_x_shopify_shop_api_call_limit"):
        used, most = _fraction(headers.get(name))
        if used is not None and most is not None:
            yield Observation(max(0.0, most - used), most, None, name)


def _hubspot(headers: Mapping[str, str], _at: float) -> Iterator[Observation]:
    """X-HubSpot-RateLimit-*: an interval of milliseconds, and a day."""
    prefix = "x-hubspot-ratelimit-"
    milliseconds = _number(headers.get(f"{prefix}interval-milliseconds"))
    for remaining_name, limit_name, window in (
        ("remaining", "max", milliseconds / 1000 if milliseconds else None),
        ("secondly-remaining", "secondly", 1.0),
        ("daily-remaining", "daily", 86400.0),
    ):
        remaining, limit = (
            _number(headers.get(prefix + remaining_name)),
            _number(headers.get(prefix + limit_name)),
        )
        if remaining is not None or limit is not None:
            # A rolling interval is over after its own length at the latest; a day says nothing of its end.
            resets_in = window if window is not None and remaining_name == "remaining" else None
            yield Observation(remaining, limit, resets_in, prefix + remaining_name, window)


_DIALECTS: tuple[Callable[[Mapping[str, str], float], Iterator[Observation]], ...] = (
    _families,
    _structured,
    _fractions,
    _hubspot,
)


# -- values ------------------------------------------------------------------------------------------------

_AMOUNT = r"(\d{1,9}(?:\.\d{1,9})?) ?(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?)?\b"
_SENTENCES = (
    re.compile(
        r"\b(?:available|(?:try|retry|send|request)(?: it| this| again| the request)*) in " + _AMOUNT,
        re.IGNORECASE,
    ),
    re.compile(r"\b(?:retry|try again|again|wait)(?: for| after| at least)* " + _AMOUNT, re.IGNORECASE),
    re.compile(r"[\"']retry[_-]?after[\"'] ?: ?[\"']?" + _AMOUNT, re.IGNORECASE),
)
_DURATION = re.compile(
    r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?"
)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?|[+-]?\.\d+")
_EPOCH_SECONDS, _EPOCH_MILLISECONDS = 1e9, 1e12


def _lowered(headers: Mapping[str, str]) -> Mapping[str, str]:
    return (
        headers
        if isinstance(headers, _Lowered)
        else _Lowered((name.lower(), value) for name, value in headers.items())
    )


class _Lowered(dict[str, str]):
    """Headers by lower-case name."""

    __slots__ = ()


def _name(declared: Mapping[str, Any] | None, word: str) -> str | None:
    entry = (declared or {}).get(word)
    if entry is None:
        return None
    return (entry if isinstance(entry, str) else str(entry["name"])).lower()


def _number(written: str | None) -> float | None:
    if written is None or len(written) > LONGEST_TEXT:
        return None
    found = _NUMBER.fullmatch(written.strip().strip('"'))
    return float(found[0]) if found else None


def _first_number(written: str | None) -> float | None:
    """Of `100, 100;w=60` the 100."""
    return None if written is None else _number(re.split("[,;]", written, maxsplit=1)[0])


def _fraction(written: str | None) -> tuple[float | None, float | None]:
    """`32/40` as (32, 40)."""
    used, slash, most = (written or "").partition("/")
    return (_number(used), _number(most)) if slash else (None, None)


def _limit_and_window(written: str | None) -> tuple[float | None, float | None]:
    """`10, 10;w=1, 1000;w=3600`: the limit in force and its window's seconds."""
    limit = _first_number(written)
    for name, params in _items(written or ""):
        if _number(name) == limit and "w" in params:
            return limit, _number(params["w"])
    return limit, None


def _items(written: str) -> list[tuple[str, dict[str, str]]]:
    """A structured list as (name, parameters); `key=value` members have their value under ""."""
    found = []
    for member in written[:4096].split(","):
        head, *rest = (part.strip() for part in member.split(";"))
        if not head:
            continue
        params = {
            key.strip(): value.strip().strip('"') for key, _, value in (part.partition("=") for part in rest)
        }
        name, equals, value = head.partition("=")
        if equals:
            params[""] = value.strip().strip('"')
        found.append((name.strip().strip('"'), params))
    return found


def _reset(written: str | None, at: float, means: str) -> float | None:
    """Seconds until a reset header's moment; never negative."""
    if written is None:
        return None
    value = _number(written)
    if value is None:
        seconds = _duration(written)
        if seconds is None:
            moment = _date(written)
            seconds = None if moment is None else moment - at
    elif means in {"unix_milliseconds", "epoch_milliseconds"} or (
        means == "auto" and value >= _EPOCH_MILLISECONDS
    ):
        seconds = value / 1000 - at
    elif means in {"unix_seconds", "epoch_seconds"} or (means == "auto" and value >= _EPOCH_SECONDS):
        seconds = value - at
    elif means == "milliseconds":
        seconds = value / 1000
    else:
        seconds = value
    if seconds is None or not math.isfinite(seconds) or seconds > LONGEST_SECONDS:
        return None
    return max(0.0, seconds)


def _duration(written: str) -> float | None:
    """`6m0s`, `1.5s`, `20ms`."""
    text = written.strip()
    found = _DURATION.fullmatch(text) if 0 < len(text) <= LONGEST_TEXT else None
    if found is None:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def _date(written: str) -> float | None:
    """Unix seconds of an HTTP date or an ISO 8601 moment."""
    text = written.strip()
    if not 0 < len(text) <= LONGEST_TEXT:
        return None
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None


def _reckoned_from(headers: Mapping[str, str], now: float) -> float:
    """The server's own moment of answering, where it says it."""
    written = headers.get("date")
    moment = _date(written) if written else None
    return now if moment is None else moment


def _unit(word: str) -> float:
    """Seconds in a unit such as `min` or `milliseconds`."""
    if word.startswith(("ms", "milli")):
        return 0.001
    return {"s": 1.0, "m": 60.0, "h": 3600.0}[word[0]]


def _usable(seconds: float) -> float | None:
    if not 0 <= seconds <= LONGEST_SECONDS:
        return None
    return max(FLOOR_SECONDS, seconds)
