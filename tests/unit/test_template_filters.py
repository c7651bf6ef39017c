"""The filters of templates: what they make of values, in the client and in the sandbox alike."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from nango_py.config.template.compiler import compile_template
from nango_py.config.template.filters import TemplateProblem
from nango_py.config.template.parser import dump_trees, load_trees
from nango_py.sandbox.expressions import render

VALUES = {"key": "abc-us6", "mail": " Ada@Example.com ", "path": "a/b", "odd": "ÿ?>", "mode": "test", "n": 7}


@pytest.mark.parametrize(
    ("source", "rendered"),
    [
        ("${key | split('-', 1)}", "us6"),
        ("${key | split('-', -1)}", "us6"),
        ("${key | split('-', 0) | upper}", "ABC"),
        ("${key | split('-', 5) | default('us1')}", "us1"),
        ("${key | split('-', 5) or 'us1'}", "us1"),
        ("${path | replace('/', '.')}", "a.b"),
        ("${path | replace('/', '')}", "ab"),
        ("${path | replace('x', 'y')}", "a/b"),
        ("${odd | base64url}", base64.urlsafe_b64encode("ÿ?>".encode()).decode().rstrip("=")),
        ("${key | base64url}", "YWJjLXVzNg"),
        ("${mail | trim | lower | md5}", hashlib.md5(b"ada@example.com").hexdigest()),  # noqa: S324
        ('${"sandbox" if mode == "test" else "api"}', "sandbox"),
        ('${"sandbox" if mode != "test" else "api"}', "api"),
        ('${"one" if n == 7 else "other"}', "one"),
    ],
)
def test_filters(source: str, rendered: str) -> None:
    """The second implementation is that of the sandbox."""
    assert compile_template(source).render(VALUES) == rendered
    assert render(source, VALUES) == rendered


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("${key | split('-', 5)}", "E314"),
        ("${key | split('', 0)}", "E314"),
        ("${missing | split('-', 0)}", "E314"),
        ("${key | public_key_sha256}", "E314"),
    ],
)
def test_values_that_a_filter_cannot_use(source: str, code: str) -> None:
    """The problem names the variable and not the value."""
    with pytest.raises(TemplateProblem) as caught:
        compile_template(source).render(VALUES)
    assert caught.value.code == code
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "${key | split('-')}",
        "${key | split('-', 1, 2)}",
        "${key | split('-', key)}",
        "${key | split('-', '1')}",
        "${key | split('-', 1.5)}",
        "${key | split('-', true)}",
        "${key | replace('a')}",
        "${key | md5('x')}",
        "${-n}",
        "${-1}",
    ],
)
def test_wrong_arguments_are_refused_at_load(source: str) -> None:
    """The number of arguments, and what is not a whole number."""
    with pytest.raises(TemplateProblem) as caught:
        compile_template(source)
    assert caught.value.code == "E308"


def test_the_fingerprint_of_a_key() -> None:
    """Of a private and of a public key alike: the SHA-256 of the public key in DER, in base64."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    expected = "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()
    template = compile_template("SHA256:${private_key | public_key_sha256}")
    assert template.render({"private_key": private}) == expected
    assert template.render({"private_key": public}) == expected
    # A part of a secret is masked as a whole.
    assert template.mask({"private_key": private}, {"private_key"}) == "SHA256:***"


def test_negative_numbers_are_cached() -> None:
    """A tree with one is read again as it was."""
    source = "${cached_key | split('-', -1)}"
    compile_template(source)
    load_trees(source, dump_trees(source))  # type: ignore[arg-type]
    assert compile_template(source).render({"cached_key": "a-b"}) == "b"
