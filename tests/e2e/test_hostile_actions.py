"""Actions that hang, return too much, leak, mutate or never stop do no harm, in both ways to run them."""

from __future__ import annotations

import logging
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ActionFailed, ActionInputError, DeadlineExceeded
from nango_py.actions import python_actions
from tests.support.action_product import BOTH, KEY, action_product

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

MODULE = """
import asyncio, sys, threading
from nango_py import action

GO, LATE = threading.Event(), threading.Event()
SEEN = []


@action("shop", "hang")
def hang(context, input: dict):
    GO.wait(60)
    try:
        context.get("late")
    except Exception as error:
        SEEN.append(error)
    LATE.set()


@action("shop", "hang-async")
async def hang_async(context, input: dict):
    try:
        await asyncio.Event().wait()
    finally:
        SEEN.append("ended")


@action("shop", "hold-on")
async def hold_on(context, input: dict):
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if "stop" in SEEN:
                return
            SEEN.append("stop")


@action("shop", "huge")
def huge(context, input: dict):
    return [[]] * input["count"]


@action("shop", "long")
def long(context, input: dict):
    return ["x" * 1_000_000] * input["count"]


@action("shop", "return")
def return_(context, input: dict):
    loop = []
    loop.append(loop)
    return {"loop": loop, "nan": float("nan"), "set": {1}, "key": {1: 2}, "response": object()}[input["what"]]


@action("shop", "leak")
def leak(context, input: dict):
    key = context.connection.credentials["api_key"].reveal()
    try:
        raise KeyError(key)
    except KeyError as error:
        raise ValueError(f"the key is {key} or {key[::-1]}" + "x" * input.get("length", 0)) from error


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no")


@action("shop", "raise")
def raise_(context, input: dict):
    def deep(number):
        return deep(number + 1)

    if input["what"] == "recursion":
        deep(0)
    if input["what"] == "unprintable":
        raise Unprintable
    if input["what"] == "exit":
        sys.exit(3)
    raise KeyboardInterrupt


@action("shop", "raise-async")
async def raise_async(context, input: dict):
    kinds = {"exit": SystemExit, "interrupt": KeyboardInterrupt, "cancelled": asyncio.CancelledError}
    raise kinds[input["what"]]


@action("shop", "mutate")
def mutate(context, input: dict):
    input["list"].append(1)
    input["new"] = True
    return input


@action("shop", "again")
def again(context, input: dict):
    import shop_hostile_nango
    SEEN.append(1)
    return shop_hostile_nango.NANGO.trigger_action("shop", "again", "u", {})
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The hostile module, imported apart for each test."""
    import importlib
    import sys

    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"shop_hostile_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    yield importlib.import_module(name)
    sys.modules.pop(name, None)


def failure(run: Run, product: Any, action: str, given: Any = None, **options: Any) -> ActionFailed:
    """The failure of an action."""
    with pytest.raises(ActionFailed) as caught:
        run(product, action, given or {}, **options)
    return caught.value


@BOTH
def test_a_function_that_hangs_is_left_behind(run: Run, module: Any, tmp_path: Path) -> None:
    """The caller gets DeadlineExceeded, and the function can send nothing any more."""
    with action_product({}, tmp_path, modules=(module.__name__,)) as product:
        product.sandbox.respond("GET", "late", json={})
        error = failure(run, product, "hang", deadline_seconds=0.05)
        assert isinstance(error.cause, DeadlineExceeded)
        module.GO.set()
        assert module.LATE.wait(10)
        assert not product.sent
    assert isinstance(module.SEEN[0], DeadlineExceeded)


def test_a_function_in_time_may_send(module: Any, tmp_path: Path) -> None:
    """The control: without the delay the same function makes its call."""
    module.GO.set()
    with action_product({}, tmp_path, modules=(module.__name__,)) as product:
        product.sandbox.respond("GET", "late", json={})
        product.run("hang", deadline_seconds=30)
        assert len(product.sent) == 1
    assert not module.SEEN


@BOTH
def test_an_async_function_that_hangs_is_cancelled(run: Run, module: Any, tmp_path: Path) -> None:
    """Its `finally` runs, and the caller gets DeadlineExceeded."""
    with action_product({}, tmp_path, modules=(module.__name__,)) as product:
        error = failure(run, product, "hang-async", deadline_seconds=1)
    assert isinstance(error.cause, DeadlineExceeded)
    assert module.SEEN == ["ended"]


@BOTH
def test_an_async_function_that_ignores_its_cancellation_is_left_behind(
    run: Run, module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller does not wait for it longer than a grace period."""
    monkeypatch.setattr(python_actions, "GRACE_SECONDS", 0.02)
    with action_product({}, tmp_path, modules=(module.__name__,)) as product:
        error = failure(run, product, "hold-on", deadline_seconds=1)
    assert isinstance(error.cause, DeadlineExceeded)
    assert module.SEEN[0] == "stop"


@BOTH
@pytest.mark.parametrize(("action", "count"), [("huge", 300_000), ("long", 20)])
def test_a_huge_result_is_refused(run: Run, action: str, count: int, module: Any, tmp_path: Path) -> None:
    """A result with too many values or characters fails the action; a smaller one does not."""
    with action_product({}, tmp_path, modules=(module.__name__,)) as product:
        error = failure(run, product, action, {"count": count})
        assert len(run(product, action, {"count": 3})) == 3
    assert (error.cause, error.cause_type) == (None, "UnusableResultError")
    assert len(str(error)) < 500


@pytest.mark.parametrize("what", ["loop", "nan", "set", "key", "response"])
def test_a_result_that_is_not_json_is_refused(what: str, module: Any, tmp_path: Path) -> None:
    """Nothing that JSON cannot say leaves an action."""
    with action_product({}, tmp_path, modules=(module.__name__,)) as product:
        error = failure(type(product).run, product, "return", {"what": what})
    assert error.cause_type == "UnusableResultError"


def everything_about(error: BaseException) -> str:
    """Message, arguments, attributes, causes, contexts, traceback and the locals of its frames."""
    frames = [str(frame.f_locals) for frame, _ in traceback.walk_tb(error.__traceback__)]
    text = "".join(traceback.format_exception(error))
    return f"{error!r} {error.args} {vars(error)} {error.__cause__} {error.__context__} {text}" + "".join(
        frame for frame in frames if "tests" not in frame
    )


@BOTH
@pytest.mark.parametrize("length", [0, 2000, 200_000])
def test_a_secret_in_an_exception_is_masked(
    run: Run, length: int, module: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the error nor the log has the key that an action put into its exception."""
    caplog.set_level(logging.DEBUG, "nango_py")
    with action_product({}, tmp_path, modules=(module.__name__,)) as product:
        error = failure(run, product, "leak", {"length": length})
    assert KEY not in everything_about(error)
    assert KEY not in caplog.text
    assert "the key is ***" in str(error)
    assert KEY[::-1] in str(error)  # the control: what is not the key stays
    assert error.cause_type == "ValueError"
    assert "raise KeyError" in caplog.text  # the traceback of the cause is logged
    assert len(str(error)) < 1200


@BOTH
@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("recursion", "RecursionError"),
        ("unprintable", "Unprintable"),
        ("exit", "SystemExit"),
        ("interrupt", "KeyboardInterrupt"),
    ],
)
def test_whatever_a_function_raises_fails_only_the_action(
    run: Run, what: str, name: str, module: Any, tmp_path: Path
) -> None:
    """sys.exit() of an action does not end the product."""
    with action_product({}, tmp_path, modules=(module.__name__,)) as product:
        assert failure(run, product, "raise", {"what": what}).cause_type == name


@BOTH
@pytest.mark.parametrize(
    ("what", "name"),
    [("exit", "SystemExit"), ("interrupt", "KeyboardInterrupt"), ("cancelled", "CancelledError")],
)
def test_whatever_an_async_function_raises_fails_only_the_action(
    run: Run, what: str, name: str, module: Any, tmp_path: Path
) -> None:
    """Nor does it end the event loop, or look like a cancellation of the caller."""
    with action_product({}, tmp_path, modules=(module.__name__,)) as product:
        assert failure(run, product, "raise-async", {"what": what}).cause_type == name


@BOTH
def test_a_function_cannot_change_the_input_of_its_caller(run: Run, module: Any, tmp_path: Path) -> None:
    """It gets a copy, which it may change."""
    given: dict[str, Any] = {"list": []}
    with action_product({}, tmp_path, modules=(module.__name__,)) as product:
        assert run(product, "mutate", given) == {"list": [1], "new": True}
    assert given == {"list": []}


def test_actions_that_run_each_other_stop(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An action that runs itself fails at a depth of eight."""
    import sys
    import types

    holder = types.ModuleType("shop_hostile_nango")
    monkeypatch.setitem(sys.modules, "shop_hostile_nango", holder)
    with action_product({}, tmp_path, modules=(module.__name__,)) as product:
        holder.NANGO = product.nango  # type: ignore[attr-defined]
        error = failure(type(product).run, product, "again")
    assert len(module.SEEN) == 8
    assert "8 times" in str(error)


def test_a_left_thread_does_not_keep_the_process(module: Any, tmp_path: Path) -> None:
    """Threads of actions are daemons."""
    with action_product({}, tmp_path, modules=(module.__name__,)) as product:
        failure(type(product).run, product, "hang", deadline_seconds=0.01)
        left = [thread for thread in threading.enumerate() if thread.name.startswith("nango-action-")]
        assert [thread.daemon for thread in left] == [True]
        module.GO.set()
        module.LATE.wait(10)


ECHO: dict[str, Any] = {
    "changes": ["items"],
    "input": {"type": "object", "properties": {"value": {}}, "additionalProperties": False},
    "request": {"method": "POST", "path": "items", "json": {"value": "${input.value}"}},
}


@BOTH
def test_values_are_never_templates(run: Run, tmp_path: Path) -> None:
    """What looks like a template in an input is sent as it is."""
    value = "${api_key} ${input.value} {{ api_key }}"
    with action_product({"echo": ECHO}, tmp_path) as product:
        product.sandbox.respond("POST", "items", json={})
        run(product, "echo", {"value": value})
        assert product.sent[0].json() == {"value": value}


@BOTH
def test_an_input_that_is_not_json_sends_nothing(run: Run, tmp_path: Path) -> None:
    """Objects, infinite numbers and endless nesting are refused without a request."""
    endless: list[Any] = []
    endless.append(endless)
    with action_product({"echo": ECHO}, tmp_path) as product:
        for value in (object(), float("nan"), {1, 2}, endless):
            with pytest.raises((ActionFailed, ActionInputError)):
                run(product, "echo", {"value": value})
        assert not product.sent


@BOTH
def test_an_async_function_without_time_does_not_start(run: Run, module: Any, tmp_path: Path) -> None:
    """Nor does it leave a coroutine behind that was never awaited."""
    with action_product({}, tmp_path, modules=(module.__name__,)) as product:
        error = failure(run, product, "hang-async", deadline_seconds=1e-9)
    assert isinstance(error.cause, DeadlineExceeded)
    assert module.SEEN == []
