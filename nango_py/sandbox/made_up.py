"""Made-up credentials and settings, for tests without real ones."""

from __future__ import annotations

import random
import zlib
from typing import TYPE_CHECKING

from nango_py.registry import AUTH_MODES
from nango_py.sandbox.expressions import unwrap
from nango_py.sandbox.records import vary_characters

if TYPE_CHECKING:
    from nango_py.json_types import Settings

_DEFAULT_ALGORITHM = "RS256"
_NOT_MADE_UP = frozenset({"expires_at", "expires_in", "raw", "token_type", "scope", "session_token"})


def make_credentials(settings: Settings, user: str) -> dict[str, object]:
    """Credentials of the blueprint's auth mode, unlike those of every other user.

    They have the form of the blueprint's examples. Tokens that the mode fetches or makes are left out.
    """
    auth: Settings = settings.get("auth") or {}
    mode = AUTH_MODES.get(unwrap(auth.get("auth_mode") or "NONE"))
    generator = random.Random(zlib.crc32(user.encode()))  # noqa: S311 - they are made up
    fetched = {mode.token_variable, "refresh_token"} if mode.token_variable else set()
    made: dict[str, object] = {}
    for field, schema in mode.credentials_schema.get("properties", {}).items():
        if field in _NOT_MADE_UP or field in fetched or schema.get("type") not in {None, "string"}:
            continue
        example = _example_of(settings, field) or mode.example_credentials.get(field)
        if field == "private_key":
            made[field] = make_private_key(_algorithm_of(auth))
        elif isinstance(example, str):
            made[field] = vary_characters(example, generator)
    return made


def make_app_settings(settings: Settings) -> dict[str, str]:
    """The app's id and secret, if the auth mode needs them and the settings have none."""
    auth: Settings = settings.get("auth") or {}
    mode = AUTH_MODES.get(unwrap(auth.get("auth_mode") or "NONE"))
    names = [name for name in mode.required_app_settings if not settings.get(name)]
    signs = unwrap(auth.get("signature_method") or "") == "RSA-SHA1" or "oauth_client_secret" in unwrap(
        (auth.get("assertion") or {}).get("signing_key") or ""
    )
    if mode.name == "OAUTH2_JWT" and signs:
        names = [name for name in ("oauth_client_id", "oauth_client_secret") if not settings.get(name)]
    made = {name: f"sandbox_{name}" for name in names}
    if signs and "oauth_client_secret" in made:
        made["oauth_client_secret"] = make_private_key(_algorithm_of(auth))
    return made


def make_private_key(algorithm: str) -> str:
    """A new key in PEM format, or a shared secret, that signs with this algorithm."""
    if algorithm.startswith("HS"):
        return "sandbox_shared_secret_of_sufficient_length_for_hs512_signatures_"
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    if algorithm.startswith("ES"):
        key = ec.generate_private_key(ec.SECP256R1() if algorithm == "ES256" else ec.SECP384R1())
    elif algorithm == "EdDSA":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _algorithm_of(auth: Settings) -> str:
    declared: Settings = auth.get("assertion") or auth.get("jwt") or {}
    return unwrap(declared.get("algorithm") or _DEFAULT_ALGORITHM)


def _example_of(settings: Settings, field: str) -> object:
    """The blueprint's example of a credential."""
    declared: Settings = (settings.get("credentials") or {}).get(field) or {}
    if declared.get("example"):
        return unwrap(declared["example"])
    for example in settings.get("examples") or ():
        found = (example.get("credentials") or {}).get(field)
        if found:
            return found
    return None
