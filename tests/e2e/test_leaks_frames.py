"""Exceptions of every kind, at every line of a call: no frame, cause or context of them shows a secret."""

from __future__ import annotations

import asyncio
import gc
import linecache
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import InvalidRequest, Nango
from nango_py.database.base import FORK_GATE
from tests.support.async_calls import wait_for
from tests.support.fault_server import HANG, READ, FaultServer, response
from tests.support.leak_finder import PLACES, LeakFinder, make_credentials, make_nango
from tests.support.planted_secrets import everything_of, secret
from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

GOOD = response(b'{"data": [{"id": 1}], "links": {}}')

WRONG: dict[str, list[Any]] = {
    "timeout": [(1, 2, 3), (1,), (), "5", (1, (2, 3)), [1, 2], ("x", 2), float("nan"), True, -1, object()],
    "headers": [
        [("X-A", "b")], "X-A: b", {"a"}, {1: "b"}, {"X-A": ["b"]}, 5, {"X-A": object()}, {"X-A": "\ud800"},
        {"X-A": "\u20ac"}, {"X A": "b"},
    ],
    "params": [5, [1], [(1, 2, 3)], b"\xff", {"q": "\ud800"}, "q=\udfff"],
    "json": [{1, 2}, float("inf"), object()],
    "data": [5, [1], "\udfff", {"q": "\ud800"}],
    "files": [5, [("a",)]],
    "idempotency_key": [5, object()],
    "max_response_bytes": ["1", -1, 1.5, True],
}  # fmt: skip
"""Values that are none of the option."""


@pytest.fixture
def nango(tmp_path: Path) -> Iterator[Nango]:
    """A Nango whose server responds normally, with a secret in every place."""
    with FaultServer([READ, GOOD] * 9) as server, make_nango(tmp_path, server.url) as nango:
        for number, place in enumerate(PLACES):
            nango.register_connection(place, "u", make_credentials(place, secret(number)))
        yield nango


def use(nango: Nango, place: str, door: str, path: Any, method: Any = "GET", **options: Any) -> Any:
    """Go through a door of the sync executor."""
    executor = nango.executor(place, "u")
    if door in {"paginate", "pages"}:
        return list(getattr(executor, door)(path, method=method, **options))
    return getattr(executor, door)(method, path, **options)


def use_async(nango: Nango, place: str, door: str, path: Any, method: Any = "GET", **options: Any) -> Any:
    """Go through a door of the async executor."""

    async def work() -> Any:
        executor = nango.async_executor(place, "u")
        if door in {"paginate", "pages"}:
            return [item async for item in getattr(executor, door)(path, method=method, **options)]
        if door == "plan":
            return executor.plan(method, path, **options)
        return await getattr(executor, door)(method, path, **options)

    return asyncio.run(work())


def catch(finder: LeakFinder, source: str, act: Callable[[], Any]) -> BaseException | None:
    """The error of an action, and all that it shows among the finder's texts."""
    try:
        act()
    except BaseException as error:  # noqa: BLE001 - every kind
        finder.add(source, everything_of(error, __file__))
        return error
    return None


@pytest.mark.parametrize("door", ["request", "plan", "paginate", "pages"])
@pytest.mark.parametrize("act", [use, use_async])
def test_wrong_options_are_refused_before_anything_is_rendered(
    nango: Nango, act: Callable[..., Any], door: str
) -> None:
    """Each is an InvalidRequest, and shows nothing."""
    finder = LeakFinder()
    options = [{name: value} for name, values in WRONG.items() for value in values]
    for number, option in enumerate(options):
        call = partial(act, nango, list(PLACES)[number % len(PLACES)], door, "x", **option)
        assert isinstance(catch(finder, f"{option}", call), InvalidRequest), option
    for path, method in [
        (5, "GET"),
        (None, "GET"),
        (b"x", "GET"),
        ("x", 5),
        ("x", None),
        ("x", b"GET"),
        ("x", "G T"),
    ]:
        call = partial(act, nango, "query", door, path, method)
        assert isinstance(catch(finder, f"{path} {method}", call), InvalidRequest), (path, method)
    for seconds in ("5", (1, 2), object(), float("nan"), True, 10**400) if door == "request" else ():
        call = partial(act, nango, "query", door, "x", deadline_seconds=seconds)
        assert isinstance(catch(finder, f"deadline {seconds}", call), InvalidRequest), seconds
    assert finder.leaks() == []


class Interrupt(BaseException):
    """What a signal handler raises."""


INSIDE = ("nango_py.", "urllib3", "http.client", "httpx2", "httpcore2", "aiohttp")


class Injector:
    """Raises an exception at the nth line that this package or a library executes."""

    def __init__(self, number: int, kind: type[BaseException]) -> None:
        self._left = number
        self._kind = kind
        self.has_raised = False

    def _trace_call(self, frame: FrameType, event: str, argument: Any) -> Any:
        name = frame.f_globals.get("__name__", "")
        return self._trace_line if name.startswith(INSIDE) else None

    def _trace_line(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and not self.has_raised:
            # No signal arrives between the last line of a block and the release of its lock.
            source = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
            self._left -= "with " not in source
            if self._left < 0:
                self.has_raised = True
                raise self._kind("raised in between")
        return self._trace_line

    def __enter__(self) -> None:
        sys.settrace(self._trace_call)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)


def interrupt(finder: LeakFinder, number: int, kind: type[BaseException], act: Callable[[], Any]) -> bool:
    """Run an action that is interrupted at the nth line; False if it ended before that line."""
    injector = Injector(number, kind)

    def interrupted() -> None:
        with injector:
            act()

    catch(finder, f"line {number}", interrupted)
    return injector.has_raised


# What is interrupted while it opens or closes a connection leaves it to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("kind", "act"), [(Interrupt, use), (LookupError, use), (Interrupt, use_async)])
def test_exception_at_any_line_shows_no_secret(
    tmp_path: Path, request: pytest.FixtureRequest, act: Callable[..., Any], kind: type[BaseException]
) -> None:
    """A signal handler may raise anywhere: whatever comes out of a call shows nothing."""
    step = 1 if request.config.getoption("--thorough") else 61 if act is use_async else 23
    finder, number, runs = LeakFinder(), 0, 0
    with FaultServer([READ, GOOD] * 9) as server, make_nango(tmp_path, server.url) as nango:
        for index, place in enumerate(PLACES):
            nango.register_connection(place, "u", make_credentials(place, secret(index)))
        act(nango, "query", "request", "x")  # imports what it needs
        has_more = True
        while has_more:
            options = {"data": b"body"} if runs % 2 else {}
            place = list(PLACES)[runs % len(PLACES)]
            call = partial(act, nango, place, "request", "things", "PUT", **options)
            has_more = interrupt(finder, number, kind, call)
            number, runs = number + step, runs + 1
            assert finder.leaks()[:3] == []
            finder.texts.clear()
            # Unlike a signal handler, a trace function also raises between a block and its end: a lock stays.
            FORK_GATE._locks.clear()
    gc.collect()
    assert runs * step > 300


def test_timeout_of_asyncio_around_a_call_shows_no_secret(tmp_path: Path) -> None:
    """The TimeoutError keeps the CancelledError of the call as its cause."""
    finder = LeakFinder()

    async def call(nango: Nango, server: FaultServer, place: str, how: str) -> None:
        arrived = len(server.requests)
        executor = nango.async_executor(place, "u")
        if how == "timeout":
            async with asyncio.timeout(0.01):
                await executor.get("x")
        elif how == "wait_for":
            await asyncio.wait_for(executor.get("x"), 0.01)
        elif how == "group":
            async with asyncio.timeout(0.01), asyncio.TaskGroup() as group:
                group.create_task(executor.get("x"))
        else:
            task = asyncio.ensure_future(executor.get("x", timeout=HANG_SECONDS))
            await wait_for(lambda: len(server.requests) > arrived)
            task.cancel("stop")
            await task

    with FaultServer([READ, HANG]) as server, make_nango(tmp_path, server.url) as nango:
        for number, place in enumerate(PLACES):
            nango.register_connection(place, "u", make_credentials(place, secret(number)))
            for how in ("timeout", "wait_for", "group", "cancel"):
                error = catch(
                    finder,
                    f"{how} {place}",
                    lambda place=place, how=how: asyncio.run(call(nango, server, place, how)),
                )
                assert isinstance(error, TimeoutError | asyncio.CancelledError)
    assert finder.leaks() == []


def test_error_of_the_callers_own_code_keeps_its_frames(tmp_path: Path) -> None:
    """What a caller needs to find a fault of their own stays; so does what they were handling."""

    def parts() -> Iterator[bytes]:
        yield b"x"
        raise LookupError("mine")

    with FaultServer([READ, HANG]) as server, make_nango(tmp_path, server.url) as nango:
        nango.register_connection("query", "u", {"api_key": secret(1)})
        with pytest.raises(LookupError) as caught:
            nango.executor("query", "u").put("x", data=parts())
        names = [entry.name for entry in caught.traceback]
        assert names[-1] == "parts"
        with pytest.raises(InvalidRequest) as refused:  # noqa: PT012 - the handling is part of the case
            try:
                int("x")
            except ValueError:
                nango.executor("query", "u").get("../x")
        assert isinstance(refused.value.__context__, ValueError)
        assert refused.value.__context__.__traceback__ is not None


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_frames_would_show_secrets_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: without the removal of frames, interrupted calls show secrets."""
    finder = LeakFinder()
    for name in (
        "secret.strip_frames",
        "engine.interfaces.strip_frames",
        "transport.sync_transport.without_inner_frames",
    ):
        monkeypatch.setattr(f"nango_py.{name}", lambda unchanged: unchanged)
    with FaultServer([READ, GOOD] * 9) as server, make_nango(tmp_path, server.url) as nango:
        nango.register_connection("query", "u", {"api_key": secret(1)})
        use(nango, "query", "request", "x")  # imports what it needs
        for number in range(400, 900, 20):
            interrupt(finder, number, Interrupt, partial(use, nango, "query", "request", "x"))
    gc.collect()
    assert finder.leaks()
