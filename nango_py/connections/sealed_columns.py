"""Sealed columns of jobs and schedules: what each value is bound to, and how a rotation seals it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nango_py.connections.cipher import Key
    from nango_py.connections.keys import KeyRing
    from nango_py.database.base import Run

FORMAT = "nango job 1"


class Sealed(NamedTuple):
    """The identity of a row with sealed columns: of a job or of a schedule.

    A sealed value cannot be moved to another row, nor its row to another user or handler.
    """

    id: str
    handler: str
    integration: str
    user_id: str

    def associated_data(self, column: str, key_id: str) -> bytes:
        """What a sealed column is bound to."""
        return "\0".join((FORMAT, column, key_id, *self)).encode()

    def seal(self, key: Key, column: str, text: str) -> bytes:
        """The text of a column, sealed."""
        return key.seal(text.encode(), self.associated_data(column, key.id))

    def open(self, key: Key, column: str, sealed: bytes) -> str | None:
        """The text of a column; None if it was altered or moved."""
        plain = key.open(sealed, self.associated_data(column, key.id))
        return None if plain is None else plain.decode()


class SealedTable(NamedTuple):
    """A table whose rows have an identity, a key and sealed columns."""

    name: str
    columns: tuple[str, ...]

    @property
    def stale_count(self) -> str:
        """Counts the rows that another key seals."""
        return f"SELECT count(*) FROM {self.name} WHERE key_id <> :key_id"  # noqa: S608 - a constant

    @property
    def stale_for_update(self) -> str:
        """The next rows that another key seals."""
        names = ", ".join((*Sealed._fields, "key_id", *self.columns))
        where = "key_id <> :key_id AND id > :after ORDER BY id LIMIT :limit FOR UPDATE"
        return f"SELECT {names} FROM {self.name} WHERE {where}"  # noqa: S608 - constants

    @property
    def reseal(self) -> str:
        """Replaces the sealed columns of a row."""
        sets = ", ".join(f"{column} = :{column}" for column in ("key_id", *self.columns))
        return f"UPDATE {self.name} SET {sets} WHERE id = :id"  # noqa: S608 - constants

    def reseal_batch(self, keyring: KeyRing, key: Key, after: str, limit: int, run: Run) -> Batch:
        """Seal the next rows with the key."""
        rows = run(self.stale_for_update, {"key_id": key.id, "after": after, "limit": limit})
        resealed = 0
        for row in rows:
            identity, older = Sealed._make(row[:4]), keyring.find(row[4])
            texts = None if older is None else _open_all(identity, older, self.columns, row[5:])
            if texts is not None:
                sealed = {name: identity.seal(key, name, text) for name, text in texts.items()}
                run(self.reseal, {"id": identity.id, "key_id": key.id, **sealed})
                resealed += 1
        return Batch(len(rows), resealed, rows[-1][0] if rows else after)


class Batch(NamedTuple):
    """The size of a batch, the number of its rows that were sealed again, and the id of its last row."""

    size: int
    resealed: int
    after: str


def _open_all(
    identity: Sealed, key: Key, columns: tuple[str, ...], values: tuple[bytes, ...]
) -> dict[str, str] | None:
    texts = {}
    for column, value in zip(columns, values, strict=True):
        text = identity.open(key, column, value)
        if text is None:
            return None
        texts[column] = text
    return texts


JOBS = SealedTable("nango_jobs", ("payload", "state"))
SCHEDULES = SealedTable("nango_schedules", ("payload",))
