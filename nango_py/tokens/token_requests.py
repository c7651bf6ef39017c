"""Token requests in the shape that transports send, and the steps of asking for a token."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NoReturn

from nango_py.auth.base import get_auth_mode
from nango_py.engine.bound_settings import connection_label, leaves, template_variables
from nango_py.protocols.token_exchange import LARGEST_RESPONSE, TokenContext, TokenResponse, TokenUnavailable
from nango_py.record import record
from nango_py.secret import EVERYTHING, conceal, reveal
from nango_py.transport.addresses import Guard
from nango_py.transport.proxy_tunnel import open_proxy
from nango_py.transport.sendable import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.clock import Clock
    from nango_py.config.model import Integration
    from nango_py.connections.connection import Connection
    from nango_py.engine.interfaces import CallIO
    from nango_py.protocols.token_exchange import TokenRequest
    from nango_py.transport.certificates import Certificate
    from nango_py.transport.proxy_tunnel import Proxy
    from nango_py.transport.response import Response

NOT_SENT_AGAIN = frozenset({"timeout", "tls", "too_large", "blocked", "proxy"})
"""Failures of a token request after which a second one would most likely fail alike."""


@record
class Shield:
    """What is masked in the logs of libraries while a token request is under way."""

    secrets: tuple[str, ...]
    client_certificate: Certificate | None = None
    guard: Guard | None = None
    proxy: Proxy | None = None

    @property
    def is_apart(self) -> bool:
        """Whether its connections are not for everyone."""
        return self.guard is not None or self.proxy is not None or self.client_certificate is not None

    def __repr__(self) -> str:
        return "<Shield>"


@record
class TokenPlan:
    """One request to a token endpoint. Holds credentials: its repr shows the endpoint only."""

    method: str
    url: str
    headers: dict[str, tuple[str, str]]
    body: bytes | None
    settings: Shield
    connect_seconds: float = 5.0
    read_seconds: float = 30.0
    max_bytes: int = LARGEST_RESPONSE
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
        variables=template_variables(integration, connection),
        now=now,
        place=connection_label(connection),
        requests=integration.requests,
    )


def make_shield(context: TokenContext) -> Shield:
    """Everything that a token request may show of a connection and of the application."""
    names = ("expires_at", "token_type", "scope", "username", "raw")
    # A response may bring its token in a header, which no list of what is known could mask.
    secrets = (*leaves(dict(context.credentials), skip=names), *leaves(dict(context.app)), EVERYTHING)
    if context.requests is None:
        return Shield(secrets)
    hosts, proxy = context.requests.user_hosts, open_proxy(context.requests.proxy)
    guard = None if hosts is None or not hosts.in_auth else Guard(hosts.networks, context.place)
    return Shield(secrets if proxy is None else (*proxy.secrets, *secrets), guard=guard, proxy=proxy)


def make_token_plan(request: TokenRequest, shield: Shield) -> TokenPlan:
    """The plan of a token request; redirects and retries are not made with it."""
    headers = {
        "user-agent": ("User-Agent", "nango_py"),
        "accept-encoding": ("Accept-Encoding", "gzip, deflate"),
        **{name.lower(): (name, value) for name, value in request.headers.items()},
    }
    return TokenPlan(request.method, request.url, headers, request.body or None, shield)


async def request_credentials(
    integration: Integration, current: Connection, clock: Clock, seconds: float, io: CallIO
) -> Mapping[str, Any]:
    """Drive the mode's generator: send the token requests it yields; the concealed credentials at the end.

    Raises:
        TokenRefused: the provider said no, and would say so again.
        TokenUnavailable: later it may work.
    """
    context = token_context(integration, current, clock.now())
    shield = make_shield(context)
    steps: Any = get_auth_mode(integration.auth_mode).renewal(context)  # the first send must be None
    ends = clock.monotonic() + seconds
    response: TokenResponse | None = None
    while True:
        try:
            request = steps.send(response)
        except StopIteration as end:
            credentials: dict[str, Any] = conceal(end.value)
            return credentials
        outcome = await _sent(make_token_plan(request, shield), clock, ends, io)
        if isinstance(outcome, Failure):
            raise TokenUnavailable(outcome.text)
        response = TokenResponse(outcome.status_code, outcome.headers, outcome.content)


async def _sent(plan: TokenPlan, clock: Clock, ends: float, io: CallIO) -> Response | Failure:
    """Send a token request, and once more where it or its response was lost.

    A provider that replaces refresh tokens forgives a lost response only for a while, if at all.
    """
    outcome = await io.send(plan, max(0.001, ends - clock.monotonic()))
    if isinstance(outcome, Failure) and outcome.reason not in NOT_SENT_AGAIN:
        await io.wait(random.uniform(0.05, 0.3))  # noqa: S311 - it spreads load
        left = ends - clock.monotonic()
        outcome = (await io.send(plan, left)) if left > 0 else outcome
    return outcome
