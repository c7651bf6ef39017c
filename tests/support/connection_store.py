"""Key rings for connection stores, and what lies in their databases."""

from __future__ import annotations

from typing import Any

from nango_py.connections import statements
from nango_py.connections.keys import KeyRing, load_keyring
from nango_py.database.opening import open_database
from nango_py.secret import Secret

PLANTED = "pk_planted_secret_1234567890"


def ring(*keys: Secret) -> KeyRing:
    """A key ring as the environment gives it."""
    return load_keyring({"NANGO_ENCRYPTION_KEYS": ",".join(key.reveal() for key in keys)}, None)  # type: ignore[arg-type]


def everything(database_url: str) -> list[Any]:
    """All rows of all tables, as they lie in the database."""
    database = open_database(Secret(database_url))
    try:
        columns = statements.ONE.partition("WHERE")[0]
        texts = (statements.KEYS, columns + "ORDER BY uuid", "SELECT * FROM nango_schema ORDER BY version")
        return [row for text in texts for row in database.read(text, {})]
    finally:
        database.close()
