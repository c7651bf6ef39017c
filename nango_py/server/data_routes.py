"""What the connect page and scripts ask for: JSON, with the session token in the Authorization header."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nango_py.errors import ConnectFailed
from nango_py.server.error_responses import Refusal
from nango_py.server.http_responses import json_response

if TYPE_CHECKING:
    from starlette.responses import Response

    from nango_py.server.request import ConnectRequest
    from nango_py.server.site import Site


def session(site: Site, asked: ConnectRequest) -> Response:
    """What the user may connect, and how each of them stands."""
    from nango_py.connect.listing import list_integrations

    return json_response(list_integrations(site.accounts, site.claims(asked.bearer())))


def connect(site: Site, asked: ConnectRequest) -> Response:
    """Check credentials that were typed, and store them."""
    from nango_py.connect.submit import submit

    claims = site.claims(asked.bearer())
    integration = site.integration(claims, asked.names["name"])
    given = asked.json()
    if unknown := given.keys() - {"credentials", "additional_config", "attempt"}:
        raise Refusal(400, "bad_request", f"there is no field {min(unknown)[:40]!a} here")
    credentials, settings = _mapping(given, "credentials"), _mapping(given, "additional_config")
    attempt = given.get("attempt") or ""
    if not isinstance(attempt, str) or not is_attempt(attempt):
        raise Refusal(400, "bad_request", "attempt is up to 64 letters, digits, - and _")
    site.spend_submit(claims)
    return json_response(submit(site.accounts, claims, integration.name, credentials, settings, attempt))


def disconnect(site: Site, asked: ConnectRequest) -> Response:
    """Delete the user's connection; that it is gone already is no error."""
    from nango_py.connect import submit

    claims = site.claims(asked.bearer())
    integration = site.integration(claims, asked.names["name"])
    site.spend_submit(claims)
    return json_response(submit.disconnect(site.accounts, claims, integration.name))


def attempt(site: Site, asked: ConnectRequest) -> Response:
    """How a try of this session ended, for pages whose window lost its opener on the way."""
    claims = site.claims(asked.bearer())
    name = asked.names["name"]
    if not name or not is_attempt(name):
        raise ConnectFailed("unknown_integration", "there is no attempt of this name")
    found = site.logins.attempt(claims.id, name)
    if found is None:
        return json_response({"done": False})
    said = {"integration": found.integration, "code": found.code, "message": found.message}
    return json_response({"done": True, "ok": found.ok, **said, "missing_scopes": list(found.missing_scopes)})


def is_attempt(text: str) -> bool:
    """Whether it is a name that a page may give to an attempt; it may give none."""
    return re.fullmatch(r"[A-Za-z0-9_-]{0,64}", text) is not None


def _mapping(given: dict[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refusal(400, "bad_request", f"{name} is not a JSON object")
    return value
