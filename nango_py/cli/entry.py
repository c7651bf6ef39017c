"""Runs the `nango` command and turns every outcome into an exit code."""

from __future__ import annotations

import codecs
import errno
import io
import os
import shlex
import sys
from typing import TYPE_CHECKING

import click

from nango_py.cli.exit_codes import FAILED, INTERRUPTED, PIPE_CLOSED, USAGE_ERROR
from nango_py.cli.output import echo_error
from nango_py.errors import (
    ConfigError,
    ConnectionAlreadyExists,
    ConnectionNotFound,
    InvalidRequest,
    NangoError,
    RequestFailed,
    printable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

TRACEBACK_VARIABLE = "NANGO_TRACEBACK"
COMPLETION_VARIABLE = "_NANGO_COMPLETE"
"""Set by the scripts of shell completion, which click writes."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the `nango` command; see `nango_py.cli.main`."""
    _open_closed_streams()
    _write_any_text()
    from nango_py.cli.root import nango

    try:
        instruction = os.environ.get(COMPLETION_VARIABLE, "")
        if instruction and arguments is None:
            from click.shell_completion import shell_complete

            return shell_complete(nango, {}, "nango", COMPLETION_VARIABLE, instruction)
        code = _run(nango, arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if error.errno == errno.EPIPE:
            _redirect_output_to_devnull()
            return PIPE_CLOSED
        echo_error(f"{error.strerror or type(error).__name__}: {error.filename or 'no file'}")
        return USAGE_ERROR
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
        return USAGE_ERROR
    except ConfigError as error:
        click.echo(str(error), err=True)
        return USAGE_ERROR
    except NangoError as error:
        echo_error(_with_command(error))
        is_call = isinstance(error, RequestFailed) and not isinstance(error, InvalidRequest)
        return FAILED if is_call else USAGE_ERROR
    except OSError:
        raise
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        # The text of an unexpected exception may hold a credential, so only its type is shown.
        echo_error(f"{type(error).__name__}: a bug in nango_py; set {TRACEBACK_VARIABLE}=1 for a traceback")
        return FAILED
    return 0


def _with_command(error: NangoError) -> str:
    """The message of an error, with a command as the next step where it names a function of Python."""
    what = str(error).rpartition("; ")[0]
    if isinstance(error, ConnectionNotFound):
        return f"{what}; register one: {_command('register', error.integration, error.user_id)}"
    if isinstance(error, ConnectionAlreadyExists):
        return f"{what}; replace it: {_command('register', error.integration, error.user_id)} --replace"
    return str(error)


def _command(name: str, integration: str, user_id: str) -> str:
    return shlex.join(["nango", "connections", name, printable(integration), printable(user_id)])


def _open_closed_streams() -> None:
    """Replace standard streams that the shell closed (`>&-`), so that files do not get their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - until the end


def _write_any_text() -> None:
    """Let no text fail to be printed: file names may hold any bytes, and a terminal may lack characters."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            is_utf8 = codecs.lookup(stream.encoding).name == "utf-8"
            stream.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")


def _show(error: click.ClickException) -> None:
    """Print a usage error on one line, with the command for help."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":  # a group without a command, since click 8.2
        error.show()
        return
    hint = f"; see {context.command_path} --help" if context is not None else ""
    echo_error(error.format_message().rstrip(".") + hint)


def _redirect_output_to_devnull() -> None:
    """Keep the interpreter's last flush from failing on the closed pipe."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(devnull, stream.fileno())
        except (OSError, ValueError):
            continue
