"""What the end of an attempt means for its job: pure decisions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nango_py.errors import (
    ActionFailed,
    ActionInputError,
    ConfigError,
    ConnectionNotFound,
    CredentialsError,
    InvalidRequest,
    NangoError,
    ProviderError,
    RateLimited,
    TamperError,
    UnknownNameError,
)
from nango_py.jobs.context import JobCancelled, RetryAt
from nango_py.jobs.job import CANCELLED, DEAD, FAILED, WAITING
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Callable

BASE_SECONDS, LONGEST_SECONDS = 5.0, 3600.0
"""The wait after the first failed attempt, which doubles, and the longest. Each is shortened at random."""

UNKNOWN_SECONDS = 60.0
"""The same if the worker does not know the handler or the action: it may be older than the program that has
enqueued the job."""

SHORTEST_HOLD = 1.0
"""A job that puts itself back again and again would otherwise keep its worker from all others."""

LONGEST_HOLD = 366 * 86_400.0
"""A quota that is closed for longer than a year is a mistake."""

FINAL = (
    ActionInputError, ConfigError, ConnectionNotFound, CredentialsError, InvalidRequest, TamperError,
    UnknownNameError,
)  # fmt: skip
"""Errors that another attempt would meet again."""

FIRST_SERVER_ERROR, REQUEST_TIMEOUT, TOO_MANY = 500, 408, 429


@record
class Ending:
    """What becomes of a job after a failed attempt.

    Attributes:
        run_at: for `waiting`, when it may start, in unix seconds.
        is_counted: whether the attempt counts.
        is_held: whether later jobs of its connection wait behind it.
    """

    status: str
    run_at: float = 0.0
    is_counted: bool = True
    is_held: bool = False


def end_of_attempt(
    error: BaseException, attempt: int, max_attempts: int, now: float, chance: Callable[[], float]
) -> Ending:
    """What becomes of a job.

    Args:
        error: what its handler raised. If it has an attribute `is_retryable`, that decides.
        attempt: the number of the attempt.
        max_attempts: the number of attempts that count.
        now: unix seconds.
        chance: returns a random number from 0 to 1.
    """
    error = cause_of(error)
    if isinstance(error, JobCancelled):
        return Ending(CANCELLED)
    put_back = put_back_until(error, now)
    if put_back is not None:
        return Ending(WAITING, put_back, is_counted=False, is_held=True)
    is_unknown = isinstance(error, UnknownNameError)
    if not is_unknown and not is_retryable(error):
        return Ending(FAILED)
    if attempt >= max_attempts:
        return Ending(DEAD)
    base = UNKNOWN_SECONDS if is_unknown else BASE_SECONDS
    return Ending(WAITING, now + backoff_seconds(attempt, chance(), base))


def cause_of(error: BaseException) -> BaseException:
    """What ended an action, or the refusal of a quota that was the cause; else the error itself."""
    if isinstance(error, ActionFailed) and error.cause is not None:
        return error.cause
    return error.__cause__ if isinstance(error.__cause__, RetryAt | RateLimited) else error


def put_back_until(error: BaseException, now: float) -> float | None:
    """Until when an error puts the job back, in unix seconds; None if it does not."""
    if not isinstance(error, RetryAt | RateLimited):
        return None
    when = error.when if isinstance(error, RetryAt) else error.retry_at
    is_usable = isinstance(when, int | float) and -math.inf < when < now + LONGEST_HOLD
    return float(max(when, now + SHORTEST_HOLD)) if is_usable else None


def as_put_back(error: NangoError, now: float) -> NangoError:
    """`RetryAt` for an error that a quota has caused; other errors unchanged."""
    when = put_back_until(cause_of(error), now)
    return error if when is None else RetryAt(when, str(error))


def is_retryable(error: BaseException) -> bool:
    """Whether another attempt may succeed: not after wrong input, or a refusal by the API."""
    error = cause_of(error)
    try:
        said = getattr(error, "is_retryable", None)
    except Exception:  # noqa: BLE001 - a property of an exception of the product
        said = None
    if isinstance(said, bool):
        return said
    if isinstance(error, ProviderError):
        return error.status >= FIRST_SERVER_ERROR or error.status in {0, REQUEST_TIMEOUT, TOO_MANY}
    if isinstance(error, RateLimited):
        return False  # the quota never allows it
    return isinstance(error, Exception) and not isinstance(error, FINAL)


def backoff_seconds(attempt: int, chance: float, base: float = BASE_SECONDS) -> float:
    """The wait after the failed attempt of this number: doubled each time, and shortened by up to half."""
    longest = min(base * 2.0 ** min(attempt - 1, 32), LONGEST_SECONDS)
    return longest * (0.5 + chance / 2)


def describe(error: BaseException) -> str:
    """An error in words. Mask them: a handler may raise errors of this package with any text, too."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception that cannot be printed
        text = "(its message cannot be read)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
