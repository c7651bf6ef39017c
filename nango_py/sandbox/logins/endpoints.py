"""The URLs of a sandbox's login pages and token endpoints."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode

from nango_py.sandbox.credentials import path_of
from nango_py.sandbox.logins.oauth1 import OAuth1Endpoints
from nango_py.sandbox.logins.oauth2 import OAuth2Endpoints
from nango_py.sandbox.logins.own_requests import OwnRequests
from nango_py.sandbox.logins.page import consent_page, error_page
from nango_py.sandbox.logins.provider import Provider
from nango_py.sandbox.logins.requests import LoginRequest, RefusedError
from nango_py.sandbox.logins.signed_calls import MODES, SignedCalls
from nango_py.sandbox.logins.tokens import TokenBook
from nango_py.sandbox.logins.two_step import TwoStepEndpoints
from nango_py.sandbox.made_up import make_app_settings, make_credentials
from nango_py.sandbox.responses import SandboxResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.clock import Clock
    from nango_py.json_types import Settings
    from nango_py.sandbox.credentials import Credentials
    from nango_py.sandbox.http_socket import Request
    from nango_py.sandbox.logins.tokens import TokenRules

PREFIX = "/_sandbox/"
"""The path of what a sandbox serves besides its API."""

_URLS = {
    "authorization_url": "authorize",
    "token_url": "token",
    "refresh_url": "refresh",
    "revocation_url": "revoke",
    "request_url": "request_token",
    "pushed_authorization_url": "par",
    "device_authorization_url": "device",
}
_OAUTH2_MODES = frozenset(
    {"OAUTH2", "OAUTH2_CC", "OAUTH2_JWT", "OAUTH2_SAML", "TOKEN_EXCHANGE", "MCP_OAUTH2"}
)
_REDIRECT = 302


class LoginEndpoints:
    """The endpoints of one blueprint's auth mode, if it has any. Thread-safe.

    Args:
        settings: the merged settings of a blueprint or integration.
        users: user id -> credentials, or None if the sandbox has none.
        rules: how tokens behave.
        accepted: the credentials that the API accepts.
        clock: the time.
        accounts: how many accounts a login can choose from.
    """

    def __init__(
        self,
        settings: Settings,
        users: Mapping[str, Mapping[str, object]] | None,
        rules: TokenRules,
        accepted: Credentials,
        clock: Clock,
        accounts: int = 1,
    ) -> None:
        provider = self._provider = Provider(settings, users)
        self._clock = clock
        self._lock = threading.RLock()
        variable = "token" if provider.mode == "TWO_STEP" else "access_token"
        declared = (
            provider.number("token_lifetime_seconds"),
            provider.number("refresh_token_lifetime_seconds"),
        )
        self.tokens = TokenBook(rules, declared, accepted, variable, clock)
        self.oauth1 = OAuth1Endpoints(provider, accepted, clock) if provider.mode == "OAUTH1" else None
        self.signed_calls = SignedCalls(provider, clock) if provider.mode in MODES else None
        self.oauth2: OAuth2Endpoints | None = None
        self.two_step: TwoStepEndpoints | None = None
        self._own = OwnRequests(provider, self.tokens, accounts)
        if provider.mode in _OAUTH2_MODES:
            self.oauth2 = OAuth2Endpoints(provider, self.tokens, clock)
        elif provider.mode == "TWO_STEP":
            self.two_step = TwoStepEndpoints(provider, self.tokens, clock)

    def accept(self, user: str, credentials: Mapping[str, object]) -> None:
        """Set or replace the credentials of a user, for logins too."""
        with self._lock:
            self._provider.users = {**(self._provider.users or {}), user: credentials}
        if self.oauth1 is not None:
            self.oauth1.accept(user, credentials)

    def revoke(self, user: str) -> None:
        """Revoke what was granted to a user, and refuse the user's login."""
        with self._lock:
            users = self._provider.users
            if users is not None:
                self._provider.users = {name: given for name, given in users.items() if name != user}
        self.tokens.revoke_user(user)
        if self.oauth1 is not None:
            self.oauth1.revoke(user)

    @functools.cached_property
    def _app_settings(self) -> dict[str, object]:
        return make_app_settings(self._provider.settings)

    def make_credentials(self, user: str, origin: str) -> dict[str, object]:
        """New credentials of a user, as after a login at the sandbox with this origin."""
        if self.oauth1 is not None:
            return dict(self.oauth1.issue(user))
        made = make_credentials(self._provider.settings, user)
        if self.oauth2 is None or self._provider.mode not in {"OAUTH2", "MCP_OAUTH2"}:
            return made
        issued = self.tokens.issue(user, "")
        expires = None if issued.lifetime_seconds is None else self._clock.now() + issued.lifetime_seconds
        found = {
            "access_token": issued.access_token,
            "refresh_token": issued.refresh_token,
            "expires_at": expires,
            "raw": self._provider.fill(self._provider.raw_example() or {}),
            **self._own.discovered_fields(f"{origin}{PREFIX}"),
        }
        return {name: value for name, value in found.items() if value}

    def overrides(self, origin: str) -> dict[str, object]:
        """The settings of an integration that lead its logins here, `auth` and those of the application."""
        provider = self._provider
        auth: dict[str, object] = {}
        if provider.mode == "TWO_STEP":
            auth = self._step_overrides(origin)
        elif self.oauth1 is not None or self.oauth2 is not None:
            for key, name in _URLS.items():
                if provider.auth.get(key):
                    auth[key] = f"{origin}{PREFIX}{name}{path_of(provider.auth[key])}"
            auth |= self._own.overrides(f"{origin}{PREFIX}")
            auth |= self._additional_steps(origin)
        return {**self._app_settings, **({"auth": auth} if auth else {})}

    def _step_overrides(self, origin: str) -> dict[str, object]:
        auth, root = self._provider.auth, f"{origin}{PREFIX}"
        found: dict[str, object] = {"token_url": f"{root}login/0{path_of(auth['token_url'])}"}
        found |= self._additional_steps(origin)
        if auth.get("refresh_step"):
            found["refresh_step"] = {
                "token_url": f"{root}refresh{path_of(auth['refresh_step']['token_url'])}"
            }
        return found

    def _additional_steps(self, origin: str) -> dict[str, object]:
        steps = [
            {**step, "token_url": f"{origin}{PREFIX}login/{number}{path_of(step['token_url'])}"}
            for number, step in enumerate(self._provider.auth.get("additional_steps") or (), 1)
        ]
        return {"additional_steps": steps} if steps else {}

    def respond(self, request: Request, origin: str) -> SandboxResponse | None:
        """The response to a request below PREFIX; None if nothing is there."""
        path = request.target.partition("?")[0].removeprefix(PREFIX)
        name, _, rest = path.partition("/")
        number = rest.partition("/")[0]
        asked = LoginRequest.of(request, origin, rest)
        with self._lock:
            if self.two_step is not None:
                return _respond_to_step(self.two_step, asked, name, number)
            if name == "authorize":
                return self._authorize(asked)
            endpoints = self.oauth1 or self.oauth2
            if endpoints is not None and name in {"token", "refresh"}:
                return endpoints.respond(asked, is_refresh_url=name == "refresh")
            if self.oauth1 is not None and name == "request_token":
                return self.oauth1.request_token(asked)
            if self.oauth2 is not None:
                others = {
                    "revoke": self.oauth2.revoke, "par": self.oauth2.push, "device": self.oauth2.give_codes
                }  # fmt: skip
                if name in others:
                    return others[name](asked)
                if name == "login" and number.isdigit():
                    return self.oauth2.sessions.respond(asked, int(number) - 1)
            return self._own.respond(asked, name, rest)

    def _authorize(self, request: LoginRequest) -> SandboxResponse | None:
        endpoints = self.oauth1 or self.oauth2
        if endpoints is None:
            return None
        params = self._read_params(request.query)
        try:
            endpoints.check_authorization(params)
        except RefusedError as refused:
            return error_page(str(refused))
        if request.method == "POST":
            form = request.form()
            user = form.get("user", "") if form.get("decision") == "approve" else ""
            target = self._callback_url(endpoints, params, user)
            return SandboxResponse(_REDIRECT, (("Location", target), ("Cache-Control", "no-store")))
        provider = self._provider
        scope = params.get("scope", "")
        scopes = [each for each in scope.split(provider.scope_separator.strip() or None) if each.strip()]
        name = str(provider.settings.get("title") or provider.settings.get("name") or "the API")
        return consent_page(name, scopes, provider.users)

    def decide(self, url: str, user: str) -> str:
        """The callback URL of a login, after the user agreed; after the user declined if `user` is "".

        Raises:
            ValueError: the URL is not that of a login here, or the request is refused.
        """
        head, _, query = url.partition("?")
        endpoints = self.oauth1 or self.oauth2
        if f"{PREFIX}authorize" not in head or endpoints is None:
            raise ValueError("this is not the URL of a login page of the sandbox")
        params = self._read_params(dict(parse_qsl(query, keep_blank_values=True)))
        failure = ""
        with self._lock:
            try:
                endpoints.check_authorization(params)
                return self._callback_url(endpoints, params, user)
            except RefusedError as refused:
                failure = str(refused)
        raise ValueError(f"the login is refused: {failure}")

    def _read_params(self, params: Mapping[str, str]) -> Mapping[str, str]:
        """The parameters of a login page as RFC 6749 calls them, or those that were pushed."""
        return params if self.oauth2 is None else self.oauth2.read_params(params)

    def _callback_url(
        self, endpoints: OAuth1Endpoints | OAuth2Endpoints, params: Mapping[str, str], user: str
    ) -> str:
        target = params["redirect_uri"] if self.oauth1 is None else self.oauth1.callback_of(params)
        values = endpoints.grant(params, user) if user else endpoints.deny(params)
        url = quote(target, safe="!#$%&'()*+,/:;=?@[]~")  # a header holds ASCII, and no line break
        return f"{url}{'&' if '?' in target else '?'}{urlencode(values)}"


def _respond_to_step(
    endpoints: TwoStepEndpoints, request: LoginRequest, name: str, number: str
) -> SandboxResponse | None:
    if name == "refresh":
        return endpoints.refresh(request)
    return endpoints.log_in(request, int(number)) if name == "login" and number.isdigit() else None
