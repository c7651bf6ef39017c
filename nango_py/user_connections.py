"""The connections of a product's users: registered, changed, listed and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.auth.base import checked_credentials
from nango_py.config.connection_config import check_additional_config
from nango_py.errors import UnknownIntegration, printable
from nango_py.secret import without_frames

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nango_py.config.files import Files
    from nango_py.config.model import Configuration, Integration
    from nango_py.connections.sessions import ConnectSession, SessionClaims
    from nango_py.connections.store import ConnectionStore
    from nango_py.resources import Resources


class UserConnections:
    """What a Nango does with connections, before any call is made with them."""

    _files: Files
    _resources: Resources

    @property
    def configuration(self) -> Configuration:
        """What the files say, checked; with reload=True as they say it now."""
        return self._files.current()

    @without_frames
    def register_connection(
        self,
        integration: str,
        user_id: str,
        credentials: Mapping[str, Any],
        additional_config: Mapping[str, Any] | None = None,
        *,
        replace: bool = False,
    ) -> dict[str, Any]:
        """Store one user's credentials, encrypted, and return the public view of the connection.

        Args:
            integration: a name that integrations.yaml declares.
            user_id: your own name for the user, up to 1 KiB of any text.
            credentials: the fields of the integration's auth mode (docs/integrations.md).
            additional_config: JSON values for templates, such as a subdomain.
            replace: put both in the place of those of a user who is connected already, and make the
                connection active again; uuid and date_created stay.

        Raises:
            UnknownIntegration: integrations.yaml does not declare it.
            CredentialsError: a field is missing, unknown or of the wrong type; the message names it.
            ConfigError: additional_config is not what the blueprint's connection_config asks for.
            ConnectionAlreadyExists: this user has one, and replace is False; it was left as it was.
            StorageError: it could not be written; nothing was stored.
        """
        checked, settings = self._checked(integration, user_id, credentials, additional_config)
        if not replace:
            return self.store.create(integration, user_id, checked, settings).public()
        stored = self.store.put(integration, user_id, checked, settings)
        self._resources.stored.forget(integration, user_id)
        return stored.public()

    @without_frames
    def update_connection_credentials(
        self, integration: str, user_id: str, credentials: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Replace the credentials of an existing connection; the errors of register_connection."""
        declared, where = self._integration(integration), f"{integration}/{printable(str(user_id))}"
        checked = checked_credentials(declared.auth_mode, credentials, where)
        updated = self.store.update_credentials(integration, user_id, checked)
        self._resources.stored.forget(integration, user_id)
        return updated.public()

    def update_connection_config(
        self, integration: str, user_id: str, additional_config: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Replace the additional_config of an existing connection.

        Raises:
            ConnectionNotFound: this user has none.
        """
        declared, where = self._integration(integration), f"{integration}/{printable(str(user_id))}"
        schema = declared.settings.get("connection_config")
        settings = check_additional_config(schema, additional_config, where)
        updated = self.store.update_config(integration, user_id, settings)
        self._resources.stored.forget(integration, user_id)
        return updated.public()

    def delete_connection(self, integration: str, user_id: str) -> None:
        """Delete a connection and its credentials.

        Raises:
            ConnectionNotFound: this user has none.
        """
        self.store.delete(integration, user_id)
        self._resources.stored.forget(integration, user_id)

    def connection(self, integration: str, user_id: str) -> dict[str, Any]:
        """The public view: uuid, integration, user_id, dates, status and additional_config; no credentials.

        `status` is `active`, or `needs_reauth` when the provider refused the credentials for good.

        Raises:
            ConnectionNotFound: this user has none.
        """
        return self.store.get(integration, user_id).public()

    def connections_for_user(self, user_id: str) -> list[dict[str, Any]]:
        """The public views of a user's connections; [] when there are none."""
        return self.store.for_user(user_id)

    def connections_for_integration(self, integration: str) -> list[dict[str, Any]]:
        """The public views of an integration's connections; [] when there are none.

        Raises:
            UnknownIntegration: integrations.yaml does not declare it.
        """
        self._integration(integration)
        return self.store.for_integration(integration)

    def connect_session(
        self,
        user_id: str,
        integrations: Iterable[str] | None = None,
        *,
        lifetime_seconds: float = 1800,
        origin: str = "",
        user_label: str = "",
    ) -> ConnectSession:
        """The permission for one user's browser to connect accounts: a link to the connect page.

        Args:
            user_id: whose connections they become.
            integrations: those that may be connected; all that are declared by default.
            lifetime_seconds: from one minute to a day.
            origin: the one of `config.connect_origins` that hears how logins end; any of them by default.
            user_label: what the page calls the user, such as an e-mail address.

        Raises:
            UnknownIntegration: integrations.yaml does not declare one of them.
            ValueError: the lifetime or the origin is not allowed.
        """
        from nango_py.connections.sessions import new_connect_session

        names = tuple(self.configuration.integrations if integrations is None else integrations)
        for name in names:
            self._integration(name)
        return new_connect_session(
            self.store, self.configuration.config, user_id, names, lifetime_seconds, origin, user_label
        )

    @without_frames
    def read_session(self, token: str) -> SessionClaims:
        """What the token of a connect session says.

        Raises:
            ConnectFailed: `session_invalid` or `session_expired`.
        """
        from nango_py.connections.sessions import opened_session

        return opened_session(self.store.keyring, token, self._resources.clock.now())

    @property
    def store(self) -> ConnectionStore:
        """The connection store, opened when it is first needed.

        Raises:
            StorageError: it cannot be opened, or the encryption key is missing or wrong.
        """
        return self._resources.store

    def _checked(
        self,
        integration: str,
        user_id: str,
        credentials: Mapping[str, Any],
        additional_config: Mapping[str, Any] | None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Credentials and settings as a connection of the integration stores them."""
        declared, where = self._integration(integration), f"{integration}/{printable(str(user_id))}"
        checked = checked_credentials(declared.auth_mode, credentials, where)
        schema = declared.settings.get("connection_config")
        settings = check_additional_config(schema, additional_config or {}, where)
        return checked, settings

    def _integration(self, name: str) -> Integration:
        integrations = self.configuration.integrations
        found = integrations.get(name)
        if found is None:
            raise UnknownIntegration(name, integrations, hint=f"declared in {self.configuration.source}")
        return found
