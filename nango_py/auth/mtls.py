"""MTLS: a client certificate, presented when the TLS connection is established (RFC 8446 section 4.4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.auth.base import AuthMode, make_schema, text_field
from nango_py.errors import CredentialsError
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from nango_py.json_types import Credentials

_FIRST_LINES = {
    "client_certificate": ("-----BEGIN CERTIFICATE-----",),
    "client_key": (
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----",
        "-----BEGIN EC PRIVATE KEY-----",
    ),
}


@AUTH_MODES.register
class MutualTls(AuthMode):
    """A certificate chain and its unencrypted private key in PEM format.

    It has no template variables: neither text belongs into a request.
    """

    name = "MTLS"
    title = "Client certificate"
    credentials_schema = make_schema(
        {
            "client_certificate": text_field("Certificate chain (PEM)", is_multiline=True),
            "client_key": text_field("Private key (PEM)", is_multiline=True),
        },
        required=["client_certificate", "client_key"],
    )
    example_credentials = {
        "client_certificate": "-----BEGIN CERTIFICATE-----\nexample\n-----END CERTIFICATE-----\n",
        "client_key": "-----BEGIN PRIVATE KEY-----\nexample_1234\n-----END PRIVATE KEY-----\n",
    }
    variables = ()
    secret_variables = ()

    def _check_field(self, field: str, value: object, where: str) -> None:
        super()._check_field(field, value, where)
        if not str(value).lstrip().startswith(_FIRST_LINES[field]):
            raise CredentialsError(
                f'{where}: credential "{field}" must be PEM text, "{_FIRST_LINES[field][0]}..."'
            )

    def client_certificate(self, credentials: Credentials) -> tuple[str, str] | None:
        """The two PEM texts."""
        return str(credentials["client_certificate"]), str(credentials["client_key"])
