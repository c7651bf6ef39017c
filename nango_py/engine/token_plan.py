"""A token request in the shape that transports send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from nango_py.auth._protocol.tokens import LARGEST_ANSWER, TokenContext
from nango_py.engine.stamp import leaves, variables_of
from nango_py.errors import printable
from nango_py.record import record
from nango_py.secret import reveal

if TYPE_CHECKING:
    from nango_py.auth._protocol.tokens import TokenRequest
    from nango_py.config.model import Integration
    from nango_py.connections.model import Connection


@record
class Shield:
    """What is masked in the logs of libraries while a token request is under way."""

    secrets: tuple[str, ...]
    client_certificate: None = None

    def __repr__(self) -> str:
        return "<Shield>"


@record
class TokenPlan:
    """One request to a token endpoint. Holds credentials: its repr shows the endpoint only."""

    method: str
    url: str
    headers: dict[str, tuple[str, str]]
    body: bytes | None
    stamp: Shield
    connect_seconds: float = 5.0
    read_seconds: float = 30.0
    max_bytes: int = LARGEST_ANSWER
    stream: bool = False

    def masked_url(self) -> str:
        """The URL without its query, which may hold a secret."""
        return self.url.partition("?")[0]

    def masked_headers(self) -> dict[str, str]:
        """The names of the headers, and nothing of their values."""
        return {name: "***" for name, _ in self.headers.values()}

    def __repr__(self) -> str:
        return f"<TokenPlan {self.method} {self.masked_url()}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a TokenPlan holds credentials and is not pickled")


def token_context(integration: Integration, connection: Connection, now: float) -> TokenContext:
    """All that a mode's renewal knows of a connection."""
    return TokenContext(
        settings=integration.settings["auth"],
        credentials=reveal(connection.credentials),
        app=reveal(integration.app_variables),
        scopes=integration.oauth_scopes,
        variables=variables_of(integration, connection),
        now=now,
        place=f"{connection.integration}/{printable(connection.user_id)}",
    )


def shield_of(context: TokenContext) -> Shield:
    """Everything that a token request may show of a connection and of the application."""
    names = ("expires_at", "token_type", "scope", "username", "raw")
    return Shield((*leaves(dict(context.credentials), skip=names), *leaves(dict(context.app))))


def token_plan(request: TokenRequest, shield: Shield) -> Any:
    """The plan of a token request; redirects and retries are not made with it."""
    headers = {
        "user-agent": ("User-Agent", "nango_py"),
        "accept-encoding": ("Accept-Encoding", "gzip, deflate"),
        **{name.lower(): (name, value) for name, value in request.headers.items()},
    }
    return TokenPlan(request.method, request.url, headers, request.body or None, shield)
