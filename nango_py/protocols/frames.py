"""Errors without the frames that raised them: these hold credentials, and error trackers print frames."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from nango_py.errors import NangoError
from nango_py.protocols.token_exchange import TokenRefused, TokenUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.protocols.token_exchange import Renewal

Given = ParamSpec("Given")
Result = TypeVar("Result")

TOLD = (NangoError, TokenRefused, TokenUnavailable)
"""The errors whose own text and attributes hold no credential."""


def without_error_frames(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Decorator: what the function tells in an error is raised without its frames."""

    @functools.wraps(function)
    def guarded(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        failed: Exception
        try:
            return function(*args, **kwargs)
        except TOLD as error:
            failed = error.with_traceback(None)
        del args, kwargs
        raise failed

    return guarded


def without_error_frames_in_renewal(steps: Renewal) -> Renewal:
    """The same for a generator of token requests."""
    failed: Exception
    try:
        return (yield from steps)
    except TOLD as error:
        failed = error.with_traceback(None)
    del steps
    raise failed
