"""Names of lease owners, by which others on the same machine see that an owner's process has died."""

from __future__ import annotations

import functools
import os
import uuid
from pathlib import Path

_PROC = Path("/proc")
_DEAD = frozenset("ZX")
"""States of processes that have ended but were not waited for (proc(5))."""


def new_owner() -> str:
    """A unique name that says which process it belongs to, on Linux.

    The name has the boot and the process namespace, because numbers of processes are used again after a
    reboot and in other containers, and the start of the process, because they are used again at all.
    """
    return f"{uuid.uuid4().hex}{_process(os.getpid())}"


def has_died(owner: str) -> bool:
    """Whether the owner's process ran on this machine and has ended; False if that is unknown."""
    parts = owner.split(" ")
    if len(parts) != 4 or parts[1] != _machine() or not parts[2].isdecimal():  # noqa: PLR2004 - as new_owner
        return False
    pid = int(parts[2])
    start = _start_of(pid)
    return start != parts[3] and (start is not None or not _exists(pid))


@functools.cache
def _process(pid: int) -> str:
    """The part of names that says which process it is; "" if that is unknown."""
    machine, start = _machine(), _start_of(pid)
    return f" {machine} {pid} {start}" if machine and start else ""


def _machine() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        namespace = (_PROC / "self/ns/pid").readlink().name
    except OSError:
        return ""
    return f"{boot}/{namespace}"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.cache_clear)  # numbers of processes are used again


def _exists(pid: int) -> bool:
    """Whether there is such a process, also where the files of other users' processes are hidden."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _start_of(pid: int) -> str | None:
    """When a process started, in ticks since boot; "" if it has ended, None if that cannot be read."""
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return "" if state in _DEAD else fields[18]
