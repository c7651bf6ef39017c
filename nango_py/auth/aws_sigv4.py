"""AWS_SIGV4: AWS Signature Version 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from nango_py.auth.base import AuthMode
from nango_py.protocols.frames import without_error_frames
from nango_py.protocols.settings_schemas import TEMPLATE
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.protocols.signed_request import SignedRequest


@AUTH_MODES.register
class AwsSigV4(AuthMode):
    """An AWS access key; `session_token` comes with temporary ones."""

    name = "AWS_SIGV4"
    title = "AWS access key"
    credentials_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "required": ["access_key_id", "secret_access_key"],
        "properties": {
            "access_key_id": {"type": "string", "title": "Access key ID", "minLength": 1},
            "secret_access_key": {"type": "string", "title": "Secret access key", "minLength": 1},
            "session_token": {"type": "string", "title": "Session token", "minLength": 1},
        },
        "additionalProperties": False,
    }
    example_credentials: ClassVar[dict[str, Any]] = {
        "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "session_token": "session_example_1234",
    }
    settings_schema: ClassVar[dict[str, Any]] = {"region": TEMPLATE, "service": TEMPLATE}
    required_settings = ("region", "service")
    variables = ("access_key_id", "secret_access_key", "session_token")
    secret_variables = ("access_key_id", "secret_access_key", "session_token")
    signs = True

    @without_error_frames
    def sign(
        self, request: SignedRequest, variables: Mapping[str, Any], settings: Mapping[str, Any], now: float
    ) -> dict[str, str]:
        """Authorization and the X-Amz headers that it covers."""
        from nango_py.protocols.signed_request import check_headers, render_setting
        from nango_py.protocols.sigv4 import AwsKey, signature_headers

        key = AwsKey(
            variables["access_key_id"],
            variables["secret_access_key"],
            str(variables.get("session_token") or ""),
            render_setting(settings["region"], variables, "region"),
            render_setting(settings["service"], variables, "service"),
        )
        return check_headers(signature_headers(request, key, now))
