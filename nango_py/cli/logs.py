"""What commands show of the library's log: warnings always, attempts when asked."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

ATTEMPTS = "nango_py.integrations"
"""The parent of the loggers that write one record for each attempt."""

FILES = "nango_py.config"
"""The logger of what is suspicious in files."""


class EchoHandler(logging.Handler):
    """Writes log records to standard error as it is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record's message on one line."""
        click.echo(" ".join(self.format(record).splitlines()), err=True)


CONNECTS = frozenset({"connected", "connect_failed"})


class EchoConnects(EchoHandler):
    """Writes how users' tries to connect ended, and no other record of the integrations' loggers."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print such a record."""
        if getattr(record, "nango", {}).get("what") in CONNECTS:
            super().emit(record)


@contextmanager
def shown_connects() -> Iterator[None]:
    """While it is open, requests to the connect server and what came of them go to standard error."""
    server, calls = logging.getLogger("nango_py.server"), logging.getLogger(ATTEMPTS)
    # With --verbose everything is shown already.
    is_verbose = logging.getLogger("nango_py").isEnabledFor(logging.INFO)
    handler, levels = EchoConnects(), (server.level, calls.level)
    server.setLevel(logging.INFO)
    calls.setLevel(logging.INFO)
    if not is_verbose:
        calls.addHandler(handler)
    try:
        yield
    finally:
        calls.removeHandler(handler)
        server.setLevel(levels[0])
        calls.setLevel(levels[1])


@contextmanager
def shown_logs(*, verbose: bool) -> Iterator[None]:
    """While it is open, warnings of nango_py go to standard error, and with `verbose` every attempt too.

    A call tells how it ended in one line of its own, so its attempts are shown on request only; what is
    suspicious in files is what `nango check` prints.
    """
    handler, logger = EchoHandler(), logging.getLogger("nango_py")
    hidden = (FILES,) if verbose else (FILES, ATTEMPTS)
    handler.addFilter(lambda record: not record.name.startswith(hidden))
    level = logger.level
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
