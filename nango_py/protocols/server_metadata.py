"""Metadata of protected resources and authorization servers, without I/O (RFC 9728, RFC 8414, RFC 7591).

A server that a user names says which authorization server protects it, and that one where its endpoints are.
Nothing in these documents is trusted: each must name the URL that it was requested for, and every URL must be
https.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nango_py.protocols.digest_challenge import parse_challenges
from nango_py.protocols.token_exchange import LARGEST_RESPONSE, TokenRequest, TokenUnavailable
from nango_py.protocols.token_responses import decode_body
from nango_py.record import field, record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.json_types import JsonObject, Settings
    from nango_py.protocols.token_exchange import TokenContext, TokenResponse

RESOURCE, SERVER, OPENID = "oauth-protected-resource", "oauth-authorization-server", "openid-configuration"
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
MAX_SCOPES = 100

# Without braces, so that no URL of a document can be a template.
_URL = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+(?:[/?][A-Za-z0-9._~:/?@!$&'()*+,;=%\[\]-]*)?")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")  # RFC 6749 appendix A.4
_CLIENT = re.compile(r"[\x20-\x7e]{1,2048}")
_OK = range(200, 300)
_METHODS = {"none": "none", "client_secret_post": "body", "client_secret_basic": "header"}


class Undiscoverable(Exception):
    """A server has no usable metadata. The message quotes nothing of a response."""


@record
class ServerMetadata:
    """An authorization server (RFC 8414 2).

    Attributes:
        registration_url, revocation_url: "" if it has none.
        sends_issuer: whether its callbacks have an `iss` (RFC 9207).
        accepts_documents: whether a client id may be the URL of a document about the client.
        auth_methods: how clients may authenticate at the token endpoint, as our settings call them.
    """

    issuer: str
    authorization_url: str
    token_url: str
    registration_url: str
    revocation_url: str
    sends_issuer: bool
    accepts_documents: bool
    auth_methods: tuple[str, ...]


@record
class Client:
    """The application at an authorization server.

    Attributes:
        is_registered: whether it was registered for this login.
    """

    id: str
    secret: str = field(default="", repr=False)
    method: str = "none"
    is_registered: bool = False


def ping_request(resource: str) -> TokenRequest:
    """A request without a token, whose refusal says where the metadata is (RFC 9728 5.1)."""
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    return TokenRequest("POST", resource, headers, json.dumps(PING).encode())


def get_request(url: str) -> TokenRequest:
    """The request for a document."""
    return TokenRequest("GET", url, {"Accept": "application/json"})


def read_challenge(response: TokenResponse, resource: str) -> tuple[str, tuple[str, ...]]:
    """The URL of the metadata and the scopes that a 401 names; "" and () if it names none.

    A URL of another origin is not used.
    """
    header = response.header("www-authenticate")[:8192]
    challenge = next(iter(parse_challenges(header, "bearer")), {})
    url = challenge.get("resource_metadata", "")
    is_own = is_usable_url(url, resource) and _origin(url) == _origin(resource)
    return url if is_own else "", _read_scopes(challenge.get("scope", "").split())


def well_known_urls(url: str, *names: str) -> tuple[str, ...]:
    """Where the metadata of a URL may be: before its path, or after it for OpenID Connect (RFC 8414 3, 5)."""
    parts = urlsplit(url)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    found = [f"{origin}/.well-known/{name}{path}" for name in names]
    if OPENID in names and path:
        found.append(f"{origin}{path}/.well-known/{OPENID}")
    if RESOURCE in names and path:
        found.append(f"{origin}/.well-known/{RESOURCE}")
    return tuple(found)


def read_resource(response: TokenResponse, resource: str) -> tuple[str, str, tuple[str, ...]] | None:
    """The resource's identifier, its first authorization server, and its scopes; None without a document.

    The identifier must be that of the resource, or of a parent of it (RFC 9728 3.3).

    Raises:
        Undiscoverable: the document is about another resource, or names no authorization server.
    """
    body = _read_document(response)
    if body is None:
        return None
    named = body.get("resource")
    if not isinstance(named, str) or not _contains(named, resource):
        raise Undiscoverable("the server's metadata is about another server")
    servers = body.get("authorization_servers")
    issuers = [
        issuer
        for issuer in (servers if isinstance(servers, list) else ())
        if isinstance(issuer, str) and is_usable_url(issuer, resource)
    ]
    if not issuers:
        raise Undiscoverable("the server's metadata names no authorization server")
    scopes = body.get("scopes_supported")
    return named, issuers[0], _read_scopes(scopes if isinstance(scopes, list) else ())


def read_server(response: TokenResponse, issuer: str) -> ServerMetadata | None:
    """The metadata of an authorization server; None without a document.

    Raises:
        Undiscoverable: it is about another issuer (RFC 8414 3.3), has unusable endpoints, or no PKCE.
    """
    body = _read_document(response)
    if body is None:
        return None
    if body.get("issuer") != issuer:
        raise Undiscoverable("the authorization server's metadata is about another issuer")
    urls = {name: body.get(name) for name in ("authorization_endpoint", "token_endpoint")}
    if not all(is_usable_url(url, issuer) for url in urls.values()):
        raise Undiscoverable("the authorization server's metadata has no usable endpoints")
    challenges = body.get("code_challenge_methods_supported")
    if not isinstance(challenges, list) or "S256" not in challenges:
        raise Undiscoverable("the authorization server does not support PKCE")
    methods = body.get("token_endpoint_auth_methods_supported")
    methods = methods if isinstance(methods, list) else ["client_secret_basic"]  # RFC 8414 2
    return ServerMetadata(
        issuer,
        str(urls["authorization_endpoint"]),
        str(urls["token_endpoint"]),
        _optional_url(body.get("registration_endpoint"), issuer),
        _optional_url(body.get("revocation_endpoint"), issuer),  # RFC 7009
        sends_issuer=body.get("authorization_response_iss_parameter_supported") is True,
        accepts_documents=body.get("client_id_metadata_document_supported") is True,
        auth_methods=tuple(_METHODS[name] for name in methods if isinstance(name, str) and name in _METHODS),
    )


def client_document(client_id: str, name: str, redirect_uris: list[str]) -> JsonObject:
    """The document at the URL that is the client id (OAuth Client ID Metadata Document)."""
    return {"client_id": client_id, **_describe_client(name, redirect_uris)}


def registration_request(server: ServerMetadata, name: str, redirect_uri: str) -> TokenRequest:
    """The registration of the application at an authorization server (RFC 7591 3.1)."""
    is_native = urlsplit(redirect_uri).scheme == "http"
    content = {**_describe_client(name, [redirect_uri]), "application_type": "native" if is_native else "web"}
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    return TokenRequest("POST", server.registration_url, headers, json.dumps(content).encode())


def _describe_client(name: str, redirect_uris: list[str]) -> JsonObject:
    return {
        "client_name": name,
        "redirect_uris": list(redirect_uris),
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }


def read_registration(response: TokenResponse) -> Client:
    """The client that was registered (RFC 7591 3.2.1).

    Raises:
        Undiscoverable: the server refused.
        TokenUnavailable: it failed.
    """
    if response.status in {408, 429} or response.status >= 500:  # noqa: PLR2004
        raise TokenUnavailable("the registration failed", status=response.status)
    body = _read_document(response)
    client_id = None if body is None else body.get("client_id")
    if body is None or not isinstance(client_id, str) or not _CLIENT.fullmatch(client_id):
        raise Undiscoverable("the authorization server did not register this application")
    secret, method = body.get("client_secret"), str(body.get("token_endpoint_auth_method", "none"))
    if not isinstance(secret, str) or not _CLIENT.fullmatch(secret):
        return Client(client_id, is_registered=True)
    return Client(client_id, secret, _METHODS.get(method, "header"), is_registered=True)


def derive_context(context: TokenContext, found: Mapping[str, object]) -> Settings:
    """The `auth:` settings of a login at a discovered server.

    Args:
        context: of the connection.
        found: the texts `token_url`, `revocation_url`, `authorization_url`, `issuer`,
            `authorization_method` and `resource`, and `sends_issuer`; those that are missing are left out.
    """
    names = ("token_url", "revocation_url", "authorization_url", "issuer", "authorization_method")
    derived = {name: found[name] for name in names if found.get(name)}
    resource = {"resource": found["resource"]}  # RFC 8707
    return {
        **context.settings,
        **derived,
        "requires_issuer": bool(found.get("sends_issuer")),
        "pkce": "required",
        "token_params": resource,
        "authorization_params": resource,
    }


def is_usable_url(url: object, base: str) -> bool:
    """Whether a URL of a document may be requested: https, or http if `base` is, without user or fragment."""
    if not isinstance(url, str) or len(url) > 2000 or not _URL.fullmatch(url):  # noqa: PLR2004
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.scheme == "https" or urlsplit(base).scheme == "http")
    except ValueError:
        return False


def _optional_url(url: object, base: str) -> str:
    return str(url) if is_usable_url(url, base) else ""


def _read_document(response: TokenResponse) -> JsonObject | None:
    if response.status not in _OK or len(response.body) > LARGEST_RESPONSE:
        return None
    body = decode_body(response)
    return body if isinstance(body, dict) else None


def _read_scopes(scopes: object) -> tuple[str, ...]:
    items = scopes if isinstance(scopes, list | tuple) else ()
    return tuple(each for each in items if isinstance(each, str) and _SCOPE.fullmatch(each))[:MAX_SCOPES]


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url.lower())
    return parts.scheme, parts.netloc


def _contains(parent: str, url: str) -> bool:
    """Whether a URL is another one, or is below it."""
    if not _URL.fullmatch(parent) or _origin(parent) != _origin(url):
        return False
    path = urlsplit(parent).path.rstrip("/")
    return urlsplit(url).path.rstrip("/") == path or urlsplit(url).path.startswith(f"{path}/")
