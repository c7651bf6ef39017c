"""class Toolbox: the tools of one user's language model."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nango_py.config.schema.validation import check_value
from nango_py.engine.bound_settings import bind_settings
from nango_py.errors import NangoError, nearest, printable
from nango_py.json_types import is_text_deeper_than
from nango_py.record import record
from nango_py.tools import outcomes
from nango_py.tools.catalogue import ActionCatalogue
from nango_py.tools.definitions import (
    CALL,
    DESCRIBE,
    FORMATS,
    MORE,
    READ_MORE,
    SEARCH,
    Tool,
    action_tool,
    catalogue_tools,
)
from nango_py.tools.masking import mask_result
from nango_py.tools.outcomes import ToolResult, make_error
from nango_py.tools.pages import MIN_CHARACTERS, ResultPages, dump
from nango_py.tools.permissions import full_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nango_py.accounts import Accounts
    from nango_py.actions.definition import ActionInfo
    from nango_py.actions.service import Actions
    from nango_py.config.model import Configuration
    from nango_py.json_types import JsonObject, JsonValue
    from nango_py.tools.permissions import Permissions

    Approve = Callable[["ToolCall"], bool | Awaitable[bool]]

LOGGER = logging.getLogger("nango_py.tools")

MAX_FOUND = 5
MAX_APPS = 50
MAX_DESCRIPTION = 240
MAX_ARGUMENTS_DEPTH = 64
MAX_CHARACTERS = 20_000
"""The most characters of a result, about 5,000 tokens."""

SECONDS = 120.0
"""The time for an action."""


@record
class ToolCall:
    """A call that waits for approval.

    Attributes:
        user_id: the user of the connection.
        action: the action; `action.changes` says what it changes.
        input: its input, checked and with defaults.
    """

    user_id: str
    action: ActionInfo
    input: JsonObject


class ToolHost:
    """What the toolboxes of one Nango share.

    Args:
        accounts: the connections.
        actions: the actions.
        reload: whether the actions may change while the program runs.

    Attributes:
        pages: the parts of results that are yet to be read.
    """

    def __init__(self, accounts: Accounts, actions: Actions, *, reload: bool) -> None:
        self.accounts = accounts
        self.actions = actions
        self.pages = ResultPages(lambda: accounts.services.store.pending)
        self._reload = reload
        self._catalogue: tuple[Configuration, ActionCatalogue] | None = None

    def catalogue(self) -> ActionCatalogue:
        """The actions as they are now; made again after a reload."""
        configuration, known = self.accounts.services.configuration, self._catalogue
        if known is not None and known[0] is configuration and not self._reload:
            return known[1]
        about = {}
        for name, declared in configuration.integrations.items():
            categories = declared.settings.get("categories") or ()
            about[name] = (str(declared.settings.get("title") or ""), tuple(map(str, categories)))
        catalogue = ActionCatalogue(self.actions.list(), about)
        self._catalogue = configuration, catalogue
        return catalogue


class Toolbox:
    """The tools of one user's language model; see `Nango.toolbox`. Thread-safe.

    Attributes:
        user_id: the user whose connections the tools use.
    """

    def __init__(
        self,
        host: ToolHost,
        user_id: str,
        permissions: Permissions,
        approve: Approve | None = None,
        connect_link: Callable[[str], str] | None = None,
        max_characters: int = MAX_CHARACTERS,
        deadline_seconds: float = SECONDS,
    ) -> None:
        if max_characters < MIN_CHARACTERS:
            raise ValueError(f"max_characters must be at least {MIN_CHARACTERS}")
        permissions.check(host.catalogue().by_name.values())
        self.user_id = user_id
        self._host = host
        self._permissions = permissions
        self._approve = approve
        self._connect_link = self._make_link if connect_link is None else connect_link
        self._max_characters = max_characters
        self._deadline_seconds = deadline_seconds

    def definitions(self) -> tuple[Tool, ...]:
        """The tools, in no vendor's format."""
        infos = [info for info in self._host.catalogue().by_name.values() if self._permissions.allows(info)]
        if self._permissions.expose:
            return (*map(action_tool, infos), READ_MORE)
        return catalogue_tools(is_read=all(info.is_read for info in infos))

    def tools(self, format: str = "anthropic") -> list[JsonObject]:  # noqa: A002 - as `Nango.tools` has it
        """The tools in the format of a vendor: `anthropic`, `openai` or `openai-responses`.

        Raises:
            ValueError: the format is unknown.
        """
        make = FORMATS.get(format)
        if make is None:
            raise ValueError(f'unknown format "{printable(format)}"; known: {", ".join(FORMATS)}')
        return [make(tool) for tool in self.definitions()]

    def call(self, name: str, arguments: Mapping[str, JsonValue] | str | None = None) -> ToolResult:
        """The result of a tool call of the model. What goes wrong is a result, too.

        Args:
            name: the name of the tool.
            arguments: a JSON object, as a mapping or as text.
        """
        step = self._prepare(name, arguments)
        if isinstance(step, ToolResult):
            return step
        try:
            if not step.action.is_read and self._approve is not None:
                is_approved = self._approve(step)
                if inspect.isawaitable(is_approved):
                    getattr(is_approved, "close", bool)()
                    raise NangoError("approve is an async function; use acall_tool")  # noqa: TRY301
                if is_approved is not True:
                    return _not_approved(step)
            info = step.action
            value = self._host.actions.run(
                info.integration, info.name, self.user_id, step.input, self._deadline_seconds
            )
        except Exception as error:  # noqa: BLE001 - the model reads it
            return self._explain(step.action, error)
        return self._finish(step, value)

    async def acall(self, name: str, arguments: Mapping[str, JsonValue] | str | None = None) -> ToolResult:
        """The same for asyncio. A sync `approve` runs in a thread; a cancelled call sends nothing more."""
        step = await asyncio.to_thread(self._prepare, name, arguments)
        if isinstance(step, ToolResult):
            return step
        try:
            if not step.action.is_read and self._approve is not None:
                is_approved = await asyncio.to_thread(self._approve, step)
                if inspect.isawaitable(is_approved):
                    is_approved = await is_approved
                if is_approved is not True:
                    return _not_approved(step)
            info = step.action
            value = await self._host.actions.run_async(
                info.integration, info.name, self.user_id, step.input, self._deadline_seconds
            )
        except Exception as error:  # noqa: BLE001 - the model reads it
            return await asyncio.to_thread(self._explain, step.action, error)
        return await asyncio.to_thread(self._finish, step, value)

    def _prepare(
        self, name: object, arguments: Mapping[str, JsonValue] | str | None
    ) -> ToolResult | ToolCall:
        """Everything that comes before a request: the result of a tool that sends none, or the call."""
        if not isinstance(name, str):  # whatever a model's vendor passes on
            return make_error("unknown_tool", "The name of a tool is text.")
        try:
            given = _read_arguments(arguments)
            return given if isinstance(given, ToolResult) else self._choose(name, given)
        except Exception as error:  # noqa: BLE001 - the model reads it
            _log(name, error)
            return outcomes.internal_error(error)

    def _choose(self, name: str, given: JsonObject) -> ToolResult | ToolCall:
        catalogue = self._host.catalogue()
        if self._permissions.expose and name != MORE:
            info = catalogue.by_tool_name.get(name)
            if info is None or not self._permissions.includes(info):
                return make_error("unknown_tool", f'There is no tool "{printable(name)}".')
            return self._begin(info, given)
        tool = next((tool for tool in self.definitions() if tool.name == name), None)
        if tool is None:
            known = [tool.name for tool in self.definitions()]
            return make_error("unknown_tool", f'There is no tool "{printable(name)}".', tools=known)
        problems = check_value(tool.input_schema, given, "arguments")
        if problems:
            return outcomes.input_error(problems)
        if name == MORE:
            return self._read_on("", str(given["cursor"]))
        if name == SEARCH:
            return self._search(catalogue, str(given["query"]))
        return self._use_action(catalogue, name, given)

    def _use_action(self, catalogue: ActionCatalogue, tool: str, given: JsonObject) -> ToolResult | ToolCall:
        action = str(given["action"])
        info = catalogue.by_name.get(action)
        if info is None or not self._permissions.includes(info):
            return self._unknown_action(catalogue, action)
        if tool == DESCRIBE:
            return self._describe(info)
        if tool == CALL and "cursor" in given:
            return self._read_on(action, str(given["cursor"]))
        return self._begin(info, given.get("input") or {})

    def _unknown_action(self, catalogue: ActionCatalogue, action: str) -> ToolResult:
        names = [name for name, info in catalogue.by_name.items() if self._permissions.allows(info)]
        near = nearest(action, names)
        text = f'There is no action "{printable(action)}". Find names with search_actions.'
        return make_error("unknown_action", text, did_you_mean=near)

    def _search(self, catalogue: ActionCatalogue, query: str) -> ToolResult:
        found = catalogue.find(query[:1000], MAX_FOUND, self._permissions.allows)
        connected = self._connected_integrations() if found else frozenset()
        shown: list[JsonValue] = [
            {**_summary(info), "connected": info.integration in connected} for info in found
        ]
        result: JsonObject = {"actions": shown}
        if not found:
            infos = catalogue.by_name.values()
            apps = {info.integration for info in infos if self._permissions.allows(info)}
            result["apps"] = [*sorted(apps)[:MAX_APPS]]
        return ToolResult(dump(result))

    def _describe(self, info: ActionInfo) -> ToolResult:
        known: JsonObject = {
            **_summary(info, len(info.description)),
            "allowed": self._permissions.allows(info),
            "connected": info.integration in self._connected_integrations(),
            "input": info.input_schema,
        }
        whole = dump({**known, "output": info.output_schema})
        is_short = info.output_schema is not None and len(whole) <= self._max_characters
        return ToolResult(whole if is_short else dump(known))

    def _connected_integrations(self) -> frozenset[str]:
        views = self._host.accounts.list_for_user(self.user_id)
        return frozenset(view["integration"] for view in views if view["status"] == "active")

    def _read_on(self, action: str, cursor: str) -> ToolResult:
        found = self._host.pages.find(self.user_id, cursor)
        if found is None or action not in ("", found[0]):
            text = "The cursor is unknown or too old. What only reads can be called again for a new one."
            return make_error("unknown_cursor", text)
        return ToolResult(found[1])

    def _begin(self, info: ActionInfo, given: JsonValue) -> ToolResult | ToolCall:
        """The call of an action, if it may be called, its input fits, and the user has a connection."""
        if not self._permissions.allows(info):
            text = f"{full_name(info)} changes {', '.join(info.changes)}, which is not allowed here."
            return make_error("not_allowed", text)
        try:
            checked = self._host.actions.check(info.integration, info.name, given)  # type: ignore[arg-type]  # checked there
            self._secrets(info)
        except NangoError as error:
            return self._explain(info, error)
        return ToolCall(self.user_id, info, checked)

    def _finish(self, step: ToolCall, value: JsonValue) -> ToolResult:
        info = step.action
        try:
            masked = mask_result(value, self._secrets(info))
            text = self._host.pages.first(self.user_id, full_name(info), masked, self._max_characters)
        except Exception as error:  # noqa: BLE001 - the model reads it
            _log(full_name(info), error)
            hint = "" if info.is_read else "The action was run. Do not call it again."
            return make_error("unreadable_result", "The result cannot be shown.", hint=hint)
        return ToolResult(text)

    def _explain(self, info: ActionInfo, error: Exception) -> ToolResult:
        now = self._host.accounts.services.clock.now()
        result = outcomes.explain(error, info, now, lambda: self._link(info.integration))
        if result is None:
            _log(full_name(info), error)
            return outcomes.internal_error(error)
        try:
            secrets = self._secrets(info)
        except Exception:  # noqa: BLE001 - there is no usable connection
            return result
        masked = mask_result(json.loads(result.text), secrets)
        return ToolResult(dump(masked), is_error=True)

    def _secrets(self, info: ActionInfo) -> tuple[str, ...]:
        """The texts of the connection that are never shown.

        Raises:
            ConnectionNotFound: there is no connection.
            CredentialsError: the user has to choose an account first.
        """
        services = self._host.accounts.services
        read_runtime, read_connection = services.sources(info.integration, self.user_id)
        runtime = read_runtime()
        return bind_settings(runtime.integration, read_connection(), runtime.clock).secrets

    def _link(self, integration: str) -> str:
        try:
            return self._connect_link(integration)
        except Exception as error:  # noqa: BLE001 - without a link
            _log(f"connect link of {integration}", error)
            return ""

    def _make_link(self, integration: str) -> str:
        return self._host.accounts.create_session(self.user_id, [integration]).url


def _read_arguments(arguments: Mapping[str, JsonValue] | str | None) -> JsonObject | ToolResult:
    if isinstance(arguments, str):
        try:
            if is_text_deeper_than(arguments.encode("utf-8", "replace"), MAX_ARGUMENTS_DEPTH):
                return make_error("invalid_input", "The arguments are nested too deeply.")
            arguments = json.loads(arguments or "{}")
        except ValueError:
            return make_error("invalid_input", "The arguments are not valid JSON.")
    if arguments is None:
        return {}
    if not isinstance(arguments, Mapping):
        return make_error("invalid_input", "The arguments must be a JSON object.")
    return dict(arguments)


def _summary(info: ActionInfo, longest: int = MAX_DESCRIPTION) -> JsonObject:
    text = info.description
    shown: JsonObject = {"action": full_name(info), "title": info.title}
    shown["description"] = text if len(text) <= longest else text[:longest].rpartition(" ")[0] + " ..."
    shown["changes"] = [*info.changes]
    return shown


def _not_approved(step: ToolCall) -> ToolResult:
    text = f"{full_name(step.action)} was not approved. Nothing was sent. Ask the user before you try again."
    return make_error("not_approved", text)


def _log(name: str, error: Exception) -> None:
    # Texts of other errors may quote a request.
    what = f"{type(error).__name__}: {error}" if isinstance(error, NangoError) else ""
    LOGGER.error("tool call %s failed: %s", printable(name), what or type(error).__name__)
