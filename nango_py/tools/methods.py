"""The methods of `Nango` for language models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.actions.methods import ActionMethods

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nango_py.accounts import Accounts
    from nango_py.config.model import Configuration
    from nango_py.json_types import JsonObject, JsonValue
    from nango_py.tools.catalogue import ActionCatalogue
    from nango_py.tools.outcomes import ToolResult
    from nango_py.tools.toolbox import Approve, Toolbox, ToolHost


class ToolMethods(ActionMethods):
    """A base of `Nango`; importing it imports nothing else.

    Attributes:
        accounts: the connections of users.
    """

    accounts: Accounts
    _tool_host: ToolHost | None = None
    _catalogue: tuple[Configuration, ActionCatalogue] | None = None

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
            actions: patterns of the actions that there are, such as `klaviyo-today.*`; all by default.
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
            self._shared_host(), user_id, permissions, approve, connect_link, max_characters, deadline_seconds
        )

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

    def _shared_host(self) -> ToolHost:
        if self._tool_host is None:
            from nango_py.tools.pages import ResultPages
            from nango_py.tools.toolbox import ToolHost

            pages = ResultPages(lambda: self.services.store.pending)
            self._tool_host = ToolHost(self.accounts, self.actions, pages, self._current_catalogue)
        return self._tool_host

    def _current_catalogue(self) -> ActionCatalogue:
        """The actions as they are now; made again after a reload."""
        configuration = self.services.configuration
        known = self._catalogue
        if known is not None and known[0] is configuration and not self._reloads_actions:
            return known[1]
        from nango_py.tools.catalogue import ActionCatalogue

        about = {}
        for name, declared in configuration.integrations.items():
            categories = declared.settings.get("categories") or ()
            about[name] = (str(declared.settings.get("title") or ""), tuple(map(str, categories)))
        made = ActionCatalogue(self.actions.list(), about)
        self._catalogue = (configuration, made)
        return made
