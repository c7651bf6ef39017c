"""Limits and waits in responses, in every known header format."""

from __future__ import annotations

import time
from email.message import Message
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from nango_py.limits.headers.declared import DeclaredLimits
from nango_py.limits.headers.header_reader import MAX_SETS, HeaderReader
from nango_py.limits.headers.response_limits import (
    MIN_WAIT_SECONDS,
    LimitStatus,
    parse_body_wait,
    parse_limits,
    parse_retry_after,
    parse_wait,
)

NOW = 1_445_412_470.0  # Wed, 21 Oct 2015 07:27:50 GMT


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1", 1.0),
        ("120", 120.0),
        ("1.5", 1.5),
        (" 7 ", 7.0),
        ("999999", 999_999.0),
        ("0", MIN_WAIT_SECONDS),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 10.0),
        ("Wednesday, 21-Oct-15 07:28:00 GMT", 10.0),
        ("2015-10-21T07:28:00Z", 10.0),
        ("Wed, 21 Oct 2015 07:00:00 GMT", MIN_WAIT_SECONDS),
        ("-5", None),
        ("", None),
        ("soon", None),
        ("1,5", 5.0),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("9" * 5000, None),
        ("\u0663", None),
        ("999999999999", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("Wed, 99 Foo 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_every_form(written: str, seconds: float | None) -> None:
    """Seconds, decimals and dates are waits; negative, absurd and unreadable values are ignored."""
    assert parse_retry_after({"Retry-After": written}, NOW) == seconds


def test_a_date_is_reckoned_from_the_date_of_the_answer() -> None:
    """A clock of this machine that is an hour wrong does not change the wait that a date asks for."""
    headers = {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT", "Date": "Wed, 21 Oct 2015 07:27:30 GMT"}
    assert parse_retry_after(headers, NOW + 3600) == 30.0


def test_headers_are_found_in_any_case_and_in_the_types_of_requests() -> None:
    """The headers of a requests response can be passed as they are."""
    headers = requests.structures.CaseInsensitiveDict({"RETRY-AFTER": "3"})
    assert parse_retry_after(headers, NOW) == 3.0
    assert parse_retry_after({"retry-after-ms": "250", "retry-after": "1"}, NOW) == 0.25


@given(st.text(max_size=80))
def test_no_header_makes_it_fail(text: str) -> None:
    """Whatever stands in a header, there is a wait above zero or none."""
    for name in (
        "Retry-After",
        "RateLimit",
        "RateLimit-Policy",
        "X-RateLimit-Reset",
        "RateLimit-Limit",
        "Date",
    ):
        wait = parse_wait({name: text, "X-RateLimit-Remaining": "0"}, text, NOW)
        assert wait is None or wait >= MIN_WAIT_SECONDS


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ('{"detail": "Request was throttled. Expected available in 56.0 seconds."}', 56.0),
        ("Expected available in 0 seconds.", MIN_WAIT_SECONDS),
        ("Rate limit reached. Please try again in 20ms.", MIN_WAIT_SECONDS),
        ("Please try again in 500 milliseconds", 0.5),
        ("Too many requests, try again in 6 minutes", 360.0),
        ("Retry after 30 seconds", 30.0),
        ('{"message": "You are being rate limited.", "retry_after": 0.65}', 0.65),
        ("Please wait 2 hours", 7200.0),
        ("Please wait for 5 s", 5.0),
        ("We sold 5 seconds ago", None),
        ("throttled", None),
        ("", None),
        ("x" * 100_000 + "available in 5 seconds", None),
        ("try again after 10:54:20", None),
    ],
)
def test_a_body_may_tell_the_wait(text: str, seconds: float | None) -> None:
    """The sentences that APIs write into a 429 are understood, others are not."""
    assert parse_body_wait(text) == seconds


RECORDED: list[Any] = [
    pytest.param(
        {"RateLimit-Limit": "75", "RateLimit-Remaining": "0", "RateLimit-Reset": "42"}, 42.0, id="Klaviyo"
    ),
    pytest.param({"Retry-After": "3", "RateLimit-Remaining": "0", "RateLimit-Reset": "42"}, 3.0, id="both"),
    pytest.param(
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1445412500"}, 30.0, id="GitHub primary"
    ),
    pytest.param({"Retry-After": "60", "X-RateLimit-Remaining": "4000"}, 60.0, id="GitHub secondary"),
    pytest.param({"Retry-After": "30"}, 30.0, id="Slack"),
    pytest.param({"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "1445412490"}, 20.0, id="Okta"),
    pytest.param({"x-rate-limit-remaining": "0", "x-rate-limit-reset": "1445412482500"}, 12.5, id="epoch ms"),
    pytest.param(
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "Wed, 21 Oct 2015 07:28:05 GMT"},
        15.0,
        id="HTTP date",
    ),
    pytest.param(
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2015-10-21T07:28Z"}, 10.0, id="Atlassian ISO"
    ),
    pytest.param({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "1.25"}, 1.25, id="Discord"),
    pytest.param(
        {"X-Ratelimit-Used": "600", "X-Ratelimit-Remaining": "0.0", "X-Ratelimit-Reset": "41"},
        41.0,
        id="Reddit",
    ),
    pytest.param(
        {"RateLimit": '"burst";r=0;t=42', "RateLimit-Policy": '"burst";q=10;w=1'}, 42.0, id="draft 08"
    ),
    pytest.param({"RateLimit": '"burst";r=0;t=2, "day";r=0;t=90'}, 90.0, id="draft 08, two"),
    pytest.param({"RateLimit": '"burst";r=4;t=2, "day";r=0;t=90'}, 90.0, id="draft 08, one of two"),
    pytest.param({"RateLimit": "limit=100, remaining=0, reset=50"}, 50.0, id="draft 07"),
    pytest.param(
        {"RateLimit-Limit": "10, 10;w=1, 1000;w=3600", "RateLimit-Remaining": "0", "RateLimit-Reset": "8"},
        8.0,
        id="draft 03",
    ),
    pytest.param(
        {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "6m0s",
            "x-ratelimit-remaining-tokens": "9",
        },
        360.0,
        id="OpenAI requests",
    ),
    pytest.param(
        {
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "1.5s",
            "x-ratelimit-remaining-requests": "9",
        },
        1.5,
        id="OpenAI tokens",
    ),
    pytest.param(
        {"X-RateLimit-Remaining-Minute": "0", "RateLimit-Remaining": "0", "RateLimit-Reset": "17"},
        17.0,
        id="Kong",
    ),
    pytest.param(
        {
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            "X-HubSpot-RateLimit-Max": "100",
            "X-HubSpot-RateLimit-Remaining": "0",
        },
        10.0,
        id="HubSpot interval",
    ),
    pytest.param(
        {"X-HubSpot-RateLimit-Secondly": "10", "X-HubSpot-RateLimit-Secondly-Remaining": "0"},
        1.0,
        id="HubSpot second",
    ),
    pytest.param({"X-Shopify-Shop-Api-Call-Limit": "40/40", "Retry-After": "2.0"}, 2.0, id="Shopify"),
    pytest.param({"X-Shopify-Shop-Api-Call-Limit": "40/40"}, None, id="Shopify without a wait"),
    pytest.param(
        {"ratelimit-limit": "100", "ratelimit-remaining": "0", "ratelimit-reset": "0"}, None, id="reset now"
    ),
    pytest.param(
        {"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "1445412500"}, None, id="something left"
    ),
    pytest.param({"X-RateLimit-Limit": "5"}, None, id="only the limit"),
    pytest.param(
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1445412000"}, None, id="reset in the past"
    ),
    pytest.param({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "garbage"}, None, id="garbage"),
    pytest.param({"Content-Type": "text/html"}, None, id="nothing"),
    pytest.param({"retry-after-ms": "1500"}, 1.5, id="Azure"),
]


@pytest.mark.parametrize(
    ("headers", "declared", "wait"),
    [
        ({"X-RateLimit-Reset-Ms": "3000"}, None, 3.0),
        ({"X-Rate-Limit-Time-Reset-Ms": "3000"}, None, 3.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-Milliseconds": "3000"}, None, 3.0),
        ({"X-RateLimit-Reset-After-Ms": "3000"}, None, 3.0),
        ({"X-RateLimit-Reset-At-Ms": "1445412473000"}, None, 3.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-Seconds": "3000"}, None, 3000.0),
        ({"X-Reset-Ms": "3000"}, {"reset": "X-Reset-Ms"}, 3.0),
        ({"X-Reset-Ms": "1445412473000"}, {"reset": "X-Reset-Ms"}, 3.0),
        ({"X-Reset-Ms": "3000"}, {"reset": {"name": "X-Reset-Ms", "means": "seconds"}}, 3000.0),
        ({"X-Wait-Ms": "3000"}, {"retry_after": "X-Wait-Ms"}, 3.0),
        ({"X-RateLimit-Remaining": "0, 4", "X-RateLimit-Reset": "3, 60"}, None, 3.0),
        ({"X-RateLimit-Remaining": "0.4", "X-RateLimit-Reset": "3"}, None, 3.0),
        ({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "3"}, None, None),
    ],
)
def test_the_name_of_a_header_may_say_its_unit(
    headers: dict[str, str], declared: dict[str, Any] | None, wait: float | None
) -> None:
    """Milliseconds are not read as seconds, the first of two lines counts, and 0.4 calls left are 0 calls."""
    assert parse_wait(headers, "", NOW, declared) == wait


@pytest.mark.parametrize(("headers", "wait"), RECORDED)
def test_recorded_headers_give_the_right_wait(headers: dict[str, str], wait: float | None) -> None:
    """Each API's own headers on a refusal are turned into the wait that they mean."""
    assert parse_wait(headers, "", NOW) == wait


def test_the_body_is_asked_last() -> None:
    """A sentence in the body counts only if no header contains a wait."""
    body = "Expected available in 56.0 seconds."
    assert parse_wait({}, body, NOW) == 56.0
    assert parse_wait({"Retry-After": "2"}, body, NOW) == 2.0
    assert parse_wait({"Retry-After": "soon"}, body, NOW) == 56.0


def test_a_blueprint_names_its_own_headers() -> None:
    """Declared headers are read with the declared meaning, and the known dialects are left alone."""
    declared = {
        "remaining": "X-Left",
        "limit": {"name": "X-Most"},
        "reset": {"name": "X-Again", "means": "unix_milliseconds"},
        "retry_after": {"name": "X-Wait"},
    }
    headers = {"x-left": "0", "x-most": "9", "x-again": "1445412475000", "RateLimit-Remaining": "3"}
    assert parse_limits(headers, NOW, declared) == (LimitStatus(0.0, 9.0, 5.0, "x-left"),)
    assert parse_wait(headers, "", NOW, declared) == 5.0
    assert parse_wait({**headers, "X-Wait": "7"}, "", NOW, declared) == 7.0
    assert parse_limits({"Other": "1"}, NOW, declared) == ()


def test_a_small_moment_is_seconds_left_when_a_blueprint_says_so() -> None:
    """`means` decides where size alone would mislead: 42 unix seconds lie far in the past."""
    headers = {"left": "0", "reset": "42"}
    for means, seconds in [("seconds", 42.0), ("milliseconds", 0.042), ("unix_seconds", 0.0)]:
        (seen,) = parse_limits(
            headers, NOW, {"remaining": "left", "reset": {"name": "reset", "means": means}}
        )
        assert seen.resets_in == seconds


def test_a_bucket_written_as_a_fraction_can_be_declared() -> None:
    """`32/40` under any declared name is 8 left of 40."""
    (seen,) = parse_limits({"X-Calls": "32/40"}, NOW, {"remaining": "X-Calls"})
    assert (seen.remaining, seen.limit) == (8.0, 40.0)


def test_policies_tell_limits_and_their_windows() -> None:
    """The list forms give one observation for each policy, with limit and window."""
    headers = {
        "RateLimit": '"burst";r=3;t=1, "day";r=900;t=5000',
        "RateLimit-Policy": '"burst";q=10;w=1, "day";q=1000;w=86400',
    }
    assert parse_limits(headers, NOW) == (
        LimitStatus(3.0, 10.0, 1.0, 'ratelimit "burst"', 1.0),
        LimitStatus(900.0, 1000.0, 5000.0, 'ratelimit "day"', 86400.0),
    )
    assert parse_limits({"RateLimit-Policy": "100;w=60"}, NOW) == (
        LimitStatus(None, 100.0, None, 'ratelimit-policy "100"', 60.0),
    )
    (kong,) = parse_limits({"X-RateLimit-Limit-Minute": "20", "X-RateLimit-Remaining-Minute": "19"}, NOW)
    assert (kong.limit, kong.remaining, kong.window_seconds) == (20.0, 19.0, 60.0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "RateLimit-Limit",
                    "X-RateLimit-Remaining",
                    "x-ratelimit-reset",
                    "RateLimit",
                    "Date",
                    "Left",
                    "Etag",
                    "RateLimit-Policy",
                    "X-Rate-Limit-Remaining-Minute",
                    "X-HubSpot-RateLimit-Max",
                    "Retry-After",
                ]
            ),
            st.sampled_from(
                ["10", "0", "x", '"a";r=0;t=42', "10, 10;w=1", "Sun, 22 Nov 2026 22:00:00 GMT", "7/9"]
            ),
        ),
        max_size=6,
    ),
    st.sampled_from([None, {"remaining": "Left"}, {"retry_after": "Retry-After"}]),
    st.sampled_from(["message", "mapping"]),
)
def test_reading_many_answers_gives_what_reading_one_gives(
    pairs: list[tuple[str, str]], declared: dict[str, str] | None, kind: str
) -> None:
    """The cache of header names changes nothing of what is read."""
    message = Message()
    for name, value in pairs:
        message[name] = value
    headers = message if kind == "message" else dict(pairs)
    reader = HeaderReader(DeclaredLimits({"headers": declared}))
    assert reader.read(headers, NOW) == parse_limits(headers, NOW, declared)
    message["Server"] = "other"
    assert reader.read(message, NOW) == parse_limits(message, NOW, declared)
    assert reader.read(headers, NOW) == parse_limits(headers, NOW, declared)


def test_sets_of_header_names_are_forgotten_when_there_are_many() -> None:
    """A server that makes up names in every response fills no memory."""
    reader = HeaderReader(DeclaredLimits(None))
    for number in range(3 * MAX_SETS):
        assert len(reader.read({f"x-{number}": "1", "ratelimit-remaining": "5"}, NOW)) == 1
    assert len(reader._positions) <= MAX_SETS


@pytest.mark.parametrize("name", ["x-ratelimit-" + "limit-" * 10_000 + "!", "rate-limit-" * 5000 + "!"])
def test_a_long_name_costs_nothing(name: str) -> None:
    """A host that a user named chooses the names of its headers, up to 64 KiB."""
    before = time.process_time()
    assert parse_limits({name: "1"}, 0.0) == ()
    assert parse_wait({name: "1"}, "", 0.0) is None
    assert time.process_time() - before < 1  # the time of matching them would be some four seconds each
