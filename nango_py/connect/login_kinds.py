"""Which integrations are connected by a login in a browser, and the login of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.auth.base import mode_of
from nango_py.auth.mcp_oauth2 import McpOAuth2
from nango_py.auth.oauth1 import OAuth1
from nango_py.auth.oauth2 import OAuth2
from nango_py.connect.failure import LoginFailed
from nango_py.connect.mcp import McpLogin
from nango_py.connect.oauth import CodeLogin, SignedLogin

if TYPE_CHECKING:
    from nango_py.config.model import Integration
    from nango_py.connect.oauth import Login
    from nango_py.json_types import JsonObject
    from nango_py.services import Services


def uses_browser_login(integration: Integration) -> bool:
    """Whether users connect this integration by logging in at the provider instead of by a form."""
    return _login_class(integration) is not None


def make_login(
    services: Services, integration: Integration, user_id: str, additional_config: JsonObject
) -> Login:
    """The login of an integration, for settings that were checked.

    Raises:
        LoginFailed: `not_allowed`: its auth mode has no browser login.
    """
    login_class = _login_class(integration)
    if login_class is None:
        message = f"{integration.title or integration.name} is connected by a form, not by logging in"
        raise LoginFailed("not_allowed", message, f"{integration.auth_mode} has no browser login")
    return login_class(services, integration, user_id, additional_config)


def _login_class(integration: Integration) -> type[Login] | None:
    mode = mode_of(integration)
    if isinstance(mode, OAuth1):
        return SignedLogin
    if isinstance(mode, McpOAuth2):
        return McpLogin
    if not isinstance(mode, OAuth2):
        return None
    params = integration.settings["auth"].get("token_params") or {}
    return None if params.get("grant_type") == "client_credentials" else CodeLogin
