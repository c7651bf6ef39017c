"""The methods of `Nango` that run actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.actions.service import Actions
    from nango_py.json_types import JsonValue
    from nango_py.services import Services


class ActionMethods:
    """A base of `Nango`; importing it imports nothing else.

    Attributes:
        services: the shared parts of the Nango.
    """

    services: Services
    _actions: Actions | None = None
    _reloads_actions: bool

    @property
    def actions(self) -> Actions:
        """The actions of the integrations: `actions.list()` and `actions.get(integration, name)`."""
        if self._actions is None:
            from nango_py.actions.service import Actions

            self._actions = Actions(self.services, reload=self._reloads_actions)
        return self._actions

    def trigger_action(
        self,
        integration: str,
        action: str,
        user_id: str,
        input: Mapping[str, JsonValue] | None = None,  # noqa: A002 - as actions name it
        *,
        deadline: float | None = None,
    ) -> JsonValue:
        """Run an action on a user's connection and return its result, JSON.

        Args:
            integration: a name declared in integrations.yaml.
            action: the name of one of its actions (docs/actions.md).
            user_id: the user of the connection.
            input: the input; it is not changed.
            deadline: the seconds for everything, waits included. By default five minutes, and each call has
                the blueprint's deadline.

        Raises:
            UnknownIntegration: integrations.yaml does not declare it.
            UnknownAction: the integration has no action of that name.
            ConnectionNotFound: the user has no connection.
            ActionInputError: the input does not fit the action's schema; nothing was sent.
            ActionFailed: a call failed, the action raised an exception, or it took longer than the deadline.
            ConfigError: the action, or a module of `config.actions`, is wrong.
        """
        return self.actions.run(integration, action, user_id, input, deadline)

    async def atrigger_action(
        self,
        integration: str,
        action: str,
        user_id: str,
        input: Mapping[str, JsonValue] | None = None,  # noqa: A002 - as actions name it
        *,
        deadline: float | None = None,
    ) -> JsonValue:
        """The same for asyncio; a cancelled action makes no more calls.

        Raises the errors of `trigger_action`.
        """
        return await self.actions.run_async(integration, action, user_id, input, deadline)
