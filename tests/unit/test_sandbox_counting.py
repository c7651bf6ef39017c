"""The rate limit counters of the sandbox, with given times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nango_py.sandbox.request_counts import RequestCounts

KLAVIYO = {
    "counted_per": "connection",
    "budgets": [
        {
            "key": "${method} ${endpoint}",
            "cases": [
                {
                    "match": {"method": "GET", "path": "profiles/", "params": {"extra": "yes"}},
                    "windows": ["1/second", "15/minute"],
                },
                {"match": {"path": "lists/{id}"}, "windows": [{"requests": 2, "per_seconds": 6}]},
                {
                    "match": {"method": "POST", "path": "lists"},
                    "windows": ["10/second", "150/minute", "12/day"],
                },
            ],
            "otherwise": ["3/second", "60/minute"],
        }
    ],
}


def count(counting: RequestCounts, times: list[float], **call: object) -> list[bool]:
    """Whether a request at each of the times is allowed."""
    method, endpoint = str(call.get("method", "GET")), str(call.get("endpoint", "metrics/"))
    account = str(call.get("account", "u1"))
    params = call.get("params", {})
    assert isinstance(params, dict)
    return [counting.count(account, method, endpoint, params, at).wait_seconds == 0 for at in times]


def test_fixed_windows_are_aligned_to_the_clock() -> None:
    """Twice the limit is allowed around a boundary; the next request waits for the next boundary."""
    counting = RequestCounts(KLAVIYO)
    assert count(counting, [0.9, 0.95, 0.99, 1.0, 1.01, 1.02]) == [True] * 6
    verdict = counting.count("u1", "GET", "metrics/", {}, 1.25)
    assert verdict.wait_seconds == pytest.approx(0.75)
    assert verdict.label == "3/second"


def test_the_peak_is_measured_over_any_alignment() -> None:
    """The peak includes requests of two adjacent aligned windows."""
    counting = RequestCounts(KLAVIYO)
    count(counting, [0.9, 0.95, 0.99, 1.0, 1.01, 1.02])
    peaks = {counted.label: (counted.peak, counted.limit) for counted in counting.counted}
    assert peaks == {"3/second": (6, 3.0), "60/minute": (6, 60.0)}


def test_a_second_later_is_another_window() -> None:
    """Requests exactly one second apart are not in the same second."""
    counting = RequestCounts(KLAVIYO)
    count(counting, [0.0, 1.0, 2.0])
    assert [counted.peak for counted in counting.counted if counted.label == "3/second"] == [1]


def test_sliding_windows_end_at_each_request() -> None:
    """A sliding window rejects requests until the oldest is a window ago."""
    counting = RequestCounts(KLAVIYO, "sliding")
    assert count(counting, [0.9, 0.95, 0.99, 1.0]) == [True, True, True, False]
    assert counting.count("u1", "GET", "metrics/", {}, 1.5).wait_seconds == pytest.approx(0.4)
    assert count(counting, [1.9]) == [True]


def test_a_bucket_allows_a_burst_and_then_its_rate() -> None:
    """`{burst, per_second}` is a token bucket in every counting mode."""
    counting = RequestCounts({"budgets": [{"key": "all", "otherwise": [{"burst": 2, "per_second": 4}]}]})
    assert count(counting, [0.0, 0.0, 0.0, 0.25, 0.25]) == [True, True, False, True, False]
    assert counting.count("u1", "GET", "x", {}, 0.375).wait_seconds == pytest.approx(0.125)
    assert counting.counted[0].peak > 2


def test_the_first_matching_case_applies() -> None:
    """A case with parameters applies only to requests with these parameters."""
    counting = RequestCounts(KLAVIYO)
    assert count(counting, [0.0, 0.0], endpoint="profiles/", params={"extra": "yes"}) == [True, False]
    assert count(counting, [0.0, 0.0], endpoint="profiles/", params={"extra": "no"}) == [True, True]


def test_a_path_pattern_is_one_counter() -> None:
    """All lists count against `lists/{id}`; a path below it is another endpoint."""
    counting = RequestCounts(KLAVIYO)
    allowed = [count(counting, [0.0], endpoint=path)[0] for path in ("lists/a", "lists/b/", "lists/c")]
    assert allowed == [True, True, False]
    assert count(counting, [0.0], endpoint="lists/a/profiles") == [True]


def test_ids_in_other_paths_are_one_counter() -> None:
    """Without a pattern, numbers and UUIDs in a path are ids; words are separate endpoints."""
    counting = RequestCounts(KLAVIYO)
    allowed = [count(counting, [0.0], endpoint=f"flows/{number}")[0] for number in range(4)]
    assert allowed == [True, True, True, False]
    assert count(counting, [0.0], endpoint="flows/archived") == [True]


def test_cases_with_the_same_key_share_limits() -> None:
    """Cases with the same key share all their limits, and a cost counts as several requests."""
    cases = [
        {"match": {"path": "search"}, "key": "search", "windows": ["4/minute"], "cost": 2},
        {"match": {"path": "lookup"}, "key": "search", "windows": ["3/second"]},
    ]
    counting = RequestCounts({"budgets": [{"key": "${endpoint}", "cases": cases}]})
    assert count(counting, [0.0, 1.0], endpoint="search") == [True, True]
    assert count(counting, [2.0], endpoint="lookup") == [False]
    assert count(counting, [60.0] * 4, endpoint="lookup") == [True, True, True, False]


def test_parameters_may_hold_several_values() -> None:
    """A comma-separated parameter matches each of its values."""
    counting = RequestCounts(KLAVIYO)
    assert count(counting, [0.0, 0.0], endpoint="profiles", params={"extra": "no,yes"}) == [True, False]


def test_accounts_have_their_own_counters() -> None:
    """A quota per connection is not shared by accounts; one per integration is."""
    own = RequestCounts(KLAVIYO)
    assert count(own, [0.0] * 4) == [True, True, True, False]
    assert count(own, [0.0], account="u2") == [True]
    shared = RequestCounts({**KLAVIYO, "counted_per": "integration"})
    assert count(shared, [0.0] * 3) == [True] * 3
    assert count(shared, [0.0], account="u2") == [False]


def test_a_rejected_request_spends_nothing() -> None:
    """A request rejected by one window does not count in another."""
    counting = RequestCounts({"budgets": [{"key": "all", "otherwise": ["1/second", "3/minute"]}]})
    assert count(counting, [0.0, 0.1, 0.2, 0.3, 1.0, 2.0, 3.0]) == [
        True,
        False,
        False,
        False,
        True,
        True,
        False,
    ]


def test_the_longest_wait_is_returned() -> None:
    """If several windows are full, the verdict has the longest wait."""
    counting = RequestCounts({"budgets": [{"key": "all", "otherwise": ["1/second", "1/minute"]}]})
    count(counting, [0.0])
    verdict = counting.count("u1", "GET", "x", {}, 0.5)
    assert (verdict.wait_seconds, verdict.label) == (59.5, "1/minute")


def test_numbers_describe_the_minute_not_the_day() -> None:
    """The numbers for RateLimit headers are those of the longest window up to an hour."""
    counting = RequestCounts(KLAVIYO)
    verdict = counting.count("u1", "POST", "lists/", {}, 5.0)
    assert (verdict.limit, verdict.remaining, verdict.reset_seconds) == (150, 149, 55.0)


def test_other_rejections_count_in_the_peak_only() -> None:
    """An injected error counts in the peak and spends no quota."""
    counting = RequestCounts(KLAVIYO)
    for _ in range(5):
        counting.count("u1", "GET", "metrics/", {}, 0.0, spend=False)
    assert count(counting, [0.0]) == [True]
    assert counting.counted[0].peak == 6


def test_an_api_without_limits_counts_nothing() -> None:
    """Without budgets every request is allowed, and the verdict has no numbers."""
    assert RequestCounts(None).count("u1", "GET", "x", {}, 0.0).limit is None


def test_an_invalid_window_is_an_error() -> None:
    """The error names the window that cannot be parsed."""
    with pytest.raises(ValueError, match="10/fortnight"):
        RequestCounts({"budgets": [{"key": "all", "otherwise": ["10/fortnight"]}]})


@given(
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=60),
    limit=st.integers(1, 5),
    seconds=st.sampled_from([0.5, 1.0, 4.0]),
    mode=st.sampled_from(["fixed", "sliding", "bucket"]),
)
def test_obeying_the_wait_is_always_enough(gaps: list[float], limit: int, seconds: float, mode: str) -> None:
    """A request after the returned wait is allowed, and no sliding window exceeds its limit."""
    rule = {"budgets": [{"key": "all", "otherwise": [{"requests": limit, "per_seconds": seconds}]}]}
    counting = RequestCounts(rule, mode)  # type: ignore[arg-type]
    now, accepted = 0.0, []
    for gap in gaps:
        now += gap
        wait = counting.count("u1", "GET", "x", {}, now).wait_seconds
        if wait > 0:
            now += wait + 1e-6
            assert counting.count("u1", "GET", "x", {}, now).wait_seconds == 0
        accepted.append(now)
    if mode == "sliding":
        assert all(sum(start <= at < start + seconds for at in accepted) <= limit for start in accepted)


def test_body_and_segments_choose_the_counter() -> None:
    """Cases match fields of the body, and keys hold them, as in the client."""
    cases = [
        {"match": {"path": "chat", "body": {"kind": "big"}}, "windows": ["1/minute"], "cost": {"reserve": 1}},
        {"match": {"path": "channels/{id}/**"}, "windows": ["2/minute"]},
    ]
    budgets = [{"key": "${segment.id}", "cases": cases}, {"key": "${body.to}", "otherwise": ["3/minute"]}]
    counting = RequestCounts({"budgets": budgets})

    def is_allowed(path: str, body: object = None) -> bool:
        return counting.count("u", "POST", path, {}, 0.0, body=body).wait_seconds == 0

    assert [is_allowed("chat", {"kind": "big", "to": 1}) for _ in range(2)] == [True, False]
    assert is_allowed("chat", {"kind": "small", "to": 1})
    assert [is_allowed("channels/1/a", {"to": 2}) for _ in range(3)] == [True, True, False]
    assert is_allowed("channels/2", {"to": 2})


@pytest.mark.parametrize(("per", "seconds"), [("hour", 3600), ("week", 604_800), ("month", 2_592_000)])
def test_calendar_periods_have_their_length(per: str, seconds: float) -> None:
    """Periods of the sandbox begin with its clock."""
    window = {"requests": 1, "per": per, "time_zone": "${additional_config.zone}"}
    counting = RequestCounts({"budgets": [{"key": "all", "otherwise": [window]}]})
    assert count(counting, [0.0, seconds - 1.0, seconds]) == [True, False, True]


def test_routes_name_endpoints() -> None:
    """Calls for different records of one route count together."""
    counting = RequestCounts(
        {"routes": ["repos/{owner}/{repo}"], "budgets": [{"key": "${endpoint}", "otherwise": ["1/minute"]}]}
    )
    assert count(counting, [0.0], endpoint="repos/a/b") == [True]
    assert count(counting, [0.0], endpoint="repos/c/d") == [False]
    assert count(counting, [0.0], endpoint="users/c") == [True]
