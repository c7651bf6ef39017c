"""A blueprint and its sandbox, ready for calls whose waits take no time."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from nango_py.auth.base import extended_mode, get_auth_mode
from nango_py.blueprint_tests.memory_wire import send_in_memory
from nango_py.clock import VirtualClock
from nango_py.config.loading import load_configuration
from nango_py.config.logins import examples_for_login, is_for_another_login
from nango_py.config.own_fields import own_fields
from nango_py.config.schema.additional_config import check_additional_config
from nango_py.connections.connection import thaw
from nango_py.connections.rows import unstored_connection
from nango_py.engine.executor import Executor
from nango_py.engine.runtime import IntegrationRuntime
from nango_py.errors import CredentialsError
from nango_py.limits.stores.memory import MemoryLimits
from nango_py.sandbox import FaultPlan, Sandbox
from nango_py.sandbox.expressions import unwrap
from nango_py.sandbox.faults import parse_fault
from nango_py.tokens.unstored import UnstoredSource

if TYPE_CHECKING:
    from nango_py.config.catalogue import Catalogue
    from nango_py.config.model import Blueprint, Integration
    from nango_py.connections.connection import Connection
    from nango_py.json_types import Settings
    from nango_py.sandbox import SandboxResponse
    from nango_py.sandbox.faults import Fault
    from nango_py.transport.response import Response
    from nango_py.transport.sendable import Failure, Sendable

logger = logging.getLogger("nango_py.blueprint_tests")
logger.addHandler(logging.NullHandler())
logger.propagate = False  # errors of calls are expected here

USER = "user_test"
PORT, FILES_PORT = 1, 2
"""In the URLs of the sandbox; no socket is open there."""

APP = {
    "oauth_client_id": "client_test",
    "oauth_client_secret": "client_secret_test",
    "app_api_key": "app_key_test",
}
"""The application's credentials in tests; `sends` of examples may show them."""


class Script(FaultPlan):
    """The next responses of a sandbox. Once they are sent, the sandbox responds as usual."""

    def __init__(self) -> None:
        super().__init__(0, {})
        self.replies: list[SandboxResponse | Fault] = []

    def next(self, endpoint: str) -> Fault | None:
        """The next response."""
        return parse_fault(self.replies.pop(0)) if self.replies else None


class ObservedLimits(MemoryLimits):
    """Limits in memory that keep for how many seconds each gate was closed."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.closed: list[float] = []

    def close_gate(self, gates: tuple[str, ...], seconds: float) -> None:
        """Close gates, and keep the seconds."""
        self.closed.append(seconds)
        super().close_gate(gates, seconds)


class Redirected:
    """A request of the real API, sent to the sandbox: the same path, without the settings of its sockets."""

    secrets: tuple[str, ...] = ()
    client_certificate = guard = proxy = None
    needs_own_pool = False

    def __init__(self, plan: Sendable, url: str) -> None:
        self.method, self.headers, self.body = plan.method, plan.headers, plan.body
        self.connect_seconds, self.read_seconds = plan.connect_seconds, plan.read_seconds
        self.max_bytes, self.stream = plan.max_bytes, plan.stream
        self.masked_url, self.masked_headers = plan.masked_url, plan.masked_headers
        self.url = url
        self.settings = self


class ToSandbox:
    """A transport that sends every request to the sandbox, whatever its host.

    Args:
        sandbox: the sandbox. It serves no sockets; requests are handled within the thread.

    Attributes:
        sent: the requests, as the engine made them.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._api = sandbox.api
        self._origin = f"http://127.0.0.1:{sandbox.port}"
        self._files = f"{sandbox.api.files.origin}/"
        bases: Settings = sandbox.settings["requests"].get("bases") or {}
        self._base = _pattern_of(sandbox.settings["requests"]["base_url"])
        self._bases = [(_pattern_of(url), sandbox.api.bases[name]) for name, url in bases.items()]
        self.sent: list[Sendable] = []

    def send(self, plan: Sendable, seconds: float) -> Response | Failure:
        """Send a request."""
        self.sent.append(plan)
        url = self._url_of(plan.url)
        handler = self._api.files if url.startswith(self._files) else self._api
        return send_in_memory(handler, Redirected(plan, url))

    def _url_of(self, url: str) -> str:
        """The URL in the sandbox: other bases have a path there, and the rest has the same path.

        The longest base decides, because one may lie below another.
        """
        if url.startswith(self._files):
            return url
        own = self._base.match(url)
        matches = [(found, path) for pattern, path in self._bases if (found := pattern.match(url))]
        if matches:
            found, path = max(matches, key=lambda match: match[0].end())
            if own is None or found.end() > own.end():
                return f"{self._origin}{path}{url[found.end() :]}"
        return f"{self._origin}/{url.partition('://')[2].partition('/')[2]}"


def _pattern_of(template: object) -> re.Pattern[str]:
    """A regular expression for a URL with templates, of which the first may be a whole origin."""
    parts = re.split(r"\$\{[^}]*\}", unwrap(template))
    scheme = "" if parts[0] else "https?://"
    return re.compile(scheme + "[^/]+?".join(map(re.escape, parts)))


class Caller:
    """An executor of one connection, with separate limits, circuit breaker and learning."""

    def __init__(self, bench: Bench, integration: Integration, connection: Connection) -> None:
        self.runtime = bench.runtime_of(integration)
        self.limits = ObservedLimits(bench.clock)
        self.sender = ToSandbox(bench.sandbox)
        self.executor = Executor(
            lambda: self.runtime, UnstoredSource(connection), self.sender, self.limits, bench.clock
        )


class Bench:
    """A blueprint, its sandbox, and integrations that extend it.

    Attributes:
        declared: an integration with the URLs of the blueprint; its requests go to the sandbox all the same.

    Args:
        blueprint: a valid blueprint.
        catalogue: the catalogue that has found it.

    Raises:
        ConfigError: an integration that extends the blueprint is invalid.
    """

    def __init__(self, blueprint: Blueprint, catalogue: Catalogue) -> None:
        self.blueprint = blueprint
        self.settings: Settings = blueprint.settings
        self.mode = extended_mode(str(self.settings["auth"]["auth_mode"]), own_fields(self.settings))
        self.app = _app_settings(self.settings)
        self._catalogue = catalogue
        self._runtimes: dict[int, IntegrationRuntime] = {}
        self.open_sandbox()
        self.declared = self._load({})

    def open_sandbox(self) -> None:
        """A new sandbox, which knows nothing of earlier calls."""
        self.clock = VirtualClock()
        self.script = Script()
        self.sandbox = Sandbox(
            {**self.settings, **self.app},
            port=PORT,
            credentials=self._users() or None,
            faults=self.script,
            signatures=False,  # requests are signed for the API's own host
            clock=self.clock,
        )
        self.sandbox.api.origin = f"http://127.0.0.1:{PORT}"
        self.sandbox.api.files.origin = f"http://127.0.0.1:{FILES_PORT}"

    @cached_property
    def served(self) -> Integration:
        """An integration with the URL of the sandbox, whose links it follows."""
        return self._load(self.sandbox.overrides)

    def runtime_of(self, integration: Integration) -> IntegrationRuntime:
        """A runtime of one of the integrations, without knowledge of earlier calls."""
        first = self._runtimes.get(id(integration))
        if first is None:
            first = self._runtimes[id(integration)] = IntegrationRuntime(integration, self.clock)
            first.logger = logger
        return first.fresh_copy(self.clock)

    @property
    def default_credentials(self) -> dict[str, object]:
        """The sample credentials of the auth mode, with a token."""
        sample = dict(self.mode.example_credentials)
        if self.mode.is_ready(sample):
            return sample
        return {**sample, self.mode.token_variable: "token_test_1234"}

    @property
    def today(self) -> str:
        """The day, as ISO text."""
        return datetime.fromtimestamp(self.clock.now(), UTC).date().isoformat()

    @property
    def examples(self) -> tuple[Settings, ...]:
        """The blueprint's examples for its login."""
        return tuple(example for _, example in self.numbered_examples)

    @property
    def numbered_examples(self) -> tuple[tuple[int, Settings], ...]:
        """The examples for the login, with their places; their credentials only if they are of this login."""
        numbered = enumerate(self._adapted_examples())
        return tuple((number, one) for number, one in numbered if not is_for_another_login(one))

    def _adapted_examples(self) -> tuple[Settings, ...]:
        blueprint = self.blueprint
        if not blueprint.logins or blueprint.login == blueprint.logins[0]:
            return tuple(self.settings.get("examples") or ())
        first = self._catalogue.find(blueprint.ref, blueprint.origins[()], [], blueprint.logins[0])
        return examples_for_login(self.settings, first.settings)

    def caller(self, integration: Integration, example: Settings) -> Caller:
        """A caller with the credentials and settings of an example.

        Raises:
            CredentialsError: they are invalid.
        """
        return Caller(self, integration, self.connection(integration, example))

    def connection(self, integration: Integration, example: Settings) -> Connection:
        """A connection with the credentials and settings of an example, which is not stored.

        Raises:
            CredentialsError: they are invalid.
        """
        place = self.blueprint.ref
        credentials = self.credentials_of(example)
        schema = integration.settings.get("connection_config")
        config = check_additional_config(schema, thaw(example.get("additional_config", {})), place)
        return unstored_connection(integration.name, USER, credentials, config, self.clock.now())

    def credentials_of(self, example: Settings) -> dict[str, object]:
        """The credentials of an example, or those of its auth mode.

        Raises:
            CredentialsError: they are invalid.
        """
        given = thaw(example.get("credentials", self.default_credentials))
        return self.mode.validate(given, self.blueprint.ref)

    def _users(self) -> dict[str, dict[str, object]]:
        """The credentials that the sandbox knows, by the number of the example."""
        users = {}
        for number, example in self.numbered_examples:
            with suppress(CredentialsError):  # the test of the example reports it
                users[f"example {number + 1}"] = self.credentials_of(example)
        return users

    @property
    def entry(self) -> dict[str, object]:
        """The entry of integrations.yaml, with the application's credentials."""
        login = {"login": self.blueprint.login} if self.blueprint.login else {}
        return {"extends_blueprint": self.blueprint.ref, **login, **self.app}

    def _load(self, changes: Settings) -> Integration:
        entry = {**self.entry, **changes}
        configuration = load_configuration(
            {self.blueprint.name: entry}, catalogue=self._catalogue, environ={}, clock=self.clock
        )
        return configuration.integrations[self.blueprint.name]


def _app_settings(settings: Settings) -> dict[str, object]:
    """Values for the application's credentials that the blueprint uses."""
    asked = {name: f"{name}_test" for name in settings.get("app_credentials") or ()}
    text = str(settings)
    needed = set(get_auth_mode(str(settings["auth"]["auth_mode"])).required_app_settings)
    found = {name: value for name, value in APP.items() if name in needed or re.search(rf"\b{name}\b", text)}
    return {**found, "app": asked} if asked else dict(found)
