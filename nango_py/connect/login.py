"""OAuth logins of a product's users: from the click to the stored connection.

A login is named by its state: 256 random bits of which the database holds a hash, good once, for ten minutes,
and only in the browser that began it. Everything that the callback may not say is kept sealed meanwhile.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nango_py.config.urls.hosts import origin_of
from nango_py.connect.failure import ENDINGS, LoginFailed, explain_failure
from nango_py.connect.form_values import clean_settings
from nango_py.connect.oauth import asked_config, make_login
from nango_py.connect.outcome import LoginOutcome, recall, remember, report_outcome
from nango_py.errors import ConnectFailed, StorageError, printable
from nango_py.secret import without_frames
from nango_py.tokens.shutdown import SHUTDOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.accounts import Accounts
    from nango_py.config.model import Integration

LOGIN_SECONDS = 600.0
"""How long a user may take at the provider."""

STATE = re.compile(r"[A-Za-z0-9_-]{43}")
"""What `secrets.token_urlsafe(32)` gives."""

LONGEST_ATTEMPT = 200
LARGEST_CONFIG = 16_384
CALLBACK_PATH = "/oauth/callback"


class Logins:
    """The OAuth logins of a product. Safe to share between threads; nothing is kept in the process."""

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
        additional_config: Mapping[str, Any] | None = None,
        browser: str = "",
        origin: str = "",
        attempt: str = "",
        redirect_uri: str = "",
    ) -> str:
        """The URL of the provider's login page, to which the user's browser is to be sent.

        Args:
            integration: a name that integrations.yaml declares.
            user_id: whose connection it becomes.
            session_id: the connect session that it counts for.
            additional_config: what the blueprint asks for before the login, such as a subdomain.
            browser: the value of a cookie; `finish` wants the same one.
            origin: the page that hears how it ended: one of `config.connect_origins`, or "".
            attempt: the page's own name for this try, for `attempt`.
            redirect_uri: where the provider sends the browser back to, for programs that listen themselves;
                the address in `config.oauth_server_root_url` by default.

        Raises:
            ConnectFailed: it cannot begin; nothing was kept. Its cause, if any, is for developers only.
        """
        login = {
            "integration": integration,
            "user_id": user_id,
            "session_id": session_id,
            "origin": origin,
            "attempt": attempt[:LONGEST_ATTEMPT],
            "browser": _binding(browser),
        }
        failed: LoginFailed
        try:
            return self._begun(login, dict(additional_config or {}), redirect_uri)
        except ENDINGS as error:
            failed = explain_failure(error, by_user=True)
        self._told(login, failed)
        raise ConnectFailed(failed.code, failed.message, fields=failed.fields) from failed.cause

    @without_frames
    def finish(self, query: Mapping[str, str], browser: str, *, integration: str = "") -> LoginOutcome:
        """How the login ended that a callback belongs to; where it went well, the connection is stored.

        A state is used up by its first callback, whatever comes of it. A connection that the user had
        keeps its uuid and is active again.

        Args:
            query: of the callback.
            browser: the value of the cookie that `begin` was given.
            integration: the last part of the path, where the callback came to a path of its own.

        Raises:
            ConnectFailed: `state_invalid`: no login of this browser waits for such a callback; `unavailable`:
                nobody can say, because the connection store does not answer.
        """
        login = self._taken(query.get("state", ""), browser)
        failed: LoginFailed
        is_held = SHUTDOWN.begin()  # SIGTERM waits: a code is good once
        try:
            missing = self._stored(login, query, integration)
        except ENDINGS as error:
            failed = explain_failure(error, by_user=False)
        else:
            return self._told(login, None, missing)
        finally:
            if is_held:
                SHUTDOWN.finish()
        return self._told(login, failed)

    def attempt(self, session_id: str, attempt: str) -> LoginOutcome | None:
        """How a try ended, for pages that lost sight of the window it ran in; None if it has not, yet."""
        return recall(self._services, session_id, attempt)

    def integration_of(self, state: str) -> str:
        """What the login logs in to that waits for a callback with this state; "" where none does."""
        found = None
        with suppress(StorageError):  # `finish` says so
            found = self._services.store.pending.peek("login", state) if STATE.fullmatch(state) else None
        return found["integration"] if found else ""

    def _declared(self, name: str) -> Integration:
        found = self._services.configuration.integrations.get(name)
        if found is None:
            raise LoginFailed("unknown_integration", "there is nothing of that name to connect")
        return found

    def _begun(self, login: dict[str, Any], config: dict[str, Any], redirect_uri: str) -> str:
        declared = self._declared(login["integration"])
        self._check_origin(login["origin"])
        where = f"{declared.name}/{printable(login['user_id'])}"
        _check_size(config)
        config = asked_config(declared, clean_settings(declared, config), where)
        uri = redirect_uri or self.redirect_uri(declared)
        state = secrets.token_urlsafe(32)
        url, kept = make_login(self._services, declared, login["user_id"], config).start(uri, state)
        values = {**login, "additional_config": config, "redirect_uri": uri, "kept": kept}
        self._services.store.pending.put("login", state, login["session_id"], values, LOGIN_SECONDS)
        return url

    def redirect_uri(self, integration: Integration) -> str:
        """Where the provider sends browsers back to. It is made from the files alone."""
        root = self._services.configuration.config.oauth_server_root_url.rstrip("/")
        is_own = integration.settings["auth"].get("callback_per_integration") is True
        return f"{root}{CALLBACK_PATH}" + (f"/{integration.name}" if is_own else "")

    def _check_origin(self, origin: str) -> None:
        config = self._services.configuration.config
        if origin and origin not in (*config.connect_origins, origin_of(config.oauth_server_root_url)):
            raise LoginFailed("not_allowed", "this page may not connect accounts", "origin is not declared")

    def _taken(self, state: str, browser: str) -> dict[str, Any]:
        found = self._waiting(state) if STATE.fullmatch(state) else None
        if found is not None and hmac.compare_digest(found["browser"], _binding(browser)):
            return found
        if found is None:
            report_outcome(self._services, "", "", "state_invalid", "no login waits for this callback")
        else:
            report_outcome(
                self._services, found["integration"], found["user_id"], "state_invalid", "another browser"
            )
        what = "this login is over, or began in another browser; please begin again"
        raise ConnectFailed("state_invalid", what)

    def _waiting(self, state: str) -> dict[str, Any] | None:
        """The login that a state names, for the first that asks."""
        failed = ""
        try:
            pending = self._services.store.pending
            # Looked for first: a flood of made-up callbacks takes no turn at writing.
            return None if pending.peek("login", state) is None else pending.take("login", state)
        except StorageError as error:
            failed = str(error)
        report_outcome(self._services, "", "", "unavailable", failed)
        raise ConnectFailed("unavailable", "logins cannot be finished at present; try again later")

    def _stored(self, login: dict[str, Any], query: Mapping[str, str], path: str) -> tuple[str, ...]:
        """Exchange what the callback brought and store it; the scopes that were not granted."""
        declared = self._declared(login["integration"])
        is_own = declared.settings["auth"].get("callback_per_integration") is True
        if path != declared.name and (path or is_own):
            raise LoginFailed("wrong_issuer", "the response came to the address of another integration")
        step = make_login(self._services, declared, login["user_id"], login["additional_config"])
        granted = step.finish(query, login["redirect_uri"], login["kept"])
        self._accounts.register(
            declared.name, login["user_id"], granted.credentials, granted.additional_config, replace=True
        )
        return granted.missing_scopes

    def _told(
        self, login: Mapping[str, Any], failed: LoginFailed | None, missing: tuple[str, ...] = ()
    ) -> LoginOutcome:
        """Say how it ended: to the page that asks, to the log, and to listeners."""
        code, message = ("", "") if failed is None else (failed.code, failed.message)
        names = {name: login[name] for name in ("integration", "user_id", "origin", "attempt")}
        outcome = LoginOutcome(failed is None, **names, code=code, message=message, missing_scopes=missing)
        reason = failed.reason if failed else f"without {' '.join(missing)}" if missing else ""
        report_outcome(self._services, outcome.integration, outcome.user_id, code, reason)
        if outcome.attempt:
            remember(self._services, login["session_id"], outcome)
        return outcome


def _binding(browser: str) -> str:
    return hashlib.sha256(f"nango login browser\0{browser}".encode("utf-8", "surrogatepass")).hexdigest()


def _check_size(config: Mapping[str, Any]) -> None:
    """A user's settings are texts and numbers, and few."""
    with suppress(TypeError, ValueError, RecursionError):
        if len(json.dumps(config)) <= LARGEST_CONFIG:
            return
    raise LoginFailed("invalid_credentials", f"the settings are no JSON of at most {LARGEST_CONFIG} bytes")
