"""A request, read completely and within limits before it is processed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import anyio
from starlette.requests import ClientDisconnect

from nango_py.connect.words import choose_words
from nango_py.errors import ConnectFailed
from nango_py.json_types import is_text_deeper_than
from nango_py.record import field, record
from nango_py.server.responses import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.datastructures import Headers
    from starlette.requests import Request

    from nango_py.connect.words import Words
    from nango_py.connections.connect_sessions import SessionClaims
    from nango_py.json_types import JsonObject, JsonValue
    from nango_py.server.origins import PublicAddress

MAX_BODY_BYTES = 65_536
BODY_SECONDS = 10.0
MAX_FIELDS = 64
MAX_JSON_DEPTH = 32


@record
class ConnectRequest:
    """A request with its body. The repr shows neither, because they hold credentials.

    Attributes:
        name: the `{name}` in the path, or "".
        is_data: whether its endpoint takes the session as a Bearer token and JSON, not as fields of a form.
    """

    method: str
    name: str
    is_data: bool
    address: PublicAddress
    headers: Headers = field(repr=False)
    cookies: Mapping[str, str] = field(repr=False)
    query: str = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def host(self) -> str:
        """The Host header, which is known to name this server."""
        return self.headers.get("host", "")

    def words(self, claims: SessionClaims | None = None) -> Words:
        """The words in the language of the session, or in the best of the browser's."""
        language = "" if claims is None else claims.language
        return choose_words(self.headers.get("accept-language", ""), language)

    def bearer(self) -> str:
        """The token in the Authorization header.

        Raises:
            ConnectFailed: there is none.
        """
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise ConnectFailed("session_invalid", "the token of a connect session is missing")
        return token.strip()

    def fields(self) -> dict[str, str]:
        """The fields of the form for POST, of the query otherwise.

        Raises:
            Refusal: the body is not a form, or a field is repeated.
        """
        if self.method != "POST":
            return _parse_fields(self.query)
        self._check_type("application/x-www-form-urlencoded")
        return _parse_fields(self.body.decode("utf-8", "replace"))

    def session_token(self) -> str:
        """The token of the connect session: a Bearer token, or a form's field; "" if the request has none."""
        return self.bearer() if self.is_data else self.fields().get("session", "")

    def config(self) -> JsonObject:
        """The settings that the user entered, not yet checked.

        Raises:
            Refusal: they are not a JSON object.
        """
        if self.is_data:
            value = self.json().get("additional_config") if self.body else None
        else:
            value = parse_json(self.fields().get("config") or "null")
        if value is not None and not isinstance(value, dict):
            raise Refusal(400, "bad_request", "config must be a JSON object")
        return value or {}

    def json(self) -> JsonObject:
        """The JSON object in the body.

        Raises:
            Refusal: the body is something else.
        """
        self._check_type("application/json")
        value = parse_json(self.body)
        if not isinstance(value, dict):
            what = f"the body must be a JSON object of at most {MAX_JSON_DEPTH} levels"
            raise Refusal(400, "bad_request", what)
        return value

    def _check_type(self, expected: str) -> None:
        content_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != expected:
            raise Refusal(415, "wrong_type", f"the Content-Type must be {expected}")


def _parse_fields(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Refusal(400, "bad_request", f"more than {MAX_FIELDS} fields") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Refusal(400, "bad_request", "a field is repeated")
    return fields


def parse_json(text: str | bytes) -> JsonValue:
    """A JSON value; None if it is invalid or too deep."""
    content = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if is_text_deeper_than(content, MAX_JSON_DEPTH):
        return None
    try:
        value: JsonValue = json.loads(text)
    except ValueError:
        return None
    return value


async def read_request(request: Request, address: PublicAddress, *, is_data: bool) -> ConnectRequest:
    """The request with its body; for `is_data` see `ConnectRequest`.

    Raises:
        Refusal: the body is too large, incomplete, or arrives too slowly.
    """
    return ConnectRequest(
        method=request.method,
        name=request.path_params.get("name", ""),
        is_data=is_data,
        address=address,
        headers=request.headers,
        cookies=parse_cookies(request.headers),
        query=request.scope["query_string"].decode("latin-1"),
        body=await _read_body(request),
    )


def parse_cookies(headers: Headers) -> dict[str, str]:
    """The cookies by their exact names (RFC 6265 section 4.2).

    Starlette leaves out white space of ISO-8859-1 around a name, so that a page of a sibling domain could
    set a cookie that counts as one with the prefix `__Host-`, which browsers let only this host set.
    """
    parts = (part.strip(" \t") for line in headers.getlist("cookie") for part in line.split(";"))
    return {name: value for name, _, value in (part.partition("=") for part in parts)}


async def _read_body(request: Request) -> bytes:
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > MAX_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    with anyio.move_on_after(BODY_SECONDS) as limit:
        try:
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    raise _too_large()
        except ClientDisconnect:
            raise Refusal(400, "bad_request", "the body is incomplete") from None
    if limit.cancelled_caught:
        raise Refusal(408, "too_slow", f"the request took longer than {BODY_SECONDS:g} seconds")
    return bytes(body)


def _too_large() -> Refusal:
    return Refusal(413, "too_large", f"the body may have at most {MAX_BODY_BYTES} bytes")
