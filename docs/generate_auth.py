"""Writes docs/auth.md from the auth modes themselves; a test fails when it is stale.

Run it after a change of a mode: `python docs/generate_auth.py`.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from nango_py.registry import AUTH_MODES

PAGE = Path(__file__).parent / "auth.md"
HEAD = """\
# Auth modes

Written by `docs/generate_auth.py` from the modes themselves. A blueprint names its mode under
`auth: {auth_mode: ...}` and says with variables where the credential goes; see [blueprints](blueprints.md).
`register_connection` takes the credentials.

Tokens that end are renewed: before they end, and once in a call that is answered 401. Any number of threads,
processes and machines renew one connection once, and the new token is stored before anybody uses it. A final
refusal marks the connection `needs_reauth` and raises `CredentialsError`: the user has to log in again, and
the new login, or `register_connection(..., replace=True)`, makes it active again. A token endpoint that fails
otherwise is tried again later, and the old token is used while it lives. Where there is no token yet, the
first call fetches one. Modes that sign do so for each attempt, and a client certificate is presented on
connections of its own. [Security](security.md) has the rest.

Users of OAUTH2 and OAUTH1 log in on the provider's own page: from the [connect server](connect.md), or from
this machine's browser with `nango connections connect`. [Recipes](auth-recipes.md) show what login pages may
need.
"""

MEANINGS = {
    "access_token": "the token",
    "algorithm": "how it is signed",
    "assertion": "what is signed, and by which key",
    "assertion_placement": "where it goes in the token call",
    "authorization_method": "how your application says who it is at the token call",
    "authorization_params": "more parameters for the login page",
    "authorization_url": "the login page that the user's browser is sent to",
    "body_format": "how the token call is written",
    "callback_per_integration": "whether the redirect URI ends in the integration's name",
    "client_assertion": "for `private_key_jwt`: what is signed, and by which key",
    "expires_at": "when the token ends: a datetime, ISO 8601 or unix seconds",
    "expires_in": "seconds from now until the token ends",
    "expires_at_path": "JMESPath to the moment at which the token ends",
    "expires_in_path": "JMESPath to the time after which the token ends",
    "expires_in_unit": "what that time is counted in",
    "issuer": "who sends the callback: its `iss` has to be this, to the letter (RFC 9207)",
    "keep_from_response": "name to JMESPath: what of the first response goes into additional_config",
    "keep_from_callback": "parameters of the redirect that go into additional_config",
    "pkce": "whether the login uses PKCE (RFC 7636)",
    "raw": "the token endpoint's whole response, for `${raw.team.id}`",
    "realm": "the realm of the Authorization header",
    "refresh_params": "parameters of the call that renews a token",
    "refresh_token": "what renews it",
    "refresh_token_path": "JMESPath to the refresh token",
    "refresh_url": "where a token is renewed; `token_url` unless given",
    "region": "the region of the signature",
    "request_http_method": "of the call for a request token",
    "request_params": "of the call for a request token",
    "request_url": "where a request token is had",
    "requires_issuer": "whether a callback without `iss` is refused too",
    "revocation_url": "where a token is withdrawn (RFC 7009)",
    "scope": "what the token allows",
    "scope_aliases": "scope to the name under which the provider says that it was granted",
    "scope_separator": "what stands between scopes; a blank unless given",
    "service": "the service of the signature",
    "signature_method": "how requests are signed",
    "token_headers": "more headers of the token call",
    "token_http_method": "of the token call",
    "token_lifetime_seconds": "how long a token lives where the response does not say",
    "token_method": "of the token call",
    "token_params": "more parameters of the token call",
    "token_path": "JMESPath to the token",
    "token_type": "as the token endpoint said it",
    "token_url": "where a token is had",
}
"""What a key means, where its schema has no title. A key means the same in every mode."""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_section(name, mode) for name, mode in AUTH_MODES.all().items())


def _section(name: str, mode: Any) -> str:
    schema = mode.credentials_schema
    parts = [f"\n## `{name}`\n\n{mode.title}. {_prose(mode)}\n"]
    parts.append(_table("credential", schema["properties"], schema.get("required", ())))
    parts.append(_table("key of `auth:`", mode.settings_schema, mode.required_settings))
    if mode.required_app_settings:
        wanted = ", ".join(f"`{key}`" for key in mode.required_app_settings)
        may_be_public = "authorization_method" in mode.settings_schema
        public = "; with `authorization_method: none` no secret" if may_be_public else ""
        parts.append(f"\n`integrations.yaml` must give {wanted}{public}.\n")
    names = ", ".join(f"`{variable}`" for variable in mode.variables)
    parts.append(f"\nVariables: {names or 'none of its own'}.\n")
    return "".join(parts)


def _prose(mode: Any) -> str:
    """The class's own words, as one paragraph."""
    return " ".join(inspect.cleandoc(mode.__doc__).split())


def _table(head: str, properties: dict[str, Any], required: Any) -> str:
    if not properties:
        return ""
    rows = "".join(
        f"| `{key}` | {_meaning(key, schema)}{'; required' if key in required else ''} |\n"
        for key, schema in properties.items()
    )
    return f"\n| {head} | |\n|---|---|\n{rows}"


def _meaning(key: str, schema: dict[str, Any]) -> str:
    words = [MEANINGS.get(key) or _lowered(schema.get("title", ""))]
    if "enum" in schema:
        words.append("one of " + ", ".join(f"`{value}`" for value in schema["enum"]))
    elif schema.get("type") == "array":
        words.append("a list")
    elif "properties" in schema:
        words.append("a mapping with " + "; ".join(_inner(*each) for each in schema["properties"].items()))
    elif schema.get("type") == "object" and key != "raw":
        words.append("a mapping")
    return ": ".join(word for word in words if word).replace("|", "&#124;")


def _inner(key: str, schema: dict[str, Any]) -> str:
    title = MEANINGS.get(key) if key == "algorithm" else _lowered(schema.get("title", ""))
    values = ", ".join(f"`{value}`" for value in schema.get("enum", ()))
    told = ": ".join(word for word in (title, values) if word)
    return f"`{key}` ({told})" if told else f"`{key}`"


def _lowered(title: str) -> str:
    """A title inside a sentence; words in capitals stay."""
    return title[:1].lower() + title[1:] if title[1:2].islower() or title[1:2] == " " else title


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
