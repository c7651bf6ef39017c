"""Refusals as APIs write them, each with the wait that a person reads from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nango_py.limits.headers.response_limits import parse_limits, parse_wait

if TYPE_CHECKING:
    from nango_py.json_types import Settings

NOW = 1_445_412_470.0  # Wed, 21 Oct 2015 07:27:50 GMT
OFF = "Wed, 21 Oct 2015 06:27:50 GMT"
"""The Date of a server whose clock is an hour behind."""

RETRY_AFTER: list[tuple[str, float | None]] = [
    ("1", 1.0),
    ("30", 30.0),
    ("2.0", 2.0),
    ("0.35", 0.35),
    ('"30"', 30.0),
    (" 30 ", 30.0),
    ("0", 0.1),
    ("5, 10", 10.0),
    ("10, 5", 10.0),
    ("soon, 5", 5.0),
    ("30,60", 60.0),
    ("60 ,30", 60.0),
    ("30,1 minute", 60.0),
    ("Wed, 21 Oct 2015 07:28:20 GMT,60", 60.0),
    ("PT30S", 30.0),
    ("PT1M30S", 90.0),
    ("PT0.5S", 0.5),
    ("P1DT1H", 90_000.0),
    ("PT30S,PT1M", 60.0),
    ("P1M", None),
    ("PT", None),
    ("P", None),
    ("30s", 30.0),
    ("30 s", 30.0),
    ("30 seconds", 30.0),
    ("30 sec", 30.0),
    ("1 second", 1.0),
    ("500ms", 0.5),
    ("1500 milliseconds", 1.5),
    ("2 minutes", 120.0),
    ("2min", 120.0),
    ("1m30s", 90.0),
    ("6m0s", 360.0),
    ("1h", 3600.0),
    ("1h0m5s", 3605.0),
    ("1 minute 30 seconds", 90.0),
    ("1 minute, 30 seconds", 90.0),
    ("30s, 30s", 30.0),
    ("30 seconds, 1 minute", 60.0),
    ("1 day", 86_400.0),
    ("1445412500", 30.0),
    ("1445412500.5", 30.5),
    ("1445412500000", 30.0),
    ("1445412500000000", 30.0),
    ("1445412500000000000", 30.0),
    ("1445412400", 0.1),
    ("Wed, 21 Oct 2015 07:28:20 GMT", 30.0),
    ("Wed, 21 Oct 2015 07:28:20 GMT, Wed, 21 Oct 2015 07:28:50 GMT", 60.0),
    ("Wednesday, 21-Oct-15 07:28:20 GMT", 30.0),
    ("Wed Oct 21 07:28:20 2015", 30.0),
    ("Wed, 21 Oct 2015 07:00:00 GMT", 0.1),
    ("2015-10-21T07:28:20Z", 30.0),
    ("2015-10-21T07:28:20.500Z", 30.5),
    ("2015-10-21T09:28:20+02:00", 30.0),
    ("2015-10-21 07:28:20", 30.0),
    ("2015-10-21 07:28:20 UTC", 30.0),
    ("later", None),
    ("-1", None),
    ("", None),
    ("never", None),
    ("99999999", None),
    ("1e3", None),
    ("pt30s", 30.0),
    ("P1W", 604_800.0),
    ("1 week", 604_800.0),
    ("00:00:30", 30.0),
    ("01:02:03.5", 3723.5),
    ("24:00:60", None),
    ("30s.", 30.0),
    ("30 seconds.", 30.0),
    ("in 30 seconds", 30.0),
    ("after 2 minutes", 120.0),
    ("30;comment=x", 30.0),
    ("5-10", None),
    ("5-10 minutes", 600.0),
    ("2 business days", None),
    ("2 months", None),
    ("30/60", None),
    ("-5 seconds", None),
    ("NaN", None),
    ("inf", None),
    ("\u0663\u0660", None),
    ("\uff13\uff10", None),
    ("2015-10-21T07:28:20z", 30.0),
    ("2015-10-21t07:28:20z", 30.0),
    ("2015-10-21 07:28:20 utc", 30.0),
]

HEADERS: list[tuple[dict[str, str], float | None]] = [
    # Retry-After under other names, and beside others
    ({"Retry-After-Ms": "250", "Retry-After": "1"}, 0.25),
    ({"x-ms-retry-after-ms": "1500"}, 1.5),
    ({"X-Retry-After": "12"}, 12.0),
    ({"X-RateLimit-Retry-After": "12"}, 12.0),
    ({"X-Rate-Limit-Retry-After-Seconds": "59"}, 59.0),
    ({"Retry-After": "3", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "42"}, 3.0),
    ({"Retry-After": "soon", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "42"}, 42.0),
    ({"Retry-After": "60", "X-RateLimit-Remaining": "4000"}, 60.0),
    ({"Retry-After": "30", "X-Rate-Limit-Problem": "minute", "X-MinLimit-Remaining": "0"}, 30.0),
    ({"Retry-After": "Wed, 21 Oct 2015 06:28:20 GMT", "Date": OFF}, 30.0),
    ({"Retry-After": "1445408900", "Date": OFF}, 30.0),
    # A reset with and without a remaining number
    ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}, 30.0),
    ({"X-RateLimit-Reset": "30"}, 30.0),
    ({"X-RateLimit-Limit": "100", "X-RateLimit-Reset": "1445412500"}, 30.0),
    ({"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": "30"}, None),
    ({"X-RateLimit-Remaining": "0"}, None),
    ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1445412500"}, 30.0),
    ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1445412500123"}, 30.123),
    ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2015-10-21T07:28Z"}, 10.0),
    ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2015-10-21T07:28:20.000Z"}, 30.0),
    ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2015-10-21 07:28:20 UTC"}, 30.0),
    ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "Wed, 21 Oct 2015 07:28:20 GMT"}, 30.0),
    ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "1.25"}, 1.25),
    ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-At": "1445412500"}, 30.0),
    ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "41 seconds"}, 41.0),
    ({"X-Ratelimit-Used": "600", "X-Ratelimit-Remaining": "0.0", "X-Ratelimit-Reset": "41"}, 41.0),
    ({"X-Rate-Limit-Limit": "600", "X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "1445412490"}, 20.0),
    ({"ratelimit-limit": "75", "ratelimit-remaining": "0", "ratelimit-reset": "42"}, 42.0),
    ({"RateLimit-Limit": "10, 10;w=1, 9;w=9", "RateLimit-Remaining": "0", "RateLimit-Reset": "8"}, 8.0),
    ({"RateLimit": "limit=100, remaining=0, reset=50"}, 50.0),
    ({"RateLimit": '"burst";r=0;t=42', "RateLimit-Policy": '"burst";q=10;w=1'}, 42.0),
    ({"RateLimit": '"burst";r=4;t=2, "day";r=0;t=90'}, 90.0),
    ({"Beta-RateLimit": '"global";r=0;t=7', "Beta-RateLimit-Policy": '"global";q=10;w=60'}, 7.0),
    ({"RateLimit-Reason": "jira-burst-based", "Retry-After": "2"}, 2.0),
    # Several limits at once
    ({"X-RateLimit-Remaining-Minute": "0", "X-RateLimit-Reset-Minute": "17"}, 17.0),
    ({"X-RateLimit-Minutely-Remaining": "0", "X-RateLimit-Minutely-Reset": "17"}, 17.0),
    (
        {
            "X-RateLimit-Minutely-Remaining": "0",
            "X-RateLimit-Minutely-Reset": "17",
            "X-RateLimit-Daily-Remaining": "900",
            "X-RateLimit-Daily-Reset": "50000",
        },
        17.0,
    ),
    (
        {
            "X-RateLimit-Requests-Limit": "1500",
            "X-RateLimit-Requests-Remaining": "0",
            "X-RateLimit-Requests-Reset": "1445412500000",
        },
        30.0,
    ),
    (
        {
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "0",
            "anthropic-ratelimit-requests-reset": "2015-10-21T07:28:20Z",
        },
        30.0,
    ),
    (
        {
            "x-ratelimit-remaining-requests": "9",
            "x-ratelimit-reset-requests": "8.64s",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "6m0s",
        },
        360.0,
    ),
    ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}, 0.12),
    ({"Zendesk-RateLimit-Tickets-Index": "total=100; remaining=0; resets=41"}, 41.0),
    (
        {
            "X-HubSpot-RateLimit-Max": "110",
            "X-HubSpot-RateLimit-Remaining": "0",
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
        },
        10.0,
    ),
    ({"X-HubSpot-RateLimit-Daily": "650000", "X-HubSpot-RateLimit-Daily-Remaining": "0"}, None),
    ({"X-HubSpot-RateLimit-Secondly": "19", "X-HubSpot-RateLimit-Secondly-Remaining": "0"}, 1.0),
    ({"X-Shopify-Shop-Api-Call-Limit": "40/40", "Retry-After": "2.0"}, 2.0),
    ({"X-Shopify-Shop-Api-Call-Limit": "40/40"}, None),
    ({"X-Amzn-RateLimit-Limit": "0.5"}, None),
    ({"Content-Type": "text/html"}, None),
]

BODIES: list[tuple[str, float | None]] = [
    ('{"detail": "Request was throttled. Expected available in 56 seconds."}', 56.0),
    ('{"detail": "Request was throttled. Expected available in 1 second."}', 1.0),
    ("Rate limit reached for requests. Please try again in 20ms.", 0.1),
    ("Rate limit reached for requests. Please try again in 6m0s.", 360.0),
    ("Please try again in 7.66s. Visit https://example.test/limits", 7.66),
    ("Please try again in 500 milliseconds", 0.5),
    ("Too many requests, try again in 6 minutes", 360.0),
    ("Too many attempts. Try again in 1 minute and 30 seconds.", 90.0),
    ("Rate limit exceeded, retry in 24 seconds", 24.0),
    ("Requests have exceeded the call rate limit. Please retry after 9 seconds.", 9.0),
    ("Retry after 30", 30.0),
    ("Retry after 2015-10-21T07:28:20Z", 30.0),
    ("Retry after 2015-10-21T07:28:20.250Z.", 30.25),
    ("Please retry after Wed, 21 Oct 2015 07:28:20 GMT", 30.0),
    ("You may retry at 2015-10-21 07:28:20 UTC", 30.0),
    ("User-rate limit exceeded.  Retry after 2015-10-21T07:28:20.000Z", 30.0),
    ("Your limit resets at 2015-10-21T07:28:20+00:00.", 30.0),
    ("The quota will reset in 2 hours", 7200.0),
    ("Wait 60 seconds before you try again", 60.0),
    ("Please wait for 5 s", 5.0),
    ("Please wait at least 10 seconds", 10.0),
    ("Please wait a minute and try again", 60.0),
    ("Try again in an hour", 3600.0),
    ("Please wait until 2015-10-21T07:28:20Z", 30.0),
    ('{"message": "You are being rate limited.", "retry_after": 0.65, "global": false}', 0.65),
    ('{"message": "You are being rate limited.", "retry_after": 64.57, "global": true}', 64.57),
    ('{"ok": false, "error_code": 429, "parameters": {"retry_after": 35}}', 35.0),
    ('{"error": {"reason": {".tag": "too_many_requests"}, "retry_after": 300}}', 300.0),
    ('{"retryAfter": "2015-10-21T07:28:20Z"}', 30.0),
    ('{"retry_after": "12"}', 12.0),
    ('{"retryAfter": 30000}', 30_000.0),  # seconds, as in every API that documents the field
    ('{"retryAfter": "PT1M30.5S"}', 90.5),
    ("Retry after PT1M.", 60.0),
    ('{"retry_after_ms": 1500}', 1.5),
    ('{"retryAfterMs": 1500}', 1.5),
    ('{"retry_after_seconds": 15}', 15.0),
    ('{"retry-after": 15}', 15.0),
    ('{"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30s"}]}', 30.0),
    ('{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.074824224s"}', 34.074824224),
    ('{"retryDelay": {"seconds": 30, "nanos": 0}}', 30.0),
    ('{"error": "rate_limited", "reset_at": "2015-10-21T07:28:20Z"}', 30.0),
    ('{"error": "rate_limited", "resets_at": 1445412500}', 30.0),
    ('{"error": "rate_limited", "wait_seconds": 8}', 8.0),
    ('{"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}', 60.0),
    ('{"message": "API rate limit exceeded for user ID 1."}', None),
    ('{"ok": false, "error": "ratelimited"}', None),
    ('{"errors": "Exceeded 2 calls per second for api client."}', None),
    ("Please try again after 1,200 seconds", 1200.0),
    ("Retry after 30,000 ms", 30.0),
    ("Retry after 1,200,000 milliseconds", 1200.0),
    ("Retry after 2 weeks", 1_209_600.0),
    ("Retry after 2 business days", None),
    ("Retry after 1 month", None),
    ("Please wait 5 more minutes", 300.0),
    ("Please wait 5-10 minutes", 600.0),
    ("Try again in 1 to 2 hours", 7200.0),
    ("Try again in 30 or 60 seconds", 60.0),
    ("Try again in   30\n seconds", 30.0),
    ("Try again in 30\u00a0seconds", 30.0),
    ("Try again in one minute.", 60.0),
    ("Try again in a day", 86_400.0),
    ("Try again in: 30s", 30.0),
    ("Please retry after '30' seconds", 30.0),
    ("You are blocked for 30 seconds", 30.0),
    ("Back off for 2 minutes", 120.0),
    ("Retry-After: 30", 30.0),
    ("retry_after=30", 30.0),
    ("<Error><RetryAfterSeconds>30</RetryAfterSeconds></Error>", 30.0),
    ("<Retry-After>30</Retry-After>", 30.0),
    ('{\n  "retryAfter":   30\n}', 30.0),
    ('{"RetryAfter": "00:00:30"}', 30.0),
    ("Try again at 07:28:20 UTC", None),
    ("Try again in 2 of 3 regions", None),
    ("Try again tomorrow", None),
    ('{"retry_after": null, "code": 30}', None),
    ('{"retry_after": -1}', None),
    ("retry after NaN", None),
    ("Limit of 100 requests per 60 seconds exceeded", None),
    ("Do not retry 3 times", None),
    ("We sold 5 seconds ago", None),
    ("<html><h1>429 Too Many Requests</h1><hr>nginx</html>", None),
    ("", None),
]

DECLARED: list[tuple[Settings, dict[str, str], float | None]] = [
    ({"reset": "X-Again"}, {"X-Again": "30"}, 30.0),
    ({"reset": {"name": "X-Again", "means": "milliseconds"}}, {"X-Again": "1500"}, 1.5),
    ({"reset": {"name": "X-Again", "means": "unix_seconds"}}, {"X-Again": "1445412500"}, 30.0),
    ({"reset": {"name": "X-Again", "means": "iso_date"}}, {"X-Again": "2015-10-21T07:28:20Z"}, 30.0),
    ({"remaining": "X-Left", "reset": "X-Again"}, {"X-Left": "0", "X-Again": "30"}, 30.0),
    ({"remaining": "X-Left", "reset": "X-Again"}, {"X-Left": "3", "X-Again": "30"}, None),
    ({"remaining": "X-Left"}, {"X-Left": "0", "RateLimit-Reset": "30"}, 30.0),
    ({"remaining": "X-Left"}, {"RateLimit-Remaining": "0", "RateLimit-Reset": "30"}, 30.0),
    ({"retry_after": "X-Pause"}, {"X-Pause": "30 seconds", "Retry-After": "1"}, 30.0),
    ({"retry_after": "X-Pause"}, {"RateLimit-Remaining": "0", "RateLimit-Reset": "30"}, 30.0),
]


def test_the_corpus_is_large() -> None:
    """The table has at least the promised number of refusals."""
    assert len(RETRY_AFTER) + len(HEADERS) + len(BODIES) + len(DECLARED) >= 150


@pytest.mark.parametrize(("written", "seconds"), RETRY_AFTER)
def test_a_wait_in_retry_after(written: str, seconds: float | None) -> None:
    """Retry-After is read as a person reads it; an unreadable one is None, and the backoff applies."""
    wait = parse_wait({"Retry-After": written}, "", NOW)
    assert wait == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(("headers", "seconds"), HEADERS)
def test_a_wait_in_other_headers(headers: dict[str, str], seconds: float | None) -> None:
    """The reset of the limit that has nothing left is the wait."""
    wait = parse_wait(headers, "", NOW)
    assert wait == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(("body", "seconds"), BODIES)
def test_a_wait_in_a_body(body: str, seconds: float | None) -> None:
    """Sentences and fields of bodies are read, and numbers that are not waits are not."""
    wait = parse_wait({}, body, NOW)
    assert wait == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(("declared", "headers", "seconds"), DECLARED)
def test_a_wait_in_declared_headers(
    declared: Settings, headers: dict[str, str], seconds: float | None
) -> None:
    """Headers that a blueprint names are read first, and known ones complete them."""
    wait = parse_wait(headers, "", NOW, declared)
    assert wait == (None if seconds is None else pytest.approx(seconds))


def test_a_declared_name_does_not_switch_the_known_formats_off() -> None:
    """A blueprint that names remaining alone gets the limit and the reset from the headers of its family."""
    headers = {
        "RateLimit-Limit": "75",
        "RateLimit-Remaining": "3",
        "RateLimit-Reset": "42",
        "X-Day-RateLimit-Remaining": "9",
    }
    first, second = parse_limits(headers, NOW, {"remaining": "RateLimit-Remaining"})
    assert (first.remaining, first.limit, first.resets_in) == (3, 75, 42)
    assert (second.remaining, second.limit) == (9, None)
