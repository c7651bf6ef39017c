"""What the engine needs from outside: input and output, the stored connection, and newer tokens.

The steps of a call and of a token refresh are coroutines, written once for both executors. All waiting and
sending goes through `CallIO`. That of the sync executor never suspends, so `run_sync` runs a coroutine to its
end in the caller's thread; that of the async executor yields to the event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from nango_py.record import record
from nango_py.secret import strip_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

    from nango_py.config.model import Integration
    from nango_py.connections.connection import Connection
    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.limits.limit_types import LimitStore
    from nango_py.transport.response import Response
    from nango_py.transport.sendable import Failure, Sendable

P = ParamSpec("P")
R = TypeVar("R")


class CallIO(Protocol):
    """Everything that takes time."""

    limits: LimitStore

    async def send(self, request: Sendable, seconds: float) -> Response | Failure:
        """Send a request once, within `seconds`."""

    async def wait(self, seconds: float) -> None:
        """Wait."""

    async def ask_store(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function that blocks on the connection store."""

    async def ask_limits(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function that may block on the limit store. A cancelled call loses no booking."""

    async def join(self, work: Future[None], seconds: float) -> bool:
        """Wait for work of another thread, at most `seconds`; whether it has ended."""

    async def ask_whole(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """As `ask_limits`, and an exception of a signal handler leaves no booking half done."""

    async def read(self, response: Response) -> None:
        """Read the body of a streamed response into memory."""

    async def copy(self, response: Response, write: Callable[[bytes], None]) -> None:
        """Pass the decoded body of a streamed response on in chunks, and close it."""

    async def run_blocking(self, work: Callable[[], None]) -> None:
        """Do work that blocks, to its end."""

    async def discard(self, response: Response) -> None:
        """Close a streamed response whose body is not needed."""


def run_sync(steps: Coroutine[object, None, R]) -> R:
    """Run steps whose `CallIO` never suspends. No frame of an error that they raise shows a secret."""
    failure: BaseException
    try:
        steps.send(None)
    except StopIteration as end:
        result: R = end.value
        return result
    except BaseException as error:  # noqa: BLE001 - raised again
        failure = error
    else:
        steps.close()
        failure = RuntimeError("a step of a sync call was suspended")
    del steps
    try:
        raise strip_frames(failure)
    finally:
        del failure


class ConnectionSource(Protocol):
    """Where the stored connection comes from.

    Attributes:
        identity: its integration and user id.
    """

    identity: tuple[str, str]

    def __call__(self) -> Connection:
        """The connection as it is stored now; may read from the database."""

    def get_cached(self) -> Connection | None:
        """The connection if the cache is recent enough, else None."""


@record
class TokenLifetime:
    """The lifetime of one token.

    Attributes:
        generation: of the connection whose token it is.
        refresh_at: when to refresh it, in unix seconds; infinite if it never expires or cannot be refreshed.
        expires_at: when it expires, in unix seconds.
        clock_offset: the wall clock minus the monotonic one when the token was first seen.
    """

    generation: int
    refresh_at: float
    expires_at: float
    clock_offset: float


class IntegrationView(Protocol):
    """The part of an integration's runtime that a token refresh uses."""

    integration: Integration

    def report_token(self, connection: Connection, what: str, why: str = "") -> None:
        """Log what happened to a connection's token."""


class TokenRefresher(Protocol):
    """The tokens of all connections; implemented by `nango_py.tokens`."""

    def lifetime(self, integration: Integration, connection: Connection) -> TokenLifetime | None:
        """The lifetime of the connection's token; None if it cannot be refreshed.

        Raises:
            CredentialsError: the provider has refused the credentials; the user must connect again.
        """

    def is_due(self, lifetime: TokenLifetime) -> bool:
        """Whether to refresh the token before using it."""

    def has_expired(self, integration: Integration, connection: Connection) -> bool:
        """Whether the token can no longer be used."""

    def can_refresh(self, settings: BoundRequestSettings) -> bool:
        """Whether there may be a newer token than the one of these settings."""

    def has_ended(self, settings: BoundRequestSettings) -> bool:
        """Whether the token of these settings has expired and cannot be refreshed."""

    async def refresh(
        self,
        runtime: IntegrationView,
        connection: Connection,
        deadline: float,
        io: CallIO,
        *,
        is_refused: bool = False,
    ) -> Connection | None:
        """A newer connection, or None if there is none at present.

        Args:
            runtime: its integration says how to refresh; it logs the result.
            connection: whose token is due, or was refused.
            deadline: when the caller gives up, by the monotonic clock.
            io: how to send and wait.
            is_refused: the API refused the token, whatever its lifetime.

        Raises:
            CredentialsError: the provider has refused the credentials, or they have expired and cannot be
                refreshed; the user must connect again.
            DeadlineExceeded: another caller is still refreshing the token.
        """
