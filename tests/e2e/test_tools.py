"""Tools of language models: search, permission, approval, arguments, long results and failures."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nango_py import Nango, NangoError, StorageError, ToolCall, ToolResult
from nango_py.sandbox.routes import SandboxResponse
from tests.support.action_product import KEY
from tests.support.fault_server import CLOSE, READ, FaultServer, response
from tests.support.sandbox_product import ENCRYPTION_KEY
from tests.support.tool_product import ACTIONS, read, tool_product

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nango_py import Toolbox
    from tests.support.action_product import ActionProduct

    Call = Callable[..., ToolResult]


def call(box: Toolbox, *arguments: Any) -> ToolResult:
    """The result in this thread."""
    return box.call(*arguments)


def call_async(box: Toolbox, *arguments: Any) -> ToolResult:
    """The same in an event loop."""

    async def work() -> ToolResult:
        try:
            return await box.acall(*arguments)
        finally:
            await box._host.accounts.services.aclose()

    return asyncio.run(work())


BOTH = pytest.mark.parametrize("call", [call, call_async], ids=["sync", "async"])


@pytest.fixture
def product(tmp_path: Path) -> Iterator[ActionProduct]:
    """The shop."""
    with tool_product(tmp_path) as product:
        yield product


def run(action: str, **given: Any) -> tuple[str, dict[str, Any]]:
    """The arguments of a call of an action of the shop."""
    return "call_action", {"action": f"shop.{action}", "input": given}


def test_three_tools_have_a_constant_price(product: ActionProduct) -> None:
    """The tools for all actions cost less than 600 tokens in each format, however many actions there are."""
    for form in ("anthropic", "openai", "openai-responses"):
        tools = product.nango.tools("u", form, allow="*")
        names = [tool.get("name") or tool["function"]["name"] for tool in tools]
        assert names == ["search_actions", "describe_action", "call_action"]
        # A token of English or of JSON has three characters and more, also in the worst of common tokenizers.
        assert len(json.dumps(tools)) / 3 < 600
        assert "item" not in json.dumps(tools)
    with pytest.raises(ValueError, match="anthropic, openai, openai-responses"):
        product.nango.tools("u", "gemini")


@BOTH
def test_a_model_searches_reads_and_calls(call: Call, product: ActionProduct) -> None:
    """Search finds names, a description has the schema, and a call returns the result."""
    box = product.nango.toolbox("u", allow="shop.create-item")
    found = json.loads(call(box, "search_actions", {"query": "add a new article"}).text)["actions"]
    assert found[0]["action"] == "shop.create-item"
    assert found[0]["connected"] is True
    described = json.loads(call(box, "describe_action", {"action": "shop.create-item"}).text)
    assert described["input"] == {**ACTIONS["create-item"]["input"]}
    assert described["changes"] == ["items"]
    assert read(call(box, *run("create-item", name="lamp"))) == {"result": "new-1"}
    assert [request.json() for request in product.sent] == [{"name": "lamp", "count": 1}]


def test_arguments_may_be_text(product: ActionProduct) -> None:
    """OpenAI passes arguments as text, which may be empty or wrong."""
    box = product.nango.toolbox("u")
    text = json.dumps({"action": "shop.get-item", "input": {"id": "7"}})
    assert read(box.call("call_action", text)) == {"result": {"id": "7"}}
    for wrong in ("{", "[]", "7", "[" * 100, "", '"x"'):
        assert read(box.call("call_action", wrong))["code"] == "invalid_input"
    assert len(product.sent) == 1


@BOTH
def test_actions_that_change_something_need_permission(call: Call, product: ActionProduct) -> None:
    """By default a model only reads; it cannot find what it may not call."""
    box = product.nango.toolbox("u")
    assert read(call(box, *run("create-item", name="lamp")))["code"] == "not_allowed"
    assert read(call(box, *run("delete-items")))["code"] == "not_allowed"
    found = json.loads(call(box, "search_actions", {"query": "create or delete items"}).text)["actions"]
    assert {each["action"] for each in found} == {"shop.list-items", "shop.get-item"}
    assert product.sent == []
    allowed = product.nango.toolbox("u", allow=["shop.create-*"])
    assert not call(allowed, *run("create-item", name="lamp")).is_error
    assert read(call(allowed, *run("delete-items")))["code"] == "not_allowed"


def test_actions_outside_the_patterns_do_not_exist(product: ActionProduct) -> None:
    """`actions` limits what there is, and neither `allow` nor `expose` adds to it."""
    for options in ({}, {"expose": "*"}):
        box = product.nango.toolbox("u", actions="shop.list-*", allow="*", **options)
        name = "shop__get-item" if options else "call_action"
        given = {"id": "7"} if options else {"action": "shop.get-item", "input": {"id": "7"}}
        assert read(box.call(name, given))["code"] in {"unknown_action", "unknown_tool"}
    assert product.sent == []


def test_a_pattern_without_an_action_is_an_error(product: ActionProduct) -> None:
    """A misspelled pattern does not silently allow nothing, or hide everything."""
    for argument in ("actions", "allow", "expose"):
        with pytest.raises(ValueError, match=f'{argument}.*did you mean "shop.list-items"'):
            product.nango.toolbox("u", **{argument: ["shop.list-item"]})


@BOTH
def test_only_true_approves(call: Call, product: ActionProduct) -> None:
    """An action runs if `approve` returns True; what only reads is not asked for."""
    asked: list[ToolCall] = []
    returned: list[Any] = [False, None, "yes", 1]

    def approve(step: ToolCall) -> Any:
        asked.append(step)
        return returned[len(asked) - 1]

    box = product.nango.toolbox("u", allow="*", approve=approve)
    for _ in returned:
        assert read(call(box, *run("create-item", name="lamp")))["code"] == "not_approved"
    assert product.sent == []
    assert (asked[0].user_id, asked[0].action.name) == ("u", "create-item")
    assert asked[0].input == {"name": "lamp", "count": 1}
    assert not call(box, *run("list-items")).is_error
    assert len(asked) == len(returned)


@BOTH
def test_approved_actions_run_once(call: Call, product: ActionProduct) -> None:
    """The hook sees inputs that fit only, and True lets the action run."""
    asked: list[ToolCall] = []
    box = product.nango.toolbox("u", allow="*", approve=lambda step: not asked.append(step))
    assert read(call(box, *run("create-item", name=7)))["code"] == "invalid_input"
    assert asked == []
    assert read(call(box, *run("create-item", name="lamp"))) == {"result": "new-1"}
    assert len(product.sent) == 1


def test_async_hooks_are_awaited(product: ActionProduct) -> None:
    """An async hook approves in an event loop; a sync call refuses it and sends nothing."""

    async def approve(step: ToolCall) -> bool:
        await asyncio.sleep(0)
        return step.input["name"] == "lamp"

    box = product.nango.toolbox("u", allow="*", approve=approve)
    assert read(call_async(box, *run("create-item", name="chair")))["code"] == "not_approved"
    assert not call_async(box, *run("create-item", name="lamp")).is_error
    assert read(call(box, *run("create-item", name="lamp")))["code"] == "internal_error"
    assert len(product.sent) == 1


@BOTH
def test_a_hook_that_fails_approves_nothing(
    call: Call, product: ActionProduct, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception of the hook is logged by its name only, and nothing is sent."""

    def approve(_: ToolCall) -> bool:
        raise LookupError(KEY)

    box = product.nango.toolbox("u", allow="*", approve=approve)
    with caplog.at_level(logging.DEBUG):
        result = call(box, *run("create-item", name="lamp"))
    assert read(result)["code"] == "internal_error"
    assert product.sent == []
    assert "LookupError" in caplog.text
    assert KEY not in caplog.text + result.text


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("search_actions", {}, "invalid_input"),
    ("search_actions", {"query": 7}, "invalid_input"),
    ("search_actions", {"query": "x", "user_id": "other"}, "invalid_input"),
    ("call_action", {"action": "shop.get-item", "input": {"id": ""}}, "invalid_input"),
    ("call_action", {"action": "shop.get-item", "input": []}, "invalid_input"),
    ("call_action", {"action": "shop.get-item", "input": {"id": "1", "user_id": "v"}}, "invalid_input"),
    ("call_action", {"action": "shop.get-item", "input": {"id": "1"}, "user": "v"}, "invalid_input"),
    ("call_action", {"action": "shop.get-itme"}, "unknown_action"),
    ("call_action", {"action": "../../x"}, "unknown_action"),
    ("describe_action", {"action": "other.list"}, "unknown_action"),
    ("read_more", {"cursor": "x.1"}, "unknown_tool"),
    ("drop_tables", {}, "unknown_tool"),
    ("call_action", {"action": "shop.list-items", "cursor": "x.1"}, "unknown_cursor"),
    ("call_action", {"action": "shop.list-items", "cursor": ""}, "unknown_cursor"),
]


@BOTH
def test_wrong_arguments_send_nothing(call: Call, product: ActionProduct) -> None:
    """Arguments are checked before anything is sent; a model cannot name a user or a connection."""
    product.nango.register_connection("shop", "v", {"api_key": "key_of_another_user"})
    box = product.nango.toolbox("u")
    for name, arguments, code in WRONG:
        assert read(call(box, name, arguments))["code"] == code, (name, arguments)
    assert product.sent == []


def test_errors_name_the_place_and_the_nearest_name(product: ActionProduct) -> None:
    """A model can mend its call by the error."""
    box = product.nango.toolbox("u")
    assert read(box.call("call_action", {"action": "shop.get-itme"}))["did_you_mean"] == "shop.get-item"
    problems = read(box.call(*run("get-item", ix="7")))["problems"]
    assert any(problem.startswith("input.ix") for problem in problems)
    assert json.loads(box.call("search_actions", {"query": "zebra"}).text) == {
        "actions": [],
        "apps": ["shop"],
    }


def test_chosen_actions_are_tools_of_their_own(product: ActionProduct) -> None:
    """`expose` makes a tool of each listed action, with its own schema; other actions have no tool."""
    box = product.nango.toolbox("u", expose="shop.*", allow="shop.create-item")
    tools = {tool["name"]: tool for tool in box.tools()}
    assert set(tools) == {"shop__list-items", "shop__get-item", "shop__create-item", "read_more"}
    assert tools["shop__get-item"]["input_schema"] == ACTIONS["get-item"]["input"]
    assert read(box.call("shop__get-item", {"id": "7"})) == {"result": {"id": "7"}}
    assert read(box.call("shop__delete-items", {}))["code"] == "not_allowed"
    assert read(box.call("call_action", {"action": "shop.get-item"}))["code"] == "unknown_tool"


@BOTH
def test_long_results_are_read_in_parts(call: Call, product: ActionProduct) -> None:
    """A long list comes in whole items, each part within the bound, and the API is asked once."""
    box = product.nango.toolbox("u", max_characters=2000)
    result = call(box, *run("list-items"))
    items: list[Any] = []
    parts = 0
    while True:
        assert len(result.text) <= 2000
        value = read(result)
        items += value["result"]
        parts += 1
        if "cursor" not in value:
            break
        result = call(box, "call_action", {"action": "shop.list-items", "cursor": value["cursor"]})
    assert [item["id"] for item in items] == list(range(300))
    assert parts > 3
    assert len(product.sent) == 1


def test_cursors_belong_to_one_user_and_one_action(product: ActionProduct) -> None:
    """Another user, or another action, does not get the rest of a result."""
    product.nango.register_connection("shop", "v", {"api_key": "key_of_another_user"})
    box = product.nango.toolbox("u", max_characters=2000)
    cursor = read(box.call(*run("list-items")))["cursor"]
    other = product.nango.toolbox("v", max_characters=2000)
    for who, action in ((other, "shop.list-items"), (box, "shop.get-item")):
        found = who.call("call_action", {"action": action, "cursor": cursor})
        assert read(found)["code"] == "unknown_cursor"
    exposed = product.nango.toolbox("u", expose="*")
    assert read(exposed.call("read_more", {"cursor": cursor}))["result"]


@BOTH
def test_a_missing_connection_has_a_link(call: Call, product: ActionProduct) -> None:
    """The result is a connect link for this user and this integration, and search says what is connected."""
    box = product.nango.toolbox("new")
    error = read(call(box, *run("list-items")))
    assert error["code"] == "not_connected"
    token = error["connect_url"].partition("#session=")[2]
    claims = product.nango.read_session(token)
    assert (claims.user_id, claims.integrations) == ("new", ("shop",))
    found = json.loads(call(box, "search_actions", {"query": "list items"}).text)["actions"]
    assert not any(each["connected"] for each in found)
    own = product.nango.toolbox("new", connect_link=lambda name: f"https://product.test/connect/{name}")
    assert read(call(own, *run("list-items")))["connect_url"] == "https://product.test/connect/shop"
    assert product.sent == []


def test_a_link_that_fails_leaves_the_error(product: ActionProduct, caplog: pytest.LogCaptureFixture) -> None:
    """The user has to connect, with a link or without."""

    def fail(_: str) -> str:
        raise NangoError("no link")

    error = read(product.nango.toolbox("new", connect_link=fail).call(*run("list-items")))
    assert error["code"] == "not_connected"
    assert "connect_url" not in error
    assert "no link" in caplog.text


@BOTH
def test_error_responses_are_results(call: Call, product: ActionProduct) -> None:
    """The API's own message and code are passed on, without the credential that it quotes."""
    body = {"error": {"message": f"the key {KEY} may not write", "code": "forbidden"}}
    product.sandbox.respond("POST", "items", status=403, json=body)
    result = call(product.nango.toolbox("u", allow="*"), *run("create-item", name="lamp"))
    error = read(result)
    assert (error["code"], error["status"], error["provider_code"]) == ("refused", 403, "forbidden")
    assert "may not write" in error["message"]
    assert KEY not in result.text


@BOTH
@pytest.mark.parametrize(
    "script", [[READ, CLOSE], [READ, response(b"{", 200, {"Content-Length": "99"}), CLOSE]]
)
def test_a_post_is_sent_at_most_once(call: Call, script: Any, tmp_path: Path) -> None:
    """A POST whose response is lost is not repeated; the model learns that it may have been done."""
    shop = {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {"base_url": "http://127.0.0.1/", "allow_http": True, "headers": {"X-Key": "${api_key}"}},
        "retries": {"max_attempts": 5, "backoff": {"base_seconds": 0.001, "max_seconds": 0.002}},
        "actions": ACTIONS,
    }
    with FaultServer(script) as server:
        shop["requests"] = {**shop["requests"], "base_url": server.url}
        with Nango(
            {"integrations": {"shop": shop}}, database_url=f"sqlite:///{tmp_path}/nango.db",
            encryption_keys=ENCRYPTION_KEY, environ={},
        ) as nango:  # fmt: skip
            nango.register_connection("shop", "u", {"api_key": KEY})
            box = nango.toolbox("u", allow="*")
            error = read(call(box, *run("create-item", name="lamp")))
            assert (error["code"], "hint" in error) == ("no_response", True)
            assert len(server.requests) == 1
            assert "hint" not in read(call(box, *run("get-item", id="7")))
            assert len(server.requests) > 2  # the control: a GET is repeated


def test_results_hold_no_credential(product: ActionProduct) -> None:
    """An API that sends the credential back, in keys, values or texts, does not show it to the model."""
    echo = {"items": [{KEY: 1}, {"text": f"Authorization: Key {KEY}"}, KEY, f"%2F{KEY}"]}
    product.sandbox.respond("GET", "items", json=echo)
    assert KEY in json.dumps(product.run("list-items"))  # the control: the action itself returns it
    result = product.nango.toolbox("u").call(*run("list-items"))
    assert read(result)["result"][0] == {"***": 1}
    assert KEY not in result.text


def test_an_expired_login_has_a_link_too(product: ActionProduct) -> None:
    """A connection whose account is yet to be chosen, or whose login has ended, is connected again."""
    accounts = product.nango.accounts
    accounts.register_unfinished("shop", "w", {"api_key": "key_of_another_user"}, {})
    error = read(product.nango.toolbox("w").call(*run("list-items")))
    assert error["code"] == "login_expired"
    assert "#session=" in error["connect_url"]


@BOTH
def test_quotas_and_deadlines_are_results(call: Call, product: ActionProduct) -> None:
    """A model reads when to try again, and after a change that it may have been made."""
    release = threading.Event()

    @product.sandbox.handle("DELETE", "items")
    def wait(_: Any) -> None:
        release.wait(30)

    try:
        error = read(call(product.nango.toolbox("u", allow="*", deadline_seconds=0.5), *run("delete-items")))
    finally:
        release.set()
    assert (error["code"], "hint" in error) == ("no_response", True)
    limited = SandboxResponse.of({}, status=429, headers={"Retry-After": "3600"})
    product.sandbox.respond("GET", "items", limited)
    error = read(call(product.nango.toolbox("u"), *run("list-items")))
    assert (error["code"], 3500 < error["retry_after_seconds"] <= 3600) == ("rate_limited", True)


@BOTH
def test_database_errors_are_not_shown(
    call: Call, product: ActionProduct, caplog: pytest.LogCaptureFixture
) -> None:
    """What is wrong with the program is logged, and the model learns only that it cannot go on."""
    box = product.nango.toolbox("u")

    def broken(*_: Any) -> Any:
        raise StorageError("the disk /secret/path is full")

    product.nango.services.sources = broken  # type: ignore[method-assign]
    result = call(box, *run("list-items"))
    assert read(result)["code"] == "internal_error"
    assert "/secret/path" not in result.text
    assert "/secret/path" in caplog.text


NAMES = st.sampled_from(["search_actions", "describe_action", "call_action", "read_more", ""]) | st.text()
KEYS = st.sampled_from(["query", "action", "input", "cursor", "user_id"]) | st.text(max_size=5)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from([*ACTIONS, "shop.get-item"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(NAMES, st.dictionaries(KEYS, VALUES, max_size=4) | VALUES)
def test_no_call_of_a_model_raises(shared: ActionProduct, name: str, arguments: Any) -> None:
    """Whatever a model sends, the result is JSON, and nothing that changes something is sent."""
    for box in (shared.nango.toolbox("u"), shared.nango.toolbox("u", expose="*")):
        result = box.call(name, arguments)
        assert isinstance(json.loads(result.text), dict)
        assert '"internal_error"' not in result.text
    assert all(request.method == "GET" for request in shared.sent)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ActionProduct]:
    """One shop for all examples."""
    with tool_product(tmp_path_factory.mktemp("shop")) as product:
        yield product


@BOTH
def test_exceptions_of_python_actions_are_masked(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model reads the kind of the exception and its text, without the credential in it."""
    (tmp_path / "tool_actions_of_a_test.py").write_text(
        "from nango_py import action\n"
        "@action('shop', 'explode')\n"
        "def explode(context, given: dict) -> None:\n"
        "    raise ValueError('the key is ' + context.connection.credentials['api_key'].reveal())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with tool_product(tmp_path, modules=("tool_actions_of_a_test",)) as product:
        result = call(product.nango.toolbox("u", allow="*"), *run("explode"))
        error = read(result)
        assert (error["code"], "hint" in error) == ("failed", True)
        assert "ValueError: the key is" in error["message"]
        assert KEY not in result.text
