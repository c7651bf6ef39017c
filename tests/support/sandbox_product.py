"""Whole products for end-to-end tests: a sandbox or server, a database and a Nango."""

from __future__ import annotations

import base64
import contextlib
from typing import TYPE_CHECKING, Any

from nango_py import Nango, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ENCRYPTION_KEY = base64.b64encode(bytes(range(32))).decode()

SHOP: dict[str, Any] = {
    "auth": {"auth_mode": "API_KEY"},
    "requests": {"base_url": "https://api.example.test/v1/", "headers": {"Authorization": "Key ${api_key}"}},
}
"""An integration without a blueprint and without limits."""


def a_nango(folder: Path, base_url: str, settings: Mapping[str, Any] = SHOP, **options: Any) -> Nango:
    """A product with one integration, `shop`, that talks to `base_url`."""
    entry = {**settings, "requests": {**settings["requests"], "base_url": base_url}}
    given = {
        "integrations": {"shop": entry},
        "database_url": f"sqlite:///{folder}/nango.db",
        "encryption_keys": ENCRYPTION_KEY,
        "environ": {},
        **options,
    }
    return Nango(**given)


@contextlib.contextmanager
def a_product(
    folder: Path, settings: Mapping[str, Any] = SHOP, *, users: int = 1, **sandbox_options: Any
) -> Iterator[tuple[Nango, Sandbox]]:
    """A product with `shop` against its own sandbox; users `u0`, `u1`, ... have keys `key_for_u0_...`."""
    credentials = {f"u{number}": {"api_key": key_of(number)} for number in range(users)}
    with (
        Sandbox(settings, credentials=credentials, **{"strict": False, **sandbox_options}) as sandbox,
        a_nango(folder, sandbox.base_url, settings) as nango,
    ):
        for user, fields in credentials.items():
            nango.register_connection("shop", user, fields)
        yield nango, sandbox


def key_of(number: int) -> str:
    """The API key of a user, unlike every other in its middle and its end."""
    return f"key_for_u{number}_{number * 7919:08x}"
