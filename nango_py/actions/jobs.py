"""Actions as jobs: the handler that runs them, and the attempts of other queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.actions.execution import Memory
from nango_py.argument_types import check_type
from nango_py.engine.patience import with_patience
from nango_py.errors import ConnectionNotFound, NangoError
from nango_py.jobs.jobs import Jobs
from nango_py.jobs.outcome import as_put_back
from nango_py.jobs.work import JOB_PATIENCE
from nango_py.json_types import as_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.actions.service import Actions
    from nango_py.jobs.context import HandlerContext
    from nango_py.json_types import JsonValue
    from nango_py.services import Services

HANDLER = "action"
"""The name of the handler of all actions."""


def open_jobs(services: Services, get_actions: Callable[[], Actions]) -> Jobs:
    """The jobs of a Nango, with the handler that runs its actions."""

    def run(context: HandlerContext) -> JsonValue:
        payload = as_object(context.payload)
        given = payload.get("input")
        memory = Memory(context.saved, context.checkpoint, context.idempotency_key)
        return get_actions().run(
            context.integration, str(payload.get("action")), context.user_id,
            given if isinstance(given, dict) else None, None, memory,
        )  # fmt: skip

    jobs = Jobs(services)
    jobs.register(HANDLER, run)
    return jobs


def make_job(
    actions: Actions, integration: str, action: str, user_id: str, given: Mapping[str, JsonValue] | None
) -> tuple[str, JsonValue]:
    """The handler and the payload of a job that runs an action, after checks of its input and connection."""
    actions.check(integration, action, given)
    if actions.services.store.generation(integration, user_id) is None:
        raise ConnectionNotFound(integration, user_id)
    return HANDLER, {"action": action, "input": None if given is None else {**given}}


def attempt_action(
    actions: Actions, integration: str, action: str, user_id: str, given: Mapping[str, JsonValue] | None,
    idempotency_key: str, saved: JsonValue, checkpoint: Callable[[JsonValue], None] | None,
) -> JsonValue:  # fmt: skip
    """The result of an action within a task of another queue; see `Nango.attempt_action`."""
    check_type("idempotency_key", idempotency_key, str, "text that is the same in each attempt")
    if not idempotency_key:
        raise ValueError("idempotency_key is empty; expected text that is the same in each attempt")
    memory = Memory(saved, checkpoint, idempotency_key)
    try:
        with with_patience(JOB_PATIENCE):
            return actions.run(integration, action, user_id, given, None, memory)
    except NangoError as error:
        failure = as_put_back(error, actions.services.clock.now())
    raise failure
