"""AES-256-GCM with associated data: a sealed value opens only where it was put."""

from __future__ import annotations

import hashlib
import os
from typing import Any

KEY_BYTES = 32
NONCE_BYTES = 12
FORMAT = b"\x01"

_HEAD = len(FORMAT) + NONCE_BYTES


class Key:
    """One encryption key; it seals and opens, and cannot be printed or pickled.

    A sealed value is the format byte, a random 96-bit nonce, the ciphertext and its 128-bit tag
    (NIST SP 800-38D). Random nonces are safe for 2**32 values under one key.

    Attributes:
        id: eight hexadecimal digits that name the key and tell nothing of it.
    """

    __slots__ = ("_aead", "_invalid", "id")

    def __init__(self, raw: bytes) -> None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.id = hashlib.sha256(b"nango_py key id\0" + raw).hexdigest()[:8]
        self._aead = AESGCM(raw)
        self._invalid = InvalidTag

    def seal(self, plain: bytes, place: bytes) -> bytes:
        """The value, encrypted and bound to its place."""
        nonce = os.urandom(NONCE_BYTES)
        return FORMAT + nonce + self._aead.encrypt(nonce, plain, place)

    def open(self, sealed: Any, place: bytes) -> bytes | None:
        """The value, or None when it was altered, moved, or sealed with another key."""
        if not isinstance(sealed, bytes) or len(sealed) < _HEAD or not sealed.startswith(FORMAT):
            return None
        try:
            return self._aead.decrypt(sealed[len(FORMAT) : _HEAD], sealed[_HEAD:], place)
        except self._invalid:
            return None

    def __repr__(self) -> str:
        return f"Key({self.id})"

    def __reduce__(self) -> str:
        raise TypeError("a Key is not pickled")
