"""The methods of `Nango` that run actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.errors import ConnectionNotFound, NangoError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.actions.service import Actions
    from nango_py.jobs.job import Job
    from nango_py.jobs.jobs import Jobs
    from nango_py.jobs.schedules import Schedule
    from nango_py.json_types import JsonValue
    from nango_py.services import Lazy, Services


class ActionMethods:
    """A base of `Nango`; importing it imports nothing else.

    Attributes:
        services: the shared parts of the Nango.
    """

    services: Services
    _actions: Actions | None = None
    _reloads_actions: bool
    _jobs: Lazy[Jobs]

    @property
    def actions(self) -> Actions:
        """The actions of the integrations: `actions.list()` and `actions.get(integration, name)`."""
        if self._actions is None:
            from nango_py.actions.service import Actions

            self._actions = Actions(self.services, reload=self._reloads_actions)
        return self._actions

    @property
    def jobs(self) -> Jobs:
        """Work that runs later, on a schedule or on other machines (docs/workers.md)."""
        return self._jobs.get()

    def _make_jobs(self) -> Jobs:
        from nango_py.actions.jobs import HANDLER, handler_of
        from nango_py.jobs.jobs import Jobs

        jobs = Jobs(self.services)
        jobs.register(HANDLER, handler_of(lambda: self.actions))
        return jobs

    def trigger_action(
        self,
        integration: str,
        action: str,
        user_id: str,
        input: Mapping[str, JsonValue] | None = None,  # noqa: A002 - as actions name it
        *,
        deadline_seconds: float | None = None,
    ) -> JsonValue:
        """Run an action on a user's connection and return its result, JSON.

        Args:
            integration: a name declared in integrations.yaml.
            action: the name of one of its actions (docs/actions.md).
            user_id: the user of the connection.
            input: the input; it is not changed.
            deadline_seconds: for everything, waits included. By default five minutes, and each call has the
                blueprint's deadline.

        Raises:
            UnknownIntegration: integrations.yaml does not declare it.
            UnknownAction: the integration has no action of that name.
            ConnectionNotFound: the user has no connection.
            ActionInputError: the input does not fit the action's schema; nothing was sent.
            ActionFailed: a call failed, the action raised an exception, or it took longer than the deadline.
            ConfigError: the action, or a module of `config.actions`, is wrong.
        """
        return self.actions.run(integration, action, user_id, input, deadline_seconds)

    async def atrigger_action(
        self,
        integration: str,
        action: str,
        user_id: str,
        input: Mapping[str, JsonValue] | None = None,  # noqa: A002 - as actions name it
        *,
        deadline_seconds: float | None = None,
    ) -> JsonValue:
        """The same for asyncio; a cancelled action makes no more calls.

        Raises the errors of `trigger_action`.
        """
        return await self.actions.run_async(integration, action, user_id, input, deadline_seconds)

    def enqueue_action(
        self,
        integration: str,
        action: str,
        user_id: str,
        input: Mapping[str, JsonValue] | None = None,  # noqa: A002 - as actions name it
        *,
        idempotency_key: str | None = None,
        at: float | None = None,
        lane: str = "default",
    ) -> Job:
        """Store a job that runs an action, and return it; its result is that of the action.

        Its calls send idempotency keys, the same in each attempt, if the API supports them.

        Args:
            integration: a name declared in integrations.yaml.
            action: the name of one of its actions.
            user_id: the user of the connection.
            input: the input.
            idempotency_key: a second job of this action and connection with this key is not created; the
                first one is returned.
            at: unix seconds before which it does not start.
            lane: of `config.jobs.lanes`; jobs of `background` let others overtake.

        Raises:
            UnknownIntegration: integrations.yaml does not declare it.
            UnknownAction: the integration has no action of that name.
            ConnectionNotFound: the user has no connection.
            ActionInputError: the input does not fit the action's schema; nothing was enqueued.
            StorageError: the database failed; nothing was enqueued.
        """
        return self.jobs.enqueue(
            *self._job_of(integration, action, user_id, input), integration=integration, user_id=user_id,
            idempotency_key=idempotency_key, at=at, lane=lane, scope=action,
        )  # fmt: skip

    def attempt_action(
        self,
        integration: str,
        action: str,
        user_id: str,
        input: Mapping[str, JsonValue] | None = None,  # noqa: A002 - as actions name it
        *,
        idempotency_key: str,
        saved: JsonValue = None,
        checkpoint: Callable[[JsonValue], None] | None = None,
    ) -> JsonValue:
        """Run an action within a task of another queue, such as Celery, and return its result.

        Calls wait at most a second for their quota, so that the task can be put back instead.

        Args:
            integration: a name declared in integrations.yaml.
            action: the name of one of its actions.
            user_id: the user of the connection.
            input: the input.
            idempotency_key: text that is the same in each attempt of the task; its calls send keys made from
                it.
            saved: the value of the last checkpoint of earlier attempts.
            checkpoint: stores a value for later attempts.

        Raises:
            ValueError: the key is empty, so that each attempt would send other keys.
            RetryAt: the quota is used up until `when`.
            ActionFailed: a call failed, or the action raised an exception; see `is_retryable`.

        Also raises the other errors of `trigger_action`.
        """
        from nango_py.actions.execution import Memory
        from nango_py.connections.validation import check_type
        from nango_py.engine.patience import with_patience
        from nango_py.jobs.outcome import as_put_back
        from nango_py.jobs.work import JOB_PATIENCE

        check_type("idempotency_key", idempotency_key, str, "text that is the same in each attempt")
        if not idempotency_key:
            raise ValueError("idempotency_key is empty; expected text that is the same in each attempt")
        memory = Memory(saved, checkpoint, idempotency_key)
        try:
            with with_patience(JOB_PATIENCE):
                return self.actions.run(integration, action, user_id, input, None, memory)
        except NangoError as error:
            failure = as_put_back(error, self.services.clock.now())
        raise failure

    def schedule_action(
        self,
        integration: str,
        action: str,
        user_id: str,
        input: Mapping[str, JsonValue] | None = None,  # noqa: A002 - as actions name it
        *,
        every: float | None = None,
        cron: str | None = None,
        time_zone: str = "UTC",
        name: str = "",
        lane: str = "default",
    ) -> Schedule:
        """Run an action at an interval or by a cron expression, until the connection is deleted.

        Args:
            integration: a name declared in integrations.yaml.
            action: the name of one of its actions.
            user_id: the user of the connection.
            input: the input.
            every: the interval in seconds.
            cron: the expression, such as `0 7 * * MON-FRI`; instead of `every`.
            time_zone: of the expression, an IANA name.
            name: distinguishes schedules of one action and connection; the same name replaces one.
            lane: of the jobs.

        Raises:
            ValueError: not exactly one of `every` and `cron` is given, or its value is wrong.

        Also raises the errors of `enqueue_action`.
        """
        if (every is None) == (cron is None):
            raise ValueError("give the interval as every=, or a cron expression as cron=")
        handler, payload = self._job_of(integration, action, user_id, input)
        of = {
            "integration": integration,
            "user_id": user_id,
            "name": f"{action} {name}".strip(),
            "lane": lane,
        }
        if every is not None:
            return self.jobs.every(every, handler, payload, **of)
        return self.jobs.cron(str(cron), handler, payload, time_zone=time_zone, **of)

    def _job_of(
        self, integration: str, action: str, user_id: str, given: Mapping[str, JsonValue] | None
    ) -> tuple[str, JsonValue]:
        """The handler and the payload of a job, after its input was checked."""
        from nango_py.actions.jobs import HANDLER, payload_of

        self.actions.check(integration, action, given)
        if self.services.store.generation(integration, user_id) is None:
            raise ConnectionNotFound(integration, user_id)
        return HANDLER, payload_of(action, given)
