"""An OAuth 1.0a provider with a login page, on a real socket; its rules are those of oauthlib's server side.

oauthlib signs for us too, so what it verifies here is also compared with the vectors of RFC 5849 and with
Authlib in the tests of the auth modes.
"""

from __future__ import annotations

import html
import threading
from collections import deque
from typing import Any, ClassVar
from urllib.parse import urlsplit

from oauthlib.oauth1 import RequestValidator, WebApplicationServer
from oauthlib.oauth1.rfc5849.errors import OAuth1Error

from tests.support.nango_at_server import QUICK, WIDE
from tests.support.oauth2_login_provider import PAGE
from tests.support.provider_grants import CLIENT_ID, CLIENT_SECRET
from tests.support.provider_server import ProviderRequest, ProviderResponse, Served
from tests.support.token_contexts import pem, rsa_key


class LoginProvider1(Served):
    """Temporary credentials, a login page, token credentials, and an API that checks each signature.

    Args:
        method: the signature method that an entry of this provider uses.
        denial: how a `no` comes back: `denied` (as Twitter) or `oauth_problem` (as Yahoo's extension).
        confirms: whether the callback is confirmed, which is what OAuth 1.0a is about.
        prefix: stands in every token.

    Attributes:
        calls: (route, outcome, nonce) of each signed request.
        token_faults: responses that replace those of the next requests for token credentials.
        callbacks: the callback URLs that were incoming for.
    """

    routes: ClassVar[dict[str, str]] = {
        "/request_token": "request_token",
        "/authorize": "authorize",
        "/access_token": "access_token",
        "/api": "api",
    }

    def __init__(
        self, method: str = "HMAC-SHA1", *, denial: str = "denied", confirms: bool = True, prefix: str = ""
    ) -> None:
        self.method, self.denial, self.confirms, self.prefix = method, denial, confirms, prefix
        self.calls: list[tuple[str, str, str]] = []
        self.token_faults: deque[ProviderResponse] = deque()
        self.callbacks: list[str] = []
        self.lock = threading.RLock()
        self.memory = Memory(self)
        self._oauthlib = WebApplicationServer(self.memory)
        self._oauthlib.token_generator = self.memory.named

    def entry(self, auth: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """An entry of integrations.yaml for this provider and the API behind it."""
        return {
            "auth": {
                "auth_mode": "OAUTH1",
                "request_url": f"{self.url}/request_token",
                "authorization_url": f"{self.url}/authorize",
                "token_url": f"{self.url}/access_token",
                "signature_method": self.method,
                **(auth or {}),
            },
            "oauth_client_id": CLIENT_ID,
            "oauth_client_secret": pem(rsa_key()) if self.method == "RSA-SHA1" else CLIENT_SECRET,
            "requests": {"base_url": f"{self.url}/api/", "allow_http": True},
            "retries": {"backoff": QUICK},
            "rate_limits": WIDE,
            **more,
        }

    def exchanges(self) -> list[str]:
        """The outcomes of the calls for token credentials."""
        return [outcome for route, outcome, _ in self.calls if route == "access_token"]

    def request_token(self, incoming: ProviderRequest) -> ProviderResponse:
        """Temporary credentials."""
        response = self._signed("request_token", incoming, self._oauthlib.create_request_token_response)
        if not self.confirms:
            response.body = response.body.replace("oauth_callback_confirmed=true", "x=1")
        return response

    def access_token(self, incoming: ProviderRequest) -> ProviderResponse:
        """Token credentials."""
        if self.token_faults:
            self.calls.append(("access_token", "fault", ""))
            return self.token_faults.popleft()
        return self._signed("access_token", incoming, self._oauthlib.create_access_token_response)

    def _signed(self, route: str, incoming: ProviderRequest, create: Any) -> ProviderResponse:
        with self.lock:
            self.memory.nonce = ""
            headers, body, status = create(
                self.url + incoming.target, incoming.method, incoming.body.decode(), incoming.headers
            )
            self.calls.append((route, "granted" if status == 200 else str(status), self.memory.nonce))
        return ProviderResponse(status, body or "", dict(headers))

    def authorize(self, incoming: ProviderRequest) -> ProviderResponse:
        """The login page, and what comes of it."""
        token = incoming.query.get("oauth_token", "")
        uri = self.url + incoming.target
        if incoming.method == "GET":
            if token not in self.memory.temporary:
                return ProviderResponse(401, "unknown token")
            page = PAGE.format(
                client=CLIENT_ID, scopes="everything", action=html.escape(incoming.target), user="sarah"
            )
            return ProviderResponse(200, page, {"Content-Type": "text/html; charset=utf-8"})
        callback = self.memory.temporary[token]["callback"]
        if incoming.form.get("decision") != "allow":
            word = token if self.denial == "denied" else "user_refused"
            mark = "&" if "?" in callback else "?"
            return ProviderResponse(302, "", {"Location": f"{callback}{mark}{self.denial}={word}"})
        with self.lock:
            self.memory.temporary[token]["user"] = incoming.form.get("user", "")
            try:
                headers, _, status = self._oauthlib.create_authorization_response(uri, credentials={})
            except OAuth1Error as error:
                return ProviderResponse(400, str(error))
        return ProviderResponse(status, "", dict(headers))

    def api(self, incoming: ProviderRequest) -> ProviderResponse:
        """The API: who the token's user is, if the signature is right."""
        uri = self.url + incoming.target
        with self.lock:
            good, request = self._oauthlib.validate_protected_resource_request(
                uri, incoming.method, incoming.body.decode("latin-1"), incoming.headers, realms=[]
            )
            self.calls.append(("api", "good" if good else "refused", getattr(request, "nonce", "") or ""))
        if not good:
            return ProviderResponse(401, {"error": "bad signature"})
        return ProviderResponse(200, {"user": self.memory.tokens[request.resource_owner_key]["user"]})


class Memory(RequestValidator):
    """What oauthlib asks of a provider: who is known, which tokens there are, which nonces were used."""

    enforce_ssl = False
    nonce_length = client_key_length = request_token_length = access_token_length = (16, 200)
    verifier_length = (8, 200)
    realms: ClassVar[list[str]] = []
    dummy_client = dummy_request_token = dummy_access_token = "nobody"
    allowed_signature_methods = ("HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1", "PLAINTEXT")

    def __init__(self, provider: LoginProvider1) -> None:
        super().__init__()
        self.provider = provider
        self.temporary: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, dict[str, Any]] = {}
        self.used: set[tuple[str, str]] = set()
        self.nonce = ""
        self._count = 0

    @property
    def safe_characters(self) -> set[str]:
        """Everything that a token may hold."""
        return set(map(chr, range(0x21, 0x7F)))

    def named(self) -> str:
        """A token unlike any other."""
        self._count += 1
        return f"{self.provider.prefix}token{self._count:012d}planted{self.provider.prefix}"

    def validate_client_key(self, client_key: str, request: Any) -> bool:
        """Whether it is the one client."""
        return client_key == CLIENT_ID

    def get_client_secret(self, client_key: str, request: Any) -> str:
        """Its secret."""
        return CLIENT_SECRET

    def get_rsa_key(self, client_key: str, request: Any) -> Any:
        """Its public key, as PEM."""
        from cryptography.hazmat.primitives import serialization

        public = rsa_key().public_key()
        kind = serialization.PublicFormat.SubjectPublicKeyInfo
        return public.public_bytes(serialization.Encoding.PEM, kind).decode()

    def validate_timestamp_and_nonce(
        self, client_key: str, timestamp: str, nonce: str, request: Any, **_: Any
    ) -> bool:
        """A nonce is good once."""
        self.nonce = nonce
        is_new = (timestamp, nonce) not in self.used
        self.used.add((timestamp, nonce))
        return is_new

    def validate_redirect_uri(self, client_key: str, redirect_uri: str, request: Any) -> bool:
        """Only this machine."""
        self.provider.callbacks.append(redirect_uri)
        return urlsplit(redirect_uri).hostname in {"127.0.0.1", "localhost"}

    def get_default_realms(self, client_key: str, request: Any) -> list[str]:
        """There are no realms."""
        return []

    def get_realms(self, token: str, request: Any) -> list[str]:
        """There are no realms."""
        return []

    def validate_requested_realms(self, client_key: str, realms: list[str], request: Any) -> bool:
        """Any will do."""
        return True

    def validate_realms(self, client_key: str, token: str, request: Any, **_: Any) -> bool:
        """Any will do."""
        return True

    def save_request_token(self, token: dict[str, str], request: Any) -> None:
        """Keep temporary credentials."""
        self.temporary[token["oauth_token"]] = {
            "secret": token["oauth_token_secret"], "callback": request.redirect_uri,
        }  # fmt: skip

    def verify_request_token(self, token: str, request: Any) -> bool:
        """Whether the login page knows it."""
        return token in self.temporary

    def get_redirect_uri(self, token: str, request: Any) -> str:
        """Where its browser goes."""
        return str(self.temporary[token]["callback"])

    def save_verifier(self, token: str, verifier: dict[str, str], request: Any) -> None:
        """Keep what the browser brings back."""
        self.temporary[token]["verifier"] = verifier["oauth_verifier"]

    def validate_request_token(self, client_key: str, token: str, request: Any) -> bool:
        """Whether temporary credentials are good."""
        return token in self.temporary

    def get_request_token_secret(self, client_key: str, token: str, request: Any) -> str:
        """Their secret."""
        return str(self.temporary.get(token, {}).get("secret", "none"))

    def validate_verifier(self, client_key: str, token: str, verifier: str, request: Any) -> bool:
        """Whether it is the one that was given to the browser."""
        return bool(verifier) and self.temporary.get(token, {}).get("verifier") == verifier

    def invalidate_request_token(self, client_key: str, request_token: str, request: Any) -> None:
        """Temporary credentials are good once."""
        self.temporary.pop(request_token, None)

    def save_access_token(self, token: dict[str, str], request: Any) -> None:
        """Keep token credentials."""
        user = self.temporary[request.resource_owner_key]["user"]
        self.tokens[token["oauth_token"]] = {"secret": token["oauth_token_secret"], "user": user}

    def validate_access_token(self, client_key: str, token: str, request: Any) -> bool:
        """Whether token credentials are good."""
        return token in self.tokens

    def get_access_token_secret(self, client_key: str, token: str, request: Any) -> str:
        """Their secret."""
        return str(self.tokens.get(token, {}).get("secret", "none"))
