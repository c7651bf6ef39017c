"""Processes that start in milliseconds: one process that has imported nango_py forks them.

    with start(NANGO, "sandbox", "klaviyo:v1", cwd=folder) as child:
        child.stdout.readline()

A child has its own folder, environment and standard streams. It does not prove what the interpreter does
before and after a program, nor which modules a program imports. A warning is an error in it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, Self

from nango_py import cli

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
NANGO = "tests.support.fork_server:nango"
"""The `nango` command."""
IMPORTED = ("difflib", "jinja2.sandbox", "nango_py.cli.root", "nango_py.sandbox", "psycopg", "redis")
"""What children import beside what a call needs."""
LONGEST_ORDER = 1 << 17
PIPES = 4
"""Descriptors of an order: standard input, output and errors, and the pipe for the reports on the child."""
TIMEOUT = 100.0


class Child:
    """A child of the server, with what tests need of `subprocess.Popen`. A context manager that kills it.

    Attributes:
        pid: its number.
        stdin: a pipe to the child, unless it has a terminal.
        stdout: a pipe from the child, unless it has a terminal.
        returncode: after `wait`, its exit code, or the negative number of a signal.
    """

    stdin: IO[str]
    stdout: IO[str]

    def __init__(self, order: Mapping[str, Any], terminal: int | None = None) -> None:
        self.returncode: int | None = None
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed at exit
        report, to_report = os.pipe()
        self._report = os.fdopen(report)
        if terminal is None:
            from_test, stdin = os.pipe()
            stdout, to_test = os.pipe()
            self.stdin, self.stdout = os.fdopen(stdin, "w", buffering=1), os.fdopen(stdout)
            self._streams = [self.stdin, self.stdout, self._report, self._errors]
            _send(order, [from_test, to_test, self._errors.fileno(), to_report])
            passed = [from_test, to_test, to_report]
        else:
            self._streams = [self._report, self._errors]
            _send(order, [terminal, terminal, terminal, to_report])
            passed = [to_report]
        for descriptor in passed:
            os.close(descriptor)
        self.pid = int(self._report.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()
        for stream in self._streams:
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float = TIMEOUT) -> int:
        """The exit code, as soon as it has ended."""
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._report, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired("child", timeout)
            self.returncode = int(self._report.readline())
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # the server has not reported its end yet
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, text: str = "", timeout: float = TIMEOUT) -> tuple[str, str]:
        """Write its input; what it writes until it ends, which it does in time or is killed."""
        killer = threading.Timer(timeout, self.kill)
        killer.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                self.stdin.write(text)
            with contextlib.suppress(BrokenPipeError):
                self.stdin.close()
            out = self.stdout.read()
            self.wait(timeout)
        finally:
            killer.cancel()
        return out, self.errors()

    def errors(self) -> str:
        """What it has written on standard error."""
        self._errors.seek(0)
        return self._errors.read()


def start(
    target: str,
    *arguments: str,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    terminal: int | None = None,
) -> Child:
    """A child that calls a function.

    Args:
        target: `module:function`; what it returns is the exit code.
        arguments: its arguments.
        cwd: its working directory.
        env: its whole environment; that of this process if left out.
        terminal: a descriptor that becomes its controlling terminal and its standard streams.
    """
    environ = dict(os.environ if env is None else env)
    order = {
        "target": target, "arguments": arguments, "cwd": str(cwd), "env": environ,
        "is_terminal": terminal is not None,
    }  # fmt: skip
    return Child(order, terminal)


def run(
    target: str, *arguments: str, text: str = "", timeout: float = TIMEOUT, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a child to its end; `options` are those of `start`."""
    with start(target, *arguments, **options) as child:
        out, err = child.communicate(text, timeout)
        return subprocess.CompletedProcess([target, *arguments], child.wait(), out, err)


_sending = threading.Lock()


def _send(order: Mapping[str, Any], descriptors: list[int]) -> None:
    content = json.dumps(order).encode()
    assert len(content) < LONGEST_ORDER
    with _sending:
        socket.send_fds(_server(), [content], descriptors)


@functools.cache
def _server() -> socket.socket:
    """The socket to the server of this process, which ends with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-W", "error", "-m", "tests.support.fork_server", str(theirs.fileno())]
        server = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()], start_new_session=True)

    def close() -> None:
        ours.close()
        server.wait()

    atexit.register(close)
    return ours


class Server:
    """Forks children on order, and reports their ends. It has no threads, which a fork would not copy."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._reports: dict[int, int] = {}
        self._ended, wake = os.pipe()
        for end in (self._ended, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        gc.collect()
        gc.freeze()

    def serve(self) -> dict[str, Any] | None:
        """The order, in each child; None, when no more orders can come."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._orders, selectors.EVENT_READ)
            selector.register(self._ended, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if self._ended in ready:
                    os.read(self._ended, 4096)
                    self._report_ends()
                if self._orders.fileno() not in ready:
                    continue
                content, descriptors, *_ = socket.recv_fds(self._orders, LONGEST_ORDER, PIPES)
                if not content:
                    return None
                order: dict[str, Any] = json.loads(content)
                if self._fork(order, descriptors):
                    return order

    def _report_ends(self) -> None:
        while self._reports:
            child, status = os.waitpid(-1, os.WNOHANG)
            if not child:
                return
            report = self._reports.pop(child)
            with contextlib.suppress(BrokenPipeError):
                os.write(report, f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os.close(report)

    def _fork(self, order: Mapping[str, Any], descriptors: list[int]) -> bool:
        """Whether this is the child."""
        importlib.import_module(order["target"].partition(":")[0])
        child = os.fork()
        if child:
            *streams, report = descriptors
            self._reports[child] = report
            os.write(report, f"{child}\n".encode())
            for stream in streams:
                os.close(stream)
            return False
        for number, descriptor in enumerate(descriptors[:3]):
            os.dup2(descriptor, number)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._orders.detach()
        os.closerange(3, 1024)
        return True


def become(order: Mapping[str, Any]) -> None:
    """Take the folder, the environment and the streams of an order."""
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    if order["is_terminal"]:
        os.login_tty(os.dup(0))
    is_unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    for number, name, mode, errors in (
        (0, "stdin", "r", "strict"),
        (1, "stdout", "w", "strict"),
        (2, "stderr", "w", "backslashreplace"),
    ):
        stream: Any = open(number, mode, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
        if mode == "w":
            stream.reconfigure(line_buffering=number == 2 or stream.isatty(), write_through=is_unbuffered)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def import_all() -> None:
    """Import what children need, which a product imports when it makes its first executor."""
    for name in IMPORTED:
        importlib.import_module(name)
    from nango_py import Nango

    entry = {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {"base_url": "https://api.test/", "headers": {"X-Key": "${api_key}"}},
    }
    with Nango({"shop": entry}, database_url="sqlite:///:memory:", environ={}) as nango:
        nango.register_connection("shop", "ada", {"api_key": "key"})
        nango.executor("shop", "ada")
    assert threading.active_count() == 1


def nango(*arguments: str) -> int:
    """The `nango` command."""
    return cli.main(arguments)


def live(target: str, arguments: list[str]) -> NoReturn:
    """Call the function and end, without taking the interpreter to pieces, which takes ten times as long."""
    module, _, name = target.partition(":")
    code: object = 1
    try:
        code = getattr(importlib.import_module(module), name)(*arguments)
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(code if isinstance(code, int) else code is not None)


def main() -> None:
    """Serve; then, in a child, run what it is for."""
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        import_all()
        order = Server(orders).serve()
    if order is not None:
        become(order)
        live(order["target"], order["arguments"])


if __name__ == "__main__":
    main()
