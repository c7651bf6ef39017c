"""A small OAuth 2 provider on a real socket, with an API, and a ledger of all calls.

    with Provider(rotation="strict") as provider:
        credentials = provider.grant("user-1")

It has no login page, and can fail in every way. `oauth2_login_provider` has the page, and keeps to the rules.
"""

from __future__ import annotations

import base64
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode

from tests.support.provider_grants import CLIENT_ID, CLIENT_SECRET, Family, Grants
from tests.support.provider_server import ProviderRequest, ProviderResponse, Served

if TYPE_CHECKING:
    from collections.abc import Callable

LAST_PAGE = 7
CLOSED = ProviderResponse(0)
JSON, FORM = {"Content-Type": "application/json"}, {"Content-Type": "application/x-www-form-urlencoded"}


class Provider(Served, Grants):
    """A token endpoint (`/token`), a revocation endpoint (`/revoke`) and an API (`/api/...`) with tokens.

    Attributes:
        faults: what happens to the next token requests, one each: a status, `hang`, `lost`, `cut`, `html`, or
            an error code of RFC 6749 such as `invalid_grant`, or (status, body, headers).
        most_in_flight: the most token requests that had no response at the same time.
        token_calls: (user, outcome) of each token request, in order.
        api_calls: (token, status) of each API call.
        expired_sent: expired tokens that the API received.
        gate: while it is clear, token requests wait before they are decided.
        arrived: released once for each token request.
        refuses: the statuses of the next API calls, whatever the token.
        always_refuses: whether the API responds to everything with 401.
        revocations: (token_type_hint, status) of each revocation request.
        revocation_faults: what happens to the next ones: a status, `hang` or `lost`.
    """

    def __init__(
        self,
        rotation: str = "none",
        *,
        life: float = 3600,
        grace_seconds: float = 60,
        client_auth: str = "body",
        responses: str = "json",
        expiry: str = "expires_in",
        now: Callable[[], float] = time.time,
        clock_ahead: float = 0.0,
        prefix: str = "",
    ) -> None:
        Grants.__init__(self, rotation, life, grace_seconds, now)
        self.client_auth = client_auth
        self.responses = responses
        self.expiry = expiry
        self.clock_ahead = clock_ahead
        self.prefix = prefix
        self.faults: deque[Any] = deque()
        self.token_calls: list[tuple[str, str]] = []
        self.api_calls: list[tuple[str, int]] = []
        self.expired_sent: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Semaphore(0)
        self.on_token: Callable[[str], None] = lambda _: None
        self.repeats_refresh = True
        self.refuses: deque[int] = deque()
        self.always_refuses = False
        self.revocations: list[tuple[str, int]] = []
        self.revocation_faults: deque[Any] = deque()
        self.most_in_flight = self._in_flight = 0
        self._count = 0
        self._hang = threading.Event()

    def __exit__(self, *_: object) -> None:
        self._hang.set()
        self.gate.set()
        super().__exit__()

    def unix_time(self) -> float:
        """The provider's time, which may differ from ours."""
        return self.now() + self.clock_ahead

    def grant(self, user: str, *, expired: bool = False, life: float | None = None) -> dict[str, Any]:
        """Credentials for register_connection; `expired` ones have a token that has expired."""
        with self.lock:
            family, refresh, access = Family(user), self._named("refresh"), self._named("access")
            self.keep_refresh(family, refresh)
            seconds = -60.0 if expired else (self.life if life is None else life)
            self.keep_access(family, access, seconds)
        return {"access_token": access, "refresh_token": refresh, "expires_at": self.now() + seconds}

    def forget(self, access_token: str) -> None:
        """Revoke an access token before it expires."""
        with self.lock:
            del self.tokens[access_token]

    def revoke(self, refresh_token: str) -> None:
        """Revoke a grant, as a user does on the provider's page."""
        with self.lock:
            self.families[refresh_token].is_revoked = True

    def withdraw(self, given: dict[str, str], authorization: str) -> int:
        """Decide a revocation request (RFC 7009); an unknown token is a 400, as at Google."""
        with self.lock:
            token = given.get("token", "")
            family = self.families.get(token) or self.tokens.get(token, (None,))[0]
            if not self._knows_client(given, authorization):
                return 401
            is_replaced = family is not None and token in self.families and token != family.refresh
            if family is None or family.is_revoked or is_replaced:
                return 400
            family.is_revoked = True
            return 200

    def calls_of(self, user: str) -> list[str]:
        """The results of a user's token requests."""
        with self.lock:
            return [outcome for name, outcome in self.token_calls if name == user]

    def _named(self, kind: str) -> str:
        self._count += 1
        return f"{self.prefix}{kind}_{self._count:05d}_planted{self.prefix}"

    def token(self, given: dict[str, str], authorization: str) -> tuple[int, dict[str, Any], str]:
        """Decide a token request: status, response, and the word for the ledger."""
        with self.lock:
            if not self._knows_client(given, authorization):
                return 401, {"error": "invalid_client"}, "invalid_client"
            if given.get("grant_type") == "client_credentials":
                return 200, self._issued(Family("application")), "granted"
            if given.get("grant_type") != "refresh_token":
                return 400, {"error": "invalid_grant"}, "invalid_grant"
            family, word = self.redeem(given.get("refresh_token", ""))
            if family is None:
                return 400, {"error": "invalid_grant"}, word
            if self.rotation != "none":
                self.keep_refresh(family, self._named("refresh"))
            return 200, self._issued(family), word

    def user_of(self, given: dict[str, str]) -> str:
        """The owner of a refresh token."""
        family = self.families.get(given.get("refresh_token", ""))
        return "application" if family is None else family.user

    def _knows_client(self, given: dict[str, str], authorization: str) -> bool:
        if self.client_auth == "header":
            kind, _, encoded = authorization.partition(" ")
            name, _, secret = base64.b64decode(encoded).decode().partition(":")
            return kind == "Basic" and (unquote(name), unquote(secret)) == (CLIENT_ID, CLIENT_SECRET)
        return (given.get("client_id"), given.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)

    def _issued(self, family: Family) -> dict[str, Any]:
        access = self._named("access")
        self.keep_access(family, access)
        response: dict[str, Any] = {"access_token": access, "token_type": "Bearer"}
        if self.expiry == "expires_in":
            response["expires_in"] = self.life
        elif self.expiry == "expires_at":
            response["expires_at"] = self.now() + self.clock_ahead + self.life
        if family.refresh and self.repeats_refresh:
            response["refresh_token"] = family.refresh
        return response

    def api(self, token: str) -> int:
        """Decide an API call."""
        with self.lock:
            good = self.holder(token) is not None
            if not good and token in self.tokens and self.tokens[token][1] <= self.now():
                self.expired_sent.append(token)
            status = 200 if good and not self.always_refuses else 401
            if self.refuses:
                status = self.refuses.popleft()
            self.api_calls.append((token, status))
            return status

    def response(self, incoming: ProviderRequest) -> ProviderResponse:
        """The response of the token endpoint, of the revocation endpoint, or of the API."""
        if incoming.path.startswith("/revoke"):
            return self._serve_revocation(incoming)
        if not incoming.path.startswith("/token"):
            return self._serve_api(incoming)
        with self.lock:
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            return self._serve_token(incoming)
        finally:
            with self.lock:
                self._in_flight -= 1

    def _serve_api(self, incoming: ProviderRequest) -> ProviderResponse:
        kind, _, token = incoming.headers.get("Authorization", "").partition(" ")
        status = self.api(token if kind == "Bearer" else "")
        found: dict[str, Any] = {"token": token, "path": incoming.target}
        if "things" in incoming.target:
            page = int(incoming.target.partition("page=")[2] or 0)
            found |= {"items": [page], "next": f"things?page={page + 1}" if page < LAST_PAGE else None}
        return ProviderResponse(status, found)

    def _serve_token(self, incoming: ProviderRequest) -> ProviderResponse:
        given = dict(parse_qsl(incoming.body.decode()))
        user = self.user_of(given)
        with self.lock:
            fault = self.faults.popleft() if self.faults else ""
        self.arrived.release()
        self.on_token(user)
        self.gate.wait()
        if isinstance(fault, tuple):
            self.token_calls.append((user, str(fault[0])))
            headers = fault[2] if len(fault) > 2 else {}
            return ProviderResponse(fault[0], fault[1], {**JSON, **headers})
        if fault not in {"", "lost"}:
            self.token_calls.append((user, str(fault)))
            return self._fail(fault)
        status, response, outcome = self.token(given, incoming.headers.get("Authorization", ""))
        self.token_calls.append((user, fault or outcome))
        if fault:
            return CLOSED
        if self.responses == "form":
            return ProviderResponse(status, urlencode(response), FORM)
        return ProviderResponse(status, response)

    def _fail(self, fault: Any) -> ProviderResponse:
        if fault == "hang":
            self._hang.wait()
        if fault in {"hang", "cut"}:
            return CLOSED
        if fault == "html":
            return ProviderResponse(200, "<html>Sign in again</html>", {"Content-Type": "text/html"})
        if isinstance(fault, int):
            return ProviderResponse(fault, {})
        return ProviderResponse(401 if fault == "invalid_client" else 400, {"error": fault})

    def _serve_revocation(self, incoming: ProviderRequest) -> ProviderResponse:
        given = dict(parse_qsl(incoming.body.decode()))
        fault = self.revocation_faults.popleft() if self.revocation_faults else ""
        is_status = isinstance(fault, int)
        status = fault if is_status else self.withdraw(given, incoming.headers.get("Authorization", ""))
        self.revocations.append((given.get("token_type_hint", ""), status))
        if fault == "hang":
            self._hang.wait()
        return CLOSED if fault in {"hang", "lost"} else ProviderResponse(status, {"echo": given.get("token")})
