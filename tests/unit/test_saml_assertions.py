"""SAML 2.0 bearer assertions: their form, their signature, and what cannot be signed."""

from __future__ import annotations

import base64
import datetime as dt
from functools import cache
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signxml import SignatureConfiguration, XMLVerifier

from nango_py.errors import ConfigError
from nango_py.protocols.saml_assertion import sign_assertion
from nango_py.protocols.token_exchange import TokenRefused
from nango_py.sandbox.saml_assertions import read_assertion
from tests.support.token_contexts import (
    NOW,
    PLANTED,
    ec_key,
    frames_of,
    make_context,
    make_response,
    pem,
    rsa_key,
    run_refresh,
)

DECLARED: dict[str, Any] = {
    "issuer": "${client_id}",
    "subject": "${username}",
    "audience": "www.hr.test",
    "attributes": {"api_key": "${client_id}"},
    "certificate": "${certificate}",
    "authn_context": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
}
SAML = "{urn:oasis:names:tc:SAML:2.0:assertion}"


@cache
def certificate() -> str:
    """A certificate of the key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hr.test")])
    begins = dt.datetime.fromtimestamp(NOW - 86_400, dt.UTC)
    builder = x509.CertificateBuilder(name, name, rsa_key().public_key(), 1)
    timed = builder.not_valid_before(begins).not_valid_after(begins + dt.timedelta(days=9000))
    return timed.sign(rsa_key(), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def credentials(**more: str) -> dict[str, str]:
    """Those of a user who signs."""
    own = {
        "private_key": pem(rsa_key()),
        "certificate": certificate(),
        "username": "ada",
        "client_id": "key-1",
    }
    return {**own, **more}


def signed(held: dict[str, str] | None = None, **declared: Any) -> str:
    """The XML of an assertion."""
    context = make_context("OAUTH2_SAML", held or credentials())
    text = sign_assertion(context, {**DECLARED, **declared}, "https://hr.test/oauth/token")
    return base64.urlsafe_b64decode(text).decode()


def test_another_library_verifies_the_signature() -> None:
    """The enveloped signature covers the whole assertion, with the certificate that is sent along."""
    xml = signed()
    read = XMLVerifier().verify(
        xml, x509_cert=certificate(), id_attribute="ID",
        expect_config=SignatureConfiguration(verification_time=dt.datetime.fromtimestamp(NOW, dt.UTC)),
    )  # fmt: skip
    assert read.signed_xml.tag == f"{SAML}Assertion"
    assert read.signed_xml.findtext(f"{SAML}Subject/{SAML}NameID") == "ada"


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), min_size=1))
def test_assertions_are_written_in_canonical_form(text: str) -> None:
    """Whatever a user's name holds: what is signed is what every verifier canonicalizes."""
    xml = signed(credentials(username=text, client_id=f"{text}<&>\"'\t\r\n"), recipient=f"{text}\t&\"<>'")
    assert ET.canonicalize(xml) == xml
    found = read_assertion(base64.b64encode(xml.encode()).decode(), pem(rsa_key()), NOW)
    assert found is not None
    assert (found.subject, found.issuer) == (text, f"{text}<&>\"'\t\r\n")
    assert found.recipient == f"{text}\t&\"<>'"


def test_a_changed_assertion_is_refused() -> None:
    """The control: another subject, another key and another time are noticed."""
    xml = signed()
    changes: dict[str, tuple[str, str, float]] = {
        "subject": (xml.replace(">ada<", ">eve<"), pem(rsa_key()), NOW),
        "digest": (xml.replace("<ds:DigestValue>", "<ds:DigestValue>A"), pem(rsa_key()), NOW),
        "key": (xml, pem(ec_key()), NOW),
        "expired": (xml, pem(rsa_key()), NOW + 400),
        "early": (xml, pem(rsa_key()), NOW - 100),
        "doctype": (f"<!DOCTYPE x>{xml}", pem(rsa_key()), NOW),
    }
    for name, (text, key, now) in changes.items():
        assert read_assertion(base64.b64encode(text.encode()).decode(), key, now) is None, name
    assert read_assertion(base64.b64encode(xml.encode()).decode(), pem(rsa_key()), NOW) is not None


def test_the_token_request_carries_the_assertion() -> None:
    """Grant, scopes, own parameters and the client id; the assertion says whom it is for, and until when."""
    context = make_context(
        "OAUTH2_SAML", credentials(), scopes=("a", "b"), config={"company": "acme"},
        authorization_method="none", token_params={"company_id": "${additional_config.company}"},
        saml_assertion={**DECLARED, "encoding": "base64", "expires_in": 600, "issued_ago": 60},
    )  # fmt: skip
    (request,), stored = run_refresh(context, make_response({"access_token": "new", "expires_in": 86_400}))
    sent = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    found = read_assertion(sent.pop("assertion"), pem(rsa_key()), NOW)
    assert sent == {
        "grant_type": "urn:ietf:params:oauth:grant-type:saml2-bearer", "scope": "a b", "client_id": "key-1",
        "company_id": "acme",
    }  # fmt: skip
    assert found is not None
    assert (found.audience, found.recipient) == ("www.hr.test", "https://id.example.test/token")
    assert found.attributes == {"api_key": "key-1"}
    assert (stored["access_token"], stored["expires_at"]) == ("new", NOW + 86_400)


@pytest.mark.parametrize("key", ["planted-secret", "ec", "-----BEGIN PRIVATE KEY-----\nplanted-secret\n"])
def test_a_key_that_cannot_sign_is_refused_without_being_shown(key: str) -> None:
    """The user has to enter another key; error trackers do not see this one."""
    held = credentials(private_key=pem(ec_key()) if key == "ec" else key)
    context = make_context("OAUTH2_SAML", held, saml_assertion=DECLARED)
    with pytest.raises(TokenRefused) as caught:
        run_refresh(context)
    assert (caught.value.code, caught.value.ends_connection) == ("invalid_key", True)
    shown = f"{caught.value}{frames_of(caught.value)}"
    assert PLANTED not in shown
    assert "PRIVATE KEY" not in shown


def test_a_control_character_cannot_be_signed() -> None:
    """XML has no form for it; the message names the key and not the value."""
    with pytest.raises(ConfigError, match=r"auth\.saml_assertion\.subject") as caught:
        signed(credentials(username="ada\x00planted"))
    assert PLANTED not in str(caught.value)
