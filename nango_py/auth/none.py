"""NONE: an API without user credentials, or only with the product's own `app_api_key`."""

from __future__ import annotations

from nango_py.auth.base import AuthMode, make_schema
from nango_py.registry import AUTH_MODES


@AUTH_MODES.register
class NoAuth(AuthMode):
    """No credentials; a connection still has its user and its additional_config."""

    name = "NONE"
    title = "No login"
    credentials_schema = make_schema({})
    example_credentials = {}
    variables = ()
    secret_variables = ()
