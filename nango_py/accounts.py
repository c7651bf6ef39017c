"""The connections of a product's users: registered, changed and listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.auth.base import validate_credentials
from nango_py.config.schema.additional_config import check_additional_config
from nango_py.errors import UnknownIntegration, printable
from nango_py.secret import without_frames

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping
    from typing import BinaryIO

    from nango_py.config.files import Files
    from nango_py.config.model import Configuration, Integration
    from nango_py.connections.connect_sessions import ConnectSession, SessionClaims
    from nango_py.connections.store import ConnectionStore
    from nango_py.secret import Secret
    from nango_py.services import Services
    from nango_py.transfer.report import ImportReport


class Accounts:
    """What a Nango does with connections, before any call is made with them."""

    _files: Files
    _resources: Services

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
        checked = validate_credentials(declared.auth_mode, credentials, where)
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
            TypeError: an argument is of another type.
        """
        from nango_py.connections.connect_sessions import new_connect_session

        if isinstance(integrations, str):
            raise TypeError("integrations is of type str; expected a list of names")
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
        from nango_py.connections.connect_sessions import open_session

        return open_session(self.store.keyring, token, self._resources.clock.now())

    @without_frames
    def export_connections(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        key: str | Secret,
        *,
        integration: str | None = None,
        user_id: str | None = None,
    ) -> int:
        """Write connections to a file that only `key` opens, and say how many they are (docs/moving.md).

        Args:
            target: a path, where the file is put as a whole and for its owner only (0600), or a file that is
                open for writing bytes. An older export there is replaced, any other file is not.
            key: 32 random bytes in base64; `nango keys generate` makes some.
            integration: only its connections.
            user_id: only the connections of this user.

        Raises:
            UnknownIntegration: integrations.yaml does not declare it.
            StorageError: the key is none, or the file cannot be written.
            TamperError: a stored connection was altered; no file was written.
        """
        from nango_py.transfer.exporting import write_export

        if integration is not None:
            self._integration(integration)
        return write_export(self.store, target, key, integration or "", user_id or "")

    @without_frames
    def import_connections(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        key: str | Secret,
        *,
        on_existing: str = "refuse",
        dry_run: bool = False,
    ) -> ImportReport:
        """Store the connections of an export. All of the file is checked before anything is written.

        Connections that are stored already, just so, are left alone; an import that was stopped in the
        middle is finished by the same import.

        Args:
            source: a path, or a file that is open for reading bytes.
            key: the one the file was made with.
            on_existing: what happens where a user has another connection: "refuse" the whole import,
                "skip" this one, or "replace" what is stored.
            dry_run: only check and count; the report names what stands in the way.

        Raises:
            ConfigError: an integration is not declared, credentials do not fit its auth mode, or a user has
                another connection; all of them are named, and nothing was written.
            TamperError: the file was altered or cut; nothing was written.
            StorageError: another key, no export, or the database failed.
        """
        from nango_py.transfer.importing import Importer, import_export

        importer = Importer(self.store, self.configuration, on_existing, dry_run)
        try:
            return import_export(importer, source, key)
        finally:
            self._resources.stored.clear()

    @without_frames
    def import_from_nango(
        self,
        path: str | os.PathLike[str],
        *,
        names: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        user_from: str = "connection_id",
        on_existing: str = "refuse",
        dry_run: bool = False,
    ) -> ImportReport:
        """Store connections of today's Nango, from what it answers to `GET /connections/:id`.

        Args:
            path: a file with one response, an array of them or one on each line, or a folder of such files.
            names: the integration here for a provider_config_key there, where they differ.
            fields: the name in additional_config here for an "integration.name" of connection_config there,
                where they differ by more than capitals and underscores.
            user_from: "connection_id" or "end_user": what becomes the user_id.
            on_existing: as in `import_connections`.
            dry_run: as in `import_connections`.

        Raises:
            ConfigError: as in `import_connections`; also a file that is not JSON, and masked credentials.
            StorageError: the database failed.
        """
        from nango_py.transfer.importing import Importer
        from nango_py.transfer.nango.translation import import_nango

        importer = Importer(self.store, self.configuration, on_existing, dry_run)
        try:
            return import_nango(importer, path, names or {}, fields or {}, user_from)
        finally:
            self._resources.stored.clear()

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
        checked = validate_credentials(declared.auth_mode, credentials, where)
        schema = declared.settings.get("connection_config")
        settings = check_additional_config(schema, additional_config or {}, where)
        return checked, settings

    def _integration(self, name: str) -> Integration:
        integrations = self.configuration.integrations
        found = integrations.get(name)
        if found is None:
            raise UnknownIntegration(name, integrations, hint=f"declared in {self.configuration.source}")
        return found
