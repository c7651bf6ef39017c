"""The log records that commands show: always warnings, attempts on request."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

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
def attach(handler: logging.Handler, levels: Mapping[str, int], *, propagate: bool = True) -> Iterator[None]:
    """Attach the handler to loggers and set their levels inside the context."""
    loggers = [logging.getLogger(name) for name in levels]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    for logger, level in zip(loggers, levels.values(), strict=True):
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = logger.propagate and propagate
    try:
        yield
    finally:
        for logger, level, was_propagating in before:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = was_propagating


def show_connect_logs() -> AbstractContextManager[None]:
    """Log requests to the connect server and their outcomes to standard error."""
    # --verbose shows these records already.
    is_verbose = logging.getLogger("nango_py").isEnabledFor(logging.INFO)
    handler = logging.NullHandler() if is_verbose else ConnectEventHandler()
    return attach(handler, {"nango_py.server": logging.INFO, ATTEMPTS: logging.INFO})


def show_logs(*, verbose: bool) -> AbstractContextManager[None]:
    """Log warnings of nango_py to standard error, and every attempt if `verbose`.

    Warnings about files are left to `nango check`.
    """
    handler = EchoHandler()
    hidden = (CONFIG,) if verbose else (CONFIG, ATTEMPTS)
    handler.addFilter(lambda record: not record.name.startswith(hidden))
    return attach(handler, {"nango_py": logging.INFO if verbose else logging.WARNING})
