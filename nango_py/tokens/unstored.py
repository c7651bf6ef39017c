"""Credentials that are tried before they are stored: nothing is written, and no lease is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.auth.base import get_auth_mode
from nango_py.config.model import freeze
from nango_py.engine.executor import Executor
from nango_py.engine.outage import Outage
from nango_py.engine.verification import SECONDS, Check
from nango_py.errors import ConfigError
from nango_py.protocols.token_exchange import TokenRefused, TokenUnavailable
from nango_py.record import replaced
from nango_py.secret import reveal
from nango_py.tokens.token_requests import request_credentials

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.clock import Clock
    from nango_py.connections.connection import Connection
    from nango_py.engine.call import Job, Steps
    from nango_py.engine.plan import Plan
    from nango_py.engine.runtime import IntegrationRuntime
    from nango_py.engine.verification import Verification
    from nango_py.limits.limit_types import LimitStore


def verify_unstored(
    route: Callable[[], IntegrationRuntime],
    connection: Connection,
    transport: Any,
    limits: LimitStore,
    clock: Clock,
) -> Verification:
    """Whether the credentials of a connection work that is not stored.

    Raises:
        ConfigError: a setting of the connection does not fit the blueprint's templates.
    """
    check = Check(route())
    try:
        return Trial(route, Unstored(connection), transport, limits, clock).verify()
    except TokenRefused as error:
        word, status, ends = error.word, error.status, error.ends_connection
    except TokenUnavailable as error:
        return check.no_token(error.status)
    except ConfigError as error:
        found = check.unfit(error)
        if found is None:
            raise
        return found
    # Where the connection has credentials of its own, they are what the provider looked at.
    return check.refused_token(word, status, by_user=ends or not word or bool(connection.credentials))


class Unstored:
    """The source of a connection that is nowhere but here."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get_cached(self) -> Connection:
        """The connection."""
        return self._connection

    __call__ = get_cached


class Trial(Executor):
    """An executor whose connection is not stored.

    A first token is fetched where the mode takes one. A token that there is already is not renewed: a
    provider that replaces refresh tokens would forget the one that is about to be stored.
    """

    __slots__ = ()

    def _is_due(self, connection: Connection) -> bool:
        return not get_auth_mode(self._route.integration.auth_mode).is_ready(reveal(connection.credentials))

    def _renewal(self, connection: Connection, deadline_seconds: float | None = None) -> Steps:
        seconds = SECONDS if deadline_seconds is None else deadline_seconds
        credentials = yield from request_credentials(
            self._route.integration, connection, self._clock, seconds
        )
        return replaced(connection, credentials=freeze(credentials))

    def _is_renewable(self, plan: Plan) -> bool:
        return plan.stamp.mode.answers_challenges

    def _job(self, plan: Plan, deadline_seconds: float | None = None, **options: Any) -> Job:
        job = super()._job(plan, deadline_seconds, **options)
        # What somebody typed may be the address of nothing; that is no outage of the API that others call.
        job.outage = Outage(self._clock)
        return job

    def _forced_renewal(self, *_: Any) -> None:
        return None
