"""Actions as jobs: the handler that runs them, and what it gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.actions.execution import Memory
from nango_py.json_types import as_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.actions.service import Actions
    from nango_py.jobs.context import Handler, HandlerContext
    from nango_py.json_types import JsonObject, JsonValue

HANDLER = "action"
"""The name of the handler of all actions."""


def payload_of(action: str, given: Mapping[str, JsonValue] | None) -> JsonObject:
    """The payload of a job that runs an action."""
    return {"action": action, "input": None if given is None else {**given}}


def handler_of(get_actions: Callable[[], Actions]) -> Handler:
    """The handler that runs the actions of a Nango."""

    def run(context: HandlerContext) -> JsonValue:
        payload = as_object(context.payload)
        given = payload.get("input")
        memory = Memory(context.saved, context.checkpoint, context.idempotency_key)
        return get_actions().run(
            context.integration, str(payload.get("action")), context.user_id,
            given if isinstance(given, dict) else None, None, memory,
        )  # fmt: skip

    return run
