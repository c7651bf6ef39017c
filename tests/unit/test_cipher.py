"""Sealing: a value opens only with its key, unaltered, and where it was put."""

from __future__ import annotations

import os
import pickle

import pytest

from nango_py.connections.cipher import KEY_BYTES, NONCE_BYTES, Key

PLAIN = b'{"api_key":"pk_planted"}'
PLACE = b"here"


@pytest.fixture
def key() -> Key:
    """A fresh key."""
    return Key(os.urandom(KEY_BYTES))


def test_a_sealed_value_opens(key: Key) -> None:
    """What was sealed is found again, whatever its length."""
    for plain in (PLAIN, b"", b"\0" * 100_000):
        assert key.open(key.seal(plain, PLACE), PLACE) == plain


def test_another_key_does_not_open_it(key: Key) -> None:
    """A value sealed with one key says nothing to another."""
    assert Key(os.urandom(KEY_BYTES)).open(key.seal(PLAIN, PLACE), PLACE) is None


def test_another_place_does_not_open_it(key: Key) -> None:
    """A value that was moved does not open."""
    assert key.open(key.seal(PLAIN, PLACE), b"there") is None


def test_every_bit_counts(key: Key) -> None:
    """No bit of a sealed value can be flipped, and none cut off or added."""
    sealed = key.seal(PLAIN, PLACE)
    altered = [
        sealed[:byte] + bytes([sealed[byte] ^ (1 << bit)]) + sealed[byte + 1 :]
        for byte in range(len(sealed))
        for bit in range(8)
    ]
    cut = [sealed[:length] for length in range(len(sealed))]
    assert {key.open(value, PLACE) for value in [*altered, *cut, sealed + b"\0"]} == {None}
    assert key.open(sealed, PLACE) == PLAIN


@pytest.mark.parametrize("value", [None, 7, "text", b"", b"\x01", b"\x02" + bytes(40)], ids=repr)
def test_what_was_never_sealed_does_not_open(key: Key, value: object) -> None:
    """A cell of another type, too short, or of another format is refused like an altered one."""
    assert key.open(value, PLACE) is None


def test_equal_values_look_different(key: Key) -> None:
    """Each seal uses a new nonce, so that equal values cannot be recognized."""
    sealed = {key.seal(PLAIN, PLACE) for _ in range(1000)}
    assert len({value[1 : 1 + NONCE_BYTES] for value in sealed}) == 1000


def test_a_key_does_not_show_itself() -> None:
    """A key prints as its id, which is stable and no part of the key, and is not pickled."""
    raw = bytes(range(KEY_BYTES))
    key = Key(raw)
    assert repr(key) == f"Key({Key(raw).id})"
    assert key.id not in raw.hex()
    with pytest.raises(TypeError):
        pickle.dumps(key)
