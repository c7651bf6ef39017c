"""A plugin for the own test suite of requests: every `requests.Session` in it is one of `nango.session()`."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import requests.sessions

from nango_py import Nango
from nango_py.engine.requests_adapter import Session

PLAIN = requests.Session
SETTINGS = {
    "auth": {"auth_mode": "NONE"},
    "requests": {"base_url": "http://127.0.0.1:9/", "allow_http": True},
    "retries": {"max_attempts": 1},
    "rate_limits": {"budgets": [{"key": "all", "otherwise": ["100000/second"]}]},
}
OPENED: list[Nango] = []


def open_nango(base_url: str, ca_bundle: str | None) -> Nango:
    """A Nango with one API without credentials at `base_url`."""
    nango = Nango(
        {"api": {**SETTINGS, "requests": {"base_url": base_url, "allow_http": True}}},
        database_url="sqlite:///:memory:",
        encryption_keys=base64.b64encode(secrets.token_bytes(32)).decode(),
        environ={},
        ca_bundle=ca_bundle,
    )
    OPENED.append(nango)
    nango.register_connection("api", "user-1", {})
    return nango


class SuiteSession(Session):
    """A session of `nango.session()` for the server of whichever test asks."""

    ca_bundle: str | None = None

    def __init__(self) -> None:
        super().__init__(open_nango("http://127.0.0.1:9/", None).adapter("api", "user-1"))

    def get_adapter(self, url: str) -> requests.adapters.BaseAdapter:
        """Mount an adapter for an origin that is new; a test's own adapter is left in its place."""
        parts = urlsplit(url.lower())
        found = super().get_adapter(url)
        if parts.hostname in {"localhost", "127.0.0.1"} and type(found) is requests.adapters.HTTPAdapter:
            with contextlib.suppress(ValueError):
                base = f"{parts.scheme}://{parts.hostname}:{parts.port or 80}/"
                open_nango(base, self.ca_bundle).adapter("api", "user-1").mount_on(self)
        return super().get_adapter(url)


def pytest_configure() -> None:
    """Replace the sessions."""
    requests.Session = requests.sessions.Session = SuiteSession  # type: ignore[misc]


@pytest.fixture(autouse=True)
def trust_of_the_server(request: pytest.FixtureRequest) -> Any:
    """A product trusts the certificate of its server by Nango(ca_bundle=...), not by the environment."""
    if "httpbin_ca_bundle" in request.fixturenames:
        request.getfixturevalue("httpbin_ca_bundle")
        SuiteSession.ca_bundle = os.environ["REQUESTS_CA_BUNDLE"]
    yield
    SuiteSession.ca_bundle = None
    while OPENED:
        OPENED.pop().close()
