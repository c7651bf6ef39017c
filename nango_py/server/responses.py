"""Responses for browsers and scripts, and what an error response may reveal."""

from __future__ import annotations

import json
import logging
import secrets
import traceback
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response

from nango_py.errors import ConnectFailed, NangoError, StorageError, TamperError, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nango_py.connect.words import Words
    from nango_py.server.login_pages import Pages
    from nango_py.server.static_files import StaticFile

LOGGER = logging.getLogger("nango_py.server")

IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"


class Refusal(Exception):
    """An error response. Everything in it may be shown to the client."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})
        self.fields = dict(fields or {})
        super().__init__(code)


def make_refusal(error: Exception) -> Refusal:
    """The error response for an exception. An unexpected one is only referred to; the log has the details."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, ConnectFailed):
        headers = {"WWW-Authenticate": "Bearer"} if error.status == HTTPStatus.UNAUTHORIZED else {}
        return Refusal(error.status, error.code, str(error), headers=headers, fields=error.fields)
    if isinstance(error, HTTPException):
        return _make_routing_refusal(error)
    reference = secrets.token_hex(6)
    LOGGER.error("mistake %s: %s", reference, _describe(error))
    if isinstance(error, StorageError) and not isinstance(error, TamperError):
        message = f"The service is temporarily unavailable. Please try again later. Reference: {reference}"
        return Refusal(503, "unavailable", message)
    return Refusal(500, "mistake", f"Something went wrong on our side. Reference: {reference}")


def _make_routing_refusal(error: HTTPException) -> Refusal:
    """What Starlette refuses: unknown paths, and methods that a path does not support."""
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allow = list_methods((error.headers or {}).get("Allow", "").split(", "))
        return Refusal(405, "wrong_method", "method not allowed", headers={"Allow": allow})
    return Refusal(404, "not_found", "page not found")


def list_methods(methods: Iterable[str]) -> str:
    """The value of an Allow header."""
    return ", ".join(sorted(methods))


def _describe(error: Exception) -> str:
    """The type of an error and where it was raised, for the log.

    The text of a foreign exception may contain anything, so it is left out; our own errors hold no secret.
    """
    text = f": {printable(str(error), 500)}" if isinstance(error, NangoError) else ""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = ", ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__}{text}" + (f" ({places})" if places else "")


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON document."""
    text = json.dumps(value, separators=(",", ":"))
    return Response(text.encode(), status, dict(headers or {}), "application/json")


def html_response(text: str | bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A page."""
    content = text.encode("utf-8", "replace") if isinstance(text, str) else text
    return Response(content, status, {"Content-Type": "text/html; charset=utf-8", **(headers or {})})


def redirect(url: str) -> Response:
    """A redirect that is always followed with GET."""
    return Response(b"", 303, {"Location": url})


def file_response(file: StaticFile, *, requested_version: str, is_cached: bool) -> Response:
    """A static file: immutable at a URL with its version, revalidated each time at any other."""
    headers = {
        "Content-Type": file.content_type,
        "Cache-Control": IMMUTABLE if requested_version == file.version else REVALIDATE,
        "ETag": f'"{file.version}"',
    }
    return Response(b"", 304, headers) if is_cached else Response(file.content, 200, headers)


def json_refusal(refusal: Refusal) -> Response:
    """An error for scripts."""
    error: dict[str, object] = {"code": refusal.code, "message": refusal.message}
    if refusal.fields:
        error["fields"] = refusal.fields
    return json_response({"error": error}, refusal.status, refusal.headers)


def html_refusal(refusal: Refusal, pages: Pages, words: Words) -> Response:
    """An error page."""
    return html_response(pages.error(refusal.message, refusal.code, words), refusal.status, refusal.headers)
