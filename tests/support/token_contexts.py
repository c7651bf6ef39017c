"""Contexts, keys and token responses for tests of the auth modes."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from nango_py.protocols.token_exchange import TokenContext, TokenRequest, TokenResponse
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = 1_800_000_000.0
APP = {"oauth_client_id": "app-id", "oauth_client_secret": "planted-app-secret"}
PLANTED = "planted"
"""Part of every secret in these tests, so that one search finds a leak of any."""
STORED = {"access_token": "planted-old-access", "refresh_token": "planted-old-refresh"}
GRANT = {"access_token": "planted-new-access", "token_type": "Bearer", "expires_in": 3600}
TOKEN_URL = "https://id.example.test/token"


def make_context(
    mode: str = "OAUTH2",
    credentials: Mapping[str, Any] | None = None,
    *,
    app: Mapping[str, str] | None = None,
    scopes: tuple[str, ...] = (),
    config: Mapping[str, Any] | None = None,
    **settings: Any,
) -> TokenContext:
    """The context of a token request for a connection."""
    held = dict(credentials or {})
    app = APP if app is None else app
    variables = {
        **app,
        **AUTH_MODES.get(mode)().variables_of(held),
        "additional_config": dict(config or {}),
        "raw": held.get("raw", {}),
    }
    urls = {
        "token_url": "https://id.example.test/token",
        "authorization_url": "https://id.example.test/authorize",
    }
    return TokenContext(
        settings={"auth_mode": mode, **urls, **settings},
        credentials=held,
        app=app,
        scopes=scopes,
        variables=variables,
        now=NOW,
        place="shop/user-1",
    )


def make_response(body: Any = None, status: int = 200, **headers: str) -> TokenResponse:
    """A token endpoint's response: bytes as they are, text encoded, everything else as JSON."""
    if isinstance(body, str):
        body = body.encode()
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return TokenResponse(status, {name.replace("_", "-"): value for name, value in headers.items()}, data)


def run_refresh(context: TokenContext, *responses: TokenResponse) -> tuple[list[Any], dict[str, Any]]:
    """Run a refresh with these responses; its requests, and the credentials to store."""
    requests = []
    refresh = AUTH_MODES.get(context.settings["auth_mode"])().refresh(context)
    waiting = iter(responses)
    try:
        request = next(refresh)
        while True:
            requests.append(request)
            request = refresh.send(next(waiting))
    except StopIteration as end:
        return requests, end.value


def frames_of(error: BaseException) -> str:
    """Every local variable of the frames of nango_py, as an error tracker would print them."""
    shown, trace = [], error.__traceback__
    while trace is not None:
        if "nango_py" in trace.tb_frame.f_code.co_filename:
            shown.append(f"{trace.tb_frame.f_code.co_name}: {trace.tb_frame.f_locals!r}")
        trace = trace.tb_next
    return "\n".join(shown)


@functools.cache
def rsa_key() -> rsa.RSAPrivateKey:
    """One key for all tests."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    """One P-256 key for all tests."""
    return ec.generate_private_key(ec.SECP256R1())


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """A private key as PEM text."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def read_form(request: TokenRequest) -> dict[str, str]:
    """The form in a request's body."""
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    pairs = parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def read_assertion(token: str) -> dict[str, Any]:
    """The claims of a JWT that `rsa_key` signed for the token endpoint."""
    unchecked = {"verify_exp": False, "verify_iat": False}
    claims: dict[str, Any] = jwt.decode(
        token, rsa_key().public_key(), algorithms=["RS256"], audience=TOKEN_URL, options=unchecked
    )
    return claims


def refresh_with(response: Any, **settings: Any) -> dict[str, Any]:
    """The stored credentials after a refresh with this response."""
    return run_refresh(make_context(credentials=STORED, **settings), response)[1]


class RecordingSession:
    """The part of requests.Session that Authlib's client needs; records requests instead of sending them."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, dict[str, Any]]] = []

    def post(self, url: str, *, data: Any, headers: dict[str, str], auth: Any, **_: Any) -> RecordingSession:
        """Record the request after Authlib's client authentication, and return a token."""
        url, headers, body = auth.prepare("POST", url, dict(headers), urlencode(data))
        self.sent.append(("POST", url, {"headers": headers, "body": body}))
        return self

    status_code = 200

    def raise_for_status(self) -> None:
        """Accept the response."""

    def json(self) -> dict[str, Any]:
        """A token response."""
        return dict(GRANT)
