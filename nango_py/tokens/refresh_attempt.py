"""One caller's turn to renew a connection's token."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nango_py.connections.connection import Connection
    from nango_py.engine.interfaces import CallIO, IntegrationView

Key = tuple[str, str]
"""A connection's name in the store: integration and user."""


@dataclass(slots=True)
class RefreshAttempt:
    """What a renewal is about, and what it has come to.

    Attributes:
        route: whose integration says how to renew; it is told what happens.
        seen: the connection whose token is used up, or was refused.
        deadline: the monotonic time by which the caller wants to be done.
        patient: whether it waits for others; not where its token still lives.
        io: how to send, wait and ask the store.
        owner: the name under which it takes the lease.
        holds: whether it has the lease.
        has_waited: whether somebody else had the turn before.
        found: what it came to, and `refusal` what the provider said for good, once it `is_over`.
    """

    route: IntegrationView
    seen: Connection
    deadline: float
    patient: bool
    io: CallIO
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    holds: bool = False
    has_waited: bool = False
    is_over: bool = False
    found: Connection | None = None
    refusal: str | None = None

    @property
    def key(self) -> Key:
        """The connection's name in the store."""
        return self.seen.integration, self.seen.user_id
