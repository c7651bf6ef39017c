"""Files of a sandbox on another host, to which the API redirects without credentials."""

from __future__ import annotations

import re
import secrets
import threading
from typing import TYPE_CHECKING
from urllib.parse import quote

from nango_py.record import record
from nango_py.sandbox.ledger import Ledger, Received
from nango_py.sandbox.responses import SandboxResponse

if TYPE_CHECKING:
    from nango_py.clock import Clock
    from nango_py.sandbox.faults import Fault
    from nango_py.sandbox.http_socket import Request
    from nango_py.sandbox.uploads import Uploads

_LIFETIME_SECONDS = 300.0
_RANGE = re.compile(r"bytes=(\d+)-")
_UPLOADS = "/uploads/"
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie"})


@record
class _File:
    content: bytes
    content_type: str
    ends: float


class FileHost:
    """Serves files at signed URLs for five minutes. Thread-safe.

    A request with a credential or a body is refused, as by storage services, and so is one with an unknown or
    expired signature. `Range` and `ETag` are supported.

    Args:
        secret_headers: the headers of the API's credentials, in lower case.
        clock: the time.
        uploads: those of the API; pieces of files are received below /uploads/.

    Attributes:
        ledger: the received requests.
        origin: of the URLs.
    """

    def __init__(self, secret_headers: frozenset[str], clock: Clock, uploads: Uploads) -> None:
        self._uploads = uploads
        self._secret_headers = secret_headers | _CREDENTIALS
        self._clock = clock
        self._files: dict[str, _File] = {}
        self._lock = threading.Lock()
        self.ledger = Ledger()
        self.origin = ""

    def sign(self, name: str, content: bytes, content_type: str) -> str:
        """A URL of a file, valid from now."""
        signature = secrets.token_urlsafe(16)
        with self._lock:
            ends = self._clock.monotonic() + _LIFETIME_SECONDS
            self._files[signature] = _File(content, content_type, ends)
        return f"{self.origin}/{quote(name)}?signature={signature}"

    def upload_url(self, name: str) -> str:
        """The URL for the pieces of an upload."""
        return f"{self.origin}{_UPLOADS}{name}"

    def choose_fault(self, request: Request) -> Fault | None:
        """No fault."""
        request.at = self._clock.monotonic()
        return None

    def respond(self, request: Request, fault: Fault | None) -> SandboxResponse:
        """The file, or a refusal."""
        path, _, query = request.target.partition("?")
        response = self._find(request, query.removeprefix("signature="))
        number = len(self.ledger) + 1
        status, endpoint = response.status, path.lstrip("/")
        self.ledger.add(Received.of(request, number, endpoint, status=status, processed=False))
        return response

    def _find(self, request: Request, signature: str) -> SandboxResponse:
        has_credential = any(name in self._secret_headers for name, _ in request.headers)
        if request.target.startswith(_UPLOADS) and not has_credential:
            name, content_range = request.target.removeprefix(_UPLOADS), request.header("content-range") or ""
            received = self._uploads.receive(name, request.method, content_range, request.body)
            return SandboxResponse(404) if received is None else received
        if has_credential or (request.body and request.method in {"GET", "HEAD"}):
            return SandboxResponse.of(text="only one authentication is allowed", status=400)
        if request.method not in {"GET", "HEAD"}:
            return SandboxResponse.of(text="only GET", status=405)
        with self._lock:
            file = self._files.get(signature)
        if file is None or self._clock.monotonic() > file.ends:
            return SandboxResponse.of(text="the signature is wrong or has expired", status=403)
        headers = {"Content-Type": file.content_type, "ETag": f'"{signature}"', "Accept-Ranges": "bytes"}
        part = _RANGE.fullmatch(request.header("range") or "")
        if part is None or int(part[1]) >= len(file.content):
            return SandboxResponse(200, tuple(headers.items()), file.content)
        start, total = int(part[1]), len(file.content)
        headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
        return SandboxResponse(206, tuple(headers.items()), file.content[start:])
