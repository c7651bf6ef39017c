"""A product with one OAuth 2 integration, `mail`, at a test provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py import Nango
from nango_py.clock import SYSTEM_CLOCK
from tests.support.nango_at_server import QUICK, WIDE
from tests.support.provider_grants import CLIENT_ID, CLIENT_SECRET
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.clock import Clock
    from nango_py.tokens.refresher import LeasedTokenRefresher


def mail(url: str, auth: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """The entry of the integration."""
    return {
        "auth": {
            "auth_mode": "OAUTH2",
            "authorization_url": f"{url}/authorize",
            "token_url": f"{url}/token",
            **(auth or {}),
        },
        "oauth_client_id": CLIENT_ID,
        "oauth_client_secret": CLIENT_SECRET,
        "requests": {
            "base_url": f"{url}/api/",
            "headers": {"Authorization": "Bearer ${access_token}"},
            "allow_http": True,
        },
        "retries": {"backoff": QUICK},
        "rate_limits": WIDE,
        **more,
    }


def a_nango(
    url: str,
    database_url: str = "sqlite:///:memory:",
    *,
    clock: Clock = SYSTEM_CLOCK,
    auth: Mapping[str, Any] | None = None,
    **more: Any,
) -> Nango:
    """A product whose users log in at the provider behind `url`."""
    return Nango(
        {"mail": mail(url, auth, **more)},
        database_url=database_url,
        encryption_keys=ENCRYPTION_KEY,
        environ={},
        clock=clock,
    )


def refresher_of(nango: Nango) -> LeasedTokenRefresher:
    """The token refresher of a product, to shorten its leases."""
    return nango.services.tokens


def status_of(nango: Nango, user: str = "user-1") -> str:
    """The status of the stored connection."""
    return nango.store.get("mail", user).status
