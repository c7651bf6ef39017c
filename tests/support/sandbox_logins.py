"""Products whose integration is led to its sandbox, with logins and tokens."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from nango_py import Nango, Sandbox
from nango_py.config.yaml.document import load_document
from nango_py.connect.login import Logins
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.connect.outcome import LoginOutcome

FOLDER = Path(__file__).resolve().parents[2] / "blueprints"
APP = {"oauth_client_id": "client_test", "oauth_client_secret": "client_secret_test"}
MAIL: dict[str, Any] = {
    "auth": {
        "auth_mode": "OAUTH2",
        "authorization_url": "https://login.mail.test/authorize",
        "token_url": "https://login.mail.test/token",
        "revocation_url": "https://login.mail.test/revoke",
    },
    "requests": {
        "base_url": "https://api.mail.test/v1/",
        "headers": {"Authorization": "Bearer ${access_token}"},
    },
    "verification": {"path": "me"},
    **APP,
}


def extended(path: Path) -> dict[str, Any]:
    """An integration of a shipped blueprint, with an app if it needs one."""
    document: Any = load_document(path).data
    own = {name: f"app_{name}" for name in document.get("app_credentials") or ()}
    entry = {"extends_blueprint": ":".join(path.stem.rsplit(".", 1)), **({"app": own} if own else {})}
    return {**entry, **({} if path.stem in {"github-app.v0", "mcp.v0", "workday.v1"} else APP)}


def open_nango(settings: dict[str, Any], **options: Any) -> Nango:
    """A product with one integration, `it`."""
    return Nango(
        {"it": settings}, blueprints=FOLDER, database_url="sqlite:///:memory:",
        encryption_keys=ENCRYPTION_KEY, environ={}, **options,
    )  # fmt: skip


@contextlib.contextmanager
def product(
    settings: dict[str, Any], *, clock: Any = None, sandbox: dict[str, Any] | None = None
) -> Iterator[tuple[Nango, Sandbox]]:
    """A product whose integration `it` is led to its sandbox, with logins and all."""
    timed = {} if clock is None else {"clock": clock}
    with open_nango(settings) as declared:
        merged = declared.configuration.integrations["it"].settings
    with (
        Sandbox(merged, strict=False, **timed, **(sandbox or {})) as api,
        open_nango(settings, overrides={"it": api.overrides}, **timed) as nango,
    ):
        yield nango, api


def finish(nango: Nango, callback: str) -> LoginOutcome:
    """The outcome of a login, for its callback."""
    return Logins(nango.accounts).finish(dict(parse_qsl(urlsplit(callback).query)), "")


def begin(nango: Nango, user: str = "ada", **more: Any) -> str:
    """The URL of the login page."""
    return Logins(nango.accounts).begin("it", user, **more)


def log_in(nango: Nango, api: Sandbox, user: str = "ada", **more: Any) -> LoginOutcome:
    """Log a user in, from the click to the stored connection."""
    return finish(nango, api.log_in(begin(nango, user, **more), user))


@functools.cache
def rsa_pem(_name: str = "") -> str:
    """An RSA key for each name."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return pem_of(rsa.generate_private_key(65537, 2048))


def pem_of(key: Any) -> str:
    """A private key as text."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def key_for(algorithm: str, secret: str = "a shared") -> str:
    """A key that fits an algorithm."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if algorithm.startswith("HS"):
        return f"{secret} secret of sufficient length for tests, and then some"
    if algorithm.startswith("ES"):
        return pem_of(ec.generate_private_key(ec.SECP256R1() if algorithm == "ES256" else ec.SECP384R1()))
    return pem_of(ed25519.Ed25519PrivateKey.generate()) if algorithm == "EdDSA" else rsa_pem(secret)
