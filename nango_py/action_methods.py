"""The methods of `Nango` that run actions: now, as jobs, and as tools of language models.

They are in a base class only because client.py would be too long. The work is done by `Actions`, `Jobs` and
`Toolbox`, which are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.services import Lazy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nango_py.accounts import Accounts
    from nango_py.actions.service import Actions
    from nango_py.jobs.job import Job
    from nango_py.jobs.jobs import Jobs
    from nango_py.jobs.schedules import Schedule
    from nango_py.json_types import JsonObject, JsonValue
    from nango_py.mcp.asgi import Identify, ToolServer
    from nango_py.tools.outcomes import ToolResult
    from nango_py.tools.toolbox import Approve, Toolbox, ToolHost


class ActionMethods:
    """The base of `Nango`.

    Args:
        accounts: the connections of users.
        reload: whether changed files of actions are read again.
    """

    def __init__(self, accounts: Accounts, *, reload: bool) -> None:
        self.accounts = accounts
        self.services = accounts.services
        self._reload = reload
        self._actions = Lazy(self._open_actions)
        self._jobs = Lazy(self._open_jobs)
        self._tool_host = Lazy(self._open_tool_host)

    def _open_actions(self) -> Actions:
        from nango_py.actions.service import Actions

        return Actions(self.services, reload=self._reload)

    def _open_jobs(self) -> Jobs:
        from nango_py.actions.jobs import open_jobs

        return open_jobs(self.services, self._actions.get)

    def _open_tool_host(self) -> ToolHost:
        from nango_py.tools.toolbox import ToolHost

        return ToolHost(self.accounts, self.actions, reload=self._reload)

    @property
    def actions(self) -> Actions:
        """The actions of the integrations: `actions.list()` and `actions.get(integration, name)`."""
        return self._actions.get()

    @property
    def jobs(self) -> Jobs:
        """Work that runs later, on a schedule or on other machines (docs/workers.md)."""
        return self._jobs.get()

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
        from nango_py.actions.jobs import make_job

        return self.jobs.enqueue(
            *make_job(self.actions, integration, action, user_id, input), integration=integration,
            user_id=user_id, idempotency_key=idempotency_key, at=at, lane=lane, scope=action,
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
        from nango_py.actions.jobs import attempt_action

        return attempt_action(
            self.actions, integration, action, user_id, input, idempotency_key, saved, checkpoint
        )

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
        from nango_py.actions.jobs import make_job

        if (every is None) == (cron is None):
            raise ValueError("give the interval as every=, or a cron expression as cron=")
        handler, payload = make_job(self.actions, integration, action, user_id, input)
        of = {
            "integration": integration,
            "user_id": user_id,
            "name": f"{action} {name}".strip(),
            "lane": lane,
        }
        if every is not None:
            return self.jobs.every(every, handler, payload, **of)
        return self.jobs.cron(str(cron), handler, payload, time_zone=time_zone, **of)

    def toolbox(
        self, user_id: str, *, actions: Iterable[str] | str = "*", allow: Iterable[str] | str = (),
        expose: Iterable[str] | str = (), approve: Approve | None = None,
        connect_link: Callable[[str], str] | None = None, max_characters: int = 20_000,
        deadline_seconds: float = 120.0,
    ) -> Toolbox:  # fmt: skip
        """The tools of one user's language model (docs/ai-tools.md).

        The model chooses actions and their input. It cannot choose the user, and sees no credential.

        Args:
            user_id: the user whose connections are used.
            actions: patterns of the actions that the model can find, such as `klaviyo-today.*`; by default
                all.
            allow: patterns of the actions that may change something; none by default.
            expose: patterns of the actions that are separate tools, in place of the three for all.
            approve: called with a `ToolCall` before each action that changes something; the action runs if
                it returns True. It may be async for `acall`.
            connect_link: returns a link for the user to connect an integration; by default that of
                `connect_session`.
            max_characters: of a result; longer ones are read in parts, by a cursor.
            deadline_seconds: for an action.

        Raises:
            ValueError: a pattern names no action.
            ConfigError: an action, or a module of `config.actions`, is wrong.
        """
        from nango_py.tools.permissions import make_permissions
        from nango_py.tools.toolbox import Toolbox

        permissions = make_permissions(actions, allow, expose)
        return Toolbox(
            self._tool_host.get(), user_id, permissions, approve, connect_link, max_characters,
            deadline_seconds,
        )  # fmt: skip

    def tools(
        self,
        user_id: str,
        format: str = "anthropic",  # noqa: A002 - a vendor's format
        **options: Any,
    ) -> list[JsonObject]:
        """The tools of a user's language model: `anthropic`, `openai` or `openai-responses`.

        Takes the options of `toolbox` and raises its errors.
        """
        return self.toolbox(user_id, **options).tools(format)

    def call_tool(
        self, user_id: str, name: str, arguments: Mapping[str, JsonValue] | str | None = None, **options: Any
    ) -> ToolResult:
        """The result of a tool call of a user's language model, for the same options as `tools`.

        What goes wrong is a result with `is_error`. Raises the errors of `toolbox`.
        """
        return self.toolbox(user_id, **options).call(name, arguments)

    async def acall_tool(
        self, user_id: str, name: str, arguments: Mapping[str, JsonValue] | str | None = None, **options: Any
    ) -> ToolResult:
        """The same for asyncio."""
        return await self.toolbox(user_id, **options).acall(name, arguments)

    def mcp_app(
        self,
        identify: Identify,
        *,
        hosts: Iterable[str] = ("127.0.0.1", "localhost", "[::1]"),
        origins: Iterable[str] = (),
        path: str = "",
    ) -> ToolServer:
        """Tools for language models over HTTP, as an ASGI application to mount. Needs the extra `mcp`.

        Args:
            identify: returns the `toolbox` of the user whom a bearer token belongs to, or None to refuse it.
                It may be async.
            hosts: the names by which clients reach the server; other Host headers are refused.
            origins: the Origin headers of web pages that may use it.
            path: the only path that is served; by default any, because the routes of your application choose.

        Raises:
            NangoError: the SDK of the protocol is not installed.
        """
        from nango_py.mcp.opening import open_tool_server

        return open_tool_server(identify, hosts, origins, path)
