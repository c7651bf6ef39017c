"""The log records that commands show: always warnings, attempts on request."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

ATTEMPTS = "nango_py.integrations"
"""Parent of the loggers with one record per attempt."""

CONFIG = "nango_py.config"
"""Logger of warnings about configuration files."""

CONNECT_EVENTS = frozenset({"connected", "connect_failed"})


class EchoHandler(logging.Handler):
    """Writes log records to the current standard error, one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record."""
        click.echo(" ".join(self.format(record).splitlines()), err=True)


class ConnectEventHandler(EchoHandler):
    """Writes only records of connections that succeeded or failed."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record if it is one of `CONNECT_EVENTS`."""
        if getattr(record, "nango", {}).get("what") in CONNECT_EVENTS:
            super().emit(record)


@contextmanager
def show_connect_logs() -> Iterator[None]:
    """Log requests to the connect server and their outcomes to standard error."""
    server, calls = logging.getLogger("nango_py.server"), logging.getLogger(ATTEMPTS)
    # --verbose shows these records already.
    is_verbose = logging.getLogger("nango_py").isEnabledFor(logging.INFO)
    handler, levels = ConnectEventHandler(), (server.level, calls.level)
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
def show_logs(*, verbose: bool) -> Iterator[None]:
    """Log warnings of nango_py to standard error, and every attempt if `verbose`.

    Warnings about files are left to `nango check`.
    """
    handler, logger = EchoHandler(), logging.getLogger("nango_py")
    hidden = (CONFIG,) if verbose else (CONFIG, ATTEMPTS)
    handler.addFilter(lambda record: not record.name.startswith(hidden))
    level = logger.level
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
