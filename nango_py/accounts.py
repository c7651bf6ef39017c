"""The connections of users: registered, verified, changed, listed and deleted."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from nango_py.auth.base import mode_of
from nango_py.config.schema.additional_config import check_additional_config
from nango_py.connections.connection import NEEDS_CHOICE
from nango_py.errors import printable
from nango_py.secret import without_frames

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nango_py.config.model import Integration
    from nango_py.connections.connect_sessions import ConnectSession, SessionClaims
    from nango_py.connections.connection import PublicView
    from nango_py.engine.verification import Verification
    from nango_py.json_types import Settings
    from nango_py.services import Services


class Accounts:
    """The connections of a product's users. `Nango` documents the arguments and errors of each method."""

    def __init__(self, services: Services) -> None:
        self.services = services

    @without_frames
    def register(
        self,
        integration: str,
        user_id: str,
        credentials: Mapping[str, object],
        additional_config: Mapping[str, object] | None = None,
        *,
        replace: bool = False,
    ) -> PublicView:
        """Store a user's credentials and return the public view of the connection."""
        checked, config = self._check(integration, user_id, credentials, additional_config or {})
        store = self.services.store
        if not replace:
            return store.create(integration, user_id, checked, config).public()
        stored = store.put(integration, user_id, checked, config)
        self.services.cache.forget(integration, user_id)
        return stored.public()

    @without_frames
    def register_unfinished(
        self, integration: str, user_id: str, credentials: Mapping[str, object], config: Settings
    ) -> None:
        """Store a login whose user has yet to choose an account, with the settings that are known."""
        declared, place = self.services.integration(integration), _place(integration, user_id)
        checked = mode_of(declared).validate(credentials, place)
        self.services.store.put(integration, user_id, checked, config, status=NEEDS_CHOICE)
        self.services.cache.forget(integration, user_id)

    @without_frames
    def update_credentials(
        self, integration: str, user_id: str, credentials: Mapping[str, object]
    ) -> PublicView:
        """Replace the credentials of a connection."""
        declared = self.services.integration(integration)
        checked = mode_of(declared).validate(credentials, _place(integration, user_id))
        self.check_headers(declared, user_id, checked, {})
        updated = self.services.store.update_credentials(integration, user_id, checked)
        self.services.cache.forget(integration, user_id)
        return updated.public()

    def update_config(self, integration: str, user_id: str, config: Mapping[str, object]) -> PublicView:
        """Replace the additional_config of a connection."""
        declared = self.services.integration(integration)
        schema = declared.settings.get("connection_config")
        checked = check_additional_config(schema, config, _place(integration, user_id))
        self.check_headers(declared, user_id, {}, checked)
        updated = self.services.store.update_config(integration, user_id, checked)
        self.services.cache.forget(integration, user_id)
        return updated.public()

    def get(self, integration: str, user_id: str) -> PublicView:
        """The public view of a connection, with the end of its refresh token."""
        from nango_py.tokens.schedule import refresh_token_end

        connection = self.services.store.get(integration, user_id)
        declared = self.services.configuration.integrations.get(integration)
        end = None if declared is None else refresh_token_end(declared, connection)
        expires_at = None if end is None else datetime.fromtimestamp(end, UTC)
        return {**connection.public(), "refresh_expires_at": expires_at}

    def list_for_user(self, user_id: str) -> list[PublicView]:
        """The public views of a user's connections."""
        return self.services.store.for_user(user_id)

    def list_for_integration(self, integration: str) -> list[PublicView]:
        """The public views of an integration's connections."""
        self.services.integration(integration)
        return self.services.store.for_integration(integration)

    def iterate(self, integration: str | None, after: tuple[str, str] | None) -> Iterator[PublicView]:
        """The public views of the connections of one integration or of all, read a page at a time."""
        from nango_py.connections.bulk import iter_views

        if integration is not None:
            self.services.integration(integration)
            if after is not None and after[0] != integration:
                raise ValueError(f"after is a connection of {printable(after[0])}, not of {integration}")
        return iter_views(self.services.store, integration or "", after or ("", ""))

    @without_frames
    def verify(
        self,
        integration: str,
        user_id: str,
        credentials: Mapping[str, object],
        additional_config: Mapping[str, object] | None = None,
    ) -> Verification:
        """Test credentials at the API without storing them."""
        checked, config = self._check(integration, user_id, credentials, additional_config or {})
        from nango_py.connections.rows import unstored_connection
        from nango_py.tokens.unstored import verify_unstored

        services = self.services
        connection = unstored_connection(integration, user_id, checked, config, services.clock.now())
        runtime = services.runtime(integration)
        return verify_unstored(runtime, connection, services.transport, services.limits, services.clock)

    def check_headers(
        self, integration: Integration, user_id: str, credentials: Mapping[str, object], config: Settings
    ) -> None:
        """Refuse values that no header of the integration could hold; raises as `check_header_values`."""
        from nango_py.connections.rows import unstored_connection
        from nango_py.engine.unsendable import check_header_values

        now = self.services.clock.now()
        check_header_values(
            integration, unstored_connection(integration.name, user_id, credentials, config, now)
        )

    def delete(self, integration: str, user_id: str, *, revoke: bool = True) -> None:
        """Delete a connection, then revoke its tokens at the provider if the blueprint says how."""
        from nango_py.tokens import revocation

        services = self.services
        declared = services.configuration.integrations.get(integration) if revoke else None
        runtime = None
        if declared is not None and revocation.is_declared(declared):
            runtime = services.runtime(integration)
            revocation.block_refresh(services.store, integration, user_id, services.clock)
        deleted = services.store.delete(integration, user_id)
        services.cache.forget(integration, user_id)
        if runtime is not None and deleted is not None:
            others = partial(self._integrations_of, user_id)
            revocation.revoke(runtime, deleted, services.transport, services.clock, others)

    def create_session(
        self,
        user_id: str,
        integrations: Iterable[str] | None = None,
        *,
        lifetime_seconds: float = 1800,
        origin: str = "",
        user_label: str = "",
        return_url: str = "",
        language: str = "",
        choices: Mapping[str, Mapping[str, str]] | None = None,
    ) -> ConnectSession:
        """A link with which one user's browser may connect accounts."""
        from nango_py.argument_types import check_type
        from nango_py.connections.connect_sessions import new_connect_session
        from nango_py.protocols.after_login import check_choices

        if isinstance(integrations, str):
            raise TypeError("integrations must be a list of names, not a str")
        configuration = self.services.configuration
        names = tuple(configuration.integrations if integrations is None else integrations)
        for name in names:
            check_type("a name in integrations", name, str, "text")
            self.services.integration(name)
        for name, values in (choices or {}).items():
            check_choices(self.services.integration(name).settings["auth"], values)
        return new_connect_session(
            self.services.store,
            configuration.config,
            user_id,
            names,
            lifetime_seconds,
            origin,
            user_label,
            return_url,
            language,
            choices or {},
        )

    @without_frames
    def read_session(self, token: str) -> SessionClaims:
        """The claims of a connect session's token."""
        from nango_py.connections.connect_sessions import open_session

        return open_session(self.services.store.keyring, token, self.services.clock.now())

    def _integrations_of(self, user_id: str) -> list[Integration | None]:
        """What a user is connected to; None for an integration that is no longer declared."""
        declared = self.services.configuration.integrations
        return [declared.get(view["integration"]) for view in self.list_for_user(user_id)]

    def _check(
        self, integration: str, user_id: str, credentials: Mapping[str, object], config: Mapping[str, object]
    ) -> tuple[dict[str, object], dict[str, object]]:
        """Validated credentials and additional_config, as a connection stores them."""
        declared, place = self.services.integration(integration), _place(integration, user_id)
        checked = mode_of(declared).validate(credentials, place)
        schema = declared.settings.get("connection_config")
        settings = check_additional_config(schema, config, place)
        self.check_headers(declared, user_id, checked, settings)
        return checked, settings


def _place(integration: str, user_id: str) -> str:
    return f"{integration}/{printable(str(user_id))}"
