"""`SandboxNango`: a Nango whose integrations all lead to sandboxes, without secrets."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from nango_py.argument_types import check_type
from nango_py.client import Nango
from nango_py.clock import SYSTEM_CLOCK
from nango_py.config.yaml.document import load_document
from nango_py.errors import unknown_name
from nango_py.sandbox import Sandbox
from nango_py.sandbox.made_up import make_config, make_environment

if TYPE_CHECKING:
    import os

    from nango_py.clock import Clock
    from nango_py.connections.connection import PublicView
    from nango_py.json_types import Settings
    from nango_py.sandbox.server import SandboxArguments


class SandboxNango(Nango):
    """A Nango whose declared integrations all lead to sandboxes. A context manager.

    The encryption key, the values of environment variables and the credentials of apps are made up, so that
    it runs without secrets. Connections are stored in memory, unless there is a database.

    Attributes:
        sandboxes: the sandbox of each integration, by its name. Each accepts only the credentials that it
            made or was given.

    Args:
        integrations: the path of integrations.yaml, or its content.
        blueprints: a folder of blueprints; by default `blueprints/` beside integrations.yaml.
        environ: values of environment variables, which are otherwise made up.
        database_url: see `Nango`.
        overrides: settings per integration, such as other limits.
        options: arguments of every sandbox, such as `strict`.
        clock: of the Nango and its sandboxes.

    Raises:
        ConfigError: a file is invalid.
    """

    def __init__(
        self,
        integrations: str | os.PathLike[str] | Settings = "integrations.yaml",
        *,
        blueprints: str | os.PathLike[str] | None = None,
        environ: Mapping[str, str] | None = None,
        database_url: str = "sqlite:///:memory:",
        overrides: Mapping[str, Settings] | None = None,
        options: SandboxArguments | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        for name, value in (("environ", environ), ("overrides", overrides), ("options", options)):
            check_type(name, {} if value is None else value, Mapping, "a mapping")
        is_path = isinstance(integrations, str | Path) or hasattr(integrations, "__fspath__")
        content: Settings = load_document(Path(integrations)).data if is_path else integrations  # type: ignore[arg-type, assignment]
        environ = {**make_environment(content), **(environ or {})}
        given = dict(overrides or {})
        declared = Nango(integrations, blueprints=blueprints, environ=environ, overrides=given)
        arguments: SandboxArguments = {"credentials": {}, "clock": clock, **(options or {})}
        self.sandboxes: Mapping[str, Sandbox] = {
            each.name: Sandbox(each.settings, **arguments) for each in declared.configuration
        }
        self._stack = ExitStack()
        with ExitStack() as stack:
            for name, sandbox in self.sandboxes.items():
                stack.enter_context(sandbox)
                given[name] = merge(given.get(name, {}), sandbox.overrides)
            super().__init__(
                integrations,
                blueprints=blueprints,
                database_url=database_url,
                encryption_keys=base64.b64encode(secrets.token_bytes(32)).decode(),
                overrides=given,
                environ=environ,
                clock=clock,
            )
            self._stack = stack.pop_all()

    def sandbox(self, integration: str) -> Sandbox:
        """The sandbox of an integration.

        Raises:
            LookupError: it is not declared.
        """
        if integration not in self.sandboxes:
            raise LookupError(unknown_name("integration", integration, self.sandboxes))
        return self.sandboxes[integration]

    def connect(
        self, integration: str, user_id: str, additional_config: Mapping[str, object] | None = None
    ) -> PublicView:
        """Store made-up credentials of a user, which the sandbox accepts from now on.

        Args:
            integration: a declared one.
            user_id: the owner of the connection.
            additional_config: by default, that of the blueprint's first example.

        Raises:
            LookupError: the integration is not declared.
        """
        sandbox = self.sandbox(integration)
        config = make_config(sandbox.settings) if additional_config is None else additional_config
        made = sandbox.make_credentials(user_id)
        return self.register_connection(integration, user_id, made, config, replace=True)

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        self._stack.__exit__(*error)  # type: ignore[arg-type]


def merge(settings: Settings, over: Mapping[str, object]) -> dict[str, object]:
    """Settings with others merged over them."""
    merged = dict(settings)
    for name, value in over.items():
        below = merged.get(name)
        is_nested = isinstance(value, dict) and hasattr(below, "items")
        merged[name] = merge(below, value) if is_nested else value  # type: ignore[arg-type]
    return merged
