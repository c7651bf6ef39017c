"""Rows of the store: which columns are sealed, and what each sealed value is bound to."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from nango_py.config.values import freeze
from nango_py.connections.connection import ACTIVE, Connection, public_view
from nango_py.connections.validation import check_identity, to_json
from nango_py.errors import TamperError, printable
from nango_py.secret import Secret, conceal

if TYPE_CHECKING:
    from nango_py.connections.cipher import Key
    from nango_py.connections.connection import PublicView
    from nango_py.json_types import Credentials, Settings

FORMAT = "nango connection 1"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Row(NamedTuple):
    """A row of nango_connections, with the columns in the order of the SQL statements."""

    uuid: str
    integration: str
    user_id: str
    generation: int
    status: str
    key_id: str
    credentials: bytes
    additional_config: bytes
    created_at: int
    modified_at: int

    @classmethod
    def new(cls, integration: str, user_id: str, now: int) -> Row:
        """The first row of a new connection, with nothing sealed in it yet."""
        import uuid

        return cls(str(uuid.uuid4()), integration, user_id, 1, ACTIVE, "", b"", b"", now, now)

    def next_generation(self, status: str, now: int) -> Row:
        """The row after a change; its values have to be sealed again."""
        modified = max(self.modified_at, now)
        return self._replace(generation=self.generation + 1, status=status, modified_at=modified)

    def associated_data(self, column: str) -> bytes:
        """What a sealed column is bound to: the name of the column and all other columns of the row.

        No part can contain the NUL that separates them, so two different rows never give the same bytes.
        """
        parts = (
            FORMAT, column, self.key_id, self.integration, self.user_id, self.uuid, str(self.generation),
            self.status, str(self.created_at), str(self.modified_at),
        )  # fmt: skip
        return "\0".join(parts).encode()

    def seal(self, key: Key, credentials: Secret, additional_config: Secret) -> Row:
        """The row with these two JSON texts sealed under the key."""
        row = self._replace(key_id=key.id)
        return row._replace(
            credentials=key.seal(credentials.reveal().encode(), row.associated_data("credentials")),
            additional_config=key.seal(
                additional_config.reveal().encode(), row.associated_data("additional_config")
            ),
        )

    def decrypt(self, key: Key) -> tuple[Secret, Secret] | None:
        """The JSON texts of credentials and additional_config; None if the row was altered."""
        credentials = key.open(self.credentials, self.associated_data("credentials"))
        config = key.open(self.additional_config, self.associated_data("additional_config"))
        if credentials is None or config is None:
            return None
        return Secret(credentials.decode()), Secret(config.decode())

    def decrypt_connection(self, key: Key) -> Connection:
        """The connection that the row stores.

        Raises:
            TamperError: a part of the row was altered or comes from another row.
        """
        texts = self.decrypt(key)
        if texts is None:
            raise self.tamper_error()
        return self.to_connection(*texts)

    def to_connection(self, credentials: Secret, additional_config: Secret) -> Connection:
        """The connection of this row with these JSON texts."""
        return Connection(
            self.uuid,
            sys.intern(self.integration),
            self.user_id,
            freeze(conceal(json.loads(credentials.reveal()))),
            freeze(json.loads(additional_config.reveal())),
            from_microseconds(self.created_at),
            from_microseconds(self.modified_at),
            self.generation,
            sys.intern(self.status),
        )

    def decrypt_public_view(self, key: Key) -> PublicView:
        """The public view of the connection; the credentials are not even read.

        Raises:
            TamperError: a part of the row was altered or comes from another row.
        """
        config = key.open(self.additional_config, self.associated_data("additional_config"))
        if config is None:
            raise self.tamper_error()
        return public_view(
            uuid=self.uuid,
            integration=self.integration,
            user_id=self.user_id,
            date_created=from_microseconds(self.created_at),
            last_modified=from_microseconds(self.modified_at),
            status=self.status,
            additional_config=json.loads(config),
        )

    def tamper_error(self) -> TamperError:
        """The error for a row that cannot be decrypted."""
        return TamperError(
            f'the stored connection of user "{printable(str(self.user_id))}" for integration '
            f'"{printable(str(self.integration))}" was altered, moved from another row, or sealed with a key '
            "that this process does not have; it was not used"
        )


def unstored_connection(
    integration: str, user_id: str, credentials: Credentials, config: Settings, now: float
) -> Connection:
    """A connection with these values that is not stored.

    Raises:
        StorageError: the names or a value could not be stored.
    """
    check_identity(integration, user_id)
    row = Row.new(integration, user_id, int(now * 1_000_000))
    return row.to_connection(to_json(credentials, "credentials"), to_json(config, "additional_config"))


def from_microseconds(microseconds: int) -> datetime:
    """Microseconds since 1970 as a time in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_microseconds(time: datetime) -> int:
    """A time as microseconds since 1970, exactly."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def parse_microseconds(text: object) -> int | None:
    """ISO 8601 text as microseconds since 1970; None if it is not a date. Without a time zone, it is UTC."""
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        time = None
    return None if time is None else to_microseconds(time if time.tzinfo else time.replace(tzinfo=UTC))
