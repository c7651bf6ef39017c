"""Five hundred planted secrets in the responses behind tool results: none reaches the language model."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nango_py.sandbox.routes import SandboxResponse
from tests.support.planted_secrets import secret, traces
from tests.support.tool_product import tool_product

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from nango_py.sandbox.routes import SandboxRequest
    from tests.support.action_product import ActionProduct

SECRETS = 500
TAILS = ("", "+/=%&~", ':+/=%&"\\', "'~!")
STATUSES = (200, 200, 400, 401, 403, 429, 500)


def echo(request: SandboxRequest) -> Any:
    """What the API makes of the key that it received: a value, a key, a URL, base64, JSON in a text."""
    key = request.headers["authorization"].removeprefix("Key ")
    number = int(request.params.get("n", "0"))
    forms = {
        "plain": f"your key is {key}",
        "url": f"https://x.test/?key={quote(key, safe='')}",
        "basic": base64.b64encode(key.encode()).decode(),
        "log": json.dumps({"headers": {"Authorization": f"Key {key}"}}),
        key: [key, {"deep": [key]}],
    }
    status = STATUSES[number % len(STATUSES)]
    if status == 200:
        return {"items": [forms] * (1 + number % 3)}
    body = {"error": {"message": f"the key {key} is wrong", "code": key}}
    return SandboxResponse.of(body, status=status)


ACTIONS = {
    "read": {
        "reads": True,
        "input": {"type": "object", "properties": {"n": {"type": "integer"}}},
        "request": {"method": "GET", "path": "items", "params": {"n": "${input.n}"}},
    },
    "write": {
        "changes": ["items"],
        "input": {"type": "object", "properties": {"n": {"type": "integer"}}},
        "request": {"method": "POST", "path": "items", "params": {"n": "${input.n}"}},
    },
}


def test_no_planted_secret_reaches_the_model(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """None of 500 secrets is in results, errors or further parts; `--thorough` looks at 10,000 results."""
    wanted = 10_000 if request.config.getoption("--thorough") else 150
    seen, number = 0, 0
    codes: set[str] = set()
    with tool_product(tmp_path, ACTIONS) as product:
        for method in ("GET", "POST"):
            product.sandbox.handle(method, "items")(echo)
        while seen < wanted:
            user = f"user-{number % SECRETS}"
            key = secret(number % SECRETS, TAILS[number % len(TAILS)])
            if number < SECRETS:
                product.nango.register_connection("shop", user, {"api_key": key})
            seen += look(product, user, number, codes)
            number += 1
        shown = product.nango.trigger_action("shop", "read", "user-0", {"n": 0})
        assert traces(json.dumps(shown))  # the control: the action returns what the tool does not
    assert codes == {"", "refused", "rate_limited"}


def look(product: ActionProduct, user: str, number: int, codes: set[str]) -> int:
    """The number of results that were read: of one call, and of the parts of its result."""
    box = product.nango.toolbox(user, allow="*", max_characters=700)
    action = "shop.write" if number % 2 else "shop.read"
    result = box.call("call_action", {"action": action, "input": {"n": number}})
    count = 0
    while True:
        count += 1
        assert traces(result.text) == [], result.text
        value = json.loads(result.text)
        codes.add(value.get("error", {}).get("code", ""))
        cursor = value.get("cursor")
        if cursor is None:
            return count
        result = box.call("call_action", {"action": action, "cursor": cursor})
