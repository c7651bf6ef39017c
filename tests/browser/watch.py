"""Notes what pages do that pages should not do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Request, WebError


class Watch:
    """The complaints about the pages of some browser contexts.

    Attributes:
        complaints: in their order.
        requests: the method and URL of each request, as it goes over the wire, to whatever host.
    """

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.requests: list[tuple[str, str]] = []
        self._expected: list[str] = []

    def over(self, context: BrowserContext) -> None:
        """Watch the pages of a context, popups and frames included."""
        context.on("console", self._console)
        context.on("weberror", self._error)
        context.on("request", self._request)
        context.on("dialog", self._dialog)

    def expect(self, *patterns: str) -> None:
        """Complaints that match one of these regular expressions belong to the test."""
        self._expected += patterns

    def unexpected(self) -> list[str]:
        """The complaints that the test did not expect."""
        return [said for said in self.complaints if not any(re.search(p, said) for p in self._expected)]

    def _console(self, message: ConsoleMessage) -> None:
        # Chromium reports what a Content-Security-Policy forbade as an error too.
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text} at {message.location.get('url')}")

    def _error(self, error: WebError) -> None:
        self.complaints.append(f"thrown: {error.error}")

    def _dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"{dialog.type}: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        self.requests.append((request.method, request.url.partition("#")[0]))
        address = urlsplit(request.url)
        host = address.hostname or ""
        is_here = host in {"127.0.0.1", "localhost"} or host.endswith(".localhost")
        if address.scheme in {"http", "https", "ws", "wss", "ftp"} and not is_here:
            self.complaints.append(f"left the machine: {request.url}")
