"""Rows of the store: what is sealed in them, and what each sealed value is bound to."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from nango_py.config.model import freeze
from nango_py.connections.connection import ACTIVE, Connection, public_view
from nango_py.connections.validation import check_identity, to_json
from nango_py.errors import TamperError, printable
from nango_py.secret import Secret, conceal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.connections.cipher import Key

FORMAT = "nango connection 1"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Row(NamedTuple):
    """A row of nango_connections, in the order in which the SQL text names its columns."""

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

    def place(self, field: str) -> bytes:
        """What a sealed field of this row is bound to: all the rest of the row, and the field's name.

        No part can hold the NUL that divides them, so two different rows never give the same bytes.
        """
        return "\0".join(
            (
                *(
                    FORMAT,
                    field,
                    self.key_id,
                    self.integration,
                    self.user_id,
                    self.uuid,
                    str(self.generation),
                ),
                *(self.status, str(self.created_at), str(self.modified_at)),
            )
        ).encode()

    @classmethod
    def blank(cls, integration: str, user_id: str, now: int) -> Row:
        """The first row of a new connection, with nothing sealed in it yet."""
        import uuid

        return cls(str(uuid.uuid4()), integration, user_id, 1, ACTIVE, "", b"", b"", now, now)

    def changed(self, status: str, now: int) -> Row:
        """The row of the next generation; what is sealed in it is to be sealed anew."""
        modified = max(self.modified_at, now)
        return self._replace(generation=self.generation + 1, status=status, modified_at=modified)

    def sealed(self, key: Key, credentials: Secret, additional_config: Secret) -> Row:
        """The row with both fields sealed under the key; they are JSON texts."""
        row = self._replace(key_id=key.id)
        return row._replace(
            credentials=key.seal(credentials.reveal().encode(), row.place("credentials")),
            additional_config=key.seal(additional_config.reveal().encode(), row.place("additional_config")),
        )

    def texts(self, key: Key) -> tuple[Secret, Secret] | None:
        """The JSON texts of credentials and settings, or None when the row was altered."""
        credentials = key.open(self.credentials, self.place("credentials"))
        config = key.open(self.additional_config, self.place("additional_config"))
        if credentials is None or config is None:
            return None
        return Secret(credentials.decode()), Secret(config.decode())

    def opened(self, key: Key) -> Connection:
        """The connection that the row holds.

        Raises:
            TamperError: a part of the row was altered or comes from another row.
        """
        credentials = key.open(self.credentials, self.place("credentials"))
        config = key.open(self.additional_config, self.place("additional_config"))
        if credentials is None or config is None:
            del credentials, config  # not in a traceback with locals
            raise self.tampered()
        return self.connection(credentials, config)

    def connection(self, credentials: bytes | str, additional_config: bytes | str) -> Connection:
        """The connection of this row with these JSON texts."""
        return Connection(
            self.uuid,
            sys.intern(self.integration),
            self.user_id,
            freeze(conceal(json.loads(credentials))),
            freeze(json.loads(additional_config)),
            from_microseconds(self.created_at),
            from_microseconds(self.modified_at),
            self.generation,
            sys.intern(self.status),
        )

    def public(self, key: Key) -> dict[str, Any]:
        """The public view, for which the credentials are not even read.

        Raises:
            TamperError: a part of the row was altered or comes from another row.
        """
        config = key.open(self.additional_config, self.place("additional_config"))
        if config is None:
            raise self.tampered()
        return public_view(
            uuid=self.uuid,
            integration=self.integration,
            user_id=self.user_id,
            date_created=from_microseconds(self.created_at),
            last_modified=from_microseconds(self.modified_at),
            status=self.status,
            additional_config=json.loads(config),
        )

    def tampered(self) -> TamperError:
        """The error for a row that does not open."""
        return TamperError(
            f'the stored connection of user "{printable(str(self.user_id))}" for integration '
            f'"{printable(str(self.integration))}" was altered, moved from another row, or sealed with a key '
            "that this process does not have; it was not used"
        )


def unstored_connection(
    integration: str, user_id: str, credentials: Mapping[str, Any], config: Mapping[str, Any], now: float
) -> Connection:
    """The connection that these would be, were they stored.

    Raises:
        StorageError: a value is not of JSON, or the names cannot be stored.
    """
    check_identity(integration, user_id)
    row = Row.blank(integration, user_id, int(now * 1_000_000))
    texts = to_json(credentials, "credentials"), to_json(config, "additional_config")
    return row.connection(texts[0].reveal(), texts[1].reveal())


def from_microseconds(microseconds: int) -> datetime:
    """The time in UTC of so many microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_microseconds(time: datetime) -> int:
    """The other way round, exactly."""
    return (time - _EPOCH) // timedelta(microseconds=1)
