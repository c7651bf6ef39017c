"""Logins on machines without a browser: the user enters a code on another device (RFC 8628)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from nango_py.connect.failure import LOGIN_ERRORS, LoginFailed
from nango_py.connect.oauth import CodeLogin, LoginResult, send_once
from nango_py.protocols import device_flow
from nango_py.protocols.token_exchange import TokenRefused, TokenUnavailable
from nango_py.record import replaced
from nango_py.tokens.shutdown import SHUTDOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.config.model import Integration
    from nango_py.connect.outcome import LoginOutcome
    from nango_py.json_types import JsonObject
    from nango_py.protocols.after_login import Choice
    from nango_py.protocols.device_flow import DeviceCodes
    from nango_py.services import Services

EXPIRED = "the code has expired; please start again"
_DENIED, _EXPIRED = "access_denied", "expired_token"


class DeviceGrant:
    """The requests of one login. Not safe to share between threads."""

    def __init__(
        self, services: Services, integration: Integration, user_id: str, config: JsonObject
    ) -> None:
        if not integration.settings["auth"].get("device_authorization_url"):
            message = f"{integration.title or integration.name} has no login for devices without a browser"
            raise LoginFailed("not_allowed", message, "the blueprint has no device_authorization_url")
        self._services = services
        self._login = CodeLogin(services, integration, user_id, config)
        self._config = config
        context, response = self._login.send(device_flow.codes_request)
        self.codes: DeviceCodes = device_flow.read_codes(context, response)
        self.interval = self.codes.interval_seconds
        self.ends_at = services.clock.monotonic() + self.codes.life_seconds

    def ask(self) -> LoginResult | None:
        """What the provider grants, or None if the user has not decided yet.

        Raises:
            LoginFailed: the user declined, or the code has expired.
            TokenRefused: the provider refuses the application.
        """
        if self._services.clock.monotonic() >= self.ends_at:
            raise LoginFailed("state_invalid", EXPIRED)
        try:
            context, response = send_once(
                self._services,
                self._login.context,
                lambda context: device_flow.token_request(context, self.codes.device_code),
            )
        except LoginFailed as error:
            self._slow_down(error)
            return None
        progress = device_flow.read_progress(response)
        if progress == device_flow.SLOW_DOWN:
            self.interval += device_flow.SLOWER_SECONDS
        if progress:
            return None
        failure: LoginFailed
        try:
            context = replaced(context, sent_once=(self.codes.device_code,))
            return self._login.read_grant(context, response)
        except TokenUnavailable as error:
            failure = LoginFailed("unavailable", str(error))
        except TokenRefused as error:
            failure = _explain_refusal(error)
        self._slow_down(failure)
        return None

    def _slow_down(self, failure: LoginFailed) -> None:
        """Ask half as often if the provider cannot be reached (RFC 8628 3.5); other failures are final."""
        if failure.code != "unavailable":
            raise failure
        self.interval = min(self.interval * 2, device_flow.LONGEST_INTERVAL_SECONDS)


def _explain_refusal(error: TokenRefused) -> LoginFailed:
    if error.code == _DENIED:
        return LoginFailed("access_denied", "access was not granted", str(error))
    if error.code == _EXPIRED:
        return LoginFailed("state_invalid", EXPIRED, str(error))
    message = f"the provider refused to complete the login{f' ({error.code})' if error.code else ''}"
    return LoginFailed("exchange_failed", message, str(error))


class DeviceLogin:
    """A login that waits for its user; see `Logins.begin_device`.

    Attributes:
        user_code: what the user enters.
        verification_uri: where the user enters it.
        verification_uri_complete: the same page with the code, for a link or a QR code; or "".
        expires_in: how long the code is valid, in seconds.
    """

    def __init__(
        self,
        grant: DeviceGrant,
        services: Services,
        complete: Callable[[Callable[[], LoginResult]], LoginOutcome],
        finish_choice: Callable[[str, str, str], LoginOutcome],
    ) -> None:
        self._grant = grant
        self._clock = services.clock
        self._complete = complete
        self._finish_choice = finish_choice
        codes = grant.codes
        self.user_code = codes.user_code
        self.verification_uri = codes.verification_uri
        self.verification_uri_complete = codes.verification_uri_complete
        self.expires_in = codes.life_seconds

    def __repr__(self) -> str:
        return f"<DeviceLogin {self.user_code} at {self.verification_uri}>"

    def wait(self, ask: Callable[[Choice], str] | None = None) -> LoginOutcome:
        """Wait until the user has decided, or the code has expired. It blocks; asyncio has `await_outcome`.

        Args:
            ask: returns the value of the account to choose; without it, a login with several accounts ends
                with a `choice`, and its connection has the status `needs_choice`.
        """
        outcome = None
        while outcome is None:
            self._clock.sleep(self._grant.interval)
            outcome = self.poll()
        while ask is not None and outcome.choice is not None:
            outcome = self._finish_choice(outcome.ticket, ask(outcome.choice), "")
        return outcome

    async def await_outcome(self, ask: Callable[[Choice], str] | None = None) -> LoginOutcome:
        """`wait` for asyncio: requests and the store are used in a thread.

        If the task is cancelled, a request that was sent is completed, and what it grants is stored.

        Args:
            ask: as in `wait`; it is called in the event loop.
        """
        sleep = getattr(self._clock, "async_sleep", asyncio.sleep)
        outcome = None
        while outcome is None:
            await sleep(self._grant.interval)
            outcome = await asyncio.to_thread(self.poll)
        while ask is not None and outcome.choice is not None:
            value = ask(outcome.choice)
            outcome = await asyncio.to_thread(self._finish_choice, outcome.ticket, value, "")
        return outcome

    def poll(self) -> LoginOutcome | None:
        """Ask the provider once, and store the connection if the user has agreed; None if it is too early.

        `wait` calls it as often as the provider allows.
        """
        failure: Exception
        is_held = SHUTDOWN.begin()  # SIGTERM waits, because a code is valid only once
        try:
            result = self._grant.ask()
            return None if result is None else self._complete(lambda: result)
        except LOGIN_ERRORS as error:
            failure = error.with_traceback(None)
        finally:
            if is_held:
                SHUTDOWN.finish()
        return self._complete(partial(_raise, failure))


def _raise(failure: Exception) -> LoginResult:
    raise failure
