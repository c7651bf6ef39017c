"""The requests of a login: where the browser is sent, and what its response is exchanged for.

OAuth 2 (RFC 6749 4.1 with PKCE, RFC 7636) and OAuth 1.0a (RFC 5849 2). What is said over the wire is made by
`nango_py.protocols`; here it is sent, once, and never to another host.
"""

from __future__ import annotations

import hmac
import random
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nango_py.auth.base import get_auth_mode
from nango_py.auth.oauth1 import OAuth1
from nango_py.auth.oauth2 import OAuth2
from nango_py.config.schema.additional_config import check_additional_config
from nango_py.connect.failure import UNREACHABLE, UNUSABLE, LoginFailed
from nango_py.connections.rows import unstored_connection
from nango_py.errors import printable
from nango_py.protocols import oauth1_protocol, oauth2_protocol
from nango_py.protocols.token_exchange import TokenResponse, error_word
from nango_py.record import field, record
from nango_py.secret import mask_secrets
from nango_py.tokens.token_requests import NOT_SENT_AGAIN, make_shield, make_token_plan, token_context
from nango_py.transport.sendable import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.config.model import Integration
    from nango_py.protocols.token_exchange import TokenContext, TokenRequest
    from nango_py.services import Services

SECONDS = 30.0
"""For all requests of one step of a login together."""

LONGEST_TEXT = 300
LONGEST_KEPT = 1024
_CODE = re.compile(r"[\x20-\x7e]{1,8192}")  # RFC 6749 appendix A.11
_DENIED = frozenset({"access_denied", "user_denied", "user_refused", "permission_denied", "consent_denied"})
_LATER = frozenset({"temporarily_unavailable", "server_error"})
_NO_RESPONSE = frozenset({"too_large", "protocol"})


@record
class LoginResult:
    """What a login brought. It holds credentials: its repr is masked."""

    credentials: Mapping[str, Any] = field(repr=False)
    additional_config: Mapping[str, Any] = field(repr=False)
    missing_scopes: tuple[str, ...] = ()


class Login(ABC):
    """One user's login at one provider; it keeps nothing, and is made anew for each step."""

    def __init__(
        self, parts: Services, integration: Integration, user_id: str, additional_config: Mapping[str, Any]
    ) -> None:
        self._parts = parts
        self._integration = integration
        self._settings = additional_config
        # A login starts from nothing: what an earlier one left may belong to another account.
        self._connection = unstored_connection(
            integration.name, user_id, {}, additional_config, parts.clock.now()
        )

    @abstractmethod
    def start(self, redirect_uri: str, state: str) -> tuple[str, dict[str, Any]]:
        """Where to send the browser, and what has to be kept, in secret, until it comes back."""

    @abstractmethod
    def finish(self, callback: Mapping[str, str], redirect_uri: str, kept: Mapping[str, Any]) -> LoginResult:
        """What the provider gives for its callback.

        Raises:
            LoginEnded: the user or the provider said no in the callback.
            TokenRefused, TokenUnavailable, ConfigError: the exchange failed.
        """

    def context(self) -> TokenContext:
        """All that the protocol's functions know, as of now."""
        return token_context(self._integration, self._connection, self._parts.clock.now())

    def response(self, request: Callable[[TokenContext], TokenRequest]) -> tuple[TokenContext, TokenResponse]:
        """Send a request and read its response; again only if nothing of it can have arrived.

        A code and a verifier are good for one use. The request is made anew each time, with the nonce,
        the timestamp and the assertion of its own.

        Raises:
            LoginEnded: no response came, or none that HTTP knows.
        """
        clock = self._parts.clock
        ends = clock.monotonic() + SECONDS
        for is_last in (False, True):
            context = self.context()
            plan = make_token_plan(request(context), make_shield(context))
            outcome = self._parts.transport.send(plan, max(0.001, ends - clock.monotonic()))
            if not isinstance(outcome, Failure):
                content = outcome.content
                return context, TokenResponse(outcome.status_code, outcome.headers, content)
            if is_last or outcome.sent or outcome.reason in NOT_SENT_AGAIN:
                break
            clock.sleep(random.uniform(0.05, 0.3))  # noqa: S311 - it spreads load
        if outcome.reason == "blocked":
            raise LoginFailed(
                "invalid_credentials", "the host of this connection cannot be used", outcome.text
            )
        if outcome.reason in _NO_RESPONSE:
            raise LoginFailed("exchange_failed", UNUSABLE, outcome.text)
        raise LoginFailed("unavailable", UNREACHABLE, outcome.text)

    def said(self, text: Any, context: TokenContext) -> str:
        """What a provider says in words: one line, cut, and without what only we may know."""
        *secrets, _ = make_shield(context).secrets
        return mask_secrets(printable(str(text or ""), LONGEST_TEXT), secrets)


class CodeLogin(Login):
    """OAuth 2: a code in the callback, bound to our verifier, is exchanged for tokens."""

    def start(self, redirect_uri: str, state: str) -> tuple[str, dict[str, Any]]:
        """The authorization URL, and the PKCE verifier."""
        context = self.context()
        verifier = oauth2_protocol.code_verifier() if oauth2_protocol.uses_pkce(context) else ""
        url = oauth2_protocol.authorization_url(
            context, redirect_uri=redirect_uri, state=state, verifier=verifier
        )
        return url, {"verifier": verifier}

    def finish(self, callback: Mapping[str, str], redirect_uri: str, kept: Mapping[str, Any]) -> LoginResult:
        """The credentials for the code."""
        self._check_issuer(callback)
        self._check_refusal(callback)
        code = callback.get("code", "")
        if not _CODE.fullmatch(code):
            raise LoginFailed("provider_error", "the provider's answer holds no usable code")
        context, response = self.response(
            lambda context: oauth2_protocol.code_request(
                context, code=code, redirect_uri=redirect_uri, verifier=kept["verifier"]
            )
        )
        credentials = oauth2_protocol.read_credentials(context, response)
        found = oauth2_protocol.values_to_keep(context, response, callback)
        for name, value in found.items():
            if isinstance(value, str) and len(value) > LONGEST_KEPT:
                raise LoginFailed("exchange_failed", f"the provider's {name} is too long")
        return LoginResult(
            credentials,
            complete(self._integration, {**self._settings, **found}, context.place),
            missing_scopes(context, credentials),
        )

    def _check_issuer(self, callback: Mapping[str, str]) -> None:
        """RFC 9207: a response that another server sent is not taken to ours."""
        context, given = self.context(), callback.get("iss", "")
        if not context.settings.get("issuer"):
            return
        if given and _are_equal(given, context.url("issuer")):
            return
        if given or context.settings.get("requires_issuer") is True:
            what = "the response comes from another server than the one that was asked"
            raise LoginFailed("wrong_issuer", what, f"iss is {self.said(given, context) or 'missing'}")

    def _check_refusal(self, callback: Mapping[str, str]) -> None:
        if "error" not in callback:
            return
        context = self.context()
        word = error_word(callback["error"].strip())
        description = self.said(callback.get("error_description"), context)
        said = ": ".join(filter(None, (word or "an error without a name", description)))
        if word.lower() in _DENIED:
            raise LoginFailed("access_denied", "access was not granted", said)
        if word.lower() in _LATER:
            raise LoginFailed("unavailable", f"the provider cannot log anybody in at present ({said})")
        raise LoginFailed("provider_error", f"the provider says: {said}")


class SignedLogin(Login):
    """OAuth 1.0a: temporary credentials are exchanged, with the callback's verifier, for lasting ones."""

    def start(self, redirect_uri: str, state: str) -> tuple[str, dict[str, Any]]:
        """The authorization URL, and the temporary credentials, which take one request to get.

        The protocol has no state, so ours is part of the callback's URL.
        """
        callback = f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}state={quote(state, safe='')}"
        context, response = self.response(
            lambda context: oauth1_protocol.temporary_request(context, callback)
        )
        temporary = oauth1_protocol.read_temporary_credentials(context, response)
        return oauth1_protocol.authorization_url(context, temporary["oauth_token"]), {"temporary": temporary}

    def finish(self, callback: Mapping[str, str], redirect_uri: str, kept: Mapping[str, Any]) -> LoginResult:
        """The credentials for the verifier."""
        self._check_refusal(callback)
        temporary = kept["temporary"]
        if not _are_equal(callback.get("oauth_token", ""), temporary["oauth_token"]):
            raise LoginFailed("state_invalid", "the provider's answer belongs to another login")
        verifier = callback.get("oauth_verifier", "")
        if not _CODE.fullmatch(verifier):
            raise LoginFailed("provider_error", "the provider's answer holds no usable verifier")
        context, response = self.response(
            lambda context: oauth1_protocol.token_request(context, temporary, verifier)
        )
        credentials = oauth1_protocol.read_credentials(context, response)
        return LoginResult(credentials, complete(self._integration, self._settings, context.place))

    def _check_refusal(self, callback: Mapping[str, str]) -> None:
        problem = error_word(callback.get("oauth_problem") or callback.get("error"))
        if "denied" in callback or problem.lower() in _DENIED:
            raise LoginFailed("access_denied", "access was not granted", problem)
        if problem or "oauth_problem" in callback or "error" in callback:
            raise LoginFailed("provider_error", f"the provider says: {problem or 'an error without a name'}")


def logs_in_by_browser(integration: Integration) -> bool:
    """Whether a user connects this integration by a login at the provider, and not by a form."""
    return _kind_of(integration) is not None


def make_login(
    parts: Services, integration: Integration, user_id: str, additional_config: Mapping[str, Any]
) -> Login:
    """The login of an integration, for settings that are checked.

    Raises:
        LoginEnded: `not_allowed`: its auth mode has no login by browser.
    """
    kind = _kind_of(integration)
    if kind is None:
        what = f"{integration.title or integration.name} has no login page; its credentials are entered"
        raise LoginFailed("not_allowed", what, f"{integration.auth_mode} has no login by browser")
    return kind(parts, integration, user_id, additional_config)


def _kind_of(integration: Integration) -> type[Login] | None:
    mode = get_auth_mode(integration.auth_mode)
    if isinstance(mode, OAuth1):
        return SignedLogin
    if not isinstance(mode, OAuth2):
        return None
    declared = integration.settings["auth"].get("token_params") or {}
    return None if declared.get("grant_type") == "client_credentials" else CodeLogin


def provider_fields(integration: Integration) -> frozenset[str]:
    """The names of additional_config that the provider tells in a login, so that nobody has to."""
    auth = integration.settings["auth"]
    names = (*(auth.get("keep_from_callback") or ()), *(auth.get("keep_from_response") or ()))
    return frozenset(str.__str__(name) for name in names)


def asked_config(integration: Integration, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What a user may say before the login: checked, and without what the provider will tell.

    Raises:
        ConfigError: a value is missing, unknown or not as declared.
    """
    told = provider_fields(integration)
    kept = {name: value for name, value in given.items() if name not in told}
    schema = integration.settings.get("connection_config")
    if schema is not None:
        schema = {**schema, "required": [name for name in schema.get("required", ()) if name not in told]}
    return check_additional_config(schema, kept, where)


def complete(integration: Integration, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """All settings after the login: checked as a whole, as `asked_config` and the provider gave them."""
    return check_additional_config(integration.settings.get("connection_config"), values, where)


def missing_scopes(context: TokenContext, credentials: Mapping[str, Any]) -> tuple[str, ...]:
    """Scopes that were asked for and, by the provider's own account, not granted (RFC 6749 3.3)."""
    said = credentials.get("scope")
    if not isinstance(said, str):
        return ()
    separator = context.text("scope_separator", " ").strip()
    granted = set(re.split(r"[\s,]+", said))
    granted |= {scope.strip() for scope in said.split(separator)} if separator else set()
    names = context.settings.get("scope_aliases") or {}
    return tuple(
        scope for scope in context.scopes if scope not in granted and names.get(scope) not in granted
    )


def _are_equal(given: str, known: str) -> bool:
    """Whether the texts are the same, in a time that does not tell how much of them is."""
    return hmac.compare_digest(*(text.encode("utf-8", "surrogatepass") for text in (given, known)))
