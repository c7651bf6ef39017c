"""API_KEY: one key that the user copied from the API's own settings page."""

from __future__ import annotations

from typing import Any, ClassVar

from nango_py.auth.base import AuthMode
from nango_py.registry import AUTH_MODES


@AUTH_MODES.register
class ApiKey(AuthMode):
    """A long-lived key; the blueprint says whether it goes into a header or the query."""

    name = "API_KEY"
    title = "API key"
    credentials_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "required": ["api_key"],
        "properties": {"api_key": {"type": "string", "title": "API key", "minLength": 1}},
        "additionalProperties": False,
    }
    example_credentials: ClassVar[dict[str, Any]] = {"api_key": "key_example_1234"}
    variables = ("api_key",)
    secret_variables = ("api_key",)
