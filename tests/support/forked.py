"""Children of this process, and the locks that they inherit."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import sys
import threading
import time
import traceback
import warnings
from typing import TYPE_CHECKING, Any

from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCKS = (type(threading.Lock()), type(threading.RLock()))


def fork(work: Callable[[], object]) -> int:
    """A child that runs the work, and exits with status 0 if it succeeds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forks with threads are what is tested
        child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(HANG_SECONDS / 2, file=2)  # where it hangs, in the report
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - reported by the exit status
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


def wait_for_child(child: int) -> int:
    """Its exit status; a child that hangs is killed."""
    ends = time.monotonic() + HANG_SECONDS
    while time.monotonic() < ends:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        threading.Event().wait(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -9


def locks_of(*roots: object) -> dict[str, Any]:
    """The locks of this package's objects that can be reached from the roots, by class and attribute."""
    found: dict[str, Any] = {}
    locks: set[int] = set()
    seen: set[int] = set()
    waiting: list[object] = [
        *roots,
        *(vars(module) for name, module in list(sys.modules.items()) if name.startswith("nango_py")),
    ]
    while waiting:
        owner = waiting.pop(0)  # an object before its __dict__, which has no name
        if id(owner) in seen or isinstance(owner, type | str | bytes | int | float):
            continue
        seen.add(id(owner))
        for name, value in _attributes(owner):
            if isinstance(value, LOCKS) and id(value) not in locks:
                locks.add(id(value))
                found[f"{type(owner).__name__}.{name}:{len(found)}"] = value
        waiting += [item for item in gc.get_referents(owner) if _is_of_package(item)]
    return found


def _attributes(owner: object) -> Iterator[tuple[str, object]]:
    if isinstance(owner, dict):
        yield from ((str(name), value) for name, value in list(owner.items()))
        return
    yield from getattr(owner, "__dict__", {}).items()
    for cls in type(owner).__mro__:
        for name in getattr(cls, "__slots__", ()):
            with contextlib.suppress(AttributeError):
                yield name, getattr(owner, name)


def _is_of_package(item: object) -> bool:
    if isinstance(item, dict | list | tuple):
        return True
    return type(item).__module__.startswith("nango_py")


@contextlib.contextmanager
def held(*locks: Any) -> Iterator[None]:
    """Another thread holds the locks."""
    is_holding, may_leave = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            assert lock.acquire(timeout=HANG_SECONDS)
        is_holding.set()
        may_leave.wait(HANG_SECONDS)
        for lock in locks:
            lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert is_holding.wait(HANG_SECONDS)
        yield
    finally:
        may_leave.set()
        thread.join()


def is_free(lock: Any) -> bool:
    """Whether this thread can have the lock now."""
    if not lock.acquire(blocking=False):
        return False
    lock.release()
    return True
