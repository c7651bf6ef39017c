"""The requests of an OAuth login: OAuth 2 (RFC 6749 4.1 with PKCE, RFC 7636) and OAuth 1.0a (RFC 5849 2).

`nango_py.protocols` builds and reads the messages. Here each is sent once, and never to another host.
"""

from __future__ import annotations

import hmac
import math
import random
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING
from urllib.parse import quote

from nango_py.config.schema.additional_config import check_additional_config, numbers_as_text
from nango_py.connect.failure import UNREACHABLE, UNUSABLE, LoginFailed
from nango_py.connections.rows import unstored_connection
from nango_py.errors import printable
from nango_py.pasted_text import find_unusable
from nango_py.protocols import oauth1_protocol, oauth2_protocol, session_steps, token_responses
from nango_py.protocols.after_login import MAX_VALUE_LENGTH, kept_names
from nango_py.protocols.client_auth import add_query
from nango_py.protocols.token_exchange import UNSPENT, TokenResponse, error_code
from nango_py.record import field, record, replaced
from nango_py.secret import mask_secrets
from nango_py.tokens.token_requests import NOT_RETRIED, make_token_plan, token_context, token_secrets
from nango_py.transport.sendable import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.config.model import Integration
    from nango_py.json_types import JsonObject, JsonValue, Settings
    from nango_py.protocols.token_exchange import TokenContext, TokenRefresh, TokenRequest
    from nango_py.services import Services

STEP_SECONDS = 30.0
"""For all requests of one step of a login."""

LONGEST_WAIT_SECONDS = 5.0
"""How long a login waits at most because a server asks for it; a user waits for the login."""

MAX_QUOTED = 300
_CODE = re.compile(r"[\x20-\x7e]{1,8192}")  # RFC 6749 appendix A.11
_DENIED = frozenset({"access_denied", "user_denied", "user_refused", "permission_denied", "consent_denied"})
_TEMPORARY = frozenset({"temporarily_unavailable", "server_error"})
_INVALID_RESPONSE = frozenset({"too_large", "protocol"})
_UNNAMED_ERROR = "an error without a name"


@record
class LoginResult:
    """The credentials and settings that a login produced; `auth.after_login` may add more settings."""

    credentials: Settings = field(repr=False)
    additional_config: JsonObject = field(repr=False)
    missing_scopes: tuple[str, ...] = ()


class Login(ABC):
    """One user's login at one provider. It holds no state, and each step creates a new one."""

    def __init__(
        self, services: Services, integration: Integration, user_id: str, additional_config: JsonObject
    ) -> None:
        self._services = services
        self._integration = integration
        self._config = additional_config
        # What an earlier login stored may belong to another account, so it is not used.
        self._connection = unstored_connection(
            integration.name, user_id, {}, additional_config, services.clock.now()
        )

    @abstractmethod
    def start(self, redirect_uri: str, state: str) -> tuple[str, JsonObject]:
        """Where to send the browser, and what must be kept secret until it returns."""

    @abstractmethod
    def finish(self, callback: Mapping[str, str], redirect_uri: str, kept: Settings) -> LoginResult:
        """What the provider grants for its callback.

        Raises:
            LoginFailed: the callback reports an error, or the user declined.
            TokenRefused, TokenUnavailable, ConfigError: the exchange failed.
        """

    def context(self) -> TokenContext:
        """What the protocol functions need to know, as of now."""
        return token_context(self._integration, self._connection, self._services.clock.now())

    def send(
        self, make_request: Callable[[TokenContext], TokenRequest]
    ) -> tuple[TokenContext, TokenResponse]:
        """Send a request of the login; see `send_once`."""
        return send_once(self._services, self.context, make_request)

    def quote_provider(self, text: object, context: TokenContext) -> str:
        """What a provider says, as one short line without our secrets."""
        return mask_secrets(printable(str(text or ""), MAX_QUOTED), token_secrets(context))


class CodeLogin(Login):
    """OAuth 2: the code in the callback, bound to our verifier, is exchanged for tokens."""

    def start(self, redirect_uri: str, state: str) -> tuple[str, JsonObject]:
        """The authorization URL, and the PKCE verifier."""
        context = self.context()
        verifier = oauth2_protocol.code_verifier() if oauth2_protocol.uses_pkce(context) else ""
        params = oauth2_protocol.authorization_params(
            context, redirect_uri=redirect_uri, state=state, verifier=verifier
        )
        if context.settings.get("pushed_authorization_url"):
            context, response = self.send(lambda context: oauth2_protocol.pushed_request(context, params))
            params = oauth2_protocol.read_pushed_response(context, response)
        return oauth2_protocol.authorization_url(context, params), {"verifier": verifier}

    def finish(self, callback: Mapping[str, str], redirect_uri: str, kept: Settings) -> LoginResult:
        """The credentials for the code."""
        self._check_issuer(callback)
        callback = _rename_params(callback, self._integration.settings["auth"].get("callback_params") or {})
        self._check_error(callback)
        self._keep(oauth2_protocol.kept_from_callback(self._integration.settings["auth"], callback))
        code = callback.get("code", "")
        if not _CODE.fullmatch(code):
            raise LoginFailed("provider_error", "the provider's response has no valid code")
        context, response = self.send(
            lambda context: oauth2_protocol.code_request(
                context, code=code, redirect_uri=redirect_uri, verifier=kept["verifier"]
            )
        )
        context = replaced(context, sent_once=(code, kept["verifier"]))
        return self.read_grant(context, response)

    def read_grant(self, context: TokenContext, response: TokenResponse) -> LoginResult:
        """What a token response grants, after the requests that follow it.

        Args:
            context: of the request.
            response: of the token endpoint.

        Raises:
            TokenRefused, TokenUnavailable: the response, or that of a later request, grants nothing.
        """
        credentials = oauth2_protocol.read_credentials(context, response)
        values: JsonValue = token_responses.decode_body(response)
        if context.settings.get("additional_steps"):
            credentials = self._open_session(session_steps.open_session(context, credentials))
            values = credentials["raw"]
        config = self._add(oauth2_protocol.kept_from_response(self.context(), values))
        return LoginResult(credentials, config, find_missing_scopes(context, credentials))

    def _open_session(self, steps: TokenRefresh) -> JsonObject:
        try:
            request = next(steps)
            while True:
                _, response = self.send(lambda _, request=request: request)  # type: ignore[misc]
                request = steps.send(response)
        except StopIteration as end:
            credentials: JsonObject = end.value
            return credentials

    def _keep(self, values: JsonObject) -> None:
        """Use values of the callback, which may choose the host of the exchange.

        A callback is what the browser says, so the user may have written it: a host is checked first.
        """
        if values:
            config = check_partial_config(self._integration, self._add(values), self.context().place)
            user_id, now = self._connection.user_id, self._services.clock.now()
            self._config = config
            self._connection = unstored_connection(self._integration.name, user_id, {}, config, now)

    def _add(self, values: JsonObject) -> JsonObject:
        for name, value in values.items():
            if isinstance(value, str) and (found := find_unusable(value, is_name=True)):
                raise LoginFailed("exchange_failed", f"the provider's {name} contains {found}")
            if isinstance(value, str) and len(value) > MAX_VALUE_LENGTH:
                raise LoginFailed("exchange_failed", f"the provider's {name} is too long")
        schema = self._integration.settings.get("connection_config")
        return {**self._config, **numbers_as_text(schema, values)}

    def _check_issuer(self, callback: Mapping[str, str]) -> None:
        """RFC 9207: a code from another server is not sent to ours."""
        context, issuer = self.context(), callback.get("iss", "")
        if not context.settings.get("issuer"):
            return
        if issuer and _is_equal(issuer, context.url("issuer")):
            return
        if issuer or context.settings.get("requires_issuer") is True:
            message = "the response comes from a different server than the login was sent to"
            reason = f"iss is {self.quote_provider(issuer, context) or 'missing'}"
            raise LoginFailed("wrong_issuer", message, reason)

    def _check_error(self, callback: Mapping[str, str]) -> None:
        if "error" not in callback:
            return
        context = self.context()
        word = error_code(callback["error"].strip())
        description = self.quote_provider(callback.get("error_description"), context)
        text = ": ".join(filter(None, (word or _UNNAMED_ERROR, description)))
        if word.lower() in _DENIED:
            raise LoginFailed("access_denied", "access was not granted", text)
        if word.lower() in _TEMPORARY:
            raise LoginFailed("unavailable", f"logins at the provider are unavailable at the moment ({text})")
        raise LoginFailed("provider_error", f"the provider reports: {text}")


class SignedLogin(Login):
    """OAuth 1.0a: temporary credentials and the callback's verifier are exchanged for permanent ones."""

    def start(self, redirect_uri: str, state: str) -> tuple[str, JsonObject]:
        """The authorization URL, and the temporary credentials, which take a request to get.

        The protocol has no state, so ours is part of the callback URL.
        """
        callback = add_query(redirect_uri, f"state={quote(state, safe='')}")
        context, response = self.send(lambda context: oauth1_protocol.temporary_request(context, callback))
        temporary = oauth1_protocol.read_temporary_credentials(context, response)
        url = oauth1_protocol.authorization_url(context, temporary["oauth_token"])
        return url, {"temporary": {**temporary}}

    def finish(self, callback: Mapping[str, str], redirect_uri: str, kept: Settings) -> LoginResult:
        """The credentials for the verifier."""
        self._check_error(callback)
        temporary = kept["temporary"]
        if not _is_equal(callback.get("oauth_token", ""), temporary["oauth_token"]):
            raise LoginFailed("state_invalid", "the provider's response belongs to another login")
        verifier = callback.get("oauth_verifier", "")
        if not _CODE.fullmatch(verifier):
            raise LoginFailed("provider_error", "the provider's response has no valid verifier")
        context, response = self.send(
            lambda context: oauth1_protocol.token_request(context, temporary, verifier)
        )
        credentials = oauth1_protocol.read_credentials(context, response)
        return LoginResult(credentials, self._config)

    def _check_error(self, callback: Mapping[str, str]) -> None:
        problem = error_code(callback.get("oauth_problem") or callback.get("error"))
        if "denied" in callback or problem.lower() in _DENIED:
            raise LoginFailed("access_denied", "access was not granted", problem)
        if problem or "oauth_problem" in callback or "error" in callback:
            raise LoginFailed("provider_error", f"the provider reports: {problem or _UNNAMED_ERROR}")


def send_once(
    services: Services,
    get_context: Callable[[], TokenContext],
    make_request: Callable[[TokenContext], TokenRequest],
) -> tuple[TokenContext, TokenResponse]:
    """Send a request and read its response. It is sent again only if nothing can have been exchanged.

    That is so if the server did not receive it, or responded with 429 or 503: codes and verifiers are
    valid once. Each attempt has its own nonce, timestamp and assertion.

    Raises:
        LoginFailed: there was no response, or not an HTTP response.
    """
    clock = services.clock
    ends = clock.monotonic() + STEP_SECONDS
    for is_last in (False, True):
        context = get_context()
        plan = make_token_plan(make_request(context), context)
        outcome = services.transport.send(plan, max(0.001, ends - clock.monotonic()))
        if not isinstance(outcome, Failure):
            response = TokenResponse(outcome.status_code, outcome.headers, outcome.content)
            wait = _seconds_to_wait(response, clock.now())
            if is_last or wait > LONGEST_WAIT_SECONDS:
                return context, response
            clock.sleep(wait)
            continue
        if is_last or outcome.sent or outcome.reason in NOT_RETRIED:
            break
        clock.sleep(random.uniform(0.05, 0.3))  # noqa: S311 - it spreads load
    if outcome.reason == "blocked":
        raise LoginFailed("invalid_credentials", "the host of this account is not allowed", outcome.text)
    if outcome.reason in _INVALID_RESPONSE:
        raise LoginFailed("exchange_failed", UNUSABLE, outcome.text)
    raise LoginFailed("unavailable", UNREACHABLE, outcome.text)


def _seconds_to_wait(response: TokenResponse, now: float) -> float:
    """How long to wait before a request is sent again; infinite if it must not be."""
    if response.status not in UNSPENT:
        return math.inf
    wait = token_responses.retry_after(response, now)
    return 1.0 if wait is None else wait


def provider_fields(integration: Integration) -> frozenset[str]:
    """Fields of additional_config that the provider sends during a login, so users need not enter them."""
    auth = integration.settings["auth"]
    names = (*(auth.get("keep_from_callback") or ()), *(auth.get("keep_from_response") or ()))
    return frozenset((*(str.__str__(name) for name in names), *kept_names(auth)))


def check_user_config(integration: Integration, config: JsonObject, place: str) -> JsonObject:
    """The checked settings that a user entered before the login, without those that the provider sends.

    Raises:
        ConfigError: a value is missing, unknown or invalid.
    """
    from_provider = provider_fields(integration)
    entered = {name: value for name, value in config.items() if name not in from_provider}
    schema = integration.settings.get("connection_config")
    if schema is not None:
        required = [name for name in schema.get("required", ()) if name not in from_provider]
        schema = {**schema, "required": required}
    return check_additional_config(schema, entered, place)


def check_partial_config(integration: Integration, config: JsonObject, place: str) -> JsonObject:
    """Settings that are known so far, checked; others may follow.

    Raises:
        ConfigError: a value is unknown or invalid.
    """
    schema = integration.settings.get("connection_config")
    return check_additional_config(None if schema is None else {**schema, "required": ()}, config, place)


def check_final_config(integration: Integration, config: JsonObject, place: str) -> JsonObject:
    """All settings after the login, those of the user and those of the provider, checked."""
    return check_additional_config(integration.settings.get("connection_config"), config, place)


def find_missing_scopes(context: TokenContext, credentials: Settings) -> tuple[str, ...]:
    """Scopes that were requested and, according to the provider, not granted (RFC 6749 3.3)."""
    scope = credentials.get("scope")
    if not isinstance(scope, str):
        return ()
    separator = context.text("scope_separator", " ").strip()
    granted = set(re.split(r"[\s,]+", scope))
    granted |= {name.strip() for name in scope.split(separator)} if separator else set()
    aliases = context.settings.get("scope_aliases") or {}
    if credentials.get("refresh_token"):
        granted.add("offline_access")  # all that it asks for (OpenID Connect Core 11); some do not repeat it
    return tuple(name for name in context.scopes if name not in granted and aliases.get(name) not in granted)


def _rename_params(callback: Mapping[str, str], names: Settings) -> Mapping[str, str]:
    """The callback with the parameters of RFC 6749 instead of the provider's."""
    own = {name: callback[param] for name, param in names.items() if param in callback}
    return {**{name: value for name, value in callback.items() if name not in names}, **own}


def _is_equal(given: str, expected: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(*(text.encode("utf-8", "surrogatepass") for text in (given, expected)))
