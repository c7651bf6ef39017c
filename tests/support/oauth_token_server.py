"""A small OAuth 2 provider on a real socket, with an API, and a ledger of all calls.

    with Provider(rotation="strict") as provider:
        credentials = provider.grant("user-1")

Refresh tokens are kept (`none`), replaced with the old one good for a while (`grace`), or replaced at once,
where the use of an old one withdraws everything (`strict`; RFC 9700 section 4.14.2).
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, unquote, urlencode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CLIENT_ID = "client_planted_0001"
CLIENT_SECRET = "client_secret_planted_0001"
LAST_PAGE = 7


class Family:
    """The state of one user's grant."""

    def __init__(self, user: str, refresh: str) -> None:
        self.user = user
        self.refresh = refresh
        self.earlier: dict[str, float] = {}
        self.is_revoked = False


class Provider:
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
        self.rotation = rotation
        self.life = life
        self.grace_seconds = grace_seconds
        self.client_auth = client_auth
        self.responses = responses
        self.expiry = expiry
        self.now = now
        self.clock_ahead = clock_ahead
        self.prefix = prefix
        self.faults: deque[Any] = deque()
        self.token_calls: list[tuple[str, str]] = []
        self.api_calls: list[tuple[str, int]] = []
        self.requests: list[dict[str, Any]] = []
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
        self._lock = threading.Lock()
        self._families: dict[str, Family] = {}
        self._ends: dict[str, float] = {}
        self._owners: dict[str, Family] = {}
        self._count = 0
        self._hang = threading.Event()

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.provider = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._hang.set()
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def grant(self, user: str, *, expired: bool = False, life: float | None = None) -> dict[str, Any]:
        """Credentials for register_connection; `expired` ones have a token that has expired."""
        with self._lock:
            refresh = self._named("refresh")
            family = self._families[refresh] = Family(user, refresh)
            access = self._named("access")
            seconds = -60.0 if expired else (self.life if life is None else life)
            self._ends[access] = self.now() + seconds
            self._owners[access] = family
        return {"access_token": access, "refresh_token": refresh, "expires_at": self.now() + seconds}

    def forget(self, access_token: str) -> None:
        """Revoke an access token before it expires."""
        with self._lock:
            self._ends[access_token] = 0.0
            self._owners[access_token].earlier["withdrawn"] = 0.0
            del self._owners[access_token]

    def revoke(self, refresh_token: str) -> None:
        """Revoke a grant, as a user does on the provider's page."""
        with self._lock:
            self._families[refresh_token].is_revoked = True

    def withdraw(self, given: dict[str, str], authorization: str) -> int:
        """Decide a revocation request (RFC 7009); an unknown token is a 400, as at Google."""
        with self._lock:
            token = given.get("token", "")
            family = self._families.get(token) or self._owners.get(token)
            if not self._knows_client(given, authorization):
                return 401
            is_replaced = family is not None and token in self._families and token != family.refresh
            if family is None or family.is_revoked or is_replaced:
                return 400
            family.is_revoked = True
            return 200

    def calls_of(self, user: str) -> list[str]:
        """The results of a user's token requests."""
        with self._lock:
            return [outcome for name, outcome in self.token_calls if name == user]

    def _named(self, kind: str) -> str:
        self._count += 1
        return f"{self.prefix}{kind}_{self._count:05d}_planted{self.prefix}"

    def token(self, given: dict[str, str], authorization: str) -> tuple[int, dict[str, Any], str]:
        """Decide a token request: status, response, and the word for the ledger."""
        with self._lock:
            if not self._knows_client(given, authorization):
                return 401, {"error": "invalid_client"}, "invalid_client"
            if given.get("grant_type") == "client_credentials":
                return 200, self._issued(Family("application", "")), "granted"
            family = self._families.get(given.get("refresh_token", ""))
            if given.get("grant_type") != "refresh_token" or family is None:
                return 400, {"error": "invalid_grant"}, "invalid_grant"
            given_token = given["refresh_token"]
            if family.is_revoked:
                return 400, {"error": "invalid_grant"}, "invalid_grant"
            if given_token != family.refresh:
                if self.rotation != "grace" or self.now() > family.earlier[given_token]:
                    family.is_revoked = True
                    return 400, {"error": "invalid_grant"}, "reused"
            elif self.rotation != "none":
                family.earlier[family.refresh] = self.now() + self.grace_seconds
            if self.rotation != "none":
                family.refresh = self._named("refresh")
                self._families[family.refresh] = family
            return 200, self._issued(family), "granted"

    def user_of(self, given: dict[str, str]) -> str:
        """The owner of a refresh token."""
        family = self._families.get(given.get("refresh_token", ""))
        return "application" if family is None else family.user

    def _knows_client(self, given: dict[str, str], authorization: str) -> bool:
        if self.client_auth == "header":
            kind, _, encoded = authorization.partition(" ")
            name, _, secret = base64.b64decode(encoded).decode().partition(":")
            return kind == "Basic" and (unquote(name), unquote(secret)) == (CLIENT_ID, CLIENT_SECRET)
        return (given.get("client_id"), given.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)

    def _issued(self, family: Family) -> dict[str, Any]:
        access = self._named("access")
        self._ends[access] = self.now() + self.life
        self._owners[access] = family
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
        with self._lock:
            family, ends = self._owners.get(token), self._ends.get(token, 0.0)
            if family is not None and ends <= self.now():
                self.expired_sent.append(token)
            good = family is not None and not family.is_revoked and ends > self.now()
            status = 200 if good and not self.always_refuses else 401
            if self.refuses:
                status = self.refuses.popleft()
            self.api_calls.append((token, status))
            return status


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    provider: Provider

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: these tests kill clients."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The provider's time, which may differ from ours."""
        provider = self.server.provider
        return super().date_time_string(int(provider.now() + provider.clock_ahead))

    def log_message(self, *_: Any) -> None:
        """Nothing: the ledger has it."""

    def do_POST(self) -> None:
        """A token request, or an API call with a body."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        if self.path.startswith("/token"):
            provider = self.server.provider
            with provider._lock:
                provider._in_flight += 1
                provider.most_in_flight = max(provider.most_in_flight, provider._in_flight)
            try:
                self._token(body)
            finally:
                with provider._lock:
                    provider._in_flight -= 1
        elif self.path.startswith("/revoke"):
            self._revoke(body)
        else:
            self.do_GET()

    def do_GET(self) -> None:
        """An API call."""
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        status = self.server.provider.api(token if kind == "Bearer" else "")
        found: dict[str, Any] = {"token": token, "path": self.path}
        if "things" in self.path:
            page = int(self.path.partition("page=")[2] or 0)
            found |= {"items": [page], "next": f"things?page={page + 1}" if page < LAST_PAGE else None}
        self._response(status, json.dumps(found).encode())

    def _token(self, body: bytes) -> None:
        provider = self.server.provider
        given = dict(parse_qsl(body.decode()))
        user = provider.user_of(given)
        with provider._lock:
            fault = provider.faults.popleft() if provider.faults else ""
        provider.arrived.release()
        provider.on_token(user)
        provider.gate.wait()
        if fault == "hang":
            provider.token_calls.append((user, "hang"))
            provider._hang.wait()
            self.close_connection = True
            return
        if isinstance(fault, tuple):
            provider.token_calls.append((user, str(fault[0])))
            body = fault[1] if isinstance(fault[1], bytes) else json.dumps(fault[1]).encode()
            self._response(fault[0], body, "application/json", fault[2] if len(fault) > 2 else {})
            return
        if isinstance(fault, int) or fault in {"html", "cut"} or fault.startswith("invalid"):
            provider.token_calls.append((user, str(fault)))
            self._fail(fault)
            return
        status, response, outcome = provider.token(given, self.headers.get("Authorization", ""))
        provider.token_calls.append((user, "lost" if fault == "lost" else outcome))
        if fault == "lost":
            self.close_connection = True
            return
        if provider.responses == "form":
            self._response(status, urlencode(response).encode(), "application/x-www-form-urlencoded")
        else:
            self._response(status, json.dumps(response).encode())

    def _revoke(self, body: bytes) -> None:
        provider, given = self.server.provider, dict(parse_qsl(body.decode()))
        fault = provider.revocation_faults.popleft() if provider.revocation_faults else ""
        if isinstance(fault, int):
            status = fault
        else:
            status = provider.withdraw(given, self.headers.get("Authorization", ""))
        provider.revocations.append((given.get("token_type_hint", ""), status))
        if fault == "hang":
            provider._hang.wait()
        if fault in {"hang", "lost"}:
            self.close_connection = True
            return
        self._response(status, json.dumps({"echo": given.get("token")}).encode())

    def _fail(self, fault: Any) -> None:
        if fault == "cut":
            self.close_connection = True
        elif fault == "html":
            self._response(200, b"<html>Sign in again</html>", "text/html")
        elif isinstance(fault, int):
            self._response(fault, b"{}")
        else:
            status = 401 if fault == "invalid_client" else 400
            self._response(status, json.dumps({"error": fault}).encode())

    def _response(
        self,
        status: int,
        body: bytes,
        kind: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
