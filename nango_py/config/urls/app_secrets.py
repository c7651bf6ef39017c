"""Checks that secrets of the product are not sent to hosts that its users name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.template.compiler import compile_template
from nango_py.config.urls.hosts import ROOT, iter_texts, whole_host
from nango_py.config.values import as_tuple
from nango_py.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py.config.model import UserHosts
    from nango_py.config.values import Path
    from nango_py.errors import Position
    from nango_py.json_types import Settings

SECRETS = ("oauth_client_secret", "app_api_key")
_KEPT_BY_US = frozenset({"none", "private_key_jwt"})
"""Values of `authorization_method` that never send the secret."""


def check_app_secrets(
    settings: Settings, hosts: UserHosts | None, position_of: Callable[[Path], Position]
) -> Iterator[Problem]:
    """Secrets of the product that would be sent to a host of the user's choice (E322).

    A field with an `enum` is allowed: the file lists the hosts that may receive the secret.
    """
    own = [name for name in SECRETS if settings.get(name)]
    own += [f"app.{name}" for name in settings.get("app") or ()]
    if hosts is None or not own:
        return
    fields = _open_fields(settings, hosts)
    auth, requests = settings["auth"], settings["requests"]
    sent = {"oauth_client_secret"} if _sends_client_secret(auth) else set()
    blocks = [value for key, value in _walk_members(auth) if key.endswith(("params", "headers", "body"))]
    of_auth = sent | _find_names(own, blocks)
    signed = sent if auth["auth_mode"] == "OAUTH1" else set()
    blocks = [*(requests.get(key) for key in ("headers", "params", "body")), settings.get("verification")]
    blocks += [entry.get(key) for entry in settings.get("endpoints", ()) for key in ("headers", "params")]
    of_requests = signed | _find_names(own, blocks)
    places = {("requests", key): of_requests for key in ("base_url", "bases")}
    places |= {("auth", key): of_auth for key in auth if key.endswith("_url") and key != "authorization_url"}
    places[("auth", "additional_steps")] = places[("auth", "revocation")] = of_auth
    places[("auth", "after_login")] = _find_names(own, [auth.get("after_login")])
    for (block, key), names in places.items():
        leaking = [name for name in own if name in names]
        value = settings[block].get(key)
        if leaking and any(_leads_anywhere(text, hosts, fields) for text in iter_texts(value)):
            what = f"your {' and '.join(leaking)} would be sent to a host that the user names"
            help_ = "list the hosts that may receive it in an enum of that field, or write the host here"
            yield Problem(position_of((block, key)), "E322", what, "", help_)


def _open_fields(settings: Settings, hosts: UserHosts) -> set[str]:
    """The fields that may be any host."""
    properties = settings["connection_config"]["properties"]
    return {name for name in hosts.fields if "enum" not in properties[name.removeprefix(ROOT)]}


def _leads_anywhere(text: str, hosts: UserHosts, fields: set[str]) -> bool:
    template = compile_template(text)
    index, kind = whole_host(template, hosts.fields)
    return bool(kind) and not fields.isdisjoint(template.names_by_piece()[index])


def _sends_client_secret(auth: Settings) -> bool:
    """Whether the auth mode sends the client secret."""
    mode, method = auth["auth_mode"], auth.get("authorization_method")
    if mode == "OAUTH1":
        return auth.get("signature_method") == "PLAINTEXT"  # other methods only sign with it
    if mode in {"OAUTH2_JWT", "OAUTH2_SAML"}:
        return method is not None and method not in _KEPT_BY_US
    return mode in {"OAUTH2", "OAUTH2_CC", "TOKEN_EXCHANGE", "MCP_OAUTH2"} and method not in _KEPT_BY_US


def _walk_members(value: Settings) -> Iterator[tuple[str, object]]:
    """The items of a mapping, and of the mappings in its lists."""
    for key, member in value.items():
        yield key, member
        for part in as_tuple(member):
            if hasattr(part, "items"):
                yield from part.items()


def _find_names(own: list[str], blocks: list[object]) -> set[str]:
    return {name for name in own for text in iter_texts(blocks) if name in text}
