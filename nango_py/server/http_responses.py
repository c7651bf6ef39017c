"""From what a route found out to the response that a browser or script gets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.server.error_responses import Refusal
    from nango_py.server.login_pages import Pages
    from nango_py.server.static_files import StaticFile

FOREVER = "public, max-age=31536000, immutable"
CHECKED = "no-cache"


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON document."""
    text = json.dumps(value, separators=(",", ":"))
    return Response(text.encode(), status, dict(headers or {}), "application/json")


def html_response(text: str | bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A page."""
    content = text.encode("utf-8", "replace") if isinstance(text, str) else text
    return Response(content, status, {"Content-Type": "text/html; charset=utf-8", **(headers or {})})


def redirect(url: str) -> Response:
    """The way to another server, by GET whatever came in."""
    return Response(b"", 303, {"Location": url})


def file_response(found: StaticFile, *, asked_version: str, has_it: bool) -> Response:
    """A static file: kept for good under the address with its version, else asked about each time."""
    headers = {
        "Content-Type": found.content_type,
        "Cache-Control": FOREVER if asked_version == found.version else CHECKED,
        "ETag": f'"{found.version}"',
    }
    return Response(b"", 304, headers) if has_it else Response(found.content, 200, headers)


def json_refusal(refusal: Refusal) -> Response:
    """A refusal for scripts."""
    error: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
    if refusal.fields:
        error["fields"] = refusal.fields
    return json_response({"error": error}, refusal.status, refusal.headers)


def html_refusal(refusal: Refusal, pages: Pages) -> Response:
    """A refusal for people."""
    return html_response(pages.missing(refusal.message, refusal.code), refusal.status, refusal.headers)
