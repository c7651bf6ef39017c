"""OAuth logins of a product's users, from the click to the stored connection.

A login is identified by its state: 256 random bits, of which the database holds a hash. A state is valid
once, for ten minutes, and only in the browser that started the login. What the callback must not decide is
stored encrypted until then.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from nango_py.auth.base import mode_of
from nango_py.config.urls.hosts import origin_of
from nango_py.config.values import NOTHING
from nango_py.connect.after_login import ChoiceNeeded, choose, complete_settings, find_choice, find_view
from nango_py.connect.failure import LOGIN_ERRORS, LoginFailed, explain_failure
from nango_py.connect.form_values import CHECK_FIELDS, FormValues, clean_settings, find_hidden_settings
from nango_py.connect.forms import make_form
from nango_py.connect.keep_alive import keep_alive
from nango_py.connect.login_kinds import make_login
from nango_py.connect.oauth import LoginResult, check_user_config, provider_fields
from nango_py.connect.outcome import LoginOutcome, find_outcome, report_outcome, save_outcome
from nango_py.connections.connection import ACTIVE, NEEDS_CHOICE
from nango_py.connections.rows import unstored_connection
from nango_py.engine.log import get_logger, log_token
from nango_py.errors import ConnectFailed, StorageError, printable
from nango_py.record import field_names
from nango_py.secret import without_frames
from nango_py.tokens.shutdown import SHUTDOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nango_py.accounts import Accounts
    from nango_py.config.model import Integration
    from nango_py.connect.device import DeviceLogin
    from nango_py.connect.keep_alive import KeptAlive
    from nango_py.connections.connection import PublicView
    from nango_py.json_types import JsonObject, Settings
    from nango_py.protocols.after_login import Choice

Begun = TypeVar("Begun")

LOGIN_SECONDS = 600.0
"""How long a user may take at the provider."""

STATE = re.compile(r"[A-Za-z0-9_-]{43}")
"""The form of `secrets.token_urlsafe(32)`."""

WARNING_OF_END = (
    "the provider gave it an end but no refresh token; ask for one in the login, often by the scope "
    "offline_access or the parameter access_type=offline in authorization_params"
)
MAX_ATTEMPT_LENGTH = 200
MAX_CONFIG_BYTES = 16_384
CALLBACK_PATH = "/oauth/callback"


class Logins:
    """The OAuth logins of a product. Safe to share between threads; all state is in the connection store."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._services = accounts.services

    @without_frames
    def begin(
        self,
        integration: str,
        user_id: str,
        *,
        session_id: str = "",
        additional_config: JsonObject | None = None,
        browser: str = "",
        origin: str = "",
        attempt: str = "",
        redirect_uri: str = "",
        language: str = "",
        choices: Mapping[str, str] | None = None,
    ) -> str:
        """Start a login and return the URL of the provider's login page.

        Args:
            integration: a name declared in integrations.yaml.
            user_id: the owner of the connection.
            session_id: the connect session that the login belongs to.
            additional_config: settings that the blueprint needs before the login, such as a subdomain.
            browser: a secret of the browser, such as a cookie; `finish` requires the same one.
            origin: the page that receives the result: one of `config.connect_origins`, or "".
            attempt: the page's own name for this attempt, for `find_outcome`.
            redirect_uri: the callback URL, for programs that listen themselves; by default it is made from
                `config.oauth_server_root_url`.
            language: of the page at its end, or "" for that of the browser.
            choices: what the program chooses after the login, by the name of the choice.

        Raises:
            ConnectFailed: the login cannot start; nothing was stored. A cause is for developers only.
        """
        login: dict[str, Any] = {
            **_new_login(integration, user_id, choices, browser),
            "session_id": session_id,
            "origin": origin,
            # Half surrogate pairs cannot be stored.
            "attempt": attempt[:MAX_ATTEMPT_LENGTH].encode("utf-8", "replace").decode(),
            "language": language,
        }
        return self._try_to_begin(
            login, lambda: self._start(login, dict(additional_config or {}), redirect_uri)
        )

    @without_frames
    def begin_device(
        self,
        integration: str,
        user_id: str,
        *,
        additional_config: JsonObject | None = None,
        choices: Mapping[str, str] | None = None,
    ) -> DeviceLogin:
        """Start a login on a machine without a browser (RFC 8628): the user enters a code elsewhere.

        Args:
            integration: its blueprint has a `device_authorization_url`.
            user_id: the owner of the connection.
            additional_config: settings that the blueprint needs before the login.
            choices: what the program chooses after the login, by the name of the choice.

        Raises:
            ConnectFailed: the login cannot start; nothing was stored.
        """
        from nango_py.connect.device import DeviceGrant, DeviceLogin

        login = _new_login(integration, user_id, choices)

        def start() -> DeviceLogin:
            declared, config = self._prepare(login, dict(additional_config or {}))
            grant = DeviceGrant(self._services, declared, user_id, config)
            complete = partial(self._complete, {**login, "additional_config": config})
            return DeviceLogin(grant, self._services, complete, self.finish_choice)

        return self._try_to_begin(login, start)

    def _try_to_begin(self, login: Mapping[str, Any], start: Callable[[], Begun]) -> Begun:
        failure: LoginFailed
        try:
            return start()
        except LOGIN_ERRORS as error:
            failure = explain_failure(error, by_user=True)
        self._report(login, failure)
        raise ConnectFailed(failure.code, failure.message, fields=failure.fields) from failure.cause

    @without_frames
    def finish(self, query: Mapping[str, str], browser: str, *, integration: str = "") -> LoginOutcome:
        """Complete the login that a callback belongs to, and store the connection if it succeeded.

        The first callback uses up the state, whatever its outcome. An existing connection of the user keeps
        its uuid and becomes active again. If the user has to choose an account, the outcome has a `choice`;
        without an active connection, the login is stored with the status `needs_choice` until then.

        Args:
            query: the parameters of the callback.
            browser: the secret that was passed to `begin`.
            integration: the last part of the callback's path, if it has its own path.

        Raises:
            ConnectFailed: `state_invalid`: no login of this browser expects this callback; `unavailable`:
                the connection store cannot be reached.
        """
        login = self._take("login", query.get("state", ""), browser)
        return self._complete(login, partial(self._exchange, login, query, integration))

    @without_frames
    def finish_choice(self, ticket: str, value: str, browser: str) -> LoginOutcome:
        """Go on with a login whose outcome has a choice. The ticket is used up, whatever the outcome.

        Args:
            ticket: that of the outcome.
            value: that of the chosen candidate.
            browser: the secret that was passed to `begin`.

        Raises:
            ConnectFailed: as in `finish`.
        """
        login = self._take("choice", ticket, browser)
        login["choices"] = {**login["choices"], login["choice"]: value}
        return self._complete(login, partial(_read_result, login["result"]))

    @without_frames
    def find_choice(
        self, integration: str, user_id: str, choices: Mapping[str, str] = NOTHING
    ) -> Choice | None:
        """What has to be chosen for a connection with the status `needs_choice`; None if nothing has to be.

        The provider is asked for the candidates.

        Args:
            integration: its blueprint has `after_login`.
            user_id: the owner of the connection.
            choices: what was chosen already, if there are several choices.

        Raises:
            ConnectionNotFound: the user has no connection.
            ConnectFailed: the provider did not name them.
        """
        return find_choice(self._accounts, integration, user_id, choices)

    @without_frames
    def choose(self, integration: str, user_id: str, choices: Mapping[str, str]) -> PublicView:
        """Choose the account that a stored connection is for, and make it active.

        Args:
            integration: its blueprint has `after_login`.
            user_id: the owner of the connection.
            choices: the value of a candidate, by the name of the choice.

        Raises:
            ConnectionNotFound: the user has no connection.
            ConnectFailed: `needs_choice`: another choice is missing; or the provider does not accept it. The
                connection is as it was.
            ValueError: a choice is unknown.
        """
        return choose(self._accounts, integration, user_id, choices)

    def keep_alive(self, integration: str | None = None, *, days: float = 14) -> Iterator[KeptAlive]:
        """Refresh the tokens of connections whose login would soon end without use.

        That is so if the blueprint has `refresh_token_lifetime_seconds`, or the provider said when a refresh
        token expires. Run it every day. Each connection is yielded when it is done.

        Args:
            integration: only its connections; by default all.
            days: refresh if the refresh token expires in less than this.

        Raises:
            UnknownIntegration: integrations.yaml does not declare it.
        """
        return keep_alive(self._accounts, integration, days)

    def _complete(self, login: dict[str, Any], exchange: Callable[[], LoginResult]) -> LoginOutcome:
        """Store the connection of a login, or ask for a choice, and report the outcome."""
        failure: LoginFailed
        is_held = SHUTDOWN.begin()  # SIGTERM waits, because a code is valid only once
        try:
            result = exchange()
            return self._store(login, result)
        except LOGIN_ERRORS as error:
            failure = explain_failure(error, by_user=False)
        finally:
            if is_held:
                SHUTDOWN.finish()
        return self._report(login, failure)

    def find_outcome(self, session_id: str, attempt: str) -> LoginOutcome | None:
        """How an attempt ended, for pages that lost contact with its window. None if it has not ended."""
        return find_outcome(self._services, session_id, attempt.encode("utf-8", "replace").decode())

    def find(self, state: str) -> dict[str, Any] | None:
        """The login that expects a callback with this state, or a choice with this ticket. It stays."""
        with suppress(StorageError):  # `finish` reports it
            pending = self._services.store.pending
            if STATE.fullmatch(state):
                return pending.peek("login", state) or pending.peek("choice", state)
        return None

    def redirect_uri(self, integration: Integration) -> str:
        """The callback URL. It depends on the configuration alone."""
        root = self._services.configuration.config.oauth_server_root_url.rstrip("/")
        suffix = f"/{integration.name}" if _has_own_callback(integration) else ""
        return f"{root}{CALLBACK_PATH}{suffix}"

    def _find_integration(self, name: str) -> Integration:
        integration = self._services.configuration.integrations.get(name)
        if integration is None:
            raise LoginFailed("unknown_integration", "this account can no longer be connected")
        return integration

    def _prepare(self, login: Mapping[str, Any], config: JsonObject) -> tuple[Integration, JsonObject]:
        """The integration of a login, and the checked settings that it begins with."""
        integration = self._find_integration(login["integration"])
        self._check_origin(login["origin"])
        place = f"{integration.name}/{printable(login['user_id'])}"
        _check_size(config)
        form = make_form(integration)
        if login["session_id"]:
            # A user entered it: what a form refuses is refused. The page may send what the provider will.
            asked = {
                name: value for name, value in config.items() if name not in provider_fields(integration)
            }
            entered = FormValues(form, {}, asked)
            if entered.errors:
                raise LoginFailed("invalid_credentials", CHECK_FIELDS, fields=entered.errors)
            config = entered.additional_config
        hidden = find_hidden_settings(self._accounts, login["user_id"], integration, form)
        config = {**form.fixed_config, **hidden, **clean_settings(form, config)}
        config = check_user_config(integration, config, place)
        self._accounts.check_headers(integration, login["user_id"], {}, config)
        return integration, config

    def _start(self, login: dict[str, Any], given: JsonObject, redirect_uri: str) -> str:
        """Begin a login in a browser: the URL of the provider's login page."""
        integration, config = self._prepare(login, given)
        uri = redirect_uri or self.redirect_uri(integration)
        state = secrets.token_urlsafe(32)
        url, secret = make_login(self._services, integration, login["user_id"], config).start(uri, state)
        values = {**login, "additional_config": config, "redirect_uri": uri, "kept": secret}
        self._services.store.pending.put("login", state, _owner_of(login), values, LOGIN_SECONDS)
        return url

    def _check_origin(self, origin: str) -> None:
        config = self._services.configuration.config
        if origin and origin not in (*config.connect_origins, origin_of(config.oauth_server_root_url)):
            message = "this page is not allowed to connect accounts"
            raise LoginFailed("not_allowed", message, "origin is not in connect_origins")

    def _take(self, kind: str, state: str, browser: str) -> dict[str, Any]:
        """The login that a callback or a choice belongs to. Its state cannot be used again."""
        login = self._take_pending(kind, state) if STATE.fullmatch(state) else None
        if login is not None and hmac.compare_digest(login["browser"], _hash_browser(browser)):
            return login
        if login is None:
            report_outcome(self._services, "", "", "state_invalid", "no login expects this callback")
        else:
            names = login["integration"], login["user_id"]
            report_outcome(self._services, *names, "state_invalid", "another browser")
        message = "this login has already ended or was started in another browser; please start again"
        raise ConnectFailed("state_invalid", message)

    def _take_pending(self, kind: str, state: str) -> dict[str, Any] | None:
        failure = ""
        try:
            pending = self._services.store.pending
            # Read first, so that a flood of forged callbacks causes no writes.
            return None if pending.peek(kind, state) is None else pending.take(kind, state)
        except StorageError as error:
            failure = str(error)
        report_outcome(self._services, "", "", "unavailable", failure)
        raise ConnectFailed("unavailable", "logins are unavailable at the moment; please try again later")

    def _exchange(self, login: dict[str, Any], query: Mapping[str, str], path: str) -> LoginResult:
        """Exchange the callback for credentials."""
        integration = self._find_integration(login["integration"])
        if path != integration.name and (path or _has_own_callback(integration)):
            message = "the response arrived at the address of another integration"
            raise LoginFailed("wrong_issuer", message)
        step = make_login(self._services, integration, login["user_id"], login["additional_config"])
        return step.finish(query, login["redirect_uri"], login["kept"])

    def _store(self, login: dict[str, Any], result: LoginResult) -> LoginOutcome:
        """Store the connection, or what is known of it while the user has to choose an account."""
        integration, user_id = self._find_integration(login["integration"]), login["user_id"]
        earlier = find_view(self._accounts, integration.name, user_id)
        try:
            whole = complete_settings(
                self._services, integration, user_id, result, login["choices"], earlier["additional_config"]
            )
        except ChoiceNeeded as needed:
            choice = needed.choice
        else:
            self._accounts.register(
                integration.name, user_id, whole.credentials, whole.additional_config, replace=True
            )
            self._warn_of_end(integration, user_id, result.credentials)
            return self._report(login, None, result.missing_scopes)
        if earlier["status"] != ACTIVE:
            self._accounts.register_unfinished(
                integration.name, user_id, result.credentials, result.additional_config
            )
        ticket = secrets.token_urlsafe(32)
        content = {name: getattr(result, name) for name in field_names(LoginResult)}
        values = {**login, "choice": choice.name, "result": content}
        self._services.store.pending.put("choice", ticket, _owner_of(login), values, LOGIN_SECONDS)
        return LoginOutcome(
            False,  # noqa: FBT003 - ok
            **{name: login[name] for name in ("integration", "user_id", "origin", "attempt", "language")},
            code=NEEDS_CHOICE,
            message=f"choose one: {choice.title}",
            choice=choice,
            ticket=ticket,
        )

    def _warn_of_end(self, integration: Integration, user_id: str, credentials: Settings) -> None:
        """Log a warning if the token expires and nothing can refresh it, a common mistake in a blueprint."""
        mode, auth = mode_of(integration), integration.settings["auth"]
        if mode.expires_at(credentials) is None or mode.can_refresh(credentials, auth):
            return
        what, now = "token cannot be refreshed", self._services.clock.now()
        connection = unstored_connection(integration.name, user_id, {}, {}, now)
        log_token(get_logger(integration.name, integration.log_level), connection, what, WARNING_OF_END)

    def _report(
        self, login: Mapping[str, Any], failure: LoginFailed | None, missing_scopes: tuple[str, ...] = ()
    ) -> LoginOutcome:
        """Report the outcome to the page, the log and event listeners."""
        outcome = LoginOutcome(
            failure is None,
            **{name: login[name] for name in ("integration", "user_id", "origin", "attempt")},
            code="" if failure is None else failure.code,
            message="" if failure is None else failure.message,
            missing_scopes=missing_scopes,
            language=login.get("language", ""),
        )
        reason = f"without {' '.join(missing_scopes)}" if missing_scopes else ""
        if failure is not None:
            reason = failure.reason
        report_outcome(self._services, outcome.integration, outcome.user_id, outcome.code, reason)
        if outcome.attempt:
            save_outcome(self._services, login["session_id"], outcome)
        return outcome


def _new_login(
    integration: str, user_id: str, choices: Mapping[str, str] | None, browser: str = ""
) -> dict[str, Any]:
    return {
        "integration": integration,
        "user_id": user_id,
        "session_id": "",
        "origin": "",
        "attempt": "",
        "browser": _hash_browser(browser),
        "language": "",
        "choices": dict(choices or {}),
    }


def _owner_of(login: Mapping[str, Any]) -> str:
    """Whose number of logins in progress is limited: a session, or a user without one."""
    return login["session_id"] or f"user {login['user_id']}"


def _has_own_callback(integration: Integration) -> bool:
    return integration.settings["auth"].get("callback_per_integration") is True


def _read_result(content: dict[str, Any]) -> LoginResult:
    return LoginResult(**{**content, "missing_scopes": tuple(content["missing_scopes"])})


def _hash_browser(browser: str) -> str:
    return hashlib.sha256(f"nango login browser\0{browser}".encode("utf-8", "surrogatepass")).hexdigest()


def _check_size(config: JsonObject) -> None:
    with suppress(TypeError, ValueError, RecursionError):
        if len(json.dumps(config)) <= MAX_CONFIG_BYTES:
            return
    raise LoginFailed("invalid_credentials", f"the settings must be JSON of at most {MAX_CONFIG_BYTES} bytes")
