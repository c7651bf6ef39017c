"""The tokens that a sandbox issues: how long they are valid, and which of them replace which."""

from __future__ import annotations

import itertools
import math
import secrets
import threading
from typing import TYPE_CHECKING, Protocol

from nango_py.argument_types import check_number
from nango_py.record import record

if TYPE_CHECKING:
    from nango_py.clock import Clock

DEFAULT_LIFETIME_SECONDS = 3600.0


@record
class TokenRules:
    """How the token endpoint of a sandbox behaves.

    Attributes:
        lifetime_seconds: of access tokens; None is the blueprint's `token_lifetime_seconds`, or one hour; 0
            issues access tokens that do not expire, and no refresh tokens.
        rotates: whether each refresh replaces the refresh token. The use of a replaced one revokes the grant.
        grace_seconds: how long a replaced refresh token still works.
        refresh_lifetime_seconds: of refresh tokens; None is the blueprint's, or without end.
    """

    lifetime_seconds: float | None = None
    rotates: bool = True
    grace_seconds: float = 0.0
    refresh_lifetime_seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("lifetime_seconds", "grace_seconds", "refresh_lifetime_seconds"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name))


@record
class IssuedToken:
    """An access token and what was issued with it.

    Attributes:
        user: the owner.
        access_token: the token.
        refresh_token: "" if there is none.
        lifetime_seconds: of the access token; None if it does not expire.
        scope: the granted scopes, as they were requested.
    """

    user: str
    access_token: str
    refresh_token: str
    lifetime_seconds: float | None
    scope: str


class AcceptedTokens(Protocol):
    """The credentials that the API accepts."""

    def issue(self, user: str, variables: dict[str, str], expires_at: float) -> None:
        """Accept a token until a moment of the monotonic clock."""

    def withdraw(self, user: str, token: str = "") -> None:
        """Accept a token of a user, or all of them, no longer."""


class _Grant:
    """What one login granted."""

    def __init__(self, user: str, scope: str, ends: float) -> None:
        self.user = user
        self.scope = scope
        self.ends = ends
        self.refresh_token = ""
        self.replaced: dict[str, float] = {}
        self.access_tokens: list[str] = []
        self.kept_tokens: dict[str, list[str]] = {}
        self.is_revoked = False

    def has(self, token: str) -> bool:
        """Whether it is an access token of the grant, or one that was issued for it."""
        return token in self.access_tokens or any(token in kept for kept in self.kept_tokens.values())


class TokenBook:
    """Issues tokens. Thread-safe.

    Args:
        rules: how they behave.
        declared: the blueprint's `token_lifetime_seconds` and `refresh_token_lifetime_seconds`.
        accepted: is given each access token.
        variable: the name of the access token in templates.
        clock: the time.
    """

    def __init__(
        self,
        rules: TokenRules,
        declared: tuple[float | None, float | None],
        accepted: AcceptedTokens,
        variable: str,
        clock: Clock,
    ) -> None:
        lifetime = rules.lifetime_seconds
        if lifetime is None:
            lifetime = declared[0] or DEFAULT_LIFETIME_SECONDS
        self._lifetime: float | None = lifetime or None
        own = rules.refresh_lifetime_seconds
        self._refresh_lifetime = declared[1] if own is None else own
        self._rules = rules
        self._accepted = accepted
        self._variable = variable
        self._clock = clock
        self._grants: list[_Grant] = []
        self._ends: dict[str, float] = {}
        self._lock = threading.RLock()

    def issue(self, user: str, scope: str, *, is_refreshable: bool = True) -> IssuedToken:
        """The first token of a new grant."""
        with self._lock:
            seconds = self._refresh_lifetime
            ends = math.inf if seconds is None else self._clock.monotonic() + seconds
            grant = _Grant(user, scope, ends)
            self._grants.append(grant)
            if is_refreshable and self._lifetime is not None:
                grant.refresh_token = f"refresh_{secrets.token_urlsafe(24)}"
            return self._issue_access_token(grant)

    def issue_kept(self, access_token: str, name: str) -> str:
        """Another token, which ends with the grant of this access token; `name` is its variable."""
        with self._lock:
            token = f"{name}_{secrets.token_urlsafe(24)}"
            for grant in self._grants:
                if grant.has(access_token):
                    grant.kept_tokens.setdefault(name, []).append(token)
                    self._accept(grant)
            return token

    def refresh(self, refresh_token: str) -> IssuedToken | None:
        """The next token of a grant; None if the refresh token is not valid."""
        with self._lock:
            now = self._clock.monotonic()
            for grant in self._grants:
                until = grant.replaced.get(refresh_token)
                if refresh_token != grant.refresh_token and until is None:
                    continue
                if until is not None and now > until:
                    self._revoke(grant)
                if grant.is_revoked or now > grant.ends:
                    return None
                if self._rules.rotates and until is None:
                    grant.replaced[refresh_token] = now + self._rules.grace_seconds - 1e-9
                    grant.refresh_token = f"refresh_{secrets.token_urlsafe(24)}"
                    if self._refresh_lifetime is not None:
                        grant.ends = now + self._refresh_lifetime
                return self._issue_access_token(grant)
            return None

    def revoke(self, token: str) -> None:
        """Revoke a refresh token with its grant, or a single access token; unknown ones are ignored."""
        with self._lock:
            for grant in self._grants:
                if token == grant.refresh_token or token in grant.replaced:
                    self._revoke(grant)
                elif token in grant.access_tokens:
                    self._withdraw(grant, token)

    def revoke_named(self, text: str) -> None:
        """Revoke the grants whose tokens are in a text."""
        with self._lock:
            for grant in self._grants:
                if any(token in text for token in (*grant.access_tokens, grant.refresh_token) if token):
                    self._revoke(grant)

    def is_valid(self, access_token: str) -> bool:
        """Whether an access token was issued and has not expired."""
        with self._lock:
            if self._clock.monotonic() < self._ends.get(access_token, -math.inf):
                return True
            return any(access_token in kept for one in self._grants for kept in one.kept_tokens.values())

    def revoke_user(self, user: str) -> None:
        """Revoke all grants of a user."""
        with self._lock:
            for grant in self._grants:
                if grant.user == user:
                    self._revoke(grant)

    def expire(self, user: str = "") -> None:
        """Let the access tokens of a user expire now, or those of all; refresh tokens stay valid."""
        with self._lock:
            for grant in self._grants:
                if user in {"", grant.user}:
                    for token in grant.access_tokens:
                        self._withdraw(grant, token)

    def _issue_access_token(self, grant: _Grant) -> IssuedToken:
        token = f"access_{secrets.token_urlsafe(24)}"
        grant.access_tokens.append(token)
        lifetime = self._lifetime
        ends = math.inf if lifetime is None else self._clock.monotonic() + lifetime
        self._ends[token] = ends
        self._accept(grant)
        return IssuedToken(grant.user, token, grant.refresh_token, lifetime, grant.scope)

    def _accept(self, grant: _Grant) -> None:
        """Accept requests with the newest access token, and the tokens that were issued for it."""
        token = grant.access_tokens[-1]
        for kept in itertools.product(*grant.kept_tokens.values()):
            variables = {self._variable: token, **dict(zip(grant.kept_tokens, kept, strict=True))}
            self._accepted.issue(grant.user, variables, self._ends.get(token, -math.inf))

    def _revoke(self, grant: _Grant) -> None:
        grant.is_revoked = True
        grant.kept_tokens.clear()
        for token in grant.access_tokens:
            self._withdraw(grant, token)

    def _withdraw(self, grant: _Grant, token: str) -> None:
        self._ends.pop(token, None)
        self._accepted.withdraw(grant.user, token)
