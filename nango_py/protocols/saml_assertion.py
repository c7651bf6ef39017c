"""SAML 2.0 bearer assertions for token requests (RFC 7522), signed with RSA-SHA256 (XML Signature).

They are written in canonical form (Exclusive XML Canonicalization 1.0), so that what is hashed and signed is
the text itself.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nango_py.protocols.jwt_signing import DEFAULT_LIFETIME, unique_id
from nango_py.protocols.token_exchange import TokenRefused

if TYPE_CHECKING:
    from nango_py.json_types import Settings
    from nango_py.protocols.token_exchange import TokenContext

_SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
_BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
_DS = "http://www.w3.org/2000/09/xmldsig#"
_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
_SIGNATURE = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
_DIGEST = "http://www.w3.org/2001/04/xmlenc#sha256"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"})
_VALUE = str.maketrans({
    "&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;"
})  # fmt: skip
_PLACE = "saml_assertion"
_DEFAULTS = {
    "issuer": "${client_id}",
    "subject": "${username}",
    "subject_format": "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
}


def sign_assertion(context: TokenContext, settings: Settings, token_url: str) -> str:
    """A signed assertion in base64, as a token request sends it.

    Args:
        context: variables and time.
        settings: the section described by `settings_schemas.SAML_ASSERTION`.
        token_url: audience and recipient, unless the section names others.

    Raises:
        ConfigError: a template has no value, or a value that XML cannot express.
        TokenRefused: the key is not an RSA key in PEM format; it is not shown.
    """
    identifier = f"_{unique_id()}"
    issuer, rest = _write_body(context, settings, token_url)
    issued = _moment(context.now - float(settings.get("issued_ago", 0)))
    head = f'<saml:Assertion xmlns:saml="{_SAML}" ID="{identifier}" IssueInstant="{issued}" Version="2.0">'
    tail = f"{rest}</saml:Assertion>"
    digest = base64.b64encode(hashlib.sha256(f"{head}{issuer}{tail}".encode()).digest()).decode()
    signature = _write_signature(context, settings, _signed_info(identifier, digest))
    encode = base64.b64encode if settings.get("encoding") == "base64" else base64.urlsafe_b64encode
    return encode(f"{head}{issuer}{signature}{tail}".encode()).decode()


def _write_body(context: TokenContext, settings: Settings, token_url: str) -> tuple[str, str]:
    """The issuer, and what follows the signature."""

    def value(key: str, table: dict[int, str] = _TEXT) -> str:
        template = settings.get(key) or _DEFAULTS.get(key)
        text = context.render(template, f"{_PLACE}.{key}") if template else token_url
        return _escape(context, text, key, table)

    begins = _moment(context.now - float(settings.get("issued_ago", 0)))
    ends = _moment(context.now + float(settings.get("expires_in", DEFAULT_LIFETIME)))
    to, name_format = value("recipient", _VALUE), value("subject_format", _VALUE)
    parts = [
        f'<saml:Subject><saml:NameID Format="{name_format}">{value("subject")}</saml:NameID>',
        f'<saml:SubjectConfirmation Method="{_BEARER}">',
        f'<saml:SubjectConfirmationData NotOnOrAfter="{ends}" Recipient="{to}">',
        "</saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject>",
        f'<saml:Conditions NotBefore="{begins}" NotOnOrAfter="{ends}"><saml:AudienceRestriction>',
        f"<saml:Audience>{value('audience')}</saml:Audience></saml:AudienceRestriction></saml:Conditions>",
    ]
    if settings.get("authn_context"):
        parts += [
            f'<saml:AuthnStatement AuthnInstant="{begins}"><saml:AuthnContext><saml:AuthnContextClassRef>',
            value("authn_context"),
            "</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>",
        ]
    rendered = context.render_all(settings.get("attributes"), f"{_PLACE}.attributes")
    attributes = "".join(
        f'<saml:Attribute Name="{_escape(context, name, "attributes", _VALUE)}"><saml:AttributeValue>'
        f"{_escape(context, str(text), 'attributes', _TEXT)}</saml:AttributeValue></saml:Attribute>"
        for name, text in rendered.items()
    )
    if attributes:
        parts.append(f"<saml:AttributeStatement>{attributes}</saml:AttributeStatement>")
    return f"<saml:Issuer>{value('issuer')}</saml:Issuer>", "".join(parts)


def _signed_info(identifier: str, digest: str) -> str:
    return (
        f'<ds:CanonicalizationMethod Algorithm="{_C14N}"></ds:CanonicalizationMethod>'
        f'<ds:SignatureMethod Algorithm="{_SIGNATURE}"></ds:SignatureMethod>'
        f'<ds:Reference URI="#{identifier}"><ds:Transforms>'
        f'<ds:Transform Algorithm="{_DS}enveloped-signature"></ds:Transform>'
        f'<ds:Transform Algorithm="{_C14N}"></ds:Transform></ds:Transforms>'
        f'<ds:DigestMethod Algorithm="{_DIGEST}"></ds:DigestMethod>'
        f"<ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    )


def _write_signature(context: TokenContext, settings: Settings, info: str) -> str:
    key_text = context.render(settings.get("signing_key", "${private_key}"), f"{_PLACE}.signing_key")
    # Canonical form names the namespace on the element that is signed.
    signature = _sign(key_text, f'<ds:SignedInfo xmlns:ds="{_DS}">{info}'.encode())
    del key_text
    if not signature:
        ends = bool(context.credentials.get("private_key"))
        what = "the signing key is not an RSA key in PEM format, without a password"
        raise TokenRefused("invalid_key", ends_connection=ends, what=what)
    template = settings.get("certificate")
    chain = "" if template is None else context.render(template, f"{_PLACE}.certificate")
    body = "".join(re.sub("-----[A-Z ]+-----", "", chain).split())
    shown = _escape(context, body, "certificate", _TEXT)
    key_info = (
        f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{shown}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
        if shown
        else ""
    )
    value = f"<ds:SignatureValue>{base64.b64encode(signature).decode()}</ds:SignatureValue>"
    return f'<ds:Signature xmlns:ds="{_DS}"><ds:SignedInfo>{info}{value}{key_info}</ds:Signature>'


def _sign(key_text: str, data: bytes) -> bytes:
    """The signature; b"" if the key is not usable."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    # A PEM from an environment variable often has the two characters "\\n" instead of line breaks.
    pem = key_text.replace("\\n", "\n").encode("utf-8", "surrogatepass")
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return b""
    if not isinstance(key, rsa.RSAPrivateKey):
        return b""
    return key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def _escape(context: TokenContext, text: str, key: str, table: dict[int, str]) -> str:
    if _NOT_XML.search(text):
        raise context.missing_error(f"auth.{_PLACE}.{key} has a character that XML cannot express")
    return text.translate(table)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
