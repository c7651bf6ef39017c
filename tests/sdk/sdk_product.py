"""A product with one API, for the tests with SDKs and test tools."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from nango_py import Nango

if TYPE_CHECKING:
    from pathlib import Path

KEY = "key_of_the_connection_0123456789"
SDK_KEY = "key_of_the_sdk_0123456789"


def connected(folder: Path, base_url: str, *, mode: str = "API_KEY", **more: Any) -> Nango:
    """A Nango whose `api` is at `base_url` and sends a bearer token, with the connection of `user-1`."""
    headers = {} if mode == "NONE" else {"Authorization": "Bearer ${api_key}"}
    settings = {
        "auth": {"auth_mode": mode},
        "requests": {"base_url": base_url, "headers": headers, "allow_http": True},
        "rate_limits": {"budgets": [{"key": "all", "otherwise": ["100000/second"]}]},
        **more,
    }
    nango = Nango(
        {"api": settings},
        database_url=f"sqlite:///{folder}/nango.db",
        encryption_keys=base64.b64encode(bytes(range(32))).decode(),
        environ={},
    )
    nango.register_connection("api", "user-1", {} if mode == "NONE" else {"api_key": KEY})
    return nango
