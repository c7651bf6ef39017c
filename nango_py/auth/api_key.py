"""API_KEY: a key that the user copies from the API's settings page."""

from __future__ import annotations

from nango_py.auth.base import AuthMode, make_schema, text_field
from nango_py.registry import AUTH_MODES


@AUTH_MODES.register
class ApiKey(AuthMode):
    """A long-lived key; the blueprint says whether it goes into a header or the query."""

    name = "API_KEY"
    title = "API key"
    credentials_schema = make_schema({"api_key": text_field("API key")}, required=["api_key"])
    example_credentials = {"api_key": "key_example_1234"}
    variables = ("api_key",)
    secret_variables = ("api_key",)
