"""A product whose actions are tools: a shop with a sandbox, and its tool server on a real socket."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from nango_py.server.uvicorn_server import make_app_server, open_listener
from tests.support.action_product import action_product
from tests.support.connect_product import serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from starlette.applications import Starlette

    from nango_py import ToolResult
    from nango_py.mcp.asgi import ToolServer
    from tests.support.action_product import ActionProduct

TOKEN = "token-of-the-host-0123456789"

ID: dict[str, Any] = {"type": "string", "minLength": 1, "description": "The id of the item"}

ACTIONS: dict[str, Any] = {
    "list-items": {
        "title": "List items",
        "description": "Returns the items of the shop.",
        "reads": True,
        "request": {"method": "GET", "path": "items"},
        "result": "items",
    },
    "get-item": {
        "title": "Get an item",
        "description": "Returns one item of the shop.",
        "reads": True,
        "input": {
            "type": "object",
            "required": ["id"],
            "properties": {"id": ID},
            "additionalProperties": False,
        },
        "request": {"method": "GET", "path": "items/${input.id}"},
        "output": {"type": "object"},
    },
    "create-item": {
        "title": "Create an item",
        "description": "Adds an item to the shop and returns its id.",
        "changes": ["items"],
        "input": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string"}, "count": {"type": "integer", "default": 1}},
            "additionalProperties": False,
        },
        "request": {
            "method": "POST",
            "path": "items",
            "json": {"name": "${input.name}", "count": "${input.count}"},
        },
        "result": "id",
    },
    "delete-items": {
        "title": "Delete all items",
        "changes": ["items"],
        "request": {"method": "DELETE", "path": "items"},
    },
}


@contextlib.contextmanager
def tool_product(
    folder: Path | str = "", actions: Mapping[str, Any] | None = None, **settings: Any
) -> Iterator[ActionProduct]:
    """The shop, whose list has three hundred items."""
    items = [{"id": number, "name": f"item {number}"} for number in range(300)]
    with action_product(ACTIONS if actions is None else actions, folder, **settings) as product:
        sandbox = product.sandbox
        sandbox.respond("GET", "items", json={"items": items})
        sandbox.handle("GET", "items/{id}")(lambda request: {"id": request.path.rpartition("/")[2]})
        sandbox.respond("POST", "items", status=201, json={"id": "new-1"})
        sandbox.respond("DELETE", "items", status=204)
        yield product


@contextlib.contextmanager
def serving_tools(app: ToolServer | Starlette, **options: Any) -> Iterator[str]:
    """The URL of an application that is served on a free port until the end of the block."""
    listener = open_listener("127.0.0.1", 0)
    with serving(lambda: make_app_server(app, **options), listener):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"


def read(result: ToolResult) -> Any:
    """What a result says: the value, or the error."""
    value = json.loads(result.text)
    assert result.is_error == ("error" in value)
    return value["error"] if result.is_error else value
