"""A product whose calls are made by sessions of requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.sandbox_product import SHOP, a_nango

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py import Nango


KEY = "key_planted_0123456789"
QUICK = {"max_attempts": 1}
IN_PATH: dict[str, Any] = {"auth": {"auth_mode": "API_KEY"}, "requests": {"base_url": ""}}
IN_QUERY: dict[str, Any] = {
    "auth": {"auth_mode": "API_KEY"},
    "requests": {"base_url": "https://x.test/v1/", "params": {"key": "${api_key}"}, "allow_http": True},
}


def connected(folder: Path, base_url: str, settings: Any = SHOP, **more: Any) -> Nango:
    """A product whose `shop` is at `base_url`, with one connection."""
    nango = a_nango(folder, base_url, {**settings, **more})
    nango.register_connection("shop", "u0", {"api_key": KEY})
    return nango
