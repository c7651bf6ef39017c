"""Whose quotas the calls of connections use: a shared one only after the provider has vouched for it.

Users type credentials, tenants and hosts, so these prove nothing. Until the API has accepted a call of a
connection, its calls count with other newcomers, obey the gates of the shared quota, and close none of them.
Credentials that the API refuses count for their connection alone.

All processes that share the limit store know which connections were accepted: each is a count in it, which
lasts for a month. Otherwise each process that starts would send the first call of each connection beside a
shared quota that others have used up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.auth.base import mode_of
from nango_py.limits.limit_types import Spend, Window
from nango_py.limits.owners import CONNECTION, NEWCOMER, TRIAL, digest
from nango_py.secret import reveal

if TYPE_CHECKING:
    from nango_py.config.model import Integration
    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.limits.owners import Owner
    from nango_py.limits.rules import RateLimits

REFUSED, SUCCESSES = frozenset({401, 403}), range(200, 300)
MAX_CONNECTIONS = 20_000
"""Maximum number of connections of which it is remembered whether the API accepts them."""

ACCEPTED = (Window(1, 30 * 86_400.0, "accepted"),)
"""For how long other processes know that the API has accepted a connection."""

VOUCHED = frozenset({"raw", "user_id", "integration"})
"""Names that a user cannot choose: the token response, and what the product itself says."""


class Quotas:
    """The owners of one integration's quotas, and which connections the API has accepted.

    Args:
        limits: the rules of the integration.
        integration: the integration.
        is_trial: whether its credentials are not stored, so that all calls count apart.
    """

    def __init__(self, limits: RateLimits, integration: Integration, *, is_trial: bool) -> None:
        self._limits = limits
        self._is_trial = is_trial
        self._can_refresh = bool(mode_of(integration).token_variable)
        self._accepted: dict[str, bool] = {}
        first = [_quota_before_acceptance(owner, integration) for owner in limits.owners]
        # How each owner counts a connection that was accepted, is new, or was refused.
        self._counted: dict[bool | None, tuple[str, ...]] = {
            True: tuple(CONNECTION if counted == CONNECTION else "" for counted in first),
            None: tuple(first),
            False: tuple(CONNECTION for _ in first),
        }
        self._is_shared = limits.is_shared and not is_trial

    def scopes(self, settings: BoundRequestSettings) -> tuple[str, ...]:
        """The scope of each owner in which the next call of a connection is booked."""
        if not self._is_shared:
            return self.own_scopes(settings)
        return self._scopes(settings, self._counted[self._accepted.get(settings.connection.uuid)])

    def scopes_once_accepted(self, settings: BoundRequestSettings) -> tuple[str, ...]:
        """The scopes of a connection that the API has accepted."""
        return self._scopes(settings, self._counted[True]) if self._is_shared else self.own_scopes(settings)

    def own_scopes(self, settings: BoundRequestSettings) -> tuple[str, ...]:
        """The scopes of a connection that counts alone."""
        counted = TRIAL if self._is_trial else CONNECTION
        return self._scopes(settings, (counted,) * len(self._limits.owners))

    def learning_scope(self, settings: BoundRequestSettings) -> str:
        """The scope of learned limits: a newcomer learns for itself."""
        return self.own_scopes(settings)[0] if self.is_newcomer(settings) else self.scopes(settings)[0]

    def is_newcomer(self, settings: BoundRequestSettings) -> bool:
        """Whether the next call is booked in a quota of newcomers."""
        if not self._is_shared:
            return False
        return NEWCOMER in self._counted[self._accepted.get(settings.connection.uuid)]

    def mark(self, settings: BoundRequestSettings) -> Spend:
        """What is counted once when the API accepts a connection.

        Other credentials, or other values that decide who shares the quota, have to be accepted again. A
        refreshed token is of the same user.
        """
        connection = settings.connection
        generation = "" if self._can_refresh else str(connection.generation)
        return Spend(
            f"accepted {digest(connection.uuid, generation, *self.scopes_once_accepted(settings))}", ACCEPTED
        )

    def recall(self, settings: BoundRequestSettings) -> None:
        """Another process has seen that the API accepts the connection."""
        self._remember(settings.connection.uuid, is_accepted=True)

    def record(self, settings: BoundRequestSettings, status: int) -> bool | None:
        """Remember what a response means: True for accepted, False for refused, None for neither."""
        if not self._is_shared:
            return None
        uuid = settings.connection.uuid
        if status in REFUSED:
            self._remember(uuid, is_accepted=False)
            return False
        if status in SUCCESSES:
            if not self._accepted.get(uuid):
                self._remember(uuid, is_accepted=True)
            return True
        return None

    def _remember(self, uuid: str, *, is_accepted: bool) -> None:
        if len(self._accepted) >= MAX_CONNECTIONS:
            self._accepted.clear()
        self._accepted[uuid] = is_accepted

    def _scopes(self, settings: BoundRequestSettings, counted: tuple[str, ...]) -> tuple[str, ...]:
        variables = settings.variables()
        # A host that the user named counts apart.
        host = "" if settings.guard is None else settings.base_url
        owners = zip(self._limits.owners, counted, strict=True)
        return tuple([owner.scope(variables, host, how) for owner, how in owners])


def _quota_before_acceptance(owner: Owner, integration: Integration) -> str:
    """How an owner counts a connection that the API has not accepted.

    The provider vouches for what it put into a token, and the API for what it is sent; nothing vouches for
    other values that a user typed.
    """
    if not owner.is_shared:
        return ""
    known = VOUCHED | reveal(integration.app_variables).keys()
    typed = [name for name in owner.names if name.partition(".")[0] not in known]
    if not typed:
        return "" if mode_of(integration).token_variable else NEWCOMER
    requests, auth = integration.requests, str(integration.settings.get("auth"))
    texts = (requests.base_url, *(text for _, text in (*requests.headers, *requests.params)))
    sent = {name for text in texts for name in text.names}
    return NEWCOMER if all(name in sent or name in auth for name in typed) else CONNECTION
