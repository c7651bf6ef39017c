"""Errors for HTTP libraries that send through the engine: theirs, and ours at the same time."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nango_py.errors import DeadlineExceeded, InvalidRequest, NangoError, RequestFailed, TransportFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

UNSENT = frozenset({"connect", "dns"})


def failure_kind(error: NangoError) -> str:
    """The kind of a failure, of those for which HTTP libraries have classes.

    One of timeout, connect_timeout, tls, proxy, truncated, malformed, invalid and unreachable; "" for others.
    """
    if isinstance(error, InvalidRequest):
        return "invalid"
    if isinstance(error, DeadlineExceeded):
        return "connect_timeout" if _last_reason(error) in UNSENT else "timeout"
    if not isinstance(error, TransportFailed):
        return ""
    if error.reason in UNSENT and _took_all_time(error):
        return "connect_timeout"
    reason = "malformed" if error.reason == "protocol" else error.reason
    return reason if reason in {"timeout", "tls", "proxy", "truncated", "malformed"} else "unreachable"


def _last_reason(error: RequestFailed) -> str:
    return str(error.attempts[-1].reason) if error.attempts else ""


def _took_all_time(error: RequestFailed) -> bool:
    """Whether connecting ended because its time was over."""
    return bool(error.attempts) and error.attempts[-1].seconds >= 0.99 * error.plan.connect_seconds


def as_library_error(error: NangoError, kind: type[Exception], request: object) -> Exception:
    """The error as an instance of its own class and of a library's.

    Args:
        error: what the engine raised.
        kind: the library's class.
        request: the library's request, for `error.request`.
    """
    return _restore(type(error), kind, error.args, {"response": None, **vars(error)}, request)


def _restore(
    ours: type[NangoError],
    kind: type[Exception],
    args: tuple[object, ...],
    attributes: Mapping[str, object],
    request: object = None,
) -> Exception:
    cls: Any = _combine(ours, kind)  # type: ignore[arg-type]  # classes are hashable
    combined: Any = cls.__new__(cls, *args)
    combined.args = args
    vars(combined).update(attributes)
    if request is not None or not hasattr(kind, "request"):
        combined.request = request
    return combined  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def _combine(ours: type[NangoError], kind: type[Exception]) -> type[Exception]:
    def reduce(self: Any) -> tuple[object, ...]:
        # A request may hold what cannot be pickled, and is the library's own.
        attributes = {**self._picklable_attributes(), "request": None, "_request": None}
        attributes = {name: value for name, value in attributes.items() if value is not None}
        return _restore, (ours, kind, self.args, attributes)

    return type(ours.__name__, (ours, kind), {"__doc__": ours.__doc__, "__reduce__": reduce})
