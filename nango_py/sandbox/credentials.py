"""Checking that each credential came where the blueprint says, and whose it was."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nango_py.registry import AUTH_MODES
from nango_py.sandbox.expressions import evaluate, is_template, names_of, pieces, unwrap
from nango_py.secret import reveal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

APP_NAMES = frozenset({"app_api_key", "oauth_client_id", "oauth_client_secret"})
"""Values that every connection of an integration shares; a blueprint alone does not have them."""

_BASIC = "basic_auth_encoded"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who sent a request.

    Attributes:
        user: the user id whose credential it was, or None when the sandbox was given no users.
        account: what quotas are counted under: one text for each distinct credential.
    """

    user: str | None
    account: str


@dataclass(frozen=True, slots=True)
class _Slot:
    """One header, query parameter or path that has to carry a credential."""

    place: str
    name: str
    pattern: re.Pattern[str]
    expressions: tuple[str, ...]

    def captured(self, carried: Sequence[tuple[str, str]]) -> tuple[str, ...] | None:
        """What stands where the credentials belong, or None when it is absent, twice there or different."""
        values = [value for name, value in carried if name == self.name]
        if len(values) != 1:
            return None
        match = self.pattern.fullmatch(values[0])
        return match.groups() if match else None


class Credentials:
    """What the sandbox knows of places and users; safe to change while requests are served.

    Args:
        settings: a blueprint's or integration's merged tree.
        users: user id -> credentials. Users with equal credentials cannot be told apart: the first is named.
            None accepts any credential that came in its place.
    """

    def __init__(self, settings: Mapping[str, Any], users: Mapping[str, Mapping[str, Any]] | None) -> None:
        mode = (settings.get("auth") or {}).get("auth_mode")
        self._names = (frozenset(AUTH_MODES.get(mode).variables) if mode else frozenset()) - APP_NAMES
        self._app: dict[str, Any] = {name: unwrap(settings[name]) for name in APP_NAMES if settings.get(name)}
        self._slots = tuple(self._found_slots(settings.get("requests") or {}))
        self._expressions = tuple(text for slot in self._slots for text in slot.expressions)
        self._comparable = tuple(
            names_of(text) <= self._names | self._app.keys() for text in self._expressions
        )
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._users = None if users is None else {user: reveal(held) for user, held in users.items()}
        self._known: dict[bytes, tuple[str, tuple[str, ...]]] = {}
        self._index()

    def accept(self, user: str, credentials: Mapping[str, Any]) -> None:
        """From now on this user has these credentials and no others."""
        with self._lock:
            self._users = {**(self._users or {}), user: reveal(credentials)}
            self._index()

    def revoke(self, user: str) -> None:
        """From now on this user's credentials are refused."""
        with self._lock:
            self._users = {name: held for name, held in (self._users or {}).items() if name != user}
            self._index()

    def visitor(
        self, headers: Sequence[tuple[str, str]], params: Sequence[tuple[str, str]], in_path: tuple[str, ...]
    ) -> Visitor | None:
        """Whose request this is, or None when a credential is missing, misplaced or unknown.

        Args:
            headers: names in lower case, and values.
            params: the parsed query.
            in_path: what `base_pattern` captured, percent-decoded.
        """
        found: list[str] = []
        for slot in self._slots:
            carried = headers if slot.place == "header" else params
            captured = in_path if slot.place == "path" else slot.captured(carried)
            if captured is None:
                return None
            found.extend(captured)
        return self._identified(tuple(map(_normal, self._expressions, found)))

    def base_pattern(self, base_path: str) -> re.Pattern[str]:
        """A pattern for whole paths: one group for each credential in the base path, then `endpoint`."""
        return re.compile(_pattern(base_path.rstrip("/"), self._watched, "[^/]+") + "(?:/(?P<endpoint>.*))?")

    @property
    def _watched(self) -> frozenset[str]:
        return self._names | APP_NAMES

    def _found_slots(self, requests: Mapping[str, Any]) -> Iterator[_Slot]:
        places = [("path", "", path_of(requests.get("base_url") or ""))]
        places += [("header", name.lower(), value) for name, value in (requests.get("headers") or {}).items()]
        places += [("param", name, value) for name, value in (requests.get("params") or {}).items()]
        for place, name, value in places:
            if is_template(value):
                expressions = tuple(text for text in pieces(value)[1::2] if names_of(text) & self._watched)
                if expressions:
                    yield _Slot(place, name, re.compile(_pattern(value, self._watched, ".*")), expressions)

    def _index(self) -> None:
        known: dict[bytes, tuple[str, tuple[str, ...]]] = {}
        for user, held in (self._users or {}).items():
            expected = self._expected(held)
            known.setdefault(self._digest(expected), (user, expected))
        self._known = known

    def _expected(self, held: Mapping[str, Any]) -> tuple[str, ...]:
        values: dict[str, Any] = {**dict.fromkeys(self._names), **held, **self._app}
        if "username" in held:
            pair = f"{held['username']}:{held.get('password', '')}"
            values[_BASIC] = base64.b64encode(pair.encode()).decode()
        return tuple(
            _normal(text, evaluate(text, values)) if comparable else ""
            for text, comparable in zip(self._expressions, self._comparable, strict=True)
        )

    def _identified(self, found: tuple[str, ...]) -> Visitor | None:
        if not self._slots:
            return Visitor(None, "anonymous")
        if self._users is None:
            known_app = (names_of(text) <= self._app.keys() for text in self._expressions)
            right = all(
                _same(evaluate(text, self._app), value) if is_app else value != ""
                for text, value, is_app in zip(self._expressions, found, known_app, strict=True)
            )
            return Visitor(None, self._digest(found).hex()[:16]) if right else None
        # What the sandbox cannot know, such as an expression with additional_config in it, is not compared.
        seen = tuple(value if known else "" for value, known in zip(found, self._comparable, strict=True))
        # Looked up by a keyed digest and then compared whole: the time taken tells nothing of the credential.
        user, expected = self._known.get(self._digest(seen), (None, seen))
        return (
            Visitor(user, user) if user is not None and _same("\0".join(expected), "\0".join(seen)) else None
        )

    def _digest(self, values: tuple[str, ...]) -> bytes:
        return hmac.digest(self._key, _bytes("\0".join(values)), hashlib.sha256)


def path_of(base_url: str) -> str:
    """The path of a base_url template: what follows the host."""
    after_scheme = unwrap(base_url).split("://", 1)[-1]
    _, slash, path = after_scheme.partition("/")
    return slash + path


def _pattern(template: str, watched: frozenset[str], anything: str) -> str:
    """A regular expression with a group for each watched expression and `anything` for the others."""
    parts = pieces(template)
    return "".join(
        re.escape(part)
        if index % 2 == 0
        else f"({anything})"
        if names_of(part) & watched
        else f"(?:{anything})"
        for index, part in enumerate(parts)
    )


def _normal(expression: str, text: str) -> str:
    """The text to compare: a Basic credential decoded to user:password, or "" when it is none."""
    if expression.strip() != _BASIC:
        return text
    try:
        pair = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
    return pair if ":" in pair else ""


def _same(expected: str, given: str) -> bool:
    return hmac.compare_digest(_bytes(expected), _bytes(given))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
