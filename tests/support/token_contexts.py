"""Contexts, keys and answers for tests of the auth modes."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from nango_py.protocols.token_exchange import TokenContext, TokenResponse
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = 1_800_000_000.0
APP = {"oauth_client_id": "app-id", "oauth_client_secret": "planted-app-secret"}
PLANTED = "planted"
"""Part of every secret in these tests, so that one search finds a leak of any."""


def a_context(
    mode: str = "OAUTH2",
    credentials: Mapping[str, Any] | None = None,
    *,
    app: Mapping[str, str] | None = None,
    scopes: tuple[str, ...] = (),
    config: Mapping[str, Any] | None = None,
    **settings: Any,
) -> TokenContext:
    """What a renewal of a connection is given."""
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


def a_response(body: Any = None, status: int = 200, **headers: str) -> TokenResponse:
    """A token endpoint's response: bytes as they are, text encoded, everything else as JSON."""
    if isinstance(body, str):
        body = body.encode()
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return TokenResponse(status, {name.replace("_", "-"): value for name, value in headers.items()}, data)


def renewed(context: TokenContext, *responses: TokenResponse) -> tuple[list[Any], dict[str, Any]]:
    """The requests of a renewal that is given these responses, and what it stores."""
    requests = []
    renewal = AUTH_MODES.get(context.settings["auth_mode"])().refresh(context)
    waiting = iter(responses)
    try:
        request = next(renewal)
        while True:
            requests.append(request)
            request = renewal.send(next(waiting))
    except StopIteration as end:
        return requests, end.value


def frames_of(error: BaseException) -> str:
    """What an error tracker would print of the program's own frames: every local variable of theirs."""
    shown, trace = [], error.__traceback__
    while trace is not None:
        if "nango_py" in trace.tb_frame.f_code.co_filename:
            shown.append(f"{trace.tb_frame.f_code.co_name}: {trace.tb_frame.f_locals!r}")
        trace = trace.tb_next
    return "\n".join(shown)


@functools.cache
def rsa_key() -> rsa.RSAPrivateKey:
    """A key that is made once."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    """A P-256 key that is made once."""
    return ec.generate_private_key(ec.SECP256R1())


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """A private key as PEM text."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
