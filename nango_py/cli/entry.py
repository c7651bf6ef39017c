"""From the process's arguments to its exit code: every way a command can end, in one place."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

import click

from nango_py.cli.output import echo_error
from nango_py.errors import ConfigError, InvalidRequest, NangoError, RequestFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

CALL_FAILED = 1
WRONG_USE = 2
INTERRUPTED = 130
PIPE_CLOSED = 141
"""128 + SIGPIPE: what a shell reports of any program whose reader has gone."""

TRACEBACK_VARIABLE = "NANGO_TRACEBACK"


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the `nango` command; see `nango_py.cli.main`."""
    from nango_py.cli.root import nango

    try:
        code = _run(nango, arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if error.errno == errno.EPIPE:
            _silence()
            return PIPE_CLOSED
        echo_error(f"{error.strerror or type(error).__name__}: {error.filename or 'no file'}")
        return WRONG_USE
    return code


def _run(nango: click.Command, arguments: Sequence[str] | None) -> int:
    try:
        with nango.make_context("nango", list(sys.argv[1:] if arguments is None else arguments)) as context:
            nango.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.Abort:
        click.echo(err=True)
        return INTERRUPTED
    except click.ClickException as error:
        _show(error)
        return WRONG_USE
    except ConfigError as error:
        click.echo(str(error), err=True)
        return WRONG_USE
    except NangoError as error:
        echo_error(str(error))
        is_call = isinstance(error, RequestFailed) and not isinstance(error, InvalidRequest)
        return CALL_FAILED if is_call else WRONG_USE
    except OSError:
        raise
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        # An unforeseen exception's text could hold anything, so only its kind is shown.
        echo_error(
            f"{type(error).__name__}; this is a mistake in nango_py ({TRACEBACK_VARIABLE}=1 shows where)"
        )
        return CALL_FAILED
    return 0


def _show(error: click.ClickException) -> None:
    """One line for what was typed wrong, and the way to the help of that command."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":  # a group alone, since click 8.2
        error.show()
        return
    more = f"; see {context.command_path} --help" if context is not None else ""
    echo_error(error.format_message().rstrip(".") + more)


def _silence() -> None:
    """Nobody reads any more: let the interpreter's last flush go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(nowhere, stream.fileno())
        except (OSError, ValueError):
            continue
