"""One request, read whole and within bounds before anything is done for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import anyio
from starlette.requests import ClientDisconnect

from nango_py.errors import ConnectFailed
from nango_py.record import field, record
from nango_py.server.error_responses import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from nango_py.server.origins import PublicAddress

LARGEST_BODY = 65_536
BODY_SECONDS = 10.0
MOST_FIELDS = 64
DEEPEST_JSON = 32


@record
class ConnectRequest:
    """A request. Its repr shows neither body nor headers, which hold credentials.

    Attributes:
        names: the variable parts of the path.
        host: the Host header, which was found to be ours.
        site: the Sec-Fetch-Site header: how the page that sent the request stands to us, or "".
        cookies: by name.
        known: the If-None-Match header.
    """

    method: str
    names: Mapping[str, str]
    doors: PublicAddress
    host: str = field(repr=False)
    origin: str = field(repr=False)
    site: str = field(repr=False)
    content_type: str = field(repr=False)
    authorization: str = field(repr=False)
    cookies: Mapping[str, str] = field(repr=False)
    known: str
    query: str = field(repr=False)
    body: bytes = field(repr=False)

    def bearer(self) -> str:
        """The token of the Authorization header.

        Raises:
            ConnectFailed: there is none.
        """
        kind, _, token = self.authorization.partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise ConnectFailed("session_invalid", "this page needs the token of a connect session")
        return token.strip()

    def given(self) -> dict[str, str]:
        """The fields of the query or, for POST, of the form; each of them once.

        Raises:
            Refusal: it is no form, or a field stands there twice.
        """
        if self.method != "POST":
            return _pairs(self.query)
        if self.content_type != "application/x-www-form-urlencoded":
            raise Refusal(415, "wrong_type", "a form is expected: application/x-www-form-urlencoded")
        return _pairs(self.body.decode("utf-8", "replace"))

    def json(self) -> dict[str, Any]:
        """The JSON object in the body.

        Raises:
            Refusal: the body is something else.
        """
        if self.content_type != "application/json":
            raise Refusal(415, "wrong_type", "JSON is expected: application/json")
        try:
            value = json.loads(self.body)
            is_deep = _depth(value) > DEEPEST_JSON
        except (ValueError, RecursionError):
            value, is_deep = None, False
        if not isinstance(value, dict) or is_deep:
            raise Refusal(400, "bad_request", "the body is not a JSON object")
        return value


def _pairs(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        pairs = [("", ""), ("", "")]
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refusal(400, "bad_request", "a field was given twice, or there are too many")
    return found


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


async def read(request: Request, doors: PublicAddress) -> ConnectRequest:
    """The request with its body.

    Raises:
        Refusal: the body is too large, or came too slowly.
    """
    headers = request.headers
    return ConnectRequest(
        method=request.method,
        names=dict(request.path_params),
        doors=doors,
        host=headers.get("host", ""),
        origin=headers.get("origin", ""),
        site=headers.get("sec-fetch-site", ""),
        content_type=headers.get("content-type", "").partition(";")[0].strip().lower(),
        authorization=headers.get("authorization", ""),
        cookies=request.cookies,
        known=headers.get("if-none-match", ""),
        query=request.scope["query_string"].decode("latin-1"),
        body=await _body(request),
    )


async def _body(request: Request) -> bytes:
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length[:20]) > LARGEST_BODY:
        raise Refusal(413, "too_large", f"at most {LARGEST_BODY} bytes are accepted")
    parts = bytearray()
    with anyio.move_on_after(BODY_SECONDS) as limit:
        try:
            async for part in request.stream():
                parts += part
                if len(parts) > LARGEST_BODY:
                    break
        except ClientDisconnect:
            parts.clear()
    if limit.cancelled_caught:
        raise Refusal(408, "too_slow", "the request came too slowly")
    if len(parts) > LARGEST_BODY:
        raise Refusal(413, "too_large", f"at most {LARGEST_BODY} bytes are accepted")
    return bytes(parts)
