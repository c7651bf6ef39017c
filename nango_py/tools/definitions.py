"""Tools as language models read them: three for the whole catalogue, or one for each action."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.actions.definition import ActionInfo
    from nango_py.json_types import JsonObject

SEARCH, DESCRIBE, CALL, MORE = "search_actions", "describe_action", "call_action", "read_more"

MAX_NAME = 64
"""The longest name of a tool that OpenAI and Anthropic accept."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


@record
class Tool:
    """A tool, in no vendor's format.

    Attributes:
        name: at most 64 letters, digits, hyphens and underscores.
        title: its name for people.
        description: what a language model chooses it by.
        input_schema: JSON Schema of its arguments, an object.
        is_read: whether it changes nothing.
    """

    name: str
    title: str
    description: str
    input_schema: JsonObject
    is_read: bool


def _object(required: list[str], **properties: JsonObject) -> JsonObject:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


_ACTION: JsonObject = {"type": "string", "description": "Name from search_actions"}
_CURSOR: JsonObject = {"type": "string", "description": "Cursor of the last result, to read on"}


def catalogue_tools(*, is_read: bool) -> tuple[Tool, ...]:
    """The three tools for all actions, whatever their number.

    Args:
        is_read: whether no action that changes something may be called.
    """
    return (
        Tool(
            SEARCH,
            "Search actions",
            "Find actions in the user's apps, such as creating a contact or listing messages. Returns names.",
            _object(["query"], query={"type": "string", "description": "What to do, in a few words"}),
            is_read=True,
        ),
        Tool(
            DESCRIBE,
            "Describe an action",
            "Returns what an action does and the JSON Schema of its input. Read it before the first call.",
            _object(["action"], action=_ACTION),
            is_read=True,
        ),
        Tool(
            CALL,
            "Call an action",
            "Run an action. A long result has a cursor: call again with action and cursor to read on.",
            _object(
                ["action"],
                action=_ACTION,
                input={"type": "object", "description": "Input as describe_action shows it"},
                cursor=_CURSOR,
            ),
            is_read=is_read,
        ),
    )


READ_MORE = Tool(
    MORE,
    "Read on",
    "Returns the next part of a result that has a cursor.",
    _object(["cursor"], cursor=_CURSOR),
    is_read=True,
)


def action_tool(info: ActionInfo) -> Tool:
    """An action as a tool."""
    text = ". ".join(filter(None, (info.title.rstrip("."), info.description)))
    return Tool(tool_name(info), info.title, text or info.name, info.input_schema, info.is_read)


def tool_name(info: ActionInfo) -> str:
    """The name of an action's tool: of characters, and of a length, that all vendors accept."""
    name = f"{info.integration}__{info.name}"
    safe = _NOT_IN_NAMES.sub("-", name)
    if safe == name and len(name) <= MAX_NAME:
        return name
    return f"{safe[: MAX_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _for_anthropic(tool: Tool) -> JsonObject:
    return {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}


def _for_openai(tool: Tool) -> JsonObject:
    function: JsonObject = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.input_schema,
    }
    return {"type": "function", "function": function}


def _for_responses(tool: Tool) -> JsonObject:
    parts: JsonObject = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    return {"type": "function", **parts, "strict": False}


FORMATS: dict[str, Callable[[Tool], JsonObject]] = {
    "anthropic": _for_anthropic,
    "openai": _for_openai,
    "openai-responses": _for_responses,
}
"""By the name of the format: the Messages API, Chat Completions, and the Responses API."""
