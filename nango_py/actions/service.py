"""The actions of a product's integrations: found, listed and run. `Nango` documents arguments and errors."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nango_py.actions.execution import Execution
from nango_py.actions.parallel import ByTasks, ByThreads
from nango_py.actions.yaml_actions import Caller, RunnableYaml
from nango_py.config.actions.compiled import compile_action
from nango_py.engine.executor import Executor, warn_about_event_loop
from nango_py.engine.interfaces import run_sync
from nango_py.errors import ConfigError, UnknownAction
from nango_py.secret import await_without_frames
from nango_py.transport.bounded_cache import BoundedCache

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nango_py.actions.definition import ActionInfo
    from nango_py.actions.execution import Memory
    from nango_py.actions.modules import ActionModules
    from nango_py.actions.python_actions import RunnablePython
    from nango_py.actions.registering import Registration
    from nango_py.config.model import Integration
    from nango_py.json_types import JsonObject, JsonValue, Settings
    from nango_py.services import Services


class Actions:
    """The actions of all integrations of one Nango. Thread-safe.

    Args:
        services: the shared parts of the Nango.
        reload: whether changed Python files are imported again.
    """

    def __init__(self, services: Services, *, reload: bool = False) -> None:
        self.services = services
        self._reload = reload
        self._compiled: dict[tuple[str, str], tuple[Integration, RunnableYaml]] = {}
        self._functions: dict[tuple[str, str], tuple[Registration, RunnablePython]] = {}
        self._has_modules = True  # until they were looked for
        self._modules: tuple[tuple[str, ...], ActionModules] | None = None
        self._callers: BoundedCache[Caller] = BoundedCache()
        self._async_callers: BoundedCache[Caller] = BoundedCache()

    def get(self, integration: str, name: str) -> ActionInfo:
        """The description of an action.

        Raises:
            UnknownIntegration: integrations.yaml does not declare the integration.
            UnknownAction: it has no action of that name.
            ConfigError: the action is wrong.
        """
        return self._find(self.services.integration(integration), name).info

    def check(self, integration: str, name: str, given: Mapping[str, JsonValue] | None) -> JsonObject:
        """The input of an action that runs later, with defaults; raises the errors of `run`."""
        return self._find(self.services.integration(integration), name).input.check(given)

    def list(self, integration: str | None = None) -> Sequence[ActionInfo]:
        """The actions of an integration, or of all, by integration and name.

        Raises the errors of `get`.
        """
        if integration is None:
            return [one for name in self.services.configuration.integrations for one in self.list(name)]
        declared = self.services.integration(integration)
        return [self._find(declared, name).info for name in self._names(declared)]

    def run(
        self, integration: str, name: str, user_id: str, given: Mapping[str, JsonValue] | None,
        deadline: float | None = None, memory: Memory | None = None,
    ) -> JsonValue:  # fmt: skip
        """Run an action and return its result."""
        warn_about_event_loop()
        declared, action, checked, execution = self._prepare(
            integration, name, user_id, given, deadline, memory
        )
        if not isinstance(action, RunnableYaml):
            from nango_py.actions.python_run import run_function

            return run_function(self.services, action, execution, checked)
        caller = self._caller(declared, user_id)
        execution.start()
        try:
            result = run_sync(action.run(checked, execution, caller))
        except BaseException as error:  # noqa: BLE001 - raised again
            failure = execution.record_error(error)
        else:
            execution.finish()
            return result
        raise failure

    async def run_async(
        self, integration: str, name: str, user_id: str, given: Mapping[str, JsonValue] | None,
        deadline: float | None = None, memory: Memory | None = None,
    ) -> JsonValue:  # fmt: skip
        """Run an action and return its result, without blocking the event loop."""
        declared, action, checked, execution = self._prepare(
            integration, name, user_id, given, deadline, memory
        )
        if not isinstance(action, RunnableYaml):
            from nango_py.actions.python_run import run_function_async

            return await run_function_async(self.services, action, execution, checked)
        caller = await self._async_caller(declared, user_id)
        execution.start()
        try:
            result = await await_without_frames(action.run(checked, execution, caller))
        except BaseException as error:  # noqa: BLE001 - raised again
            failure = execution.record_error(error)
        else:
            execution.finish()
            return result
        raise failure

    def _prepare(
        self, integration: str, name: str, user_id: str, given: Mapping[str, JsonValue] | None,
        deadline: float | None, memory: Memory | None,
    ) -> tuple[Integration, RunnableYaml | RunnablePython, JsonObject, Execution]:  # fmt: skip
        """The integration, the action, its checked input, and an execution that has not begun."""
        services = self.services
        declared = services.integration(integration)
        action = self._find(declared, name)
        checked = action.input.check(given)
        execution = Execution(
            declared.name, action.info.name, user_id, services.clock, services.events, action.logger,
            deadline, memory,
        )  # fmt: skip
        return declared, action, checked, execution

    def _caller(self, declared: Integration, user_id: str) -> Caller:
        return self._callers.get((declared.name, user_id), lambda: self._make_caller(declared, user_id))

    def _make_caller(self, declared: Integration, user_id: str) -> Caller:
        services, sources = self.services, self.services.sources(declared.name, user_id)
        executor = Executor(*sources, services.transport, services.limits, services.clock)
        return Caller(executor, sources[1], ByThreads())

    async def _async_caller(self, declared: Integration, user_id: str) -> Caller:
        key = (declared.name, user_id)
        known = self._async_callers.find(key)
        if known is not None:
            return known
        made = await asyncio.to_thread(self._make_async_caller, declared, user_id)
        return self._async_callers.get(key, lambda: made)

    def _make_async_caller(self, declared: Integration, user_id: str) -> Caller:
        from nango_py.engine.async_executor import AsyncExecutor

        services, sources = self.services, self.services.sources(declared.name, user_id)
        executor = AsyncExecutor(*sources, services.async_transport, services.limits, services.clock)
        return Caller(executor, sources[1], ByTasks())

    def _names(self, declared: Integration) -> tuple[str, ...]:
        names = set(declared.settings.get("actions") or ())
        for integration, name in self._registrations():
            if integration in _names_of(declared):
                names.add(name)
        return tuple(sorted(names))

    def _find(self, declared: Integration, name: str) -> RunnableYaml | RunnablePython:
        """An action: a Python function for the integration or for its blueprint, else one in YAML."""
        key = (declared.name, name)
        known = self._compiled.get(key)
        # With modules a function may take precedence, also one that a reload has added.
        if known is not None and known[0] is declared and not self._has_modules:
            return known[1]
        registrations = self._registrations()
        self._has_modules = bool(self.services.configuration.config.actions)
        for owner in _names_of(declared) if registrations else ():
            registration = registrations.get((owner, name))
            if registration is not None:
                return self._function(declared, registration)
        if known is not None and known[0] is declared:
            return known[1]
        actions: Settings = declared.settings.get("actions") or {}
        if not isinstance(name, str) or name not in actions:
            raise UnknownAction(str(name), self._names(declared), hint=f"of {declared.name}")
        action, problems = compile_action(declared.settings, name, declared.origins)
        if action is None:
            raise ConfigError(problems)
        made = RunnableYaml(declared, action)
        self._compiled[key] = (declared, made)
        return made

    def _function(self, declared: Integration, registration: Registration) -> RunnablePython:
        key = (declared.name, registration.name)
        known = self._functions.get(key)
        if known is not None and known[0] is registration:
            return known[1]
        from nango_py.actions.python_actions import RunnablePython

        made = RunnablePython(declared, registration)
        self._functions[key] = (registration, made)
        return made

    def _registrations(self) -> dict[tuple[str, str], Registration]:
        names = self.services.configuration.config.actions
        if not names:
            return {}
        if self._modules is None or self._modules[0] != names:
            from nango_py.actions.modules import ActionModules

            self._modules = (names, ActionModules(names, reload=self._reload))
        return self._modules[1].registrations()


def _names_of(declared: Integration) -> tuple[str, ...]:
    """The names under which Python functions may register actions of an integration, the first one wins."""
    blueprint = declared.blueprint
    return (declared.name, blueprint, blueprint.partition(":")[0]) if blueprint else (declared.name,)
