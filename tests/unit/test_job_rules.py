"""What the end of an attempt means, and which lanes a worker's slots run."""

from __future__ import annotations

import pytest

from nango_py import (
    ConfigError,
    ConnectionNotFound,
    CredentialsError,
    DeadlineExceeded,
    InvalidRequest,
    NangoError,
    ProviderError,
    RateLimited,
    StorageError,
    TransportFailed,
)
from nango_py.jobs.context import JobCancelled, RetryAt
from nango_py.jobs.job import JobSettings, NewJob, slot_lanes
from nango_py.jobs.outcome import Ending, backoff_seconds, end_of_attempt, is_retryable

NOW = 1_800_000_000.0


def end(error: BaseException, attempt: int = 1) -> Ending:
    """The ending of an attempt of three, without chance."""
    return end_of_attempt(error, attempt, 3, NOW, lambda: 1.0)


@pytest.mark.parametrize(
    "error",
    [TransportFailed("lost"), DeadlineExceeded("late"), StorageError("down"), ProviderError("x", status=503),
     ProviderError("x", status=429), ProviderError("x"), ValueError("a bug"), OSError("disk")],
    ids=repr,
)  # fmt: skip
def test_what_may_pass_is_retried(error: Exception) -> None:
    """The first attempts are followed by another; the last one makes the job dead."""
    assert end(error) == Ending("waiting", NOW + 5)
    assert end(error, 2) == Ending("waiting", NOW + 10)
    assert end(error, 3) == Ending("dead")


@pytest.mark.parametrize(
    "error",
    [ConfigError([]), ConnectionNotFound("shop", "ann"), CredentialsError("no"), InvalidRequest("path"),
     ProviderError("x", status=422), RateLimited("never", retry_at=float("inf")), SystemExit()],
    ids=repr,
)  # fmt: skip
def test_what_stays_is_final(error: BaseException) -> None:
    """Another attempt would meet the same error."""
    assert end(error) == Ending("failed")


def test_an_error_may_say_whether_it_is_retryable() -> None:
    """`is_retryable` of an exception decides, for classes of other rooms and of users."""

    class Final(ValueError):
        is_retryable = False

    class Passing(CredentialsError):
        is_retryable = True

    assert not is_retryable(Final())
    assert is_retryable(Passing("again"))


@pytest.mark.parametrize("error", [RateLimited("full", retry_at=NOW + 60), RetryAt(NOW + 60)], ids=repr)
def test_a_quota_puts_back(error: Exception) -> None:
    """Until then, in the last attempt too, without counting; so does an error that was caused by it."""
    expected = Ending("waiting", NOW + 60, is_counted=False, is_held=True)
    assert end(error, 3) == expected
    outer = NangoError("the action failed")
    outer.__cause__ = error
    assert end(outer, 3) == expected


def test_a_time_in_the_past_is_a_second_from_now() -> None:
    """A job that gives its place up lets others start first; one that would wait for years fails."""
    assert end(RetryAt(0)).run_at == NOW + 1
    assert end(RetryAt(-1e300)).run_at == NOW + 1
    assert end(RetryAt(NOW + 1e9)).status == "waiting"
    assert end(RateLimited("full", retry_at=NOW + 1e9)) == Ending("failed")


def test_a_cancelled_job_is_not_retried() -> None:
    """It ends, whatever attempts are left."""
    assert end(JobCancelled("stop")) == Ending("cancelled")


def test_waits_double_up_to_an_hour() -> None:
    """Half of each wait is left to chance, so that jobs that failed together do not return together."""
    assert [backoff_seconds(n, 1.0) for n in (1, 2, 3, 20, 2000)] == [5, 10, 20, 3600, 3600]
    assert backoff_seconds(3, 0.0) == 10


@pytest.mark.parametrize(
    ("lanes", "count", "slots"),
    [
        ({"a": 1, "b": 1, "c": 0.5}, 4, ["abc", "abc", "ab", "ab"]),
        ({"a": 1, "b": 0.5, "c": 0.25}, 4, ["abc", "ab", "a", "a"]),
        ({"a": 1, "c": 0.1}, 2, ["ac", "a"]),
        ({"a": 1, "c": 0.1}, 1, ["ac"]),
        ({"a": 1 / 3}, 3, ["a", "", ""]),
    ],
)
def test_a_lane_gets_its_share_of_slots(lanes: dict[str, float], count: int, slots: list[str]) -> None:
    """At most its share, at least one slot; the others stay free for the lanes before it."""
    assert ["".join(each) for each in slot_lanes(tuple(lanes.items()), count)] == slots


def test_settings_have_the_default_lane() -> None:
    """A block that declares other lanes keeps the lane of jobs without one, in front."""
    assert JobSettings.from_settings({}).lane_names == ("interactive", "default", "background")
    assert JobSettings.from_settings({"lanes": {"slow": 0.2}}).lanes == (("default", 1.0), ("slow", 0.2))
    assert JobSettings.from_settings({"concurrency": None, "max_attempts": 2}).max_attempts == 2


def test_a_lock_is_that_of_the_connection() -> None:
    """Jobs without a connection, and those that may run beside others, have none."""
    assert NewJob("h", None, "shop", "ann").lock == "shop/ann"
    assert NewJob("h", None, "shop", "ann", is_alone=False).lock == ""
    assert NewJob("h", None).lock == ""
