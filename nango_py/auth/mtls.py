"""MTLS: a client certificate, presented when the TLS connection is made (RFC 8446 section 4.4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from nango_py.auth.base import AuthMode
from nango_py.errors import CredentialsError
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

_BEGINS = {
    "client_certificate": ("-----BEGIN CERTIFICATE-----",),
    "client_key": (
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----",
        "-----BEGIN EC PRIVATE KEY-----",
    ),
}


@AUTH_MODES.register
class MutualTls(AuthMode):
    """A certificate, with its chain, and its private key, both as PEM texts and not encrypted.

    It has no template names: neither text belongs into a request.
    """

    name = "MTLS"
    title = "Client certificate"
    credentials_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "required": ["client_certificate", "client_key"],
        "properties": {
            "client_certificate": {
                "type": "string",
                "title": "Certificate chain (PEM)",
                "minLength": 1,
                "multiline": True,
            },
            "client_key": {"type": "string", "title": "Private key (PEM)", "minLength": 1, "multiline": True},
        },
        "additionalProperties": False,
    }
    example_credentials: ClassVar[dict[str, Any]] = {
        "client_certificate": "-----BEGIN CERTIFICATE-----\nexample\n-----END CERTIFICATE-----\n",
        "client_key": "-----BEGIN PRIVATE KEY-----\nexample_1234\n-----END PRIVATE KEY-----\n",
    }
    variables = ()
    secret_variables = ()

    def _checked(self, field: str, value: Any, where: str) -> Any:
        text = super()._checked(field, value, where)
        if field in _BEGINS and not text.lstrip().startswith(_BEGINS[field]):
            raise CredentialsError(
                f'{where}: credential "{field}" must be PEM text, "{_BEGINS[field][0]}..."'
            )
        return text

    def client_certificate(self, credentials: Mapping[str, Any]) -> tuple[str, str] | None:
        """The two PEM texts."""
        return str(credentials["client_certificate"]), str(credentials["client_key"])
