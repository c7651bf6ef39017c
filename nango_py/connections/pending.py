"""Short-lived values: logins that wait for their callback, the outcomes of recent ones, and unread results.

They are shared by all processes and machines, sealed, and stored under the hash of a name: somebody who reads
the database can neither finish a login nor learn its PKCE verifier.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, TypeAlias

from nango_py.connections.validation import to_json
from nango_py.errors import ConnectFailed
from nango_py.secret import conceal

if TYPE_CHECKING:
    from nango_py.connections.sealed_database import SealedDatabase
    from nango_py.database.base import Rows, Run
    from nango_py.json_types import Settings

PendingValues: TypeAlias = dict[str, Any]
"""The values that `Pending.put` stored under this kind of name."""

MAX_PER_SESSION = 32
"""Maximum number of values of one connect session."""

MAX_TOTAL = 50_000
"""Maximum number of values of all sessions, so that a flood fills neither memory nor disk.

Enough for a thousand logins a minute, half of them abandoned, with outcomes kept for ten minutes.
"""

_DELETE_EXPIRED = "DELETE FROM nango_pending WHERE ends_at <= :now"
_COUNT = "SELECT count(*) FROM nango_pending"
_PUT = """
INSERT INTO nango_pending (id, session_id, key_id, sealed, created_at, ends_at)
VALUES (:id, :session_id, :key_id, :sealed, :now, :ends_at)
ON CONFLICT (id) DO UPDATE SET session_id = excluded.session_id, key_id = excluded.key_id,
  sealed = excluded.sealed, created_at = excluded.created_at, ends_at = excluded.ends_at
"""
_DELETE_OLDEST = """
DELETE FROM nango_pending WHERE id IN (
  SELECT id FROM nango_pending WHERE session_id = :session_id
  ORDER BY created_at DESC, id LIMIT 100000 OFFSET :limit
)
"""
_TAKE = "DELETE FROM nango_pending WHERE id = :id RETURNING session_id, key_id, sealed, ends_at"
_PEEK = "SELECT session_id, key_id, sealed, ends_at FROM nango_pending WHERE id = :id"


class Pending:
    """The pending logins of a store. Safe to share between threads."""

    def __init__(self, database: SealedDatabase) -> None:
        self._database = database

    def put(
        self, kind: str, name: str, session_id: str, values: Settings, seconds: float,
        most: int = MAX_PER_SESSION,
    ) -> None:  # fmt: skip
        """Store the values under a name, replacing those of the same kind and name.

        Args:
            kind: what it is, such as `login`.
            name: only its hash is stored, so the name may be a secret.
            session_id: the connect session that it counts for.
            values: JSON values; texts may be wrapped in `Secret`.
            seconds: time to live.
            most: values that the session keeps at most; the oldest ones are dropped.

        Raises:
            ConnectFailed: `busy`: too many logins are in progress; nothing was stored.
        """
        text, key = to_json(conceal(values), "values"), self._database.current_key()
        now = self._database.microseconds()
        identity, ends_at = _hash_name(kind, name), now + int(seconds * 1_000_000)
        row = {
            "id": identity,
            "session_id": session_id,
            "key_id": key.id,
            "sealed": key.seal(text.reveal().encode(), _associated_data(identity, session_id, ends_at)),
            "now": now,
            "ends_at": ends_at,
        }

        def work(run: Run) -> bool:
            run(_DELETE_EXPIRED, {"now": now})
            if int(run(_COUNT, {})[0][0]) >= MAX_TOTAL:
                return False
            run(_PUT, row)
            run(_DELETE_OLDEST, {"session_id": session_id, "limit": most})
            return True

        if not self._database.write(work):
            raise ConnectFailed("busy", "too many logins are in progress; try again in a few minutes")

    def take(self, kind: str, name: str) -> PendingValues | None:
        """Return and delete the values; None if there are none, or they expired or were altered.

        Exactly one of several concurrent callers gets them, across threads, processes and machines.
        """
        parameters = {"id": _hash_name(kind, name)}
        return self._decrypt(parameters["id"], self._database.write(lambda run: run(_TAKE, parameters)))

    def peek(self, kind: str, name: str) -> PendingValues | None:
        """The values, without deleting them; None as in `take`."""
        parameters = {"id": _hash_name(kind, name)}
        return self._decrypt(parameters["id"], self._database.read(_PEEK, parameters))

    def _decrypt(self, identity: str, rows: Rows) -> PendingValues | None:
        if not rows:
            return None
        session_id, key_id, sealed, ends_at = rows[0]
        key = self._database.keyring.find_or_reload(key_id)
        # If the key was dropped, the user simply starts the login again.
        if ends_at <= self._database.microseconds() or key is None:
            return None
        text = key.open(sealed, _associated_data(identity, session_id, ends_at))
        return None if text is None else dict(json.loads(text))


def _hash_name(kind: str, name: str) -> str:
    text = f"nango pending\0{kind}\0{name}"  # names come from browsers and may contain lone surrogates
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _associated_data(identity: str, session_id: str, ends_at: int) -> bytes:
    return f"nango pending 1\0{identity}\0{session_id}\0{ends_at}".encode()
