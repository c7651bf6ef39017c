"""Checks SAML 2.0 bearer assertions (RFC 7522 section 3), without the code that makes them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from nango_py.record import record
from nango_py.sandbox.signed_tokens import is_signed_by

if TYPE_CHECKING:
    from collections.abc import Mapping

_SAML = "{urn:oasis:names:tc:SAML:2.0:assertion}"
_DS = "{http://www.w3.org/2000/09/xmldsig#}"
_INFO = re.compile(r"<ds:SignedInfo>.*</ds:SignedInfo>", re.DOTALL)
_BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
_LEEWAY_SECONDS = 60.0


@record
class Assertion:
    """What an assertion says.

    Attributes:
        attributes: by name.
    """

    issuer: str
    subject: str
    audience: str
    recipient: str
    attributes: Mapping[str, str]


def read_assertion(text: str, key: str, now: float) -> Assertion | None:
    """An assertion that the key signed and that is valid now; None for any other.

    Args:
        text: in base64 or base64url.
        key: the PEM of the private key; "" accepts every signature.
        now: unix seconds.
    """
    try:
        xml = base64.b64decode(text.translate(str.maketrans("-_", "+/")), validate=True).decode()
        if "<!DOCTYPE" in xml:
            return None
        root = ET.fromstring(xml)  # noqa: S314 - without a document type there are no entities
        if root.tag != f"{_SAML}Assertion" or (key and not _is_signed(xml, root, key)):
            return None
        return _read(root, now)
    except (ValueError, binascii.Error, ET.ParseError, AttributeError, KeyError):
        return None


def _read(root: ET.Element, now: float) -> Assertion | None:
    def find(path: str) -> ET.Element:
        found = root.find("/".join(f"{_SAML}{name}" for name in path.split("/")))
        if found is None:
            raise KeyError(path)
        return found

    conditions = find("Conditions")
    confirmation = find("Subject/SubjectConfirmation")
    data = find("Subject/SubjectConfirmation/SubjectConfirmationData")
    ends = min(_moment(conditions.attrib["NotOnOrAfter"]), _moment(data.attrib["NotOnOrAfter"]))
    begins = _moment(conditions.attrib["NotBefore"])
    if not begins - _LEEWAY_SECONDS <= now < ends + _LEEWAY_SECONDS:
        return None
    if confirmation.attrib["Method"] != _BEARER:
        return None
    attributes = {each.attrib["Name"]: "".join(each.itertext()) for each in root.iter(f"{_SAML}Attribute")}
    audience = find("Conditions/AudienceRestriction/Audience").text or ""
    subject, issuer = find("Subject/NameID").text or "", find("Issuer").text or ""
    return Assertion(issuer, subject, audience, data.attrib["Recipient"], attributes)


def _moment(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()


def _is_signed(xml: str, root: ET.Element, key: str) -> bool:
    """Whether the enveloped signature is that of the key, over the whole assertion."""
    signature = root.find(f"{_DS}Signature")
    info = _INFO.search(xml)
    if signature is None or info is None:
        return False
    reference, value = signature.find(f".//{_DS}Reference"), signature.findtext(f"{_DS}SignatureValue")
    digest = signature.findtext(f".//{_DS}DigestValue")
    if reference is None or value is None or digest is None:
        return False
    whole = ET.canonicalize(xml, exclude_tags=[f"{_DS}Signature"])
    is_whole = reference.attrib["URI"] == f"#{root.attrib['ID']}"
    found = base64.b64encode(hashlib.sha256(whole.encode()).digest()).decode()
    if not is_whole or not hmac.compare_digest(found, digest):
        return False
    signed = info[0].replace("<ds:SignedInfo>", f'<ds:SignedInfo xmlns:ds="{_DS[1:-1]}">', 1)
    return is_signed_by("RS", "sha256", ET.canonicalize(signed).encode(), base64.b64decode(value), key)
