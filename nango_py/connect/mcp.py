"""Logins at MCP servers: the server is asked how to log in, and the application registered if need be."""

from __future__ import annotations

import hashlib
import hmac
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl, urlsplit

from nango_py.auth.base import mode_of
from nango_py.auth.mcp_oauth2 import McpOAuth2
from nango_py.connect.failure import LoginFailed
from nango_py.connect.oauth import CodeLogin, LoginResult
from nango_py.protocols import server_metadata as metadata
from nango_py.protocols.client_auth import add_query
from nango_py.record import replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.config.model import Integration
    from nango_py.json_types import JsonObject, Settings
    from nango_py.protocols.server_metadata import Client, ServerMetadata
    from nango_py.protocols.token_exchange import TokenContext, TokenRequest, TokenResponse
    from nango_py.services import Services

Found = TypeVar("Found")

DEFAULT_NAME = "nango_py"
MARK = "issuer_mark"
"""The parameter of redirect URIs by which callbacks of authorization servers differ."""

DOCUMENT_PATH = "/client.json"
_STORED = ("token_url", "revocation_url", "authorization_method", "client_id", "client_secret", "resource")


def describe_application(
    services: Services, redirect_uri_of: Callable[[Integration], str]
) -> JsonObject | None:
    """The document about the application at `/client.json`; None if no authorization server may use it.

    It is for products whose connect server has an https URL, and that have an integration with MCP_OAUTH2.
    """
    configuration = services.configuration
    root = configuration.config.oauth_server_root_url.rstrip("/")
    uris = [
        redirect_uri_of(integration)
        for integration in configuration
        if isinstance(mode_of(integration), McpOAuth2)
    ]
    if not uris or urlsplit(root).scheme != "https":
        return None
    name = configuration.config.product_name or DEFAULT_NAME
    return metadata.client_document(f"{root}{DOCUMENT_PATH}", name, list(dict.fromkeys(uris)))


def with_mark(redirect_uri: str, issuer: str) -> str:
    """A redirect URI that only one authorization server gets (RFC 9700 section 4.4.2)."""
    digest = hashlib.sha256(f"nango issuer\0{issuer}".encode()).hexdigest()[:32]
    return add_query(redirect_uri, f"{MARK}={digest}")


class McpLogin(CodeLogin):
    """One user's login at one MCP server."""

    def __init__(
        self, services: Services, integration: Integration, user_id: str, additional_config: JsonObject
    ) -> None:
        super().__init__(services, integration, user_id, additional_config)
        self._found: JsonObject = {}

    def context(self) -> TokenContext:
        """As of now, with what was found."""
        context, found = super().context(), self._found
        if not found:
            return context
        scopes = context.scopes or tuple(str(found.get("scopes") or "").split())
        credentials = {name: found[name] for name in ("client_id", "client_secret") if found.get(name)}
        settings = metadata.derive_context(context, found)
        return replaced(context, settings=settings, credentials=credentials, scopes=scopes)

    def start(self, redirect_uri: str, state: str) -> tuple[str, JsonObject]:
        """The authorization URL, after the discovery and the registration."""
        failure = ""
        try:
            self._found = self._discover(redirect_uri)
        except metadata.Undiscoverable as error:
            failure = str(error)
        if failure:
            raise LoginFailed("exchange_failed", failure)
        uri = str(self._found["redirect_uri"])
        url, kept = super().start(uri, state)
        return url, {**kept, "found": self._found}

    def finish(self, callback: Mapping[str, str], redirect_uri: str, kept: Settings) -> LoginResult:
        """The credentials for the code, with what refreshes need."""
        self._found = dict(kept["found"])
        uri = str(self._found.get("redirect_uri") or redirect_uri)  # an older version stored none
        mark = dict(parse_qsl(urlsplit(uri).query)).get(MARK, "")
        if mark and not hmac.compare_digest(callback.get(MARK, "").encode(), mark.encode()):
            message = "the response comes from a different server than the login was sent to"
            raise LoginFailed("wrong_issuer", message)
        result = super().finish(callback, uri, kept)
        stored = {name: self._found[name] for name in _STORED if self._found.get(name)}
        return replaced(result, credentials={**result.credentials, **stored})

    def _discover(self, redirect_uri: str) -> JsonObject:
        resource = super().context().url("resource_url")
        identifier, issuer, scopes = self._find_resource(resource)
        server = self._find(
            metadata.well_known_urls(issuer, metadata.SERVER, metadata.OPENID),
            partial(metadata.read_server, issuer=issuer),
            "the authorization server has no metadata",
        )
        uri = redirect_uri if server.sends_issuer else with_mark(redirect_uri, server.issuer)
        client = self._find_client(server, uri)
        if not client.is_registered:
            uri = redirect_uri  # its redirect URIs are fixed
        return {
            "issuer": server.issuer,
            "authorization_url": server.authorization_url,
            "token_url": server.token_url,
            "revocation_url": server.revocation_url,
            "sends_issuer": server.sends_issuer,
            "resource": identifier,
            "scopes": " ".join(scopes),
            "redirect_uri": uri,
            "client_id": client.id,
            "client_secret": client.secret,
            "authorization_method": client.method,
        }

    def _find_resource(self, resource: str) -> tuple[str, str, tuple[str, ...]]:
        """Identifier, authorization server and scopes of the MCP server."""
        url, scopes = metadata.read_challenge(self._ask(metadata.ping_request(resource)), resource)
        identifier, issuer, supported = self._find(
            (url,) if url else metadata.well_known_urls(resource, metadata.RESOURCE),
            partial(metadata.read_resource, resource=resource),
            "the server does not say how to log in; it may need no login, or another kind",
        )
        return identifier, issuer, scopes or supported

    def _find_client(self, server: ServerMetadata, redirect_uri: str) -> Client:
        """The application, by the first way that works: registered by hand, by document, or now."""
        context = super().context()
        known = context.app_text("oauth_client_id"), context.app_text("oauth_client_secret")
        if known[0]:
            method = "none"
            if known[1]:
                method = "body" if "body" in server.auth_methods else "header"
            return metadata.Client(*known, method)
        document = self._document_url(context)
        if server.accepts_documents and document:
            return metadata.Client(document)
        if not server.registration_url:
            message = "this server takes registered applications only"
            raise LoginFailed("misconfigured", message, "set oauth_client_id, or client_id_metadata_url")
        name = self._services.configuration.config.product_name or DEFAULT_NAME
        request = metadata.registration_request(server, name, redirect_uri)
        return metadata.read_registration(self._ask(request))

    def _document_url(self, context: TokenContext) -> str:
        if context.settings.get("client_id_metadata_url"):
            return context.url("client_id_metadata_url")
        root = self._services.configuration.config.oauth_server_root_url.rstrip("/")
        return f"{root}{DOCUMENT_PATH}" if urlsplit(root).scheme == "https" else ""

    def _find(
        self, urls: tuple[str, ...], read: Callable[[TokenResponse], Found | None], missing: str
    ) -> Found:
        """The first document that there is."""
        for url in urls:
            found = read(self._ask(metadata.get_request(url)))
            if found is not None:
                return found
        raise metadata.Undiscoverable(missing)

    def _ask(self, request: TokenRequest) -> TokenResponse:
        """The response to a request that carries no credential."""
        _, response = self.send(lambda _: request)
        return response
