"""Actions with invalid inputs, broken modules and impossible results."""

from __future__ import annotations

import importlib
import json
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ActionFailed, ActionInputError, ConfigError
from nango_py.actions.execution import Memory
from nango_py.actions.parallel import ByThreads
from nango_py.engine.interfaces import run_sync
from nango_py.errors import StorageError
from nango_py.jobs.store import UnstorableError
from tests.support.action_product import BOTH, KEY, ActionProduct, action_product
from tests.support.job_product import open_product, register_users, shop_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GET = {"method": "GET", "path": "things"}
ACTIONS: dict[str, Any] = {
    "tags": {
        "reads": True,
        "input": {"type": "object", "properties": {"tags": {"type": "array", "default": ["a"]}}},
        "steps": [{"name": "read", "request": GET}],
        "result": "input.tags",
    },
    "number": {
        "reads": True,
        "input": {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0}}},
        "request": GET,
    },
    "thing": {
        "reads": True,
        "input": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
        "request": {"method": "GET", "path": "things/${input.id}"},
    },
}


@pytest.fixture(scope="module")
def product() -> Iterator[ActionProduct]:
    """A product with these actions."""
    with action_product(ACTIONS) as opened:
        yield opened


def test_a_caller_who_changes_a_result_changes_no_default(product: ActionProduct) -> None:
    """The next caller, perhaps of another user, gets the default of the file."""
    product.run("tags").append("of another user")
    assert product.run("tags") == ["a"]


@pytest.mark.parametrize("name", [None, 5, ["search_actions"]], ids=type)
def test_a_tool_without_a_name_is_an_error_of_the_model(product: ActionProduct, name: Any) -> None:
    """It gets a result that says so, and the program no exception; a known name works."""
    toolbox = product.nango.toolbox("u")
    assert json.loads(toolbox.call(name).text)["error"]["code"] == "unknown_tool"
    assert not toolbox.call("search_actions", {"query": "thing"}).is_error


def deep() -> Any:
    """A list in a list in a list ..."""
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(("value", "code"), [(10**5000, "E401"), (deep(), "E007")], ids=["digits", "depth"])
def test_inputs_that_break_a_check_do_not_fit(product: ActionProduct, value: Any, code: str) -> None:
    """A number beyond a float, and nesting that exhausts the stack, are errors of the input."""
    with pytest.raises(ActionInputError) as caught:
        product.run("number", {"n": value})
    assert caught.value.problems[0].code in {code, "E201"}


def test_a_value_in_a_path_has_a_longest_length(product: ActionProduct) -> None:
    """Megabytes are refused at once and not repeated in the error; 8,192 characters are sent."""
    with pytest.raises(ActionInputError) as caught:
        product.run("thing", {"id": "x" * 10_000_000})
    assert len(str(caught.value)) < 500
    product.run("thing", {"id": "x" * 8192})


MODULE = f"""
from nango_py import action

class Own(BaseException):
    pass

@action("shop", "escape")
async def escape(context):
    raise Own("{KEY}")

@action("shop", "digits")
def digits(context):
    return 10**5000

@action("shop", "log")
def log(context):
    context.log.info("%d", "not a number")
    context.log.info("%(what)s", {{"what": "{KEY}"}})
    return "done"
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Writes a module that can be imported."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, text: str) -> str:
        tmp_path.joinpath(f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return name

    return write


@BOTH
def test_functions_that_misbehave_end_only_themselves(
    run: Any, module: Callable[[str, str], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception beside Exception, a number that nothing can write, and log arguments that do not fit."""
    caplog.set_level("INFO")
    with action_product({}, tmp_path, modules=(module("hostile_functions", MODULE),)) as opened:
        for name, word in (("escape", "Own"), ("digits", "digits")):
            with pytest.raises(ActionFailed, match=word) as caught:
                run(opened, name)
            assert KEY not in str(caught.value)
        assert run(opened, "log") == "done"
    assert "***" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "raise SystemExit(3)",
        "class Own(Exception):\n    def __str__(self):\n        raise ValueError\nraise Own",
        "raise ValueError('\\x1b[31m' * 10_000)",
    ],
    ids=["exit", "unprintable", "escapes"],
)
def test_a_module_that_cannot_be_imported_is_a_config_error(
    module: Callable[[str, str], str], text: str
) -> None:
    """It ends no process, and its text is one line without control characters."""
    with action_product({}, modules=(module("hostile_module", text),)) as opened:
        with pytest.raises(ConfigError) as caught:
            opened.nango.actions.list("shop")
        assert caught.value.problems[0].code == "E705"
        assert "\x1b" not in str(caught.value)
        assert len(str(caught.value)) < 1000


ORDER = {
    "changes": ["orders"],
    "input": {"type": "object", "properties": {"n": {"type": "integer"}}},
    "request": {"method": "POST", "path": "orders", "json": {"n": "${input.n}"}},
}


def test_idempotency_keys_are_apart_for_actions_and_users() -> None:
    """One key names one job of each action and connection; the same action and user get their first job."""
    entry = shop_entry(actions={"order": ORDER, "cancel": ORDER})
    with open_product("sqlite:///:memory:", entry=entry) as nango:
        register_users(nango, "ann", "bob")
        jobs = [
            nango.enqueue_action("shop", action, user, {"n": 1}, idempotency_key="17")
            for action, user in (("order", "ann"), ("cancel", "ann"), ("order", "bob"), ("order", "ann"))
        ]
    assert len({job.id for job in jobs}) == 3
    assert jobs[0].id == jobs[3].id


def test_the_keys_that_calls_send_are_apart_too() -> None:
    """Two users of one account of the API, and two actions, never get the responses of each other."""
    header = {"idempotency_header": "Idempotency-Key"}
    with action_product({"order": ORDER, "cancel": ORDER}, retries=header) as opened:
        opened.nango.register_connection("shop", "v", {"api_key": KEY}, {"account": "acme"})
        for action, user in (("order", "u"), ("cancel", "u"), ("order", "v"), ("order", "u")):
            opened.nango.attempt_action("shop", action, user, {"n": 1}, idempotency_key="17")
        keys = [{name.lower(): value for name, value in each.headers.items()} for each in opened.sent]
    sent = [each["idempotency-key"] for each in keys]
    assert len(set(sent)) == 3
    assert sent[0] == sent[3]


def test_progress_that_is_too_much_to_store_does_not_fail_an_action() -> None:
    """The last note that fitted stays; a database that fails is an error, as before."""
    kept: list[Any] = []

    def save(value: Any) -> None:
        if len(json.dumps(value)) > 20:
            raise UnstorableError("too large")
        kept.append(value)

    memory = Memory(None, save, "key")
    memory.note({"steps": {}})
    memory.note({"steps": {"a": "x" * 50}})
    assert kept == [{"steps": {}}]

    def fail(_: Any) -> None:
        raise StorageError("the database is locked")

    with pytest.raises(StorageError):
        Memory(None, fail, "key").note({"steps": {}})


def test_after_a_failure_threads_start_no_more_items() -> None:
    """The second of 100 items fails while the first one is busy; without the check all others would run."""
    started: list[int] = []
    has_failed, never = Event(), Event()

    async def make(number: int) -> int:
        started.append(number)
        if number == 1:
            has_failed.set()
            raise ValueError("refused")
        (has_failed if number == 0 else never).wait(1)  # leaves the other thread time to fail
        return number

    with pytest.raises(ValueError, match="refused"):
        run_sync(ByThreads().map(make, range(100), 2))
    assert len(started) < 100
