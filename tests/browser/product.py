"""A product with a connect server: real providers to log in to, a sandbox behind its forms, and a ledger."""

from __future__ import annotations

import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from nango_py import CredentialsError, Nango, Sandbox
from nango_py.clock import SYSTEM_CLOCK
from nango_py.sandbox import FaultPlan
from nango_py.server.uvicorn_server import make_server
from tests.support.connect_product import serving
from tests.support.nango_at_server import QUICK, WIDE
from tests.support.oauth1_login_provider import LoginProvider1
from tests.support.oauth2_login_provider import LoginProvider
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import uvicorn

    from nango_py import Response
    from nango_py.clock import Clock
    from tests.support.provider_server import ProviderRequest, ProviderResponse

RIGHT_KEY = "sk_test_right_0123456789"
WRONG_KEY = "sk_test_wrong_0123456789"
SHOP: dict[str, Any] = {
    "title": "Shop",
    "docs_url": "https://docs.shop.test/keys",
    "categories": ["commerce"],
    "auth": {"auth_mode": "API_KEY"},
    "requests": {
        "base_url": "https://api.shop.test/v1/",
        "headers": {"Authorization": "Key ${api_key}"},
        "allow_http": True,
    },
    "credentials": {
        "api_key": {
            "title": "Secret key",
            "help": "Shop shows it under Settings, API keys.",
            "example": "sk_test_1234567890",
            "pattern": "^sk_",
        }
    },
    "connection_config": {
        "type": "object",
        "properties": {
            "region": {"type": "string", "title": "Region", "enum": ["eu", "us"]},
            "nickname": {"type": "string", "title": "Nickname", "maxLength": 40},
        },
        "required": ["region"],
    },
    "errors": {"message": "error.message", "code": "error.code"},
    "verification": {"method": "GET", "path": "me"},
    "retries": {"backoff": QUICK},
    "rate_limits": WIDE,
}
"""An API with keys of its own shape, and a setting that is asked for."""


@dataclass
class Received:
    """A request as the connect server saw it, and the body of its response."""

    method: str
    target: str
    headers: dict[str, str] = field(repr=False)
    response: bytes = field(default=b"", repr=False)


class Product:
    """Serves a product's connect page on 127.0.0.1; a context manager.

    The providers are called `localhost`, which browsers take for another site than 127.0.0.1.

    Attributes:
        nango: the product's.
        origin: of the connect server; `url` is its address with the prefix.
        mail: an OAuth 2 provider; `archive` is one whose pages cut themselves off from their opener.
        birds: an OAuth 1.0a provider.
        faults: what the API of `shop` does instead of responding, one entry for each request.
        received: the requests that came to the connect server.

    Args:
        folder: for the database.
        origins: `config.connect_origins`.
        clock: of its Nango.
        prefix: the path of its connect server.
        config: changes of `config:`.
        more: further integrations.
    """

    def __init__(
        self,
        folder: Path,
        origins: tuple[str, ...] = (),
        clock: Clock = SYSTEM_CLOCK,
        prefix: str = "",
        config: Mapping[str, Any] | None = None,
        **more: Mapping[str, Any],
    ) -> None:
        self._folder, self._origins, self._clock, self._more = folder, origins, clock, more
        self._prefix, self._config = prefix, config or {}
        self._stack = contextlib.ExitStack()
        self.received: list[Received] = []
        self._asked: list[ProviderRequest] = []
        self.faults = FaultPlan.script()

    def __enter__(self) -> Self:
        enter = self._stack.enter_context
        listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.url = self.origin + self._prefix
        self.mail, self.archive = enter(LoginProvider()), enter(LoginProvider(coop=True))
        self.birds = enter(LoginProvider1())
        for provider in (self.mail, self.archive, self.birds):
            provider.response = self._noted(provider.response)  # type: ignore[method-assign]
        self.sandbox = enter(
            Sandbox(SHOP, credentials={"anybody": {"api_key": RIGHT_KEY}}, faults=self.faults)
        )
        config = {
            "oauth_server_root_url": self.url,
            "connect_origins": list(self._origins),
            "product_name": "Acme Reports",
            **self._config,
        }
        self.nango = enter(
            Nango(
                {"integrations": {**self._integrations(), **self._more}, "config": config},
                database_url=f"sqlite:///{self._folder}/nango.db",
                encryption_keys=ENCRYPTION_KEY,
                environ={},
                clock=self._clock,
            )
        )
        enter(serving(self._server, listener))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def link(self, user: str = "user-1", *integrations: str, **options: Any) -> str:
        """The address of the connect page for a user; `options` are those of `Nango.connect_session`."""
        return self.nango.connect_session(user, integrations or None, **options).url

    def is_connected(self, integration: str, user: str = "user-1") -> bool:
        """Whether the user has such a connection."""
        return any(held["integration"] == integration for held in self.nango.connections_for_user(user))

    def told_providers(self) -> list[dict[str, str]]:
        """The headers and the target of each request that a browser made to a provider's login page."""
        return [{**asked.headers, "target": asked.target} for asked in self._asked]

    def call_in_vain(self, integration: str) -> None:
        """Make a call for a user whose credentials are refused."""
        with contextlib.suppress(CredentialsError):
            self.call(integration)

    def call(self, integration: str) -> Response:
        """Make a call for a user, in a thread: Playwright keeps an event loop running in this one."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self.nango.executor(integration, "user-1").get, "me").result()

    def _integrations(self) -> dict[str, Any]:
        return {
            "mail": _of(self.mail, title="Mail", categories=["email"], verification={"path": "me"}),
            "archive": _of(self.archive, title="Archive", categories=["files"]),
            "birds": _of(self.birds, title="Birds", categories=["social"]),
            "shop": {**SHOP, "requests": {**SHOP["requests"], "base_url": self.sandbox.base_url}},
            "weather": {
                "title": "Weather",
                "categories": ["public data"],
                "auth": {"auth_mode": "NONE"},
                "requests": {"base_url": "https://api.weather.test/"},
            },
        }

    def _noted(
        self, response: Callable[[ProviderRequest], ProviderResponse]
    ) -> Callable[[ProviderRequest], ProviderResponse]:
        def noted(asked: ProviderRequest) -> ProviderResponse:
            self._asked += [asked] if asked.path == "/authorize" else []
            return response(asked)

        return noted

    def _server(self) -> uvicorn.Server:
        server = make_server(self.nango.accounts)
        server.config.app = self._noting(server.config.app)
        return server

    def _noting(self, app: Any) -> Any:
        async def noting(scope: Any, receive: Any, send: Any) -> None:
            query = scope["query_string"].decode("latin-1")
            target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            received = Received(scope["method"], target, headers)
            self.received.append(received)

            async def sending(message: Any) -> None:
                received.response += message.get("body", b"")
                await send(message)

            await app(scope, receive, sending)

        return noting


def _of(provider: LoginProvider | LoginProvider1, **more: Any) -> dict[str, Any]:
    page = f"{provider.url}/authorize".replace("127.0.0.1", "localhost")
    return provider.entry({"authorization_url": page}, **more)
