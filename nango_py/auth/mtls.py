"""MTLS: a client certificate, presented when the TLS connection is established (RFC 8446 section 4.4.2)."""

from __future__ import annotations

from nango_py.auth._client_certificate import CERTIFICATE, EXAMPLE_CERTIFICATE, CertificateMode
from nango_py.auth.base import make_schema
from nango_py.registry import AUTH_MODES


@AUTH_MODES.register
class MutualTls(CertificateMode):
    """A certificate chain and its unencrypted private key in PEM format. Neither is a template variable."""

    name = "MTLS"
    title = "Client certificate"
    credentials_schema = make_schema(CERTIFICATE, required=["client_certificate", "client_key"])
    example_credentials = EXAMPLE_CERTIFICATE
    variables = ()
    secret_variables = ()
