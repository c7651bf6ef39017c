"""Verifying credentials before they are stored: nothing is written, and no lease is acquired."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.auth.base import mode_of
from nango_py.config.values import freeze
from nango_py.engine.executor import Executor
from nango_py.engine.interfaces import TokenLifetime
from nango_py.engine.verification import Check
from nango_py.errors import ConfigError
from nango_py.protocols.token_exchange import TokenRefused, TokenUnavailable
from nango_py.record import replaced
from nango_py.secret import reveal
from nango_py.tokens.refresh_job import EXPIRED, needs_reauth
from nango_py.tokens.token_requests import request_credentials, token_context

if TYPE_CHECKING:
    from nango_py.clock import Clock
    from nango_py.config.model import Integration
    from nango_py.connections.connection import Connection
    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.engine.interfaces import CallIO, IntegrationView
    from nango_py.engine.runtime import IntegrationRuntime
    from nango_py.engine.verification import Verification
    from nango_py.limits.limit_types import LimitStore
    from nango_py.transport.sync_transport import Transport


def verify_unstored(
    runtime: IntegrationRuntime,
    connection: Connection,
    transport: Transport,
    limits: LimitStore,
    clock: Clock,
) -> Verification:
    """Whether the credentials of a connection that is not stored work.

    Raises:
        ConfigError: a setting of the connection does not fit the blueprint's templates.
    """
    check = Check(runtime)
    # A separate circuit breaker and separate limits: a typing error must not stop the calls of others.
    own_runtime = runtime.for_trial(FirstTokenOnly(clock, transport))
    source = UnstoredSource(connection)
    try:
        return Executor(lambda: own_runtime, source, transport, limits, clock).verify()
    except TokenRefused as error:
        word, status, ends = error.code, error.status, error.ends_connection
    except TokenUnavailable as error:
        return check.judge_missing_token(error.status)
    except ConfigError as error:
        verification = check.judge_unfit_values(error)
        if verification is None:
            raise
        return verification
    # If the user gave credentials, those are what the provider judged.
    return check.judge_refused_token(word, status, by_user=ends or not word or bool(connection.credentials))


class UnstoredSource:
    """The source of a connection that is not stored."""

    __slots__ = ("_connection", "identity")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.identity = (connection.integration, connection.user_id)

    def get_cached(self) -> Connection:
        """The connection."""
        return self._connection

    __call__ = get_cached


class FirstTokenOnly:
    """Fetches a first token if the auth mode needs one, and never refreshes an existing token.

    A provider that rotates refresh tokens would forget the one that is about to be stored.
    """

    def __init__(self, clock: Clock, transport: Transport) -> None:
        self._clock = clock
        self._transport = transport

    def lifetime(self, integration: Integration, connection: Connection) -> TokenLifetime | None:
        """A lifetime that has expired if there is no token yet, else None."""
        mode = mode_of(integration)
        if mode.is_ready(reveal(connection.credentials)):
            return None
        return TokenLifetime(connection.generation, refresh_at=0.0, expires_at=0.0, clock_offset=0.0)

    def is_due(self, lifetime: TokenLifetime) -> bool:
        """True: there is a lifetime only if there is no token yet."""
        return True

    def has_expired(self, integration: Integration, connection: Connection) -> bool:
        """False: the verification finds out."""
        return False

    def can_refresh(self, settings: BoundRequestSettings) -> bool:
        """False."""
        return False

    def has_ended(self, settings: BoundRequestSettings) -> bool:
        """Whether the token that was given has expired."""
        expires_at = settings.mode.expires_at(reveal(settings.connection.credentials))
        return expires_at is not None and expires_at <= self._clock.now()

    async def refresh(
        self,
        runtime: IntegrationView,
        connection: Connection,
        deadline: float,
        io: CallIO,
        *,
        is_refused: bool = False,
    ) -> Connection | None:
        """The connection with its first token.

        Raises:
            CredentialsError: the token that was given has expired.
            TokenRefused: the provider refuses the credentials.
            TokenUnavailable: there is no token at present.
        """
        if is_refused:
            raise needs_reauth(connection, EXPIRED)
        seconds = deadline - self._clock.monotonic()
        context = token_context(runtime.integration, connection, self._clock.now())
        credentials = request_credentials(context, self._clock, seconds, self._transport)
        return replaced(connection, credentials=freeze(credentials))
