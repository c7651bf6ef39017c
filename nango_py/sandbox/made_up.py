"""Made-up credentials and settings, for tests without real ones."""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nango_py.registry import AUTH_MODES
from nango_py.sandbox.expressions import is_template, names_of, pieces, unwrap
from nango_py.sandbox.records import vary_characters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.json_types import JsonValue, Settings

_DEFAULT_ALGORITHM = "RS256"
_VALUES = {
    "database_url": "sqlite:///:memory:",
    "rate_limit_store": "memory",
    "oauth_server_root_url": "http://localhost:3003",
}
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
    own: dict[str, Settings] = {
        name: {} for name, options in (settings.get("credentials") or {}).items() if "secret" in options
    }
    for field, schema in {**own, **mode.credentials_schema.get("properties", {})}.items():
        if field in _NOT_MADE_UP or field in fetched or schema.get("type") not in {None, "string"}:
            continue
        example = _example_of(settings, field) or mode.example_credentials.get(field)
        example = f"{field}_test_1234" if example is None and field in own else example
        if field == "private_key":
            made[field] = make_private_key(_algorithm_of(auth))
        elif isinstance(example, str):
            # A certificate is not compared: the sandbox has no TLS.
            made[field] = example if schema.get("multiline") else vary_characters(example, generator)
    return made


def make_config(settings: Settings) -> dict[str, object]:
    """Valid `additional_config` of a connection, from the first example, with what the schema requires."""
    declared: Settings = settings.get("connection_config") or {}
    config: dict[str, object] = {}
    for example in settings.get("examples") or ():
        if example.get("additional_config"):
            config = dict(example["additional_config"])
            break
    missing = [name for name in declared.get("required") or () if name not in config]
    return {**config, **{name: made_up_setting(settings, name) for name in missing}}


def made_up_setting(settings: Settings, name: str) -> JsonValue:
    """A value of `additional_config`, from the blueprint's examples or its schema."""
    for example in settings.get("examples") or ():
        found = (example.get("additional_config") or {}).get(name)
        if found is not None:
            return unwrap(found) if isinstance(found, str) else found
    schema = ((settings.get("connection_config") or {}).get("properties") or {}).get(name) or {}
    if schema.get("default") is not None:
        value: JsonValue = schema["default"]
        return value
    for key in ("enum", "examples"):
        if schema.get(key):
            choice: JsonValue = schema[key][0]
            return choice
    return "https://sandbox.example.com" if schema.get("format") == "origin" else "sandbox"


def make_environment(file: Settings) -> dict[str, str]:
    """A value for each environment variable that an integrations.yaml names without a default.

    Stores are in memory, URLs lead to this machine, and other values are texts that fit into a host name.
    """
    found: dict[str, str] = {}
    for path, text in _texts_of(file, ()):
        for expression in pieces(text)[1::2]:
            for name in names_of(expression):
                if name.isupper() and "default" not in expression:
                    found.setdefault(name, _value_for(name, path))
    return found


def _value_for(name: str, path: tuple[str, ...]) -> str:
    key = path[-1] if path else ""
    if path[:1] == ("config",) and key in _VALUES:
        return _VALUES[key]
    if name.endswith("_URL") and key != "base_url":
        return "http://127.0.0.1:3003"
    return f"sandbox-{name.lower().replace('_', '-')}"


def _texts_of(value: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts_of(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_of(item, path)
    elif isinstance(value, str) and is_template(value):
        yield path, value


def make_app_settings(settings: Settings) -> dict[str, object]:
    """The app's id and secret, and its other credentials, if they are needed and the settings have none."""
    auth: Settings = settings.get("auth") or {}
    mode = AUTH_MODES.get(unwrap(auth.get("auth_mode") or "NONE"))
    names = [name for name in mode.required_app_settings if not settings.get(name)]
    assertion: Settings = auth.get("assertion") or auth.get("saml_assertion") or {}
    signs = unwrap(auth.get("signature_method") or "") == "RSA-SHA1" or "oauth_client_secret" in unwrap(
        assertion.get("signing_key") or ""
    )
    if mode.name in {"OAUTH2_JWT", "OAUTH2_SAML"} and signs:
        names = [name for name in ("oauth_client_id", "oauth_client_secret") if not settings.get(name)]
    made: dict[str, object] = {name: f"sandbox_{name}" for name in names}
    given = settings.get("app") or {}
    missing = [name for name in settings.get("app_credentials") or {} if not given.get(name)]
    if missing:
        made["app"] = {**given, **{name: f"sandbox_{name}" for name in missing}}
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
