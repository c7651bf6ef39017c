"""OAuth 1.0a of a sandbox: its three endpoints (RFC 5849 section 2), and the signatures of its calls."""

from __future__ import annotations

import math
import secrets
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from nango_py.sandbox.credentials import Caller
from nango_py.sandbox.documents import find_steps, set_at
from nango_py.sandbox.logins.requests import RefusedError
from nango_py.sandbox.logins.signatures import Nonces, is_signed, read_oauth_header
from nango_py.sandbox.responses import SandboxResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.clock import Clock
    from nango_py.json_types import JsonValue
    from nango_py.sandbox.logins.provider import Provider
    from nango_py.sandbox.logins.requests import LoginRequest
    from nango_py.sandbox.logins.tokens import AcceptedTokens

_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Cache-Control": "no-store"}


class OAuth1Endpoints:
    """The endpoints of the mode OAUTH1.

    Signatures are checked if the application's secret is known. Thread-safe.

    Args:
        provider: the blueprint.
        accepted: is given each token, for calls that send it without a signature.
        clock: the time.
    """

    def __init__(self, provider: Provider, accepted: AcceptedTokens, clock: Clock) -> None:
        self._provider = provider
        self._accepted = accepted
        self._clock = clock
        self._nonces = Nonces()
        self._temporary: dict[str, tuple[str, str]] = {}
        self._verifiers: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()
        self._secrets: dict[str, tuple[str, str]] = {}
        self._revoked: set[str] = set()
        self.accepts_any = provider.users is None
        for user, given in (provider.users or {}).items():
            self.accept(user, given)

    def accept(self, user: str, credentials: Mapping[str, object]) -> None:
        """Set or replace the token of a user."""
        self.revoke(user)
        with self._lock:
            token = str(credentials.get("oauth_token") or "")
            if token:
                self._revoked.discard(token)
                self._secrets[token] = (user, str(credentials.get("oauth_token_secret") or ""))

    def revoke(self, user: str) -> None:
        """Reject the tokens of a user."""
        with self._lock:
            self._revoked |= {token for token, found in self._secrets.items() if found[0] == user}
            self._secrets = {token: found for token, found in self._secrets.items() if found[0] != user}
        self._accepted.withdraw(user)

    def identify(self, request: LoginRequest) -> Caller | None:
        """The sender of a call, or None if its signature is wrong."""
        given = read_oauth_header(request.headers)
        with self._lock:
            user, secret = self._secrets.get(given.get("oauth_token", ""), ("", ""))
        if not user:
            token = given.get("oauth_token", "")
            is_complete = bool(token and given.get("oauth_signature")) and token not in self._revoked
            return Caller(None, token) if self.accepts_any and is_complete else None
        return Caller(user, user) if self._is_valid(request, given, secret) else None

    def request_token(self, request: LoginRequest) -> SandboxResponse:
        """The response to a request for temporary credentials."""
        given = read_oauth_header(request.headers)
        method = self._provider.text("request_http_method", "POST")
        if request.method != method or not self._is_valid(request, given, ""):
            return _refuse("signature_invalid")
        if "://" not in given.get("oauth_callback", ""):
            return _refuse("parameter_absent")
        token, secret = f"request_{secrets.token_hex(12)}", secrets.token_hex(16)
        self._temporary[token] = (secret, given["oauth_callback"])
        return _form({"oauth_token": token, "oauth_token_secret": secret, "oauth_callback_confirmed": "true"})

    def check_authorization(self, params: Mapping[str, str]) -> None:
        """Refuse an unknown token.

        Raises:
            RefusedError: no page is shown for it.
        """
        if params.get("oauth_token") not in self._temporary:
            raise RefusedError("token_rejected", "oauth_token is unknown")

    def callback_of(self, params: Mapping[str, str]) -> str:
        """The callback URL of a login."""
        return self._temporary[params["oauth_token"]][1]

    def grant(self, params: Mapping[str, str], user: str) -> dict[str, str]:
        """The parameters of the callback after the user agreed."""
        verifier = secrets.token_hex(8)
        self._verifiers[params["oauth_token"]] = (verifier, user)
        return {"oauth_token": params["oauth_token"], "oauth_verifier": verifier}

    def deny(self, params: Mapping[str, str]) -> dict[str, str]:
        """The parameters of the callback after the user declined."""
        return {"denied": params["oauth_token"]}

    def respond(self, request: LoginRequest, *, is_refresh_url: bool) -> SandboxResponse:
        """The response to a request for token credentials."""
        given = read_oauth_header(request.headers)
        token = given.get("oauth_token", "")
        secret, _ = self._temporary.get(token, ("", ""))
        verifier, user = self._verifiers.get(token, ("", ""))
        method = self._provider.text("token_http_method", "POST")
        if request.method != method or not secret or not self._is_valid(request, given, secret):
            return _refuse("signature_invalid")
        if not verifier or given.get("oauth_verifier") != verifier:
            return _refuse("permission_denied")
        del self._temporary[token], self._verifiers[token]
        return _form({**self._extras(), **self.issue(user)})

    def issue(self, user: str) -> dict[str, str]:
        """A new token of a user, and its secret."""
        token, secret = f"access_{secrets.token_hex(12)}", secrets.token_hex(16)
        pair = {"oauth_token": token, "oauth_token_secret": secret}
        self.accept(user, pair)
        self._accepted.issue(user, {"oauth_token": token}, math.inf)
        return pair

    def _extras(self) -> dict[str, str]:
        document: JsonValue = {}
        for path in self._provider.raw_paths():
            steps = find_steps(path)
            document = document if steps is None else set_at(document, steps[:1], "sandbox")
        return {name: str(value) for name, value in document.items()} if isinstance(document, dict) else {}

    def _is_valid(self, request: LoginRequest, given: Mapping[str, str], token_secret: str) -> bool:
        provider = self._provider
        is_known = given.get("oauth_consumer_key") == (provider.client_id or given.get("oauth_consumer_key"))
        expected = provider.text("signature_method", "HMAC-SHA1")
        if not is_known or given.get("oauth_signature_method") != expected:
            return False
        if expected != "PLAINTEXT" and not self._nonces.accept(given, self._clock.now()):
            return False
        secret = provider.client_secret
        return not secret or is_signed(request, given, secret, token_secret)


def _form(values: Mapping[str, str]) -> SandboxResponse:
    return SandboxResponse.of(text=urlencode(values), headers=_FORM)


def _refuse(problem: str) -> SandboxResponse:
    return SandboxResponse.of(text=urlencode({"oauth_problem": problem}), status=401, headers=_FORM)
