"""An action of one request costs hardly more than its call."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.support.action_product import action_product

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_MORE = 36
GET = {
    "reads": True,
    "input": {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "string"}, "page": {"type": "integer"}},
        "additionalProperties": False,
    },
    "request": {"method": "GET", "path": "items/${input.id}", "params": {"page": "${input.page}"}},
    "result": "data.id",
}


def count_calls(function: Callable[[], object]) -> int:
    """The Python calls of this thread in a function."""
    calls = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


def test_an_action_takes_few_calls_more_than_its_request(tmp_path: Path) -> None:
    """Checking the input, templates, the result and both records take few Python calls."""
    with action_product({"get": GET}, tmp_path) as product:
        product.sandbox.respond("GET", "items/{id}", json={"data": {"id": 7}})
        executor = product.nango.executor("shop", "u")

        def call() -> Any:
            return executor.get("items/x", params={"page": 1}, raise_for_error=True).json()["data"]["id"]

        def run() -> Any:
            return product.nango.trigger_action("shop", "get", "u", {"id": "x", "page": 1})

        for _ in range(3):
            assert call() == run() == 7
        calls, more = count_calls(call), count_calls(run)
    assert calls > 100, "the control: the calls are counted"
    assert more - calls <= MAX_MORE


PROGRAM = """
import sys
from nango_py.actions.definition import ActionInfo, InputCheck
info = ActionInfo("shop", "get", "", "", (), {schema}, None, "yaml", "")
assert InputCheck(info).check({{"id": "a"}}) == {{"id": "a"}}
heavy = {{"jsonschema", "jmespath", "asyncio", "requests"}} & set(sys.modules)
assert not heavy, heavy
"""


def test_a_right_input_imports_no_json_schema() -> None:
    """Only the problems of a wrong input need jsonschema, which takes as long as many requests."""
    program = PROGRAM.format(schema=GET["input"])
    subprocess.run([sys.executable, "-c", program], check=True)
