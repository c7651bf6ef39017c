"""Fixtures of the tests of sessions, as a plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.recording_server import RecordingServer
from tests.support.sandbox_product import SHOP
from tests.support.session_product import connected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nango_py.engine.requests_adapter import Session
    from tests.support.recording_server import Received


@pytest.fixture
def no_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies and certificates of the machine change nothing here."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[Session, RecordingServer]]]:
    """Start a server below `/v1/` of which a session is returned."""
    opened: list[Any] = []

    def start(respond: Callable[[Received], Any], settings: Any = SHOP, suffix: str = "", **more: Any) -> Any:
        server = RecordingServer(respond).__enter__()
        nango = connected(tmp_path, f"{server.url}v1/{suffix}", settings, **more)
        opened.extend((server, nango))
        return nango.session("shop", "u0"), server

    yield start
    for each in reversed(opened):
        each.__exit__(None, None, None)
