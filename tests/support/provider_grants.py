"""What an OAuth 2 provider remembers: grants of users, their tokens, and how refresh tokens rotate."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT_ID = "client_planted_0001"
CLIENT_SECRET = "client_secret_planted_0001"


@dataclass
class Family:
    """One user's grant; its methods are those that Authlib calls."""

    user: str
    scope: str = ""
    refresh: str = ""
    earlier: dict[str, float] = field(default_factory=dict)
    is_revoked: bool = False

    def check_client(self, client: object) -> bool:
        """There is one client, which has been checked."""
        return client is not None

    def get_scope(self) -> str:
        """What the user allowed."""
        return self.scope


class Grants:
    """The grants of one provider.

    Args:
        rotation: of refresh tokens: `none`, `grace`, or `strict`, where the use of an old one withdraws
            everything (RFC 9700 section 4.14.2).
        life: of an access token, in seconds.
        grace_seconds: for which a replaced refresh token still works under `grace`.
        now: unix seconds.

    Attributes:
        families: by refresh token, replaced ones too.
        tokens: the grant and the end of each access token.
        lock: held around changes.
    """

    def __init__(
        self,
        rotation: str = "none",
        life: float = 3600,
        grace_seconds: float = 60,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.rotation, self.life, self.grace_seconds, self.now = rotation, life, grace_seconds, now
        self.families: dict[str, Family] = {}
        self.tokens: dict[str, tuple[Family, float]] = {}
        self.lock = threading.RLock()

    def keep_access(self, family: Family, token: str, seconds: float | None = None) -> None:
        """Accept an access token from now on."""
        self.tokens[token] = family, self.now() + (self.life if seconds is None else seconds)

    def keep_refresh(self, family: Family, token: str) -> None:
        """Accept a refresh token from now on; the one that it replaces has its time of grace."""
        if family.refresh:
            family.earlier[family.refresh] = self.now() + self.grace_seconds
        family.refresh = token
        self.families[token] = family

    def redeem(self, refresh_token: str) -> tuple[Family | None, str]:
        """The grant of a refresh token that may be used; and `granted`, `invalid_grant` or `reused`."""
        family = self.families.get(refresh_token)
        if family is None or family.is_revoked:
            return None, "invalid_grant"
        is_in_grace = self.rotation == "grace" and self.now() <= family.earlier.get(refresh_token, 0.0)
        if refresh_token != family.refresh and not is_in_grace:
            family.is_revoked = True
            return None, "reused"
        return family, "granted"

    def holder(self, access_token: str) -> Family | None:
        """The grant of an access token that is accepted now."""
        family, ends = self.tokens.get(access_token, (None, 0.0))
        return family if family is not None and not family.is_revoked and ends > self.now() else None
