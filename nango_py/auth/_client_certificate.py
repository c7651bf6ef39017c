"""Base class of the modes whose TLS connections may present a client certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.auth.base import AuthMode, text_field
from nango_py.errors import CredentialsError

if TYPE_CHECKING:
    from typing import Any

    from nango_py.json_types import Credentials, Schema

CERTIFICATE: Schema = {
    "client_certificate": text_field("Certificate chain (PEM)", is_multiline=True),
    "client_key": text_field("Private key of the certificate (PEM)", is_multiline=True),
}
"""Fields of `credentials_schema`. Neither is a template variable: no request contains them."""

EXAMPLE_CERTIFICATE: Credentials = {
    "client_certificate": "-----BEGIN CERTIFICATE-----\nexample\n-----END CERTIFICATE-----\n",
    "client_key": "-----BEGIN PRIVATE KEY-----\nexample_1234\n-----END PRIVATE KEY-----\n",
}

_FIRST_LINES = {
    "client_certificate": ("-----BEGIN CERTIFICATE-----",),
    "client_key": (
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----",
        "-----BEGIN EC PRIVATE KEY-----",
    ),
}


class CertificateMode(AuthMode):
    """A certificate chain and its unencrypted private key in PEM format, both or neither."""

    def check_credentials(self, credentials: Credentials, where: str) -> dict[str, Any]:
        """The credentials, in which a certificate has its key."""
        checked = super().check_credentials(credentials, where)
        missing = [name for name in CERTIFICATE if name not in checked]
        if len(missing) == 1:
            raise CredentialsError(f'{where}: a client certificate and its key are needed: "{missing[0]}"')
        return checked

    def _check_field(self, field: str, value: object, where: str) -> None:
        super()._check_field(field, value, where)
        if field in _FIRST_LINES and not str(value).lstrip().startswith(_FIRST_LINES[field]):
            raise CredentialsError(
                f'{where}: credential "{field}" must be PEM text, "{_FIRST_LINES[field][0]}..."'
            )

    def client_certificate(self, credentials: Credentials) -> tuple[str, str] | None:
        """The two PEM texts, or None."""
        if "client_certificate" not in credentials:
            return None
        return str(credentials["client_certificate"]), str(credentials["client_key"])
