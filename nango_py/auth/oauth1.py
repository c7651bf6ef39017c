"""OAUTH1: OAuth 1.0a (RFC 5849), which signs each request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.auth.base import AuthMode, make_schema, text_field
from nango_py.errors import CredentialsError
from nango_py.protocols.settings_schemas import CALLBACK, TEXT, TEXTS, URL
from nango_py.protocols.token_exchange import TokenRefused
from nango_py.registry import AUTH_MODES
from nango_py.secret import without_frames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.json_types import Settings
    from nango_py.protocols.signed_request import SignedRequest


@AUTH_MODES.register
class OAuth1(AuthMode):
    """A token and its secret, which are valid until the user revokes them.

    Requests of a blueprint with its own Authorization header are not signed.
    """

    name = "OAUTH1"
    title = "OAuth 1.0a"
    credentials_schema = make_schema(
        {
            "oauth_token": text_field("Token"),
            "oauth_token_secret": text_field("Token secret"),
            "raw": {"type": "object", "title": "The token endpoint's whole response"},
        },
        required=["oauth_token", "oauth_token_secret"],
    )
    example_credentials = {"oauth_token": "token_example_1234", "oauth_token_secret": "secret_example_1234"}
    settings_schema = {
        "request_url": URL,
        "request_params": TEXTS,
        "request_http_method": {"enum": ["GET", "POST"], "default": "POST"},
        "authorization_url": URL,
        "authorization_params": TEXTS,
        **CALLBACK,
        "token_url": URL,
        "token_http_method": {"enum": ["GET", "POST"], "default": "POST"},
        "signature_method": {
            "enum": ["HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1", "PLAINTEXT"],
            "default": "HMAC-SHA1",
        },
        "realm": {"type": "string", "template": "text"},
        "scope_separator": TEXT,  # without effect: OAuth 1.0a has no scopes
    }
    required_app_settings = ("oauth_client_id", "oauth_client_secret")
    variables = ("oauth_token", "oauth_token_secret", "oauth_client_id", "oauth_client_secret")
    secret_variables = ("oauth_token", "oauth_token_secret", "oauth_client_secret")
    signs = True

    def modules(self, settings: Settings) -> tuple[str, ...]:
        """Oauthlib, and what calls it."""
        library = ("jwt",) if settings.get("signature_method") == "RSA-SHA1" else ()
        return ("nango_py.protocols.oauth1_protocol", "oauthlib.oauth1.rfc5849.signature", *library)

    @without_frames
    def sign(
        self, request: SignedRequest, variables: Mapping[str, object], settings: Settings, now: float
    ) -> dict[str, str]:
        """The Authorization header, with a new nonce."""
        from nango_py.protocols import oauth1_protocol
        from nango_py.protocols.signed_request import check_headers

        try:
            header = oauth1_protocol.authorization(request, variables, settings, now)
            return check_headers({"Authorization": header})
        except TokenRefused as refused:
            message = str(refused)
        del request, variables
        raise CredentialsError(f"{message}; check oauth_client_secret")
