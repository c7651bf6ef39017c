"""What is under way for some minutes: logins that wait for their callback, and how the last ones ended.

Each is kept once for all processes and machines, sealed, and under a name of which only a hash is stored: who
reads the database can neither finish a login nor learn its PKCE verifier.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from nango_py.connections.validation import to_json
from nango_py.errors import ConnectFailed
from nango_py.secret import conceal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.connections.store import ConnectionStore
    from nango_py.database.base import Run

MOST_OF_A_SESSION = 32
"""What one connect session may have under way; what is older than the newest ones is dropped."""

MOST = 50_000
"""What all sessions together may have under way, so that a flood fills neither memory nor disk.

A thousand logins a minute stay below, with how each ended kept for ten minutes, and half of them given up.
"""

_FORGET_ENDED = "DELETE FROM nango_pending WHERE ends_at <= :now"
_COUNT = "SELECT count(*) FROM nango_pending"
_PUT = """
INSERT INTO nango_pending (id, session_id, key_id, sealed, created_at, ends_at)
VALUES (:id, :session_id, :key_id, :sealed, :now, :ends_at)
ON CONFLICT (id) DO UPDATE SET session_id = excluded.session_id, key_id = excluded.key_id,
  sealed = excluded.sealed, created_at = excluded.created_at, ends_at = excluded.ends_at
"""
_FORGET_OLDEST = """
DELETE FROM nango_pending WHERE id IN (
  SELECT id FROM nango_pending WHERE session_id = :session_id
  ORDER BY created_at DESC, id LIMIT 100000 OFFSET :most
)
"""
_TAKE = "DELETE FROM nango_pending WHERE id = :id RETURNING session_id, key_id, sealed, ends_at"
_PEEK = "SELECT session_id, key_id, sealed, ends_at FROM nango_pending WHERE id = :id"


class Pending:
    """The logins under way of a store. Safe to share between threads."""

    def __init__(self, store: ConnectionStore) -> None:
        self._store = store

    def put(self, kind: str, name: str, session_id: str, values: Mapping[str, Any], seconds: float) -> None:
        """Keep the values under a name for so many seconds; one of the same kind and name is replaced.

        Args:
            kind: what it is, such as `login`.
            name: only its hash is stored, so a secret one stays secret.
            session_id: the connect session that it counts for.
            values: what JSON can say; texts may be wrapped in `Secret`.
            seconds: how long it can be taken.

        Raises:
            ConnectFailed: `busy`: too much is under way; nothing was kept.
        """
        text, key = to_json(conceal(values), "values"), self._store.current_key()
        now = self._store.microseconds()
        identity, ends_at = _identity(kind, name), now + int(seconds * 1_000_000)
        row = {
            "id": identity,
            "session_id": session_id,
            "key_id": key.id,
            "sealed": key.seal(text.reveal().encode(), _place(identity, session_id, ends_at)),
            "now": now,
            "ends_at": ends_at,
        }

        def work(run: Run) -> bool:
            run(_FORGET_ENDED, {"now": now})
            if int(run(_COUNT, {})[0][0]) >= MOST:
                return False
            run(_PUT, row)
            run(_FORGET_OLDEST, {"session_id": session_id, "most": MOST_OF_A_SESSION})
            return True

        if not self._store.write(work):
            raise ConnectFailed("busy", "too many logins are under way; try again in some minutes")

    def take(self, kind: str, name: str) -> dict[str, Any] | None:
        """The values, for one caller only; None when there are none (any more), or they were altered.

        Of any number of callers at once, over threads, processes and machines, one gets them.
        """
        parameters = {"id": _identity(kind, name)}
        return self._opened(parameters["id"], self._store.write(lambda run: run(_TAKE, parameters)))

    def peek(self, kind: str, name: str) -> dict[str, Any] | None:
        """The values, which stay; None when there are none (any more), or they were altered."""
        parameters = {"id": _identity(kind, name)}
        return self._opened(parameters["id"], self._store.read(_PEEK, parameters))

    def _opened(self, identity: str, rows: list[tuple[Any, ...]]) -> dict[str, Any] | None:
        if not rows:
            return None
        session_id, key_id, sealed, ends_at = rows[0]
        key = self._store.keyring.find_anew(key_id)
        # One that was sealed with a key that is gone since is no loss: the user begins again.
        if ends_at <= self._store.microseconds() or key is None:
            return None
        text = key.open(sealed, _place(identity, session_id, ends_at))
        return None if text is None else dict(json.loads(text))


def _identity(kind: str, name: str) -> str:
    text = f"nango pending\0{kind}\0{name}"  # names come from browsers, and JSON knows half surrogates
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _place(identity: str, session_id: str, ends_at: int) -> bytes:
    return f"nango pending 1\0{identity}\0{session_id}\0{ends_at}".encode()
