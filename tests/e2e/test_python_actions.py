"""Actions in Python: found in listed modules, typed by annotations, run by threads and by asyncio."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ActionFailed, ActionInputError, ConfigError, ProviderError, UnknownAction
from tests.support.action_product import BOTH, KEY, action_product

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

MODULE = '''
from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from nango_py import action

if TYPE_CHECKING:
    from nango_py import ActionContext, AsyncActionContext


@dataclass
class Person:
    email: str
    age: int | None = None
    tags: list[str] = field(default_factory=list)


class Found(TypedDict):
    id: int
    email: str


@action("shop", "find", reads=True)
def find(context: ActionContext, person: Person) -> Found:
    """Finds a person."""
    context.log.info("finds %s with %s", person.email, context.connection.credentials["api_key"].reveal())
    body = context.get("people", params={"email": person.email}).json()
    return {"id": body["id"], "email": person.email.upper()}


@action("shop", "find-async", changes=["people"])
async def find_async(context: AsyncActionContext, person: Person) -> Found:
    response = await context.post("people", json={"email": person.email, "tags": person.tags})
    return Found(id=response.json()["id"], email=person.email)


@action("shop", "list")
def list_all(context: ActionContext):
    return [record["id"] for record in context.paginate("items")]


@action("shop", "whoami")
async def whoami(context, input: dict):
    context.checkpoint({"done": 1})
    return [context.integration, context.user_id, context.action, context.saved, input]
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"shop_actions_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    return name


@BOTH
def test_functions_get_typed_inputs_and_return_json(run: Run, module: str, tmp_path: Path) -> None:
    """A dataclass comes in, JSON goes out; sync and async functions run in both ways."""
    with action_product({}, tmp_path, modules=(module,)) as product:
        product.sandbox.respond("GET", "people", json={"id": 3})
        product.sandbox.respond("POST", "people", json={"id": 4})
        product.sandbox.paginate("items", [{"id": 1}, {"id": 2}], page_size=1)
        assert run(product, "find", {"email": "a@b.test"}) == {"id": 3, "email": "A@B.TEST"}
        assert run(product, "find-async", {"email": "a", "tags": ["x"]}) == {"id": 4, "email": "a"}
        assert run(product, "list") == [1, 2]
        assert run(product, "whoami", {"a": 1}) == ["shop", "u", "whoami", {"done": 1}, {"a": 1}]
        assert product.sent[1].json() == {"email": "a", "tags": ["x"]}


def test_schemas_follow_from_annotations(module: str, tmp_path: Path) -> None:
    """The schema has types, required keys and defaults; an action that says nothing changes something."""
    with action_product({}, tmp_path, modules=(module,)) as product:
        info = product.nango.actions.get("shop", "find")
        assert info.input_schema == {
            "type": "object",
            "properties": {
                "email": {"type": "string"},
                "age": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["email"],
            "additionalProperties": False,
        }
        assert info.output_schema is not None
        assert info.output_schema["required"] == ["id", "email"]
        assert (info.is_read, info.description, info.kind) == (True, "Finds a person.", "python")
        effects = {each.name: each.changes for each in product.nango.actions.list("shop")}
    assert effects == {"find": (), "find-async": ("people",), "list": ("anything",), "whoami": ("anything",)}


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({}, "input"),
        ({"email": 5}, "input.email"),
        ({"email": "a", "tags": [1]}, "input.tags[0]"),
        ({"email": "a", "ag": 1}, "input.ag"),
    ],
)
def test_a_wrong_input_is_refused(given: Any, place: str, module: str, tmp_path: Path) -> None:
    """The function is not called."""
    with action_product({}, tmp_path, modules=(module,)) as product:
        with pytest.raises(ActionInputError) as caught:
            product.run("find", given)
        assert not product.sent
    assert [problem.position.file for problem in caught.value.problems] == [place]


@BOTH
def test_a_failed_call_fails_the_action(run: Run, module: str, tmp_path: Path) -> None:
    """The error of the API is the cause, and its call is known."""
    with action_product({}, tmp_path, modules=(module,)) as product:
        product.sandbox.respond("GET", "people", status=404, json={"error": {"code": "none"}})
        with pytest.raises(ActionFailed) as caught:
            run(product, "find", {"email": "a"})
    assert isinstance(caught.value.cause, ProviderError)
    assert caught.value.cause.code == "none"
    assert caught.value.call_ids == (caught.value.cause.call_id,)


@BOTH
def test_log_records_name_the_execution_and_mask_credentials(
    run: Run, module: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each record has integration, user, action and execution; a logged key is masked."""
    caplog.set_level(logging.INFO, "nango_py.integrations.shop")
    with action_product({}, tmp_path, modules=(module,)) as product:
        product.sandbox.respond("GET", "people", json={"id": 3})
        run(product, "find", {"email": "a@b.test"})
    own = [record for record in caplog.records if "finds" in record.getMessage()]
    assert len(own) == 1
    fields = own[0].nango  # type: ignore[attr-defined]
    assert (fields["integration"], fields["user_id"], fields["action"]) == ("shop", "u", "find")
    assert own[0].getMessage() == f"shop u find {fields['execution']}: finds a@b.test with ***"
    assert KEY not in caplog.text
    assert caplog.text.count(fields["execution"]) >= 3


def test_only_listed_modules_are_imported(module: str, tmp_path: Path) -> None:
    """Neither loading nor other modules import it, and a module that is listed is imported at first use."""
    with action_product({}, tmp_path, modules=()) as product, pytest.raises(UnknownAction):
        product.run("find")
    assert module not in sys.modules
    with action_product({}, tmp_path, modules=(module,)) as product:
        product.nango.connection("shop", "u")
        assert module not in sys.modules
        product.nango.actions.list("shop")
    assert module in sys.modules


FILE = '"""Says hello."""\nREADS = True\n\n\ndef run(context, input: dict) -> str:\n    return "hello"\n'


def folder_with(tmp_path: Path, text: str = FILE, name: str = "shop/say_hello.py") -> str:
    """A folder of actions."""
    path = tmp_path / "actions" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return f"{tmp_path}/actions/"


def test_a_folder_has_a_file_for_each_action(tmp_path: Path) -> None:
    """The folder is the integration, the file the action, and the function is `run`."""
    folder = folder_with(tmp_path)
    folder_with(tmp_path, "raise RuntimeError", "shop/_helper.py")
    with action_product({}, tmp_path, modules=(folder,)) as product:
        assert product.run("say-hello") == "hello"
        (info,) = product.nango.actions.list("shop")
    assert (info.name, info.description, info.is_read) == ("say-hello", "Says hello.", True)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("def run(", "E705"),
        ("raise ValueError('no')", "E705"),
        ("x = 1", "E705"),
        ("def run() -> None: ...", "E706"),
        ("def run(context, input: set) -> None: ...", "E706"),
        ("def run(context, input: int) -> None: ...", "E706"),
        ("def run(context, input: 'Missing') -> None: ...", "E706"),
    ],
)
def test_a_file_that_cannot_be_an_action_is_reported(text: str, code: str, tmp_path: Path) -> None:
    """The problem names the file or the function."""
    folder = folder_with(tmp_path, text)
    with action_product({}, tmp_path, modules=(folder,)) as product, pytest.raises(ConfigError) as caught:
        product.nango.actions.list("shop")
    (problem,) = caught.value.problems
    assert problem.code == code
    assert "say_hello" in problem.position.file


@pytest.mark.parametrize("name", ["no_such_module_of_actions", "./no_such_folder/"])
def test_a_module_that_is_missing_is_reported(name: str, tmp_path: Path) -> None:
    """The problem names what is listed."""
    with action_product({}, tmp_path, modules=(name,)) as product, pytest.raises(ConfigError) as caught:
        product.run("find")
    assert caught.value.problems[0].code == "E705"


def test_two_actions_of_one_name_are_refused(module: str, tmp_path: Path) -> None:
    """Which of them runs must not depend on the order of files."""
    folder = folder_with(tmp_path, name="shop/find.py")
    with (
        action_product({}, tmp_path, modules=(module, folder)) as product,
        pytest.raises(ConfigError) as caught,
    ):
        product.nango.actions.list()
    assert caught.value.problems[0].code == "E705"


def test_a_changed_file_is_imported_again_with_reload(tmp_path: Path) -> None:
    """With reload=True the next call runs the new code; a broken file leaves the last good one in use."""
    from nango_py.actions.modules import ActionModules

    folder = folder_with(tmp_path)
    modules, fixed = ActionModules((folder,), reload=True), ActionModules((folder,), reload=False)

    def result(of: ActionModules) -> Any:
        return of.registrations()["shop", "say-hello"].function(None, {})

    assert result(modules) == result(fixed) == "hello"
    folder_with(tmp_path, FILE.replace('"hello"', '"hello again"'))
    assert (result(modules), result(fixed)) == ("hello again", "hello")
    folder_with(tmp_path, "def run(")
    assert result(modules) == "hello again"
    folder_with(tmp_path, FILE.replace('"hello"', '"hello at last"'))
    assert result(modules) == "hello at last"


def test_a_file_of_the_working_folder_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a stray module nor the folder actions/ runs, unless it is listed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "actions.py").write_text("raise SystemExit('imported')")
    folder_with(tmp_path, "raise SystemExit('imported')")
    with action_product({}, tmp_path) as product:
        assert list(product.nango.actions.list()) == []
        with pytest.raises(UnknownAction):
            product.run("say-hello")


def test_a_function_cannot_replace_the_header_of_the_key(tmp_path: Path) -> None:
    """However it is spelled: the blueprint decides where credentials go; other headers are the action's."""
    text = (
        "def run(context, input: dict):\n"
        "    headers = {'authorization': 'Key stolen', 'AUTHORIZATION': 'Key other', 'X-Mine': 'yes'}\n"
        "    return context.post('items', headers=headers, json={}).json()\n"
    )
    with action_product({}, tmp_path, modules=(folder_with(tmp_path, text),)) as product:
        product.sandbox.respond("POST", "items", json={"ok": True})
        assert product.run("say-hello") == {"ok": True}
        (request,) = product.sent
    assert request.headers["authorization"] == f"Key {KEY}"
    assert request.headers["x-mine"] == "yes"


def test_a_python_action_of_a_blueprint_serves_all_that_extend_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`@action("klaviyo", ...)` is for every integration of klaviyo; that of an integration comes first."""
    from nango_py import Nango

    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "shared_actions_of_klaviyo.py").write_text(
        "from nango_py import action\n\n\n"
        "@action('klaviyo', 'which')\ndef which(context):\n    return 'all'\n\n\n"
        "@action('second', 'which')\ndef own(context):\n    return 'own'\n"
    )
    source = {
        "integrations": {name: {"extends_blueprint": "klaviyo:v1"} for name in ("first", "second")},
        "config": {"actions": ["shared_actions_of_klaviyo"]},
    }
    with Nango(source, environ={}, database_url=f"sqlite:///{tmp_path}/a.db") as nango:
        for name in ("first", "second"):
            nango.register_connection(name, "u", {"api_key": "pk_1"})
        found = [nango.trigger_action(name, "which", "u") for name in ("first", "second")]
    assert found == ["all", "own"]
