"""Starts the applications of examples/ in a copy of their folder, with a sandbox in place of the API."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py import Sandbox

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
KEY = "bmFuZ28tcHktdGVzdC1rZXktMzItYnl0ZXMtbG9uZyE="
PATIENCE_SECONDS = 60.0


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def environment(**values: str) -> dict[str, str]:
    """The environment of an application: this checkout, a key, and `values`."""
    found = {"PYTHONPATH": str(ROOT), "NANGO_ENCRYPTION_KEYS": KEY, "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **found, **values}


def copy_of(name: str, folder: Path, sandbox: Sandbox, config: Mapping[str, object] | None = None) -> Path:
    """A copy of an example whose Klaviyo is the sandbox, with other keys of `config`."""
    target = folder / name
    shutil.copytree(EXAMPLES / name, target, ignore=shutil.ignore_patterns("__pycache__", ".nango"))
    path = target / "integrations.yaml"
    files = yaml.safe_load(path.read_text())
    files["integrations"]["klaviyo"].update(sandbox.overrides)
    files["config"] = {**files.get("config", {}), **(config or {})}
    path.write_text(yaml.safe_dump(files))
    return target


def run(command: list[str], folder: Path, environ: Mapping[str, str]) -> str:
    """The output of a command that has to succeed."""
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextlib.contextmanager
def running(
    command: list[str], folder: Path, environ: Mapping[str, str], *, port: int = 0, line: str = ""
) -> Iterator[Path]:
    """A process, once it listens on the port or has printed the line; stopped by SIGTERM. Gives its log."""
    log = folder / f"{command[1].replace('/', '-')}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=environ, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_until_started(process, log, port, line)
        yield log
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()


def wait_until_started(process: subprocess.Popen[bytes], log: Path, port: int, line: str) -> None:
    """Look until the process listens or has printed the line."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < ends:
        assert process.poll() is None, log.read_text()
        if listens(port) if port else line in log.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"not started after {PATIENCE_SECONDS} s:\n{log.read_text()}")


def listens(port: int) -> bool:
    """Whether a process listens on this port of 127.0.0.1."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_for_calls(sandbox: Sandbox, statuses: list[int], log: Path) -> None:
    """Look until the sandbox has returned these statuses."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < ends:
        if [record.status for record in sandbox.ledger.received] == statuses:
            return
        time.sleep(0.05)
    raise AssertionError(f"{[record.status for record in sandbox.ledger.received]}\n{log.read_text()}")
