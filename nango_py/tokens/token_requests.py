"""Token requests: in the form that transports send, and the steps to new credentials."""

from __future__ import annotations

import random
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn
from uuid import uuid4

from nango_py.auth.base import get_auth_mode
from nango_py.config.schema.additional_config import check_additional_config, numbers_as_text
from nango_py.config.urls.hosts import origin_of
from nango_py.connections.connection import thaw
from nango_py.engine.bound_settings import connection_label, template_variables
from nango_py.engine.client_certificates import certificate_of
from nango_py.errors import ConfigError
from nango_py.protocols.token_exchange import (
    LARGEST_RESPONSE,
    SECRET_FREE_ERRORS,
    TokenContext,
    TokenResponse,
    TokenUnavailable,
)
from nango_py.record import record, replaced
from nango_py.secret import EVERYTHING, conceal, leaves, reveal
from nango_py.transport.addresses import Guard
from nango_py.transport.proxy_tunnel import open_proxy
from nango_py.transport.sendable import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.clock import Clock
    from nango_py.config.model import Integration
    from nango_py.connections.connection import Connection
    from nango_py.json_types import Credentials, JsonObject, Settings
    from nango_py.protocols.token_exchange import TokenRequest
    from nango_py.transport.certificates import Certificate
    from nango_py.transport.proxy_tunnel import Proxy
    from nango_py.transport.response import Response
    from nango_py.transport.sync_transport import Transport

LASTING = frozenset({"tls", "too_large", "blocked", "proxy"})
"""Failures that another attempt would meet too."""
NOT_RETRIED = LASTING | {"timeout"}
"""Failures that a second token request would most likely end in, too."""

_RAW_NAME = re.compile(r"\braw\.(\w+)")


@record
class TokenSocketSettings:
    """Which sockets token requests may use, and what to mask in the log records of libraries."""

    secrets: tuple[str, ...]
    guard: Guard | None
    proxy: Proxy | None
    client_certificate: Certificate | None = None

    @property
    def needs_own_pool(self) -> bool:
        """Whether there is a certificate, guard or proxy."""
        return any((self.guard, self.proxy, self.client_certificate))

    def __repr__(self) -> str:
        return "<TokenSocketSettings>"


@record
class TokenPlan:
    """One request to a token endpoint. It holds credentials; its repr shows the endpoint only."""

    method: str
    url: str
    headers: dict[str, tuple[str, str]]
    body: bytes | None
    settings: TokenSocketSettings
    connect_seconds: float = 5.0
    read_seconds: float = 30.0
    max_bytes: int = LARGEST_RESPONSE
    stream: bool = False

    def masked_url(self) -> str:
        """The URL without its query, which may hold a secret."""
        return self.url.partition("?")[0]

    def masked_headers(self) -> dict[str, str]:
        """The names of the headers; all values are masked."""
        return {name: "***" for name, _ in self.headers.values()}

    def __repr__(self) -> str:
        return f"<TokenPlan {self.method} {self.masked_url()}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a TokenPlan holds credentials and cannot be pickled")


def token_context(integration: Integration, connection: Connection, now: float) -> TokenContext:
    """What an auth mode needs to make token requests for a connection."""
    context = TokenContext(
        settings=integration.settings["auth"],
        credentials=reveal(connection.credentials),
        app=reveal(
            {
                **integration.app_variables,
                **{f"app.{name}": value for name, value in integration.app_credentials.items()},
            }
        ),
        scopes=integration.oauth_scopes,
        variables={
            **template_variables(integration, connection),
            "now": int(now),
            "uuid": str(uuid4()),
        },
        now=now,
        place=connection_label(connection),
        requests=integration.requests,
        secret_names=integration.secret_names,
        raw_names=_raw_names(integration),
        own_fields=tuple(field.name for field in integration.own_fields),
    )
    declared = context.settings.get("default_scopes") or ()
    if not any("${" in scope for scope in declared):
        return context
    scopes = (
        context.render(scope, "default_scopes") if scope in declared else scope for scope in context.scopes
    )
    return replaced(context, scopes=tuple(dict.fromkeys(scopes)))


@lru_cache(maxsize=1024)
def _raw_names(integration: Integration) -> frozenset[str]:
    """The members of `raw` that templates of an integration name."""
    return frozenset(name for text in leaves(integration.settings) for name in _RAW_NAME.findall(text))


def token_secrets(context: TokenContext) -> tuple[str, ...]:
    """The secrets of a connection, of the application and of its proxy, for masking."""
    proxy = None if context.requests is None else open_proxy(context.requests.proxy)
    return (
        *(() if proxy is None else proxy.secrets),
        *context.secrets(),
    )


def make_token_plan(request: TokenRequest, context: TokenContext) -> TokenPlan:
    """The plan of a token request; neither redirects nor retries are made for it."""
    headers = {
        "user-agent": ("User-Agent", "nango_py"),
        "accept-encoding": ("Accept-Encoding", "gzip, deflate"),
        **{name.lower(): (name, value) for name, value in request.headers.items()},
    }
    guard, proxy = None, None
    if context.requests is not None:
        hosts, proxy = context.requests.user_hosts, open_proxy(context.requests.proxy)
        if (hosts is not None and hosts.in_auth) or _is_discovered(request.url, context):
            guard = Guard(context.requests.allowed_networks, context.place)
    # The response may contain a token that is not known yet, so library log records show nothing at all.
    secrets = (*token_secrets(context), EVERYTHING)
    mode = get_auth_mode(str(context.settings["auth_mode"]))
    certificate = certificate_of(mode, context.credentials)
    settings = TokenSocketSettings(secrets, guard, proxy, certificate)
    return TokenPlan(request.method, request.url, headers, request.body or None, settings)


def _is_discovered(url: str, context: TokenContext) -> bool:
    """Whether the metadata of an MCP server names a URL, so that it may lead to a private network.

    A server with plain http is one of a closed network, such as this machine.
    """
    if not context.settings.get("resource_url"):
        return False
    resource = context.url("resource_url")
    return resource.startswith("https:") and origin_of(url) != origin_of(resource)


def request_credentials(
    context: TokenContext,
    clock: Clock,
    seconds: float,
    transport: Transport,
    may_repeat: Callable[[], bool] = lambda: True,
    keep: Callable[[Credentials], object] = lambda _: None,
) -> Credentials:
    """New credentials, by the token requests that the connection's auth mode makes.

    Args:
        context: of the connection.
        clock: the time.
        seconds: the time for all requests together.
        transport: sends them.
        may_repeat: whether to repeat a request that got no response.
        keep: called with what the first of several requests granted, if a later one fails.

    Raises:
        TokenRefused: the provider refuses, and would refuse again.
        TokenUnavailable: there is no token at present; a later request may succeed.
    """
    deadline = clock.monotonic() + seconds
    steps = get_auth_mode(str(context.settings["auth_mode"])).refresh(context)
    own = {name: context.credentials[name] for name in context.own_fields if name in context.credentials}
    kept: JsonObject = {}
    try:
        request = next(steps)
        while True:
            kept = request.kept
            outcome = _send(make_token_plan(request, context), clock, deadline, transport, may_repeat)
            if isinstance(outcome, Failure):
                raise TokenUnavailable(
                    outcome.text, is_unspent=not outcome.sent, is_lasting=outcome.reason in LASTING
                )
            request = steps.send(TokenResponse(outcome.status_code, outcome.headers, outcome.content))
    except StopIteration as end:
        credentials: Credentials = conceal({**own, **end.value})
        return credentials
    except SECRET_FREE_ERRORS:
        if kept:
            keep(conceal({**own, **kept}))
        raise


def refreshed_config(
    integration: Integration, connection: Connection, credentials: Credentials
) -> Settings | None:
    """The additional_config after a refresh, by `keep_from_response`; None if it stays as it is.

    Values that `connection_config` does not allow are not kept.
    """
    if not integration.settings["auth"].get("keep_from_response"):
        return None
    from nango_py.protocols.oauth2_protocol import kept_from_response

    context = token_context(integration, connection, 0.0)
    kept = kept_from_response(context, reveal(credentials.get("raw")), at_refresh=True)
    if not kept:
        return None
    schema = integration.settings.get("connection_config")
    try:
        config = {**thaw(connection.additional_config), **numbers_as_text(schema, kept)}
        return check_additional_config(schema, config, context.place)
    except ConfigError:
        return None


def _send(
    plan: TokenPlan, clock: Clock, deadline: float, transport: Transport, may_repeat: Callable[[], bool]
) -> Response | Failure:
    """Send a token request, and again if the request or its response was lost.

    Providers that rotate refresh tokens accept the old one again for a short time only, if at all.
    """
    outcome = transport.send(plan, max(0.001, deadline - clock.monotonic()))
    if isinstance(outcome, Failure) and outcome.reason not in NOT_RETRIED and may_repeat():
        clock.sleep(random.uniform(0.05, 0.3))  # noqa: S311 - it spreads load
        seconds = deadline - clock.monotonic()
        outcome = transport.send(plan, seconds) if seconds > 0 else outcome
    return outcome
