"""Runners without another service: in the caller's thread, and in threads over the table of jobs."""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from nango_py.connections.owners import has_died, new_owner
from nango_py.errors import StorageError
from nango_py.forks import forget_in_children
from nango_py.jobs.job import slot_lanes
from nango_py.jobs.store import LOGGER

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from nango_py.clock import Clock
    from nango_py.database.base import Run
    from nango_py.jobs.runner import Enqueue, Result, Runner
    from nango_py.jobs.schedules import Schedules
    from nango_py.jobs.store import Claimed, Finished, JobLease, JobRow, JobStore
    from nango_py.jobs.work import Work

LEASE_SECONDS = 90.0
"""Seconds after the last sign of life of a worker until its jobs are given to others."""

EXTEND_SECONDS, RESCUE_SECONDS, TICK_SECONDS, DELETE_SECONDS = 15.0, 5.0, 1.0, 3600.0
"""Seconds between two extensions of leases, two searches for dead workers, for ticks, and for old jobs."""

POLL_SECONDS = 1.0
"""Seconds between two looks for jobs that other processes have enqueued."""

DAY = 86_400 * 1_000_000


class LostJobs:
    """Puts the jobs of workers that died back.

    A worker that lives extends its leases. Whether it still does is seen by this process's monotonic clock.
    Only leases that had ended before this process first looked are judged by their end.

    Args:
        store: the jobs.
        clock: of this process.
    """

    def __init__(self, store: JobStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._seen: dict[JobLease, float] | None = None

    def put_back(self, own: Collection[str]) -> int:
        """Put them back. Returns how many.

        Args:
            own: owners of jobs that run in this process.
        """
        now, earlier = self._clock.monotonic(), self._seen
        leases = self._store.leases(2 * LEASE_SECONDS)
        self._seen = seen = {lease: (earlier or {}).get(lease, now) for lease in leases}
        silent = {lease for lease, since in seen.items() if now - since >= LEASE_SECONDS}
        if earlier is None:
            silent |= {lease for lease, has_ended in leases.items() if has_ended}
        lost = [
            lease for lease in leases if lease.owner not in own and (lease in silent or has_died(lease.owner))
        ]
        return sum(map(self._store.put_back, lost))


class Upkeep:
    """What a worker does beside its jobs. Each part is done when it is due.

    Args:
        work: its store and clock.
        schedules: whose ticks create jobs.
        owners: of the jobs that run in this process.
    """

    def __init__(self, work: Work, schedules: Schedules, owners: Collection[str]) -> None:
        self._work = work
        self._schedules = schedules
        self._owners = owners
        self._lost = LostJobs(work.store, work.clock)
        self._next: dict[str, float] = {}

    def run(self, runner: Runner, wake: Callable[[], None]) -> None:
        """Do what is due, and wake the threads if jobs were put back."""
        store, clock = self._work.store, self._work.clock
        if self._is_due("rescue", RESCUE_SECONDS):
            lost = self._lost.put_back(self._owners)
            if lost:
                LOGGER.warning("%d jobs of workers that died were put back", lost)
                wake()
        if self._is_due("extend", EXTEND_SECONDS):
            store.extend(tuple(self._owners), LEASE_SECONDS)
        if self._is_due("tick", TICK_SECONDS):
            self._schedules.tick(runner)
        if self._is_due("delete", DELETE_SECONDS):
            self._schedules.correct()
            store.correct()
            store.warn_of_lanes(self._work.settings.lane_names)
            store.delete_ended(int(clock.now() * 1_000_000 - self._work.settings.keep_days * DAY))

    def _is_due(self, name: str, seconds: float) -> bool:
        now = self._work.clock.monotonic()
        if now < self._next.get(name, 0.0):
            return False
        self._next[name] = now + seconds
        return True


class LocalRunner(ABC):
    """What both local runners share.

    Args:
        work: runs attempts.
        schedules: whose ticks create jobs.
    """

    def __init__(self, work: Work, schedules: Schedules) -> None:
        self.work = work
        self.schedules = schedules
        self.forget_inherited()
        forget_in_children(self)

    def forget_inherited(self) -> None:
        """See `Forkable`: a child has no threads yet, and runs no jobs."""
        self._owners: set[str] = set()
        self.upkeep = Upkeep(self.work, self.schedules, self._owners)
        # Ends of attempts that the database did not take: other workers leave the jobs of this process alone.
        self._unstored: list[Finished] = []

    def write(self, work: Callable[[Run, Enqueue], Result]) -> Result:
        """See `Runner`."""
        rows: list[JobRow] = []

        def enqueue_all(run: Run) -> Result:
            rows.clear()
            return work(run, rows.append)

        result = self.work.store.database.write(enqueue_all)
        if rows:
            self.wake()
        return result

    @abstractmethod
    def wake(self) -> None:
        """Jobs may be due."""

    @abstractmethod
    def start(self) -> None:
        """See `Runner`."""

    @abstractmethod
    def stop(self, seconds: float | None) -> bool:
        """See `Runner`."""

    @abstractmethod
    def run(self, seconds: float | None) -> bool:
        """See `Runner`."""

    @abstractmethod
    def request_stop(self) -> None:
        """See `Runner`."""

    def keep_up(self) -> None:
        """Do what is due beside the jobs."""
        unstored, self._unstored = self._unstored, []
        try:
            while unstored:
                self.work.store.finish(unstored[-1])
                self._forget(unstored.pop())
        finally:
            self._unstored += unstored
        self.upkeep.run(self, self.wake)

    def run_due(self) -> int:
        """See `Runner`; what a worker does beside its jobs is done too."""
        self.keep_up()
        lanes, count = self.work.settings.lane_names, 0
        finished: Finished | None = None
        with self._extend_leases():
            try:
                while True:
                    claimed = self._exchange(finished, lanes)
                    finished = None
                    if claimed is None:
                        return count
                    finished, count = self._run(claimed), count + 1
            finally:
                if finished is not None:
                    self._unstored.append(finished)

    def _exchange(self, finished: Finished | None, lanes: tuple[str, ...]) -> Claimed | None:
        """Store the end of one job and start another one, under a new name.

        If the reply of the database is lost, the job may have been started though no thread runs it. Then
        nothing extends its lease.
        """
        _, claimed = self.work.store.exchange(finished, new_owner(), lanes, LEASE_SECONDS)
        self._forget(finished)
        return claimed

    def _run(self, claimed: Claimed) -> Finished:
        """Run a job, whose lease is extended until its end is stored."""
        self._owners.add(claimed.row.owner)
        try:
            return self.work.run(claimed)
        except BaseException:
            self._owners.discard(claimed.row.owner)
            raise

    def _forget(self, finished: Finished | None) -> None:
        if finished is not None:
            self._owners.discard(finished.claimed.row.owner)

    @contextmanager
    def _extend_leases(self) -> Iterator[None]:
        """Extend the leases of jobs that run in this thread, or else long jobs would run twice."""
        has_ended = threading.Event()

        def extend() -> None:
            while not has_ended.wait(EXTEND_SECONDS):
                with suppress(StorageError):  # again in a moment
                    self.work.store.extend(tuple(self._owners), LEASE_SECONDS)

        thread = threading.Thread(target=extend, name="nango-jobs-leases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            has_ended.set()
            thread.join()


class InlineRunner(LocalRunner):
    """Runs a job in the thread that enqueues it; later attempts by `run_due`."""

    def forget_inherited(self) -> None:
        """See `Forkable`."""
        super().forget_inherited()
        self._is_running = threading.local()

    def wake(self) -> None:
        """Run the due jobs now, unless this thread runs them already: a handler may enqueue others."""
        if getattr(self._is_running, "value", False):
            return
        self._is_running.value = True
        try:
            self.run_due()
        except StorageError as error:  # the caller's job is stored; `run_due` runs it
            LOGGER.warning("the jobs could not be run, and will be by run_due: %s", error)
        finally:
            self._is_running.value = False

    def start(self) -> None:
        """Nothing runs in the background."""

    def stop(self, seconds: float | None) -> bool:
        """Nothing runs in the background."""
        return True

    def run(self, seconds: float | None) -> bool:
        """Run the jobs that are due, and return."""
        self.run_due()
        return True

    def request_stop(self) -> None:
        """The jobs that run now end first."""


class ThreadRunner(LocalRunner):
    """Runs jobs in threads of this process; other processes may do so over the same database."""

    def forget_inherited(self) -> None:
        """See `Forkable`: the parent's threads do not exist in a child."""
        super().forget_inherited()
        self._condition = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._changes = 0
        self._session = object()  # since the last start; threads of an earlier one end after their jobs
        self._stop_reader, self._stop_writer = -1, -1

    def wake(self) -> None:
        """Let a thread look for jobs."""
        with self._condition:
            self._changes += 1
            self._condition.notify_all()

    def start(self) -> None:
        """See `Runner`."""
        with self._condition:
            if self._threads:
                return
            self.work.is_stopping = False
            self._session = session = object()
            slots = slot_lanes(self.work.settings.lanes, self.work.settings.concurrency)
            targets: list[Callable[[], None]] = [
                partial(self._keep, session),
                *(partial(self._work_slot, session, lanes) for lanes in slots),
            ]
            self._threads = [
                threading.Thread(target=target, name=f"nango-jobs-{number}", daemon=True)
                for number, target in enumerate(targets)
            ]
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float | None) -> bool:
        """See `Runner`."""
        self.work.is_stopping = True
        self.wake()
        ends = None if seconds is None else time.monotonic() + seconds  # of threads, whatever the clock
        for thread in self._threads:
            thread.join(None if ends is None else max(0.0, ends - time.monotonic()))
        have_ended = not any(thread.is_alive() for thread in self._threads)
        self._threads = []
        return have_ended

    def run(self, seconds: float | None) -> bool:
        """See `Runner`."""
        # A byte in a pipe, because a signal handler must not wait for a lock.
        self._stop_reader, self._stop_writer = os.pipe()
        try:
            self.start()
            os.read(self._stop_reader, 1)
            return self.stop(seconds)
        finally:
            writer, self._stop_writer = self._stop_writer, -1
            os.close(self._stop_reader)
            os.close(writer)

    def request_stop(self) -> None:
        """See `Runner`."""
        self.work.is_stopping = True
        if self._stop_writer >= 0:
            os.write(self._stop_writer, b"x")

    def _work_slot(self, session: object, lanes: tuple[str, ...]) -> None:
        finished: Finished | None = None
        while True:
            seen = self._changes
            try:
                if self._is_stopping(session):
                    if finished is not None:
                        self.work.store.finish(finished)
                        self._forget(finished)
                    return self.wake()
                last, claimed = finished, self._exchange(finished, lanes)
                finished = None
            except StorageError as error:
                LOGGER.warning("the jobs could not be read or written, and will be again: %s", error)
                self._wait(POLL_SECONDS, seen)
                continue
            if last is not None and (claimed is None or last.claimed.row.lock_name != claimed.row.lock_name):
                self.wake()  # the next job of that connection may start
            if claimed is None:
                self._wait_for_jobs(session, lanes, seen if last is None else self._changes)
            elif self._is_stopping(session):  # it was claimed at the same moment
                finished = self.work.give_back(claimed)
            else:
                finished = self._run(claimed)

    def _is_stopping(self, session: object) -> bool:
        return self.work.is_stopping or session is not self._session

    def _wait_for_jobs(self, session: object, lanes: tuple[str, ...], seen: int) -> None:
        """Wait until a job is due, or others have changed something."""
        try:
            while not self._is_stopping(session) and self._changes == seen:
                now = self.work.store.now()
                due = self.work.store.next_due(lanes)
                # One that is due already waits for another one: that ends, or is put back until it is due.
                following = due if due is None or due > now else self.work.store.next_due(lanes, now)
                seconds = POLL_SECONDS if following is None else (following - now) / 1_000_000
                self._wait(min(seconds, POLL_SECONDS), seen)
                if due is not None and due <= self.work.store.now():
                    return
        except StorageError:
            self._wait(POLL_SECONDS, seen)

    def _wait(self, seconds: float, seen: int) -> None:
        with self._condition:
            if self._changes == seen:
                self._condition.wait(seconds)

    def _keep(self, session: object) -> None:
        """What is done beside the jobs, until all of them have ended."""
        while session is self._session:
            seen = self._changes
            others = [thread for thread in self._threads if thread is not threading.current_thread()]
            if self.work.is_stopping and not any(thread.is_alive() for thread in others):
                return
            try:
                self.keep_up()
            except StorageError as error:
                LOGGER.warning("the jobs could not be kept up, and will be again: %s", error)
            self._wait(POLL_SECONDS if not self.work.is_stopping else 0.05, seen)
