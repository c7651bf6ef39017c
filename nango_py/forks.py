"""Processes that fork. A child has copies of all locks, but of all threads only the one that forked.

A lock that another thread held at that moment would stay locked in the child. There are two remedies: the
process forks only while no thread holds the lock (`new_short_lock`), or the child gets a new lock
(`forget_in_children`).
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

LONGEST_WAIT = 1.0
"""Seconds that a fork waits for one short lock. Only a fork within the lock itself can take that long."""


class Forkable(Protocol):
    """Something with connections, or with a lock that is held while waiting, that children must not share."""

    def forget_inherited(self) -> None:
        """Called in the child: leave the parent's connections alone and start with none, with new locks."""


_forkable: weakref.WeakSet[Forkable] = weakref.WeakSet()
_locks: dict[int, weakref.ref[threading.Lock]] = {}
_forking = threading.RLock()
"""Held from before a fork until after it: several threads may fork, and a signal handler within a fork."""
_held: list[threading.Lock] = []


def forget_in_children(owner: Forkable) -> None:
    """Call `forget_inherited` in every child that this process forks from now on."""
    _forkable.add(owner)


def new_short_lock() -> threading.Lock:
    """A lock that no other thread holds while the process forks, so that the child gets its data whole.

    Its holder must not wait for anything: no other lock, no file, no server, no log record.
    """
    lock = threading.Lock()
    number = id(lock)
    _locks[number] = weakref.ref(lock, lambda _: _locks.pop(number, None))
    return lock


def _before_fork() -> None:
    _forking.acquire()
    for reference in list(_locks.values()):
        lock = reference()
        if lock is not None and lock.acquire(timeout=LONGEST_WAIT):
            _held.append(lock)


def _after_fork() -> None:
    while _held:
        _held.pop().release()
    _forking.release()


def _after_fork_in_child() -> None:
    _after_fork()
    for owner in list(_forkable):
        owner.forget_inherited()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
