"""AES-256-GCM with associated data: a sealed value can only be decrypted where it was put."""

from __future__ import annotations

import hashlib
import os

from nango_py.secret import Unpicklable

KEY_BYTES = 32
NONCE_BYTES = 12
FORMAT = b"\x01"

_HEAD = len(FORMAT) + NONCE_BYTES


class Key(Unpicklable):
    """One encryption key. It cannot be printed or pickled.

    A sealed value is the format byte, a random 96-bit nonce, the ciphertext and its 128-bit tag
    (NIST SP 800-38D). Random nonces are safe for 2**32 values under one key.

    Attributes:
        id: eight hexadecimal digits that name the key without revealing anything about it.
    """

    __slots__ = ("_aead", "_invalid", "id")

    def __init__(self, raw: bytes) -> None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.id = hashlib.sha256(b"nango_py key id\0" + raw).hexdigest()[:8]
        self._aead = AESGCM(raw)
        self._invalid = InvalidTag

    def seal(self, plain: bytes, associated_data: bytes) -> bytes:
        """The value, encrypted and bound to the associated data."""
        nonce = os.urandom(NONCE_BYTES)
        return FORMAT + nonce + self._aead.encrypt(nonce, plain, associated_data)

    def open(self, sealed: object, associated_data: bytes) -> bytes | None:
        """The decrypted value; None if it was altered, moved, or sealed with another key."""
        if not isinstance(sealed, bytes) or len(sealed) < _HEAD or not sealed.startswith(FORMAT):
            return None
        try:
            return self._aead.decrypt(sealed[len(FORMAT) : _HEAD], sealed[_HEAD:], associated_data)
        except self._invalid:
            return None

    def __repr__(self) -> str:
        return f"Key({self.id})"
