"""Answers that are refusals: what may be said of them, and what stays in the log."""

from __future__ import annotations

import logging
import secrets
import traceback
from pathlib import Path

from nango_py.errors import ConnectFailed, NangoError, StorageError, TamperError, printable

LOGGER = logging.getLogger("nango_py.server")


class Refusal(Exception):
    """A request that is answered with an HTTP error; all of it may be shown."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: dict[str, str] | None = None,
        fields: dict[str, str] | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}
        self.fields = fields or {}
        super().__init__(code)


def make_refusal(error: BaseException) -> Refusal:
    """What is said of an error. Of an unforeseen one only a name, by which it is found in the log."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, ConnectFailed):
        headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}  # noqa: PLR2004
        return Refusal(error.status, error.code, str(error), headers=headers, fields=error.fields)
    reference = secrets.token_hex(6)
    LOGGER.error("mistake %s: %s", reference, _described(error))
    if isinstance(error, StorageError) and not isinstance(error, TamperError):
        said = f"This cannot be done at present; try again later. Reference: {reference}"
        return Refusal(503, "unavailable", said)
    return Refusal(500, "mistake", f"Something went wrong on our side. Reference: {reference}")


def _described(error: BaseException) -> str:
    """What an error is and where it was raised.

    The text of a foreign exception could hold anything that it was given, so only its kind is written;
    our own errors hold no secret.
    """
    said = f": {printable(str(error), 500)}" if isinstance(error, NangoError) else ""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = ", ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__}{said}" + (f" ({places})" if places else "")
