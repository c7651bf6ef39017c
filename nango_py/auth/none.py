"""NONE: an API that asks for no credential, or only for the product's own `app_api_key`."""

from __future__ import annotations

from typing import Any, ClassVar

from nango_py.auth.base import AuthMode
from nango_py.registry import AUTH_MODES


@AUTH_MODES.register
class NoAuth(AuthMode):
    """Nothing to store; a connection still has its user and its additional_config."""

    name = "NONE"
    title = "No login"
    credentials_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "required": [],
        "properties": {},
        "additionalProperties": False,
    }
    example_credentials: ClassVar[dict[str, Any]] = {}
    variables = ()
    secret_variables = ()
