"""Requests to the login pages and token endpoints of a sandbox."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_plus

from nango_py.record import field, record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.sandbox.http_socket import Request

_FORM = "application/x-www-form-urlencoded"


class RefusedError(Exception):
    """A refusal of a token endpoint: an error code of RFC 6749 section 5.2, and the reason."""

    def __init__(self, code: str, reason: str, *, status: int = 400, ends_grant: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.status = status
        self.ends_grant = ends_grant


@record
class LoginRequest:
    """A request to one of these endpoints.

    Attributes:
        path: below the endpoint.
        url: complete, with the query.
        query: its parameters.
        headers: by lower-case name.
    """

    method: str
    path: str
    url: str
    query: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @classmethod
    def of(cls, request: Request, origin: str, path: str) -> LoginRequest:
        """The request, as it was received."""
        query = request.target.partition("?")[2]
        return cls(
            request.method,
            path,
            origin + request.target,
            dict(parse_qsl(query, keep_blank_values=True)),
            dict(request.headers),
            request.body,
        )

    def form(self) -> dict[str, str]:
        """The body as a form; {} if it is something else."""
        if self.headers.get("content-type", "").partition(";")[0].strip() != _FORM:
            return {}
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    def params(self, body_format: str) -> dict[str, str]:
        """The parameters, from the only place where the blueprint puts them.

        Raises:
            RefusedError: they are not there.
        """
        if body_format == "query" or self.method == "GET":
            return dict(self.query)
        if body_format == "json":
            try:
                found = json.loads(self.body or b"{}")
            except ValueError:
                found = None
            if not isinstance(found, dict):
                raise RefusedError("invalid_request", "the body must be a JSON object")
            return {
                name: value if isinstance(value, str) else json.dumps(value) for name, value in found.items()
            }
        params = self.form()
        if self.body and not params:
            raise RefusedError("invalid_request", "the body must be a form")
        return params

    def basic_credentials(self) -> tuple[str, str] | None:
        """Id and secret of a Basic header, form-decoded as in RFC 6749 section 2.3.1."""
        scheme, _, text = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, colon, secret = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        return (unquote_plus(name), unquote_plus(secret)) if colon else None
