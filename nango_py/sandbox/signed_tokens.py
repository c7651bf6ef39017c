"""Checks the signatures of JSON Web Tokens (RFC 7515), without the library that makes them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nango_py.json_types import JsonObject

_HASHES = {"256": "sha256", "384": "sha384", "512": "sha512"}
_LEEWAY_SECONDS = 60.0


def read_signed_token(token: str, key: str, now: float) -> JsonObject | None:
    """The claims of a token that the key signed and that is valid now; None for any other.

    Args:
        token: the compact form.
        key: the PEM of the private key, or a shared secret; "" accepts every signature.
        now: unix seconds.
    """
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims and signature
        return None
    try:
        header, claims = (json.loads(_decode(part)) for part in parts[:2])
        signature = _decode(parts[2])
    except (ValueError, binascii.Error):
        return None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        return None
    signed = f"{parts[0]}.{parts[1]}".encode()
    if key and not _is_signed(str(header.get("alg")), signed, signature, key):
        return None
    expires = claims.get("exp")
    is_expired = not isinstance(expires, int | float) or expires + _LEEWAY_SECONDS < now
    begins = claims.get("nbf") or claims.get("iat") or now
    is_early = not isinstance(begins, int | float) or begins - _LEEWAY_SECONDS > now
    return None if is_expired or is_early else claims


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _is_signed(algorithm: str, signed: bytes, signature: bytes, key: str) -> bool:
    hash_name = _HASHES.get(algorithm[2:], "sha256")
    if algorithm.startswith("HS"):
        return hmac.compare_digest(hmac.digest(key.encode(), signed, hash_name), signature)
    return is_signed_by(algorithm[:2], hash_name, signed, signature, key)


def is_signed_by(scheme: str, hash_name: str, signed: bytes, signature: bytes, key: str) -> bool:
    """Whether the private key in PEM format made a signature.

    Args:
        scheme: "RS" and "PS" for RSA with the paddings PKCS 1 v1.5 and PSS, "ES" for ECDSA, "Ed" for EdDSA.
        hash_name: such as `sha256`.
        signed: the signed text.
        signature: the signature.
        key: the key.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

    try:
        public = _public_key_of(key)
        digest: Any = getattr(hashes, hash_name.upper())()
        match scheme:
            case "RS":
                public.verify(signature, signed, padding.PKCS1v15(), digest)
            case "PS":
                salt = padding.PSS(padding.MGF1(digest), digest.digest_size)
                public.verify(signature, signed, salt, digest)
            case "ES":
                half = len(signature) // 2
                numbers = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
                public.verify(utils.encode_dss_signature(*numbers), signed, ec.ECDSA(digest))
            case _:
                public.verify(signature, signed)
    except (InvalidSignature, ValueError, TypeError, AttributeError):
        return False
    return True


@lru_cache(maxsize=32)
def _public_key_of(key: str) -> Any:
    """The public key of a private key, whose check takes 50 ms for RSA."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(key.replace("\\n", "\n").encode(), None).public_key()


def s256(verifier: str) -> str:
    """The challenge of a PKCE verifier (RFC 7636 section 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii", "replace")).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
