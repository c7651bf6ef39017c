"""OAUTH1: OAuth 1.0a, RFC 5849; each request is signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from nango_py.auth.base import AuthMode
from nango_py.errors import CredentialsError
from nango_py.protocols.frames import without_error_frames
from nango_py.protocols.settings_schemas import CALLBACK, TEXTS, URL
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.protocols.signed_request import SignedRequest


@AUTH_MODES.register
class OAuth1(AuthMode):
    """A token and its secret, which live until the user withdraws them.

    A blueprint with an Authorization header of its own is not signed.
    """

    name = "OAUTH1"
    title = "OAuth 1.0a"
    credentials_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "required": ["oauth_token", "oauth_token_secret"],
        "properties": {
            "oauth_token": {"type": "string", "title": "Token", "minLength": 1},
            "oauth_token_secret": {"type": "string", "title": "Token secret", "minLength": 1},
            "raw": {"type": "object", "title": "The token endpoint's whole response"},
        },
        "additionalProperties": False,
    }
    example_credentials: ClassVar[dict[str, Any]] = {
        "oauth_token": "token_example_1234",
        "oauth_token_secret": "secret_example_1234",
    }
    settings_schema: ClassVar[dict[str, Any]] = {
        "request_url": URL,
        "request_params": TEXTS,
        "request_http_method": {"enum": ["GET", "POST"]},
        "authorization_url": URL,
        "authorization_params": TEXTS,
        **CALLBACK,
        "token_url": URL,
        "token_http_method": {"enum": ["GET", "POST"]},
        "signature_method": {"enum": ["HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1", "PLAINTEXT"]},
        "realm": {"type": "string", "template": "text"},
    }
    required_app_settings = ("oauth_client_id", "oauth_client_secret")
    variables = ("oauth_token", "oauth_token_secret", "oauth_client_id", "oauth_client_secret")
    secret_variables = ("oauth_token", "oauth_token_secret", "oauth_client_secret")
    signs = True

    @without_error_frames
    def sign(
        self, request: SignedRequest, variables: Mapping[str, Any], settings: Mapping[str, Any], now: float
    ) -> dict[str, str]:
        """The Authorization header, with a nonce of its own."""
        from nango_py.protocols import oauth1_protocol
        from nango_py.protocols.signed_request import check_headers
        from nango_py.protocols.token_exchange import TokenRefused

        try:
            return check_headers(
                {"Authorization": oauth1_protocol.authorization(request, variables, settings, now)}
            )
        except TokenRefused as refused:
            told = str(refused)
        del request, variables
        raise CredentialsError(f"{told}; see oauth_client_secret")
