"""AWS_SIGV4: AWS Signature Version 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.auth.base import AuthMode, make_schema, text_field
from nango_py.protocols.settings_schemas import TEMPLATE
from nango_py.registry import AUTH_MODES
from nango_py.secret import without_frames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.json_types import Settings
    from nango_py.protocols.signed_request import SignedRequest


@AUTH_MODES.register
class AwsSigV4(AuthMode):
    """Temporary keys come with a `session_token`."""

    name = "AWS_SIGV4"
    title = "AWS access key"
    credentials_schema = make_schema(
        {
            "access_key_id": text_field("Access key ID"),
            "secret_access_key": text_field("Secret access key"),
            "session_token": text_field("Session token"),
        },
        required=["access_key_id", "secret_access_key"],
    )
    example_credentials = {
        "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "session_token": "session_example_1234",
    }
    settings_schema = {"region": TEMPLATE, "service": TEMPLATE}
    required_settings = ("region", "service")
    variables = ("access_key_id", "secret_access_key", "session_token")
    secret_variables = ("access_key_id", "secret_access_key", "session_token")
    header_variables = ("access_key_id", "session_token")
    signs = True

    def modules(self, settings: Settings) -> tuple[str, ...]:
        """The signature."""
        return ("nango_py.protocols.signed_request", "nango_py.protocols.sigv4")

    def url_to_sign(self, url: str) -> str:
        """The URL with %20 for spaces in its query, which forms write as +."""
        from nango_py.protocols.sigv4 import encode_url

        return encode_url(url)

    @without_frames
    def sign(
        self, request: SignedRequest, variables: Mapping[str, object], settings: Settings, now: float
    ) -> dict[str, str]:
        """Authorization and the X-Amz headers that it covers."""
        from nango_py.protocols.signed_request import check_headers, render_setting
        from nango_py.protocols.sigv4 import AwsKey, signature_headers

        key = AwsKey(
            str(variables["access_key_id"]),
            str(variables["secret_access_key"]),
            str(variables.get("session_token") or ""),
            render_setting(settings["region"], variables, "region"),
            render_setting(settings["service"], variables, "service"),
        )
        return check_headers(signature_headers(request, key, now))
